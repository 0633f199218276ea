"""Play random histories for some minutes, in two servers of their own: `make soak ARGS="--minutes 60"`.

Each failing history is shrunk and printed as a script. The exit status is 1 if any failed.
"""

import argparse
import contextlib
import itertools
import logging
import multiprocessing
import re
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import psycopg

from powerca_sync.demo import start_server
from powerca_sync_tests.helpers import Pair
from powerca_sync_tests.histories.history import SETS, History, make_history, shrink

#: Seconds for shrinking one failing history.
SECONDS_TO_SHRINK = 120.0
LENGTH = 36


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, prog="make soak")
    parser.add_argument("--minutes", type=float, default=10, help="duration (default: 10)")
    parser.add_argument("--seed", default=None, help="play only the histories of this seed")
    parser.add_argument("--tables", type=int, choices=range(len(SETS)), help="only this set of tables")
    parser.add_argument("--jobs", type=int, default=2, help="number of histories at a time (default: 2)")
    parser.add_argument("--most", type=int, default=5, help="stop after this many failures (default: 5)")
    asked = parser.parse_args()
    # Interruption must end the servers too: leaving the pool ends its processes.
    signal.signal(signal.SIGTERM, _leave)
    with multiprocessing.get_context("spawn").Pool(asked.jobs) as pool:
        outcomes = pool.starmap(
            soak,
            [
                (n, asked.minutes * 60, asked.seed or str(time.time_ns()), asked.tables, asked.most)
                for n in range(asked.jobs)
            ],
        )
    histories, failures = (sum(counts) for counts in zip(*outcomes, strict=True))
    sys.stdout.write(f"{histories} histories, {failures} failed\n")
    return 1 if failures else 0


def soak(job: int, seconds: float, seed: str, tables: int | None, most: int) -> tuple[int, int]:
    """Returns (histories played, failures)."""
    # Expected failures need no log.
    logging.disable()
    give_up = time.monotonic() + seconds
    played = failures = 0
    with contextlib.ExitStack() as stack:
        signal.signal(signal.SIGTERM, _leave)
        # Without servers there is nothing to clean up.
        stack.callback(signal.signal, signal.SIGTERM, signal.SIG_DFL)
        pair = stack.enter_context(databases())
        for n in itertools.count():
            if time.monotonic() > give_up or failures >= most:
                return played, failures
            name = f"{seed}/{job}/{n}"
            history = make_history(name, SETS[n % len(SETS) if tables is None else tables], length=LENGTH)
            played += 1
            words = complaint(history, pair)
            if words:
                failures += 1
                history = _shrunk(history, words, pair)
                report = complaint(history, pair) or f"(not again)\n{words}"
                sys.stdout.write(f"\nHistory {name} failed:\n\n{history}\n\n{report}\n")
                sys.stdout.flush()
    raise AssertionError("never reached")


def _leave(*_: object) -> None:
    """Cleans up and exits, once."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(1)


def complaint(history: History, pair: Pair) -> str | None:
    """Returns what is wrong after the history; None if nothing is."""
    try:
        history.play(pair)
    except AssertionError as exc:
        return str(exc) or traceback.format_exc()
    except Exception:
        return traceback.format_exc()
    return None


def _shrunk(history: History, words: str, pair: Pair) -> History:
    kind = _kind(words)
    return shrink(history, lambda one: _kind(complaint(one, pair)) == kind, seconds=SECONDS_TO_SHRINK)


def _kind(words: str | None) -> str | None:
    """Returns the kind of failure, independent of values."""
    if words is None:
        return None
    last = words.strip().splitlines()[-1]
    return re.sub(r"'[^']*'|[^a-z ]", "", last)[:60]


@contextlib.contextmanager
def databases() -> Iterator[Pair]:
    """Yields two databases in two servers of their own."""
    with tempfile.TemporaryDirectory(prefix="powerca-histories-", ignore_cleanup_errors=True) as folder:
        source = start_server(Path(folder) / "source", version=16, durable=False)
        target = start_server(Path(folder) / "target", version=18, durable=False)
        try:
            ends = source.endpoint("desktop", "history"), target.endpoint("mobile", "history")
            for end in ends:
                with psycopg.connect(
                    host=end.host, port=end.port, user=end.user, dbname="postgres", autocommit=True
                ) as connection:
                    connection.execute("CREATE DATABASE history TEMPLATE template0")
            with Pair(*ends) as pair:
                yield pair
        finally:
            source.stop()
            target.stop()


if __name__ == "__main__":
    sys.exit(main())
