"""Validate staged rows: drop duplicates, fill lookups, and quarantine rows that break a rule."""

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
from powerca_sync.engine.staging import quarantine_sql, rules_sql, staging_sql
from powerca_sync.plain_text import in_one_line
from powerca_sync.specs import Lookup


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LookupResult:
    """Counts of rows for which a lookup found a value."""

    column: str
    table: str
    filled: int
    #: Rows with several values, of which the lowest was taken.
    ambiguous: int
    #: Of the rows that stay in staging, those with a match column but no value found; their column is NULL.
    missed: int


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Rejections:
    """Rows quarantined for one reason."""

    reason: str
    column: str | None
    parent: str | None
    rows: int
    #: The database's message if it refused the rows itself.
    message: str | None = None

    @override
    def __str__(self) -> str:
        rows = "row" if self.rows == 1 else "rows"
        if self.deferred:
            return f"{self.rows} {rows} inserted with an empty column, which the next run fills: {self.why}"
        return f"{self.rows} {rows} quarantined: {self.why}"

    @property
    def deferred(self) -> bool:
        """The rows were inserted with an empty column; the entries only make the next run read them again."""
        return self.reason == "deferred"

    @property
    def dangling(self) -> bool:
        """The rows reference a row that is missing or quarantined."""
        return self.reason in rules_sql.DANGLING

    @property
    def why(self) -> str:
        """The reason in words."""
        return in_one_line(self.message or _explain(self.reason, self.column, self.parent))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Quarantined:
    """A quarantined row and the reason."""

    reason: str
    column: str | None
    value: str | None
    parent: str | None
    message: str | None
    key: dict[str, str | None]

    @property
    def is_foreign(self) -> bool:
        """Another office has the row's key, or the row that it references."""
        return self.reason in ("collision", rules_sql.FOREIGN_PARENT)

    @override
    def __str__(self) -> str:
        """The reason in words, without the row's content."""
        if self.reason == "refused" and self.message:
            return in_one_line(self.message)
        return in_one_line(_explain(self.reason, self.column, self.parent, value=self.value))


def _explain(reason: str, column: str | None, parent: str | None, *, value: str | None = None) -> str:
    named = column if value is None else f"{column}={value}"
    match reason:
        case "reference":
            return f"{named} has no matching row in {parent}"
        case rules_sql.QUARANTINED_PARENT:
            return f"{named} references a row of {parent} that is itself quarantined"
        case rules_sql.FOREIGN_PARENT:
            return f"{named} is a row of {parent} that belongs to another office"
        case "circle":
            return (
                f"{named} has no matching row in {parent}, and the tables reference each other by NOT NULL columns, so "
                "that neither row can be inserted first; allow NULL in one of the columns at the target"
            )
        case "deferred":
            return f"{named} has no matching row in {parent} yet, which references this table in turn"
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
            return f"{named} belongs to organisation {parent}" if parent else f"{named} is a row of no known office"
        case "ambiguous":
            return f"another row of the same {column} is quarantined, so that its row at the target is not certain"
        case "conflict":
            return f"the target has another row of its own with {named}"
        case "lookalike":
            same = f"the same {column}" if column else "the same content"
            return f"the desktop has a row of {same} that may be its copy"
        case "untried":
            return "too many other rows of the run were refused before it; the next run tries it"
        case "office":
            return f"{named} does not reference an organisation of this office"
        case _:
            return "the target refused the row"


def settle_duplicates(cursor: Cursor, mapping: TableMapping, *, refused: int) -> int:
    """Drop exact copies, and quarantine different rows of one key; returns the number of copies dropped.

    Keys that must not repeat are that of an `UPSERT` table and every unique index of the target.
    """
    staged = {column.name for column in mapping.staged}
    keys = [UniqueKey(columns=mapping.key_names)] if mapping.pairs_by_key else []
    for unique in mapping.target.unique_keys:
        implied = any(set(key.columns) <= set(unique.columns) for key in keys)
        if staged.issuperset(unique.columns) and not implied:
            keys.append(unique)
    keys = [key for key in keys if refused or not _is_unique_at_source(mapping, key)]
    if not keys:
        return 0
    repeated = execute_batch(cursor, *((staging_sql.has_duplicates(key), None) for key in keys))
    superseded = 0
    for key, [(repeats,)] in zip(keys, repeated, strict=True):
        if repeats:
            superseded += one_row(cursor, staging_sql.drop_duplicates(mapping, key))[0]
            cursor.execute(staging_sql.reject_duplicates(mapping, key))
        elif refused and key.columns == mapping.key_names:
            cursor.execute(staging_sql.reject_duplicates(mapping, key))
    return superseded


def _is_unique_at_source(mapping: TableMapping, key: UniqueKey) -> bool:
    """Returns whether a unique index of the source guarantees that the key is unique at the target.

    Some types do not keep values distinct: `01` and `1` are two texts, but one number.
    """
    if not (mapping.source.is_unique(key.columns) and key.nulls_distinct):
        return False
    alike = {
        column.name
        for column in mapping.synced
        if not column.computed
        and (
            {column.source.base, column.column.base} <= _NUMBERS
            or (column.source.base == column.column.base and column.column.base in _DISTINCT)
        )
    }
    return alike.issuperset(key.columns)


_NUMBERS = {"int2", "int4", "int8", "numeric"}
_DISTINCT = {"bool", "date", "uuid"}


def check_rows(cursor: Cursor, mapping: TableMapping) -> tuple[LookupResult, ...]:
    """Fill the lookups, then quarantine rows that break a rule of the target."""
    lookups = mapping.lookups
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
    """Fill a column from another table of the target. Returns (rows filled, rows with several values)."""
    filled, ambiguous = one_row(cursor, rules_sql.fill_lookup(mapping, lookup))
    return filled, ambiguous


def count_missed(cursor: Cursor, lookup: Lookup) -> int:
    """Returns the number of rows with a match column for which no value was found."""
    return int(one_row(cursor, rules_sql.count_missed(lookup))[0])


def reject_faulty(cursor: Cursor, mapping: TableMapping) -> None:
    """Quarantine rows that the target would refuse, and rows with a dangling reference."""
    rules = rules_sql.rules(mapping)
    own = (mapping.target.schema, mapping.target.name)
    references_itself = any(key.parent == own for key in mapping.target.references)
    references_itself |= any(reference.parent == mapping.table for reference in mapping.checked_references())
    while True:
        may_raise = any(rule.reason == "check" for rule in rules)
        try:
            rejected = execute_in_savepoint(cursor, quarantine_sql.reject_faulty(mapping, rules))
        except psycopg.Error as exc:
            if not may_concern_rows(exc) or not may_raise:
                raise
            # A CHECK constraint fails to evaluate for some row: the merge isolates that row.
            rules = [rule for rule in rules if rule.reason != "check"]
            continue
        # A quarantined row may be the parent of another staged row.
        if not (references_itself and rejected):
            return


#: Quarantined rows shown of each reason.
SAMPLES = 5
#: Quarantined rows by reason, most frequent first, and samples of each reason.
Rejected = tuple[tuple[Rejections, ...], tuple[Quarantined, ...]]
NO_REJECTIONS: Rejected = ((), ())


def rejection_queries() -> tuple[Query, Query]:
    """Returns the queries whose results `parse_rejections` takes."""
    return (quarantine_sql.summarize_rejected(), None), (quarantine_sql.sample_rejected(), [SAMPLES])


def read_rejections(cursor: Cursor) -> Rejected:
    """Returns the rows quarantined by this run."""
    return parse_rejections(*execute_batch(cursor, *rejection_queries()))


def parse_rejections(summary: Sequence[tuple[Any, ...]], samples: Sequence[tuple[Any, ...]]) -> Rejected:
    """Returns the rows quarantined by this run, from the results of `rejection_queries`."""
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
