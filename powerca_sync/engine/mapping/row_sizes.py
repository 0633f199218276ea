"""Measure the size of rows on the server, mostly without reading large values.

PostgreSQL stores large values outside the row, their length beside the pointer, so that `octet_length` of text and
bytea does not fetch them. Values of other types are decompressed, by `ROW(...)`, only if their stored size is large.
"""

from collections.abc import Iterable, Sequence

from psycopg import sql

from powerca_sync.engine.postgres import Column

_COMMA = sql.SQL(", ")
#: Types of a fixed size, and those whose largest value is small.
_SMALL = frozenset(
    {
        *("int2", "int4", "int8", "float4", "float8", "money", "numeric", "bool", "uuid", "char", "name"),
        *("date", "time", "timetz", "timestamp", "timestamptz", "interval"),
        *("inet", "cidr", "macaddr", "macaddr8", "oid", "xid", "xid8", "cid", "tid", "pg_lsn"),
        *("point", "line", "lseg", "box", "circle"),
    }
)
#: Types whose `octet_length` does not read the value.
_WITH_LENGTH = frozenset({"text", "varchar", "bpchar", "bytea"})
#: Columns declared with at most this number of characters are not measured.
SHORT = 10_000
#: Maximum number of characters of a value in quarantine images and samples.
SHOWN = 10_000
#: Maximum size in bytes of a value whose text is truncated; larger values are shown as their size.
_CUT = 16 * 1024 * 1024
#: Maximum size in bytes of rows whose whole text is hashed. The text of larger rows may exceed PostgreSQL's limit.
HASHED_AT_MOST = 128 * 1024 * 1024
#: Rows of the target beyond this multiple of the spec's limit have no text. Rows within the limit may take more
#: bytes at the target than at the source.
AT_TARGET = 4
#: Best compression ratio of PostgreSQL's methods (LZ4; pglz: about 90).
_MOST_COMPRESSED = 256


def is_wide(column: Column) -> bool:
    """Whether values of the column may be large."""
    if column.base in _SMALL or column.category == "E":
        return False
    declared = column.typmod - 4 if column.base in ("varchar", "bpchar") else column.typmod
    return not (column.base in ("varchar", "bpchar", "bit", "varbit") and 0 < declared <= SHORT)


def size(alias: str, columns: Iterable[Column], limit: int) -> sql.Composable | None:
    """Returns an expression for the bytes of the wide columns of row `alias`; None if there is no wide column.

    Exact near `limit`: small values of types other than text and bytea count as 0.
    """
    sizes = [_size(sql.Identifier(alias, column.name), column, limit) for column in columns if is_wide(column)]
    return sql.SQL("({})").format(sql.SQL(" + ").join(sizes)) if sizes else None


def is_short(value: sql.Composable, column: Column) -> sql.Composable:
    """Returns a condition: the value of a wide column is of at most `SHORT` bytes."""
    length = "octet_length({}) <= {}" if column.base in _WITH_LENGTH else "pg_column_size({}) <= {}"
    return sql.SQL(length).format(value, SHORT)


def row_text(
    alias: str, columns: Sequence[Column], limit: int, values: Sequence[sql.Composable] | None = None
) -> sql.Composable:
    """Returns the text of a row of `columns`; for rows over the limit, their size and the narrow columns.

    `values` replace the columns in the text.
    """
    if values is None:
        values = [sql.Identifier(alias, column.name) for column in columns]
    text = sql.SQL("ROW({})::text").format(_COMMA.join(values))
    measured = size(alias, columns, limit)
    if measured is None:
        return text
    narrow = [value for column, value in zip(columns, values, strict=True) if not is_wide(column)]
    short = sql.SQL("ROW({})::text").format(_COMMA.join([measured, *narrow]))
    return sql.SQL("(CASE WHEN {} <= {} THEN {} ELSE {} END)").format(measured, limit, text, short)


def shown(alias: str, column: Column) -> sql.Composable:
    """Returns a value as text for display: long values are truncated, very long ones shown as their size."""
    value = sql.Identifier(alias, column.name)
    text = sql.SQL("{}::text").format(value)
    measured = size(alias, [column], _CUT)
    if measured is None:
        return text
    return sql.SQL("CASE WHEN {size} <= {most} THEN left({text}, {shown}) ELSE {size} || ' bytes' END").format(
        size=measured, most=_CUT, text=text, shown=SHOWN
    )


def _size(value: sql.Composable, column: Column, limit: int) -> sql.Composable:
    if column.base in _WITH_LENGTH:
        return sql.SQL("coalesce(octet_length({})::bigint, 0)").format(value)
    return stored_size(value, limit)


def stored_size(value: sql.Composable, limit: int) -> sql.Composable:
    """Returns an expression for the decompressed size of a value in bytes; 0 if it is certainly small."""
    return sql.SQL(
        "CASE WHEN pg_column_size({value}) > {least} THEN pg_column_size(ROW({value}))::bigint ELSE 0 END"
    ).format(value=value, least=limit // _MOST_COMPRESSED)
