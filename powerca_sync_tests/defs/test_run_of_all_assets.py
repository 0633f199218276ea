"""A run of all assets syncs both directions, and each is counted once."""

from collections.abc import Iterator

import dagster as dg
import pytest
from psycopg import sql

from powerca_sync.defs import build_definitions
from powerca_sync.defs.alerts.problems import find_problems
from powerca_sync.defs.follow_up import build_follow_up
from powerca_sync.defs.jobs import build_jobs
from powerca_sync.defs.runs import REPORT, read_past_runs
from powerca_sync.settings import DesktopFunctions
from powerca_sync_tests.defs.office import ONE_RETRY, QUICK, SPECS, Office

DEFINITIONS = dg.Definitions.merge(
    build_definitions(SPECS, timeouts=QUICK, retries=ONE_RETRY, separate_checks=False),
    dg.Definitions(jobs=[dg.define_asset_job("everything")]),
)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """Yields an instance with a history for each test."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def mixed(office: Office) -> Office:
    """One row that mobile cannot hold, one phone row to insert, and one that the desktop cannot hold."""
    office.pair.source.execute("ALTER TABLE notices ALTER body TYPE varchar(20)")
    office.pair.source.execute("UPDATE staff SET dept_id = 99 WHERE staff_no = 7")
    office.phone_writes("Open on Friday", "A text that is too long for the desktop")
    return office


def materialize_all(office: Office) -> dg.ExecuteInProcessResult:
    """Runs all assets as the button of the UI does."""
    keys = list(DEFINITIONS.resolve_asset_graph().materializable_asset_keys)
    job = DEFINITIONS.resolve_implicit_job_def_def_for_assets(keys)
    assert job is not None
    return job.execute_in_process(instance=office.instance, asset_selection=keys, raise_on_error=False)


def test_books_of_a_run_of_all_assets_count_each_direction_once(mixed: Office) -> None:
    result = materialize_all(mixed)
    assert result.success
    events = {one.asset_key: one for one in result.get_asset_materialization_events() if one.asset_key}
    events = {key: one for key, one in events.items() if key.path[0] != "desktop"}
    ways = [key.path[0] if key.path[0] == "reverse" else "forward" for key in events]
    assert ways == ["forward"] * 4 + ["reverse"] * 4 + ["forward"]
    assert list(events)[-1] == REPORT, "it shows what the others did"

    forward, reverse = read_past_runs(mixed.instance)
    assert (forward.name, reverse.name) == ("forward by hand", "reverse by hand")
    assert {forward.run_id, reverse.run_id} == {result.run_id}
    assert (forward.tables, forward.inserted, forward.pulled, forward.quarantined) == (4, 43, 0, 1)
    assert (reverse.tables, reverse.inserted, reverse.pulled, reverse.quarantined) == (4, 0, 1, 1)
    (record,) = mixed.instance.get_run_records()
    assert record.start_time
    assert record.end_time
    assert forward.seconds
    assert reverse.seconds
    assert forward.seconds + reverse.seconds < record.end_time - record.start_time

    metadata = events[REPORT].step_materialization_data.materialization.metadata
    shown = {name: value.value for name, value in metadata.items()}
    assert (shown["quarantined_rows"], shown["phone_rows_quarantined"], shown["phone_rows_pulled"]) == (1, 1, 1)
    assert (shown["tables_never_synced"], shown["rows_written_by_last_30_runs"]) == (0, 44)
    assert [record.data["table"] for record in shown["attention"].records] == ["staff", "notices"]
    listed = [(line.data["job"], line.data["wrote"]) for line in shown["last_runs"].records]
    assert listed == [("forward by hand", "43"), ("reverse by hand", "1")]

    found = find_problems(mixed.instance, [record])
    assert {key for key, problem in found.outcomes.items() if problem} == {
        "staff, check foreign_keys",
        "reverse__notices, check quarantine",
    }
    assert {"forward run", "reverse run"} <= found.outcomes.keys()


def test_failed_table_fails_the_directions_that_lack_it_and_is_followed_in_both(mixed: Office) -> None:
    mixed.pair.target.execute("DROP TABLE departments CASCADE")
    result = materialize_all(mixed)
    assert not result.success
    forward, reverse = read_past_runs(mixed.instance)
    assert (forward.status, forward.tables, reverse.status, reverse.tables) == ("FAILURE", 2, "FAILURE", 2)
    sensor = build_follow_up(SPECS, list(build_jobs(SPECS, DesktopFunctions(), separate=[]).jobs or ()))
    context = dg.build_run_status_sensor_context(
        sensor_name="follow_up",
        dagster_event=result.get_run_failure_event(),
        dagster_instance=mixed.instance,
        dagster_run=result.dagster_run,
    ).for_run_failure()
    requests = [(one.job_name, one.asset_selection) for one in sensor(context)]  # type: ignore[union-attr]
    # The table of staff needs the one that failed; phone rows do not need what came from the desktop.
    assert requests == [("reverse", [dg.AssetKey(["reverse", name]) for name in ("departments", "staff")])]


def test_only_the_direction_fails_that_lacks_a_table(mixed: Office) -> None:
    name = sql.Identifier(mixed.pair.settings.desktop.name)
    mixed.pair.source.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name))
    assert not materialize_all(mixed).success
    forward, reverse = read_past_runs(mixed.instance)
    assert (forward.failed, forward.tables, reverse.failed, reverse.tables) == (False, 4, True, 0)


def test_job_of_all_assets_has_both_directions(office: Office) -> None:
    job = DEFINITIONS.resolve_job_def("everything")
    assert job.execute_in_process(instance=office.instance).success
    assert [(run.name, run.direction, run.tables, run.failed) for run in read_past_runs(office.instance)] == [
        ("everything", "forward", 4, False),
        ("everything", "reverse", 4, False),
    ]
