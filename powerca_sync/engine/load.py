"""Read one office's rows of a target table as Python values, for programs that analyse data.

The sync itself moves rows as text and does not use this module. Values that Python's types cannot hold are returned as
PostgreSQL prints them: infinite dates and those before Christ, 24:00, intervals of months, arrays, documents.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Any

import psycopg
from psycopg import sql
from psycopg.abc import Buffer
from psycopg.types.datetime import DateLoader, TimeLoader, TimestampLoader, TimestamptzLoader
from psycopg.types.string import TextLoader
from typing_extensions import override

from powerca_sync.engine.context import check_route, open_context
from powerca_sync.engine.mapping import Scope, belongs
from powerca_sync.engine.postgres import Column, Connection, Cursor, explained, server_timezone, transaction
from powerca_sync.engine.result import Options
from powerca_sync.specs import DESKTOP, OWNER, TableSpec

#: Types whose values the driver's own loader converts without loss.
_EXACT = frozenset({"bool", "bytea", "float4", "float8", "int2", "int4", "int8", "numeric"})


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LoadedRows:
    """A table's rows, all read in one snapshot."""

    columns: tuple[Column, ...]
    #: Values in the order of the columns.
    rows: Sequence[tuple[Any, ...]]
    #: The office's time zone, in which `timestamptz` values are given.
    timezone: tzinfo


def load_rows(
    spec: TableSpec,
    *,
    source: Connection,
    target: Connection,
    specs: Sequence[TableSpec],
    options: Options | None = None,
) -> LoadedRows:
    """Returns all rows of this office in the target's table, with all columns, in the order of the primary key.

    Reads from the source only the office's organisations. Writes nothing.

    Raises:
        SyncError: The office or the table cannot be resolved, or a database fails.
    """
    options = options or Options()
    with explained(f"loading table `{spec.mobile}`"):
        timezone = options.timezone or server_timezone(source)
        context = open_context(source, target, specs)
        with transaction(target, timezone=timezone, timeouts=options.timeouts, snapshot=True) as cursor:
            resolved = context.catalogs.resolution[spec.mobile]
            check_route(resolved, context.office)
            table = context.scope.table(spec.mobile)
            _use_loaders(cursor)
            cursor.execute(_select(resolved.spec, context.scope))
            return LoadedRows(columns=table.columns, rows=cursor.fetchall(), timezone=cursor.connection.info.timezone)


def _select(spec: TableSpec, scope: Scope) -> sql.Composed:
    table = scope.table(spec.mobile)
    owner = sql.Identifier("t", OWNER) if table.column(OWNER) else sql.Literal(DESKTOP)
    statement = sql.SQL("""\
SELECT {columns}
FROM {table} AS t
WHERE {ours}""").format(
        columns=sql.SQL(", ").join(sql.Identifier("t", column.name) for column in table.columns),
        table=table.identifier,
        ours=belongs(spec, scope, "t", sql.SQL("{}::text").format(owner)),
    )
    if table.primary_key:
        key = sql.SQL(", ").join(sql.Identifier("t", name) for name in table.primary_key)
        statement += sql.SQL("\nORDER BY {}").format(key)
    return statement


def _use_loaders(cursor: Cursor) -> None:
    """Load the types of `_EXACT` as Python values, and all others, arrays included, as text."""
    for info in cursor.adapters.types:
        if info.name not in _EXACT:
            cursor.adapters.register_loader(info.oid, _DAYTIME.get(info.name, TextLoader))
        if info.array_oid:
            cursor.adapters.register_loader(info.array_oid, TextLoader)


class _DateOrText(DateLoader):
    @override
    def load(self, data: Buffer) -> Any:
        return _or_text(super().load, data)


class _TimeOrText(TimeLoader):
    @override
    def load(self, data: Buffer) -> Any:
        return _or_text(super().load, data)


class _TimestampOrText(TimestampLoader):
    @override
    def load(self, data: Buffer) -> Any:
        return _or_text(super().load, data)


class _TimestamptzOrText(TimestamptzLoader):
    @override
    def load(self, data: Buffer) -> Any:
        return _or_text(super().load, data)


def _or_text(load: Any, data: Buffer) -> Any:
    try:
        return load(data)
    except psycopg.DataError:
        return bytes(data).decode()


_DAYTIME: Mapping[str, type[Any]] = {
    "date": _DateOrText,
    "time": _TimeOrText,
    "timestamp": _TimestampOrText,
    "timestamptz": _TimestamptzOrText,
}
