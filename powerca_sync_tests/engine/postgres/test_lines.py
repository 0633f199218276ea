"""Silent connections are closed, of either database and for any cause; long statements are not."""

import contextlib
import dataclasses
import os
import socket
import time
from collections.abc import Iterator

import pytest

from powerca_sync.engine.postgres.database import Timeouts, connect, transaction
from powerca_sync.engine.postgres.database_errors import explained
from powerca_sync.errors import DatabaseUnavailableError
from powerca_sync.settings import PATIENCE, Endpoint
from powerca_sync_tests.helpers import QUICK, Pair, row_counts, spec
from powerca_sync_tests.histories.proxy import Proxy, Trouble

#: Seconds instead of a minute.
IMPATIENT = 4
ITEMS = spec("items", "id")


@pytest.fixture
def items(pair: Pair) -> Pair:
    pair.source.execute("CREATE TABLE items (id int PRIMARY KEY, name text)")
    pair.source.execute("INSERT INTO items SELECT n, repeat('x', 100) FROM generate_series(1, 5000) AS n")
    pair.target.execute("CREATE TABLE items (id int PRIMARY KEY, name text, source text)")
    return pair


@pytest.fixture
def line(pair: Pair) -> Iterator[Endpoint]:
    """Opens the target database over TCP."""
    with Proxy(pair.settings.mobile) as proxy:
        yield proxy.through


@pytest.mark.parametrize("side", ["desktop", "mobile"])
@pytest.mark.parametrize("kind", ["stalled", "silent"])
def test_run_ends_when_a_connection_falls_silent(items: Pair, side: str, kind: str) -> None:
    usual = items.settings
    with Proxy(getattr(usual, side)) as proxy:
        slow = dataclasses.replace(proxy.through, patience=IMPATIENT)
        items.settings = dataclasses.replace(usual, **{side: slow})
        with proxy.troubled(Trouble(kind=kind, after=60_000)):
            began = time.monotonic()
            with pytest.raises(DatabaseUnavailableError, match=r"Nothing was written; the run is retried"):
                items.sync(ITEMS)
            assert time.monotonic() - began < 3 * IMPATIENT
    items.settings = usual
    assert items.one("SELECT count(*) FROM items") == 0
    assert row_counts(items.sync(ITEMS)) == {"inserted": 5000}


def test_silence_during_commit_is_an_unknown_outcome(items: Pair) -> None:
    with Proxy(items.settings.mobile) as proxy, contextlib.ExitStack() as silence:
        connection = connect(dataclasses.replace(proxy.through, patience=IMPATIENT))

        def commit_in_silence() -> None:
            with (
                explained("syncing table `items`"),
                transaction(connection, timezone="UTC", timeouts=Timeouts()) as cursor,
            ):
                cursor.execute("INSERT INTO public.items VALUES (1, 'one')")
                silence.enter_context(proxy.troubled(Trouble(kind="silent", after=0)))

        with pytest.raises(DatabaseUnavailableError, match=r"whether the server has committed. The run is retried"):
            commit_in_silence()
        assert connection.closed


def test_long_statement_is_not_a_silent_connection(line: Endpoint) -> None:
    with connect(dataclasses.replace(line, patience=2)) as connection:
        assert connection.execute("SELECT pg_sleep(4), 1").fetchone() == ("", 1)


def test_server_without_a_free_connection_is_not_silent(pair: Pair, line: Endpoint) -> None:
    pair.target.execute("CREATE ROLE single LOGIN CONNECTION LIMIT 1")
    try:
        with connect(dataclasses.replace(line, user="single", patience=2)) as connection:
            assert connection.execute("SELECT pg_sleep(3), 1").fetchone() == ("", 1)
    finally:
        pair.target.execute("DROP ROLE single")


def test_tcp_connections_have_keepalives_and_a_user_timeout(line: Endpoint) -> None:
    with connect(line) as connection, socket.socket(fileno=os.dup(connection.fileno())) as tcp:
        assert tcp.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        idle, interval, probes = (
            tcp.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        )
        assert idle + interval * probes == PATIENCE
        assert tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == PATIENCE * 1000


def test_server_ends_transactions_abandoned_by_their_client(pair: Pair) -> None:
    timeouts = dataclasses.replace(QUICK.timeouts, statement=0.5, lock=0.1, table=0.1)

    def abandon() -> None:
        with (
            connect(pair.settings.mobile) as connection,
            explained("syncing table `items`"),
            transaction(connection, timezone="UTC", timeouts=timeouts) as cursor,
        ):
            time.sleep(2)
            cursor.execute("SELECT 1")

    with pytest.raises(DatabaseUnavailableError, match=r"idle-in-transaction timeout. The server ended a transaction"):
        abandon()


def test_servers_check_for_their_client_within_a_minute(pair: Pair) -> None:
    with transaction(pair.source, timezone="UTC", timeouts=Timeouts()) as cursor:
        query = "SELECT name, setting::int FROM pg_settings WHERE name ~ '^(tcp_keepalives|idle_in_transaction)'"
        found = dict(cursor.execute(query).fetchall())
    assert 0 < found["idle_in_transaction_session_timeout"] <= 20 * 60 * 1000
