"""When schedules start jobs: time zone, skipped ticks, and ticks missed while the machine was off."""

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._core.test_utils import create_test_daemon_workspace_context, freeze_time
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget
from dagster._daemon.freshness import FreshnessDaemon
from dagster._scheduler.scheduler import launch_scheduled_runs
from dagster_graphql.test.utils import execute_dagster_graphql

from powerca_sync.definitions import defs
from powerca_sync.defs.keys import reverse_key
from powerca_sync.defs.runs import REPORT
from powerca_sync.defs.schedules import build_schedules
from powerca_sync.errors import ConfigurationError
from powerca_sync.operations import DEFAULTS, Schedules
from powerca_sync.settings import DesktopFunctions
from powerca_sync.specs import BY_HAND, Category
from powerca_sync.tables import TABLES

OFFICE = ZoneInfo(DEFAULTS["POWERCA_TZ"])
#: The schedules that sync, and the variables with their cron strings.
CRONS = {
    "forward_full_schedule": "POWERCA_FULL_CRON",
    "forward_incremental_schedule": "POWERCA_INCREMENTAL_CRON",
    "reverse_schedule": "POWERCA_REVERSE_CRON",
}


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


@pytest.fixture
def workspace(instance: dg.DagsterInstance) -> Iterator[WorkspaceProcessContext]:
    """Yields the definitions, loaded by a code server as the daemon does."""
    target = ModuleTarget("powerca_sync.definitions", None, ".", "powerca_sync")
    with create_test_daemon_workspace_context(target, instance) as made:
        yield made


def tick(workspace: WorkspaceProcessContext, now: datetime) -> None:
    """Evaluates the scheduler once at that time; no run is started, they stay in the queue."""
    with freeze_time(now):
        list(launch_scheduled_runs(workspace, logging.getLogger(), end_datetime_utc=now, iteration_times={}))


def evaluate(name: str, instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    schedule = defs.resolve_schedule_def(name)
    data = schedule.evaluate_tick(dg.build_schedule_context(instance, scheduled_execution_time=datetime.now(OFFICE)))
    return data.run_requests[0] if data.run_requests else dg.SkipReason(data.skip_message)


def under_way(instance: dg.DagsterInstance, job: str, status: dg.DagsterRunStatus) -> dg.DagsterRun:
    """Creates a run as if another process had started it."""
    return instance.create_run_for_job(defs.resolve_job_def(job), status=status)


@pytest.mark.parametrize(("name", "variable"), CRONS.items())
def test_schedules_run_by_default_in_the_offices_time_zone(name: str, variable: str) -> None:
    schedule = defs.resolve_schedule_def(name)
    assert schedule.cron_schedule == DEFAULTS[variable]
    assert schedule.execution_timezone == "Asia/Kolkata"
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert schedule.job_name == name.removesuffix("_schedule")
    assert variable in (schedule.description or "")


def test_schedule_omits_tables_reverse_synced_by_hand(instance: dg.DagsterInstance) -> None:
    request = evaluate("reverse_schedule", instance)
    assert isinstance(request, dg.RunRequest)
    assert set(request.asset_selection or ()) == {reverse_key(spec) for spec in TABLES if spec.reverse is True}
    assert all(spec.reverse == BY_HAND for spec in TABLES if spec.category is Category.MASTERS)


@pytest.mark.parametrize(("name", "variable"), CRONS.items())
def test_empty_cron_string_switches_off_only_its_schedule(name: str, variable: str) -> None:
    left = build_schedules(TABLES, Schedules(crons={**Schedules().crons, variable: ""}), DesktopFunctions())
    assert {schedule.name for schedule in left} == set(CRONS) - {name}


@pytest.mark.parametrize("variable", CRONS.values())
@pytest.mark.parametrize("cron", ["at night", "0 25 * * *", "0 0 2 * * *", "0 0 31 2 *"])
def test_invalid_cron_string_names_its_variable(variable: str, cron: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        build_schedules(TABLES, Schedules(crons={**Schedules().crons, variable: cron}), DesktopFunctions())
    assert str(caught.value).startswith(f"{variable} is `{cron}`, which is not a valid cron string.")


@pytest.mark.parametrize("name", CRONS)
def test_tick_requests_a_run_while_none_is_in_progress(instance: dg.DagsterInstance, name: str) -> None:
    for done in (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED):
        under_way(instance, name.removesuffix("_schedule"), done)
    request = evaluate(name, instance)
    assert isinstance(request, dg.RunRequest)
    # With a run key, Dagster would never start again what has failed once.
    assert request.run_key is None


@pytest.mark.parametrize("name", CRONS)
@pytest.mark.parametrize("status", [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.CANCELING])
def test_tick_is_skipped_while_a_run_of_its_job_is_in_progress(
    instance: dg.DagsterInstance, name: str, status: dg.DagsterRunStatus
) -> None:
    run = under_way(instance, name.removesuffix("_schedule"), status)
    skipped = evaluate(name, instance)
    assert isinstance(skipped, dg.SkipReason)
    assert f"Run {run.run_id} of `{run.job_name}` is active ({status.value.lower()})" in str(skipped.skip_message)


def test_only_an_incremental_run_yields_to_the_other_mode(instance: dg.DagsterInstance) -> None:
    under_way(instance, "forward_incremental", dg.DagsterRunStatus.STARTED)
    assert isinstance(evaluate("forward_full_schedule", instance), dg.RunRequest)
    under_way(instance, "forward_full", dg.DagsterRunStatus.STARTING)
    assert isinstance(evaluate("forward_incremental_schedule", instance), dg.SkipReason)


def test_run_of_the_sensor_does_not_replace_a_tick(instance: dg.DagsterInstance) -> None:
    run = under_way(instance, "forward_incremental", dg.DagsterRunStatus.STARTED)
    instance.add_run_tags(run.run_id, {"dagster/sensor_name": "desktop_rows"})
    assert isinstance(evaluate("forward_incremental_schedule", instance), dg.RunRequest)


def test_directions_do_not_block_each_other(instance: dg.DagsterInstance) -> None:
    under_way(instance, "reverse", dg.DagsterRunStatus.STARTED)
    assert isinstance(evaluate("forward_incremental_schedule", instance), dg.RunRequest)
    under_way(instance, "forward_full", dg.DagsterRunStatus.STARTED)
    run = next(iter(instance.get_runs(filters=dg.RunsFilter(job_name="reverse"))))
    instance.report_run_canceled(run)
    assert isinstance(evaluate("reverse_schedule", instance), dg.RunRequest)


def test_table_synced_by_hand_counts_as_a_run(instance: dg.DagsterInstance) -> None:
    table = dg.AssetKey("climaster")
    by_hand = defs.resolve_implicit_job_def_def_for_assets([table])
    assert by_hand is not None
    instance.create_run_for_job(by_hand, status=dg.DagsterRunStatus.STARTED, asset_selection=frozenset({table}))
    assert isinstance(evaluate("forward_incremental_schedule", instance), dg.SkipReason)
    assert isinstance(evaluate("reverse_schedule", instance), dg.RunRequest)


def test_machine_that_was_off_catches_up_with_one_run(
    instance: dg.DagsterInstance, workspace: WorkspaceProcessContext
) -> None:
    monday = datetime(2031, 3, 3, 21, 30, tzinfo=OFFICE)
    tick(workspace, monday)
    assert instance.get_runs_count() == 0
    # Off for three nights and days; on again in the morning, between two ticks.
    tick(workspace, monday + timedelta(days=2, hours=12, minutes=8))
    started = sorted(run.job_name for run in instance.get_runs())
    # One full run for all the nights. An incremental run that is already in the queue yields to it.
    assert [job for job in started if job != "forward_incremental"] == ["checks", "forward_full", "report", "reverse"]
    assert started.count("forward_incremental") <= 1
    tick(workspace, monday + timedelta(days=2, hours=12, minutes=9))
    assert instance.get_runs_count() == len(started)


FRESHNESS = "{ assetNodes { assetKey { path } freshnessStatusInfo { freshnessStatus } } }"


@dg.asset(key="climaster")
def _climaster() -> None:
    """Stands in for a sync of the table."""


def test_table_not_synced_for_a_day_is_shown_as_late(
    instance: dg.DagsterInstance, workspace: WorkspaceProcessContext
) -> None:
    key = dg.AssetKey("climaster")
    assert dg.materialize([_climaster], instance=instance).success

    def shown(hours: float) -> str:
        """Returns the answer to the UI's query a number of hours later."""
        with freeze_time(datetime.now(OFFICE) + timedelta(hours=hours)):
            list(FreshnessDaemon().run_iteration(workspace))
            answer = execute_dagster_graphql(workspace.create_request_context(), FRESHNESS)
        (node,) = (node for node in answer.data["assetNodes"] if node["assetKey"]["path"] == key.path)
        return str(node["freshnessStatusInfo"]["freshnessStatus"])

    assert [shown(hours) for hours in (0, 23.9, 24.1, 48.1)] == ["HEALTHY", "HEALTHY", "WARNING", "DEGRADED"]


def test_every_synced_asset_has_a_freshness_policy() -> None:
    graph = defs.resolve_asset_graph()
    watched = {node.key for node in graph.asset_nodes if node.freshness_policy}
    by_hand = {reverse_key(spec) for spec in TABLES if spec.reverse == BY_HAND}
    assert watched == graph.materializable_asset_keys - {REPORT} - by_hand
