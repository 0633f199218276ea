"""Find rows for which an expression of the spec fails, exclude them from the COPY, and quarantine them.

A COPY would end at the first of them. Tables without expressions take no extra statement.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping

import psycopg
from psycopg import sql

from powerca_sync.engine.mapping import ExtraColumn, TableMapping
from powerca_sync.engine.postgres import Cursor, error_text, execute_in_savepoint, is_refusal, one_row
from powerca_sync.engine.staging import extract_sql
from powerca_sync.engine.staging.oversized import split_oversized
from powerca_sync.engine.staging.refused_rows import UTF8, Refusal, refuse_row
from powerca_sync.engine.staging.staging import MOST_REFUSED, Staged, split_rows
from powerca_sync.errors import StagingError

#: The database's message by `extract_sql.row_hash`.
Unreadable = Mapping[int, str]
_HASH = "unreadable:hash"


def find_unreadable(
    source: Cursor, mapping: TableMapping, where: sql.Composable, *, images: bool = False
) -> Unreadable:
    """Find the rows for which `where` holds (alias `s`) and an expression fails; with `images`, images of the ledger.

    Takes one round trip if there are none. The transaction remains usable.

    Raises:
        StagingError: There are more than `MOST_REFUSED`.
    """
    if not mapping.computed:
        return {}
    rows = extract_sql.pulled_images(mapping) if images else mapping.source.identifier
    where = sql.SQL("({}) AND {}").format(where, extract_sql.fits(mapping))
    try:
        execute_in_savepoint(source, extract_sql.evaluate(mapping, rows, where))
    except psycopg.Error as exc:
        if not is_refusal(exc):
            raise
        execute_in_savepoint(source, extract_sql.find_unreadable(mapping, rows, where, MOST_REFUSED))
        (found,) = one_row(source, "SELECT current_setting(%s)", [extract_sql.UNREADABLE])
        unreadable = {int(row_hash): words for row_hash, words in json.loads(found)}
        if len(unreadable) > MOST_REFUSED:
            raise StagingError(
                f"Table `{mapping.table}`: an expression of the spec fails for more than {MOST_REFUSED} rows; "
                f"for example: {error_text(exc)}. Nothing was written. Correct the expression."
            ) from exc
        return unreadable
    return {}


def without_unreadable(mapping: TableMapping, where: sql.Composable, unreadable: Unreadable) -> sql.Composable:
    """Returns a condition on the source's row `s`: `where` holds and the row is not unreadable."""
    if not unreadable:
        return where
    return sql.SQL("({}) AND NOT {}").format(where, extract_sql.is_among(mapping, list(unreadable)))


def copy_out_unreadable(mapping: TableMapping, where: sql.Composable, unreadable: Unreadable) -> sql.Composed:
    """Returns a COPY of the unreadable rows for which `where` holds, with NULL for computed columns, and the hash."""
    where = sql.SQL("({}) AND {}").format(where, extract_sql.is_among(mapping, list(unreadable)))
    return extract_sql.copy_out(_hashed(mapping), where)


def refuse_unreadable(
    target: Cursor,
    mapping: TableMapping,
    rows: Iterable[bytes],
    unreadable: Unreadable,
    staged: Staged,
    *,
    codec: str = UTF8,
) -> None:
    """Quarantine the rows read by `copy_out_unreadable`; `staged` counts them."""
    for row in (row for block in split_oversized(rows, mapping, []) for row in split_rows(block)):
        words = unreadable[int(row.rstrip(b"\n").rpartition(b"\t")[2])]
        refuse_row(target, _hashed(mapping), row.rstrip(b"\n"), Refusal(message=words), codec)
        staged.read += 1
        staged.refused += 1


def _hashed(mapping: TableMapping) -> TableMapping:
    row_hash = ExtraColumn(name=_HASH, type="bigint", source_expression=extract_sql.row_hash(mapping))
    return dataclasses.replace(extract_sql.without_computed(mapping), extra_columns=(*mapping.extra_columns, row_hash))
