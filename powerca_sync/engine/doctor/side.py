"""One of the two databases, reached or not, and a guarded look at it.

Every look has a READ ONLY transaction of its own, so that one that the role may not have becomes a finding and leaves
the next as it was.
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

#: A look that takes longer tells less than it costs; a table that somebody keeps locked is a finding of its own.
PATIENCE = Timeouts(statement=60, lock=2)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """One database, or why there is no connection to it."""

    endpoint: Endpoint
    connection: Connection | None = None
    failure: SyncError | None = None
    #: Of its looks that failed.
    failed: list[Finding] = dataclasses.field(default_factory=list)

    @property
    def name(self) -> str:
        """`desktop` or `mobile`."""
        return self.endpoint.side

    def look(self, at: str, how: Callable[[Cursor], T], *, table: str | None = None, needed: bool = False) -> T | None:
        """What `how` answers; None where there is no connection, or after an error, which is kept as a finding.

        `needed` says that a sync has to look there too, and fails as we do.
        """
        if self.connection is None or self.connection.closed:
            return None
        try:
            with transaction(self.connection, timezone="UTC", timeouts=PATIENCE, snapshot=True) as cursor:
                return how(cursor)
        except psycopg.Error as exc:
            error = explain(exc, f"looking at {at}")
        except ValueError as exc:
            # Text that is not what the server says it is; the driver's answer to a connection cut by a pooler.
            error = SyncError(f"looking at {at} failed: {exc}.")
        except SyncError as exc:
            error = exc
        # Whatever is lost with the connection is told once, as an error.
        needed |= self.connection.closed
        self.failed.append(unexamined(self.name, str(error), table=table, needed=needed))
        return None

    @property
    def is_open(self) -> bool:
        """Whether it can still be looked at."""
        return self.connection is not None and not self.connection.closed


def read_as(kind: type[T], cursor: Cursor, statement: bytes, parameters: Mapping[str, object]) -> list[T]:
    """The rows of a statement as records of that kind, whose fields are the statement's columns."""
    with cursor.connection.cursor(row_factory=class_row(kind)) as records:
        return records.execute(statement, parameters).fetchall()


@contextlib.contextmanager
def reach(endpoint: Endpoint) -> Iterator[Side]:
    """A side with an open connection, or with the reason why there is none."""
    try:
        connection = connect(endpoint)
    except SyncError as exc:
        yield Side(endpoint=endpoint, failure=exc)
    else:
        with contextlib.closing(connection):
            yield Side(endpoint=endpoint, connection=connection)


def unexamined(side: str, words: str, *, table: str | None = None, needed: bool = False) -> Finding:
    """That something could not be examined, in the database's words; never that it is fine."""
    what = f"Not examined: {words}"
    do = "Do what the message says, then run `powerca-sync doctor` again."
    if needed:
        return wrong(
            side, what, why="A sync has to look there too, and would fail in the same way.", do=do, table=table
        )
    return warning(side, what, why="Whether all is well there is not known.", do=do, table=table)
