"""Merge staging into the target: plan what differs, then write only that.

`plan_merge` fills the table of actions and writes nothing to the target; `apply_merge` carries it out in the order
delete, update, insert. Every write repeats in its WHERE who owns the row, whose office it is and what it held when the
plan was made: a row that somebody changed in between is not hit, and the whole is planned anew.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping

import psycopg
from psycopg import sql

from powerca_sync.engine.database import Cursor, ask, attempt, setting
from powerca_sync.engine.exchange import NO_PARENT, TAKEN, Refused, exchange_values, insert_together, isolate
from powerca_sync.engine.failures import is_refusal
from powerca_sync.engine.mapping import TableMapping
from powerca_sync.engine.statements import apply as apply_statements
from powerca_sync.engine.statements import plan as plan_statements
from powerca_sync.engine.statements import plan_delete_insert as delete_insert
from powerca_sync.engine.statements import plan_upsert as upsert
from powerca_sync.engine.statements import quarantine
from powerca_sync.engine.statements.fragments import UNSETTLED
from powerca_sync.errors import MergeError
from powerca_sync.tables import Strategy

#: Beyond this many refused rows the table is at fault, not the rows.
MOST_REFUSED = 10_000
#: A statement that carries out those actions of one kind for which a condition holds.
Statement = Callable[[TableMapping, sql.Composed], sql.Composed]


class OvertakenError(Exception):
    """Somebody else wrote a row between plan and write; roll back to before the plan, and plan again."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class MergePlan:
    """How many rows the merge will touch or leave alone, and why."""

    insert: int = 0
    update: int = 0
    delete: int = 0
    #: Target rows that would be deleted if no other rows depended on them.
    referenced: int = 0
    unchanged: int = 0
    #: Staged rows that a phone's row (or one that is nobody's) stands for, with the same content.
    keep: int = 0
    #: The same with other content.
    conflict: int = 0
    #: Staged rows whose key another office has; they go to quarantine.
    collision: int = 0
    #: Target rows whose source row is in quarantine: the last good version stays.
    held: int = 0
    #: Staged rows that share a repeating key with a row in quarantine, so that it is not certain which target row is
    #: theirs: they go to quarantine too.
    ambiguous: int = 0
    #: Target rows that the source no longer has, kept because the spec says so.
    stale: int = 0
    #: Desktop-owned rows whose mobile-owned columns differ from the source's; None where they were not compared.
    mobile_owned: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class MergeResult:
    """What the merge wrote."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    #: Rows kept because other rows depend on them.
    kept_referenced: int = 0
    #: Deletes that the target refused, for example by a trigger.
    undeletable: int = 0
    #: Rows whose update the target refused: the last good version stays.
    held: int = 0

    @property
    def written(self) -> int:
        """Rows of the target table that were written in any way."""
        return self.inserted + self.updated + self.deleted


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Outcome:
    """What came of the actions of one kind."""

    written: int = 0
    refused: Refused = dataclasses.field(default_factory=dict)

    @property
    def total(self) -> int:
        return self.written + len(self.refused)


def plan_merge(cursor: Cursor, mapping: TableMapping, *, complete: bool) -> MergePlan:
    """Fill the table of actions; staged rows that have no certain place go to the rejected.

    `complete`: staging has all of the source's rows, so that a missing one is gone.
    """
    counts: dict[str, int] = {}
    if mapping.spec.strategy is Strategy.UPSERT:
        _count(cursor, upsert.plan_upsert(mapping, complete=complete), counts)
    else:
        _plan_delete_insert(cursor, mapping, counts, complete=complete)
    for unplaced in ("collision", "ambiguous"):
        if counts.get(unplaced):
            faulty = apply_statements.faulty_actions(unplaced, reason=unplaced, mapping=mapping)
            cursor.execute(quarantine.reject(mapping, faulty))
    if counts.get("delete"):
        counts["referenced"] = _keep_referenced(cursor, mapping)
        counts["delete"] -= counts["referenced"]
    known = {field.name for field in dataclasses.fields(MergePlan)}
    return MergePlan(**{action: count for action, count in counts.items() if action in known})


def _plan_delete_insert(cursor: Cursor, mapping: TableMapping, counts: dict[str, int], *, complete: bool) -> None:
    """Look at no row where the office has none yet, and at no content that both sides have equally often."""
    cursor.execute(delete_insert.has_rows(mapping))
    if cursor.fetchone() == (False,):
        _count(cursor, delete_insert.plan_inserts(), counts)
        return
    # Without a look at how few they are, both tables would be sorted to find them.
    analyze = sql.SQL("ANALYZE {}").format(UNSETTLED)
    contents, settled_counts = delete_insert.plan_contents(mapping), delete_insert.count_settled()
    *_, [(settled, unsettled, with_copies)] = ask(cursor, (contents, None), (analyze, None), (settled_counts, None))
    if unsettled:
        # Thousands of copies of few contents: the planner expects a handful, and would compare each with each.
        allowed = "off" if with_copies else "on"
        pairs = delete_insert.plan_pairs(mapping, complete=complete, copies=with_copies > 0)
        _, found, _ = ask(
            cursor,
            setting({"enable_nestloop": allowed, "enable_mergejoin": allowed}),
            (pairs, None),
            setting({"enable_nestloop": "on", "enable_mergejoin": "on"}),
        )
        _add(found, counts)
        if counts.get("overtaken"):
            raise OvertakenError("rows changed while the merge was planned")
    counts["unchanged"] = counts.get("unchanged", 0) + settled


def _count(cursor: Cursor, statement: sql.Composed, counts: dict[str, int]) -> None:
    cursor.execute(statement)
    _add(cursor.fetchall(), counts)


def _add(found: Iterable[tuple[str, int]], counts: dict[str, int]) -> None:
    for action, count in found:
        counts[action] = counts.get(action, 0) + count


def apply_merge(cursor: Cursor, mapping: TableMapping, plan: MergePlan) -> MergeResult:
    """Carry out the plan; staged rows that the target refuses go to the rejected.

    Raises `OvertakenError` where a planned row is not as it was.
    """
    kept = 0
    if plan.delete and mapping.target.referenced_by:
        # Locked first and looked at by a later statement, which sees what was committed while the lock was waited for.
        cursor.execute(apply_statements.lock_deletes(mapping))
        kept = _keep_referenced(cursor, mapping)
    deletes = _carry_out(
        cursor, mapping, "delete", apply_statements.delete, plan.delete - kept, among=plan.delete + plan.referenced
    )
    updates = _carry_out(cursor, mapping, "update", apply_statements.update, plan.update)
    inserts = _carry_out(cursor, mapping, "insert", apply_statements.insert, plan.insert)
    if inserts.written and any(refusal.sqlstate in NO_PARENT for refusal in updates.refused.values()):
        # What a row references may have been inserted since.
        updates = _retry(cursor, mapping, apply_statements.update, updates)
    for action, outcome in (("delete", deletes), ("update", updates), ("insert", inserts)):
        for n, refusal in outcome.refused.items():
            cursor.execute(apply_statements.mark_refused(action, n, refusal.words))
    if updates.refused or inserts.refused:
        cursor.execute(
            quarantine.reject(mapping, apply_statements.faulty_actions("refused", reason="refused", mapping=mapping))
        )
    return MergeResult(
        inserted=inserts.written,
        updated=updates.written,
        deleted=deletes.written,
        kept_referenced=plan.referenced + kept,
        undeletable=len(deletes.refused),
        held=len(updates.refused) + plan.ambiguous,
    )


#: How refused actions of one kind are carried out that only land together.
_TOGETHER: Mapping[str, Callable[[Cursor, TableMapping, Refused], tuple[int, Refused]]] = {
    "update": exchange_values,
    "insert": insert_together,
}


def _keep_referenced(cursor: Cursor, mapping: TableMapping) -> int:
    """Take deletes out of the plan on which other rows depend, until none is found; answers how many."""
    kept = 0
    while True:
        found = 0
        for key in mapping.target.referenced_by:
            cursor.execute(apply_statements.keep_referenced(mapping, key))
            found += cursor.rowcount
        kept += found
        # A row that stays after all may name another of its own table.
        if not found or not any(key.child == key.parent for key in mapping.target.referenced_by):
            return kept


def _carry_out(
    cursor: Cursor, mapping: TableMapping, action: str, statement: Statement, planned: int, *, among: int = 0
) -> _Outcome:
    """Run one kind of action, isolating what the target refuses.

    The `planned` actions have numbers from 1 to `among`, or to their own count.
    """
    if not planned:
        return _Outcome()
    everything = (1, among or planned)

    def run(first: int, last: int) -> int:
        try:
            return attempt(cursor, statement(mapping, apply_statements.in_range(first, last)))
        except psycopg.Error as exc:
            if is_refusal(exc) and (first, last) == everything:
                cursor.execute(apply_statements.index_actions())
            raise

    written, refused = isolate(run, *everything, most=MOST_REFUSED)
    if len(refused) > MOST_REFUSED:
        words = "(not shown, the table has sensitive columns)"
        if not mapping.spec.sensitive:
            words = refused.popitem()[1].words
        raise MergeError(
            f"Table `{mapping.spec.mobile}`: the target refused more than {MOST_REFUSED} rows; the last one: "
            f"{words}. Nothing was written. Look for a rule or a trigger that no row can satisfy."
        )
    outcome = _Outcome(written=written, refused=refused)
    if written:
        outcome = _retry(cursor, mapping, statement, outcome)
    if outcome.refused and action in _TOGETHER:
        more, refused = _TOGETHER[action](cursor, mapping, outcome.refused)
        outcome = _Outcome(written=outcome.written + more, refused=refused)
        if more:
            outcome = _retry(cursor, mapping, statement, outcome)
    # Among thousands of rows somebody ticks one at any moment. Those that follow one are few, and soon carried out.
    while action == "update" and outcome.total < planned:
        moved = _update_moved(cursor, mapping)
        if not moved:
            break
        outcome = dataclasses.replace(outcome, written=outcome.written + moved)
    if outcome.total != planned:
        raise OvertakenError(f"{planned} rows were to be {action}d, {outcome.written} were")
    return outcome


def _retry(cursor: Cursor, mapping: TableMapping, statement: Statement, outcome: _Outcome) -> _Outcome:
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
                lambda n, _: attempt(cursor, statement(mapping, apply_statements.among([n]))), n, n, most=1
            )
            refused |= again
            if not again:
                del refused[n]
                written, progress = written + hit, progress or hit > 0
    return _Outcome(written=written, refused=refused)


def _update_moved(cursor: Cursor, mapping: TableMapping) -> int:
    """How many updates whose row was written meanwhile could be carried out after all."""
    try:
        return attempt(cursor, apply_statements.update_moved(mapping))
    except psycopg.Error as exc:
        if not is_refusal(exc):
            raise
        # A rule about what was written meanwhile: a new plan has the row in its place, so that it alone is refused.
        raise OvertakenError("a row that was written while the merge was planned is refused") from exc


def conflicts(cursor: Cursor, mapping: TableMapping) -> tuple[str, ...]:
    """Keys of the first rows that phones and the office hold with different content."""
    cursor.execute(plan_statements.conflicts(mapping))
    return tuple(key for (key,) in cursor.fetchall())
