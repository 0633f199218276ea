"""Merge staging into the target: plan what differs, then write only that.

`plan_merge` fills the table of actions and writes nothing to the target; `apply_merge` carries it out in the order
delete, update, insert. Right before a write another statement looks who owns the row, whose office it is and whether it
holds what it held when the plan was made, and the write hits that version of the row only: a row that somebody changed
in between is not hit, and the whole is planned anew. So a write needs to compare no values, and can leave settings and
search path to the code of the database that it fires (`database.write`).
"""

import dataclasses
from collections.abc import Iterable

from psycopg import sql

from powerca_sync.engine.forward import apply_sql, plan_delete_insert_sql, plan_sql, plan_upsert_sql
from powerca_sync.engine.forward.actions import Manner, OvertakenError, carry_out, retry_refused
from powerca_sync.engine.forward.exchange import NO_PARENT
from powerca_sync.engine.mapping import UNSETTLED, TableMapping
from powerca_sync.engine.postgres import Cursor, execute_batch, settings_query
from powerca_sync.engine.staging import quarantine_sql
from powerca_sync.tables import Strategy


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


def plan_merge(cursor: Cursor, mapping: TableMapping, *, complete: bool) -> MergePlan:
    """Fill the table of actions; staged rows that have no certain place go to the rejected.

    `complete`: staging has all of the source's rows, so that a missing one is gone.
    """
    counts: dict[str, int] = {}
    if mapping.spec.strategy is Strategy.UPSERT:
        _count(cursor, plan_upsert_sql.plan_upsert(mapping, complete=complete), counts)
    else:
        _plan_delete_insert(cursor, mapping, counts, complete=complete)
    for unplaced in ("collision", "ambiguous"):
        if counts.get(unplaced):
            faulty = apply_sql.faulty_actions(unplaced, reason=unplaced, mapping=mapping)
            cursor.execute(quarantine_sql.reject(mapping, faulty))
    if counts.get("delete"):
        counts["referenced"] = _keep_referenced(cursor, mapping)
        counts["delete"] -= counts["referenced"]
    known = {field.name for field in dataclasses.fields(MergePlan)}
    return MergePlan(**{action: count for action, count in counts.items() if action in known})


def _plan_delete_insert(cursor: Cursor, mapping: TableMapping, counts: dict[str, int], *, complete: bool) -> None:
    """Look at no row where the office has none yet, and at no content that both sides have equally often."""
    cursor.execute(plan_delete_insert_sql.has_rows(mapping))
    if cursor.fetchone() == (False,):
        _count(cursor, plan_delete_insert_sql.plan_inserts(), counts)
        return
    # Without a look at how few they are, both tables would be sorted to find them.
    analyze = sql.SQL("ANALYZE {}").format(UNSETTLED)
    contents, settled_counts = plan_delete_insert_sql.plan_contents(mapping), plan_delete_insert_sql.count_settled()
    *_, [(settled, unsettled, with_copies)] = execute_batch(
        cursor, (contents, None), (analyze, None), (settled_counts, None)
    )
    if unsettled:
        # Thousands of copies of few contents: the planner expects a handful, and would compare each with each.
        allowed = "off" if with_copies else "on"
        pairs = plan_delete_insert_sql.plan_pairs(mapping, complete=complete, copies=with_copies > 0)
        _, found, _ = execute_batch(
            cursor,
            settings_query({"enable_nestloop": allowed, "enable_mergejoin": allowed}),
            (pairs, None),
            settings_query({"enable_nestloop": "on", "enable_mergejoin": "on"}),
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


def apply_merge(
    cursor: Cursor, mapping: TableMapping, plan: MergePlan, *, known: int = 0, again: bool = False
) -> MergeResult:
    """Carry out the plan; staged rows that the target refuses go to the rejected.

    `known` rows of the table are in quarantine already. `again`: rows were missing the last time, so that those are
    looked for which a trigger swallows. Raises `OvertakenError` where a planned row is not as it was, and
    `SwallowedError` where no row can be written although nothing refuses it.
    """
    how = Manner(known=known, again=again)
    kept = 0
    if plan.delete and mapping.target.referenced_by:
        # Locked first and looked at by a later statement, which sees what was committed while the lock was waited for.
        cursor.execute(apply_sql.lock_deletes(mapping))
        kept = _keep_referenced(cursor, mapping)
    deletes = carry_out(
        cursor, mapping, "delete", apply_sql.delete, plan.delete - kept, how, among=plan.delete + plan.referenced
    )
    updates = carry_out(cursor, mapping, "update", apply_sql.update, plan.update, how)
    inserts = carry_out(cursor, mapping, "insert", apply_sql.insert, plan.insert, how)
    if inserts.written and any(refusal.sqlstate in NO_PARENT for refusal in updates.refused.values()):
        # What a row references may have been inserted since.
        updates = retry_refused(cursor, mapping, apply_sql.update, updates)
    for action, outcome in (("delete", deletes), ("update", updates), ("insert", inserts)):
        for n, refusal in outcome.refused.items():
            cursor.execute(apply_sql.mark_refused(action, n, refusal.words))
    if updates.refused or updates.swallowed or inserts.refused:
        cursor.execute(
            quarantine_sql.reject(mapping, apply_sql.faulty_actions("refused", reason="refused", mapping=mapping))
        )
    return MergeResult(
        inserted=inserts.written,
        updated=updates.written,
        deleted=deletes.written,
        kept_referenced=plan.referenced + kept,
        undeletable=deletes.total - deletes.written,
        held=updates.total - updates.written + plan.ambiguous,
    )


def _keep_referenced(cursor: Cursor, mapping: TableMapping) -> int:
    """Take deletes out of the plan on which other rows depend, until none is found; answers how many."""
    kept = 0
    while True:
        found = 0
        for key in mapping.target.referenced_by:
            cursor.execute(apply_sql.keep_referenced(mapping, key))
            found += cursor.rowcount
        kept += found
        # A row that stays after all may name another of its own table.
        if not found or not any(key.child == key.parent for key in mapping.target.referenced_by):
            return kept


def conflicts(cursor: Cursor, mapping: TableMapping) -> tuple[str, ...]:
    """Keys of the first rows that phones and the office hold with different content."""
    cursor.execute(plan_sql.conflicts(mapping))
    return tuple(key for (key,) in cursor.fetchall())
