"""The status of each table at the target: last sync, rows by owner, quarantine, dangling references."""

import dataclasses
from collections.abc import Sequence
from datetime import datetime

from powerca_sync.engine.context import Context
from powerca_sync.engine.mapping import Office, Scope, resolve
from powerca_sync.engine.postgres import (
    Connection,
    Cursor,
    Table,
    Timeouts,
    explained,
    load,
    one_row,
    read_tables,
    transaction,
)
from powerca_sync.engine.staging import Rejections
from powerca_sync.engine.status.table_status_sql import count_rows
from powerca_sync.specs import Reference, TableSpec, spec_named


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Orphans:
    """The number of target rows with a dangling reference."""

    column: str
    parent: str
    rows: int


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """The number of rows of a target table, by owner."""

    desktop: int
    phone: int
    #: Rows of any other owner or none, of this office or of no known one. No run changes them.
    other: int
    #: Of `other`: rows of an administrator.
    administrator: int
    #: For each declared reference with dangling values, order-only references included.
    orphans: tuple[Orphans, ...]

    @property
    def unowned(self) -> int:
        """The number of rows for which somebody has to choose an owner."""
        return self.other - self.administrator


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TableStatus:
    """The status of one table, read from the target alone."""

    table: str
    #: When a run last committed; None before the first.
    last_sync: datetime | None
    #: `full` or `incremental`, as the last run was carried out; None before the first.
    mode: str | None
    #: Rows that the last run compared.
    records: int | None
    seconds: float | None
    #: Foreign rows that it kept.
    foreign: int
    #: Why the last run did not commit; None if it did.
    error: str | None
    quarantine: tuple[Rejections, ...]
    #: None where the table does not exist.
    contents: Contents | None

    @property
    def quarantined(self) -> int:
        """The number of quarantined rows."""
        return sum(entry.rows for entry in self.quarantine if not entry.deferred)


def read_table_status(
    target: Connection,
    specs: Sequence[TableSpec],
    context: Context | None,
    *,
    only: Sequence[TableSpec] | None = None,
) -> tuple[TableStatus, ...] | None:
    """Returns the status of each table of `only` (default: all), in their order; None if the target is not prepared.

    Counts rows and quarantine of the office of `context`; without a context, of all offices. Only reads, in one
    snapshot.
    """
    wanted = specs if only is None else only
    with (
        explained("reading the status at the target"),
        transaction(target, timezone="UTC", timeouts=Timeouts(), snapshot=True) as cursor,
    ):
        cursor.execute(load("powerca_sync.engine.state", "state_exists.sql"))
        if cursor.fetchone() != (True,):
            return None
        if context is None:
            tables = read_tables(cursor, [spec.mobile for spec in specs])
            resolution = resolve(specs, sources=None, targets=tables)
            scope = Scope(office=Office(identity="", orgs=None), specs=resolution.specs, tables=tables)
        else:
            scope = context.scope
        office = context.office.identity if context else None
        cursor.execute(
            load(__package__, "table_status.sql"), {"tables": [spec.mobile for spec in wanted], "office": office}
        )
        remembered = cursor.fetchall()
        return tuple(
            TableStatus(
                table=name,
                last_sync=last_sync,
                mode=mode,
                records=records,
                seconds=None if milliseconds is None else milliseconds / 1000,
                foreign=foreign,
                error=error,
                quarantine=tuple(Rejections(**entry) for entry in quarantine),
                contents=_count(cursor, spec_named(scope.specs, spec.mobile), scope)
                if spec.mobile in scope.tables
                else None,
            )
            for spec, (name, mode, last_sync, records, milliseconds, foreign, error, quarantine) in zip(
                wanted, remembered, strict=True
            )
        )


def _count(cursor: Cursor, spec: TableSpec, scope: Scope) -> Contents:
    table = scope.table(spec.mobile)
    references = [
        reference
        for reference in spec.references
        if not reference.order_only and _can_be_followed(reference, table, scope)
    ]
    desktop, phone, other, administrator, *orphans = one_row(cursor, count_rows(spec, scope, references))
    return Contents(
        desktop=desktop,
        phone=phone,
        other=other,
        administrator=administrator,
        orphans=tuple(
            Orphans(column=reference.column, parent=reference.parent, rows=count)
            for reference, count in zip(references, orphans, strict=True)
            if count
        ),
    )


def _can_be_followed(reference: Reference, table: Table, scope: Scope) -> bool:
    parent = scope.tables.get(reference.parent)
    return parent is not None and None not in (table.column(reference.column), parent.column(reference.names))
