"""Decide which staged rows are fit to be merged: what came from phones, duplicates, lookups, rules and references."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import psycopg
from typing_extensions import override

from powerca_sync.engine.mapping import TableMapping
from powerca_sync.engine.postgres import (
    Cursor,
    Query,
    UniqueKey,
    execute_batch,
    execute_in_savepoint,
    may_concern_rows,
    one_row,
)
from powerca_sync.engine.staging import echo_sql, quarantine_sql, rules_sql, staging_sql
from powerca_sync.plain_text import in_one_line
from powerca_sync.tables import Lookup, Strategy


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LookupResult:
    """How often a lookup found its answer."""

    column: str
    table: str
    filled: int
    #: Rows that got the declared winner of several answers.
    ambiguous: int
    #: Of the rows that go on, those that have something to look by and found nothing; their column is NULL.
    missed: int


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Rejections:
    """Rows of one reason that went to quarantine."""

    reason: str
    column: str | None
    parent: str | None
    rows: int
    #: The database's words, where it refused the rows itself.
    message: str | None = None

    @override
    def __str__(self) -> str:
        """How many, and why."""
        rows = "row" if self.rows == 1 else "rows"
        if self.landed:
            return f"{self.rows} {rows} landed with an empty column, which the next run fills: {self.why}"
        return f"{self.rows} {rows} {'waits' if self.rows == 1 else 'wait'} in quarantine: {self.why}"

    @property
    def landed(self) -> bool:
        """Whether the rows have landed all the same, with an empty column."""
        return self.reason == "deferred"

    @property
    def why(self) -> str:
        """The reason as a sentence."""
        return in_one_line(self.message or _sentence(self.reason, self.column, self.parent))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Quarantined:
    """A row that went to quarantine, and why."""

    reason: str
    column: str | None
    value: str | None
    parent: str | None
    message: str | None
    key: dict[str, str | None]

    @override
    def __str__(self) -> str:
        """The reason as a sentence, without the row's content."""
        if self.reason == "refused" and self.message:
            return in_one_line(self.message)
        return in_one_line(_sentence(self.reason, self.column, self.parent, value=self.value))


def _sentence(reason: str, column: str | None, parent: str | None, *, value: str | None = None) -> str:
    """Why a row, or all rows of one reason, went to quarantine."""
    named = column if value is None else f"{column}={value}"
    match reason:
        case "reference":
            return f"{named} has no matching {parent}"
        case "circle":
            return (
                f"{named} has no matching {parent}, and the tables refer to each other by columns that must not be "
                "empty, so that neither row can be first; let one of the columns be NULL at the target"
            )
        case "deferred":
            return f"{named} has no matching {parent} yet, which refers to this table in turn; the column is empty"
        case "not_null":
            return f"{column} is empty, which the target forbids"
        case "null_key":
            return f"the key column {column} is empty"
        case "lookup":
            return f"no {column} was found in {parent}, and the target forbids an empty one"
        case "altered":
            became = "" if value is None else f" (it would become {value})"
            return f"{column} would be rounded, cut or shifted{became}"
        case "oversized":
            size = "" if value is None else f"{value}, "
            return (
                f"the row has {size}more than the limit of {parent}; shorten it, or raise `max_row_bytes` in the "
                "table's spec"
            )
        case "check":
            return f"{column} violates the target's rule {parent}"
        case "duplicate_key":
            return f"several different rows have {named}" if value else f"several different rows have the same {column}"
        case "collision":
            return f"{named} is a row of another office, or of none"
        case "ambiguous":
            return f"another row of the same {column} is in quarantine, so that its place at the target is not certain"
        case "conflict":
            return f"the target has another row of its own with {named}"
        case "lookalike":
            same = f"the same {column}" if column else "the same content"
            return f"the desktop has a row of {same} that may be its copy"
        case "untried":
            return "too many other rows of the run were refused before it; the next run tries it"
        case "office":
            return f"{named} leads to no organisation of this office"
        case _:
            return "the target refused the row"


def skip_echo(cursor: Cursor, mapping: TableMapping) -> tuple[int, int, tuple[str, ...]]:
    """Remove reverse-synced rows from staging; returns (echoes, edits by the office, the first edited keys)."""
    cursor.execute(echo_sql.create_missing())
    if not mapping.target.primary_key:
        cursor.execute(echo_sql.end_handed_over(mapping))
    echo, missing = one_row(cursor, echo_sql.skip_echo(mapping))
    edited, keys = one_row(cursor, echo_sql.skip_edits(mapping)) if missing else (0, None)
    return echo, edited, tuple(keys or ())


def skip_unknown(cursor: Cursor, mapping: TableMapping) -> tuple[int, int, tuple[str, ...]]:
    """Remove rows of phones that the ledger lacks; returns (equal ones, edits by the office, the first edited keys)."""
    if not (mapping.source_has_owner and mapping.spec.key) or mapping.spec.strategy is Strategy.UPSERT:
        # By key they meet their phone row in the merge.
        return 0, 0, ()
    same, edited, keys = one_row(cursor, echo_sql.skip_unknown(mapping))
    return same, edited, tuple(keys or ())


def settle_duplicates(cursor: Cursor, mapping: TableMapping, *, refused: int) -> int:
    """Collapse exact copies and reject other rows that share a key which must not repeat; answers how many collapsed.

    Such are an `UPSERT` key, which says which row is meant, and every unique index of the target. No winner is guessed.
    """
    staged = {column.name for column in mapping.staged}
    keys = [UniqueKey(columns=mapping.spec.key)] if mapping.spec.strategy is Strategy.UPSERT else []
    for unique in mapping.target.unique_keys:
        implied = any(set(key.columns) <= set(unique.columns) for key in keys)
        if staged.issuperset(unique.columns) and not implied:
            keys.append(unique)
    keys = [key for key in keys if refused or not _told_apart_by_the_source(mapping, key)]
    if not keys:
        return 0
    repeated = execute_batch(cursor, *((staging_sql.has_duplicates(key), None) for key in keys))
    superseded = 0
    for key, [(repeats,)] in zip(keys, repeated, strict=True):
        if repeats:
            superseded += one_row(cursor, staging_sql.drop_duplicates(mapping, key))[0]
            cursor.execute(staging_sql.reject_duplicates(mapping, key))
        elif refused and key.columns == mapping.spec.key:
            cursor.execute(staging_sql.reject_duplicates(mapping, key))
    return superseded


def _told_apart_by_the_source(mapping: TableMapping, key: UniqueKey) -> bool:
    """Whether a unique index of the source rules out that its rows share the key at the target.

    Only for types that tell apart what they told apart at the source: `01` and `1` are two texts, and one number.
    """
    if not (mapping.source.is_unique(key.columns) and key.nulls_distinct):
        return False
    computed = {expression.column for expression in mapping.spec.expressions}
    alike = {
        column.name
        for column in mapping.synced
        if column.name not in computed
        and (
            {column.source.base, column.column.base} <= _NUMBERS
            or (column.source.base == column.column.base and column.column.base in _ALIKE)
        )
    }
    return alike.issuperset(key.columns)


_NUMBERS = {"int2", "int4", "int8", "numeric"}
_ALIKE = {"bool", "date", "uuid"}


def check_rows(cursor: Cursor, mapping: TableMapping) -> tuple[LookupResult, ...]:
    """Fill the lookups, then send to quarantine what is not fit to be merged."""
    lookups = mapping.spec.lookups
    found = [fill_lookup(cursor, mapping, lookup) for lookup in lookups]
    for rule, column in rules_sql.deferrable(mapping):
        cursor.execute(quarantine_sql.defer(mapping, rule, column))
    reject_faulty(cursor, mapping)
    return tuple(
        LookupResult(
            column=lookup.column,
            table=lookup.table,
            filled=filled,
            ambiguous=ambiguous,
            missed=count_missed(cursor, lookup),
        )
        for lookup, (filled, ambiguous) in zip(lookups, found, strict=True)
    )


def fill_lookup(cursor: Cursor, mapping: TableMapping, lookup: Lookup) -> tuple[int, int]:
    """Fill a column from another table of the target; answers (rows filled, rows with several answers)."""
    filled, ambiguous = one_row(cursor, rules_sql.fill_lookup(mapping, lookup))
    return filled, ambiguous


def count_missed(cursor: Cursor, lookup: Lookup) -> int:
    """How many rows have something to look by and found nothing."""
    return int(one_row(cursor, rules_sql.count_missed(lookup))[0])


def reject_faulty(cursor: Cursor, mapping: TableMapping) -> None:
    """Send rows to quarantine that the target would refuse, or whose reference leads nowhere."""
    rules = rules_sql.rules(mapping)
    # A row may name another row of the same run, which may be rejected itself.
    names_itself = any(key.parent == (mapping.target.schema, mapping.target.name) for key in mapping.target.references)
    names_itself |= any(reference.parent == mapping.spec.mobile for reference in mapping.checked_references())
    while True:
        may_raise = any(rule.reason == "check" for rule in rules)
        try:
            rejected = execute_in_savepoint(cursor, quarantine_sql.reject_faulty(mapping, rules))
        except psycopg.Error as exc:
            if not may_concern_rows(exc) or not may_raise:
                raise
            # A CHECK that raises for some row: leave all of them to the merge, which isolates that row.
            rules = [rule for rule in rules if rule.reason != "check"]
            continue
        if not (names_itself and rejected):
            return


#: Rejected rows of each reason that are shown.
SAMPLES = 5
#: What was rejected, most first; and the first rows of each reason.
Rejected = tuple[tuple[Rejections, ...], tuple[Quarantined, ...]]
NONE_REJECTED: Rejected = ((), ())


def asked_rejected() -> tuple[Query, Query]:
    """What to ask for the answers that `answered_rejected` takes."""
    return (quarantine_sql.summarize_rejected(), None), (quarantine_sql.sample_rejected(), [SAMPLES])


def rejections(cursor: Cursor) -> Rejected:
    """What was rejected."""
    return answered_rejected(*execute_batch(cursor, *asked_rejected()))


def answered_rejected(summary: Sequence[tuple[Any, ...]], samples: Sequence[tuple[Any, ...]]) -> Rejected:
    """What was rejected, from the answers to `asked_rejected`."""
    return (
        tuple(
            Rejections(reason=reason, column=column, parent=parent, message=message, rows=rows)
            for reason, column, parent, message, rows in summary
        ),
        tuple(
            Quarantined(reason=reason, column=column, value=value, parent=parent, message=message, key=key)
            for reason, column, value, parent, message, key in samples
        ),
    )
