"""Merge staging into the target: plan the differences, then write only those.

`plan_merge` fills the table of actions and does not write to the target; `apply_merge` applies them in the order
delete, update, insert. Directly before a write, another statement confirms owner, office and content of the row, and
the write is limited to the confirmed version of the row: if another session changed the row in between, fewer rows are
written than planned, and the merge is planned again. The write itself compares no values, so that it can run with the
settings and the search path of the database's own code (`database.write`).
"""

import dataclasses
from collections.abc import Iterable

import psycopg
from psycopg import sql

from powerca_sync.engine.forward import apply_sql, plan_delete_insert_sql, plan_sql, plan_upsert_sql, row_versions_sql
from powerca_sync.engine.forward.actions import Attempt, OvertakenError, apply_actions, retry_refused
from powerca_sync.engine.forward.exchange import NO_PARENT
from powerca_sync.engine.mapping import UNSETTLED, TableMapping
from powerca_sync.engine.postgres import (
    WORK_MEM,
    Cursor,
    SwallowedError,
    execute_batch,
    execute_completely,
    is_refusal,
    may_concern_rows,
    one_row,
    settings_query,
)
from powerca_sync.engine.staging import quarantine_sql
from powerca_sync.engine.state import TargetMark


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class MergePlan:
    """Counts of rows by planned action."""

    insert: int = 0
    update: int = 0
    delete: int = 0
    #: Target rows that are not deleted because other rows reference them.
    referenced: int = 0
    #: Target rows that would be deleted if others had not inserted or changed them, and those that are all the same.
    foreign: int = 0
    foreign_deletes: int = 0
    #: All rows that others inserted or changed and staging has no row for, kept for another reason among them.
    foreign_noted: int = 0
    unchanged: int = 0
    #: Staged rows that equal a phone row, or an unowned row, of the target.
    keep: int = 0
    #: Staged rows that have the key of a phone row with other content.
    conflict: int = 0
    #: Staged rows whose key another office has; quarantined.
    collision: int = 0
    #: Retained target rows: their newer version is quarantined.
    held: int = 0
    #: Staged rows that share a repeated key with a quarantined row, so that their target row is not certain;
    #: quarantined.
    ambiguous: int = 0
    #: Target rows that the source no longer has, kept because the spec says so.
    stale: int = 0
    #: Desktop-owned rows whose mobile-owned columns differ from the source's; None where they were not compared.
    mobile_owned: int | None = None
    #: Inserts whose actions are not recorded: all, if the target has no row with which a staged row could pair.
    unrecorded: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class MergeResult:
    """Counts of rows written by the merge."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    #: Rows that were not deleted because other rows reference them.
    kept_referenced: int = 0
    #: Deletes that the target refused, for example by a trigger.
    undeletable: int = 0
    #: Retained rows: the target refused their update.
    held: int = 0

    @property
    def written(self) -> int:
        """Rows inserted, updated or deleted."""
        return self.inserted + self.updated + self.deleted


def plan_merge(
    cursor: Cursor,
    mapping: TableMapping,
    *,
    complete: bool,
    all_staged: bool,
    known: TargetMark | None,
    delete_foreign: bool,
    first: bool,
) -> MergePlan:
    """Fill the table of actions; staged rows that cannot be paired with certainty are quarantined.

    `complete`: staging has all rows of the source, so that the target's other rows were deleted there; `all_staged`: of
    each of them, not only of those that differ. Rows that others have written since the `known` versions are not
    deleted, unless with `delete_foreign`. On the `first` run the target is expected to be empty.
    """
    if first:
        has_rows, staged = one_row(cursor, plan_sql.has_rows(mapping))
        if not has_rows:
            return MergePlan(insert=staged, unrecorded=staged)
    counts: dict[str, int] = {}
    foreign, changed = row_versions_sql.is_foreign(known), row_versions_sql.is_changed(mapping, known)
    if mapping.pairs_by_key:
        _count(
            cursor,
            plan_upsert_sql.plan_upsert(mapping, complete=complete, foreign=foreign, all_staged=all_staged),
            counts,
        )
    else:
        all_new = _plan_delete_insert(cursor, mapping, counts, complete=complete, foreign=foreign)
        if all_new:
            return MergePlan(insert=all_new, unrecorded=all_new)
    for unplaced in ("collision", "ambiguous"):
        if counts.get(unplaced):
            faulty = apply_sql.faulty_actions(unplaced, reason=unplaced, mapping=mapping)
            cursor.execute(quarantine_sql.reject(mapping, faulty))
    if known and any(counts.get(action) for action in ("delete", "held", "ambiguous")):
        counts["foreign_noted"] = cursor.execute(row_versions_sql.note_foreign(mapping, foreign, changed)).rowcount
    if counts.get("foreign_noted") and not delete_foreign:
        counts["foreign"] = cursor.execute(row_versions_sql.keep_foreign(mapping, changed)).rowcount
        counts["delete"] = counts.get("delete", 0) - counts["foreign"]
    if counts.get("delete"):
        counts["referenced"] = _keep_referenced(cursor, mapping)
        counts["delete"] -= counts["referenced"]
    if counts.get("foreign_noted"):
        (counts["foreign_deletes"],) = one_row(cursor, row_versions_sql.count_foreign_deletes())
    shown = {field.name for field in dataclasses.fields(MergePlan)}
    return MergePlan(**{action: count for action, count in counts.items() if action in shown})


def _plan_delete_insert(
    cursor: Cursor, mapping: TableMapping, counts: dict[str, int], *, complete: bool, foreign: sql.Composable
) -> int:
    """Pair by content first; contents that both tables have equally often need no further look at their rows.

    Returns the number of staged rows if the target has no rows; nothing is planned then.
    """
    # Without statistics of this small table, the planner would sort both large ones.
    analyze = sql.SQL("ANALYZE {}").format(UNSETTLED)
    contents, settled_counts = plan_delete_insert_sql.plan_contents(mapping), plan_delete_insert_sql.count_settled()
    *_, others, _, [(settled, unsettled, with_copies, staged, existing)] = execute_batch(
        cursor,
        # Larger sorts do not fit the processor's cache: half a million rows took 0.77 s with 64 MB, 0.66 s with 16 MB.
        settings_query({"work_mem": "16MB"}),
        (contents, None),
        settings_query({"work_mem": WORK_MEM}),
        (plan_delete_insert_sql.take_others(), None),
        (analyze, None),
        (settled_counts, None),
    )
    if not (settled or existing or others):
        return int(staged)
    if unsettled:
        # With thousands of copies of few contents, the planner expects few rows, and a nested loop would be quadratic.
        allowed = "off" if with_copies else "on"
        pairs = plan_delete_insert_sql.plan_pairs(
            mapping, complete=complete, copies=with_copies > 0, others=len(others) > 0, foreign=foreign
        )
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
    return 0


def _count(cursor: Cursor, statement: sql.Composed, counts: dict[str, int]) -> None:
    cursor.execute(statement)
    _add(cursor.fetchall(), counts)


def _add(found: Iterable[tuple[str, int]], counts: dict[str, int]) -> None:
    for action, count in found:
        counts[action] = counts.get(action, 0) + count


def apply_merge(
    cursor: Cursor, mapping: TableMapping, plan: MergePlan, *, known: int = 0, again: bool = False
) -> MergeResult:
    """Apply the plan; staged rows that the target refuses are quarantined.

    `known` is the number of rows that earlier runs have quarantined. With `again`, after an attempt that wrote fewer
    rows than planned, rows that a trigger swallows are searched for.

    Raises:
        OvertakenError: A planned row is not as it was.
        SwallowedError: A trigger or a rule swallows all rows.
    """
    if plan.unrecorded:
        if not again and _insert_all(cursor, mapping, plan.insert):
            return MergeResult(inserted=plan.insert)
        cursor.execute(plan_sql.plan_inserts())
    attempt = Attempt(known=known, again=again)
    kept = 0
    if plan.delete and mapping.target.referenced_by:
        # The statement after the lock sees rows that were committed while waiting for it.
        cursor.execute(apply_sql.lock_deletes(mapping))
        kept = _keep_referenced(cursor, mapping)
    deletes = apply_actions(
        cursor,
        mapping,
        "delete",
        apply_sql.delete,
        plan.delete - kept,
        attempt,
        among=plan.delete + plan.referenced + plan.foreign,
    )
    updates = apply_actions(cursor, mapping, "update", apply_sql.update, plan.update, attempt)
    inserts = apply_actions(cursor, mapping, "insert", apply_sql.insert, plan.insert, attempt)
    if inserts.written and any(refusal.sqlstate in NO_PARENT for refusal in updates.refused.values()):
        # The rows that these reference may have been inserted since.
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


def _insert_all(cursor: Cursor, mapping: TableMapping, rows: int) -> bool:
    """Insert all staged rows by one statement, or none of them; returns whether the target accepted all."""
    try:
        execute_completely(cursor, apply_sql.insert_all(mapping), rows, after=apply_sql.note_write())
    except (psycopg.Error, SwallowedError) as exc:
        if isinstance(exc, psycopg.Error) and not (is_refusal(exc) or may_concern_rows(exc)):
            raise
        return False
    return True


def _keep_referenced(cursor: Cursor, mapping: TableMapping) -> int:
    """Remove the deletes of referenced rows from the plan, until none is found; returns their number."""
    kept = 0
    while True:
        found = 0
        for key in mapping.target.referenced_by:
            cursor.execute(apply_sql.keep_referenced(mapping, key))
            found += cursor.rowcount
        kept += found
        # A row that is kept may reference another row of its own table.
        if not found or not any(key.child == key.parent for key in mapping.target.referenced_by):
            return kept


def conflicts(cursor: Cursor, mapping: TableMapping) -> tuple[str, ...]:
    """Returns the keys of the first phone rows that differ from the staged row of the same key."""
    cursor.execute(plan_sql.conflicts(mapping))
    return tuple(key for (key,) in cursor.fetchall())
