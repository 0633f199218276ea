"""One text for one value, whatever the server: what is hashed where two databases are compared without moving rows.

It depends neither on a column's declaration (1.5 and 1.50, padding, a time with or without its zone) nor on the
server's version, encoding, collation or time zone data. In it the control character U+0001, with which texts are packed
into one, is doubled. How a value is converted is `conversion`'s business.
"""

import re
from collections.abc import Callable, Iterable

from psycopg import sql

from powerca_sync.engine.postgres import Column, python_codec

#: Makes of a text its bytes in UTF-8.
Encoder = Callable[[sql.Composable], sql.Composable]

_INTEGERS = frozenset({"int2", "int4", "int8"})
_FLOATS = frozenset({"float4", "float8"})
_NUMBERS = _INTEGERS | _FLOATS | {"numeric", "money"}
_TEXT = frozenset({"text", "varchar", "bpchar", "name"})
_MOMENTS = frozenset({"date", "timestamp", "timestamptz"})
#: One of six bytes is one of eight, too.
_ADDRESSES = {"macaddr", "macaddr8"}
#: Types whose text has no control characters.
_PLAIN = _NUMBERS | _MOMENTS | {"bool", "time", "uuid"}
#: Encodings of one byte a character: PostgreSQL and Python read each of their bytes alike.
_ALIKE = (
    *(f"LATIN{n}" for n in range(1, 11)),
    *(f"WIN125{n}" for n in range(9)),
    *("WIN866", "WIN874", "KOI8R", "KOI8U"),
    *(f"ISO_8859_{n}" for n in range(5, 9)),
)


def at_source(value: sql.Composable, source: Column, target: Column) -> sql.Composable:
    """The text of `value`, of the source's type, as `at_target` gives it for the same value; NULL for NULL.

    Raises at run time for a text that the target's type does not know.
    """
    if _is_read(source, target):
        # As the target's input reads it, and without its length, to which a cast would cut in silence.
        return _escaped(_text(sql.SQL("{}::text::{}").format(value, _type(target)), target, target), target, target)
    return _escaped(_text(value, source, target), source, target)


def at_target(value: sql.Composable, source: Column, target: Column) -> sql.Composable:
    """The text of `value`, of the target's type."""
    if _is_read(source, target):
        source = target
    return _escaped(_text(value, target, source), source, target)


def cast(expression: sql.Composable, target: Column) -> sql.Composable:
    """Returns the value of a spec's expression for a column as one of the column's type, without its length."""
    return sql.SQL("({})::{}").format(expression, _type(target))


def _is_read(source: Column, target: Column) -> bool:
    """Whether the source's text becomes a value of a type that has many texts for one value."""
    if target.base == "bool" and source.base != "bool":
        return True
    return source.base in _TEXT and target.category not in ("S", "E")


def _escaped(value: sql.Composable, source: Column, target: Column) -> sql.Composable:
    if {source.base, target.base} <= _PLAIN:
        return value
    return sql.SQL(r"""replace({} COLLATE "C", E'\x01', E'\x01\x01')""").format(value)


def _text(value: sql.Composable, own: Column, other: Column) -> sql.Composable:
    if {own.base, other.base} <= _NUMBERS:
        return _number(value, own, other)
    if {own.base, other.base} <= _MOMENTS:
        return _moment(value, own, other)
    if own.base == "bool" and other.base in _NUMBERS:
        return sql.SQL("{}::int::text").format(value)
    if own.base == "bool" and other.base != "bool":
        # As COPY has it; the cast says `true`.
        return sql.SQL("CASE WHEN {value} THEN 't' WHEN NOT {value} THEN 'f' END").format(value=value)
    if own.base == "inet" and other.base != "inet":
        # As COPY has it; the cast says `/32` of a single address.
        return sql.SQL("abbrev({})").format(value)
    if own.base == "json" and other.base == "jsonb":
        return sql.SQL("{}::jsonb::text").format(value)
    if {own.base, other.base} == _ADDRESSES:
        return sql.SQL("{}::macaddr8::text").format(value)
    if own.base == "xml":
        # As COPY has it; the cast keeps a declaration (`<?xml version="1.0"?>`) that does not travel.
        return sql.SQL("CASE WHEN {value} IS NOT NULL THEN format('%s', {value}) END").format(value=value)
    if own.base == "money":
        # In a text every digit counts, but there is no sign of a currency.
        return sql.SQL("{}::numeric::text").format(value)
    if "bpchar" in (own.base, other.base):
        return sql.SQL("rtrim({}::text, ' ')").format(value)
    return sql.SQL("{}::text").format(value)


def _type(column: Column) -> sql.Composable:
    schema, dot, name = column.base.partition(".")
    return sql.Identifier(schema, name) if dot else sql.Identifier("pg_catalog", column.base)


def _number(value: sql.Composable, own: Column, other: Column) -> sql.Composable:
    if own.base in _FLOATS and own.base != other.base:
        # Their shortest text may have an exponent, and the infinite ones are no numeric before version 14.
        return sql.SQL(
            "CASE WHEN {value}::text ~ '^[-+.0-9eE]+$' THEN trim_scale({value}::text::numeric)::text "
            "ELSE {value}::text END"
        ).format(value=value)
    if own.base == "numeric":
        return sql.SQL("trim_scale({})::text").format(value)
    if own.base == "money":
        return sql.SQL("trim_scale({}::numeric)::text").format(value)
    return sql.SQL("{}::text").format(value)


def _moment(value: sql.Composable, own: Column, other: Column) -> sql.Composable:
    bases = {own.base, other.base}
    if "timestamptz" in bases:
        # In UTC, because servers do not all know the same history of the office's time zone.
        return sql.SQL("({}::timestamptz AT TIME ZONE 'UTC')::text").format(value)
    return sql.SQL("{}::timestamp::text" if len(bases) > 1 else "{}::text").format(value)


def packed(values: Iterable[sql.Composable]) -> sql.Composable:
    """Such texts as one text that tells them apart, and NULL from the empty text, whatever they contain.

    Not `ROW(...)::text`, which quotes what the server's locale takes for a space.
    """
    parts = (sql.SQL(r"coalesce(E'\x01v' || {}, E'\x01n')").format(value) for value in values)
    return sql.SQL(" || ").join((*parts, sql.SQL("''")))


def source_text(value: sql.Composable) -> sql.Composable:
    """The source's own text of a value, ready to be packed; in quarantine a key is known by it."""
    return sql.SQL(r"""replace({}::text COLLATE "C", E'\x01', E'\x01\x01')""").format(value)


def pack(values: Iterable[str | None]) -> bytes:
    """The same of Python's texts, in UTF-8."""
    parts = ("\x01n" if value is None else "\x01v" + value.replace("\x01", "\x01\x01") for value in values)
    return "".join(parts).encode()


def unpack(text: str) -> list[str | None]:
    """The texts that were packed."""
    parts = re.findall(r"\x01(?:(n)|v((?:[^\x01]|\x01\x01)*))", text)
    return [None if empty else value.replace("\x01\x01", "\x01") for empty, value in parts]


def encoder(*, stored: str, declared: str | None = None) -> Encoder | None:
    """Returns SQL that converts text to UTF-8 bytes; None if the server cannot do it as `staging.read_rows` does.

    `stored` is the server's encoding, `declared` what its text is said to be in where the server does not know. Raises
    at run time for a text that has no such bytes.
    """
    codec = python_codec(declared or "UTF8")
    if stored == "SQL_ASCII" and codec != "utf-8":
        encoding = next((name for name in _ALIKE if _same(name, codec)), None)
        if encoding is None:
            return None
        return lambda text: sql.SQL("convert(convert_to({}, 'SQL_ASCII'), {}, 'UTF8')").format(text, encoding)
    if stored not in ("UTF8", "SQL_ASCII", *_ALIKE):
        return None
    return sql.SQL("convert_to({}, 'UTF8')").format


def _same(encoding: str, codec: str) -> bool:
    return re.sub("[^a-z0-9]", "", python_codec(encoding).lower()) == re.sub("[^a-z0-9]", "", codec.lower())
