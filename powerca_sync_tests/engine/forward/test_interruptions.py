"""A run interrupted at any point leaves the target unchanged, and the next run succeeds."""

import contextlib
import dataclasses
import multiprocessing
import select
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from powerca_sync.engine.forward.forward import sync_forward
from powerca_sync.engine.postgres.database import Timeouts, connect
from powerca_sync.engine.requests import TextRows
from powerca_sync.engine.result import ForwardResult, Options
from powerca_sync.engine.staging import staging
from powerca_sync.errors import ContentionError, DatabaseUnavailableError
from powerca_sync.settings import Endpoint
from powerca_sync_tests.connections import Connections
from powerca_sync_tests.engine.mishaps import (
    JOBS,
    ROWS,
    STOPS,
    assert_complete,
    expect_failure,
    image,
    make_jobs,
    stop_run,
)
from powerca_sync_tests.helpers import LOCK_AWAITED, QUICK, Pair, row_counts, wait_until


@pytest.fixture
def jobs(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> Pair:
    """Creates a table that is synced once, changed since, and long enough to be interrupted between two chunks."""
    make_jobs(pair)
    monkeypatch.setattr(staging, "BLOCK", 1000)
    monkeypatch.setattr(staging, "CHUNK", 4000)
    return pair


def sync_in_a_process(pair: Pair) -> None:
    staging.BLOCK, staging.CHUNK = 1000, 4000
    pair.sync(JOBS)


class ProcessPair(Pair):
    """The endpoints that another process needs to run a sync."""

    def __init__(self, pair: Pair) -> None:
        self.settings = pair.settings
        self.connections = Connections()


@pytest.mark.parametrize("stop", STOPS)
def test_killed_process_commits_all_or_nothing(jobs: Pair, stop: str) -> None:
    before = image(jobs)
    side = jobs.source if stop == "reading" else jobs.target
    process = multiprocessing.get_context("spawn").Process(target=sync_in_a_process, args=(ProcessPair(jobs),))
    with stop_run(jobs, stop):
        process.start()
        wait_until(side, LOCK_AWAITED, unless=lambda: not process.is_alive())
        assert process.is_alive()
        process.kill()
        process.join()
    jobs.wait_until_alone()
    if stop == "recording":
        # The message that records the run commits it too, which the server does without its client.
        assert row_counts(jobs.sync(JOBS)) == {"unchanged": ROWS + 50}
    else:
        assert image(jobs) == before
        assert_complete(jobs)


TERMINATE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'powerca_sync' AND pid NOT IN (pg_backend_pid(), %s)
"""


def lose_connection(pair: Pair, stop: str, side: str) -> ForwardResult:
    """Runs up to the given point, ends the connection to that database, and continues."""
    ours, settings = (pair.source, pair.settings.desktop) if side == "source" else (pair.target, pair.settings.mobile)
    with stop_run(pair, stop) as go_on, pair.sync_that_waits(JOBS, at_source=stop == "reading") as run:
        with connect(settings) as watch:
            watch.execute(TERMINATE, [ours.info.backend_pid])
        go_on()
    return run.result()


@pytest.mark.parametrize(("stop", "lost"), [("reading", "source"), *((stop, "target") for stop in STOPS)])
def test_connection_lost_during_a_run_is_transient(jobs: Pair, stop: str, lost: str) -> None:
    words = f"^syncing table `jobs`{': reading the source' * (lost == 'source')} failed: .+ [Tt]he run is retried"
    # Nothing can be recorded over a lost connection; the retry records or clears the quarantine entries.
    with expect_failure(jobs, DatabaseUnavailableError, words, recorded=lost == "source"):
        lose_connection(jobs, stop, lost)
    assert_complete(jobs)


@pytest.mark.parametrize("stop", ["writing", "recording"])
def test_source_may_close_once_all_rows_are_read(jobs: Pair, stop: str) -> None:
    assert row_counts(lose_connection(jobs, stop, "source")) == {
        "inserted": 50,
        "updated": ROWS // 2,
        "unchanged": ROWS // 2,
    }


#: True while a second run is blocked by the lock of the first one.
QUEUED = """EXISTS (
    SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND state = 'idle in transaction'
        AND query LIKE 'SELECT pg_try_advisory_xact_lock%'
)"""


def test_second_run_waits_for_the_first_or_gives_up(jobs: Pair) -> None:
    patient = dataclasses.replace(QUICK, timeouts=Timeouts(table=60))
    with ThreadPoolExecutor() as threads, stop_run(jobs, "writing") as go_on, jobs.sync_that_waits(JOBS) as first:
        with expect_failure(jobs, ContentionError, "^Table `jobs` is being synced by another run"):
            jobs.sync(JOBS, options=Options(timeouts=Timeouts(table=0.1)))
        second = threads.submit(jobs.sync, JOBS, options=patient)
        wait_until(jobs.target, QUEUED, unless=second.done)
        go_on()
    assert row_counts(first.result()) == {"inserted": 50, "updated": ROWS // 2, "unchanged": ROWS // 2}
    assert row_counts(second.result()) == {"unchanged": ROWS + 50}


@contextlib.contextmanager
def break_after(words: bytes, endpoint: Endpoint) -> Iterator[Endpoint]:
    """Returns an endpoint whose connection breaks once these words have reached the server, before any response."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as threads:

        def carry() -> None:
            client, server = listener.accept()[0], socket.socket(socket.AF_UNIX)
            server.connect(f"{endpoint.host}/.s.PGSQL.{endpoint.port}")
            with client, server:
                both = {client: server, server: client}
                while ready := select.select(list(both), [], [])[0]:
                    for one in ready:
                        data = one.recv(65536)
                        both[one].sendall(data)
                        if not data or (one is client and words in data):
                            return

        carrying = threads.submit(carry)
        yield dataclasses.replace(endpoint, host="127.0.0.1", port=listener.getsockname()[1], sslmode="disable")
        carrying.result(timeout=10)


def test_lost_response_to_a_commit_is_not_reported_as_a_failure(jobs: Pair) -> None:
    with break_after(b"COMMIT\0", jobs.settings.mobile) as mobile:
        deaf = ProcessPair(jobs)
        deaf.settings = dataclasses.replace(jobs.settings, mobile=mobile)
        with pytest.raises(DatabaseUnavailableError, match="It is unknown whether the server has committed"):
            deaf.sync(JOBS)
    jobs.wait_until_alone()
    assert row_counts(jobs.sync(JOBS)) == {"unchanged": ROWS + 50}


def test_connection_cut_by_a_pooler_is_transient(jobs: Pair) -> None:
    with jobs.connected() as (source, target):

        def rows(columns: Sequence[str]) -> Iterator[bytes]:
            yield b"1\tone\n"
            target.close()
            raise ValueError("an unexpected status")

        what = TextRows(spec=JOBS, columns=("id", "text"), rows=rows)
        with expect_failure(jobs, DatabaseUnavailableError, "the connection was lost", recorded=False):
            sync_forward(what, source=source, target=target, specs=[JOBS])
    assert_complete(jobs)
