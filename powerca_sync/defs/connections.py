"""Connections that a run keeps from one table to the next: a new one costs half a dozen round trips."""

import contextlib
import select
import time
from collections.abc import Iterator

from powerca_sync.engine.postgres import Connection, connect
from powerca_sync.settings import Endpoint

#: Seconds after which an unused connection is replaced: a router or pooler may have dropped it.
TRUSTED = 30.0


class KeptConnection:
    """One connection to one database, opened when it is first needed."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._kept: Connection | None = None
        self._used = 0.0

    @contextlib.contextmanager
    def taken(self) -> Iterator[Connection]:
        """Yields the connection, outside any transaction. Closes it after an exception.

        Raises as `connect` does.
        """
        if self._kept and (time.monotonic() - self._used > TRUSTED or _is_lost(self._kept)):
            self.close()
        connection = self._kept or connect(self._endpoint)
        self._kept = None
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        # A second connection, if two are needed at a time.
        self.close()
        self._kept, self._used = connection, time.monotonic()

    def close(self) -> None:
        """Close the connection."""
        if self._kept:
            self._kept.close()
            self._kept = None


def _is_lost(connection: Connection) -> bool:
    """Returns whether the connection is closed, or has unread input, such as the notice of a server that shuts down."""
    return connection.closed or bool(select.select([connection], [], [], 0)[0])
