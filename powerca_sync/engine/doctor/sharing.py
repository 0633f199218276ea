"""Findings about the other offices on the mobile database, for `doctor` and `init`."""

from collections.abc import Iterator, Sequence

from powerca_sync.engine.context import Context
from powerca_sync.engine.doctor.findings import Finding
from powerca_sync.engine.doctor.foreign_keys import examine_foreign_keys
from powerca_sync.engine.doctor.indexes import examine_indexes
from powerca_sync.engine.doctor.organisations import find_office
from powerca_sync.engine.doctor.shared_keys import examine_shared_keys
from powerca_sync.engine.doctor.side import Side
from powerca_sync.engine.postgres import Connection
from powerca_sync.errors import SyncError
from powerca_sync.settings import Settings
from powerca_sync.specs import TableSpec


def examine_sharing(
    settings: Settings, source: Connection, target: Connection, specs: Sequence[TableSpec]
) -> tuple[Finding, ...]:
    """Returns the findings about other offices on the mobile database, and about queries that failed. Only reads."""
    desktop = Side(endpoint=settings.desktop, connection=source)
    mobile = Side(endpoint=settings.mobile, connection=target)
    findings = tuple(examine_shared(desktop, mobile, find_office(desktop, mobile, specs)))
    return (*findings, *desktop.failed, *mobile.failed)


def examine_shared(source: Side, target: Side, office: Context | SyncError | None) -> Iterator[Finding]:
    """Yields findings about other offices on the mobile database."""
    if isinstance(office, Context):
        yield from examine_shared_keys(source, target, office)
        yield from examine_foreign_keys(target, office)
        yield from examine_indexes(target, office)
