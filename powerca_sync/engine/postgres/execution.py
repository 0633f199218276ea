"""Execute statements: several in one round trip, or one under a savepoint."""

from collections.abc import Mapping, Sequence
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from powerca_sync.engine.postgres.database_errors import error_text

Connection = psycopg.Connection[tuple[Any, ...]]
Cursor = psycopg.Cursor[tuple[Any, ...]]
Statement = LiteralString | sql.SQL | sql.Composed
#: A statement and its parameters.
Query = tuple[Statement | bytes, Mapping[str, Any] | Sequence[Any] | None]


def execute_batch(cursor: Cursor, *queries: Query) -> tuple[list[tuple[Any, ...]], ...]:
    """Execute queries in one round trip; returns the rows of each, an empty list for statements without result."""
    send_batch(cursor, queries)
    return fetch_batch(cursor)


def send_batch(cursor: Cursor, queries: Sequence[Query]) -> None:
    """Execute queries in one round trip; the cursor has the result of the first one."""
    # The simple protocol takes several statements in one message, but no parameters.
    literal = psycopg.ClientCursor(cursor.connection).mogrify
    cursor.execute(";\n".join(literal(statement, parameters) for statement, parameters in queries).encode())


def fetch_batch(cursor: Cursor) -> tuple[list[tuple[Any, ...]], ...]:
    """Returns the rows of each query of a batch, from the current result on."""
    found = [_rows(cursor)]
    while cursor.nextset():
        found.append(_rows(cursor))
    return tuple(found)


def _rows(cursor: Cursor) -> list[tuple[Any, ...]]:
    return cursor.fetchall() if cursor.description else []


def execute_in_savepoint(
    cursor: Cursor, statement: sql.Composed, *, before: Sequence[Query] = (), after: Sequence[Query] = ()
) -> int:
    """Execute a statement under a savepoint, in one round trip; returns the rows affected, or leaves its result.

    `before` and `after` are executed in the same savepoint. After an error the transaction is as it was.
    """
    savepoint, release = sql.SQL("SAVEPOINT powerca_attempt"), sql.SQL("RELEASE SAVEPOINT powerca_attempt")
    try:
        send_batch(cursor, [(savepoint, None), *before, (statement, None), *after, (release, None)])
    except psycopg.Error:
        if cursor.connection.info.transaction_status == psycopg.pq.TransactionStatus.INERROR:
            cursor.execute("ROLLBACK TO SAVEPOINT powerca_attempt; RELEASE SAVEPOINT powerca_attempt")
        raise
    for _ in range(1 + len(before)):
        cursor.nextset()
    return cursor.rowcount


def execute_with_optional(cursor: Cursor, *needed: Query, optional: Query | None, after: Sequence[Query] = ()) -> str:
    """Execute queries in one round trip, `optional` under a savepoint; returns the text of its error.

    The text is empty if it succeeded. After its failure the transaction is as if neither it nor `after` had been
    executed. Errors of the other queries are raised.
    """
    if optional is None:
        execute_batch(cursor, *needed, *after)
        return ""
    savepoint: Query = ("SAVEPOINT powerca_optional", None)
    try:
        execute_batch(cursor, *needed, savepoint, optional, ("RELEASE SAVEPOINT powerca_optional", None), *after)
    except psycopg.Error as exc:
        if cursor.connection.info.transaction_status != psycopg.pq.TransactionStatus.INERROR:
            raise
        try:
            cursor.execute("ROLLBACK TO SAVEPOINT powerca_optional")
        except psycopg.Error:
            # There is no savepoint yet: a needed query failed.
            raise exc from None
        return error_text(exc)
    return ""


def one_row(cursor: Cursor, statement: Statement | bytes, parameters: Any = None) -> tuple[Any, ...]:
    """Execute a statement that returns exactly one row; returns that row."""
    cursor.execute(statement, parameters)
    row = cursor.fetchone()
    assert row is not None, "the statement returns one row"
    return row
