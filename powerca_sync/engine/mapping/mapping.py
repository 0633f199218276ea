"""A mapped table: source and target, the synced columns, and the columns by which rows are compared."""

import dataclasses
import enum
import hashlib
from collections.abc import Iterable
from typing import LiteralString

from psycopg import sql

from powerca_sync.engine.mapping.conversion import distinguishable, has_one_value, tells_apart
from powerca_sync.engine.mapping.tenancy import Scope, belongs
from powerca_sync.engine.postgres import Column, ForeignKey, Table
from powerca_sync.errors import SchemaMismatchError
from powerca_sync.plain_text import counted
from powerca_sync.specs import OWNER, STAMPS, Lookup, Reference, Strategy, TableSpec


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SyncedColumn:
    """A column that is copied from the source to the target."""

    #: The target's column.
    column: Column
    #: The source's column.
    source: Column
    #: SQL over the source's row, alias `s`.
    source_expression: sql.Composable
    #: Template over the staged row, as in `Conversion.lossless_check`.
    lossless_check: LiteralString | None = None
    #: Staging column with the source's text, if `lossless_check` needs it.
    source_text: str | None = None
    #: The value is not the source's column: an expression of the spec computes it, and may raise for a row. The table
    #: is then copied as text, digests take the expression, and a key with such a column is not taken as unique.
    computed: bool = False

    @property
    def name(self) -> str:
        """The column's name, the same on both sides."""
        return self.column.name


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ExtraColumn:
    """A column that staging has besides those of the target, with a value that only the source knows."""

    #: Has a colon, unlike the columns of synced tables (`compatibility.WORKING_NAMES`).
    name: str
    type: LiteralString
    #: SQL over the source's row, alias `s`.
    source_expression: sql.Composable
    #: Identifies quarantined rows, besides the key.
    identifies: bool = False


class Direction(enum.Enum):
    """The direction of a sync."""

    FORWARD = "from desktop to mobile"
    REVERSE = "from mobile to desktop"


#: PostgreSQL's limit for a table.
MOST_COLUMNS = 1600
#: Extra column: the row's own `source` says that a phone wrote it.
FROM_PHONE = "from:phone"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TableMapping:
    """One table of both databases, and how rows of the source become rows of the target.

    Ask the mapping instead of the spec for what depends on the direction: the key, strategy, lookups, references and
    mobile-owned columns of a spec say how rows come to mobile, and a reverse run only inserts.
    """

    #: The resolved spec, the same for both directions.
    spec: TableSpec
    direction: Direction
    scope: Scope
    source: Table
    target: Table
    #: In the target's order, including stamps that both sides have.
    synced: tuple[SyncedColumn, ...]
    #: The columns that identify a row on both sides; none if the target generates one of them.
    key_names: tuple[str, ...]
    #: Source columns that the target lacks.
    ignored: tuple[str, ...] = ()
    extra_columns: tuple[ExtraColumn, ...] = ()
    #: Time zone and encoding in which the source is read, which also determine values.
    reading: tuple[str | None, ...] = ()
    #: Rows are told apart by a hash of their text instead of one of their columns.
    hashes_text: bool = False
    #: A condition on the target's row `t`: rows that a merge compares; the others are known to be up to date.
    merge_filter: sql.Composable = dataclasses.field(default_factory=lambda: sql.SQL("TRUE"))

    def __post_init__(self) -> None:
        texts = sum(column.source_text is not None for column in self.synced)
        width = len(self.staged) + texts + len(self.extra_columns)
        if width > MOST_COLUMNS:
            raise SchemaMismatchError(
                f"Table `{self.table}` needs a working table of {counted(width, 'column')}, and PostgreSQL's "
                f"limit is {MOST_COLUMNS}: {counted(len(self.staged), 'column')} to sync, and a second one for "
                f"{texts} of them, because types or lengths differ between the databases. Make them the same, or "
                "skip some in the spec."
            )

    @property
    def is_forward(self) -> bool:
        """Returns whether rows go from the desktop to mobile."""
        return self.direction is Direction.FORWARD

    @property
    def table(self) -> str:
        """The target's table, by the name that state and messages have for it."""
        return self.spec.mobile if self.is_forward else self.spec.desktop

    @property
    def pairs_by_key(self) -> bool:
        """Returns whether rows are paired by the key, and a pair that differs is updated."""
        return self.is_forward and self.spec.strategy is Strategy.UPSERT

    @property
    def lookups(self) -> tuple[Lookup, ...]:
        """The columns that the target fills from its other tables."""
        return self.spec.lookups if self.is_forward else ()

    @property
    def references(self) -> tuple[Reference, ...]:
        """The references of the spec that filter rows; on the desktop only its own foreign keys do."""
        return self.spec.references if self.is_forward else ()

    @property
    def mobile_owned(self) -> frozenset[str]:
        """The columns whose value on mobile is kept."""
        return self.spec.mobile_owned if self.is_forward else frozenset()

    @property
    def has_owner(self) -> bool:
        """Whether the target has the column `source`; without it all of the office's rows are desktop-owned."""
        return self.target.column(OWNER) is not None

    @property
    def source_has_owner(self) -> bool:
        """Whether the source has the column `source`, which marks reverse-synced rows."""
        return self.source.column(OWNER) is not None

    @property
    def key(self) -> tuple[Column, ...]:
        """The target's columns of the key."""
        return tuple(self.target.required(name) for name in self.key_names)

    @property
    def keys_stay_apart(self) -> bool:
        """Whether rows that have different keys at the source have different keys at the target."""
        keys = [column for column in self.synced if column.name in self.key_names]
        return all(not column.computed and tells_apart(column.source, column.column) for column in keys)

    @property
    def computed(self) -> tuple[SyncedColumn, ...]:
        """The synced columns that expressions of the spec compute."""
        return tuple(column for column in self.synced if column.computed)

    @property
    def staged(self) -> tuple[Column, ...]:
        """The target's columns that staging has: synced ones and lookups."""
        looked_up = {lookup.column for lookup in self.lookups}
        names = {column.name for column in self.synced} | looked_up
        return tuple(column for column in self.target.columns if column.name in names)

    @property
    def content(self) -> tuple[Column, ...]:
        """The columns by which rows are compared; stamps and mobile-owned columns are not."""
        left_out = {*STAMPS, *self.mobile_owned}
        if self.pairs_by_key:
            # Rows are paired by equal keys, so that 5 and 5.00 is no change. Keys of other types may be equal and still
            # be different values for people: `a` and `A` of citext, 1 day and 24 hours.
            left_out |= {column.name for column in self.key if has_one_value(column)}
        return tuple(column for column in self.staged if column.name not in left_out)

    @property
    def fingerprint(self) -> str:
        """A hash of the columns of both sides and of the conversion; a full run is needed when it changes."""
        facts = [
            self.source.oid,
            self.target.oid,
            Strategy.UPSERT if self.pairs_by_key else Strategy.DELETE_INSERT,
            self.key_names,
            [column.name for column in self.content],
            [
                (column.name, column.source.type, column.column.type, column.source_expression.as_string())
                for column in self.synced
            ],
            [(lookup.column, lookup.table, lookup.match, lookup.answer) for lookup in self.lookups],
            # PostgreSQL adds a column with a default without changing the rows.
            [(column.name, column.number) for column in self.source.columns],
            [(column.name, column.labels) for one in (self.source, self.target) for column in one.columns],
            self.reading,
        ]
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]

    def with_merge_filter(self, rows: sql.Composable) -> "TableMapping":
        """Returns the mapping for a merge that compares only rows that also satisfy the condition `rows`."""
        return dataclasses.replace(self, merge_filter=sql.SQL("{} AND {}").format(self.merge_filter, rows))

    def row(self, alias: str, columns: Iterable[Column]) -> sql.Composed:
        """`ROW(...)` of columns in a form that is equal if and only if the texts are equal."""
        values = (distinguishable(sql.Identifier(alias, column.name), column) for column in columns)
        return sql.SQL("ROW({})").format(sql.SQL(", ").join(values))

    def in_office(self, alias: str) -> sql.Composable:
        """A condition on `alias`, a target or staged row: it belongs to this office."""
        return self.scope.holds(self.spec, alias) if self.is_forward else sql.SQL("TRUE")

    def counts(self, alias: str) -> sql.Composable:
        """A condition on the target row `alias`: it is among the rows of this office that figures count."""
        return belongs(self.spec, self.scope, alias, self.owner(alias))

    def owner(self, alias: str) -> sql.Composable:
        """The owner of the target row `alias`, as text."""
        return sql.SQL("{}::text").format(sql.Identifier(alias, OWNER)) if self.has_owner else sql.SQL("'D'")

    def checked_references(self) -> tuple[Reference, ...]:
        """The spec's references over staged columns, except order-only ones."""
        names = {column.name for column in self.staged}
        return tuple(
            reference for reference in self.references if not reference.order_only and reference.column in names
        )

    def enforced_references(self) -> tuple[ForeignKey, ...]:
        """The target's foreign keys over staged columns."""
        names = {column.name for column in self.staged}
        return tuple(key for key in self.target.references if names.issuperset(key.columns))

    def deferrable_columns(self) -> tuple[tuple[ForeignKey, Column], ...]:
        """The target's foreign keys whose parent references the table, each with a column that may be written later."""
        fixed = {*self.key_names, self.spec.office}
        found = []
        for key in self.enforced_references() if self.key_names else ():
            columns = [self.target.required(name) for name in key.columns if name not in fixed]
            nullable = [column for column in columns if column.nullable]
            if key.circle and nullable:
                found.append((key, nullable[0]))
        return tuple(found)

    def stamp(self, name: str) -> bool:
        """Whether the target has this stamp column, and a run may write it."""
        column = self.target.column(name) if name in STAMPS else None
        return column is not None and not column.generated
