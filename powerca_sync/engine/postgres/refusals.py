"""Tell an error that some rows cause from one that would befall any row.

A trigger may fail with any SQLSTATE: PostgreSQL has the same for a right that its function lacks and for one that the
sync lacks. So it is tried: if a single row anywhere can be written, the cause is in those that cannot.
"""

from collections.abc import Callable

import psycopg
from psycopg import sql

from powerca_sync.engine.postgres.catalog import Table
from powerca_sync.engine.postgres.database import Cursor, write
from powerca_sync.engine.postgres.database_errors import is_refusal, may_concern_rows
from powerca_sync.engine.postgres.sql_files import load

#: Rows that are tried, evenly spread. If a fifth of all can be written, all of these are refused once in a hundred
#: times; and so many refused rows do not pass the quarantine guard anyway.
SAMPLE = 20


class SwallowedError(Exception):
    """A trigger or a rule of the target wrote fewer rows than it was given, without an error."""


class RefusalJudge:
    """Decides whether what the target refuses is isolated row by row, and says why a row is refused."""

    def __init__(
        self,
        cursor: Cursor,
        table: Table,
        event: str,
        write: Callable[[int], int],
        planned: int,
        *,
        known: Callable[[], int],
    ) -> None:
        """`write` writes the nth of the `planned` rows of `table`, by `event` (`insert` ...); returns the rows written.

        `known` returns how many rows are in quarantine already: those may well be refused alone, and once more.
        """
        self._cursor = cursor
        self._table = table
        self._event = event
        self._write = write
        self._planned = planned
        self._known = known
        self._one_can_be_written = False
        self._swallowed_words: str | None = None

    def check(self, exc: psycopg.Error | SwallowedError, written: int) -> None:
        """Raise `exc` if it is not about single rows; `written` are those that could be written so far."""
        if isinstance(exc, psycopg.Error):
            if is_refusal(exc):
                return
            if not may_concern_rows(exc):
                raise exc
        if self._one_can_be_written or written or self._planned <= self._known():
            return
        self._one_can_be_written = self._try()
        if not self._one_can_be_written:
            raise SwallowedError(self.words(exc)) if isinstance(exc, SwallowedError) else exc

    def words(self, exc: psycopg.Error | SwallowedError) -> str:
        """What to say of a row that this error kept out."""
        if isinstance(exc, psycopg.Error):
            return exc.diag.message_primary or str(exc)
        if self._swallowed_words is None:
            self._swallowed_words = describe_swallowing(self._cursor, self._table, self._event)
        return self._swallowed_words

    def _try(self) -> bool:
        count = min(SAMPLE, self._planned)
        return any(self._can_be_written(1 + n * self._planned // count) for n in range(count))

    def _can_be_written(self, n: int) -> bool:
        try:
            with self._cursor.connection.transaction(force_rollback=True):
                return self._write(n) > 0
        except SwallowedError:
            return False
        except psycopg.Error as exc:
            if not may_concern_rows(exc):
                raise
            return False


def execute_completely(cursor: Cursor, statement: sql.Composed, rows: int) -> int:
    """Execute a statement that writes so many rows; raises `SwallowedError`, and undoes it, if it writes fewer."""
    with cursor.connection.transaction():
        if write(cursor, statement) < rows:
            raise SwallowedError
    return rows


def describe_swallowing(cursor: Cursor, table: Table, event: str) -> str:
    """Why rows are not written although nothing refuses them, as far as the catalog tells."""
    cursor.execute(load(__package__, "swallowing.sql"), {"table": table.oid, "event": event})
    names = [f"`{name}`" for (name,) in cursor.fetchall()]
    words = f"{' or '.join(names) or 'a trigger or a rule'} of the target swallowed the row (RETURN NULL, DO INSTEAD)"
    if table.splits_by_inheritance and event == "insert":
        words += ", as triggers of partitions by inheritance do: declare the partitions instead (PARTITION BY)"
    return words
