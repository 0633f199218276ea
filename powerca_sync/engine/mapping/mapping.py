"""Hold the two catalogs against a spec: which columns travel, how, and what is compared."""

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import LiteralString

from psycopg import sql

from powerca_sync.engine.mapping.compatibility import (
    check_columns,
    check_equality,
    check_money,
    check_names,
    check_stamps,
)
from powerca_sync.engine.mapping.conversion import Conversion, comparable, conversion, has_one_value, tells_apart
from powerca_sync.engine.mapping.resolution import unreadable_columns
from powerca_sync.engine.mapping.tenancy import Scope
from powerca_sync.engine.postgres import PARTITIONED, PLAIN, Column, ForeignKey, Table
from powerca_sync.errors import SchemaMismatchError
from powerca_sync.tables import OWNER, PHONE, STAMPS, Reference, Strategy, TableSpec


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


def map_table(spec: TableSpec, *, sources: Mapping[str, Table], scope: Scope) -> TableMapping:
    """Returns the mapping of one table.

    `spec` and the specs of `scope` are resolved; `sources` has the source's tables by desktop name, `scope` the
    target's. Raises `SchemaMismatchError`, which says what the two databases and the spec disagree on.
    """
    if spec.desktop not in sources:
        raise SchemaMismatchError(f"Table `{spec.desktop}` does not exist on the desktop, or its user may not see it.")
    source, target = sources[spec.desktop], scope.table(spec.mobile)
    if target.kind not in (PLAIN, PARTITIONED):
        raise SchemaMismatchError(f"`{spec.mobile}` is not a table at the target, which rows could be merged into.")
    if spec.strategy is Strategy.DELETE_INSERT and target.column(OWNER) is None:
        raise SchemaMismatchError(
            f"Table `{spec.mobile}` has no column `{OWNER}` at the target, so that phone rows could not be told from "
            "desktop rows. Add the column, or use the strategy UPSERT."
        )
    check_columns(spec, source, target)
    check_names(target)
    check_equality(spec, target)
    check_stamps(target)
    check_money(spec, source, target)
    looked_up = {lookup.column for lookup in spec.lookups}
    left_behind = spec.skip | looked_up | {OWNER} | set(spec.constants)
    synced: list[SyncedColumn] = []
    for column in target.columns:
        from_source = source.column(column.name)
        if from_source is None or column.name in left_behind or not _writable(spec, target, column):
            continue
        synced.append(_synced(spec, from_source, column, place=len(synced)))
    travelling = {column.name for column in synced}
    if spec.office is not None and not spec.defines_offices and spec.office not in travelling:
        raise SchemaMismatchError(
            f"Table `{spec.mobile}`: column `{spec.office}` leads to the office, but the target or the spec keeps it "
            "from travelling. Make it a plain column that is neither skipped nor filled otherwise."
        )
    if not synced:
        raise SchemaMismatchError(f"Table `{spec.mobile}` has no column in common with `{spec.desktop}`.")
    return TableMapping(
        spec=spec,
        scope=scope,
        source=source,
        target=target,
        synced=tuple(synced),
        ignored=tuple(
            column.name
            for column in source.columns
            if target.column(column.name) is None and column.name not in left_behind
        ),
        extra_columns=(_from_phone(source),) if source.column(OWNER) else (),
    )


def map_back(
    spec: TableSpec, *, source: Table, target: Table, scope: Scope, extra_columns: Sequence[ExtraColumn] = ()
) -> TableMapping:
    """The mapping for the phones' rows of one table on their way back: every column that both sides have.

    Nothing of the spec but its key, its expressions and what stays behind means anything there: the source has no
    references to check that the target does not enforce itself. Raises `SchemaMismatchError` where the two sides
    disagree.
    """
    back = dataclasses.replace(
        spec,
        desktop=spec.mobile,
        mobile=spec.desktop,
        strategy=Strategy.DELETE_INSERT,
        references=(),
        lookups=(),
        expressions=tuple(
            dataclasses.replace(one, forward=one.reverse, reverse=one.forward) for one in spec.expressions
        ),
        constants={},
        mobile_owned=frozenset(),
        office=None,
        defines_offices=False,
    )
    if target.kind not in (PLAIN, PARTITIONED):
        raise SchemaMismatchError(f"`{spec.desktop}` is not a table at the target, which rows could be inserted into.")
    for rule in target.rules:
        if rule.event == "INSERT":
            raise SchemaMismatchError(
                f"`{spec.desktop}` has the rule `{rule.name}` (CREATE RULE) for INSERT, behind which it does not show "
                "what became of a row. Make it a trigger."
            )
    source.required(OWNER)
    check_names(target)
    for name in spec.key:
        source.required(name)
        target.required(name)
    check_equality(spec, target)
    check_money(back, source, target)
    synced: list[SyncedColumn] = []
    for column in target.columns:
        from_source = source.column(column.name)
        if from_source is None or column.name in spec.skip or column.generated or column.identity == "a":
            continue
        synced.append(_synced(back, from_source, column, place=len(synced)))
    for expression in back.expressions:
        if lacking := unreadable_columns(expression.forward, source):
            raise SchemaMismatchError(
                f"Table `{spec.mobile}`: the spec computes `{expression.column}` for the desktop from "
                f"{', '.join(lacking)}, which mobile lacks. Add the column on mobile, or change the expression."
            )
    if not {column.name for column in synced}.issuperset(spec.key):
        # A key that the target makes itself says nothing of the phone's row.
        back = dataclasses.replace(back, key=())
    return TableMapping(
        spec=back, scope=scope, source=source, target=target, synced=tuple(synced), extra_columns=tuple(extra_columns)
    )


def _from_phone(source: Table) -> ExtraColumn:
    return ExtraColumn(
        name=FROM_PHONE,
        type="boolean",
        source_expression=sql.SQL("coalesce({}::text = {}, false)").format(
            sql.Identifier("s", source.required(OWNER).name), PHONE
        ),
    )


#: Types whose text in COPY is that of a cast to text (`char(n)` aside from its padding).
_COPIED_AS_CAST = frozenset(
    {"int2", "int4", "int8", "numeric", "text", "varchar", "bpchar", "uuid", "date", "timestamp", "timestamptz"}
)


def _writable(spec: TableSpec, target: Table, column: Column) -> bool:
    """Whether the source's value may be written: not what the target makes itself."""
    if column.generated or column.identity == "a":
        return False
    surrogate = column.name in target.primary_key and column.name not in spec.key
    return not (surrogate and (len(target.primary_key) == 1 or column.has_default))


def _synced(spec: TableSpec, source: Column, target: Column, *, place: int) -> SyncedColumn:
    for expression in spec.expressions:
        if expression.column == target.name:
            # Reviewed by a person: the value is what the expression makes of it.
            # But it may not lose one: the time of a row without a date.
            return SyncedColumn(
                column=target,
                source=source,
                source_expression=sql.SQL("({})").format(sql.SQL(expression.forward)),
                lossless_check="({value} IS NULL) = ({text} IS NULL)",
                source_text=f"raw:{place}",
            )
    try:
        how = Conversion() if target.name in STAMPS else conversion(source, target)
    except SchemaMismatchError as exc:
        raise SchemaMismatchError(f"Table `{spec.mobile}`: {exc}") from None
    # A key is kept as the source's cast to text has it, so that its row can be found there again: COPY says `t` where
    # the cast says `true`.
    as_cast = source.type == target.type and source.base in _COPIED_AS_CAST
    kept = how.lossless_check is not None or (target.name in spec.key and not as_cast)
    return SyncedColumn(
        column=target,
        source=source,
        source_expression=sql.SQL(how.source_expression).format(value=sql.Identifier("s", source.name)),
        lossless_check=how.lossless_check,
        source_text=f"raw:{place}" if kept else None,
    )
