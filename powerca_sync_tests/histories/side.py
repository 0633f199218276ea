"""One of the two databases of a history, for its writers and for the engine."""

import contextlib
from collections.abc import Sequence

import psycopg
from psycopg import sql

from powerca_sync.engine.postgres.database import Connection, connect
from powerca_sync.settings import Endpoint
from powerca_sync_tests.histories.model import Row

#: By table, then by the row's number: the row, and a text that changes with any write to it.
State = dict[str, dict[int, tuple[Row, str]]]


class Side:
    """A database, the connection of its writers, and that of the engine."""

    def __init__(self, endpoint: Endpoint, tables: Sequence[str], uid: str) -> None:
        """`uid` is the column with a row's own number."""
        self.endpoint = endpoint
        self.tables = tables
        self.uid = uid
        self.people = connect(endpoint)
        self.people.execute("SET lock_timeout = 50")
        self._late: Connection | None = None
        self._engine = connect(endpoint)

    @property
    def late(self) -> bool:
        """Returns whether a transaction was left open."""
        return self._late is not None

    @property
    def engine(self) -> Connection:
        """Returns the engine's connection; opens a new one if it was lost."""
        if self._engine.closed:
            self._engine = connect(self.endpoint)
        return self._engine

    def close(self) -> None:
        self.finish(commit=False)
        self.people.close()
        self._engine.close()

    @property
    def connections(self) -> tuple[Connection, ...]:
        """Returns all connections that are open, or were at their last use."""
        return (self.people, self._engine, *([self._late] if self._late else ()))

    def reconnect(self) -> None:
        """Reopens all connections after the server was stopped."""
        self.people.close()
        self._engine.close()
        self.people, self._engine = connect(self.endpoint), connect(self.endpoint)
        self.people.execute("SET lock_timeout = 50")

    def mend(self) -> None:
        """Removes everything that makes runs fail."""
        self._engine.cursor_factory = psycopg.Cursor

    def do(self, statement: sql.Composed, *, late: bool = False) -> bool:
        """Executes statements in a transaction, or in the one left open; returns whether they succeeded.

        If they are refused, nothing is changed.
        """
        if late and self._late is None:
            self._late = connect(self.endpoint)
            self._late.execute("SET lock_timeout = 50; BEGIN")
        connection = self._late if late and self._late else self.people
        with (
            contextlib.suppress(
                *(psycopg.IntegrityError, psycopg.DataError, psycopg.OperationalError, psycopg.errors.RaiseException)
            ),
            connection.transaction(),
        ):
            connection.execute(statement)
            return True
        return False

    def finish(self, *, commit: bool) -> None:
        """Ends the transaction that was left open."""
        if self._late is not None:
            self._late.execute("COMMIT" if commit else "ROLLBACK")
            self._late.close()
            self._late = None

    def names(self, table: str) -> list[str]:
        """Returns the columns of the table."""
        return [
            column.name
            for column in self.people.execute(
                sql.SQL("SELECT * FROM {} LIMIT 0").format(sql.Identifier(table))
            ).description
            or ()
        ]

    def look(self) -> State:
        """Reads all rows."""
        state: State = {}
        for table in self.tables:
            cursor = self.people.execute(
                sql.SQL("SELECT ROW(t.ctid, t.xmin, t.*)::text, t.* FROM {} AS t").format(sql.Identifier(table))
            )
            names = [column.name for column in cursor.description or ()][1:]
            rows = [(dict(zip(names, values, strict=True)), text) for text, *values in cursor]
            state[table] = {row[self.uid]: (row, text) for row, text in rows}
        return state

    def pick(self, table: str, pick: int, *, whose: str | None = None) -> tuple[int, Row]:
        """Returns the number of a row of an owner, and the row; number 0, which no row has, if there is none."""
        rows = {uid: row for uid, (row, _) in self.look()[table].items() if whose is None or row["source"] == whose}
        if not rows:
            return 0, {}
        uid = sorted(rows)[pick % len(rows)]
        return uid, rows[uid]
