"""Syncs while the office and its phones write: no writer is refused or delayed, and finally both databases agree.

`make traffic` does the same for minutes, with as many rows as a real office has.
"""

import time
from concurrent.futures import ThreadPoolExecutor

from powerca_sync.engine.postgres.database import connect
from powerca_sync.engine.requests import Mode
from powerca_sync.settings import Endpoint
from powerca_sync_tests.helpers import Pair, wait_until
from powerca_sync_tests.histories.traffic import LONGEST, SPECS, Seen, Traffic, Ways, create, disagreements, rush, sync

ROWS, SECONDS = 2_000, 6


def test_no_writer_is_refused_or_delayed_and_databases_agree(pair: Pair) -> None:
    create(pair, ROWS)
    sync(pair.settings, Mode.FULL, Seen())
    ways = Ways(jobs=ROWS // 3, pause=0.02, refresh=100)
    seen = rush(pair.settings, pair.settings, ways, seconds=SECONDS)
    assert seen.done > 50
    assert seen.runs > 3
    assert seen.postponed < seen.runs * len(SPECS) / 2, str(seen)
    # A refresh of every row has completed, with phones ticking them.
    assert seen.written > ROWS / 2, str(seen)
    assert seen.longest < LONGEST, str(seen)
    assert disagreements(pair) == []


def test_wait_for_a_sync_is_detected_behind_other_waits(pair: Pair) -> None:
    pair.target.execute("CREATE TABLE lines (id int); INSERT INTO lines VALUES (1)")
    going = Traffic(Ways(jobs=1, pause=0))
    with ThreadPoolExecutor(max_workers=3) as threads, connect(pair.settings.mobile) as like_a_sync:
        watch = threads.submit(going.watch, pair.settings.mobile)
        like_a_sync.execute("BEGIN; UPDATE lines SET id = 2")
        phones = [threads.submit(_update_lines, pair.settings.mobile) for _ in range(2)]
        try:
            wait_until(pair.target, "(SELECT count(*) FROM pg_locks WHERE NOT granted) = 2")
            time.sleep(0.3)
        finally:
            like_a_sync.execute("COMMIT")
            for phone in phones:
                phone.result()
            going.stop.set()
            watch.result()
    assert going.seen.waits == 2
    assert going.seen.longest > 0.2
    assert "UPDATE lines" in going.seen.awaited


def _update_lines(endpoint: Endpoint) -> None:
    with connect(endpoint) as connection:
        connection.execute("SET application_name = 'traffic'")
        connection.execute("UPDATE lines SET id = id + 1")
