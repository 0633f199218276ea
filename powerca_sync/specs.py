"""The declaration of a synced table: `TableSpec`, its parts, and the order of several.

A spec declares intent only. Columns and types are read from both catalogs in every run, so that a column added to both
databases is synced without a change of the spec.
"""

import dataclasses
import difflib
import enum
import re
from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Final, Literal

from powerca_sync.errors import ConfigurationError

#: The column that names the owner of a mobile row, and its two values; a row with any other value is unowned.
OWNER = "source"
DESKTOP = "D"
PHONE = "M"
#: By convention, rows that an administrator's script created on mobile, such as "no concern".
ADMINISTRATOR = "S"
#: Filled by the sync and by triggers; they never make two rows different.
CREATED, UPDATED = STAMPS = ("created_at", "updated_at")
#: Phone rows are reverse-synced by the command or by the job started by hand, never by the sensor or the schedule.
BY_HAND: Final = "by_hand"

#: PostgreSQL keeps values of up to 8 kB inline, compressed at most 256 times. Below this limit their size would have to
#: be measured by decompressing them.
LEAST_MAX_ROW_BYTES = 2 * 1024 * 1024


class Strategy(enum.StrEnum):
    """The way in which staged rows are merged into the mobile table."""

    #: The desktop makes the key: rows pair by key.
    UPSERT = "UPSERT"
    #: The mobile side makes the key: rows pair by content, then by key and ordinal.
    DELETE_INSERT = "DELETE_INSERT"


class Category(enum.StrEnum):
    """Reference data (always read in full) or day-to-day records."""

    MASTERS = "masters"
    TRANSACTIONAL = "transactional"


class Cursor(enum.StrEnum):
    """The means by which an incremental run finds its change set."""

    #: PostgreSQL's row version; needs no columns, triggers or clocks.
    XMIN = "xmin"
    #: `updated_at` and `created_at`, as the desktop's triggers keep them.
    TIMESTAMP = "timestamp"


class Deletes(enum.StrEnum):
    """Treatment of stale rows of an `UPSERT` table: rows of mobile that the desktop no longer has."""

    KEEP = "keep"
    PROPAGATE = "propagate"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """A column whose value is the key of a row of another synced table."""

    #: The column on mobile.
    column: str
    #: The mobile name of the referenced table.
    parent: str
    #: The referenced column; the same name if empty.
    parent_column: str = ""
    #: Whether 0 means "no reference", as NULL always does.
    zero_is_none: bool = False
    #: An order-only dependency: the parent is synced first, and rows without a parent are allowed.
    order_only: bool = False

    @property
    def names(self) -> str:
        """The referenced column of the parent."""
        return self.parent_column or self.column


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Lookup:
    """A mobile column that is filled from another mobile table of the same office.

    Of several matching rows, desktop-owned ones win, then the one with the lowest value.
    """

    #: The column to fill.
    column: str
    #: The mobile name of the other table.
    table: str
    #: The column, of both tables, whose values have to be equal.
    match: str
    #: The column of the other table whose value is taken; the same name as `column` if empty.
    value: str = ""

    @property
    def answer(self) -> str:
        """The column of the other table whose value is taken."""
        return self.value or self.column


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Expression:
    """A column that needs a conversion of its own, which PostgreSQL's casts would refuse or get wrong.

    Used only where the types of the two columns differ: a column of the same type is synced unchanged.
    """

    #: The column, of the same name on both sides.
    column: str
    #: SQL over the desktop's row that returns the mobile value.
    forward: str
    #: SQL over the mobile row that returns the desktop's value.
    reverse: str


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TableSpec:
    """The declared intent for one table."""

    #: Name on the desktop, `schema.table` outside `public`; a view can be read as well.
    desktop: str
    #: The desktop's table that takes phone rows, if `desktop` is another relation, such as a view; `desktop` if empty.
    reverse_into: str = ""
    #: Name on mobile; the same name if empty.
    mobile: str = ""
    #: The content of the table, for people in an office.
    description: str
    #: Words by which people search for the table in Dagster's UI: letters, digits, `_`, `-` and `.`.
    topics: tuple[str, ...] = ()
    #: E-mail addresses, or names of teams as `team:office`, of those who answer for the table.
    owners: tuple[str, ...] = ("team:office",)
    #: Group of the mobile table in Dagster's UI; the category if empty.
    group: str = ""
    #: Parts in front of the name in the keys of the table's assets: letters, digits and `_`.
    key_prefix: tuple[str, ...] = ()
    #: Descriptions of mobile columns in Dagster's UI; a comment in the database (`COMMENT ON COLUMN`) wins.
    column_comments: Mapping[str, str] = dataclasses.field(default_factory=dict)
    #: Cron string, in the office's time, of the deadlines by which the mobile table has been synced on the same day,
    #: such as `0 9 * * 1-6`. If empty, the table is late after 24 hours.
    fresh_by: str = ""
    category: Category
    strategy: Strategy
    #: The columns that identify a row on the desktop; they may repeat and may be NULL. `UPSERT` needs at least one.
    key: tuple[str, ...] = ()
    references: tuple[Reference, ...] = ()
    lookups: tuple[Lookup, ...] = ()
    expressions: tuple[Expression, ...] = ()
    #: Desktop columns that are not synced.
    skip: frozenset[str] = frozenset()
    #: Mobile columns, in addition to `source`, that get a fixed value when a row is inserted.
    constants: Mapping[str, str] = dataclasses.field(default_factory=dict)
    #: Columns that phones change: written on insert, never updated. A different value on the desktop is reported.
    mobile_owned: frozenset[str] = frozenset()
    #: Masked in every sample, log and message.
    sensitive: frozenset[str] = frozenset()
    #: The column that holds the office's key, or that references a table from which the office follows. None: the
    #: table belongs to the office that syncs it.
    office: str | None = "org_id"
    #: Whether the rows of this table are the organisations; one table of a set has it.
    defines_offices: bool = False
    #: The column that names the author: phone rows without an office belong to the office of the referenced author.
    made_by: str | None = None
    #: Whether phone rows are reverse-synced: automatically, `by_hand` only, or not at all.
    reverse: bool | Literal["by_hand"] = True
    deletes: Deletes = Deletes.KEEP
    cursor: Cursor = Cursor.XMIN
    #: Rows of more bytes are quarantined without their content, in both directions. Bounds the memory of a run.
    max_row_bytes: int = 8 * 1024 * 1024
    #: Share of rows quarantined for a dangling reference above which the check `foreign_keys` warns.
    warn_share: float = 0.01
    #: Share of quarantined rows above which, when they are more than `limit_rows`, the run is rolled back.
    limit_share: float = 0.20
    limit_rows: int = 20
    #: A run that would delete more than the larger of share and number is rolled back.
    mass_delete_share: float = 0.05
    mass_delete_rows: int = 20
    #: A run that would insert more than both, as a share of the office's rows and as a number, is rolled back; first
    #: loads are exempt.
    mass_insert_share: float = 0.50
    mass_insert_rows: int = 1_000
    #: A run that would set more than both of a column's values to NULL, as a share and as a number, is rolled back.
    emptied_share: float = 0.20
    emptied_rows: int = 20

    def __post_init__(self) -> None:
        if not self.mobile:
            object.__setattr__(self, "mobile", self.desktop)
        if self.reverse not in (True, False, BY_HAND):
            raise ConfigurationError(
                f"Table `{self.mobile}`: `reverse` is {self.reverse!r}. Use True, False or {BY_HAND!r}."
            )
        if self.key_prefix[:1] in (("desktop",), ("reverse",)) or not all(
            re.fullmatch(r"\w+", part, re.ASCII) for part in self.key_prefix
        ):
            raise ConfigurationError(
                f"Table `{self.mobile}`: `key_prefix` is {self.key_prefix!r}. Use letters, digits and `_`, and not "
                "`desktop` or `reverse` first, which tell the assets of a table apart."
            )
        if self.max_row_bytes < LEAST_MAX_ROW_BYTES:
            raise ConfigurationError(
                f"Table `{self.mobile}`: `max_row_bytes` is {self.max_row_bytes}. Use a number of at least "
                f"{LEAST_MAX_ROW_BYTES}."
            )
        if self.strategy is Strategy.UPSERT and not self.key:
            raise ConfigurationError(f"Table `{self.mobile}`: UPSERT needs a key. Name its columns in `key`.")

    @property
    def phone_table(self) -> str:
        """Desktop name of the table that takes phone rows; the ledger's name of the table."""
        return self.reverse_into or self.desktop

    @property
    def depends_on(self) -> tuple[str, ...]:
        """Mobile names of the tables that are synced before this one, each once, in declared order."""
        names = [reference.parent for reference in self.references] + [lookup.table for lookup in self.lookups]
        return tuple(dict.fromkeys(name for name in names if name != self.mobile))

    @property
    def follows_deletes(self) -> bool:
        """Whether a row that the desktop no longer has is deleted on mobile."""
        return self.strategy is Strategy.DELETE_INSERT or self.deletes is Deletes.PROPAGATE


def needed_tables(spec: TableSpec) -> tuple[str, ...]:
    """Returns the mobile names of tables in checked references and lookups of `spec`, each once."""
    names = [reference.parent for reference in spec.references if not reference.order_only]
    names += [lookup.table for lookup in spec.lookups]
    return tuple(dict.fromkeys(name for name in names if name != spec.mobile))


def in_order(specs: Iterable[TableSpec]) -> tuple[TableSpec, ...]:
    """Returns the specs in an order in which every table follows the tables that it depends on.

    Raises `ConfigurationError` for a name used twice, a dependency without a spec, a circle, more than one table with
    `defines_offices`, or a `made_by` without a reference.
    """
    by_name: dict[str, TableSpec] = {}
    for spec in specs:
        if by_name.setdefault(spec.mobile, spec) is not spec:
            raise ConfigurationError(f"Two specs have the mobile name `{spec.mobile}`. Remove one of them.")
    for spec in by_name.values():
        for name in spec.depends_on:
            spec_named(by_name.values(), name)
        if spec.made_by is not None and all(one.column != spec.made_by for one in spec.references):
            raise ConfigurationError(
                f"Table `{spec.mobile}`: `made_by` names `{spec.made_by}`, for which there is no reference. Add one."
            )
    if sum(spec.defines_offices for spec in by_name.values()) > 1:
        raise ConfigurationError("More than one spec has `defines_offices`. Keep it on the table of offices only.")
    graph = TopologicalSorter({spec.mobile: spec.depends_on for spec in by_name.values()})
    try:
        return tuple(by_name[name] for name in graph.static_order())
    except CycleError as exc:
        raise ConfigurationError(f"Tables depend on each other in a circle: {' -> '.join(exc.args[1])}.") from exc


def read_from(specs: Sequence[TableSpec], relations: Mapping[str, str]) -> tuple[TableSpec, ...]:
    """Returns the specs with the desktop relation that `relations` has for their mobile name.

    Phone rows still go to the declared table, except for organisations, which are then not reverse-synced. Raises
    `ConfigurationError` for a name without a spec.
    """
    for name in relations:
        spec_named(specs, name)
    return tuple(
        dataclasses.replace(
            spec,
            desktop=relations[spec.mobile],
            reverse_into=spec.phone_table,
            reverse=spec.reverse if not spec.defines_offices else False,
        )
        if spec.mobile in relations
        else spec
        for spec in specs
    )


def spec_named(specs: Iterable[TableSpec], mobile: str) -> TableSpec:
    """Returns the spec with that mobile name.

    Raises `ConfigurationError`, with the nearest and all known names, if no spec has the name.
    """
    known = {spec.mobile: spec for spec in specs}
    if mobile in known:
        return known[mobile]
    near = difflib.get_close_matches(mobile, known, n=1)
    hint = f" Did you mean `{near[0]}`?" if near else ""
    raise ConfigurationError(f"There is no spec for table `{mobile}`.{hint} Known tables: {', '.join(known)}.")
