"""Rows of the source over which an expression of the spec raises: found, left out of what is read, and quarantined.

A COPY ends at the first of them. Tables without expressions have none, and cost nothing.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping

import psycopg
from psycopg import sql

from powerca_sync.engine.database import Cursor, attempt, one_row
from powerca_sync.engine.failures import is_refusal, words_of
from powerca_sync.engine.mapping import Aside, TableMapping
from powerca_sync.engine.oversized import split_oversized
from powerca_sync.engine.staging import MOST_REFUSED, UTF8, Refusal, Staged, refuse_row
from powerca_sync.engine.statements import extract as statements
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
    rows = statements.pulled_images(mapping) if images else mapping.source.identifier
    where = sql.SQL("({}) AND {}").format(where, statements.fits(mapping))
    try:
        attempt(source, statements.evaluate(mapping, rows, where))
    except psycopg.Error as exc:
        if not is_refusal(exc):
            raise
        attempt(source, statements.find_unreadable(mapping, rows, where, MOST_REFUSED))
        (found,) = one_row(source, "SELECT current_setting(%s)", [statements.UNREADABLE])
        unreadable = {int(row_hash): words for row_hash, words in json.loads(found)}
        if len(unreadable) > MOST_REFUSED:
            raise StagingError(
                f"Table `{mapping.spec.mobile}`: an expression of the spec fails for more than {MOST_REFUSED} rows; "
                f"for example: {words_of(exc)}. Nothing was written. Correct the expression."
            ) from exc
        return unreadable
    return {}


def without_unreadable(mapping: TableMapping, where: sql.Composable, unreadable: Unreadable) -> sql.Composable:
    """A condition on the source's row `s`: `where` holds, and the row is not one of the unreadable ones."""
    if not unreadable:
        return where
    return sql.SQL("({}) AND NOT {}").format(where, statements.is_among(mapping, list(unreadable)))


def copy_out_unreadable(mapping: TableMapping, where: sql.Composable, unreadable: Unreadable) -> sql.Composed:
    """COPY the unreadable rows for which `where` holds, with NULL for what cannot be computed, and their hashes."""
    where = sql.SQL("({}) AND {}").format(where, statements.is_among(mapping, list(unreadable)))
    return statements.copy_out(_hashed(mapping), where)


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
    row_hash = Aside(name=_HASH, type="bigint", read=statements.row_hash(mapping))
    return dataclasses.replace(statements.without_computed(mapping), asides=(*mapping.asides, row_hash))
