"""A run keeps its connections from one table to the next, and does without one that was lost."""

import pytest

from powerca_sync.defs.connections import KeptConnection
from powerca_sync_tests.helpers import Pair


@pytest.fixture
def kept(pair: Pair) -> KeptConnection:
    return KeptConnection(pair.settings.mobile)


def backend(kept: KeptConnection) -> int:
    """Which process of the server serves it."""
    with kept.taken() as connection:
        return connection.info.backend_pid


def test_the_next_table_gets_the_same_connection(kept: KeptConnection) -> None:
    first = backend(kept)
    assert backend(kept) == first
    kept.close()
    assert backend(kept) != first
    kept.close()


def test_after_a_failure_the_next_table_gets_a_new_one(kept: KeptConnection) -> None:
    first = backend(kept)
    with pytest.raises(ZeroDivisionError), kept.taken():
        _ = 1 / 0
    assert backend(kept) != first
    kept.close()


def test_a_connection_that_the_server_ended_meanwhile_is_not_used(pair: Pair, kept: KeptConnection) -> None:
    first = backend(kept)
    pair.target.execute("SELECT pg_terminate_backend(%s, 5000)", [first])
    assert backend(kept) != first
    kept.close()


def test_a_connection_that_has_rested_long_is_not_used(kept: KeptConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    first = backend(kept)
    monkeypatch.setattr("powerca_sync.defs.connections.TRUSTED", 0.0)
    assert backend(kept) != first
    kept.close()
