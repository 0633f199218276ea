"""The time that a message takes to a server and back."""

import time
from typing import Final
from weakref import WeakKeyDictionary

from powerca_sync.engine.postgres.execution import Connection

#: Seconds of a round trip from which a connection counts as slow.
SLOW_ROUND_TRIP: Final = 0.01
#: A busy machine delays single messages; it does not delay all of several.
ATTEMPTS: Final = 4

_known: WeakKeyDictionary[Connection, bool] = WeakKeyDictionary()


def is_slow(connection: Connection) -> bool:
    """Returns whether each of several empty queries takes `SLOW_ROUND_TRIP`; asked once for each connection.

    The time of a statement would not do: the server's own work, or the wait for a lock, is a part of it.
    """
    if connection not in _known:
        _known[connection] = all(_round_trip(connection) >= SLOW_ROUND_TRIP for _ in range(ATTEMPTS))
    return _known[connection]


def _round_trip(connection: Connection) -> float:
    began = time.monotonic()
    connection.execute("")
    return time.monotonic() - began
