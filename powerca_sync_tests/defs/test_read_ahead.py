"""A run reads the next table while one is synced; what Dagster shows of each table is the same."""

import logging
import threading
from collections.abc import Iterator

import dagster as dg
import pytest

from powerca_sync.defs.keys import mobile_key
from powerca_sync.defs.mobile_io_manager import selected_tables
from powerca_sync.engine.forward import forward
from powerca_sync_tests.defs.office import (
    NOTICES,
    SPECS,
    STAFF,
    Office,
    failure,
    figures,
    materialized,
    office_definitions,
)
from powerca_sync_tests.helpers import ORGS

AT_ONCE = "POWERCA_TABLES_AT_ONCE"


@pytest.fixture
def lines(tmp_path, office: Office) -> Iterator[dg.DagsterInstance]:
    """Yields an instance that keeps the lines of the engine, as `dagster.yaml` does."""
    loggers = {"managed_python_loggers": ["powerca_sync"], "python_log_level": "INFO"}
    level = logging.getLogger("powerca_sync").level
    with dg.instance_for_test(overrides={"python_logs": loggers}, temp_dir=str(tmp_path)) as instance:
        office.instance = instance
        yield instance
    logging.getLogger("powerca_sync").setLevel(level)


def lines_by_step(instance: dg.DagsterInstance, run: dg.ExecuteInProcessResult) -> dict[str | None, list[str]]:
    """Returns the lines of the engine by the step in which they were logged, without times."""
    found: dict[str | None, list[str]] = {}
    for entry in instance.all_logs(run.run_id):
        if entry.dagster_event is None and entry.level == logging.INFO:
            found.setdefault(entry.step_key, []).append(entry.user_message)
    return found


@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_lines_and_figures_of_each_table_are_in_its_own_step(
    office: Office, lines: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    office.run()
    logged, counted = [], []
    for at_once in ("1", "2"):
        office.pair.source.execute(
            "UPDATE staff SET full_name = full_name || '.'; UPDATE notices SET body = body || '.'"
        )
        monkeypatch.setenv(AT_ONCE, at_once)
        result = office.run(mode)
        assert result.success
        logged.append(lines_by_step(lines, result))
        counted.append({name: figures(result, name)["updated"] for name in ("departments", "staff", "notices")})
    assert logged[0] == logged[1]
    assert {"staff", "notices"} <= logged[0].keys()
    assert counted == [{"departments": 0, "staff": 40, "notices": 1}] * 2


def test_tables_after_the_first_two_are_read_ahead(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    office.run()
    threads = []
    original = forward._sync_in_transaction

    def noted(*args: object, **rest: object) -> object:
        threads.append((args[0].spec.mobile, threading.current_thread() is threading.main_thread()))  # type: ignore[attr-defined]
        return original(*args, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(forward, "_sync_in_transaction", noted)
    assert office.run().success
    # One whose turn comes late is read again.
    assert {name for name, in_main in threads if not in_main} == {"notices", "staff"}


def test_table_skipped_after_a_failure_is_not_written(office: Office) -> None:
    office.run()
    office.pair.source.execute("ALTER TABLE departments DROP dept_id; UPDATE notices SET body = 'new'")
    office.pair.source.execute("UPDATE staff SET full_name = 'new'")
    result = office.run()
    assert materialized(result) == {"orgs", "notices"}
    assert "dept_id" in failure(result, "departments")
    assert office.pair.rows("SELECT count(*) FROM staff WHERE full_name = 'new'") == [(0,)]
    assert office.pair.rows("SELECT count(*) FROM notices WHERE body = 'new'") == [(1,)]


def test_only_selected_tables_are_read_ahead(office: Office) -> None:
    def selected(**rest: object) -> list[str]:
        run = dg.DagsterRun(job_name="forward_full", **rest)  # type: ignore[arg-type]
        return [spec.mobile for spec in selected_tables(run, SPECS)]

    every = [spec.mobile for spec in SPECS]
    assert selected() == every
    assert selected(asset_selection=frozenset({mobile_key(STAFF)})) == ["staff"]
    assert selected(asset_selection=frozenset()) == every
    assert selected(step_keys_to_execute=["orgs", "staff"]) == ["orgs", "staff"]
    assert selected_tables(dg.DagsterRun(job_name="other"), SPECS) == []
    job = office_definitions().resolve_job_def("forward_full")
    result = job.execute_in_process(
        instance=office.instance, asset_selection=[mobile_key(ORGS), mobile_key(NOTICES)], raise_on_error=False
    )
    run = office.instance.get_run_by_id(result.run_id)
    assert run is not None
    assert [spec.mobile for spec in selected_tables(run, SPECS)] == ["orgs", "notices"]
