"""A reverse run interrupted anywhere and repeated inserts each phone row once, whatever the key of its table."""

import contextlib
import dataclasses
import multiprocessing
import os
import random
import select
import signal
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import psycopg
import pytest

from powerca_sync.engine.postgres.database import Timeouts, connect
from powerca_sync.engine.requests import TablePull
from powerca_sync.engine.result import Options
from powerca_sync.engine.reverse.reverse import sync_reverse
from powerca_sync.errors import DatabaseUnavailableError
from powerca_sync.settings import Endpoint, Settings
from powerca_sync.specs import TableSpec
from powerca_sync_tests.helpers import Pair, assert_noop, delete_insert, spec

pytestmark = pytest.mark.long

#: The transaction of a killed run lives on until its server notices.
PATIENT = Options(timeouts=Timeouts(statement=60, lock=10, table=10))
KEYLESS, KEYED = delete_insert("diary", "day"), spec("leave", "leave_id")
TABLES = (KEYLESS, KEYED)


@pytest.fixture
def office(pair: Pair) -> Pair:
    """Creates two tables, each with one row that the desktop refuses and, where possible, one in conflict."""
    pair.source.execute("""
        CREATE TABLE diary (day int, note varchar(9));
        CREATE TABLE leave (leave_id serial, note varchar(9));
        INSERT INTO leave VALUES (0, 'office')""")
    pair.target.execute("""
        CREATE TABLE diary (day int, note text, source char(1) DEFAULT 'M');
        CREATE TABLE leave (leave_id serial PRIMARY KEY, note text, source char(1) DEFAULT 'M');
        INSERT INTO diary VALUES (0, 'far too long');
        INSERT INTO leave VALUES (-1, 'far too long'), (0, 'phone')""")
    phones_write(pair)
    pair.pull_all(*TABLES, options=PATIENT)
    return pair


def phones_write(pair: Pair) -> None:
    """Inserts into each table duplicate rows and one distinct row."""
    pair.target.execute("""
        INSERT INTO diary VALUES (NULL, 'equal'), (NULL, 'equal');
        INSERT INTO diary SELECT count(*), 'own' FROM diary;
        INSERT INTO leave (note) VALUES ('equal'), ('equal')""")


def contents(pair: Pair, table: TableSpec, *, on_desktop: bool) -> Counter[tuple[Any, ...]]:
    query = f"SELECT {table.key[0]}, note FROM {table.mobile}"  # noqa: S608
    if on_desktop:
        return Counter(pair.rows(query, pair.source))
    return Counter(pair.rows(f"{query} WHERE note NOT IN ('far too long', 'phone')"))


def assert_each_row_is_there_once(pair: Pair, *tables: TableSpec) -> None:
    """Runs reverse sync once more and asserts that each phone row is on the desktop once."""
    for table in tables or TABLES:
        result = pair.pull(table, options=PATIENT)
        assert (result.quarantined, result.conflicts) == (1, int(table is KEYED))
        expected = contents(pair, table, on_desktop=False)
        expected[(0, "office")] += int(table is KEYED)
        assert contents(pair, table, on_desktop=True) == expected


def pull_all(settings: Settings, *tables: TableSpec) -> None:
    with connect(settings.mobile) as source, connect(settings.desktop) as target:
        for table in tables or TABLES:
            sync_reverse(TablePull(spec=table), source=source, target=target, specs=[table], options=PATIENT)


class StatementCounter:
    """Counts the statements of its process, and kills it before the statement with the given number."""

    def __init__(self, end: int) -> None:
        self.end = end
        self.now = 0

    def tick(self) -> None:
        self.now += 1
        if self.now == self.end:
            os.kill(os.getpid(), signal.SIGKILL)


def pull_until(settings: Settings, table: TableSpec, end: int) -> None:
    """Runs reverse sync in a process of its own, whose exit status is the number of statements."""
    clock = StatementCounter(end)
    execute, copy, command = psycopg.Cursor.execute, psycopg.Cursor.copy, psycopg.Connection._exec_command

    def counted(function: Any) -> Any:
        def call(*args: Any, **rest: Any) -> Any:
            clock.tick()
            return function(*args, **rest)

        return call

    psycopg.Cursor.execute = counted(execute)  # type: ignore[method-assign]
    psycopg.Cursor.copy = counted(copy)  # type: ignore[method-assign]
    # BEGIN, SAVEPOINT, COMMIT.
    psycopg.Connection._exec_command = counted(command)  # type: ignore[method-assign]
    pull_all(settings, table)
    clock.tick()
    os._exit(clock.now)


@pytest.mark.parametrize("table", TABLES, ids=["keyless", "keyed"])
def test_process_killed_before_any_statement_loses_and_doubles_no_row(office: Pair, table: TableSpec) -> None:
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__])

    def run(end: int) -> int:
        process = processes.Process(target=pull_until, args=(office.settings, table, end))
        process.start()
        process.join(60)
        assert process.exitcode is not None
        return process.exitcode

    phones_write(office)
    statements = run(0)
    assert statements > 30
    assert_each_row_is_there_once(office, table)
    for end in range(1, statements + 1):
        phones_write(office)
        assert run(end) == -signal.SIGKILL, end
        if end % 2 and end < statements:
            # The next process finds the state that this one left.
            continue
        assert_each_row_is_there_once(office, table)
    assert_noop(office, table)


def test_concurrent_runs_take_turns_even_at_first_contact(pair: Pair) -> None:
    pair.source.execute("CREATE TABLE diary (day int, note text)")
    pair.target.execute("CREATE TABLE diary (day int, note text, source char(1) DEFAULT 'M')")
    pair.target.execute("INSERT INTO diary SELECT n % 5, 'equal' FROM generate_series(1, 50) AS n")
    with ThreadPoolExecutor() as threads:
        results = list(threads.map(lambda _: pair.pull(KEYLESS, options=PATIENT), range(4)))
    assert sorted((result.pulled, result.already_there) for result in results) == [(0, 50)] * 3 + [(50, 0)]
    assert contents(pair, KEYLESS, on_desktop=True) == contents(pair, KEYLESS, on_desktop=False)


class Proxy:
    """Forwards bytes between a client and a server, and closes the connection after a number of them."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.server = endpoint
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(0.05)
        self.cut_after: float = float("inf")
        self.passed = 0
        self.stopped = False
        self.thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stopped = True
        self.thread.join()
        self.listener.close()

    @property
    def endpoint(self) -> Endpoint:
        return dataclasses.replace(self.server, host="127.0.0.1", port=self.listener.getsockname()[1])

    def _serve(self) -> None:
        while not self.stopped:
            with contextlib.suppress(TimeoutError):
                client, _ = self.listener.accept()
                with client, socket.socket(socket.AF_UNIX) as server:
                    server.connect(f"{self.server.host}/.s.PGSQL.{self.server.port}")
                    self._pass(client, server)

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        self.passed = 0
        other = {client: server, server: client}
        while not self.stopped:
            for ready in select.select([client, server], [], [], 0.05)[0]:
                data = ready.recv(4096)
                if not data:
                    return
                other[ready].sendall(data[: int(min(len(data), self.cut_after - self.passed))])
                self.passed += len(data)
                if self.passed >= self.cut_after:
                    return


@pytest.fixture
def proxy(office: Pair, side: str) -> Iterator[Proxy]:
    with Proxy(getattr(office.settings, side)) as between:
        yield between


@pytest.mark.parametrize("side", ["desktop", "mobile"])
def test_connection_cut_after_any_byte_loses_and_doubles_no_row(office: Pair, proxy: Proxy, side: str) -> None:
    through = {"desktop": office.settings.desktop, "mobile": office.settings.mobile} | {side: proxy.endpoint}
    settings = dataclasses.replace(office.settings, desktop=through["desktop"], mobile=through["mobile"])
    phones_write(office)
    pull_all(settings)
    everything = proxy.passed
    assert_each_row_is_there_once(office)
    # Most of the bytes are texts of statements; the critical ones come at the end of a table.
    cuts = random.Random(side).sample(range(everything), 7) + [everything - n for n in (1, 20, 90)]
    for cut in cuts:
        phones_write(office)
        proxy.cut_after = cut
        with pytest.raises(DatabaseUnavailableError) as caught:
            pull_all(settings)
        assert "he run is retried" in str(caught.value)
        proxy.cut_after = float("inf")
        assert_each_row_is_there_once(office)
    assert_noop(office, *TABLES)
