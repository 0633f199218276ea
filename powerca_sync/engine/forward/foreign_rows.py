"""Foreign rows: desktop-owned rows that others inserted or changed on mobile and that the source does not have.

The desktop did not lose them. They are kept and reported until somebody decides, and the guard against mass deletes
does not count them, so that what phones can write does not stop the office.
"""

from collections.abc import Sequence

from powerca_sync.engine.forward import row_versions_sql
from powerca_sync.engine.forward.merge import MergePlan, MergeResult
from powerca_sync.engine.forward.prepared import PreparedTable
from powerca_sync.engine.postgres import Cursor, one_row
from powerca_sync.engine.state import TargetMark, mark_after
from powerca_sync.plain_text import counted, in_one_line


def read_keys(cursor: Cursor, prepared: PreparedTable) -> tuple[str, ...]:
    """Returns the keys of the first foreign rows that are kept."""
    cursor.execute(row_versions_sql.foreign_keys(prepared.mapping))
    return tuple(
        ", ".join(f"{name}={in_one_line(str(value))}" for name, value in key.items()) for (key,) in cursor.fetchall()
    )


def describe(rows: int, keys: Sequence[str]) -> str:
    """Returns a warning about the foreign rows that are kept, of which some have these keys."""
    more = f" and {rows - len(keys)} more" if rows > len(keys) else ""
    return (
        f"{counted(rows, 'row')} inserted or changed on mobile by others, not on the desktop, and kept "
        f"({'; '.join(keys)}{more}). Delete them with `--delete-foreign`, or set `source = 'M'` on mobile if phones "
        "created them"
    )


def next_mark(
    cursor: Cursor, prepared: PreparedTable, plan: MergePlan, merged: MergeResult, *, more_written: bool
) -> TargetMark | None:
    """Returns which row versions are known once this transaction commits; its writes come first.

    None for a table from which no run deletes. `more_written`: triggers may have written more rows than the merge.
    """
    if not prepared.mapping.spec.follows_deletes:
        return None
    before = prepared.before.target_mark
    own: Sequence[int] = ()
    foreign: Sequence[int] = ()
    highest = before.highest if before else None
    if merged.written or more_written or (before is None and not prepared.noop):
        known = row_versions_sql.known_versions(prepared.mapping, before, noted=not more_written)
        own, highest = one_row(cursor, known)
    if plan.foreign_noted:
        (foreign,) = one_row(cursor, row_versions_sql.foreign_authors())
    return mark_after(
        before,
        prepared.before.target_now,
        complete=prepared.shows_deletes,
        own=own,
        foreign=foreign,
        highest=highest,
        rows=plan.foreign,
    )
