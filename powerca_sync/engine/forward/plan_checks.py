"""Check a merge plan by the guards before it is applied; the target's rows are counted only for large plans."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from powerca_sync.engine import guards
from powerca_sync.engine.forward import plan_sql
from powerca_sync.engine.forward.merge import MergePlan
from powerca_sync.engine.mapping import TableMapping
from powerca_sync.engine.postgres import Cursor, one_row
from powerca_sync.engine.requests import Allowances


def check_plan(
    cursor: Cursor,
    mapping: TableMapping,
    plan: MergePlan,
    allowed: Allowances,
    *,
    grown: int | None,
    count_owned: Callable[[], int],
    guarded: Callable[[], AbstractContextManager[None]],
) -> None:
    """Raise `UnsafeTargetError` if the plan deletes, inserts or empties too much, each within `guarded`.

    `grown` is as in `guards.check_mass_insert`; `count_owned` returns how many rows of the target are the desktop's
    now.
    """
    spec = mapping.spec
    deletes, foreign = plan.delete - plan.foreign_deletes, plan.foreign + plan.foreign_deletes
    if deletes > spec.mass_delete_rows or plan.insert > spec.mass_insert_rows:
        # Whoever adds rows must not raise the limits.
        owned = count_owned() - foreign
        with guarded():
            guards.check_mass_delete(
                spec, deletes=deletes, foreign=foreign, owned=owned, allowed=allowed.allow_mass_delete
            )
        with guarded():
            guards.check_mass_insert(
                spec, inserts=plan.insert, grown=grown, owned=owned, allowed=allowed.allow_mass_insert
            )
    if plan.update > spec.emptied_rows and not allowed.allow_emptied:
        emptied = _count_emptied(cursor, mapping)
        with guarded():
            guards.check_emptied(spec, emptied=emptied)


def _count_emptied(cursor: Cursor, mapping: TableMapping) -> dict[str, tuple[int, int]]:
    """Returns (values that would be lost, values that it has now) of each column that loses more than the limit."""
    counts = one_row(cursor, plan_sql.count_emptied(mapping))
    lost = {
        column: count
        for column, count in zip(mapping.content, counts, strict=True)
        if count > mapping.spec.emptied_rows
    }
    if not lost:
        return {}
    values = one_row(cursor, plan_sql.count_values(mapping, tuple(lost)))
    return {column.name: (count, of) for (column, count), of in zip(lost.items(), values, strict=True)}
