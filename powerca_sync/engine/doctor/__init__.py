"""Examine both databases before anything is synced, or when something went wrong; writes
to temporary tables only.

    findings                    what an examination says: what, why it matters, what to do
    side                        one of the two databases; every look at it has a transaction and a guard of its own
    examination                 all of it, in order
    route, server, clocks       how each database is reached, what it is, its time
    rights, grants              what the user may do, and the statements for what is missing
    organisations               whose they are
    columns                     tables and columns of the specs
    unfit_rows, copies          rows that a run would quarantine, as dry runs find them, and exact copies
    owners                      who wrote the rows on mobile, and rows that came back as an echo
    sharing, shared_keys, indexes
                                other offices on the mobile database: their keys, and indexes that spare their rows
    sequences, triggers, dependents, blocking_locks
                                what else acts on the tables

Unlike the rest of the engine this package speaks of desktop and mobile: its sentences are for people in an office.
"""

from powerca_sync.engine.doctor.examination import examine
from powerca_sync.engine.doctor.findings import BOTH, Finding, Severity, warning
from powerca_sync.engine.doctor.schema_drift import find_drift
from powerca_sync.engine.doctor.sharing import examine_sharing
from powerca_sync.engine.doctor.side import Side, reach

__all__ = ["BOTH", "Finding", "Severity", "Side", "examine", "examine_sharing", "find_drift", "reach", "warning"]
