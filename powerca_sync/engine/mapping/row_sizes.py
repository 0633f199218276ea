"""How large a row is: measured on its server, in most cases without reading its large values.

PostgreSQL keeps large values outside the row, with their length beside the reference, so that `octet_length` of texts
and bytes need not fetch them. Other types have no such function. Their stored size is at hand, and only where that is
large are they decompressed, which `ROW(...)` does.
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
#: Types for which `octet_length` exists, and needs no look at the value.
_WITH_LENGTH = frozenset({"text", "varchar", "bpchar", "bytea"})
#: Columns that are declared with at most so many characters are not measured.
SHORT = 10_000
#: Characters of a value that images in quarantine and samples have at most.
SHOWN = 10_000
#: Bytes of a value up to which its text is made, to be cut.
_CUT = 16 * 1024 * 1024
#: Bytes of rows whose whole text is hashed, where the limit of a spec does not matter. That of larger ones might be
#: longer than PostgreSQL allows.
HASHED_AT_MOST = 128 * 1024 * 1024
#: Rows of the target have no text if they are so many times over the limit of their spec. Rows within it may take more
#: bytes there.
AT_TARGET = 4
#: The best that PostgreSQL's compression methods can do (LZ4; pglz makes one byte of some 90).
_MOST_COMPRESSED = 256


def is_wide(column: Column) -> bool:
    """Whether values of the column may be large."""
    if column.base in _SMALL or column.category == "E":
        return False
    declared = column.typmod - 4 if column.base in ("varchar", "bpchar") else column.typmod
    return not (column.base in ("varchar", "bpchar", "bit", "varbit") and 0 < declared <= SHORT)


def size(alias: str, columns: Iterable[Column], limit: int) -> sql.Composable | None:
    """Returns an expression for the bytes of the wide columns of row `alias`; None if there is no wide column.

    It is exact where it matters for `limit`: of types other than texts and bytes, small values count as nothing.
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
    """Returns the text of a row of `columns`; of rows over the limit, their size and the text of the narrow columns.

    `values` are what stands in the row for each of the columns; by default the columns themselves.
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
    """Returns a value as text for people: a long one is cut, and of a very long one there is only the size."""
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
    """Returns an expression for the bytes of a value once it is decompressed; 0 if it is small for certain."""
    return sql.SQL(
        "CASE WHEN pg_column_size({value}) > {least} THEN pg_column_size(ROW({value}))::bigint ELSE 0 END"
    ).format(value=value, least=limit // _MOST_COMPRESSED)
