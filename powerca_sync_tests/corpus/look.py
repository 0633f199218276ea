"""Reads both databases of a case without the engine: rows in the server's own COPY format."""

import dataclasses

from psycopg import sql

from powerca_sync.engine.postgres.catalog import schema_and_name
from powerca_sync.engine.postgres.database import Connection
from powerca_sync_tests.corpus.case import Case

#: Settings with which any server gives a value the same text. No search path, so that object names are qualified.
SETTINGS = """
SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres'; SET extra_float_digits = 3;
SET bytea_output = 'hex'; SET lc_monetary = 'C'; SET search_path = ''"""


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """A row: its key as text, and all compared values in COPY's text format."""

    key: str
    row: bytes


def named(name: str) -> sql.Identifier:
    """Returns a spec's name for a table."""
    return sql.Identifier(*schema_and_name(name))


def columns(connection: Connection, name: str) -> list[str]:
    """Returns the columns of a table."""
    found = connection.execute(
        "SELECT attname FROM pg_catalog.pg_attribute JOIN pg_catalog.pg_class AS c ON c.oid = attrelid"
        " WHERE c.relnamespace = to_regnamespace(quote_ident(%s)) AND relname = %s AND attnum > 0 AND NOT attisdropped"
        ' ORDER BY attname COLLATE "C"',
        schema_and_name(name),
    )
    return [column for (column,) in found]


def lines(pair_side: Connection, case: Case, *, desktop: bool, other: Connection, codec: str = "utf-8") -> list[Line]:
    """Returns all rows of one database, ordered by their text; `other` is the other database."""
    spec = case.table
    name = spec.desktop if desktop else spec.mobile
    if case.compared is None:
        both = columns(pair_side, name)
        theirs = set(columns(other, spec.mobile if desktop else spec.desktop))
        left_out = {*spec.skip, *case.not_compared, "source", "created_at", "updated_at"}
        values = [sql.Identifier(column) for column in both if column in theirs and column not in left_out]
        shown: sql.Composable = sql.SQL(", ").join(values)
    else:
        shown = sql.SQL(case.compared[0 if desktop else 1])  # type: ignore[arg-type]
    keys = [sql.SQL("{}::text").format(sql.Identifier(column)) for column in spec.key]
    query = sql.SQL("COPY (SELECT {} FROM {} AS t) TO STDOUT").format(sql.SQL(", ").join([*keys, shown]), named(name))
    # As stored: the server itself converts no invalid byte.
    statement = query.as_string(pair_side).encode(codec)
    pair_side.execute("SET client_encoding = 'SQL_ASCII'")
    with pair_side.cursor() as cursor, cursor.copy(statement) as copy:
        rows = [_utf8(bytes(row), codec).rstrip(b"\n").split(b"\t") for row in copy]
    pair_side.execute("SET client_encoding = 'UTF8'")
    found = [
        Line(
            ", ".join("None" if part == rb"\N" else part.decode(errors="replace") for part in row[: len(keys)]),
            b"\t".join(row[len(keys) :]),
        )
        for row in rows
    ]
    return sorted(found, key=lambda line: (line.row, line.key))


def _utf8(row: bytes, codec: str) -> bytes:
    return row if codec == "utf-8" else row.decode(codec, "surrogateescape").encode(errors="surrogateescape")


def written(connection: Connection, name: str) -> list[str]:
    """Returns every row with its ctid and xmin, so that any write changes it."""
    query = sql.SQL("SELECT ROW(t.tableoid, t.ctid, t.xmin)::text FROM {} AS t ORDER BY 1").format(named(name))
    return [text for (text,) in connection.execute(query)]
