"""Copy rows into staging in binary form, where source and target have the same types.

The servers then neither make nor read the texts of values. The rows pass in one COPY and are not kept; if the target
refuses any, nothing is staged, and the rows are to be copied as text, which finds the ones at fault.
"""

import contextlib
from collections.abc import Callable, Generator

import psycopg
from psycopg import sql

from powerca_sync.engine.mapping import STAGING, TableMapping
from powerca_sync.engine.postgres import Cursor, is_refusal, read_copy, server_encoding
from powerca_sync.engine.staging import binary_copy_sql, staging_sql
from powerca_sync.engine.staging.refused_rows import COPY_ERRORS, check_concerns_rows
from powerca_sync.engine.staging.staging import CHUNK, Staged, check_complete, log_progress

#: Of a COPY without rows: the header, and the end.
_WITHOUT_ROWS = 21


class _RefusedError(Exception):
    """The source cannot make the binary form of a value."""


def binary_values(source: Cursor, target: Cursor, mapping: TableMapping) -> list[sql.Composable] | None:
    """Returns an expression for each of `staged_names` whose binary form staging takes; None if there are none."""
    for cursor in (source, target):
        settings = cursor.connection.info.parameter_status
        if server_encoding(cursor) != "UTF8" or settings("integer_datetimes") != "on":
            return None
    return binary_copy_sql.values(mapping)


def copy_binary(
    source: Cursor,
    target: Cursor,
    mapping: TableMapping,
    where: sql.Composable,
    values: list[sql.Composable],
    *,
    reading: Callable[[], contextlib.AbstractContextManager[None]],
    into: sql.Identifier = STAGING,
    create: Callable[[], None] | None = None,
) -> Staged | None:
    """Copy the rows for which `where` holds and that are within the size limit; returns None if any is refused.

    `values` come from `binary_values`; the other arguments are as in `stage_source`.
    """
    staged = Staged()
    copy_out, copy_in = binary_copy_sql.copy_out(mapping, values, where), staging_sql.copy_in(mapping, into, True)
    with contextlib.closing(_read(source, copy_out, reading)) as blocks:
        try:
            first, messages = next(blocks)
            if len(first) == _WITHOUT_ROWS:
                return staged
            if create:
                create()
            with target.connection.transaction(), target.copy(copy_in) as copy:
                copy.write(first)
                staged.read, staged.bytes, logged = messages, len(first), 0
                for block, messages in blocks:
                    copy.write(block)
                    staged.read += messages
                    staged.bytes += len(block)
                    if staged.bytes - logged >= CHUNK:
                        logged = staged.bytes
                        log_progress(mapping, staged)
        except _RefusedError:
            return None
        except COPY_ERRORS as exc:
            check_concerns_rows(exc)
            return None
    # The last message is the end.
    staged.read -= 1
    staged.accepted = target.rowcount
    check_complete(mapping, staged)
    return staged


def _read(
    source: Cursor, copy_out: sql.Composed, reading: Callable[[], contextlib.AbstractContextManager[None]]
) -> Generator[tuple[bytes, int], None, None]:
    """Yields as `read_copy`; after a refusal the source's snapshot remains."""
    with reading():
        try:
            with source.connection.transaction():
                yield from read_copy(source, copy_out)
        except psycopg.Error as exc:
            if not is_refusal(exc):
                raise
            raise _RefusedError from exc
