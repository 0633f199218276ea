"""A run reuses its connections from one table to the next, except a lost one."""

import traceback

import pytest

from powerca_sync.defs.connections import KeptConnections, without_row_content
from powerca_sync.engine.postgres import Connection, explained
from powerca_sync.errors import SyncError
from powerca_sync_tests.helpers import Pair, wait_until

SLEEPS = """EXISTS (
    SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'
)"""


@pytest.fixture
def kept(pair: Pair) -> KeptConnections:
    return KeptConnections(pair.settings.mobile)


def backend(kept: KeptConnections) -> int:
    """Returns the process id of the server backend."""
    with kept.taken() as connection:
        return connection.info.backend_pid


def test_next_table_gets_the_same_connection(kept: KeptConnections) -> None:
    first = backend(kept)
    assert backend(kept) == first
    kept.close()
    assert backend(kept) != first
    kept.close()


def test_after_a_failure_the_next_table_gets_a_new_connection(kept: KeptConnections) -> None:
    first = backend(kept)
    with pytest.raises(ZeroDivisionError), kept.taken():
        _ = 1 / 0
    assert backend(kept) != first
    kept.close()


def test_connection_ended_by_the_server_is_not_reused(pair: Pair, kept: KeptConnections) -> None:
    first = backend(kept)
    pair.target.execute("SELECT pg_terminate_backend(%s, 5000)", [first])
    assert backend(kept) != first
    kept.close()


def test_connection_idle_for_long_is_not_reused(kept: KeptConnections, monkeypatch: pytest.MonkeyPatch) -> None:
    first = backend(kept)
    monkeypatch.setattr("powerca_sync.defs.connections.TRUSTED", 0.0)
    assert backend(kept) != first
    kept.close()


def test_statement_of_an_interrupted_table_ends_at_the_server(pair: Pair, kept: KeptConnections) -> None:
    def interrupt(connection: Connection) -> None:
        connection.pgconn.send_query(b"SELECT pg_sleep(60)")
        connection.pgconn.flush()
        wait_until(pair.target, SLEEPS)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), kept.taken() as connection:
        interrupt(connection)
    wait_until(pair.target, f"NOT {SLEEPS}", seconds=5)


def test_error_of_a_tick_and_its_causes_have_no_row_content(pair: Pair) -> None:
    pair.target.execute("CREATE TABLE clients (phone text, client_id int NOT NULL)")
    # Not in the statement: a stack trace has the lines of this file.
    phone = "".join(["+91", " ", "4242"])
    with pytest.raises(SyncError, match="null value in column") as caught, without_row_content(), explained("a test"):
        pair.target.execute("INSERT INTO clients VALUES (%s, NULL)", [phone])
    assert caught.value.__cause__ is not None
    assert phone not in "".join(traceback.format_exception(caught.value))
