"""Classify database errors: is a row refused, and otherwise what failed, in the database's words, and what to do."""

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import psycopg

from powerca_sync.errors import ConfigurationError, ContentionError, DatabaseUnavailableError, SyncError
from powerca_sync.plain_text import in_lines, in_one_line

#: Class and advice by SQLSTATE, or by a state of our own (`powerca:...`); the longest prefix wins. Other errors have
#: the database's words alone.
_EXPLANATIONS: dict[str, tuple[type[SyncError], str]] = {
    "08": (
        DatabaseUnavailableError,
        "Nothing was written; the run is retried. If the error persists, check host, port and network.",
    ),
    "powerca:silent": (
        DatabaseUnavailableError,
        "The connection was lost. Nothing was written; the run is retried. If the error persists, check the network: "
        "router, firewall, VPN, pooler.",
    ),
    "57P": (
        DatabaseUnavailableError,
        "The server is starting or shutting down. Nothing was written; the run is retried.",
    ),
    "57P05": (
        DatabaseUnavailableError,
        "The server closed an idle connection. Nothing was written; the run is retried.",
    ),
    "25P03": (
        DatabaseUnavailableError,
        "The server ended a transaction that was idle for too long. Nothing was written; the run is retried.",
    ),
    "53300": (DatabaseUnavailableError, "The server has no connection left. Close some, or use the session pooler."),
    "40001": (ContentionError, "Another session wrote at the same time. Nothing was written; the run is retried."),
    "40P01": (ContentionError, "Another session wrote at the same time. Nothing was written; the run is retried."),
    "55P03": (
        ContentionError,
        "Another session holds a lock. Nothing was written; the run is retried. If the error persists, `powerca-sync "
        "doctor` names the session.",
    ),
    "57014": (SyncError, "The statement exceeded its timeout, or somebody cancelled it. Nothing was written."),
    "53100": (SyncError, "The server's disk is full. Free space there, then run again."),
    "53400": (SyncError, "A limit of the server was exceeded. Nothing was written. Raise the limit, then run again."),
    "25006": (
        SyncError,
        "The server is read-only: it is a standby, or its quota or disk is used up. Name the primary server in the "
        "settings, or end the read-only mode, then run again.",
    ),
    "22023": (
        ConfigurationError,
        "If it is the time zone, set `LOCAL_DB_TIMEZONE` to a name that both databases know.",
    ),
    "28": (
        ConfigurationError,
        "Check user and password, and whether the server's pg_hba.conf allows logins from this machine. A client "
        "certificate, if the server requires one, belongs in `~/.postgresql/postgresql.crt` and `postgresql.key` "
        "(Windows: `%APPDATA%\\postgresql`).",
    ),
    "28P01": (ConfigurationError, "Check user and password. A paused Supabase project gives the same error."),
    "3D000": (ConfigurationError, "Check the database name."),
    "42501": (ConfigurationError, "Grant the missing right to the user that the settings name."),
    "powerca:rows": (
        ConfigurationError,
        "Row-level security hides rows from this user: use the tables' owner, or a user with BYPASSRLS.",
    ),
    "powerca:tls": (ConfigurationError, "Check `..._SSLMODE` and `..._SSLROOTCERT` in the settings."),
    "powerca:tls:file": (
        ConfigurationError,
        "Name the certificate authority's file in the settings (`..._SSLROOTCERT`).",
    ),
    "powerca:tls:authority": (
        ConfigurationError,
        "The server's certificate was issued by an authority that is not in the file of `..._SSLROOTCERT`. Name the "
        "right authority's file; the server's dashboard or administrator has it.",
    ),
    "powerca:tls:date": (
        ConfigurationError,
        "The server's certificate has expired, or is not valid yet. Have it renewed on the server, and check the date "
        "of this machine.",
    ),
    "powerca:tls:host": (
        ConfigurationError,
        "The server's certificate is for another host name. Set `..._HOST` to a name that is in the certificate.",
    ),
    "powerca:tls:none": (
        ConfigurationError,
        "The server offers no encryption. Enable it on the server (`ssl = on`), or, inside the office's own network "
        "only, set `..._SSLMODE=prefer`.",
    ),
    "powerca:settings": (ConfigurationError, "Check the settings."),
    "powerca:tenant": (
        ConfigurationError,
        "Copy host and user from the pooler's dashboard. A paused Supabase project gives the same error.",
    ),
    "powerca:breaker": (
        ConfigurationError,
        "After too many wrong passwords the pooler refuses all logins for some minutes. Check user and password, stop "
        "other programs that log in with an old one, and wait ten minutes before the next run.",
    ),
    "powerca:commit": (
        DatabaseUnavailableError,
        "It is unknown whether the server has committed. The run is retried, and rows that have arrived are not "
        "written twice.",
    ),
}

#: Poolers always report in English, and with one SQLSTATE: XX000 (Supavisor) or 08P01 (PgBouncer). The first pattern
#: that matches the message gives the state.
_POOLERS_STATES = {
    r"ECIRCUITBREAKER|circuit breaker|temporarily blocked": "powerca:breaker",
    r"ENOTFOUND|tenant.+user.+not found|EAUTHQUERY. user not found": "powerca:tenant",
    r"authentication failed|no such user|wrong password": "28P01",
    r"no such database|database .+ does not exist": "3D000",
    r"max.+clients?\b|too many|no more connections": "53300",
    r"EAUTHQUERY|ECHECKOUTTIMEOUT|EDBHANDLEREXITED|timed? ?out|not available|server login|cannot connect": "08006",
}


@contextlib.contextmanager
def explained(doing: str, *connections: psycopg.Connection[Any]) -> Iterator[None]:
    """Convert the driver's errors into a `SyncError` with what was being done and what to do next.

    If one of the `connections` is closed, that includes the `ValueError` that psycopg raises when a pooler closes a
    connection during a COPY.
    """
    try:
        yield
    except psycopg.Error as exc:
        raise explain(exc, doing) from exc
    except ValueError as exc:
        if not any(connection.closed for connection in connections):
            raise
        raise DatabaseUnavailableError(
            f"{doing} failed: the connection was lost ({exc}). Nothing was written; the run is retried."
        ) from exc


def explain(exc: psycopg.Error, doing: str) -> SyncError:
    """Returns the `SyncError` for a driver error; its message has the database's own words."""
    words = " ".join(error_text(exc).split()).rstrip(".")
    state = _state(exc, words)
    if state == "42501" and "row-level security" in words:
        state = "powerca:rows"
    # The detail of a NOT NULL or CHECK violation is the whole row, sensitive columns included.
    if exc.diag.message_detail and state not in ("23502", "23514"):
        words += f" ({in_one_line(' '.join(exc.diag.message_detail.split()))})"
    for prefix in sorted(_EXPLANATIONS, key=len, reverse=True):
        if state.startswith(prefix):
            kind, advice = _EXPLANATIONS[prefix]
            return kind(f"{doing} failed: {words}. {advice}")
    return SyncError(f"{doing} failed: {words}. Nothing was written.")


def error_text(exc: psycopg.Error) -> str:
    """Returns the database's own words, in one line."""
    return in_one_line(exc.diag.message_primary or str(exc).strip().partition("\n")[0] or type(exc).__name__)


def strip_row_content(exc: BaseException | None) -> None:
    """Reduce the messages of an error and its causes to the primary message, because Dagster prints all of them.

    The driver's full text contains the row.
    """
    seen: list[BaseException] = []
    while exc is not None and exc not in seen:
        seen.append(exc)
        if isinstance(exc, psycopg.Error):
            exc.args = (error_text(exc),)
        else:
            exc.args = tuple(in_lines(arg) if isinstance(arg, str) else arg for arg in exc.args)
        exc = exc.__cause__ or exc.__context__


def _state(exc: psycopg.Error, words: str) -> str:
    """Returns the SQLSTATE, or a state of our own that is more specific."""
    state = exc.sqlstate or ""
    if state in ("XX000", "08P01"):
        found = (own for pattern, own in _POOLERS_STATES.items() if re.search(pattern, words, re.IGNORECASE))
        state = next(found, "08006" if exc.diag.severity in ("FATAL", "PANIC") else state)
    # Errors of libpq and of the driver, which have no SQLSTATE, mean a lost connection.
    if not state and isinstance(exc, psycopg.OperationalError | psycopg.InterfaceError):
        return "08006"
    return state


def is_refusal(exc: psycopg.Error) -> bool:
    """Whether the database refused a row's content, not the statement or the session.

    Refusals are data exceptions (class 22; 22P05: not representable in the encoding), integrity violations (23), WITH
    CHECK OPTION violations (44), values too long for an index or nested too deep (54000, 54001), and errors raised by
    functions (P0, PT for a status of PostgREST; a function may choose any other SQLSTATE).
    """
    state = exc.sqlstate or ""
    return state[:2] in ("22", "23", "44", "P0", "PT") or state in ("54000", "54001") or _is_raised(exc)


def may_concern_rows(exc: psycopg.Error) -> bool:
    """Whether single rows may have caused the error, so that other rows can be written over the same connection.

    False for a lost connection and for errors of the session or server: cancellation, timeouts, locks, deadlocks,
    serialization failures, read-only mode, a full disk.
    """
    if is_refusal(exc):
        return True
    lost = not exc.sqlstate or exc.diag.severity in ("FATAL", "PANIC")
    return not lost and not str(exc.sqlstate).startswith(_OF_THE_SESSION)


#: SQLSTATEs of the session or server: class 25 invalid transaction state, 40 transaction rollback, 53 insufficient
#: resources, 57 operator intervention, 58 system error; lock not available; our own.
_OF_THE_SESSION = ("25", "40", "53", "55P03", "57", "58", "powerca:")
#: Prefixes of the source files from which PostgreSQL's languages raise errors on behalf of a function. The server's own
#: errors of the same SQLSTATE have other files: postgres.c, deadlock.c ...
_LANGUAGES = ("pl_exec.", "plpy", "plperl", "pltcl", "plv8", "Util.")


def _is_raised(exc: psycopg.Error) -> bool:
    file = (exc.diag.source_file or "").replace("\\", "/").rpartition("/")[2]
    return bool(exc.sqlstate) and file.startswith(_LANGUAGES)
