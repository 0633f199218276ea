"""The fields of a typed hash: values that PostgreSQL's own hash functions read, where both databases have one type."""

from psycopg import sql

from powerca_sync.engine.mapping import hashable
from powerca_sync.engine.postgres import Column

_TEXT = frozenset({"text", "varchar"})
#: Types whose values have different hashes exactly if their canonical texts differ.
_ALIKE = frozenset(
    {
        *("bool", "int2", "int4", "int8", "date", "time", "timestamp", "timestamptz", "uuid", "bytea"),
        *("text", "varchar", "bpchar"),
    }
)


def field(value: sql.Composable, own: Column, other: Column, text: sql.Composable) -> sql.Composable:
    """Returns fields for `hash_record_extended` that differ if the canonical `text` of a value does.

    `own` is the column of the value, `other` that of the other database.
    """
    numbers = own.base == other.base == "numeric" and min(own.typmod, other.typmod) >= 0
    if numbers or (own.base == other.base and own.base in _ALIKE) or {own.base, other.base} <= _TEXT:
        return hashable(value, own)
    return sql.SQL('{} COLLATE "C"').format(text)
