"""The sensor `mobile_rows`: the decisions of a tick; and both directions under Dagster's daemon."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

# Private, but a run is queued only if it names the code server that executes it.
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from powerca_sync.defs import build_definitions
from powerca_sync.errors import DatabaseUnavailableError, SyncError
from powerca_sync.specs import BY_HAND
from powerca_sync_tests.defs.office import ONE_RETRY, QUICK, SPECS, Office
from powerca_sync_tests.defs.product import PRODUCT
from powerca_sync_tests.helpers import wait_until

pytestmark = pytest.mark.long

DEFINITIONS = build_definitions(SPECS, timeouts=QUICK, retries=ONE_RETRY)
SENSOR = DEFINITIONS.get_repository_def().get_sensor_def("mobile_rows")
NOT_STARTED, QUEUED = dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.QUEUED
STARTED = dg.DagsterRunStatus.STARTED


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """Yields an instance with a history for each test."""
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture
def pulled(office: Office) -> Office:
    """Returns the office after a first run in each direction."""
    assert office.run().success
    assert office.pull().success
    return office


def tick(
    office: Office, definitions: dg.Definitions = DEFINITIONS, sensor: dg.SensorDefinition = SENSOR
) -> set[str] | str:
    """Returns the tables that a tick requests, or the reason of the skipped tick."""
    with dg.build_sensor_context(instance=office.instance, definitions=definitions) as context:
        data = sensor.evaluate_tick(context)
    if not data.run_requests:
        assert data.skip_message
        return data.skip_message
    (request,) = data.run_requests
    assert request.run_key is None
    assert request.run_config == {}
    return {key.to_user_string().removeprefix("reverse/") for key in request.asset_selection or ()}


def create_run(office: Office, status: dg.DagsterRunStatus, job: str = "reverse", *, table: str = "") -> str:
    """Creates a run in the history that nothing executes."""
    place = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("office"), "__repository__")
    definition = DEFINITIONS.resolve_job_def(job)
    run = office.instance.create_run_for_job(
        definition,
        status=status,
        asset_selection=frozenset({dg.AssetKey(table.split("/"))}) if table else None,
        remote_job_origin=RemoteJobOrigin(place, job),
        job_code_origin=JobPythonOrigin(job, RepositoryPythonOrigin(sys.executable, ModuleCodePointer("x", "defs"))),
    )
    return run.run_id


def test_tick_without_new_rows_is_skipped_with_a_reason(pulled: Office) -> None:
    assert tick(pulled) == "Nothing new: 0 phone rows on mobile, all seen by the last run."
    pulled.phone_writes("Rain")
    pulled.pull()
    assert tick(pulled) == "Nothing new: 1 phone row on mobile, all seen by the last run."


def test_before_the_first_run_every_table_is_requested(office: Office) -> None:
    assert tick(office) == {spec.mobile for spec in SPECS}


def test_only_tables_with_new_phone_rows_are_requested(pulled: Office) -> None:
    pulled.phone_writes("Rain")
    assert tick(pulled) == {"notices"}
    assert tick(pulled) == {"notices"}, "a tick remembers nothing: a request that got lost is made again"
    pulled.pair.target.execute("INSERT INTO staff (org_id, staff_no, source) VALUES (1, 900, 'M')")
    assert tick(pulled) == {"staff", "notices"}
    pulled.pull("notices")
    assert tick(pulled) == {"staff"}


def test_quarantined_rows_are_left_to_the_schedule(pulled: Office) -> None:
    pulled.pair.source.execute("ALTER TABLE notices ALTER body TYPE varchar(20)")
    pulled.phone_writes("Rain and wind in the afternoon")
    pulled.pull()
    assert tick(pulled) == "Nothing new: 1 phone row on mobile, all seen by the last run."


def test_quarantined_lookalikes_request_no_run(pulled: Office) -> None:
    lines = "INSERT INTO staff (org_id, staff_no, full_name{}) VALUES (1, 900, 'Asha'{})"
    pulled.pair.source.execute(lines.format("", ""))  # type: ignore[call-overload]
    pulled.pair.target.execute(lines.format(", source", ", 'M'"))  # type: ignore[call-overload]
    assert tick(pulled) == {"staff"}
    assert pulled.pull("staff").success
    assert tick(pulled) == "Nothing new: 1 phone row on mobile, all seen by the last run."
    pulled.pair.target.execute("INSERT INTO staff (org_id, staff_no, source) VALUES (1, 901, 'M')")
    assert tick(pulled) == {"staff"}
    assert pulled.pull("staff").success
    assert pulled.pair.rows(
        "SELECT staff_no, count(*) FROM staff WHERE staff_no > 899 GROUP BY 1 ORDER BY 1", pulled.pair.source
    ) == [
        (900, 1),
        (901, 1),
    ]
    assert "Nothing new" in tick(pulled)


def test_tables_reverse_synced_by_hand_are_named_and_not_requested(pulled: Office) -> None:
    specs = [dataclasses.replace(one, reverse=BY_HAND) if one.mobile == "notices" else one for one in SPECS]
    definitions = build_definitions(specs, timeouts=QUICK, retries=ONE_RETRY)
    sensor = definitions.get_repository_def().get_sensor_def("mobile_rows")
    pulled.phone_writes("Rain")
    assert tick(pulled) == {"notices"}
    said = tick(pulled, definitions, sensor)
    assert isinstance(said, str)
    assert said.startswith("Pending: new phone rows of `notices`, reverse-synced by hand only.")
    pulled.pair.target.execute("INSERT INTO staff (org_id, staff_no, source) VALUES (1, 900, 'M')")
    assert tick(pulled, definitions, sensor) == {"staff"}
    assert pulled.pull("notices").success
    assert "Nothing new" not in tick(pulled, definitions, sensor), "staff is pending still"
    assert pulled.pair.one("SELECT count(*) FROM notices WHERE notice_id = 100", pulled.pair.source) == 1


@pytest.mark.parametrize("status", [NOT_STARTED, QUEUED, STARTED])
def test_tick_during_a_run_queries_no_database(
    pulled: Office, status: dg.DagsterRunStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulled.phone_writes("Rain")
    run_id = create_run(pulled, status)
    monkeypatch.setenv("SUPABASE_DB_PORT", "1")
    assert tick(pulled) == f"Run {run_id} is active ({status.value.lower()})."


def test_run_started_by_hand_for_one_table_counts(pulled: Office) -> None:
    pulled.phone_writes("Rain")
    create_run(pulled, STARTED, table="reverse/notices")
    assert "is active (" in tick(pulled)


def test_forward_run_does_not_delay_phone_rows(pulled: Office) -> None:
    pulled.phone_writes("Rain")
    create_run(pulled, STARTED, "forward_full")
    assert tick(pulled) == {"notices"}


def test_run_whose_process_was_killed_long_ago_blocks_no_tick(pulled: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    pulled.phone_writes("Rain")
    create_run(pulled, STARTED)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 29 * 60)
    assert "is active (" in tick(pulled)
    monkeypatch.setattr(time, "time", lambda: now + 31 * 60)
    assert tick(pulled) == {"notices"}


def test_failed_table_is_requested_again_after_its_backoff(pulled: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    pulled.pair.source.execute("ALTER TABLE notices RENAME TO notices_away")
    pulled.phone_writes("Rain")
    now = time.time()
    for minutes in (2, 4):
        assert not pulled.pull("notices").success
        assert tick(pulled) == (
            f"Phone rows are pending, but the last attempts failed. Next attempt: `notices` in {minutes} min."
        )
    monkeypatch.setattr(time, "time", lambda: now + 5 * 60)
    assert tick(pulled) == {"notices"}

    pulled.pair.source.execute("ALTER TABLE notices_away RENAME TO notices")
    assert pulled.pull("notices").success
    assert "Nothing new" in tick(pulled)
    assert pulled.pair.one("SELECT body FROM notices WHERE notice_id = 100", pulled.pair.source) == "Rain"


def test_backoff_of_a_table_does_not_delay_others(pulled: Office) -> None:
    pulled.pair.source.execute("ALTER TABLE departments RENAME TO departments_away")
    pulled.pair.target.execute("INSERT INTO departments (dept_id, org_id, source) VALUES (90, 1, 'M')")
    pulled.pair.target.execute("INSERT INTO staff (org_id, staff_no, source) VALUES (1, 900, 'M')")
    assert not pulled.pull("departments", "staff").success
    assert tick(pulled) == {"staff"}, "it was skipped because of its parent, which may never be mended"


@pytest.mark.parametrize("port", ["LOCAL_DB_PORT", "SUPABASE_DB_PORT"])
def test_unreachable_database_fails_the_tick_and_loses_nothing(
    pulled: Office, port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulled.phone_writes("Rain")
    with monkeypatch.context() as broken:
        broken.setenv(port, "1")
        with pytest.raises(DatabaseUnavailableError, match=r"^connecting to .+ check host, port and network"):
            tick(pulled)
    assert tick(pulled) == {"notices"}


def test_locked_table_is_left_to_a_run_and_hides_no_other(pulled: Office) -> None:
    pulled.pair.target.execute("INSERT INTO staff (org_id, staff_no, source) VALUES (1, 900, 'M')")
    with pulled.pair.target.transaction():
        pulled.pair.target.execute("LOCK TABLE notices IN ACCESS EXCLUSIVE MODE")
        assert tick(pulled) == {"staff", "notices"}


def test_locked_tables_alone_fail_the_tick_within_seconds(pulled: Office) -> None:
    began = time.monotonic()
    with pulled.pair.target.transaction():
        pulled.pair.target.execute("LOCK TABLE orgs, departments, staff, notices IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(SyncError, match=r"^looking for new phone rows failed"):
            tick(pulled)
    assert 4 < time.monotonic() - began < 60


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Returns a folder for Dagster's files."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    return folder


def test_rows_of_both_databases_arrive_under_the_daemon(pulled: Office, home: Path) -> None:
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, sys.path)]),
    }
    with dg.DagsterInstance.from_config(str(home)) as its_own:
        assert Office(pulled.pair, its_own).run().success
    pulled.phone_writes("Rain")
    pulled.pair.source.execute(PRODUCT)
    command = [sys.executable, "-m", "dagster._daemon", "run", "-m", "powerca_sync_tests.defs.daemon_definitions"]
    with (home / "log").open("w") as log:
        daemon = subprocess.Popen(command, env=environment, cwd=home, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_until(
            pulled.pair.source,
            "EXISTS (SELECT FROM notices JOIN office.calls ON called = 'book' WHERE notice_id = 100 AND body = 'Rain')",
            unless=lambda: daemon.poll() is not None,
            seconds=120,
        )
        # One is read through a view, and the sensor sees it change; the other by the schedule, after the refresh.
        pulled.pair.source.execute("UPDATE departments SET title = 'Law' WHERE dept_id = 10")
        pulled.pair.source.execute("UPDATE product_notices SET body = 'Open' WHERE notice_id = 1")
        wait_until(
            pulled.pair.target,
            "EXISTS (SELECT FROM notices JOIN departments ON title = 'Law' WHERE notice_id = 1 AND body = 'Open')",
            unless=lambda: daemon.poll() is not None,
            seconds=120,
        )
        assert daemon.poll() is None, (home / "log").read_text()
        with dg.DagsterInstance.from_config(str(home)) as its_own:
            steps = [
                {step.step_key for step in its_own.get_run_step_stats(run.run_id)}
                for run in its_own.get_runs(dg.RunsFilter(job_name="forward_incremental"))
            ]
        assert any("desktop_refresh" in run for run in steps)
        assert all("notices" not in run or "desktop_refresh" in run for run in steps), "no refresh starts another run"
    finally:
        daemon.send_signal(signal.SIGINT)
        daemon.wait(60)
