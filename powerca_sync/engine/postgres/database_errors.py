"""What a database's error means: whether it refused a row, and otherwise what failed, in its words, and what to do."""

import contextlib
import re
from collections.abc import Iterator

import psycopg

from powerca_sync.errors import ConfigurationError, ContentionError, DatabaseUnavailableError, SyncError
from powerca_sync.plain_text import in_lines, in_one_line

#: The cause and the cure by SQLSTATE, or by a state of our own (`powerca:...`); the longest prefix wins. Whatever is
#: not here is passed on in the database's own words alone.
_EXPLANATIONS: dict[str, tuple[type[SyncError], str]] = {
    "08": (
        DatabaseUnavailableError,
        "Nothing was written; it is tried again. If it stays so, check host, port and network.",
    ),
    "powerca:silent": (
        DatabaseUnavailableError,
        "The line fell silent. Nothing was written; it is tried again. If it stays so, check the network and whatever "
        "lies between: router, firewall, VPN, pooler.",
    ),
    "57P": (DatabaseUnavailableError, "The server is going down or starting; nothing was written. It is tried again."),
    "57P05": (DatabaseUnavailableError, "The server ended an idle connection. Nothing was written; it is tried again."),
    "25P03": (
        DatabaseUnavailableError,
        "The server ended a transaction that had been idle for too long. Nothing was written; it is tried again.",
    ),
    "53300": (DatabaseUnavailableError, "The server has no connection left. Close some, or use the session pooler."),
    "40001": (ContentionError, "Somebody else wrote at the same time; nothing was written. It is tried again."),
    "40P01": (ContentionError, "Somebody else wrote at the same time; nothing was written. It is tried again."),
    "55P03": (
        ContentionError,
        "Somebody else holds a lock; nothing was written. It is tried again. If it stays so, `powerca-sync doctor` "
        "names the holder.",
    ),
    "57014": (SyncError, "It took longer than its timeout allows, or somebody cancelled it; nothing was written."),
    "53100": (SyncError, "The server's disk is full. Free space there, then run again."),
    "53400": (SyncError, "The server allows no more than that; nothing was written. Raise the limit, then run again."),
    "25006": (
        SyncError,
        "The server takes no writes: it is a standby, or in read-only mode (quota or disk may be used up). Name the "
        "primary server in the settings, or end that mode on the server, then run again.",
    ),
    "22023": (
        ConfigurationError,
        "If it is the time zone, set `LOCAL_DB_TIMEZONE` to the office's, by a name that both databases know.",
    ),
    "28": (
        ConfigurationError,
        "Check user and password, and which logins the server's pg_hba.conf lets in from here. A client certificate, "
        "if it asks for one, belongs in `~/.postgresql/postgresql.crt` and `postgresql.key` "
        "(Windows: `%APPDATA%\\postgresql`).",
    ),
    "28P01": (ConfigurationError, "Check user and password; a paused project answers the same."),
    "3D000": (ConfigurationError, "Check the database name."),
    "42501": (ConfigurationError, "Grant the missing right to the user that the settings name."),
    "powerca:rows": (
        ConfigurationError,
        "A user who sees only some rows must not sync: use the tables' owner, or a user with BYPASSRLS.",
    ),
    "powerca:tls": (ConfigurationError, "Check `..._SSLMODE` and `..._SSLROOTCERT` in the settings."),
    "powerca:tls:file": (
        ConfigurationError,
        "Name the certificate authority's file in the settings (`..._SSLROOTCERT`).",
    ),
    "powerca:tls:authority": (
        ConfigurationError,
        "The server's certificate was issued by an authority that is not in the file of `..._SSLROOTCERT`. Name the "
        "file of the right one; the server's dashboard or administrator has it.",
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
        "The server offers no encryption. Switch it on there (`ssl = on`), or, inside the office's own network only, "
        "set `..._SSLMODE=prefer`.",
    ),
    "powerca:settings": (ConfigurationError, "Check the settings."),
    "powerca:tenant": (
        ConfigurationError,
        "Copy host and user from the pooler's dashboard; a paused project answers the same.",
    ),
    "powerca:breaker": (
        ConfigurationError,
        "After too many wrong passwords the pooler lets nobody in for some minutes. Check user and password, stop "
        "whatever else logs in with an old one, and wait ten minutes before you run again.",
    ),
    "powerca:commit": (
        DatabaseUnavailableError,
        "The server had been told to commit; whether it did is not known. It is tried again, and what has arrived is "
        "not written twice.",
    ),
}

#: Poolers speak English to everybody, and have one SQLSTATE for all: XX000 (Supavisor) or 08P01 (PgBouncer). Their
#: words stand for a state of ours; the first that occurs.
_POOLERS_STATES = {
    r"ECIRCUITBREAKER|circuit breaker|temporarily blocked": "powerca:breaker",
    r"ENOTFOUND|tenant.+user.+not found|EAUTHQUERY. user not found": "powerca:tenant",
    r"authentication failed|no such user|wrong password": "28P01",
    r"no such database|database .+ does not exist": "3D000",
    r"max.+clients?\b|too many|no more connections": "53300",
    r"EAUTHQUERY|ECHECKOUTTIMEOUT|EDBHANDLEREXITED|timed? ?out|not available|server login|cannot connect": "08006",
}


@contextlib.contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turn the driver's errors into a `SyncError` that says what was being done and what to do next."""
    try:
        yield
    except psycopg.Error as exc:
        raise explain(exc, doing) from exc


def explain(exc: psycopg.Error, doing: str) -> SyncError:
    """The `SyncError` for a driver error; its message keeps the database's own words."""
    words = " ".join(error_text(exc).split()).rstrip(".")
    state = _state(exc, words)
    if state == "42501" and "row-level security" in words:
        state = "powerca:rows"
    # The detail of a row that violates NOT NULL or CHECK is the whole row, passwords and all.
    if exc.diag.message_detail and state not in ("23502", "23514"):
        words += f" ({in_one_line(' '.join(exc.diag.message_detail.split()))})"
    for prefix in sorted(_EXPLANATIONS, key=len, reverse=True):
        if state.startswith(prefix):
            kind, advice = _EXPLANATIONS[prefix]
            return kind(f"{doing} failed: {words}. {advice}")
    return SyncError(f"{doing} failed: {words}. Nothing was written.")


def error_text(exc: psycopg.Error) -> str:
    """The database's own words, in one line."""
    return in_one_line(exc.diag.message_primary or str(exc).strip().partition("\n")[0] or type(exc).__name__)


def strip_row_content(exc: BaseException | None) -> None:
    """Reduce an error and its causes to plain words, for whoever prints them with their causes, as Dagster does.

    The driver's full text has the row's content, as it is.
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
    """The SQLSTATE, or a state of our own where that says more."""
    state = exc.sqlstate or ""
    if state in ("XX000", "08P01"):
        found = (own for pattern, own in _POOLERS_STATES.items() if re.search(pattern, words, re.IGNORECASE))
        state = next(found, "08006" if exc.diag.severity in ("FATAL", "PANIC") else state)
    # Without a state it is libpq or the driver that speaks, of a connection that is lost.
    if not state and isinstance(exc, psycopg.OperationalError | psycopg.InterfaceError):
        return "08006"
    return state


def is_refusal(exc: psycopg.Error) -> bool:
    """Whether the database refused a row's content, rather than the statement or the session.

    Data exceptions (22; of them 22P05, text that an encoding cannot hold), integrity violations (23), views with CHECK
    OPTION (44), values too long for an index or nested too deep (54000, 54001), and whatever a function of the
    database raises by itself, which may choose any SQLSTATE (P0, and PT for a status of Supabase's interface, are for
    nothing else).
    """
    state = exc.sqlstate or ""
    return state[:2] in ("22", "23", "44", "P0", "PT") or state in ("54000", "54001") or _is_raised(exc)


def may_concern_rows(exc: psycopg.Error) -> bool:
    """Whether single rows may have caused the error, so that the others can be written over the same connection.

    False if the connection is lost, or if the error concerns the session or the server:
    cancellation and timeouts, locks, deadlocks, serialization failures, read-only mode, a full disk.
    """
    if is_refusal(exc):
        return True
    lost = not exc.sqlstate or exc.diag.severity in ("FATAL", "PANIC")
    return not lost and not str(exc.sqlstate).startswith(_OF_THE_SESSION)


#: SQLSTATEs of what befalls a session: class 25 invalid transaction state, 40 transaction rollback, 53 insufficient
#: resources, 57 operator intervention, 58 system error; lock not available; ours.
_OF_THE_SESSION = ("25", "40", "53", "55P03", "57", "58", "powerca:")
#: How the source files begin in which PostgreSQL's languages raise what a function asks for. The server's own errors
#: of the same SQLSTATEs come from elsewhere: postgres.c, deadlock.c ...
_LANGUAGES = ("pl_exec.", "plpy", "plperl", "pltcl", "plv8", "Util.")


def _is_raised(exc: psycopg.Error) -> bool:
    file = (exc.diag.source_file or "").replace("\\", "/").rpartition("/")[2]
    return bool(exc.sqlstate) and file.startswith(_LANGUAGES)
