"""Each error of the driver becomes one sentence, classed by what the operator can do about it."""

import psycopg
import pytest
from psycopg import errors

from powerca_sync.engine.postgres.database_errors import explain, is_refusal
from powerca_sync.errors import ConfigurationError, ContentionError, DatabaseUnavailableError, SyncError


@pytest.mark.parametrize(
    "words",
    [
        "consuming input failed: server closed the connection unexpectedly\n\tThis probably means ...",
        "consuming input failed: SSL connection has been closed unexpectedly",
        "connection timeout expired",
        "failed to resolve host 'db.example.supabase.co': [Errno -3] Temporary failure in name resolution",
        "Verbindungsaufbau abgelehnt",
    ],
)
def test_connection_error_without_sqlstate_is_a_lost_connection(words: str) -> None:
    error = explain(psycopg.OperationalError(words), "connecting to mobile (host:5432/postgres)")
    assert type(error) is DatabaseUnavailableError
    assert str(error).startswith("connecting to mobile (host:5432/postgres) failed: ")
    assert "\n" not in str(error)
    assert "probably" not in str(error)


def test_closed_connection_is_a_lost_connection() -> None:
    assert type(explain(psycopg.InterfaceError("the connection is closed"), "syncing")) is DatabaseUnavailableError


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (errors.AdminShutdown, DatabaseUnavailableError),
        (errors.CannotConnectNow, DatabaseUnavailableError),
        (errors.ConnectionFailure, DatabaseUnavailableError),
        (errors.TooManyConnections, DatabaseUnavailableError),
        (errors.DeadlockDetected, ContentionError),
        (errors.SerializationFailure, ContentionError),
        (errors.LockNotAvailable, ContentionError),
        # These are OperationalErrors of the driver too, but a retry cannot help.
        (errors.QueryCanceled, SyncError),
        (errors.DiskFull, SyncError),
        (errors.ConfigurationLimitExceeded, SyncError),
        (errors.OutOfMemory, SyncError),
        (errors.ReadOnlySqlTransaction, SyncError),
        (errors.InsufficientPrivilege, ConfigurationError),
        (errors.InvalidPassword, ConfigurationError),
        (errors.UndefinedTable, SyncError),
    ],
)
def test_database_error_is_classed_by_its_sqlstate(cause: type[psycopg.Error], kind: type[SyncError]) -> None:
    error = explain(cause("the database's words."), "syncing table `jobs`")
    assert type(error) is kind
    assert str(error).startswith("syncing table `jobs` failed: the database's words. ")
    assert error.retryable is (kind in (DatabaseUnavailableError, ContentionError))


@pytest.mark.parametrize(
    ("cause", "advice"), [(errors.DiskFull, "Free space there"), (errors.ConfigurationLimitExceeded, "Raise the limit")]
)
def test_error_for_the_administrator_is_named(cause: type[psycopg.Error], advice: str) -> None:
    assert f"{advice}, then run again." in str(explain(cause("the database's words."), "syncing table `jobs`"))


@pytest.mark.parametrize(
    ("cause", "refused"),
    [
        (errors.StringDataRightTruncation, True),
        (errors.CharacterNotInRepertoire, True),
        (errors.UntranslatableCharacter, True),
        (errors.CheckViolation, True),
        (errors.RaiseException, True),
        (errors.ProgramLimitExceeded, True),
        (errors.StatementTooComplex, True),
        (errors.TooManyColumns, False),
        (errors.QueryCanceled, False),
        (errors.DiskFull, False),
        (errors.InsufficientPrivilege, False),
        (errors.AdminShutdown, False),
        (psycopg.OperationalError, False),
    ],
)
def test_only_errors_of_row_data_quarantine_a_row(cause: type[psycopg.Error], refused: bool) -> None:
    assert is_refusal(cause("words")) is refused
