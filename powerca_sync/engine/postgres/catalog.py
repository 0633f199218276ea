"""Ask a live database what a table is: columns, keys, references, rules. The only source of such facts."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from psycopg import sql

from powerca_sync.engine.postgres.database import Cursor, Query
from powerca_sync.engine.postgres.sql_files import load
from powerca_sync.errors import SchemaMismatchError

#: Relations that hold rows of their own and have a `ctid` and an `xmin`.
PLAIN = "r"
PARTITIONED = "p"
#: Computes its rows anew whenever they are read.
VIEW = "v"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One column, as declared."""

    name: str
    #: As declared, with modifiers: `numeric(8,2)`.
    type: str
    #: Name of the type under any domains, as `pg_type` has it; with its schema outside `pg_catalog`.
    base: str
    #: `pg_type.typcategory`: N numeric, S string, D date and time ...
    category: str
    #: The type's modifier (length, precision) as stored; -1 for none.
    typmod: int = -1
    nullable: bool = True
    has_default: bool = False
    #: `a` always, `d` by default, empty for no identity column.
    identity: str = ""
    generated: bool = False
    #: Its place in the table, which no other column ever gets: a column dropped and made anew has another.
    number: int = 0
    #: What the rows have, as text, that were there when the column was added with a default.
    missing: str | None = None
    #: The schema of its type's own operators, quoted; empty where they are PostgreSQL's.
    operators: str = ""
    #: Entries of the ledger whose stored text its type cannot hold; known once they have been looked for.
    unreadable: tuple[int, ...] = ()
    #: Of an enum, or of an array of one; a label may be renamed without touching the rows.
    labels: tuple[str, ...] = ()
    #: Of money, and of an array of it: how many decimals the database's own `lc_monetary` gives it.
    decimals: int = 2


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class UniqueKey:
    """A unique index without predicate or expression."""

    columns: tuple[str, ...]
    nulls_distinct: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ForeignKey:
    """A foreign key that the database enforces; tables as `(schema, name)`."""

    child: tuple[str, str]
    columns: tuple[str, ...]
    parent: tuple[str, str]
    parent_columns: tuple[str, ...]
    #: Whether the parent refers back to the child: `open`, `closed` if no column on the way back takes NULL, or not.
    circle: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """A CHECK constraint and the columns that it reads."""

    name: str
    expression: str
    columns: frozenset[str]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RewriteRule:
    """A rule (CREATE RULE) that does something else as well, or instead, when rows are written."""

    name: str
    #: `INSERT`, `UPDATE` or `DELETE`.
    event: str
    instead: bool


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """What a database says of one of its tables."""

    schema: str
    name: str
    oid: int
    #: `pg_class.relkind`.
    kind: str
    columns: tuple[Column, ...]
    #: Whether other tables inherit from it; their rows are read as its own, but its unique indexes do not see them.
    has_children: bool = False
    primary_key: tuple[str, ...] = ()
    #: The primary key's index among them.
    unique_keys: tuple[UniqueKey, ...] = ()
    references: tuple[ForeignKey, ...] = ()
    referenced_by: tuple[ForeignKey, ...] = ()
    checks: tuple[Check, ...] = ()
    rules: tuple[RewriteRule, ...] = ()

    @property
    def splits_by_inheritance(self) -> bool:
        """Whether it may be partitioned by inheritance, as before PostgreSQL 10."""
        return self.has_children and self.kind == PLAIN

    @property
    def identifier(self) -> sql.Identifier:
        """Schema and name, quoted."""
        return sql.Identifier(self.schema, self.name)

    def column(self, name: str) -> Column | None:
        """The column of that name, if there is one."""
        return next((column for column in self.columns if column.name == name), None)

    def required(self, name: str) -> Column:
        """The column of that name; `SchemaMismatchError` if there is none."""
        column = self.column(name)
        if column is None:
            raise SchemaMismatchError(
                f"Table `{self.schema}.{self.name}` has no column `{name}`, which its spec needs. "
                f"It has: {', '.join(column.name for column in self.columns)}."
            )
        return column

    def is_unique(self, columns: Iterable[str]) -> bool:
        """Whether a unique index guarantees that no two rows share these columns' values (NULLs aside)."""
        wanted = set(columns)
        return not self.has_children and any(set(key.columns) <= wanted for key in self.unique_keys)


def schema_and_name(name: str) -> tuple[str, str]:
    """`table` is in `public`; `schema.table` says where it is. Never the search path, which differs by connection."""
    schema, dot, table = name.partition(".")
    return (schema, table) if dot else ("public", name)


def read_tables(cursor: Cursor, names: Iterable[str]) -> dict[str, Table]:
    """The tables of those names that exist and that this role may look up, in one round trip."""
    wanted = tuple(names)
    cursor.execute(*catalog_query(wanted))
    return parse_catalog(wanted, cursor.fetchall())


def catalog_query(names: Sequence[str]) -> Query:
    """What `parse_catalog` needs to be answered."""
    wanted = [schema_and_name(name) for name in names]
    return load(__package__, "catalog.sql"), {
        "schemas": [schema for schema, _ in wanted],
        "names": [table for _, table in wanted],
    }


def parse_catalog(names: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> dict[str, Table]:
    """The tables of those names that exist and that this role may look up."""
    found = {}
    for name, row in zip(names, rows, strict=True):
        schema, table = schema_and_name(name)
        oid, kind, has_children, columns, unique_keys, foreign_keys, checks, rules = row
        if oid is None:
            continue
        found[name] = Table(
            schema=schema,
            name=table,
            oid=oid,
            kind=kind,
            columns=tuple(_column(**column) for column in columns),
            has_children=has_children,
            primary_key=next((tuple(key["columns"]) for key in unique_keys if key["primary"]), ()),
            unique_keys=tuple(
                UniqueKey(columns=tuple(key["columns"]), nulls_distinct=key["nulls_distinct"]) for key in unique_keys
            ),
            references=tuple(_foreign_key(key) for key in foreign_keys if key["outbound"]),
            referenced_by=tuple(_foreign_key(key) for key in foreign_keys if key["inbound"]),
            checks=tuple(
                Check(name=check["name"], expression=check["expression"], columns=frozenset(check["columns"]))
                for check in checks
            ),
            rules=tuple(RewriteRule(**rule) for rule in rules),
        )
    return found


def _column(*, labels: Sequence[str] = (), **facts: Any) -> Column:
    return Column(labels=tuple(labels), **facts)


def _foreign_key(key: dict[str, object]) -> ForeignKey:
    return ForeignKey(
        child=(str(key["child_schema"]), str(key["child"])),
        columns=tuple(key["columns"]),  # type: ignore[arg-type]
        parent=(str(key["parent_schema"]), str(key["parent"])),
        parent_columns=tuple(key["parent_columns"]),  # type: ignore[arg-type]
        circle=key["circle"] and str(key["circle"]),  # type: ignore[arg-type]
    )
