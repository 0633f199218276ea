"""Insert staged phone rows into the target, each with its entry in the ledger; nothing there is updated or deleted."""

from collections.abc import Iterator

import psycopg
from psycopg import sql

from powerca_sync.engine.catalog import Column
from powerca_sync.engine.database import Cursor, one_row
from powerca_sync.engine.failures import is_refusal
from powerca_sync.engine.mapping import TableMapping
from powerca_sync.engine.sql import load
from powerca_sync.engine.statements import apply as apply_statements
from powerca_sync.engine.statements import pull as statements
from powerca_sync.engine.statements import quarantine
from powerca_sync.engine.statements.fragments import STAGING
from powerca_sync.engine.steps import WORTH_ANALYZING

#: A sequence is not moved past this share of what its column can hold.
HIGHEST_SHARE = 0.9
#: Why a row is in quarantine that no error kept out.
SWALLOWED = "a trigger or a rule of the target swallowed the row"


class _NotAsSentError(Exception):
    """The target inserted fewer rows than it was given, or others: which ones, only single rows can tell."""


def insert_staged(cursor: Cursor, mapping: TableMapping, run_id: str | None) -> tuple[int, int]:
    """Insert what is staged; rows that the target refuses go to the rejected.

    Answers (rows inserted, rows that the target altered as it took them).
    """
    (planned,) = one_row(cursor, statements.number_inserts())
    if planned >= WORTH_ANALYZING:
        cursor.execute(apply_statements.index_actions())
        cursor.execute(sql.SQL("ANALYZE {}").format(STAGING))
    pulled = altered = 0
    refused: dict[int, str] = {}
    orphans: set[int] = set()
    ranges, progress = [(1, planned)] if planned else [], False
    while ranges:
        first, last = ranges.pop()
        try:
            with cursor.connection.transaction():
                landed, changed = one_row(cursor, statements.insert(mapping, first, last, run_id))
                if landed <= last - first or (changed and first < last):
                    raise _NotAsSentError
        except (psycopg.Error, _NotAsSentError) as exc:
            if isinstance(exc, psycopg.Error) and not is_refusal(exc):
                raise
            if first < last:
                middle = (first + last) // 2
                ranges += [(middle + 1, last), (first, middle)]
            else:
                refused[first] = exc.diag.message_primary or str(exc) if isinstance(exc, psycopg.Error) else SWALLOWED
                if isinstance(exc, psycopg.errors.ForeignKeyViolation):
                    orphans.add(first)
        else:
            pulled, altered, progress = pulled + landed, altered + changed, True
        if not ranges and orphans and progress:
            # A row may name another of its own table, which has landed after it.
            ranges, progress = [(n, n) for n in sorted(orphans)], False
            refused = {n: words for n, words in refused.items() if n not in orphans}
            orphans = set()
    if pulled:
        altered += one_row(cursor, statements.follow(mapping))[0]
    for n, message in refused.items():
        cursor.execute(apply_statements.mark_refused("insert", n, message))
    if refused:
        faulty = apply_statements.faulty_actions("refused", reason="refused", mapping=mapping)
        cursor.execute(quarantine.reject(mapping, faulty))
    return pulled, altered


def move_sequences(cursor: Cursor, mapping: TableMapping) -> Iterator[str]:
    """Move the sequences of the target past the keys that were inserted, so that its own next rows get others.

    Yields a warning for each that cannot be moved far enough.
    """
    cursor.execute(load("sequences.sql"), {"table": mapping.target.oid})
    for name, schema, sequence, start, most in cursor.fetchall():
        column = next((column for column in mapping.staged if column.name == name), None)
        if column is None or column.category != "N":
            continue
        limit = int(HIGHEST_SHARE * min(most, _most(column)))
        highest, beyond = one_row(cursor, statements.highest(name, limit))
        if highest is not None:
            cursor.execute(statements.advance(sql.Identifier(schema, sequence), int(highest), start))
        if beyond is not None:
            yield f"{name}={beyond} is close to the end of its range; its sequence does not move past it"


def _most(column: Column) -> float:
    """The highest number that a column can hold."""
    if column.base == "numeric" and column.typmod >= 0:
        precision, scale = (column.typmod - 4) >> 16, (((column.typmod - 4) & 0x7FF) ^ 1024) - 1024
        return float(10 ** (precision - scale) - 1)
    return {"int2": 2**15 - 1, "int4": 2**31 - 1}.get(column.base, 2**63 - 1)
