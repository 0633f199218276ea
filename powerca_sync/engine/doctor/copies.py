"""Report exact copies among the desktop's rows."""

from collections.abc import Iterator
from functools import partial

from powerca_sync.engine.doctor import examination_sql
from powerca_sync.engine.doctor.columns import Layout
from powerca_sync.engine.doctor.findings import Finding, fine, warning
from powerca_sync.engine.doctor.side import Side
from powerca_sync.engine.mapping import TableMapping
from powerca_sync.engine.postgres import Cursor, one_row
from powerca_sync.plain_text import counted
from powerca_sync.specs import OWNER, STAMPS

#: Exact copies count as a mistake above both limits: number, and share of the table's rows.
MOST_COPIES = 20
COPIES_SHARE = 0.20


def examine_copies(side: Side, layout: Layout) -> Iterator[Finding]:
    """Yield a finding for each table that may hold a row twice, and does."""
    for mapping in layout.mappings.values():
        if mapping.pairs_by_key or mapping.source.unique_keys or _has_unique_key(mapping):
            continue
        count = partial(_count, mapping=mapping)
        found = side.look(f"the rows of `{mapping.source.name}`", count, table=mapping.table, needed=True)
        if found and found[1]:
            rows, copies = found
            yield describe_copies(side.name, mapping.table, copies, rows, "; each of them is synced")


def describe_copies(side: str, table: str, copies: int, rows: int, words: str) -> Finding:
    """A note, or a warning if a large share of the table's rows are copies."""
    alike = f"{counted(copies, 'row')} exactly like another"
    what = f"{table}: {alike}{words}."
    if copies <= MOST_COPIES or copies <= COPIES_SHARE * rows:
        return fine(side, what, table=table)
    return warning(
        side,
        f"{table}: {alike}, {copies / rows:.0%} of the {counted(rows, 'row')}{words}.",
        why="A refresh that ran several times leaves the office's rows several times, and phones show them all.",
        do="Look at some of them in the office's program. If they are a mistake, delete the copies on the desktop.",
        table=table,
    )


def _has_unique_key(mapping: TableMapping) -> bool:
    travelling = {column.name for column in mapping.synced}
    return any(travelling.issuperset(key.columns) for key in mapping.target.unique_keys)


def _count(cursor: Cursor, mapping: TableMapping) -> tuple[int, int]:
    """Returns (rows, copies beyond the first of each)."""
    content = [column.name for column in mapping.synced if column.name not in (*STAMPS, OWNER)]
    rows, copies = one_row(cursor, examination_sql.count_copies(mapping.source, content))
    return int(rows), int(copies)
