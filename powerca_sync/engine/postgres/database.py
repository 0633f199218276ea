"""Open a connection, and run a transaction with settings of our own.

Everything happens inside one transaction with `SET LOCAL` settings, so that the same code works on a direct
connection and behind a pooler in transaction mode.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from powerca_sync.engine.postgres.connecting import LineConnection, SilentError, TlsError
from powerca_sync.engine.postgres.database_errors import error_text, explained
from powerca_sync.engine.postgres.tls import find_tls_fault
from powerca_sync.settings import PATIENCE, Endpoint

Connection = psycopg.Connection[tuple[Any, ...]]
Cursor = psycopg.Cursor[tuple[Any, ...]]
Statement = LiteralString | sql.SQL | sql.Composed
#: A statement and its parameters.
Query = tuple[Statement | bytes, Mapping[str, Any] | Sequence[Any] | None]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Timeouts:
    """How long a transaction may take and wait, in seconds."""

    #: For one statement; the mobile side's own default of two minutes is too short for a first load.
    statement: float = 900
    #: For a row lock that the app holds.
    lock: float = 30
    #: For another run of the same table to end.
    table: float = 60


#: Settings under which the text of a value is the same on any server, whatever its own configuration.
TEXT_FORM = {
    "client_encoding": "UTF8",
    # Without an order: that of the database stays, in which its own code reads texts such as 03-04-05.
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "lc_monetary": "C",
    # Off, it reads NULL in an array as the word; `document` refuses the fragments that XML may be as well.
    "array_nulls": "on",
    "xmloption": "content",
}


def connect(endpoint: Endpoint) -> Connection:
    """An autocommit connection for explicit transactions; the caller closes it.

    Raises `ConfigurationError` for a refused login and `DatabaseUnavailableError` where nobody answers. It is tried
    once: a login that is refused repeatedly gets the address banned.
    """
    with explained(f"connecting to {endpoint.side} ({endpoint})"):
        try:
            return LineConnection.open(
                patience=endpoint.patience,
                host=endpoint.host,
                port=endpoint.port,
                dbname=endpoint.name,
                user=endpoint.user,
                password=endpoint.password or "",
                sslmode=endpoint.effective_sslmode,
                sslrootcert=endpoint.sslrootcert,
                connect_timeout=endpoint.connect_timeout,
                application_name="powerca_sync",
                # Not the server's own: from SQL_ASCII the driver would give bytes for text.
                client_encoding="UTF8",
            )
        except TlsError as exc:
            exc.sqlstate = find_tls_fault(endpoint)
            raise


@contextlib.contextmanager
def transaction(
    connection: Connection,
    *,
    timezone: str,
    timeouts: Timeouts,
    snapshot: bool = False,
    stable: bool = False,
    first: Sequence[Query] = (),
) -> Iterator[Cursor]:
    """One transaction in which values have their canonical text form; commits, or rolls back on an exception.

    With `snapshot` it is READ ONLY and REPEATABLE READ, so that all it reads is of one instant; `stable` is the same
    for one that makes temporary tables, and writes nothing else. Otherwise it is READ COMMITTED, so that each statement
    sees what others committed before it. The queries of `first` are sent in the same message as BEGIN; read their
    rows with `fetch_batch`.
    """
    level = sql.SQL("REPEATABLE READ" if snapshot or stable else "READ COMMITTED")
    # Never READ WRITE: that would override a server that went read-only because its disk is full.
    begin = sql.SQL("BEGIN ISOLATION LEVEL {}{}").format(level, sql.SQL(" READ ONLY" if snapshot else ""))
    settings = TEXT_FORM | {
        "TimeZone": timezone,
        # A role without BYPASSRLS must fail rather than see, or delete, only some rows.
        "row_security": "off",
        "statement_timeout": f"{timeouts.statement * 1000:.0f}",
        "lock_timeout": f"{timeouts.lock * 1000:.0f}",
        # One end may be idle while the other executes a statement. Beyond that its client is gone, and holds locks.
        "idle_in_transaction_session_timeout": f"{(timeouts.statement + timeouts.lock + timeouts.table) * 1000:.0f}",
        # The server's own default is two hours.
        "tcp_keepalives_idle": f"{PATIENCE // 2}",
        "tcp_keepalives_interval": f"{PATIENCE // 20}",
        "work_mem": "64MB",
        # Compiling such statements costs more than it saves: 2.8 s against 0.8 s for a merge of 200,000 rows.
        "jit": "off",
        # For a million hashed contents, which otherwise go to disk.
        "hash_mem_multiplier": "3",
        # No function or operator of another schema may be taken for one of ours, as one of exactly matching types is.
        "search_path": _OWN_PATH,
    }
    with _ending(connection, writes=not (snapshot or stable)), connection.cursor() as cursor:
        # In one message, because over a slow line it is the round trips that cost.
        opening: list[Query] = [
            (begin, None),
            (_REMEMBER_THEIRS, None),
            settings_query(settings),
            (_CHECKED_AT_ONCE, None),
        ]
        cursor.execute(_together(connection, [*opening, *first]))
        for _ in opening if first else ():
            cursor.nextset()
        yield cursor


@contextlib.contextmanager
def _ending(connection: Connection, *, writes: bool) -> Iterator[None]:
    """Commit what was begun inside, or roll it back."""
    try:
        yield
    except psycopg.Rollback:
        connection.rollback()
    except BaseException:
        # What went wrong is known; that the connection is lost as well is no news.
        with contextlib.suppress(psycopg.Error):
            connection.rollback()
        raise
    else:
        try:
            connection.commit()
        except psycopg.OperationalError as exc:
            if not writes or (exc.sqlstate and not isinstance(exc, SilentError)):
                raise
            raise _CommitLostError(*exc.args) from exc


class _CommitLostError(psycopg.OperationalError):
    """The connection was lost before the server could say whether it has committed."""

    sqlstate = "powerca:commit"


def execute_autocommit(
    connection: Connection, statement: Statement | bytes, parameters: Any = None
) -> list[tuple[Any, ...]]:
    """Execute one statement outside any transaction, by our own search path; returns its rows."""
    with connection.cursor() as cursor:
        # In one message, which is a transaction.
        return execute_batch(cursor, settings_query({"search_path": _OWN_PATH}), (statement, parameters))[-1]


def execute_batch(cursor: Cursor, *questions: Query) -> tuple[list[tuple[Any, ...]], ...]:
    """Execute statements in one round trip; the rows of each, none for one that answers none."""
    cursor.execute(_together(cursor.connection, questions))
    return fetch_batch(cursor)


def fetch_batch(cursor: Cursor) -> tuple[list[tuple[Any, ...]], ...]:
    """The rows of each of the statements that were executed together."""
    found = [_rows(cursor)]
    while cursor.nextset():
        found.append(_rows(cursor))
    return tuple(found)


def _rows(cursor: Cursor) -> list[tuple[Any, ...]]:
    return cursor.fetchall() if cursor.description else []


def execute_in_savepoint(cursor: Cursor, statement: sql.Composed) -> int:
    """Execute a statement under a savepoint, in one round trip; answers the rows affected.

    After an exception the transaction is as it was before.
    """
    return _attempt(cursor, [], (statement, None), [])


def write(
    cursor: Cursor, statement: sql.Composed, *, before: sql.Composed | None = None, after: sql.Composed | None = None
) -> int:
    """Execute a statement that writes into a user table, under a savepoint; returns the rows affected.

    Triggers, defaults, checks and rules of the table run with the database's own settings, the search path among them.
    The statement itself must therefore make no text of a value, and have operands and arguments of exactly the types
    that PostgreSQL's own operators and functions declare. `before` and `after` have our settings.
    """
    first: list[Query] = [(before, None)] if before else []
    last: list[Query] = [(after, None)] if after else []
    first += [(_REMEMBER_OURS, None), (_TAKE_THEIRS, None)]
    return _attempt(cursor, first, (statement, None), [(_TAKE_OURS, None), *last])


def execute_with_database_settings(cursor: Cursor, statement: sql.Composed) -> list[tuple[Any, ...]]:
    """Execute a statement with the database's own settings, as `write` does without savepoint; its rows."""
    questions: list[Query] = [(_REMEMBER_OURS, None), (_TAKE_THEIRS, None), (statement, None), (_TAKE_OURS, None)]
    return execute_batch(cursor, *questions)[2]


def _attempt(cursor: Cursor, before: Sequence[Query], statement: Query, after: Sequence[Query]) -> int:
    savepoint, release = sql.SQL("SAVEPOINT powerca_attempt"), sql.SQL("RELEASE SAVEPOINT powerca_attempt")
    questions = [(savepoint, None), *before, statement, *after, (release, None)]
    try:
        cursor.execute(_together(cursor.connection, questions))
    except psycopg.Error:
        if cursor.connection.info.transaction_status == psycopg.pq.TransactionStatus.INERROR:
            cursor.execute("ROLLBACK TO SAVEPOINT powerca_attempt; RELEASE SAVEPOINT powerca_attempt")
        raise
    for _ in range(1 + len(before)):
        cursor.nextset()
    return cursor.rowcount


def execute_with_optional(cursor: Cursor, *needed: Query, optional: Query | None) -> str:
    """Execute statements in one round trip, the last of them under a savepoint; returns why that failed, or nothing.

    After a failure of `optional` the transaction is as if it had not been tried; any other error is raised.
    """
    if optional is None:
        execute_batch(cursor, *needed)
        return ""
    savepoint: Query = ("SAVEPOINT powerca_optional", None)
    try:
        execute_batch(cursor, *needed, savepoint, optional, ("RELEASE SAVEPOINT powerca_optional", None))
    except psycopg.Error as exc:
        if cursor.connection.info.transaction_status != psycopg.pq.TransactionStatus.INERROR:
            raise
        try:
            cursor.execute("ROLLBACK TO SAVEPOINT powerca_optional")
        except psycopg.Error:
            # The savepoint was not reached: a needed statement failed.
            raise exc from None
        return error_text(exc)
    return ""


def _together(connection: Connection, questions: Sequence[Query]) -> bytes:
    # Several statements can be one message only in the simple protocol, which knows no parameters.
    literal = psycopg.ClientCursor(connection).mogrify
    return ";\n".join(literal(statement, parameters) for statement, parameters in questions).encode()


_OWN_PATH = "pg_catalog, pg_temp"
#: Settings of ours by which code of the databases would compute something else.
_MATTERING = ("search_path", "TimeZone", *(name for name in TEXT_FORM if name != "client_encoding"))


def _copies(taken: str, given: str, *more: sql.SQL) -> sql.Composed:
    """Copy settings until the transaction ends, to `taken` and their name from `given` and their name."""
    calls = (
        sql.SQL("pg_catalog.set_config({}, pg_catalog.current_setting({}), true)").format(taken + name, given + name)
        for name in _MATTERING
    )
    return sql.SQL("SELECT {}").format(sql.SQL(", ").join([*more, *calls]))


#: With the decimals that their `lc_monetary` gives to money.
_REMEMBER_THEIRS = _copies(
    "powerca_theirs.",
    "",
    sql.SQL("""\
pg_catalog.set_config('powerca_theirs.decimals', pg_catalog.scale(
    (0::pg_catalog.numeric::pg_catalog.money)::pg_catalog.numeric
)::pg_catalog.text, true)"""),
)
_TAKE_THEIRS = _copies("", "powerca_theirs.")
_REMEMBER_OURS = _copies(
    "powerca_ours.", "", sql.SQL("pg_catalog.set_config('powerca.now', localtimestamp::text, true)")
)
_TAKE_OURS = _copies("", "powerca_ours.")
_CHECKED_AT_ONCE = sql.SQL("SET CONSTRAINTS ALL IMMEDIATE")


def apply_settings(cursor: Cursor, settings: dict[str, str]) -> None:
    """Set run-time parameters until the transaction ends."""
    cursor.execute(*settings_query(settings))


def settings_query(settings: dict[str, str]) -> Query:
    """Set run-time parameters until the transaction ends."""
    calls = (sql.SQL("pg_catalog.set_config({}, {}, true)").format(name, value) for name, value in settings.items())
    return sql.SQL("SELECT {}").format(sql.SQL(", ").join(calls)), None


def server_timezone(connection: Connection) -> str:
    """The time zone that the server reports. Asked, because what the driver remembers may be of another session."""
    with connection.cursor() as cursor:
        return str(one_row(cursor, "SHOW TimeZone")[0])


def server_encoding(cursor: Cursor) -> str:
    """In what the server stores its text, by PostgreSQL's name."""
    return cursor.connection.info.parameter_status("server_encoding") or "UTF8"


def one_row(cursor: Cursor, statement: Statement | bytes, parameters: Any = None) -> tuple[Any, ...]:
    """Execute a statement that answers exactly one row; that row."""
    cursor.execute(statement, parameters)
    row = cursor.fetchone()
    assert row is not None, "the statement answers one row"
    return row
