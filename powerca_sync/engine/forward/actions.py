"""Apply the actions of a merge plan, one kind at a time, and isolate those that the target refuses."""

import dataclasses
from collections.abc import Callable, Mapping

import psycopg
from psycopg import sql

from powerca_sync.engine.forward import apply_sql
from powerca_sync.engine.forward.exchange import (
    DEPENDENCY_VIOLATIONS,
    Refused,
    exchange_values,
    insert_together,
    isolate,
    write_planned,
)
from powerca_sync.engine.mapping import TableMapping
from powerca_sync.engine.postgres import (
    Cursor,
    RefusalJudge,
    SwallowedError,
    describe_swallowing,
    execute_completely,
    may_concern_rows,
    write,
)
from powerca_sync.errors import MergeError
from powerca_sync.plain_text import counted

#: With more refused rows than this the cause is the table rather than the rows.
MOST_REFUSED = 10_000
#: A statement that applies those actions of one kind for which a condition holds.
Statement = Callable[[TableMapping, sql.Composed], sql.Composed]


class OvertakenError(Exception):
    """Another session wrote a row between plan and write; roll back to before the plan, and plan again."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The result of the actions of one kind."""

    written: int = 0
    refused: Refused = dataclasses.field(default_factory=dict)
    #: Rows that a trigger or a rule did not write, without an error; removed from the plan.
    swallowed: int = 0

    @property
    def total(self) -> int:
        """Actions with a known outcome."""
        return self.written + len(self.refused) + self.swallowed


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """An attempt to apply a plan."""

    #: Rows of the table that earlier runs have quarantined.
    known: int
    #: The attempt before wrote fewer rows than planned.
    again: bool


#: Applies refused actions of one kind that succeed only together.
_TOGETHER: Mapping[str, Callable[[Cursor, TableMapping, Refused], tuple[int, Refused]]] = {
    "update": exchange_values,
    "insert": insert_together,
}


def apply_actions(
    cursor: Cursor,
    mapping: TableMapping,
    action: str,
    statement: Statement,
    planned: int,
    attempt: Attempt,
    *,
    among: int = 0,
) -> Outcome:
    """Apply the actions of one kind, and isolate those that the target refuses.

    The numbers of the `planned` actions are from 1 to `among`, or to `planned`.

    Raises:
        OvertakenError: A planned row is not as it was.
        SwallowedError: A trigger or a rule swallows all rows.
        MergeError: More than `MOST_REFUSED` rows are refused.
    """
    if not planned:
        return Outcome()
    outcome = _isolate(cursor, mapping, action, statement, among or planned, attempt)
    if outcome.written:
        outcome = retry_refused(cursor, mapping, statement, outcome)
    if outcome.refused and action in _TOGETHER:
        more, refused = _TOGETHER[action](cursor, mapping, outcome.refused)
        outcome = Outcome(written=outcome.written + more, refused=refused)
        if more:
            outcome = retry_refused(cursor, mapping, statement, outcome)
    # Others may update single rows of a large batch meanwhile. Each round finds fewer of them.
    while action == "update" and outcome.total < planned:
        moved = _update_moved(cursor, mapping)
        if not moved:
            break
        outcome = dataclasses.replace(outcome, written=outcome.written + moved)
    if attempt.again and outcome.total < planned:
        outcome = _find_swallowed(cursor, mapping, action, outcome)
        if action == "update" and outcome.swallowed == planned > attempt.known:
            raise SwallowedError(describe_swallowing(cursor, mapping.target, action))
    if outcome.total != planned:
        raise OvertakenError(f"{counted(planned, 'row')} to {action}, {outcome.written} written")
    return outcome


def _isolate(
    cursor: Cursor, mapping: TableMapping, action: str, statement: Statement, last_number: int, attempt: Attempt
) -> Outcome:
    """Apply all actions that the target does not refuse."""

    def write_range(first: int, last: int) -> int:
        if attempt.again and action == "insert":
            which = apply_sql.in_range(first, last)
            note = apply_sql.note_write()
            return execute_completely(cursor, statement(mapping, which), last - first + 1, after=note)
        return write_planned(cursor, mapping, statement, apply_sql.in_range(first, last))

    judge = RefusalJudge(
        cursor, mapping.target, action, lambda n: write_range(n, n), last_number, known=lambda: attempt.known
    )

    def check(exc: psycopg.Error | SwallowedError, written: int) -> None:
        judge.check(exc, written)
        if not errors:
            cursor.execute(apply_sql.index_actions())
        errors.append(exc)

    errors: list[Exception] = []
    written, refused = isolate(write_range, 1, last_number, most=MOST_REFUSED, check=check)
    if any(not refusal.words for refusal in refused.values()):
        words = describe_swallowing(cursor, mapping.target, action)
        refused = {n: one if one.words else dataclasses.replace(one, words=words) for n, one in refused.items()}
    if len(refused) > MOST_REFUSED:
        words = "(not shown, the table has sensitive columns)"
        if not mapping.spec.sensitive:
            words = refused.popitem()[1].words
        raise MergeError(
            f"Table `{mapping.table}`: the target refused more than {MOST_REFUSED} rows; the last one: "
            f"{words}. Nothing was written. Look for a rule or a trigger that no row can satisfy."
        )
    return Outcome(written=written, refused=refused)


def _find_swallowed(cursor: Cursor, mapping: TableMapping, action: str, outcome: Outcome) -> Outcome:
    """Remove the actions from the plan whose row is unchanged although nothing refused to write it."""
    for n, refusal in outcome.refused.items():
        cursor.execute(apply_sql.mark_refused(action, n, refusal.words))
    words = describe_swallowing(cursor, mapping.target, action)
    cursor.execute(apply_sql.mark_swallowed(mapping, action, words))
    return dataclasses.replace(outcome, swallowed=cursor.rowcount)


def retry_refused(cursor: Cursor, mapping: TableMapping, statement: Statement, outcome: Outcome) -> Outcome:
    """Apply refused actions one by one until none succeeds, because each one may unblock another.

    The order alternates: rows that are renumbered unblock each other in one direction only.
    """
    written, refused = outcome.written, dict(outcome.refused)
    ascending, progress = True, True
    while progress:
        ascending, progress = not ascending, False
        blocked = (n for n, one in refused.items() if one.sqlstate in DEPENDENCY_VIOLATIONS)
        for n in sorted(blocked, reverse=not ascending):
            hit, again = isolate(
                lambda n, _: write_planned(cursor, mapping, statement, apply_sql.among([n])), n, n, most=1
            )
            refused |= again
            if not again:
                del refused[n]
                written, progress = written + hit, progress or hit > 0
    return Outcome(written=written, refused=refused)


def _update_moved(cursor: Cursor, mapping: TableMapping) -> int:
    """Apply updates whose row others wrote meanwhile without changing its content; returns the rows written."""
    cursor.execute(apply_sql.confirm_moved(mapping))
    numbers = [n for (n,) in cursor.fetchall()]
    if not numbers:
        return 0
    try:
        return write(cursor, apply_sql.update(mapping, apply_sql.among(numbers)), after=apply_sql.note_write())
    except psycopg.Error as exc:
        if not may_concern_rows(exc):
            raise
        # A new plan has the row's new version, so that it can be refused by itself.
        raise OvertakenError("a row that was written while the merge was planned is refused") from exc
