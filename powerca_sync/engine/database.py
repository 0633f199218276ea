"""Open a connection, run a transaction with settings of our own, and translate the driver's errors.

Everything happens inside one transaction with `SET LOCAL` settings, so that the same code works on a direct
connection and behind a pooler in transaction mode.
"""

import contextlib
import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from powerca_sync.errors import (
    ConfigurationError,
    ContentionError,
    DatabaseUnavailableError,
    SyncError,
)
from powerca_sync.settings import Endpoint

Connection = psycopg.Connection[tuple[Any, ...]]
Cursor = psycopg.Cursor[tuple[Any, ...]]
Statement = LiteralString | sql.SQL | sql.Composed
#: A statement and its parameters.
Question = tuple[Statement | bytes, Mapping[str, Any] | Sequence[Any] | None]


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
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "lc_monetary": "C",
    # Off, it reads NULL in an array as the word; `document` refuses the fragments that XML may be as well.
    "array_nulls": "on",
    "xmloption": "content",
}

#: What a state says of the cause and the cure: the longest prefix wins. Whatever is not here is passed on in the
#: database's own words alone.
_EXPLANATIONS: dict[str, tuple[type[SyncError], str]] = {
    "08": (
        DatabaseUnavailableError,
        "Nothing was written; it is tried again. If it stays so, check host, port and network.",
    ),
    "57P": (DatabaseUnavailableError, "The server is going down or starting; nothing was written. It is tried again."),
    "53300": (DatabaseUnavailableError, "The server has no connection left. Close some, or use the session pooler."),
    "40001": (ContentionError, "Somebody else wrote at the same time; nothing was written. It is tried again."),
    "40P01": (ContentionError, "Somebody else wrote at the same time; nothing was written. It is tried again."),
    "55P03": (ContentionError, "Somebody else holds a lock; nothing was written. It is tried again."),
    "57014": (SyncError, "It took longer than its timeout allows, or somebody cancelled it; nothing was written."),
    "53100": (SyncError, "The server's disk is full. Free space there, then run again."),
    "53400": (SyncError, "The server allows no more than that; nothing was written. Raise the limit, then run again."),
    "25006": (
        SyncError,
        "The database is in read-only mode (quota or disk may be used up). Lift that on the server, then run again.",
    ),
    "22023": (
        ConfigurationError,
        "If it is the time zone, set `LOCAL_DB_TIMEZONE` to the office's, by a name that both databases know.",
    ),
    "28": (ConfigurationError, "Check user and password; a paused project answers the same."),
    "3D000": (ConfigurationError, "Check the database name."),
    "42501": (ConfigurationError, "Grant the missing right to the user that the settings name."),
    "powerca:rows": (
        ConfigurationError,
        "A user who sees only some rows must not sync: use the tables' owner, or a user with BYPASSRLS.",
    ),
    "powerca:tls": (ConfigurationError, "Name the certificate authority's file in the settings (`..._SSLROOTCERT`)."),
    "powerca:settings": (ConfigurationError, "Check the settings."),
    "powerca:commit": (
        DatabaseUnavailableError,
        "The server had been told to commit; whether it did is not known. It is tried again, and what has arrived is "
        "not written twice.",
    ),
}

#: An error of the connection itself has no state: a pattern in libpq's words stands for one; the first that occurs.
#: `SSL` alone proves nothing, it is also said of an encrypted connection that breaks.
_STATES = {
    r"authentication failed|no password supplied|tenant.+user.+not found|pg_hba\.conf": "28P01",
    r"too many|connection slots": "53300",
    r'role ".+" does not exist|not permitted to log in': "28000",
    r'database ".+" does not exist': "3D000",
    r"certificate|does not support SSL": "powerca:tls",
    r"bad: invalid": "powerca:settings",
    "": "08006",
}


def connect(endpoint: Endpoint) -> Connection:
    """An autocommit connection for explicit transactions; the caller closes it.

    Raises `ConfigurationError` for a refused login and `DatabaseUnavailableError` where nobody answers. It is tried
    once: a login that is refused repeatedly gets the address banned.
    """
    with explained(f"connecting to {endpoint.side} ({endpoint})"):
        return psycopg.connect(
            host=endpoint.host,
            port=endpoint.port,
            dbname=endpoint.name,
            user=endpoint.user,
            password=endpoint.password,
            sslmode=endpoint.effective_sslmode,
            sslrootcert=endpoint.sslrootcert or None,
            connect_timeout=endpoint.connect_timeout,
            application_name="powerca_sync",
            # Not the server's own: from SQL_ASCII the driver would give bytes for text.
            client_encoding="UTF8",
            autocommit=True,
            # A named prepared statement does not survive a pooler in transaction mode.
            prepare_threshold=None,
        )


@contextlib.contextmanager
def transaction(
    connection: Connection,
    *,
    timezone: str,
    timeouts: Timeouts,
    snapshot: bool = False,
    stable: bool = False,
    first: Sequence[Question] = (),
) -> Iterator[Cursor]:
    """One transaction in which values have their canonical text form; commits, or rolls back on an exception.

    With `snapshot` it is READ ONLY and REPEATABLE READ, so that all it reads is of one instant; `stable` is the same
    for one that makes temporary tables. Otherwise it is READ COMMITTED, so that each statement sees what others
    committed before it. What is asked `first` travels with its begin: read the `answers` of the cursor.
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
        "idle_in_transaction_session_timeout": "0",
        "work_mem": "64MB",
        # For a million hashed contents, which otherwise go to disk.
        "hash_mem_multiplier": "3",
    }
    with _ending(connection, writes=not snapshot), connection.cursor() as cursor:
        # In one message, because over a slow line it is the round trips that cost.
        opening: list[Question] = [(begin, None), setting(settings), (_CHECKED_AT_ONCE, None)]
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
            if exc.sqlstate or not writes:
                raise
            raise _CommitLostError(*exc.args) from exc


class _CommitLostError(psycopg.OperationalError):
    """The connection was lost before the server could say whether it has committed."""

    sqlstate = "powerca:commit"


def ask(cursor: Cursor, *questions: Question) -> tuple[list[tuple[Any, ...]], ...]:
    """Execute statements in one round trip; the rows of each, none for one that answers none."""
    cursor.execute(_together(cursor.connection, questions))
    return answers(cursor)


def answers(cursor: Cursor) -> tuple[list[tuple[Any, ...]], ...]:
    """The rows of each of the statements that were executed together."""
    found = [_rows(cursor)]
    while cursor.nextset():
        found.append(_rows(cursor))
    return tuple(found)


def _rows(cursor: Cursor) -> list[tuple[Any, ...]]:
    return cursor.fetchall() if cursor.description else []


def attempt(cursor: Cursor, statement: sql.Composed) -> int:
    """Execute a statement under a savepoint, in one round trip; answers the rows affected.

    After an exception the transaction is as it was before.
    """
    savepoint, release = sql.SQL("SAVEPOINT powerca_attempt"), sql.SQL("RELEASE SAVEPOINT powerca_attempt")
    try:
        cursor.execute(_together(cursor.connection, [(savepoint, None), (statement, None), (release, None)]))
    except psycopg.Error:
        if cursor.connection.info.transaction_status == psycopg.pq.TransactionStatus.INERROR:
            cursor.execute("ROLLBACK TO SAVEPOINT powerca_attempt; RELEASE SAVEPOINT powerca_attempt")
        raise
    cursor.nextset()
    return cursor.rowcount


def _together(connection: Connection, questions: Sequence[Question]) -> bytes:
    # Several statements can be one message only in the simple protocol, which knows no parameters.
    literal = psycopg.ClientCursor(connection).mogrify
    return ";\n".join(literal(statement, parameters) for statement, parameters in questions).encode()


_CHECKED_AT_ONCE = sql.SQL("SET CONSTRAINTS ALL IMMEDIATE")


def configure(cursor: Cursor, settings: dict[str, str]) -> None:
    """Set run-time parameters until the transaction ends."""
    cursor.execute(*setting(settings))


def setting(settings: dict[str, str]) -> Question:
    """Set run-time parameters until the transaction ends."""
    calls = (sql.SQL("set_config({}, {}, true)").format(name, value) for name, value in settings.items())
    return sql.SQL("SELECT {}").format(sql.SQL(", ").join(calls)), None


def timezone_of(connection: Connection) -> str:
    """The time zone that the server reports. Asked, because what the driver remembers may be of another session."""
    with connection.cursor() as cursor:
        return str(one_row(cursor, "SHOW TimeZone")[0])


def encoding_of(cursor: Cursor) -> str:
    """In what the server stores its text, by PostgreSQL's name."""
    return cursor.connection.info.parameter_status("server_encoding") or "UTF8"


def one_row(cursor: Cursor, statement: Statement | bytes, parameters: Any = None) -> tuple[Any, ...]:
    """Execute a statement that answers exactly one row; that row."""
    cursor.execute(statement, parameters)
    row = cursor.fetchone()
    assert row is not None, "the statement answers one row"
    return row


@contextlib.contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turn the driver's errors into a `SyncError` that says what was being done and what to do next."""
    try:
        yield
    except psycopg.Error as exc:
        raise explain(exc, doing) from exc


def explain(exc: psycopg.Error, doing: str) -> SyncError:
    """The `SyncError` for a driver error; its message keeps the database's own words."""
    # What libpq adds on further lines is advice, some of it bad: to switch the verification of certificates off.
    words = exc.diag.message_primary or str(exc).strip().partition("\n")[0] or type(exc).__name__
    words = " ".join(words.split()).rstrip(".")
    state = exc.sqlstate or ""
    if not state and isinstance(exc, psycopg.OperationalError | psycopg.InterfaceError):
        state = next(state for pattern, state in _STATES.items() if re.search(pattern, words, re.IGNORECASE))
    if state == "42501" and "row-level security" in words:
        state = "powerca:rows"
    # The detail of a row that violates NOT NULL or CHECK is the whole row, passwords and all.
    if exc.diag.message_detail and state not in ("23502", "23514"):
        words += f" ({' '.join(exc.diag.message_detail.split())})"
    for prefix in sorted(_EXPLANATIONS, key=len, reverse=True):
        if state.startswith(prefix):
            kind, advice = _EXPLANATIONS[prefix]
            return kind(f"{doing} failed: {words}. {advice}")
    return SyncError(f"{doing} failed: {words}. Nothing was written.")


def is_refusal(exc: psycopg.Error) -> bool:
    """Whether the database refused a row's content, rather than the statement or the session.

    Data exceptions (22; of them 22P05, text that an encoding cannot hold), integrity violations (23), views with CHECK
    OPTION (44), exceptions raised by triggers (P0, and PT for those that tell Supabase's interface a status), and
    values too long for an index or nested too deep (54000, 54001).
    """
    state = exc.sqlstate or ""
    return state[:2] in ("22", "23", "44", "P0", "PT") or state in ("54000", "54001")
