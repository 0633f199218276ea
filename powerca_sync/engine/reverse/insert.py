"""Insert staged phone rows into the target, each with its ledger entry, and move sequences past their keys."""

from collections.abc import Iterator

import psycopg
from psycopg import sql
from psycopg.errors import ForeignKeyViolation

from powerca_sync.engine.forward import apply_sql
from powerca_sync.engine.mapping import STAGING, TableMapping
from powerca_sync.engine.postgres import Column, Cursor, RefusalJudge, SwallowedError, bisect, load, one_row, write
from powerca_sync.engine.reverse import insert_sql
from powerca_sync.engine.staging import WORTH_ANALYZING, quarantine_sql
from powerca_sync.errors import SchemaMismatchError

#: Share of its column's range past which a sequence is not moved, so that phones cannot use the range up.
HIGHEST_SHARE = 0.5
#: A sequence is not moved past the larger of this number and twice its last value: the office never reaches such keys.
NEVER_REACHED = 1_000_000


class _AlteredError(Exception):
    """The target changed some rows of a range on insert; single inserts show which ones."""


def insert_staged(cursor: Cursor, mapping: TableMapping, run_id: str | None) -> tuple[int, int]:
    """Insert the staged rows; those that the target refuses are quarantined.

    Returns (rows inserted, rows that the target changed on insert). Raises `SchemaMismatchError` if a trigger swallows
    all of them.
    """
    try:
        return _insert_staged(cursor, mapping, run_id)
    except SwallowedError as exc:
        raise SchemaMismatchError(f"Table `{mapping.spec.desktop}`: {exc}. Nothing was written.") from exc


def _insert_staged(cursor: Cursor, mapping: TableMapping, run_id: str | None) -> tuple[int, int]:
    (planned,) = one_row(cursor, insert_sql.number_inserts())
    if planned >= WORTH_ANALYZING:
        cursor.execute(apply_sql.index_actions())
        cursor.execute(sql.SQL("ANALYZE {}").format(STAGING))
    pulled = altered = 0

    def insert(first: int, last: int) -> tuple[int, int]:
        inserted = write(cursor, insert_sql.insert(mapping, first, last))
        if inserted <= last - first:
            return inserted, 0
        return inserted, one_row(cursor, insert_sql.enter(mapping, first, last, run_id))[0]

    judge = RefusalJudge(
        cursor, mapping.target, "insert", lambda n: insert(n, n)[0], planned, known=lambda: _known(cursor, mapping)
    )

    def insert_range(first: int, last: int) -> None:
        nonlocal pulled, altered
        with cursor.connection.transaction():
            inserted, changed = insert(first, last)
            if inserted <= last - first:
                raise SwallowedError
            if changed and first < last:
                raise _AlteredError
        pulled, altered = pulled + inserted, altered + changed

    def check(exc: psycopg.Error | SwallowedError | _AlteredError) -> None:
        if not isinstance(exc, _AlteredError):
            judge.check(exc, pulled)

    def isolate(first: int, last: int) -> dict[int, psycopg.Error | SwallowedError]:
        refusals = (psycopg.Error, SwallowedError, _AlteredError)
        found = bisect(insert_range, first, last, refusals=refusals, check=check)
        return {n: exc for n, _, exc in found if not isinstance(exc, _AlteredError)}

    refused = isolate(1, planned)
    progress = pulled > 0
    while progress and (orphans := [n for n, exc in refused.items() if isinstance(exc, ForeignKeyViolation)]):
        # A row may reference another of its own table that was inserted after it.
        before = pulled
        for n in reversed(orphans):
            del refused[n]
            refused |= isolate(n, n)
        progress = pulled > before
    if pulled:
        altered += one_row(cursor, insert_sql.refresh_after_triggers(mapping))[0]
    for n, exc in refused.items():
        cursor.execute(apply_sql.mark_refused("insert", n, judge.words(exc)))
    if refused:
        faulty = apply_sql.faulty_actions("refused", reason="refused", mapping=mapping)
        cursor.execute(quarantine_sql.reject(mapping, faulty))
    return pulled, altered


def _known(cursor: Cursor, mapping: TableMapping) -> int:
    return int(one_row(cursor, insert_sql.count_quarantined(), [mapping.table])[0])


def move_sequences(cursor: Cursor, mapping: TableMapping) -> Iterator[str]:
    """Move the target's sequences past the inserted keys, so that its own next rows get other keys.

    Yields a warning for each sequence that stays below an inserted key because the key is too high.
    """
    cursor.execute(load(__package__, "sequences.sql"), {"table": mapping.target.oid})
    for name, schema, sequence, start, most, last in cursor.fetchall():
        column = next((column for column in mapping.staged if column.name == name), None)
        if column is None or column.category != "N":
            continue
        limit = int(min(HIGHEST_SHARE * min(most, _most(column)), max(2 * last, NEVER_REACHED)))
        highest, beyond = one_row(cursor, insert_sql.highest(name, limit))
        if highest is not None:
            cursor.execute(insert_sql.advance(sql.Identifier(schema, sequence), int(highest), start))
        if beyond is not None:
            yield (
                f"{name}={beyond} is higher than the desktop's own rows will reach; "
                f"its sequence stays below {limit + 1}"
            )


def _most(column: Column) -> float:
    """Returns the highest number that a column can hold."""
    if column.base == "numeric" and column.typmod >= 0:
        precision, scale = (column.typmod - 4) >> 16, (((column.typmod - 4) & 0x7FF) ^ 1024) - 1024
        return float(10 ** (precision - scale) - 1)
    return {"int2": 2**15 - 1, "int4": 2**31 - 1}.get(column.base, 2**63 - 1)
