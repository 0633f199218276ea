"""What a database's error means: whether it refused a row, and otherwise what failed, in its words, and what to do."""

import contextlib
import re
from collections.abc import Iterator

import psycopg

from powerca_sync.errors import ConfigurationError, ContentionError, DatabaseUnavailableError, SyncError

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
