"""Whether the columns of one table still fit on both sides; asked of the two catalogs only."""

from collections.abc import Sequence

from powerca_sync.engine.context import read_context
from powerca_sync.engine.doctor.columns import examine_columns, examine_presence, hold_together
from powerca_sync.engine.doctor.findings import Finding, Severity
from powerca_sync.engine.postgres import Connection, Timeouts, explained, transaction
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
        context = read_context(here, there, specs, only=spec, check=False)
    catalogs = context.catalogs
    layout = hold_together([spec], catalogs, context.office)
    found = (
        *examine_presence("desktop", [spec], catalogs.sources, catalogs.targets),
        *examine_presence("mobile", [spec], catalogs.targets, catalogs.sources),
        *examine_columns(layout),
    )
    return tuple(finding for finding in found if finding.severity is not Severity.FINE)
