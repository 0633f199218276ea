"""Copy rows of the source into a working table, and quarantine those that cannot be read or are too large."""

import contextlib
import functools
from collections.abc import Callable, Generator

from psycopg import sql

from powerca_sync.engine.mapping import STAGING, TableMapping
from powerca_sync.engine.postgres import Cursor
from powerca_sync.engine.staging import extract_sql
from powerca_sync.engine.staging.binary_copy import binary_values, copy_binary
from powerca_sync.engine.staging.oversized import refuse_oversized, split_oversized
from powerca_sync.engine.staging.refused_rows import UTF8
from powerca_sync.engine.staging.staging import Staged, stage_rows
from powerca_sync.engine.staging.unreadable import (
    copy_out_unreadable,
    find_unreadable,
    refuse_unreadable,
    without_unreadable,
)

#: Executes a COPY at the source and yields its rows.
Read = Callable[[sql.Composed], Generator[bytes, None, None]]


def stage_source(
    source: Cursor,
    target: Cursor,
    mapping: TableMapping,
    where: sql.Composable,
    *,
    read: Read,
    reading: Callable[[], contextlib.AbstractContextManager[None]],
    into: sql.Identifier = STAGING,
    codec: str = UTF8,
    defer: bool = False,
    create: Callable[[], None] | None = None,
    binary: bool = False,
) -> Staged:
    """Copy the source's rows for which `where` holds (alias `s`) into a working table of the target.

    Skips rows over the spec's size limit and rows for which an expression of the spec fails; quarantines them if the
    working table is staging. `reading` marks errors as the source's; `codec`, `defer` and `create` are as in
    `stage_rows`. With `binary`, rows are copied in binary form if that is possible.
    """
    with reading():
        unreadable = find_unreadable(source, mapping, where)
    # After a refusal of the binary form, staging exists.
    create = functools.cache(create) if create else None
    oversized: list[bytes] = []
    staged, left = None, without_unreadable(mapping, where, unreadable)
    if binary and (values := binary_values(source, target, mapping)):
        staged = copy_binary(source, target, mapping, left, values, reading=reading, into=into, create=create)
        if staged is not None:
            left = sql.SQL("({}) AND NOT {}").format(left, extract_sql.fits(mapping))
    if staged is None or extract_sql.has_size(mapping):
        with contextlib.closing(read(extract_sql.copy_out(mapping, left))) as found:
            rows = split_oversized(found, mapping, oversized)
            as_text = stage_rows(target, mapping, rows, into=into, codec=codec, defer=defer, create=create)
        staged = staged or as_text
    if into is STAGING:
        if create and not staged.read and (oversized or unreadable):
            create()
        refuse_oversized(target, mapping, oversized, staged, codec=codec)
        if unreadable:
            with contextlib.closing(read(copy_out_unreadable(mapping, where, unreadable))) as rows:
                refuse_unreadable(target, mapping, rows, unreadable, staged, codec=codec)
    return staged
