"""Rights of the users of both databases, and GRANT statements for missing ones; `grants` examines them."""

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import LiteralString

import psycopg
from psycopg import sql

from powerca_sync.engine.doctor.side import read_as
from powerca_sync.engine.postgres import Cursor, Table, load, one_row

READ: tuple[LiteralString, ...] = ("SELECT",)
ADD: tuple[LiteralString, ...] = ("SELECT", "INSERT")
WRITE: tuple[LiteralString, ...] = ("SELECT", "INSERT", "UPDATE", "DELETE")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TableRights:
    """Rights of the role on one table."""

    oid: int
    schema: str
    name: str
    #: Of the schema.
    usage: bool
    granted: Sequence[str]
    #: Row-level security hides rows from the role.
    hidden: bool

    @property
    def identifier(self) -> sql.Identifier:
        """Schema and name, quoted."""
        return sql.Identifier(self.schema, self.name)

    def lacks(self, needed: Sequence[LiteralString]) -> tuple[LiteralString, ...]:
        """Returns the needed rights that the role does not have."""
        return tuple(right for right in needed if right not in self.granted)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SequenceUse:
    """A sequence that feeds a column of a synced table."""

    schema: str
    name: str
    column: str
    sequence_schema: str
    sequence: str
    #: It belongs to an identity column, which needs no right on it.
    identity: bool
    usage: bool
    update: bool
    #: Whether the column alone is unique.
    is_unique: bool
    #: The next value; None if the role may not read it.
    next: int | None

    @property
    def identifier(self) -> sql.Identifier:
        """Schema and name of the sequence, quoted."""
        return sql.Identifier(self.sequence_schema, self.sequence)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class OwnRights:
    """Rights of the role on the engine's own tables, and to create them."""

    temporary: bool
    may_create_schema: bool
    may_create_in_public: bool
    #: Of the schema `powerca_sync`; None if it does not exist.
    usage: bool | None
    create: bool | None
    #: Oids of the engine's own tables that exist.
    own_tables: Sequence[int]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Rights:
    """All rights of the role in one database."""

    tables: Mapping[int, TableRights]
    sequences: Sequence[SequenceUse]
    own: OwnRights
    #: Whether all of the engine's own tables exist.
    prepared: bool

    def may_read(self, table: Table) -> bool:
        """Whether the role may read all rows of the table."""
        found = self.tables.get(table.oid)
        return found is not None and found.usage and not found.hidden and not found.lacks(READ)


def read_rights(cursor: Cursor, tables: Iterable[Table], *, prepared: LiteralString | bytes) -> Rights:
    """Returns the rights on these tables and on the engine's own.

    `prepared` is a query that returns whether the engine's own tables are complete.
    """
    oids = [table.oid for table in tables]
    (own,) = read_as(OwnRights, cursor, load(__package__, "own_rights.sql"), {})
    tables_and_own = [*oids, *own.own_tables]
    rights = read_as(TableRights, cursor, load(__package__, "table_rights.sql"), {"tables": tables_and_own})
    sequences = read_as(SequenceUse, cursor, load(__package__, "sequences.sql"), {"tables": tables_and_own})
    try:
        with cursor.connection.transaction():
            complete = one_row(cursor, prepared) == (True,)
    except psycopg.errors.InsufficientPrivilege:
        # The role may not see the tables; once it may, the next examination names what else is missing.
        complete = any(table.schema == "powerca_sync" for table in rights)
    return Rights(tables={table.oid: table for table in rights}, sequences=sequences, own=own, prepared=complete)


def readable_tables(rights: Rights | None, tables: Mapping[str, Table], locked: Collection[int]) -> frozenset[str]:
    """Returns the names of the tables that can be read now: not `locked` (oids), and with the right to read.

    Unknown `rights` exclude no table.
    """
    return frozenset(
        name for name, table in tables.items() if table.oid not in locked and (rights is None or rights.may_read(table))
    )


def grants(user: str, wanted: Iterable[tuple[TableRights, Sequence[LiteralString]]]) -> list[sql.Composed]:
    """Returns GRANT statements for the missing rights, one for all tables that lack the same rights."""
    role = sql.Identifier(user)
    schemas: dict[str, None] = {}
    tables: dict[tuple[LiteralString, ...], list[sql.Identifier]] = {}
    for table, needed in wanted:
        if not table.usage:
            schemas[table.schema] = None
        if lacking := table.lacks(needed):
            tables.setdefault(lacking, []).append(table.identifier)
    comma = sql.SQL(", ")
    return [
        *(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(sql.Identifier(schema), role) for schema in schemas),
        *(
            sql.SQL("GRANT {} ON {} TO {}").format(comma.join(map(sql.SQL, lacking)), comma.join(names), role)
            for lacking, names in tables.items()
        ),
    ]


def wanted(
    rights: Rights, tables: Iterable[Table], needed: tuple[LiteralString, ...]
) -> list[tuple[TableRights, tuple[LiteralString, ...]]]:
    """Returns the tables with the needed rights."""
    return [(rights.tables[table.oid], needed) for table in tables if table.oid in rights.tables]


def lacking(
    wanted: Iterable[tuple[TableRights, Sequence[LiteralString]]],
) -> list[tuple[TableRights, Sequence[LiteralString]]]:
    """Returns the tables on which needed rights are missing."""
    return [(table, needed) for table, needed in wanted if not table.usage or table.lacks(needed)]
