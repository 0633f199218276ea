"""One of the two databases, connected or not, and guarded queries on it.

Every query has a READ ONLY transaction of its own: one that fails becomes a finding and does not disturb the next.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import psycopg
from psycopg.rows import class_row

from powerca_sync.engine.doctor.findings import Finding, warning, wrong
from powerca_sync.engine.postgres import Connection, Cursor, Timeouts, connect, explain, transaction
from powerca_sync.errors import SyncError
from powerca_sync.settings import Endpoint

T = TypeVar("T")

#: Time limits of a query; a locked table is a finding of its own.
PATIENCE = Timeouts(statement=60, lock=2)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """One database, or the reason why there is no connection to it."""

    endpoint: Endpoint
    connection: Connection | None = None
    failure: SyncError | None = None
    #: Of its queries that failed.
    failed: list[Finding] = dataclasses.field(default_factory=list)

    @property
    def name(self) -> str:
        """`desktop` or `mobile`."""
        return self.endpoint.side

    def look(self, at: str, how: Callable[[Cursor], T], *, table: str | None = None, needed: bool = False) -> T | None:
        """Returns the result of `how`; None without a connection, or after an error, which is kept as a finding.

        `needed` says that a sync needs the same data and would fail in the same way.
        """
        if self.connection is None or self.connection.closed:
            return None
        try:
            with transaction(self.connection, timezone="UTC", timeouts=PATIENCE, snapshot=True) as cursor:
                return how(cursor)
        except psycopg.Error as exc:
            error = explain(exc, f"reading {at}")
        except ValueError as exc:
            # Text in another encoding than declared; the driver's error after a pooler has cut the connection.
            error = SyncError(f"reading {at} failed: {exc}.")
        except SyncError as exc:
            error = exc
        # The loss of the connection is reported once, as an error.
        needed |= self.connection.closed
        self.failed.append(unexamined(self.name, str(error), table=table, needed=needed))
        return None

    @property
    def is_open(self) -> bool:
        """Whether it has an open connection."""
        return self.connection is not None and not self.connection.closed


def read_as(kind: type[T], cursor: Cursor, statement: bytes, parameters: Mapping[str, object]) -> list[T]:
    """Returns the rows of a statement as records of that kind, whose fields are the statement's columns."""
    with cursor.connection.cursor(row_factory=class_row(kind)) as records:
        return records.execute(statement, parameters).fetchall()


@contextlib.contextmanager
def reach(endpoint: Endpoint) -> Iterator[Side]:
    """Yields a database with an open connection, or with the reason why it could not be opened."""
    try:
        connection = connect(endpoint)
    except SyncError as exc:
        yield Side(endpoint=endpoint, failure=exc)
    else:
        with contextlib.closing(connection):
            yield Side(endpoint=endpoint, connection=connection)


def unexamined(side: str, words: str, *, table: str | None = None, needed: bool = False) -> Finding:
    """Returns the finding that something could not be examined, in the database's words."""
    what = f"Not examined: {words}"
    do = "Follow the message, then run `powerca-sync doctor` again."
    if needed:
        return wrong(side, what, why="A sync needs the same data and would fail in the same way.", do=do, table=table)
    return warning(side, what, why="Problems there remain unknown.", do=do, table=table)
