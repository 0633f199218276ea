"""Advisory locks of a transaction: one run of a table, office and direction at a time."""

import time
from collections.abc import Sequence

from powerca_sync.engine.postgres import Cursor, Query, one_row
from powerca_sync.errors import ContentionError
from powerca_sync.specs import TableSpec


def try_acquire(name: str) -> Query:
    """A query that tries to take a lock until the transaction ends; returns whether it was taken."""
    return "SELECT pg_try_advisory_xact_lock(hashtextextended('powerca_sync:' || %s, 0))", [name]


def try_table(spec: TableSpec, specs: Sequence[TableSpec], identity: str) -> Query:
    """The same for a forward run of a table by the desktop of that identity.

    Desktops exclude each other only from tables whose rows have no office. In the others each has a lock of its own,
    and a shared one of the table.
    """
    if spec.office is None or not any(one.defines_offices for one in specs):
        return try_acquire(spec.mobile)
    statement = """\
SELECT pg_try_advisory_xact_lock_shared(hashtextextended('powerca_sync:' || %s, 0))
    AND pg_try_advisory_xact_lock(hashtextextended('powerca_sync:' || %s, 0))"""
    return statement, [spec.mobile, f"{spec.mobile} of {identity}"]


def acquire(cursor: Cursor, lock: Query, held: str, *, wait: float) -> None:
    """Take a lock until the transaction ends; raises `ContentionError` after `wait` seconds.

    `lock` is a query that tries; `held` begins the error's message: what the holder is doing.
    """
    give_up = time.monotonic() + wait
    while one_row(cursor, *lock) != (True,):
        if time.monotonic() > give_up:
            raise ContentionError(
                f"{held} by another run, which did not end within {wait:.0f} s. Nothing was read; the run is retried."
            )
        time.sleep(0.2)


def acquire_table(cursor: Cursor, spec: TableSpec, specs: Sequence[TableSpec], identity: str, *, wait: float) -> None:
    """Take the lock of `try_table`; raises as `acquire` does."""
    acquire(cursor, try_table(spec, specs, identity), f"Table `{spec.mobile}` is being synced", wait=wait)
