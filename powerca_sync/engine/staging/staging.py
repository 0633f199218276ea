"""Copy rows into staging: COPY to COPY, as text, in chunks; refused rows are isolated and quarantined.

No value becomes a Python object. A chunk stays in memory until the target has accepted it, so that a refused one can be
sent again in halves, down to the rows at fault.
"""

import dataclasses
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

from psycopg import sql

from powerca_sync.engine.mapping import STAGING, TableMapping
from powerca_sync.engine.postgres import (
    BLOCK,
    Cursor,
    apply_settings,
    bisect,
    python_codec,
    read_copy,
    server_encoding,
)
from powerca_sync.engine.staging import staging_sql
from powerca_sync.engine.staging.refused_rows import (
    COPY_ERRORS,
    UNTRIED,
    UTF8,
    Refusal,
    check_concerns_rows,
    encoded,
    refusal_message,
    refuse_row,
)
from powerca_sync.errors import StagingError
from powerca_sync.plain_text import counted, one_line_logger

logger = one_line_logger(__name__)

#: Bytes of one COPY, kept in memory until the target has accepted them.
CHUNK = 8 * 1024 * 1024
#: Rows from which ANALYZE of a working table pays; for fewer the planner's defaults suffice.
WORTH_ANALYZING = 1_000
#: With more refused rows than this the cause is the table rather than the rows, or phones flood it.
MOST_REFUSED = 10_000
#: With more than `MOST_REFUSED`, refused rows are no longer tried in smaller groups than this.
UNTRIED_TOGETHER = 100


@dataclasses.dataclass(slots=True)
class Staged:
    """Counts of rows copied into staging."""

    read: int = 0
    accepted: int = 0
    refused: int = 0
    #: Of the refused, those that were not tried by themselves because too many others had been refused.
    untried: int = 0
    #: Counted as read but not transferred, because digests are equal: reverse-synced rows, and desktop-owned rows that
    #: the target already has.
    echo: int = 0
    alike: int = 0
    bytes: int = 0

    def add(self, further: "Staged") -> None:
        """Add the counts of further rows."""
        for field in dataclasses.fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(further, field.name))


def read_rows(cursor: Cursor, copy_out: sql.Composed, *, encoding: str | None) -> Generator[bytes, None, None]:
    """Yields the rows of a COPY as text, in UTF-8 if possible, in blocks of whole rows.

    A database in another encoding is read without conversion: the server's own conversion would fail the whole table
    for one invalid byte. `encoding` declares the encoding of a SQL_ASCII database.
    """
    stored = server_encoding(cursor)
    if stored == "UTF8":
        for block, _ in read_copy(cursor, copy_out):
            yield block
        return
    codec = python_codec(encoding or ("UTF8" if stored == "SQL_ASCII" else stored))
    # Names and keys in the statement are not converted either.
    statement = copy_out.as_string(cursor).encode(codec)
    apply_settings(cursor, {"client_encoding": "SQL_ASCII"})
    for block, _ in read_copy(cursor, statement):
        yield b"".join(_as_utf8(row, codec) for row in split_rows(block))
    apply_settings(cursor, {"client_encoding": "UTF8"})


def split_rows(block: bytes) -> list[bytes]:
    """Returns the rows of a block of COPY text, each with its newline, which is nowhere else in a row."""
    return [row + b"\n" for row in block.split(b"\n")[:-1]]


def _as_utf8(row: bytes, codec: str) -> bytes:
    """Returns the row in UTF-8. Invalid bytes are kept, so that the target refuses the row and names the byte."""
    try:
        return row.decode(codec).encode()
    except UnicodeDecodeError:
        text = row.decode(codec, "surrogateescape")
        kept = text.encode(errors="surrogateescape")
        # Two invalid bytes may together be a valid character; a surrogate never is.
        return text.encode(errors="surrogatepass") if _is_utf8(kept) else kept


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def stage_rows(
    cursor: Cursor,
    mapping: TableMapping,
    rows: Iterable[bytes],
    *,
    into: sql.Identifier = STAGING,
    codec: str = UTF8,
    defer: bool = False,
    create: Callable[[], None] | None = None,
) -> Staged:
    """COPY rows (text, in blocks of whole rows) into staging; quarantine those that the target refuses.

    Calls `create`, which creates staging, before the first row. `codec` is Python's name of the encoding that the
    target expects. With `defer`, too many refused rows are no error: the rest is quarantined as untried, in groups that
    may have valid rows.

    Raises:
        StagingError: Too many rows are refused, or the target's row count differs from the number of rows sent.
    """
    staged, source = Staged(), iter(rows)
    first = next(source, None)
    if first is None:
        # A COPY under a savepoint takes four round trips.
        return staged
    if create:
        create()
    source = itertools.chain([first], source)
    copy_in = staging_sql.copy_in(mapping, into)
    cursor.execute("SAVEPOINT powerca_chunk")
    while True:
        chunk = _Chunk()
        try:
            with cursor.copy(copy_in) as copy:
                for block in chunk.fill(source):
                    copy.write(encoded(block, codec))
        except COPY_ERRORS as exc:
            if not chunk.count:
                raise
            check_concerns_rows(exc)
            cursor.execute("ROLLBACK TO SAVEPOINT powerca_chunk")
            for row, refusal in _isolate(cursor, mapping, copy_in, chunk.rows(), staged, codec, defer=defer):
                if into is STAGING:
                    refuse_row(cursor, mapping, row, refusal, codec)
        else:
            staged.accepted += cursor.rowcount
        staged.read += chunk.count
        staged.bytes += chunk.size
        if chunk.is_last:
            # The savepoint stays until the end of the transaction, because its release would be a round trip.
            break
        cursor.execute("RELEASE SAVEPOINT powerca_chunk; SAVEPOINT powerca_chunk")
        log_progress(mapping, staged)
    check_complete(mapping, staged)
    return staged


def log_progress(mapping: TableMapping, staged: Staged) -> None:
    """Log the rows moved so far. On a terminal, a log line marked as `moving` replaces the one before."""
    moved = "%s: %s rows, %.1f MB moved so far."
    logger.info(moved, mapping.table, f"{staged.read:,}", staged.bytes / 1e6, extra={"moving": True})


def check_complete(mapping: TableMapping, staged: Staged) -> None:
    """Raise `StagingError` unless each row that was read is accepted or refused."""
    if staged.accepted + staged.refused != staged.read:
        raise StagingError(
            f"Table `{mapping.table}`: {counted(staged.read, 'row')} read, but the target accepted "
            f"{staged.accepted} and refused {staged.refused}. Nothing was written. Run again."
        )


class _Chunk:
    """Rows of one COPY, kept until the target has accepted them."""

    def __init__(self) -> None:
        self.blocks: list[bytes] = []
        self.count = 0
        self.size = 0
        self.is_last = False

    def fill(self, rows: Iterator[bytes]) -> Iterator[bytes]:
        """Take rows until the chunk is full; yields them in larger blocks."""
        buffer: list[bytes] = []
        buffered = 0
        for some in rows:
            buffer.append(some)
            buffered += len(some)
            if buffered >= BLOCK:
                yield self._keep(buffer, buffered)
                buffered = 0
                if self.size >= CHUNK:
                    return
        self.is_last = True
        if buffer:
            yield self._keep(buffer, buffered)

    def _keep(self, buffer: list[bytes], size: int) -> bytes:
        block = b"".join(buffer)
        self.blocks.append(block)
        self.count += block.count(b"\n")
        self.size += size
        buffer.clear()
        return block

    def rows(self) -> list[bytes]:
        # COPY text has a newline at the end of a row and nowhere else.
        return b"".join(self.blocks).split(b"\n")[:-1]


def _isolate(
    cursor: Cursor,
    mapping: TableMapping,
    copy_in: sql.Composed,
    rows: Sequence[bytes],
    staged: Staged,
    codec: str,
    *,
    defer: bool,
) -> Iterator[tuple[bytes, Refusal]]:
    """Stage the rows of a refused chunk that the target accepts; yields the others with the reason, in order."""

    def copy_rows(first: int, last: int) -> None:
        with cursor.connection.transaction(), cursor.copy(copy_in) as copy:
            copy.write(encoded(b"\n".join(rows[first : last + 1]) + b"\n", codec))
        staged.accepted += cursor.rowcount

    def smallest() -> int:
        return UNTRIED_TOGETHER if defer and staged.refused >= MOST_REFUSED else 1

    refused = bisect(copy_rows, 0, len(rows) - 1, refusals=COPY_ERRORS, check=check_concerns_rows, smallest=smallest)
    for first, last, exc in refused:
        staged.refused += last + 1 - first
        if first < last:
            staged.untried += last + 1 - first
            yield from ((row, Refusal(reason=UNTRIED)) for row in rows[first : last + 1])
            continue
        refusal = Refusal(message=refusal_message(mapping, rows[first], exc))
        if staged.refused > MOST_REFUSED and not defer:
            raise StagingError(
                f"Table `{mapping.table}`: more than {MOST_REFUSED} rows do not fit the target; the last one: "
                f"{refusal.message}. Nothing was written. Compare the columns of both databases."
            ) from exc
        yield rows[first], refusal
