"""Differences between the columns of one table in both databases, read from the catalogs only."""

from collections.abc import Sequence

from powerca_sync.engine.context import read_context
from powerca_sync.engine.doctor.columns import examine_columns, examine_presence, lay_out
from powerca_sync.engine.doctor.findings import Finding, Severity
from powerca_sync.engine.postgres import Connection, Timeouts, explained, transaction
from powerca_sync.specs import TableSpec


def find_drift(
    spec: TableSpec, *, source: Connection, target: Connection, specs: Sequence[TableSpec], timeouts: Timeouts
) -> tuple[Finding, ...]:
    """Returns the findings about columns that are not synced or block the table.

    Only reads. Raises a `SyncError` if the catalogs cannot be read.
    """
    with (
        explained(f"looking at the columns of `{spec.mobile}`"),
        transaction(source, timezone="UTC", timeouts=timeouts, snapshot=True) as here,
        transaction(target, timezone="UTC", timeouts=timeouts, snapshot=True) as there,
    ):
        context = read_context(here, there, specs, only=spec, check=False)
    catalogs = context.catalogs
    layout = lay_out([spec], catalogs, context.office)
    found = (
        *examine_presence("desktop", [spec], catalogs.sources, catalogs.targets),
        *examine_presence("mobile", [spec], catalogs.targets, catalogs.sources),
        *examine_columns(layout),
    )
    return tuple(finding for finding in found if finding.severity is not Severity.FINE)
