"""Load generated rows into a table, with one COPY each."""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

Connection = psycopg.Connection[tuple[Any, ...]]
Value = str | dt.datetime


def copy_rows(connection: Connection, table: str, rows: Iterable[NamedTuple], also: Mapping[str, Value]) -> int:
    """Appends rows of one class to a table, each with the same values of the columns in `also`; returns their
    number.
    """
    rows = list(rows)
    if not rows:
        return 0
    columns = [sql.Identifier(name) for name in (*rows[0]._fields, *also)]
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), sql.SQL(", ").join(columns))
    rest = tuple(also.values())
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row((*row, *rest))
    return len(rows)
