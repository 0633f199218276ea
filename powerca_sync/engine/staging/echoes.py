"""Remove reverse-synced rows from staging: echoes, and the office's edits of phone rows."""

import dataclasses
from collections.abc import Callable
from contextlib import AbstractContextManager, closing

from psycopg import sql

from powerca_sync.engine.mapping import LEDGER, TableMapping
from powerca_sync.engine.postgres import Cursor, one_row
from powerca_sync.engine.staging import echo_sql, extract_sql
from powerca_sync.engine.staging.source_rows import Read
from powerca_sync.engine.staging.staging import WORTH_ANALYZING, stage_rows
from powerca_sync.engine.staging.unreadable import find_unreadable, without_unreadable


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Echoes:
    """The rows removed from staging."""

    #: The mapping whose merge leaves reverse-synced rows of the target alone.
    mapping: TableMapping
    echo: int = 0
    #: The office's edits of phone rows, and the keys of the first.
    edited: int = 0
    edited_keys: tuple[str, ...] = ()


def skip_echoes(
    source: Cursor,
    target: Cursor,
    mapping: TableMapping,
    images: TableMapping | None,
    where: sql.Composable,
    *,
    read: Read,
    reading: Callable[[], AbstractContextManager[None]],
) -> Echoes:
    """Remove reverse-synced rows from staging.

    `images` is the mapping of the ledger's images, of which those are read for which `where` holds (alias `s`); None if
    the ledger has no entry of the table. `read` and `reading` are as in `stage_source`.
    """
    if images is None and not mapping.source_has_owner:
        return Echoes(mapping=mapping)
    found = Echoes(mapping=mapping)
    if images is not None:
        _stage_images(source, target, images, where, read=read, reading=reading)
        if mapping.target.primary_key and mapping.has_owner:
            mapping = mapping.with_merge_filter(echo_sql.not_in_ledger(mapping))
        found = _skip_with_entry(target, mapping, dataclasses.replace(images, merge_filter=mapping.merge_filter))
    return _skip_without_entry(target, mapping, found)


def _stage_images(
    source: Cursor,
    target: Cursor,
    images: TableMapping,
    where: sql.Composable,
    *,
    read: Read,
    reading: Callable[[], AbstractContextManager[None]],
) -> None:
    entries = extract_sql.of_entries(images)
    with reading():
        unreadable = find_unreadable(source, entries, where, images=True)
    copy_out = extract_sql.copy_out_ledger(entries, without_unreadable(entries, where, unreadable))
    with closing(read(copy_out)) as rows:
        staged = stage_rows(target, entries, rows, into=LEDGER)
    if staged.accepted >= WORTH_ANALYZING:
        target.execute(sql.SQL("ANALYZE {}").format(LEDGER))


def _skip_with_entry(cursor: Cursor, mapping: TableMapping, images: TableMapping) -> Echoes:
    if not images.target.primary_key:
        cursor.execute(echo_sql.drop_ended_entries(images))
    echo, missing = one_row(cursor, echo_sql.skip_echo(images))
    edited, keys = one_row(cursor, echo_sql.skip_edits(images)) if missing else (0, None)
    return Echoes(mapping=mapping, echo=echo, edited=edited, edited_keys=tuple(keys or ()))


def _skip_without_entry(cursor: Cursor, mapping: TableMapping, found: Echoes) -> Echoes:
    if not (mapping.source_has_owner and mapping.key_names) or mapping.pairs_by_key:
        # The merge of an UPSERT table pairs these rows with their phone row by key.
        return found
    same, edited, keys = one_row(cursor, echo_sql.skip_without_entry(mapping))
    return Echoes(
        mapping=mapping,
        echo=found.echo + same,
        edited=found.edited + edited,
        edited_keys=(*found.edited_keys, *(keys or ())),
    )
