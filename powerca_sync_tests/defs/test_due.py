"""The hourly schedule of the job `reverse`: which tables a tick requests, and when it requests none."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
import pytest

from powerca_sync.defs import build_definitions
from powerca_sync_tests.defs.office import ONE_RETRY, QUICK, SPECS, Office

ALL = {spec.mobile for spec in SPECS}
DEFINITIONS = build_definitions(SPECS, timeouts=QUICK, retries=ONE_RETRY)
SCHEDULE = DEFINITIONS.resolve_schedule_def("reverse_schedule")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """Yields an instance with a history for each test."""
    with dg.instance_for_test() as made:
        yield made


@pytest.fixture
def pulled(office: Office) -> Office:
    """Returns the office after a first run in each direction."""
    assert office.run().success
    assert office.pull().success
    return office


def tick(office: Office) -> set[str] | str:
    """Returns the tables that a tick requests, or the reason of the skipped tick."""
    context = dg.build_schedule_context(office.instance, scheduled_execution_time=datetime.now(UTC))
    data = SCHEDULE.evaluate_tick(context)
    if not data.run_requests:
        return str(data.skip_message)
    (request,) = data.run_requests
    return {key.path[-1] for key in request.asset_selection or ()}


def materializations(office: Office) -> int:
    keys = [dg.AssetKey(["reverse", table]) for table in ALL]
    return sum(len(office.instance.fetch_materializations(key, limit=100).records) for key in keys)


def test_tick_without_new_rows_is_skipped_without_a_trace(pulled: Office) -> None:
    before = materializations(pulled)
    assert tick(pulled) == "Nothing new: the last run has seen all phone rows, and none of them is quarantined."
    pulled.phone_writes("Rain")
    assert tick(pulled) == {"notices"}
    assert pulled.pull("notices").success
    assert "Nothing new" in tick(pulled)
    assert materializations(pulled) == before + 1


def test_before_the_first_run_every_table_is_requested(office: Office) -> None:
    assert tick(office) == ALL


def test_quarantined_rows_are_tried_again(pulled: Office) -> None:
    pulled.pair.source.execute("ALTER TABLE notices ALTER body TYPE varchar(20)")
    pulled.phone_writes("Rain and wind in the afternoon")
    pulled.pull("notices")
    assert tick(pulled) == {"notices"}
    pulled.pair.source.execute("ALTER TABLE notices ALTER body TYPE text")
    assert pulled.pull("notices").success
    assert "Nothing new" in tick(pulled)


def test_conflict_resolved_by_the_office_is_detected(pulled: Office) -> None:
    pulled.phone_writes("The phone's")
    pulled.pair.source.execute("INSERT INTO notices VALUES (100, 1, 'The office''s')")
    pulled.pull("notices")
    assert tick(pulled) == {"notices"}
    pulled.pair.source.execute("UPDATE notices SET notice_id = 500 WHERE notice_id = 100")
    pulled.pull("notices")
    assert "Nothing new" in tick(pulled)


def test_each_table_is_synced_before_it_counts_as_late(pulled: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 19 * 3600)
    assert "Nothing new" in tick(pulled)
    monkeypatch.setattr(time, "time", lambda: now + 21 * 3600)
    assert tick(pulled) == ALL


@pytest.mark.parametrize("port", ["LOCAL_DB_PORT", "SUPABASE_DB_PORT"])
def test_unreachable_database_is_left_to_the_run(pulled: Office, port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(port, "1")
    assert tick(pulled) == ALL
