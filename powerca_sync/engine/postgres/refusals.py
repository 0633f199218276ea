"""Distinguish errors of single rows from errors that every row would raise.

A trigger may fail with any SQLSTATE: a right that its function lacks and one that the sync lacks look the same. So
single rows are tried: if one of them can be written, the error belongs to the rows that cannot.
"""

from collections.abc import Callable

import psycopg
from psycopg import sql

from powerca_sync.engine.postgres.catalog import Table
from powerca_sync.engine.postgres.database import write
from powerca_sync.engine.postgres.database_errors import is_refusal, may_concern_rows
from powerca_sync.engine.postgres.execution import Cursor
from powerca_sync.engine.postgres.sql_files import load

#: Number of rows to try, evenly spread. If one row in five can be written, all of these are refused in 1% of cases; and
#: the quarantine guard refuses so many rows anyway.
SAMPLE = 20


class SwallowedError(Exception):
    """A trigger or rule of the target skipped rows without an error."""


class RefusalJudge:
    """Decides whether refused rows are isolated one by one, and returns why a row is refused."""

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
        """Take the writes of one range of `planned` rows of `table`.

        `event` is `insert`, `update` or `delete`. `write` writes the nth row and returns the rows written. `known`
        returns the number of quarantined rows, which may be refused again.
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
        """Raise `exc` unless single rows cause it; `written` is the number of rows written so far."""
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
        """Returns the reason to store with a row that failed with this error."""
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


def execute_completely(cursor: Cursor, statement: sql.Composed, rows: int, *, after: sql.Composed) -> int:
    """`write` a statement that should write `rows` rows; if it writes fewer, undo it and raise `SwallowedError`."""
    with cursor.connection.transaction():
        if write(cursor, statement, after=after) < rows:
            raise SwallowedError
    return rows


def describe_swallowing(cursor: Cursor, table: Table, event: str) -> str:
    """Returns which triggers or rules may have skipped the rows, according to the catalog."""
    cursor.execute(load(__package__, "swallowing.sql"), {"table": table.oid, "event": event})
    names = [f"`{name}`" for (name,) in cursor.fetchall()]
    words = f"{' or '.join(names) or 'a trigger or a rule'} of the target swallowed the row (RETURN NULL, DO INSTEAD)"
    if table.splits_by_inheritance and event == "insert":
        words += ", as triggers for partitions by inheritance do: use declarative partitioning (PARTITION BY)"
    return words
