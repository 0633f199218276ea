"""Keys that repeat or are empty, and exact copies, among the desktop's rows."""

import dataclasses
from collections.abc import Iterator, Mapping
from functools import partial

from psycopg import sql

from powerca_sync.engine.doctor import examination_sql
from powerca_sync.engine.doctor.columns import Layout
from powerca_sync.engine.doctor.findings import Finding, by_share, fine, listed, warning
from powerca_sync.engine.doctor.side import Side
from powerca_sync.engine.mapping import TableMapping
from powerca_sync.engine.postgres import Cursor, one_row
from powerca_sync.plain_text import counted
from powerca_sync.tables import OWNER, STAMPS, Strategy

#: Exact copies count as a mistake above both limits: number, and share of the table's rows.
MOST_COPIES = 20
COPIES_SHARE = 0.20


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """Rows of one desktop table."""

    rows: int
    #: Rows of an `UPSERT` table with a NULL key.
    keyless: int
    #: By key: rows that share it and differ, and copies beyond the first.
    clashes: Mapping[tuple[str, ...], tuple[int, int]]
    copies: int


def examine_keys(side: Side, layout: Layout) -> Iterator[Finding]:
    """Yields a finding for each table and kind of problem."""
    for mapping in layout.mappings.values():
        found = side.look(
            f"the rows of `{mapping.source.name}`",
            partial(_count, mapping=mapping),
            table=mapping.spec.mobile,
            needed=True,
        )
        if found is not None:
            yield from _report(side.name, mapping, found)


def _count(cursor: Cursor, mapping: TableMapping) -> Counts:
    source, spec = mapping.source, mapping.spec
    upsert = spec.strategy is Strategy.UPSERT
    empty = [examination_sql.is_empty(name) for name in spec.key] if upsert else [sql.SQL("FALSE")]
    no_key = sql.SQL(" OR ").join(empty)
    rows, keyless = one_row(
        cursor, examination_sql.count_rows(source, [no_key], where=examination_sql.not_pulled(source))
    )
    content = [column.name for column in mapping.synced if column.name not in (*STAMPS, OWNER)]
    keys = dict.fromkeys([spec.key] if upsert else [])
    travelling = {column.name for column in mapping.synced}
    keys |= dict.fromkeys(key.columns for key in mapping.target.unique_keys if travelling.issuperset(key.columns))
    clashes = {}
    for key in keys:
        if not source.is_unique(key):
            differing, copies = one_row(cursor, examination_sql.count_clashes(source, key, content))
            clashes[key] = (int(differing), int(copies))
    copies = 0
    if not (keys or source.unique_keys):
        copies = int(one_row(cursor, examination_sql.count_copies(source, content))[0])
    return Counts(
        rows=rows,
        keyless=keyless,
        clashes=clashes,
        copies=copies,
    )


def _report(side: str, mapping: TableMapping, found: Counts) -> Iterator[Finding]:
    spec, table = mapping.spec, mapping.spec.mobile
    if found.keyless:
        yield Finding(
            severity=by_share(spec, unfit=found.keyless, rows=found.rows),
            side=side,
            table=table,
            what=f"{table}: {counted(found.keyless, 'row')} without a value in the key ({listed(spec.key)}).",
            why="A row without a key cannot be paired; it is quarantined.",
            do="Fill in the key in the office's program, or delete the row there.",
        )
    for key, (differing, copies) in found.clashes.items():
        if differing:
            yield Finding(
                severity=by_share(spec, unfit=differing, rows=found.rows),
                side=side,
                table=table,
                what=f"{table}: {differing} rows share their {listed(key)} with a row of other content.",
                why="The sync cannot know which one is right: all of them are quarantined.",
                do="Correct or delete the wrong ones in the office's program.",
            )
        if copies:
            yield _copies(side, table, copies, found.rows, f" with the same {listed(key)}; one is synced")
    if found.copies:
        yield _copies(side, table, found.copies, found.rows, "; each of them is synced")


def _copies(side: str, table: str, copies: int, rows: int, words: str) -> Finding:
    are = "1 row is an exact copy" if copies == 1 else f"{copies} rows are exact copies"
    what = f"{table}: {are} of another{words}."
    if copies <= MOST_COPIES or copies <= COPIES_SHARE * rows:
        return fine(side, what, table=table)
    return warning(
        side,
        f"{table}: {are} of another, {copies / rows:.0%} of the {rows} rows{words}.",
        why="A refresh that ran several times leaves the office's rows several times, and phones show them all.",
        do="Look at some of them in the office's program. If they are a mistake, delete the copies on the desktop.",
        table=table,
    )
