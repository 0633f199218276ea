"""Hold the two catalogs against a spec: which columns travel, how, and what is compared."""

import dataclasses
import hashlib
from collections.abc import Iterable
from typing import LiteralString

from psycopg import sql

from powerca_sync.engine.mapping.conversion import comparable, has_one_value, tells_apart
from powerca_sync.engine.mapping.tenancy import Scope
from powerca_sync.engine.postgres import Column, ForeignKey, Table
from powerca_sync.errors import SchemaMismatchError
from powerca_sync.tables import OWNER, STAMPS, Reference, Strategy, TableSpec


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SyncedColumn:
    """A column that travels."""

    #: As the target has it.
    column: Column
    #: As the source has it.
    source: Column
    #: SQL over the source's row, alias `s`.
    source_expression: sql.Composable
    #: Template over the staged row, as in `Conversion.lossless_check`.
    lossless_check: LiteralString | None = None
    #: Staging column that holds the source's text, where `lossless_check` needs it.
    source_text: str | None = None

    @property
    def name(self) -> str:
        """The column's name on both sides."""
        return self.column.name


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ExtraColumn:
    """What staging holds of a row beside its columns, because only the source can tell it."""

    #: A staging column; its name has a colon, as no table's column may (`fitness.WORKING_NAMES`).
    name: str
    type: LiteralString
    #: SQL over the source's row, alias `s`.
    source_expression: sql.Composable
    #: Whether a row in quarantine is known by it, besides its key.
    identifies: bool = False


#: Of a table.
MOST_COLUMNS = 1600
#: Says whether the row's own `source` names the phones.
FROM_PHONE = "from:phone"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TableMapping:
    """One table, its two ends, and how rows get from one to the other."""

    spec: TableSpec
    scope: Scope
    source: Table
    target: Table
    #: In the target's order; stamps included where both sides have them.
    synced: tuple[SyncedColumn, ...]
    #: Source columns that stay behind because the target has no such column.
    ignored: tuple[str, ...] = ()
    extra_columns: tuple[ExtraColumn, ...] = ()
    #: What else gives the source's values their meaning: the time zone and the encoding in which they are read.
    reading: tuple[str | None, ...] = ()
    #: A condition on the target's row `t`: which of them a merge looks at, the others being known to be as they should.
    merge_filter: sql.Composable = dataclasses.field(default_factory=lambda: sql.SQL("TRUE"))

    def __post_init__(self) -> None:
        texts = sum(column.source_text is not None for column in self.synced)
        width = len(self.staged) + texts + len(self.extra_columns)
        if width > MOST_COLUMNS:
            raise SchemaMismatchError(
                f"Table `{self.spec.mobile}` needs a working table of {width} columns, and PostgreSQL's limit is "
                f"{MOST_COLUMNS}: {len(self.staged)} columns travel, and {texts} of them need their text beside them, "
                "because their types or lengths are not the same on both sides. Make them the same, or skip some in "
                "the spec."
            )

    @property
    def has_owner(self) -> bool:
        """Whether target rows say who wrote them; without that, all of the office's rows are desktop-owned."""
        return self.target.column(OWNER) is not None

    @property
    def source_has_owner(self) -> bool:
        """Whether source rows say who wrote them, so that pulled phone rows can be told."""
        return self.source.column(OWNER) is not None

    @property
    def key(self) -> tuple[Column, ...]:
        """The key's columns, as the target has them."""
        return tuple(self.target.required(name) for name in self.spec.key)

    @property
    def keys_stay_apart(self) -> bool:
        """Whether rows that have different keys at the source have different keys at the target."""
        computed = {expression.column for expression in self.spec.expressions}
        keys = [column for column in self.synced if column.name in self.spec.key]
        return all(column.name not in computed and tells_apart(column.source, column.column) for column in keys)

    @property
    def computed(self) -> tuple[SyncedColumn, ...]:
        """The columns that expressions of the spec compute, which may raise for a row."""
        names = {expression.column for expression in self.spec.expressions}
        return tuple(column for column in self.synced if column.name in names)

    @property
    def staged(self) -> tuple[Column, ...]:
        """The target columns that staging holds: synced ones and lookups."""
        looked_up = {lookup.column for lookup in self.spec.lookups}
        names = {column.name for column in self.synced} | looked_up
        return tuple(column for column in self.target.columns if column.name in names)

    @property
    def content(self) -> tuple[Column, ...]:
        """The columns by which rows are compared: never stamps, nor what the phones own."""
        left_out = {*STAMPS, *self.spec.mobile_owned}
        if self.spec.strategy is Strategy.UPSERT:
            # Equal already, because they pair the rows; comparing their text would see 5 and 5.00 as a change. Other
            # types have equal keys that are two values to people: `a` and `A` of citext, 1 day and 24 hours.
            left_out |= {column.name for column in self.key if has_one_value(column)}
        return tuple(column for column in self.staged if column.name not in left_out)

    @property
    def fingerprint(self) -> str:
        """Changes when the columns of either side, or what the spec does with them, change."""
        facts = [
            self.source.oid,
            self.target.oid,
            self.spec.strategy,
            self.spec.key,
            [column.name for column in self.content],
            [
                (column.name, column.source.type, column.column.type, column.source_expression.as_string())
                for column in self.synced
            ],
            [(lookup.column, lookup.table, lookup.match, lookup.answer) for lookup in self.spec.lookups],
            # PostgreSQL adds a column with a default without touching the rows.
            [(column.name, column.number) for column in self.source.columns],
            [(column.name, column.labels) for one in (self.source, self.target) for column in one.columns],
            self.reading,
        ]
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]

    def with_merge_filter(self, rows: sql.Composable) -> "TableMapping":
        """Returns the same mapping for a merge that looks only at those of its rows for which the condition holds."""
        return dataclasses.replace(self, merge_filter=sql.SQL("{} AND {}").format(self.merge_filter, rows))

    def row(self, alias: str, columns: Iterable[Column]) -> sql.Composed:
        """`ROW(...)` of columns in a form whose equality is equality of their text."""
        values = (comparable(sql.Identifier(alias, column.name), column) for column in columns)
        return sql.SQL("ROW({})").format(sql.SQL(", ").join(values))

    def in_office(self, alias: str) -> sql.Composable:
        """A condition on `alias`, a target or staged row: it belongs to this office."""
        return self.scope.holds(self.spec, alias)

    def owner(self, alias: str) -> sql.Composable:
        """Who wrote the target row `alias`, as text."""
        return sql.SQL("{}::text").format(sql.Identifier(alias, OWNER)) if self.has_owner else sql.SQL("'D'")

    def checked_references(self) -> tuple[Reference, ...]:
        """The spec's references whose column travels; the others have nothing to check."""
        names = {column.name for column in self.staged}
        return tuple(
            reference for reference in self.spec.references if not reference.order_only and reference.column in names
        )

    def enforced_references(self) -> tuple[ForeignKey, ...]:
        """The target's own foreign keys over travelling columns."""
        names = {column.name for column in self.staged}
        return tuple(key for key in self.target.references if names.issuperset(key.columns))

    def deferrable_columns(self) -> tuple[tuple[ForeignKey, Column], ...]:
        """The target's own foreign keys whose parent refers back, each with a column that may be filled in later."""
        fixed = {*self.spec.key, self.spec.office}
        found = []
        for key in self.enforced_references() if self.spec.key else ():
            columns = [self.target.required(name) for name in key.columns if name not in fixed]
            nullable = [column for column in columns if column.nullable]
            if key.circle and nullable:
                found.append((key, nullable[0]))
        return tuple(found)

    def stamp(self, name: str) -> bool:
        """Whether the target has that stamp column."""
        column = self.target.column(name) if name in STAMPS else None
        return column is not None and not column.generated
