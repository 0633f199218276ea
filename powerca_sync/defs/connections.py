"""Connections that a run keeps from one table to the next: a new one costs half a dozen round trips."""

import contextlib
import dataclasses
import select
import time
from collections.abc import Iterator

from powerca_sync.engine.postgres import Connection, connect, interrupt_use, strip_row_content
from powerca_sync.errors import SyncError
from powerca_sync.settings import Endpoint

#: Seconds after which an unused connection is replaced: a router or pooler may have dropped it.
TRUSTED = 30.0
#: Seconds for which a sensor waits for a connection, and for a statement.
PATIENCE = 5


def brief(endpoint: Endpoint) -> Endpoint:
    """Returns the endpoint for a sensor, which waits `PATIENCE` seconds for a connection."""
    return dataclasses.replace(endpoint, connect_timeout=PATIENCE)


@contextlib.contextmanager
def without_row_content() -> Iterator[None]:
    """Strip row content from the errors of the body: Dagster prints the error of a tick with its causes."""
    try:
        yield
    except SyncError as exc:
        strip_row_content(exc)
        raise


class KeptConnections:
    """Connections to one database, as many as are needed at a time. Several threads may take one each."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        #: Those that nobody uses, each with the time of its last use.
        self._kept: list[tuple[Connection, float]] = []

    @contextlib.contextmanager
    def taken(self) -> Iterator[Connection]:
        """Yields a connection, outside any transaction. Closes it after an exception.

        Raises as `connect` does.
        """
        connection = self._take() or connect(self._endpoint)
        try:
            yield connection
        except BaseException:
            # After an interrupt its statement would go on at the server, and keep its locks.
            interrupt_use(connection)
            connection.close()
            raise
        self._kept.append((connection, time.monotonic()))

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while self._kept:
            self._kept.pop()[0].close()

    def _take(self) -> Connection | None:
        """Returns one that can still be used; closes others."""
        while self._kept:
            # One operation, because of other threads.
            try:
                connection, used = self._kept.pop()
            except IndexError:
                break
            if time.monotonic() - used <= TRUSTED and not _is_lost(connection):
                return connection
            connection.close()
        return None


def _is_lost(connection: Connection) -> bool:
    """Returns whether the connection is closed, or has unread input, such as the notice of a server that shuts down."""
    return connection.closed or bool(select.select([connection], [], [], 0)[0])
