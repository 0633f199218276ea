"""Phone rows that an earlier engine inserted on the desktop and altered, and the statements that repair them.

That engine converted clock times through UTC, which put them on the day before, and cut texts to the desktop's column.
"""

from collections.abc import Iterator, Sequence
from functools import partial

from psycopg import sql

from powerca_sync.engine.doctor import examination_sql
from powerca_sync.engine.doctor.columns import Layout
from powerca_sync.engine.doctor.findings import Finding, listed, warning
from powerca_sync.engine.doctor.side import Side
from powerca_sync.engine.mapping import SyncedColumn, TableMapping
from powerca_sync.engine.postgres import Cursor, one_row
from powerca_sync.specs import OWNER, Expression

_TEXTS = ("text", "varchar", "bpchar")
_LIMITED = ("varchar", "bpchar")


def examine_altered(source: Side, target: Side, layout: Layout) -> Iterator[Finding]:
    """Yields a finding for each table whose phone rows on the desktop were altered."""
    for mapping in layout.mappings.values():
        if mapping.spec.reverse and mapping.has_owner and mapping.source.column(OWNER):
            yield from _examine(source, target, mapping)


def _examine(source: Side, target: Side, mapping: TableMapping) -> Iterator[Finding]:
    details: list[str] = []
    repairs: list[sql.Composed] = []
    for column, rows in _cut(source, target, mapping):
        details.append(f"{column.name} cut to {column.source.type} ({rows})")
        repairs.append(examination_sql.widen(mapping.source, column.name, column.column.type))
    for expression, rows in _shifted(source, mapping):
        details.append(f"{expression.column} shifted ({rows})")
        repairs.append(examination_sql.restore(mapping.source, expression))
    if details:
        yield warning(
            source.name,
            f"{mapping.table}: rows that an earlier engine inserted differ from the phones' rows: {listed(details)}.",
            why="A reverse run takes each of them for a look-alike of its phone row, which is quarantined until you "
            "choose.",
            do="Before the first reverse run, as the table's owner (docs/moving-over.md says how to restore the rest "
            "of a cut text):",
            table=mapping.table,
            statements=repairs,
        )


def _shifted(source: Side, mapping: TableMapping) -> Iterator[tuple[Expression, int]]:
    """Yields columns whose value differs from the reverse-synced one, with the number of such rows."""
    found = [one for one in mapping.spec.expressions if mapping.source.column(one.column)]
    if not found:
        return

    def count(cursor: Cursor) -> tuple[int, ...]:
        conditions = [examination_sql.does_not_return(expression) for expression in found]
        return one_row(
            cursor, examination_sql.count_rows(mapping.source, conditions, where=examination_sql.is_phone_row())
        )

    counts = source.look(f"the phone rows of `{mapping.source.name}`", count, table=mapping.table)
    if counts is not None:
        yield from ((expression, rows) for expression, rows in zip(found, counts[1:], strict=True) if rows)


def _cut(source: Side, target: Side, mapping: TableMapping) -> Iterator[tuple[SyncedColumn, int]]:
    """Yields columns in which the desktop has the beginning of a longer phone text, with the number of such rows."""
    for column in mapping.synced:
        taker = column.source
        if taker.base not in _LIMITED or taker.typmod <= 0 or column.column.base not in _TEXTS:
            continue
        texts = target.look(
            f"the phone rows of `{mapping.target.name}`",
            partial(_beginnings, mapping, column),
            table=mapping.table,
        )
        if not texts:
            continue
        rows = source.look(
            f"the phone rows of `{mapping.source.name}`",
            partial(_count_texts, mapping, column, texts),
            table=mapping.table,
        )
        if rows:
            yield column, rows


def _beginnings(mapping: TableMapping, column: SyncedColumn, cursor: Cursor) -> Sequence[str]:
    """Returns the phones' texts that are too long for the desktop's column, cut to its length."""
    cursor.execute(examination_sql.beginnings(mapping, column.column, column.source.typmod - 4))
    return [text for (text,) in cursor.fetchall()]


def _count_texts(mapping: TableMapping, column: SyncedColumn, texts: Sequence[str], cursor: Cursor) -> int:
    rows: int = one_row(cursor, examination_sql.count_texts(mapping.source, column.name), [texts])[0]
    return rows
