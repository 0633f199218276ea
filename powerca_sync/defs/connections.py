"""Connections that a run keeps from one table to the next: over a line, each new one is half a dozen round trips."""

import contextlib
import select
import time
from collections.abc import Iterator

from powerca_sync.engine.postgres import Connection, connect
from powerca_sync.settings import Endpoint

#: Seconds after which an unused connection is not trusted any more: what lies between may have forgotten it.
TRUSTED = 30.0


class KeptConnection:
    """One at a time to one database, opened when it is first wanted."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._kept: Connection | None = None
        self._used = 0.0

    @contextlib.contextmanager
    def taken(self) -> Iterator[Connection]:
        """The connection, outside any transaction. After an exception it is closed, and the next one is new.

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
        # Another one, if two were wanted at a time.
        self.close()
        self._kept, self._used = connection, time.monotonic()

    def close(self) -> None:
        """Nothing is kept any more."""
        if self._kept:
            self._kept.close()
            self._kept = None


def _is_lost(connection: Connection) -> bool:
    """Whether it is closed, or has something to say that nobody asked for: a server that leaves says goodbye."""
    return connection.closed or bool(select.select([connection], [], [], 0)[0])
