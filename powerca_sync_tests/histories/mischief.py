"""Causes of failures of a run in a history: by name, `(side, table, n)` to a context in which the run fails."""

import contextlib
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg import sql

from powerca_sync.engine.postgres.database import connect
from powerca_sync_tests.histories.side import Side


@contextlib.contextmanager
def _killed(side: Side, table: str, n: int) -> Iterator[None]:
    """Terminates the engine's connection before its nth statement."""
    left = n

    class Mortal(psycopg.Cursor[tuple[Any, ...]]):
        def execute(self, *args: Any, **rest: Any) -> Any:
            self._count()
            return super().execute(*args, **rest)

        def copy(self, *args: Any, **rest: Any) -> Any:
            self._count()
            return super().copy(*args, **rest)

        def _count(self) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                side.people.execute("SELECT pg_terminate_backend(%s, 5000)", [self.connection.info.backend_pid])

    side.engine.cursor_factory = Mortal
    yield


@contextlib.contextmanager
def _locked(side: Side, table: str, n: int) -> Iterator[None]:
    """Locks a table from another session."""
    with connect(side.endpoint) as holder, holder.transaction(force_rollback=True):
        holder.execute("SET LOCAL lock_timeout = 50")
        with contextlib.suppress(psycopg.errors.LockNotAvailable):
            holder.execute(sql.SQL("LOCK {} IN SHARE ROW EXCLUSIVE MODE").format(sql.Identifier(table)))
        yield


@contextlib.contextmanager
def _triggered(side: Side, table: str, body: str) -> Iterator[None]:
    side.do(
        sql.SQL(
            "CREATE FUNCTION mischief() RETURNS trigger LANGUAGE plpgsql AS {body};"
            "CREATE TRIGGER mischief BEFORE INSERT OR UPDATE OR DELETE ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION mischief()"
        ).format(body=sql.Literal(body), table=sql.Identifier(table))
    )
    try:
        yield
    finally:
        side.do(sql.SQL("DROP FUNCTION IF EXISTS mischief CASCADE").format())


def _slow(side: Side, table: str, n: int) -> contextlib.AbstractContextManager[None]:
    """Delays every row beyond the statement timeout."""
    return _triggered(side, table, "BEGIN PERFORM pg_sleep(2); RETURN coalesce(NEW, OLD); END")


def _raising(side: Side, table: str, n: int) -> contextlib.AbstractContextManager[None]:
    """Refuses rows of some names, temporarily."""
    names = "coalesce(NEW.name, 'a') " + ("= 'a'" if n % 2 else "<> 'a'")
    body = f"BEGIN IF TG_OP <> 'DELETE' AND {names} THEN RAISE 'not now'; END IF; RETURN coalesce(NEW, OLD); END"
    return _triggered(side, table, body)


FAULTS = {"killed": _killed, "locked": _locked, "slow": _slow, "raising": _raising}
