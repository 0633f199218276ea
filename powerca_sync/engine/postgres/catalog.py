"""Read tables from PostgreSQL's catalog: columns, keys, foreign keys, checks, rules. The only source of such facts."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from psycopg import sql

from powerca_sync.engine.postgres.execution import Cursor, Query
from powerca_sync.engine.postgres.sql_files import load
from powerca_sync.errors import SchemaMismatchError

#: `pg_class.relkind` of tables, whose rows have a `ctid` and an `xmin`.
PLAIN = "r"
PARTITIONED = "p"
#: A view computes its rows whenever they are read.
VIEW = "v"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One column of a table."""

    name: str
    #: As declared, with modifiers: `numeric(8,2)`.
    type: str
    #: Name in `pg_type` of the type under all domains; qualified unless it is in `pg_catalog`.
    base: str
    #: `pg_type.typcategory`: N numeric, S string, D date and time ...
    category: str
    #: `pg_attribute.atttypmod`: length or precision; -1 for none.
    typmod: int = -1
    nullable: bool = True
    has_default: bool = False
    #: `pg_attribute.attidentity`: `a` always, `d` by default; empty if it is not an identity column.
    identity: str = ""
    generated: bool = False
    #: `pg_attribute.attnum`, which is never reused: a column that was dropped and created again has another.
    number: int = 0
    #: `pg_attribute.attmissingval`: the value, as text, of rows that are older than the column.
    missing: str | None = None
    #: The schema of the type's operators, quoted; empty for `pg_catalog`.
    operators: str = ""
    #: Ids of ledger entries whose stored text is not valid for the type; empty until they have been looked for.
    unreadable: tuple[int, ...] = ()
    #: Labels of an enum or of an array of enums. Renaming a label does not change rows.
    labels: tuple[str, ...] = ()
    #: Decimals of money, and of an array of money, by the database's `lc_monetary`.
    decimals: int = 2
    #: `COMMENT ON COLUMN`; for people only.
    comment: str = dataclasses.field(default="", compare=False)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class UniqueKey:
    """A unique index without predicate or expression."""

    columns: tuple[str, ...]
    nulls_distinct: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ForeignKey:
    """An enforced foreign key; tables are `(schema, name)`."""

    child: tuple[str, str]
    columns: tuple[str, ...]
    parent: tuple[str, str]
    parent_columns: tuple[str, ...]
    #: If the parent references the child, directly or not: `closed` if all columns on the path are NOT NULL, or `open`.
    circle: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """A CHECK constraint and the columns that it reads."""

    name: str
    expression: str
    columns: frozenset[str]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RewriteRule:
    """A rewrite rule (CREATE RULE) for writes."""

    name: str
    #: `INSERT`, `UPDATE` or `DELETE`.
    event: str
    instead: bool


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """One table, view or foreign table."""

    schema: str
    name: str
    oid: int
    #: `pg_class.relkind`.
    kind: str
    columns: tuple[Column, ...]
    #: Other tables inherit from it. A query reads their rows too, but unique indexes do not cover them.
    has_children: bool = False
    primary_key: tuple[str, ...] = ()
    #: The primary key included.
    unique_keys: tuple[UniqueKey, ...] = ()
    references: tuple[ForeignKey, ...] = ()
    referenced_by: tuple[ForeignKey, ...] = ()
    checks: tuple[Check, ...] = ()
    rules: tuple[RewriteRule, ...] = ()

    @property
    def splits_by_inheritance(self) -> bool:
        """Whether the table may be partitioned by inheritance, as before PostgreSQL 10."""
        return self.has_children and self.kind == PLAIN

    @property
    def identifier(self) -> sql.Identifier:
        """Schema and name, quoted."""
        return sql.Identifier(self.schema, self.name)

    def column(self, name: str) -> Column | None:
        """Returns the column of that name, or None."""
        return next((column for column in self.columns if column.name == name), None)

    def required(self, name: str) -> Column:
        """Returns the column of that name; raises `SchemaMismatchError` if it does not exist."""
        column = self.column(name)
        if column is None:
            raise SchemaMismatchError(
                f"Table `{self.schema}.{self.name}` has no column `{name}`, which its spec needs. "
                f"It has: {', '.join(column.name for column in self.columns)}."
            )
        return column

    def is_unique(self, columns: Iterable[str]) -> bool:
        """Whether a unique index guarantees that these columns differ between rows, NULLs excepted."""
        wanted = set(columns)
        return not self.has_children and any(set(key.columns) <= wanted for key in self.unique_keys)


def schema_and_name(name: str) -> tuple[str, str]:
    """Split `schema.table`; without a schema the table is in `public`, whatever the search path."""
    schema, dot, table = name.partition(".")
    return (schema, table) if dot else ("public", name)


def read_tables(cursor: Cursor, names: Iterable[str]) -> dict[str, Table]:
    """Returns the tables of these names that exist and that the role may look up."""
    wanted = tuple(names)
    cursor.execute(*catalog_query(wanted))
    return parse_catalog(wanted, cursor.fetchall())


def catalog_query(names: Sequence[str]) -> Query:
    """The query whose rows `parse_catalog` takes."""
    return load(__package__, "catalog.sql"), table_names(names)


def table_names(names: Sequence[str]) -> dict[str, list[str]]:
    """Returns the parameters of a catalog query about these tables."""
    wanted = [schema_and_name(name) for name in names]
    return {"schemas": [schema for schema, _ in wanted], "names": [table for _, table in wanted]}


def parse_catalog(names: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> dict[str, Table]:
    """Returns the tables of these names that exist, from the rows of `catalog_query`."""
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
