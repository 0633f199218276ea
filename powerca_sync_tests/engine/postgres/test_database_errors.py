"""Errors and timeouts of the servers: one clear sentence, and nothing has changed."""

import dataclasses

import pytest

from powerca_sync.engine.postgres.database import Timeouts, connect
from powerca_sync.engine.result import Options
from powerca_sync.errors import ConfigurationError, ContentionError, SyncError
from powerca_sync_tests.engine.mishaps import JOBS, assert_complete, expect_failure, make_jobs, stop_run
from powerca_sync_tests.helpers import Pair


@pytest.fixture
def jobs(pair: Pair) -> Pair:
    """Creates a table synced once and changed since."""
    make_jobs(pair)
    return pair


def test_statement_timeout_fails_without_retry(jobs: Pair) -> None:
    options = Options(timeouts=Timeouts(statement=0.2))
    for stop, where in {"writing": "", "reading": ": reading the source"}.items():
        words = f"^syncing table `jobs`{where} failed: canceling statement.* exceeded its timeout"
        with expect_failure(jobs, SyncError, words), stop_run(jobs, stop):
            jobs.sync(JOBS, options=options)
        jobs.target.execute("UPDATE _sync_metadata SET error_message = NULL")
    assert_complete(jobs)


@pytest.mark.parametrize("side", ["source", "target"])
def test_lock_timeout_is_transient(jobs: Pair, side: str) -> None:
    options = Options(timeouts=Timeouts(lock=0.2))
    settings = jobs.settings.desktop if side == "source" else jobs.settings.mobile
    words = (
        f"^syncing table `jobs`{': reading the source' * (side == 'source')} failed: .* Another session holds a lock"
    )
    with connect(settings) as holder, expect_failure(jobs, ContentionError, words), holder.transaction():
        holder.execute(f"LOCK TABLE {'stored' if side == 'source' else 'jobs'}")  # type: ignore[call-overload]
        jobs.sync(JOBS, options=options)
    assert_complete(jobs)


def test_read_only_target_is_not_written(jobs: Pair) -> None:
    name = jobs.settings.mobile.name
    words = "^syncing table `jobs` failed: cannot execute .+ read-only transaction. The server is read-only"
    with expect_failure(jobs, SyncError, words, recorded=False):
        jobs.target.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")  # type: ignore[call-overload]
        try:
            jobs.sync(JOBS)
        finally:
            jobs.target.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")  # type: ignore[call-overload]
    assert_complete(jobs)


@pytest.mark.parametrize(
    ("side", "revoked", "words"),
    [
        ("source", "SELECT ON jobs", "reading the source failed: permission denied for view jobs. Grant the"),
        ("target", "UPDATE ON jobs", "failed: permission denied for table jobs. Grant the missing right"),
        ("target", "INSERT ON powerca_sync.table_state", "failed: permission denied for table table_state"),
    ],
)
def test_missing_privilege_is_named(jobs: Pair, side: str, revoked: str, words: str) -> None:
    connection, settings = (jobs.source, "desktop") if side == "source" else (jobs.target, "mobile")
    connection.execute("""
        CREATE ROLE clerk LOGIN;
        GRANT USAGE, CREATE ON SCHEMA public TO clerk;
        GRANT ALL ON ALL TABLES IN SCHEMA public TO clerk;
    """)
    if side == "target":
        connection.execute("""
            GRANT USAGE ON SCHEMA powerca_sync TO clerk;
            GRANT ALL ON ALL TABLES IN SCHEMA powerca_sync TO clerk;
            ALTER TABLE _sync_metadata OWNER TO clerk;
        """)
    connection.execute(f"REVOKE {revoked} FROM clerk")  # type: ignore[call-overload]
    usual = jobs.settings
    endpoint = dataclasses.replace(getattr(usual, settings), user="clerk")
    try:
        with expect_failure(jobs, ConfigurationError, words):
            jobs.settings = dataclasses.replace(usual, **{settings: endpoint})
            jobs.sync(JOBS)
    finally:
        jobs.settings = usual
        connection.execute("REASSIGN OWNED BY clerk TO postgres; DROP OWNED BY clerk; DROP ROLE clerk")
    assert_complete(jobs)


def test_rows_hidden_by_a_policy_are_an_error_instead_of_deletes(jobs: Pair) -> None:
    jobs.target.execute("""
        CREATE ROLE clerk LOGIN;
        GRANT ALL ON SCHEMA public, powerca_sync TO clerk;
        GRANT ALL ON ALL TABLES IN SCHEMA public TO clerk;
        GRANT ALL ON ALL TABLES IN SCHEMA powerca_sync TO clerk;
        ALTER TABLE jobs ENABLE ROW LEVEL SECURITY;
    """)
    usual = jobs.settings
    try:
        with expect_failure(
            jobs, ConfigurationError, "query would be affected by row-level security policy", recorded=False
        ):
            jobs.settings = dataclasses.replace(usual, mobile=dataclasses.replace(usual.mobile, user="clerk"))
            jobs.sync(JOBS)
    finally:
        jobs.settings = usual
        jobs.target.execute("ALTER TABLE jobs DISABLE ROW LEVEL SECURITY; DROP OWNED BY clerk; DROP ROLE clerk")
    assert_complete(jobs)


def test_unknown_time_zone_is_named(jobs: Pair) -> None:
    words = 'invalid value for parameter "TimeZone": "Mars/Olympus". If it is the time zone, set `LOCAL_DB_TIMEZONE`'
    with expect_failure(jobs, ConfigurationError, words):
        jobs.sync(JOBS, options=Options(timezone="Mars/Olympus"))
    assert_complete(jobs)
