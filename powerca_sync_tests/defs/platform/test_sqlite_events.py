"""The SQLite event log keeps its connections, and what it stores is what Dagster's own class reads."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psutil
import pytest

# Private, but Dagster's own class is what the files have to be readable for.
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.sqlite import sqlite_event_log

from powerca_sync.defs.platform.sqlite_events import KEPT, KeptSqliteEventLog
from powerca_sync.defs.runs.in_process import open_instance


@dg.asset
def first() -> None: ...


@dg.asset(deps=[first], check_specs=[dg.AssetCheckSpec("checked", asset="second")])
def second() -> Iterator[dg.MaterializeResult[None]]:
    yield dg.MaterializeResult(check_results=[dg.AssetCheckResult(check_name="checked", passed=True)])


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.delenv("DAGSTER_POSTGRES_HOST", raising=False)
    monkeypatch.chdir(tmp_path)
    with open_instance(tmp_path) as opened:
        yield opened


def run(instance: dg.DagsterInstance) -> str:
    return dg.materialize([first, second], instance=instance).run_id


def open_files(instance: dg.DagsterInstance) -> list[str]:
    # SQLite may have a file open twice.
    folder = str(Path(instance.event_log_storage.path_for_shard("index")).parent)
    paths = (file.path for file in psutil.Process().open_files())
    return [path for path in paths if path.startswith(folder) and path.endswith(".db")]


def test_files_used_last_stay_open_once(instance: dg.DagsterInstance) -> None:
    runs = [run(instance) for _ in range(2 * KEPT)]
    assert {Path(path).stem for path in open_files(instance)} == {"index", *runs[1 - KEPT :]}
    instance.event_log_storage.dispose()
    assert open_files(instance) == []


def test_dagster_reads_the_same_history(instance: dg.DagsterInstance) -> None:
    events = instance.event_log_storage
    assert isinstance(events, KeptSqliteEventLog)
    run_id = run(instance)
    stored = instance.all_logs(run_id)
    assert stored[-1].dagster_event_type is dg.DagsterEventType.RUN_SUCCESS
    own = SqliteEventLogStorage(str(Path(events.path_for_shard("index")).parent))
    assert own.get_logs_for_run(run_id) == stored
    latest = own.get_latest_materialization_events([dg.AssetKey("second")])[dg.AssetKey("second")]
    assert latest is not None
    assert latest.run_id == run_id


def test_runs_are_recorded_after_the_history_was_wiped(instance: dg.DagsterInstance) -> None:
    run(instance)
    instance.wipe()
    assert instance.get_latest_materialization_event(dg.AssetKey("second")) is None
    run_id = run(instance)
    assert instance.all_logs(run_id)[-1].dagster_event_type is dg.DagsterEventType.RUN_SUCCESS


def test_file_with_a_revision_is_opened_without_loading_migrations(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = run(instance)
    events = instance.event_log_storage
    assert isinstance(events, KeptSqliteEventLog)
    opened = KeptSqliteEventLog(str(Path(events.path_for_shard("index")).parent))
    opened.register_instance(instance)

    def load_migrations(*_: object) -> None:
        raise AssertionError("loaded the migrations")

    monkeypatch.setattr(sqlite_event_log, "check_alembic_revision", load_migrations)
    assert opened.get_logs_for_run(run_id) == instance.all_logs(run_id)
    with pytest.raises(AssertionError, match="loaded the migrations"):
        opened.get_logs_for_run("a-new-run")
