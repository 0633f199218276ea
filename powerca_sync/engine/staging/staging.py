"""Bring rows into staging: COPY to COPY, as text, in chunks; rows that do not fit are isolated and set aside.

No value becomes a Python object. A chunk stays in memory until the target has accepted it, so that a refused one can be
sent again in halves, down to the rows at fault.
"""

import dataclasses
import itertools
import re
from collections.abc import Generator, Iterable, Iterator, Sequence

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from powerca_sync.engine.mapping import SHOWN, STAGING, TableMapping
from powerca_sync.engine.postgres import (
    Cursor,
    apply_settings,
    is_refusal,
    may_concern_rows,
    python_codec,
    server_encoding,
)
from powerca_sync.engine.staging import quarantine_sql, staging_sql
from powerca_sync.engine.staging.extract_sql import staged_names
from powerca_sync.errors import StagingError
from powerca_sync.plain_text import one_line_logger

logger = one_line_logger(__name__)

#: Bytes in memory before the target has to say whether it accepts them.
CHUNK = 8 * 1024 * 1024
#: Bytes handed to the driver at a time; row by row costs half as much again.
BLOCK = 64 * 1024
#: What rows travel in.
UTF8 = "utf-8"
#: Beyond this many refused rows the table is at fault, not the rows; or phones flood it.
MOST_REFUSED = 10_000
#: Beyond that, refused rows are not looked at in smaller groups than this.
UNTRIED_TOGETHER = 100
#: Why a row is in quarantine that was not tried by itself.
UNTRIED = "untried"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """Why a row is quarantined before it is staged."""

    reason: str = "refused"
    #: What the database said.
    message: str | None = None
    value: str | None = None
    parent: str | None = None


@dataclasses.dataclass(slots=True)
class Staged:
    """What came of bringing rows into staging."""

    read: int = 0
    accepted: int = 0
    refused: int = 0
    #: Of them, those that were not tried by themselves, because too many others had been refused by then.
    untried: int = 0
    #: Counted as read, though digests have shown that they need not be: rows that came from phones, and the desktop's
    #: own that are at the target already.
    echo: int = 0
    alike: int = 0
    bytes: int = 0


def read_rows(cursor: Cursor, copy_out: sql.Composed, *, encoding: str | None) -> Generator[bytes, None, None]:
    """COPY text of the source, a row at a time, in UTF-8 where it can be.

    A database in another encoding is read as it is stored: the server's own conversion would fail the whole table for
    one impossible byte. `encoding` says how to read it where the database does not (SQL_ASCII).
    """
    stored = server_encoding(cursor)
    if stored == "UTF8":
        with cursor.copy(copy_out) as copy:
            yield from map(bytes, copy)
        return
    codec = python_codec(encoding or ("UTF8" if stored == "SQL_ASCII" else stored))
    # Names and keys in the statement are not converted either.
    statement = copy_out.as_string(cursor).encode(codec)
    apply_settings(cursor, {"client_encoding": "SQL_ASCII"})
    with cursor.copy(statement) as copy:
        for row in copy:
            yield _as_utf8(bytes(row), codec)
    apply_settings(cursor, {"client_encoding": "UTF8"})


def _as_utf8(row: bytes, codec: str) -> bytes:
    """The row in UTF-8. An impossible byte stays one, so that the target refuses the row, naming that byte."""
    try:
        return row.decode(codec).encode()
    except UnicodeDecodeError:
        text = row.decode(codec, "surrogateescape")
        kept = text.encode(errors="surrogateescape")
        # Two impossible bytes may happen to make one possible character; a surrogate never is one.
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
) -> Staged:
    """COPY rows (text, each ending in a newline) into staging; those that do not fit go to the rejected.

    `codec` is Python's name of the encoding in which the target wants its text, where it does not convert it itself.
    Raises `StagingError` where the target's count is not ours, or too many rows do not fit. With `defer` the latter is
    no error: what is left of them is rejected as untried, in groups that may have rows that would fit.
    """
    staged, source = Staged(), iter(rows)
    first = next(source, None)
    if first is None:
        # A COPY under a savepoint is four round trips.
        return staged
    source = itertools.chain([first], source)
    copy_in = staging_sql.copy_in(mapping, into)
    while True:
        chunk = _Chunk()
        try:
            with cursor.connection.transaction(), cursor.copy(copy_in) as copy:
                for block in chunk.fill(source):
                    copy.write(_encoded(block, codec))
        except (psycopg.Error, UnicodeEncodeError) as exc:
            if not (_is_the_rows(exc) and chunk.count):
                raise
            for row, reason in _isolate(cursor, copy_in, chunk.rows(), staged, codec, defer=defer):
                staged.refused += 1
                staged.untried += reason is None
                if reason is not None and staged.refused > MOST_REFUSED and not defer:
                    raise StagingError(
                        f"Table `{mapping.spec.mobile}`: more than {MOST_REFUSED} rows do not fit the target; the last "
                        f"one: {_words(mapping, row, reason)}. Nothing was written. Compare the columns of both sides."
                    ) from exc
                if into is STAGING:
                    words = None if reason is None else _words(mapping, row, reason)
                    refusal = Refusal(reason=UNTRIED if words is None else "refused", message=words)
                    refuse_row(cursor, mapping, row, refusal, codec)
        else:
            staged.accepted += cursor.rowcount
        staged.read += chunk.count
        staged.bytes += chunk.size
        if chunk.is_last:
            break
        # Marked, because where there is a terminal each such line takes the place of the one before.
        moved = "%s: %s rows, %.1f MB moved so far."
        logger.info(moved, mapping.spec.mobile, f"{staged.read:,}", staged.bytes / 1e6, extra={"moving": True})
    if staged.accepted + staged.refused != staged.read:
        raise StagingError(
            f"Table `{mapping.spec.mobile}`: {staged.read} rows were read, but the target says that it took "
            f"{staged.accepted} and refused {staged.refused}. Nothing was written. Run again."
        )
    return staged


class _Chunk:
    """Rows on their way, kept until they are accepted."""

    def __init__(self) -> None:
        self.blocks: list[bytes] = []
        self.count = 0
        self.size = 0
        self.is_last = False

    def fill(self, rows: Iterator[bytes]) -> Iterator[bytes]:
        """Take rows until the chunk is full; gives them on in blocks."""
        buffer: list[bytes] = []
        buffered = 0
        for row in rows:
            buffer.append(row)
            buffered += len(row)
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
        self.count += len(buffer)
        self.size += size
        buffer.clear()
        return block

    def rows(self) -> list[bytes]:
        # COPY text has a newline at the end of a row and nowhere else.
        return b"".join(self.blocks).split(b"\n")[:-1]


def _encoded(rows: bytes, codec: str) -> bytes:
    return rows if codec == UTF8 else rows.decode().encode(codec)


def _is_the_rows(exc: psycopg.Error | UnicodeEncodeError) -> bool:
    """Whether the rows are at fault, rather than the COPY.

    A type may refuse a text with any SQLSTATE: as the name of an object that does not exist (42), or any text at all
    (0A). PostgreSQL says then at which row of the COPY it was, and where in it.
    """
    if isinstance(exc, UnicodeEncodeError) or is_refusal(exc):
        return True
    return may_concern_rows(exc) and bool(exc.diag.context)


def _isolate(
    cursor: Cursor, copy_in: sql.Composed, rows: Sequence[bytes], staged: Staged, codec: str, *, defer: bool
) -> Iterator[tuple[bytes, psycopg.Error | UnicodeEncodeError | None]]:
    """Bisect refused rows: stage those that fit, yield the others with the reason, in order.

    Those that are untried have no reason.
    """
    refused = [rows]
    while refused:
        part = refused.pop()
        try:
            with cursor.connection.transaction(), cursor.copy(copy_in) as copy:
                copy.write(_encoded(b"\n".join(part) + b"\n", codec))
        except (psycopg.Error, UnicodeEncodeError) as exc:
            if not _is_the_rows(exc):
                raise
            if len(part) == 1:
                yield part[0], exc
            elif defer and staged.refused >= MOST_REFUSED and len(part) <= UNTRIED_TOGETHER:
                yield from ((row, None) for row in part)
            else:
                middle = len(part) // 2
                refused += [part[middle:], part[:middle]]
        else:
            staged.accepted += cursor.rowcount


def refuse_row(cursor: Cursor, mapping: TableMapping, row: bytes, refusal: Refusal, codec: str) -> None:
    """Quarantine a row of COPY text with its key, its image and the reason, and hold its key.

    An untried row has no image.
    """
    stored = server_encoding(cursor)
    possible = codec if stored == "SQL_ASCII" else python_codec(stored)
    parsed = (value and _storable(value, possible) for value in parse_row(row))
    values = dict(zip(staged_names(mapping), parsed, strict=False))
    synced = {column.name: column for column in mapping.synced}
    key = {}
    for name in mapping.spec.key:
        text = values.get(synced[name].source_text or name)
        # As `char(n)::text` has it, by which the row is looked for at the source.
        key[name] = text.rstrip(" ") if text and synced[name].source.base == "bpchar" else text
    key |= {extra.name: values.get(extra.name) for extra in mapping.extra_columns if extra.identifies}
    image = None
    if refusal.reason != UNTRIED:
        image = {name: _shown(values.get(name)) for name in synced if name not in mapping.spec.sensitive}
    message = refusal.message
    for name in mapping.spec.sensitive:
        message = message and message.replace(values.get(name) or "***", "***")
    cursor.execute(
        quarantine_sql.insert_rejected(),
        [
            refusal.reason,
            refusal.value,
            refusal.parent,
            message and _storable(message, possible),
            Jsonb(key),
            None if image is None else Jsonb(image),
        ],
    )
    if not mapping.spec.key:
        return
    fields = dict(zip(staged_names(mapping), row.split(b"\t"), strict=False))
    try:
        with cursor.connection.transaction(), cursor.copy(staging_sql.copy_in_held(mapping)) as copy:
            copy.write(_encoded(b"\t".join(fields.get(name, rb"\N") for name in mapping.spec.key) + b"\n", codec))
    except (psycopg.Error, UnicodeEncodeError) as not_a_key:
        # A key that the target cannot even read has no row there that would have to be held.
        if not _is_the_rows(not_a_key):
            raise


def _shown(value: str | None) -> str | None:
    """A value as images have it: a long one is cut, as `sizes.shown` does."""
    return value and value[:SHOWN]


def _storable(text: str, codec: str) -> str:
    """The text with escapes for characters that the target cannot hold, which may be why the row is in quarantine."""
    return text.encode(codec, "backslashreplace").decode(codec)


def _words(mapping: TableMapping, row: bytes, exc: psycopg.Error | UnicodeEncodeError) -> str:
    """What the database said, with the column where it names one, and without any sensitive value."""
    if isinstance(exc, UnicodeEncodeError):
        return f"a character is not in the target's encoding: {exc.object[exc.start]!a}"
    words = exc.diag.message_primary or str(exc)
    values = dict(zip(staged_names(mapping), parse_row(row), strict=False))
    for name in mapping.spec.sensitive:
        words = words.replace(values.get(name) or "***", "***")
    # `COPY powerca_staging, line 1, column NAME: "VALUE"`, with other words in other languages.
    place = re.split(r"\s?: ", exc.diag.context or "", maxsplit=1)[0]
    columns = [column.name for column in mapping.synced if place.endswith(column.name)]
    return f"{words} (column {max(columns, key=len)})" if columns else words


_ESCAPE = re.compile(rb"\\(.)")
_UNESCAPED = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


def parse_row(row: bytes) -> list[str | None]:
    """The values of a row of COPY text; bytes that are no UTF-8 are shown as escapes."""
    fields = row.rstrip(b"\n").split(b"\t")
    plain = (None if field == rb"\N" else _ESCAPE.sub(lambda m: _UNESCAPED.get(m[1], m[1]), field) for field in fields)
    return [None if field is None else field.decode(errors="backslashreplace") for field in plain]
