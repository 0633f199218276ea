"""For tests of failures: a table whose run can be stopped at given points, and a proof that nothing changed."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator

import pytest

from powerca_sync.errors import SyncError
from powerca_sync_tests.helpers import Pair, assert_noop, row_counts, spec

ROWS = 600
JOBS = spec("jobs", "id")
PASSWORD = "correct horse battery staple"

#: A function that blocks in a row of the middle while the test holds the lock.
GATE = f"""
CREATE FUNCTION gate(id int) RETURNS int LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF id = {ROWS // 2} THEN PERFORM pg_advisory_xact_lock(7); END IF;
    RETURN id;
END $$;
CREATE FUNCTION gate_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM public.gate(NEW.id); RETURN NEW; END $$;
CREATE FUNCTION gate_all() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM public.gate({ROWS // 2}); RETURN NULL; END $$;
"""


def make_jobs(pair: Pair) -> None:
    """Creates a view as the source, synced once, half of whose rows changed since; it has an unrequested password
    column.
    """
    desktop, mobile = (
        dataclasses.replace(side, password=PASSWORD) for side in (pair.settings.desktop, pair.settings.mobile)
    )
    pair.settings = dataclasses.replace(pair.settings, desktop=desktop, mobile=mobile)
    pair.both(GATE)
    pair.source.execute("CREATE TABLE stored (id int PRIMARY KEY, text text)")
    pair.source.execute("CREATE VIEW jobs AS SELECT public.gate(id) AS id, text FROM stored")
    pair.target.execute("CREATE TABLE jobs (id int PRIMARY KEY, text text)")
    pair.source.execute(f"INSERT INTO stored SELECT g, repeat('x', 100) FROM generate_series(1, {ROWS}) AS g")  # type: ignore[call-overload]  # noqa: S608
    pair.sync(JOBS)
    pair.source.execute("UPDATE stored SET text = 'changed' WHERE id % 2 = 0")
    pair.source.execute(f"INSERT INTO stored SELECT g + {ROWS}, 'new' FROM generate_series(1, 50) AS g")  # type: ignore[call-overload]  # noqa: S608


#: Where a run can be stopped, and the statement for the target that stops it there.
STOPS = {
    "reading": "SELECT",
    "writing": "CREATE TRIGGER gate BEFORE UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION gate_row()",
    "recording": "CREATE TRIGGER gate BEFORE UPDATE ON powerca_sync.table_state EXECUTE FUNCTION gate_all()",
}


@contextlib.contextmanager
def stop_run(pair: Pair, stop: str) -> Iterator[Callable[[], None]]:
    """Stops any run at that point until the yielded function is called, or the body ends."""
    side = pair.source if stop == "reading" else pair.target
    pair.target.execute(STOPS[stop])  # type: ignore[call-overload]
    side.execute("SELECT pg_advisory_lock(7)")
    try:
        yield lambda: side.execute("SELECT pg_advisory_unlock_all()") and None
    finally:
        side.execute("SELECT pg_advisory_unlock_all()")
        for table in ("jobs", "powerca_sync.table_state"):
            pair.target.execute(f"DROP TRIGGER IF EXISTS gate ON {table}")  # type: ignore[call-overload]


def image(pair: Pair) -> list[list[str]]:
    """Returns everything that a failed run must not change, from both databases."""
    kept = ["jobs", "powerca_sync.table_state", "powerca_sync.quarantine", "powerca_sync.office"]
    success = "(SELECT table_name, last_sync_timestamp, records_synced FROM _sync_metadata)"
    return [
        *(pair.text(table) for table in kept),
        [str(pair.rows(f"SELECT * FROM {success} AS s"))],  # noqa: S608
        pair.text("stored", on=pair.source),
    ]


@contextlib.contextmanager
def expect_failure(pair: Pair, error: type[SyncError], words: str, *, recorded: bool = True) -> Iterator[None]:
    """Asserts that the body raises this error in one or two clear sentences, changes nothing, and the next run
    succeeds.
    """
    before = image(pair)
    with pytest.raises(error, match=words) as caught:
        yield
    message = str(caught.value)
    assert caught.type is error
    assert "\n" not in message
    assert PASSWORD not in message
    assert image(pair) == before
    stored = pair.one("SELECT error_message FROM _sync_metadata")
    assert stored == (message if recorded else None)


def assert_complete(pair: Pair) -> None:
    assert row_counts(pair.sync(JOBS)) == {"inserted": 50, "updated": ROWS // 2, "unchanged": ROWS // 2}
    query = "SELECT id, text FROM {} ORDER BY id"
    assert pair.rows(query.format("jobs")) == pair.rows(query.format("stored"), pair.source)
    assert pair.one("SELECT error_message FROM _sync_metadata") is None
    assert_noop(pair, JOBS)
