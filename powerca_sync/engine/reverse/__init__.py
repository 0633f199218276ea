"""Reverse sync of one table: insert its new phone rows at the target, exactly once.

`matching` classifies phone rows by the ledger, `existing_rows` and `lookalikes` deal with rows that the target may
have already, `insert` writes rows and ledger entries, `pending` finds the tables with new rows of
one office, `phone_rows_by_office` digests the phone rows of all offices.
"""

from powerca_sync.engine.reverse.matching import PhoneRowMatcher
from powerca_sync.engine.reverse.pending import PendingTables, find_pending_tables
from powerca_sync.engine.reverse.phone_rows_by_office import PhoneRows, PhoneRowsByOffice, read_phone_rows_by_office
from powerca_sync.engine.reverse.reverse import Pull, sync_reverse

__all__ = [
    "PendingTables",
    "PhoneRowMatcher",
    "PhoneRows",
    "PhoneRowsByOffice",
    "Pull",
    "find_pending_tables",
    "read_phone_rows_by_office",
    "sync_reverse",
]
