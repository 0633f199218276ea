"""A small office on real servers, configured by environment variables as any office is."""

from collections.abc import Iterator

import dagster as dg
import pytest

# Private, but no public API resets what another instance has set for the process.
from dagster._core.storage.defs_state.base import set_defs_state_storage

from powerca_sync_tests.defs.office import Office
from powerca_sync_tests.helpers import Pair


@pytest.fixture(autouse=True)
def _forget_other_instances() -> Iterator[None]:
    """Removes instances left current for the process, which an instance entered twice leaves behind."""
    with set_defs_state_storage(None):
        yield


@pytest.fixture(scope="session")
def instance() -> Iterator[dg.DagsterInstance]:
    """Yields one Dagster instance in memory for all tests that examine a run and not the history."""
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture
def office(pair: Pair, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, tmp_path) -> Office:
    """Yields two databases with the office's tables and rows, named in this process's environment."""
    made = Office(pair, instance)
    made.create()
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("POWERCA_DEMO", raising=False)
    monkeypatch.chdir(tmp_path)
    return made
