"""A slow line is told from a server that is busy."""

import os
import signal
import threading

import pytest

from benchmarks.link import simulate_link
from powerca_sync.engine.forward.forward import sync_forward
from powerca_sync.engine.postgres.database import connect
from powerca_sync.engine.postgres.latency import SLOW_ROUND_TRIP, is_slow
from powerca_sync.engine.requests import TableExtract
from powerca_sync.engine.result import Options
from powerca_sync_tests.helpers import ORGS, QUICK, Pair, spec

ITEMS = spec("items", "item_id")
AUTO = Options(timeouts=QUICK.timeouts)


@pytest.fixture
def items(pair: Pair) -> Pair:
    """Creates a table with enough rows for digests, synced once."""
    pair.source.execute("""
        CREATE TABLE items (item_id int PRIMARY KEY, name text);
        INSERT INTO items SELECT n, 'Item ' || n FROM generate_series(1, 3000) AS n""")
    pair.target.execute("CREATE TABLE items (item_id int PRIMARY KEY, name text, source char(1) DEFAULT 'D')")
    pair.sync(ITEMS)
    return pair


def bytes_read(pair: Pair, *, slow: str | None) -> int:
    """Syncs the table again, through a line with latency on one side; returns the bytes of rows read."""
    source, target = pair.settings.desktop, pair.settings.mobile
    if slow:
        with simulate_link(target if slow == "target" else source, seconds=4 * SLOW_ROUND_TRIP) as line:
            ends = (source, line.endpoint) if slow == "target" else (line.endpoint, target)
            with connect(ends[0]) as from_source, connect(ends[1]) as to_target:
                return sync_forward(
                    TableExtract(spec=ITEMS), source=from_source, target=to_target, specs=(ORGS, ITEMS), options=AUTO
                ).bytes
    return pair.sync(ITEMS, options=AUTO).bytes


@pytest.mark.parametrize("slow", ["source", "target"])
def test_unchanged_rows_do_not_travel_over_a_slow_line(items: Pair, slow: str) -> None:
    assert bytes_read(items, slow=slow) < 1000
    assert bytes_read(items, slow=None) > 30_000


def test_rows_travel_as_text_over_a_slow_line(items: Pair) -> None:
    read = []
    for slow in ("target", None):
        items.target.execute("TRUNCATE items")
        read.append(bytes_read(items, slow=slow))
    assert 30_000 < read[0] < 0.8 * read[1]


def test_wait_for_a_lock_is_not_taken_for_a_slow_line(items: Pair) -> None:
    with connect(items.settings.mobile) as other:
        other.execute("SELECT * FROM powerca_sync.office FOR UPDATE")
        release = threading.Timer(20 * SLOW_ROUND_TRIP, other.rollback)
        release.start()
        assert bytes_read(items, slow=None) > 30_000
        release.join()


def test_one_delayed_answer_does_not_make_a_line_slow(pair: Pair) -> None:
    backend = pair.target.info.backend_pid
    goes_on = threading.Timer(3 * SLOW_ROUND_TRIP, os.kill, (backend, signal.SIGCONT))
    os.kill(backend, signal.SIGSTOP)
    goes_on.start()
    assert not is_slow(pair.target)
    goes_on.join()
