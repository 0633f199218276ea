"""A small office on real servers, named to the sync by environment variables as any office is."""

from collections.abc import Iterator

import dagster as dg
import pytest

# Private, but nothing public forgets what another instance has set for the whole process.
from dagster._core.storage.defs_state.base import set_defs_state_storage

from powerca_sync_tests.defs.office import Office
from powerca_sync_tests.helpers import Pair


@pytest.fixture(autouse=True)
def _forget_other_instances() -> Iterator[None]:
    """An instance that has been entered twice stays current for the process after its end; see that none is."""
    with set_defs_state_storage(None):
        yield


@pytest.fixture(scope="session")
def instance() -> Iterator[dg.DagsterInstance]:
    """One Dagster instance in memory for all tests that look at a run and not at the history."""
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture
def office(pair: Pair, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, tmp_path) -> Office:
    """Two databases with the office's tables and rows, and this process's environment naming them."""
    made = Office(pair, instance)
    made.create()
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("POWERCA_DEMO", raising=False)
    monkeypatch.chdir(tmp_path)
    return made
