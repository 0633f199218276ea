"""Advisory locks of a transaction: one run of a table and direction at a time."""

import time

from powerca_sync.engine.postgres import Cursor, Query, one_row
from powerca_sync.errors import ContentionError


def try_acquire(name: str) -> Query:
    """A query that tries to take a lock until the transaction ends; returns whether it was taken."""
    return "SELECT pg_try_advisory_xact_lock(hashtextextended('powerca_sync:' || %s, 0))", [name]


def acquire(cursor: Cursor, name: str, held: str, *, wait: float) -> None:
    """Take a lock until the transaction ends; raises `ContentionError` after `wait` seconds.

    `held` begins the error's message: what the holder is doing.
    """
    give_up = time.monotonic() + wait
    while one_row(cursor, *try_acquire(name)) != (True,):
        if time.monotonic() > give_up:
            raise ContentionError(
                f"{held} by another run, which did not end within {wait:.0f} s. Nothing was read; the run is retried."
            )
        time.sleep(0.2)
