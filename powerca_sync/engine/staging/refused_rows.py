"""Quarantine rows of COPY text that are not staged."""

import dataclasses
import re

import psycopg
from psycopg.types.json import Jsonb

from powerca_sync.engine.mapping import SHOWN, TableMapping
from powerca_sync.engine.postgres import Cursor, is_refusal, may_concern_rows, python_codec, server_encoding
from powerca_sync.engine.staging import quarantine_sql, staging_sql
from powerca_sync.engine.staging.extract_sql import staged_names

#: The encoding in which rows are transferred.
UTF8 = "utf-8"
#: The reason of a row that was not tried by itself.
UNTRIED = "untried"
#: Errors of a COPY into staging: the target refuses a row, or its encoding has not all characters of the row.
COPY_ERRORS = (psycopg.Error, UnicodeEncodeError)
CopyError = psycopg.Error | UnicodeEncodeError


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """The reason why a row is quarantined before it is staged."""

    reason: str = "refused"
    #: The database's message.
    message: str | None = None
    value: str | None = None
    parent: str | None = None


def refuse_row(cursor: Cursor, mapping: TableMapping, row: bytes, refusal: Refusal, codec: str) -> None:
    """Quarantine a row of COPY text with its key, its image and the reason; its target row is retained.

    An untried row has no image.
    """
    stored = server_encoding(cursor)
    possible = codec if stored == "SQL_ASCII" else python_codec(stored)
    parsed = (value and _storable(value, possible) for value in parse_row(row))
    values = dict(zip(staged_names(mapping), parsed, strict=False))
    synced = {column.name: column for column in mapping.synced}
    key = {}
    for name in mapping.key_names:
        text = values.get(synced[name].source_text or name)
        # As `char(n)::text` returns it, by which the next run finds the row at the source.
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
    if mapping.key_names:
        _retain(cursor, mapping, row, codec)


def _retain(cursor: Cursor, mapping: TableMapping, row: bytes, codec: str) -> None:
    fields = dict(zip(staged_names(mapping), row.split(b"\t"), strict=False))
    try:
        with cursor.connection.transaction(), cursor.copy(staging_sql.copy_in_held(mapping)) as copy:
            copy.write(encoded(b"\t".join(fields.get(name, rb"\N") for name in mapping.key_names) + b"\n", codec))
    except COPY_ERRORS as exc:
        # The target cannot read this key, so that it has no row of it.
        check_concerns_rows(exc)


def check_concerns_rows(exc: CopyError) -> None:
    """Raises the error of a COPY again unless it concerns single rows.

    A type may refuse a text with any SQLSTATE: as the name of an object that does not exist (42), or any text at all
    (0A). The error then has a context with the number of the row.
    """
    if isinstance(exc, UnicodeEncodeError) or is_refusal(exc):
        return
    if not (may_concern_rows(exc) and exc.diag.context):
        raise exc


def refusal_message(mapping: TableMapping, row: bytes, exc: CopyError) -> str:
    """Returns the database's message, with the column if it names one, and without any sensitive value."""
    if isinstance(exc, UnicodeEncodeError):
        return f"a character is not in the target's encoding: {exc.object[exc.start]!a}"
    message = exc.diag.message_primary or str(exc)
    values = dict(zip(staged_names(mapping), parse_row(row), strict=False))
    for name in mapping.spec.sensitive:
        message = message.replace(values.get(name) or "***", "***")
    # `COPY powerca_staging, line 1, column NAME: "VALUE"`; translated in servers of another language.
    place = re.split(r"\s?: ", exc.diag.context or "", maxsplit=1)[0]
    columns = [column.name for column in mapping.synced if place.endswith(column.name)]
    return f"{message} (column {max(columns, key=len)})" if columns else message


def encoded(rows: bytes, codec: str) -> bytes:
    """Returns rows of UTF-8 in the encoding `codec`."""
    return rows if codec == UTF8 else rows.decode().encode(codec)


def _shown(value: str | None) -> str | None:
    """Returns a value as images have it: long ones are cut, as `row_sizes.shown` does."""
    return value and value[:SHOWN]


def _storable(text: str, codec: str) -> str:
    """Returns the text with escapes for characters that the target's encoding lacks."""
    return text.encode(codec, "backslashreplace").decode(codec)


_ESCAPE = re.compile(rb"\\(.)")
_UNESCAPED = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


def parse_row(row: bytes) -> list[str | None]:
    """Returns the values of a row of COPY text; bytes that are not UTF-8 become escapes."""
    fields = row.rstrip(b"\n").split(b"\t")
    plain = (None if field == rb"\N" else _ESCAPE.sub(lambda m: _UNESCAPED.get(m[1], m[1]), field) for field in fields)
    return [None if field is None else field.decode(errors="backslashreplace") for field in plain]
