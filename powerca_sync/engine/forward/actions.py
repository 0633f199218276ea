"""Carry out the actions of a merge plan, one kind at a time, and isolate those that the target refuses."""

import dataclasses
from collections.abc import Callable, Mapping

import psycopg
from psycopg import sql

from powerca_sync.engine.forward import apply_sql
from powerca_sync.engine.forward.exchange import (
    NO_PARENT,
    TAKEN,
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

#: Beyond this many refused rows the table is at fault, not the rows.
MOST_REFUSED = 10_000
#: A statement that carries out those actions of one kind for which a condition holds.
Statement = Callable[[TableMapping, sql.Composed], sql.Composed]


class OvertakenError(Exception):
    """Somebody else wrote a row between plan and write; roll back to before the plan, and plan again."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The result of the actions of one kind."""

    written: int = 0
    refused: Refused = dataclasses.field(default_factory=dict)
    #: Rows that are still as they were planned, though nothing refused to write them; taken out of the plan.
    swallowed: int = 0

    @property
    def total(self) -> int:
        """Actions whose outcome is known."""
        return self.written + len(self.refused) + self.swallowed


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Manner:
    """How a plan is carried out."""

    #: Rows of the table that are in quarantine already.
    known: int
    #: Rows were missing the last time.
    again: bool


#: How refused actions of one kind are carried out that only land together.
_TOGETHER: Mapping[str, Callable[[Cursor, TableMapping, Refused], tuple[int, Refused]]] = {
    "update": exchange_values,
    "insert": insert_together,
}


def carry_out(
    cursor: Cursor,
    mapping: TableMapping,
    action: str,
    statement: Statement,
    planned: int,
    how: Manner,
    *,
    among: int = 0,
) -> Outcome:
    """Run one kind of action, isolating what the target refuses.

    The `planned` actions have numbers from 1 to `among`, or to their own count.
    """
    if not planned:
        return Outcome()
    outcome = _isolate(cursor, mapping, action, statement, among or planned, how)
    if outcome.written:
        outcome = retry_refused(cursor, mapping, statement, outcome)
    if outcome.refused and action in _TOGETHER:
        more, refused = _TOGETHER[action](cursor, mapping, outcome.refused)
        outcome = Outcome(written=outcome.written + more, refused=refused)
        if more:
            outcome = retry_refused(cursor, mapping, statement, outcome)
    # Among thousands of rows somebody ticks one at any moment. Those that follow one are few, and soon carried out.
    while action == "update" and outcome.total < planned:
        moved = _update_moved(cursor, mapping)
        if not moved:
            break
        outcome = dataclasses.replace(outcome, written=outcome.written + moved)
    if how.again and outcome.total < planned:
        outcome = _find_swallowed(cursor, mapping, action, outcome)
        if action == "update" and outcome.swallowed == planned > how.known:
            raise SwallowedError(describe_swallowing(cursor, mapping.target, action))
    if outcome.total != planned:
        raise OvertakenError(f"{planned} rows were to be {action}d, {outcome.written} were")
    return outcome


def _isolate(
    cursor: Cursor, mapping: TableMapping, action: str, statement: Statement, last_number: int, how: Manner
) -> Outcome:
    """Carry out whatever the target does not refuse."""

    def write_range(first: int, last: int) -> int:
        if how.again and action == "insert":
            return execute_completely(cursor, statement(mapping, apply_sql.in_range(first, last)), last - first + 1)
        return write_planned(cursor, mapping, statement, apply_sql.in_range(first, last))

    judge = RefusalJudge(
        cursor, mapping.target, action, lambda n: write_range(n, n), last_number, known=lambda: how.known
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
            f"Table `{mapping.spec.mobile}`: the target refused more than {MOST_REFUSED} rows; the last one: "
            f"{words}. Nothing was written. Look for a rule or a trigger that no row can satisfy."
        )
    return Outcome(written=written, refused=refused)


def _find_swallowed(cursor: Cursor, mapping: TableMapping, action: str, outcome: Outcome) -> Outcome:
    """Take those actions out of the plan whose row is still as it was: nobody else has written it, nor have they."""
    for n, refusal in outcome.refused.items():
        cursor.execute(apply_sql.mark_refused(action, n, refusal.words))
    words = describe_swallowing(cursor, mapping.target, action)
    cursor.execute(apply_sql.mark_swallowed(mapping, action, words))
    return dataclasses.replace(outcome, swallowed=cursor.rowcount)


def retry_refused(cursor: Cursor, mapping: TableMapping, statement: Statement, outcome: Outcome) -> Outcome:
    """Carry out refused actions one by one, as long as some are carried out, because one makes way for the next.

    In turns from either end: rows that are renumbered make way for each other from one end only.
    """
    written, refused = outcome.written, dict(outcome.refused)
    upwards, progress = True, True
    while progress:
        upwards, progress = not upwards, False
        in_the_way = (n for n, one in refused.items() if one.sqlstate in (*TAKEN, *NO_PARENT))
        for n in sorted(in_the_way, reverse=not upwards):
            hit, again = isolate(
                lambda n, _: write_planned(cursor, mapping, statement, apply_sql.among([n])), n, n, most=1
            )
            refused |= again
            if not again:
                del refused[n]
                written, progress = written + hit, progress or hit > 0
    return Outcome(written=written, refused=refused)


def _update_moved(cursor: Cursor, mapping: TableMapping) -> int:
    """How many updates whose row was written meanwhile could be carried out after all."""
    cursor.execute(apply_sql.confirm_moved(mapping))
    numbers = [n for (n,) in cursor.fetchall()]
    if not numbers:
        return 0
    try:
        return write(cursor, apply_sql.update(mapping, apply_sql.among(numbers)))
    except psycopg.Error as exc:
        if not may_concern_rows(exc):
            raise
        # A rule about what was written meanwhile: a new plan has the row in its place, so that it alone is refused.
        raise OvertakenError("a row that was written while the merge was planned is refused") from exc
