"""The job `retention` on a history in SQLite files: what it deletes and what it keeps."""

import contextlib
import sqlite3
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.event_log import SqliteEventLogStorage

from powerca_sync.defs import build_definitions
from powerca_sync.defs.platform import delete_leftover_files
from powerca_sync.defs.retention import old_runs
from powerca_sync.errors import ConfigurationError
from powerca_sync.operations import HISTORY_DAYS, RETENTION_CRON, History, Schedules
from powerca_sync_tests.defs.office import SPECS, Office

HISTORY = History(days=30)
DEFINITIONS = build_definitions(SPECS, history=HISTORY)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """Yields a history in SQLite files, the storage if no PostgreSQL is configured."""
    with dg.instance_for_test() as made:
        yield made


@contextlib.contextmanager
def in_days(days: float) -> Iterator[None]:
    """Sets the clock of this process ahead by a number of days."""
    now = time.time()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(time, "time", lambda: now + days * 86400)
        yield


def run_retention(instance: dg.DagsterInstance, days: float) -> None:
    """Runs the job a number of days from now."""
    with in_days(days):
        assert DEFINITIONS.resolve_job_def("retention").execute_in_process(instance=instance).success


def remaining(instance: dg.DagsterInstance) -> set[str]:
    return {run.run_id for run in instance.get_runs() if run.job_name != "retention"}


def traces(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    """Returns the traces of a run in the history: files and folders of its name, and tables with rows of it."""
    root = Path(instance.root_directory)
    found = [str(path.relative_to(root)) for path in root.rglob("*") if run_id in path.name]
    for path in root.rglob("*.db"):
        with contextlib.closing(sqlite3.connect(path)) as database:
            tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            for table in tables:
                columns = [column[1] for column in database.execute("SELECT * FROM pragma_table_info(?)", [table])]
                if "run_id" in columns and run_id in [row[columns.index("run_id")] for row in rows_of(database, table)]:
                    found.append(f"{path.stem}: {table}")
    return found


def rows_of(database: sqlite3.Connection, table: str) -> list[tuple[object, ...]]:
    return database.execute(f'SELECT * FROM "{table}"').fetchall()  # noqa: S608


def test_finished_runs_are_deleted_without_a_trace(office: Office) -> None:
    runs = [office.pull() for _ in range(3)]
    assert traces(office.instance, runs[0].run_id)
    checks = office.instance.event_log_storage.get_asset_check_execution_history
    key = dg.AssetCheckKey(dg.AssetKey(["reverse", "staff"]), "quarantine")
    assert len(checks(key, limit=10)) == 3
    run_retention(office.instance, 29)
    assert remaining(office.instance) == {run.run_id for run in runs}
    run_retention(office.instance, 31)
    assert remaining(office.instance) == {runs[-1].run_id}, "the last run of the tables"
    assert [record.run_id for record in checks(key, limit=10)] == [runs[-1].run_id]
    for run in runs[:-1]:
        assert traces(office.instance, run.run_id) == []
    event = office.instance.get_latest_materialization_event(dg.AssetKey(["reverse", "staff"]))
    assert event is not None
    assert event.run_id == runs[-1].run_id


def test_unfinished_run_is_never_deleted(instance: dg.DagsterInstance) -> None:
    job = DEFINITIONS.resolve_job_def("reverse")
    # A queued run needs a code server to be recorded; the filter treats it like the others.
    statuses = set(dg.DagsterRunStatus) - {dg.DagsterRunStatus.QUEUED}
    runs = {status: instance.create_run_for_job(job, status=status).run_id for status in statuses}
    finished = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
    with in_days(1000):
        found = {run.run_id for run in old_runs(instance, HISTORY)}
    assert found == {runs[status] for status in finished}
    run_retention(instance, 1000)
    assert remaining(instance) == set(runs.values()) - found


def test_failed_runs_are_kept_three_times_as_long(office: Office) -> None:
    office.pair.source.execute("ALTER TABLE notices RENAME TO notices_away")
    failed = office.pull("notices")
    assert not failed.success
    for days, kept in ((31, {failed.run_id}), (89, {failed.run_id}), (91, set())):
        run_retention(office.instance, days)
        assert remaining(office.instance) == kept


def test_more_runs_than_a_batch_are_deleted(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("powerca_sync.defs.retention.BATCH", 2)
    job = DEFINITIONS.resolve_job_def("reverse")
    for _ in range(5):
        instance.create_run_for_job(job, status=dg.DagsterRunStatus.SUCCESS)
    run_retention(instance, 31)
    assert not remaining(instance)


def test_only_files_without_a_run_are_deleted(instance: dg.DagsterInstance) -> None:
    job = DEFINITIONS.resolve_job_def("reverse")
    events = instance.event_log_storage
    assert isinstance(events, SqliteEventLogStorage)
    run_id = instance.create_run_for_job(job, status=dg.DagsterRunStatus.SUCCESS).run_id
    assert instance.all_logs(run_id)
    instance.report_runless_asset_event(dg.AssetMaterialization("by_hand"))
    folder = Path(events.path_for_shard("index")).parent
    before = {path.name for path in folder.iterdir()}
    for name in (f"{uuid.uuid4()}.db", "other.db"):
        (folder / name).touch()
    assert delete_leftover_files(instance) == 1
    assert {path.name for path in folder.iterdir()} == before | {"other.db"}


def test_schedule_skips_a_night_without_old_runs(instance: dg.DagsterInstance) -> None:
    schedule = DEFINITIONS.resolve_schedule_def("retention_schedule")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("30 4 * * *", "Asia/Kolkata")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    instance.create_run_for_job(DEFINITIONS.resolve_job_def("reverse"), status=dg.DagsterRunStatus.SUCCESS)
    for days, requests in ((29, 0), (31, 1)):
        with in_days(days):
            data = schedule.evaluate_tick(
                dg.build_schedule_context(instance, scheduled_execution_time=datetime.now(UTC))
            )
        assert len(data.run_requests or ()) == requests
        if not requests:
            assert data.skip_message == "No run that may be deleted ended more than 30 days ago."
    instance.create_run_for_job(DEFINITIONS.resolve_job_def("retention"), status=dg.DagsterRunStatus.STARTED)
    data = schedule.evaluate_tick(dg.build_schedule_context(instance, scheduled_execution_time=datetime.now(UTC)))
    assert "of `retention` is active" in str(data.skip_message)


def test_empty_cron_string_keeps_the_history_forever() -> None:
    off = Schedules(crons={**Schedules().crons, RETENTION_CRON: ""})
    assert not build_definitions(SPECS, schedules=off).get_repository_def().has_schedule_def("retention_schedule")


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "a month", "10000", "\u0663"])
def test_invalid_number_of_days_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{HISTORY_DAYS} is `{text}`, which is not a number of days"):
        History.from_env({HISTORY_DAYS: text}, env_file=None)
    assert History.from_env({HISTORY_DAYS: " 7 "}, env_file=None) == History(days=7)
    assert History.from_env({HISTORY_DAYS: ""}, env_file=None) == History() == HISTORY
