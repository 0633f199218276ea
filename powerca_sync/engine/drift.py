"""Whether the columns of one table still fit on both sides; asked of the two catalogs only."""

from collections.abc import Sequence

from powerca_sync.engine.catalog import read_tables
from powerca_sync.engine.database import Connection, Timeouts, transaction
from powerca_sync.engine.doctor.columns import examine_columns, examine_presence, hold_together
from powerca_sync.engine.doctor.findings import Finding, Severity
from powerca_sync.engine.extract import read_snapshot
from powerca_sync.engine.failures import explained
from powerca_sync.engine.mapping import tables_needed
from powerca_sync.engine.office import Scope, as_the_target_has_it, read_office
from powerca_sync.tables import TableSpec


def find_drift(
    spec: TableSpec, *, source: Connection, target: Connection, specs: Sequence[TableSpec], timeouts: Timeouts
) -> tuple[Finding, ...]:
    """What of the table's columns does not travel or keeps it from being synced; nothing where all is well.

    Only reads. Raises a `SyncError` where the catalogs cannot be read.
    """
    with (
        explained(f"looking at the columns of `{spec.mobile}`"),
        transaction(source, timezone="UTC", timeouts=timeouts, snapshot=True) as here,
        transaction(target, timezone="UTC", timeouts=timeouts, snapshot=True) as there,
    ):
        office = read_office(here, specs, read_snapshot(here).identity)
        sources = read_tables(here, [spec.desktop])
        offices = [one.mobile for one in specs if one.defines_offices]
        tables = read_tables(there, dict.fromkeys((*tables_needed(spec, specs), *offices)))
        office = as_the_target_has_it(there, office, specs, tables)
    layout = hold_together([spec], sources, Scope(office=office, specs=specs, tables=tables))
    found = (
        *examine_presence("desktop", [spec], sources),
        *examine_presence("mobile", [spec], tables),
        *examine_columns(layout),
    )
    return tuple(finding for finding in found if finding.severity is not Severity.FINE)
