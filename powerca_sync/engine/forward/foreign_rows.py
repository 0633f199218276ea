"""Foreign rows: desktop-owned rows that others inserted or changed on mobile and that the source does not have.

The desktop did not lose them. They are kept and reported until somebody decides, and the guard against mass deletes
does not count them, so that what phones can write does not stop the office.
"""

from collections.abc import Sequence

from powerca_sync.engine.forward import row_versions_sql
from powerca_sync.engine.forward.merge import MergePlan, MergeResult
from powerca_sync.engine.forward.prepared import PreparedTable
from powerca_sync.engine.postgres import Cursor, Query, one_row
from powerca_sync.engine.state import TargetMark, mark_after
from powerca_sync.plain_text import counted, in_one_line

#: The transactions and subtransactions by which a run wrote rows, and the highest primary key that is known.
KnownVersions = tuple[Sequence[int], int | None]


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


def known_versions(prepared: PreparedTable, merged: MergeResult, *, writes: int) -> list[Query]:
    """Returns the query for the row versions that are known after the merge, if they are to be remembered.

    `writes`: the session had done so many to the table before the merge.
    """
    mapping, before = prepared.mapping, prepared.before.target_mark
    if not mapping.spec.follows_deletes or not (merged.written or before is None):
        return []
    return [(row_versions_sql.known_versions(mapping, before, writes=writes + merged.written), None)]


def next_mark(
    cursor: Cursor, prepared: PreparedTable, plan: MergePlan, known: KnownVersions | None
) -> TargetMark | None:
    """Returns which row versions are known once this transaction commits; its writes come first.

    None for a table from which no run deletes. `known` is the result of `known_versions`, if there was a query.
    """
    if not prepared.mapping.spec.follows_deletes:
        return None
    before = prepared.before.target_mark
    foreign: Sequence[int] = ()
    own, highest = known or ((), before.highest if before else None)
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
