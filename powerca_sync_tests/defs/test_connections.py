"""A run reuses its connections from one table to the next, except a lost one."""

import pytest

from powerca_sync.defs.connections import KeptConnection
from powerca_sync_tests.helpers import Pair


@pytest.fixture
def kept(pair: Pair) -> KeptConnection:
    return KeptConnection(pair.settings.mobile)


def backend(kept: KeptConnection) -> int:
    """Returns the process id of the server backend."""
    with kept.taken() as connection:
        return connection.info.backend_pid


def test_next_table_gets_the_same_connection(kept: KeptConnection) -> None:
    first = backend(kept)
    assert backend(kept) == first
    kept.close()
    assert backend(kept) != first
    kept.close()


def test_after_a_failure_the_next_table_gets_a_new_connection(kept: KeptConnection) -> None:
    first = backend(kept)
    with pytest.raises(ZeroDivisionError), kept.taken():
        _ = 1 / 0
    assert backend(kept) != first
    kept.close()


def test_connection_ended_by_the_server_is_not_reused(pair: Pair, kept: KeptConnection) -> None:
    first = backend(kept)
    pair.target.execute("SELECT pg_terminate_backend(%s, 5000)", [first])
    assert backend(kept) != first
    kept.close()


def test_connection_idle_for_long_is_not_reused(kept: KeptConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    first = backend(kept)
    monkeypatch.setattr("powerca_sync.defs.connections.TRUSTED", 0.0)
    assert backend(kept) != first
    kept.close()
