"""Rows of the source over which an expression of the spec raises: found, left out of what is read, and quarantined.

A COPY ends at the first of them. Tables without expressions have none, and cost nothing.
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
from powerca_sync.engine.staging.staging import MOST_REFUSED, Staged
from powerca_sync.errors import StagingError

#: What the database said, by `statements.row_hash`.
Unreadable = Mapping[int, str]
_HASH = "unreadable:hash"


def find_unreadable(
    source: Cursor, mapping: TableMapping, where: sql.Composable, *, images: bool = False
) -> Unreadable:
    """Find the rows for which `where` holds (alias `s`) over which an expression raises; with `images` of the ledger.

    In one round trip if there are none. Raises `StagingError` if there are too many. The transaction goes on.
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
                f"Table `{mapping.spec.mobile}`: an expression of the spec fails for more than {MOST_REFUSED} rows; "
                f"for example: {error_text(exc)}. Nothing was written. Correct the expression."
            ) from exc
        return unreadable
    return {}


def without_unreadable(mapping: TableMapping, where: sql.Composable, unreadable: Unreadable) -> sql.Composable:
    """A condition on the source's row `s`: `where` holds, and the row is not one of the unreadable ones."""
    if not unreadable:
        return where
    return sql.SQL("({}) AND NOT {}").format(where, extract_sql.is_among(mapping, list(unreadable)))


def copy_out_unreadable(mapping: TableMapping, where: sql.Composable, unreadable: Unreadable) -> sql.Composed:
    """COPY the unreadable rows for which `where` holds, with NULL for what cannot be computed, and their hashes."""
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
    """Quarantine the rows that `copy_out_unreadable` has read; `staged` counts them."""
    for row in split_oversized(rows, mapping, []):
        words = unreadable[int(row.rstrip(b"\n").rpartition(b"\t")[2])]
        refuse_row(target, _hashed(mapping), row.rstrip(b"\n"), Refusal(message=words), codec)
        staged.read += 1
        staged.refused += 1


def _hashed(mapping: TableMapping) -> TableMapping:
    row_hash = ExtraColumn(name=_HASH, type="bigint", source_expression=extract_sql.row_hash(mapping))
    return dataclasses.replace(extract_sql.without_computed(mapping), extra_columns=(*mapping.extra_columns, row_hash))
