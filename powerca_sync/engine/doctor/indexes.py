"""Indexes on mobile that spare an office's runs the rows of other offices."""

import dataclasses
from collections.abc import Iterator

from psycopg import sql

from powerca_sync.engine.context import Context
from powerca_sync.engine.doctor.findings import Finding, fine, listed, warning
from powerca_sync.engine.doctor.side import Side, read_as
from powerca_sync.engine.postgres import Cursor, Table, load
from powerca_sync.plain_text import counted
from powerca_sync.specs import OWNER, PHONE, TableSpec

#: Estimated rows from which a table needs the indexes although no other office is registered.
LARGE = 200_000


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Indexed:
    """A mobile table, and whether it has the indexes that the statements of an office can use."""

    name: str
    rows: int
    is_indexed: bool
    has_phone_index: bool


def examine_indexes(target: Side, context: Context) -> Iterator[Finding]:
    """Yields the missing indexes on offices' columns, once a second office is registered or a table is large."""
    tables = target.look("the indexes", lambda cursor: _read_indexes(cursor, context)) or ()
    specs = {spec.mobile: spec for spec in context.specs}
    wanted = [table for table in tables if not context.office.alone or table.rows > LARGE]
    statements = {
        table.name: list(_missing(specs[table.name], context.catalogs.targets[table.name], table)) for table in wanted
    }
    lacking = [name for name, missing in statements.items() if missing]
    if lacking:
        yield warning(
            target.name,
            f"{counted(len(lacking), 'table')} without an index on the column of the office: {listed(lacking)}.",
            why="Each run and each look for phone rows reads the rows of all offices.",
            do="Run these statements on mobile, each by itself; nobody has to wait meanwhile:",
            statements=[statement for missing in statements.values() for statement in missing],
        )
    elif wanted:
        yield fine(target.name, "The columns by which offices are told apart are indexed.")


def _read_indexes(cursor: Cursor, context: Context) -> list[Indexed]:
    targets = context.catalogs.targets
    wanted = [
        (targets[spec.mobile].oid, spec.mobile, spec.office)
        for spec in context.specs
        if spec.office and not spec.defines_offices and spec.mobile in targets
    ]
    oids, names, columns = (list(values) for values in zip(*wanted, strict=True)) if wanted else ([], [], [])
    return read_as(
        Indexed, cursor, load(__package__, "indexes.sql"), {"tables": oids, "names": names, "columns": columns}
    )


def _missing(spec: TableSpec, table: Table, found: Indexed) -> Iterator[sql.Composed]:
    index = sql.SQL("CREATE INDEX CONCURRENTLY ON {} ({})").format(table.identifier, sql.Identifier(spec.office or ""))
    if not found.is_indexed:
        yield index
    owner = table.column(OWNER)
    if spec.reverse and not found.has_phone_index and owner is not None and owner.category == "S":
        yield sql.SQL("{} WHERE {} = {}").format(index, sql.Identifier(OWNER), PHONE)
