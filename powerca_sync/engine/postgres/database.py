"""Open connections, and run transactions with our own session settings.

All settings are set for one transaction (`SET LOCAL`), so that the same code works on direct connections and behind a
pooler in transaction mode.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
from psycopg import sql

from powerca_sync.engine.postgres.connecting import LineConnection, SilentError, TlsError
from powerca_sync.engine.postgres.database_errors import explained
from powerca_sync.engine.postgres.execution import (
    Connection,
    Cursor,
    Query,
    Statement,
    execute_batch,
    execute_in_savepoint,
    execute_with_optional,
    one_row,
    send_batch,
)
from powerca_sync.engine.postgres.session_settings import (
    OWN_PATH,
    SAVE_DATABASE_SETTINGS,
    SAVE_OWN_SETTINGS,
    TEXT_FORM,
    USE_DATABASE_SETTINGS,
    USE_OWN_SETTINGS,
    WORK_MEM,
    settings_query,
)
from powerca_sync.engine.postgres.sql_files import load
from powerca_sync.engine.postgres.tls import find_tls_fault
from powerca_sync.settings import PATIENCE, Endpoint


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Timeouts:
    """The time limits of a transaction, in seconds."""

    #: For one statement. Supabase's default of two minutes is too short for a first load.
    statement: float = 900
    #: For a row lock that the app holds.
    lock: float = 30
    #: For another run of the same table.
    table: float = 60


def connect(endpoint: Endpoint) -> Connection:
    """Open an autocommit connection for explicit transactions; the caller closes it.

    Tries once, because repeated refused logins get the address banned.

    Raises:
        ConfigurationError: The server refused the login.
        DatabaseUnavailableError: No server answered.
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
                # With the server's SQL_ASCII, psycopg would return bytes for text.
                client_encoding="UTF8",
            )
        except TlsError as exc:
            exc.sqlstate = find_tls_fault(endpoint)
            raise


def interrupt_use(connection: Connection) -> None:
    """Make another thread's use of the connection fail, and cancel its statement at the server."""
    assert isinstance(connection, LineConnection), "it was opened by `connect`"
    connection.interrupt()


@contextlib.contextmanager
def connect_both(desktop: Endpoint, mobile: Endpoint) -> Iterator[tuple[Connection, Connection]]:
    """Yields connections to the desktop and to mobile, and closes them. Raises as `connect`."""
    with contextlib.closing(connect(mobile)) as on_mobile, contextlib.closing(connect(desktop)) as on_desktop:
        yield on_desktop, on_mobile


@contextlib.contextmanager
def transaction(
    connection: Connection,
    *,
    timezone: str,
    timeouts: Timeouts,
    snapshot: bool = False,
    stable: bool = False,
    calls_functions: bool = False,
    first: Sequence[Query] = (),
) -> Iterator[Cursor]:
    """Run one transaction in which values have their canonical text; commits, or rolls back after an exception.

    With `snapshot` it is READ ONLY and REPEATABLE READ. `stable` is the same for a transaction that creates temporary
    tables and writes nothing else. Otherwise it is READ COMMITTED. `calls_functions` leaves deferred constraints and
    row-level security as the database has them, for functions of the office. The queries of `first` are sent in the
    same message as BEGIN; read their rows with `fetch_batch`.
    """
    opening = _opening(timezone, timeouts, snapshot=snapshot, stable=stable, calls_functions=calls_functions)
    with _committed(connection, writes=not (snapshot or stable)), connection.cursor() as cursor:
        send_batch(cursor, [*opening, *first])
        for _ in opening if first else ():
            cursor.nextset()
        yield cursor


@functools.lru_cache(maxsize=100)
def _opening(
    timezone: str, timeouts: Timeouts, *, snapshot: bool, stable: bool, calls_functions: bool
) -> tuple[Query, ...]:
    """Returns the first statements of a transaction; kept, because composing them takes longer than sending them."""
    level = sql.SQL("REPEATABLE READ" if snapshot or stable else "READ COMMITTED")
    # Never READ WRITE, which would override the read-only mode of a server whose disk is full.
    begin = sql.SQL("BEGIN ISOLATION LEVEL {}{}").format(level, sql.SQL(" READ ONLY" if snapshot else ""))
    deferred: list[Query] = [] if calls_functions else [("SET CONSTRAINTS ALL IMMEDIATE", None)]
    settings = TEXT_FORM | {
        "TimeZone": timezone,
        # A role without BYPASSRLS must fail instead of seeing, or deleting, only some rows.
        "row_security": "on" if calls_functions else "off",
        "statement_timeout": f"{timeouts.statement * 1000:.0f}",
        "lock_timeout": f"{timeouts.lock * 1000:.0f}",
        # A session may be idle while the other database executes a statement; beyond that its client is gone.
        "idle_in_transaction_session_timeout": f"{(timeouts.statement + timeouts.lock + timeouts.table) * 1000:.0f}",
        # The server's default is two hours.
        "tcp_keepalives_idle": f"{PATIENCE // 2}",
        "tcp_keepalives_interval": f"{PATIENCE // 20}",
        "work_mem": WORK_MEM,
        # For ANALYZE of working tables: a million rows took 0.09 s of CPU with the default, 0.01 s with a tenth of it.
        "default_statistics_target": "10",
        # Compilation costs more than it saves: 2.8 s against 0.8 s for a merge of 200,000 rows.
        "jit": "off",
        # Joins of hundreds of thousands of rows otherwise go to disk.
        "hash_mem_multiplier": "3",
        "search_path": OWN_PATH,
    }
    return ((begin.as_bytes(), None), SAVE_DATABASE_SETTINGS, settings_query(settings), *deferred)


@contextlib.contextmanager
def _committed(connection: Connection, *, writes: bool) -> Iterator[None]:
    """Commit the transaction that is begun inside, or roll it back after an exception."""
    try:
        yield
    except psycopg.Rollback:
        connection.rollback()
    except BaseException:
        # The first error is the cause; one of the rollback, such as a lost connection, is suppressed.
        with contextlib.suppress(psycopg.Error):
            connection.rollback()
        raise
    else:
        with _commit_may_be_lost() if writes else contextlib.nullcontext():
            connection.commit()


@contextlib.contextmanager
def _commit_may_be_lost() -> Iterator[None]:
    """Encloses a COMMIT, so that the loss of the connection says that its result is unknown."""
    try:
        yield
    except psycopg.OperationalError as exc:
        if exc.sqlstate and not isinstance(exc, SilentError):
            raise
        raise _CommitLostError(*exc.args) from exc


def execute_and_commit(cursor: Cursor, *needed: Query, optional: Query | None) -> str:
    """Execute `execute_with_optional` and COMMIT in one round trip, unless the optional query fails."""
    with _commit_may_be_lost():
        return execute_with_optional(cursor, *needed, optional=optional, after=[("COMMIT", None)])


class _CommitLostError(psycopg.OperationalError):
    """The connection was lost during COMMIT; whether the server has committed is unknown."""

    sqlstate = "powerca:commit"


def execute_autocommit(
    connection: Connection, statement: Statement | bytes, parameters: Any = None
) -> list[tuple[Any, ...]]:
    """Execute one statement outside any transaction, with our own search path; returns its rows."""
    with connection.cursor() as cursor:
        # One message is one transaction, for which the search path is set.
        return execute_batch(cursor, settings_query({"search_path": OWN_PATH}), (statement, parameters))[-1]


def write(
    cursor: Cursor, statement: sql.Composed, *, before: sql.Composed | None = None, after: sql.Composed | None = None
) -> int:
    """Execute a statement that writes into a user table, under a savepoint; returns the rows affected.

    The statement, and with it the table's triggers, defaults, checks and rules, runs with the database's own settings,
    the search path among them. It must therefore make no text of a value, and its operands and arguments must have
    exactly the types that PostgreSQL's operators and functions declare. `before` and `after` run with our settings.
    """
    first: list[Query] = [(before, None)] if before else []
    last: list[Query] = [(after, None)] if after else []
    return execute_in_savepoint(
        cursor,
        statement,
        before=[*first, SAVE_OWN_SETTINGS, USE_DATABASE_SETTINGS],
        after=[USE_OWN_SETTINGS, *last],
    )


def execute_with_database_settings(cursor: Cursor, statement: sql.Composed) -> list[tuple[Any, ...]]:
    """Execute a statement with the database's own settings, without a savepoint; returns its rows."""
    return execute_batch(cursor, SAVE_OWN_SETTINGS, USE_DATABASE_SETTINGS, (statement, None), USE_OWN_SETTINGS)[2]


def blocks_others(connection: Connection) -> bool:
    """Returns whether another session waits for a lock of the connection's transaction, if it is in one."""
    if connection.info.transaction_status != psycopg.pq.TransactionStatus.INTRANS:
        return False
    with connection.cursor() as cursor:
        return one_row(cursor, load(__package__, "blocks_others.sql")) == (True,)


def server_timezone(connection: Connection) -> str:
    """Returns the server's time zone; queried, because behind a pooler the driver's value may be of another session."""
    with connection.cursor() as cursor:
        return str(one_row(cursor, "SHOW TimeZone")[0])


def server_encoding(cursor: Cursor) -> str:
    """Returns the encoding of the database, by PostgreSQL's name."""
    return cursor.connection.info.parameter_status("server_encoding") or "UTF8"
