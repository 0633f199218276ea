"""A failed table stops only tables that need its rows; order-only dependents are synced in a follow-up."""

import dataclasses
from collections.abc import Sequence

import dagster as dg
import pytest
from dagster._core.storage.tags import REPOSITORY_LABEL_TAG
from typing_extensions import override

from powerca_sync.defs import build_definitions
from powerca_sync.defs.alerts.problems import find_problems
from powerca_sync.defs.follow_up import FOLLOWS, build_follow_up, tables_to_follow
from powerca_sync.defs.jobs import build_jobs
from powerca_sync.defs.keys import mobile_key
from powerca_sync.defs.runs.in_process import CODE_LOCATION, run_forward, run_reverse
from powerca_sync.defs.translator import TableTranslator
from powerca_sync.engine.requests import Allowances, Choice, Mode
from powerca_sync.settings import DesktopFunctions
from powerca_sync.specs import TableSpec, in_order
from powerca_sync.tables import TABLES
from powerca_sync_tests.defs.office import DEPARTMENT, DEPARTMENTS, NOTICES, ORG, ORGS, STAFF, Office, materialized

#: Depends on departments for the order only.
ORDERED = dataclasses.replace(
    STAFF, references=(ORG, dataclasses.replace(DEPARTMENT, order_only=True)), lookups=(), mobile="staff"
)
SPECS = in_order((ORGS, DEPARTMENTS, ORDERED, NOTICES))


def names(failed: set[str]) -> set[str]:
    """Returns the tables to follow up when these fail and all their descendants are skipped."""
    skipped = set[str]()
    for spec in TABLES:
        if spec.mobile not in failed and (failed | skipped).intersection(spec.depends_on):
            skipped.add(spec.mobile)
    return {spec.mobile for spec in tables_to_follow(TABLES, failed=failed, skipped=skipped)}


def test_only_tables_that_need_the_rows_are_left_out() -> None:
    need_concerns = {"cliunimaster", "taskmaster", "jobmaster", "workdiary", "learequest"}
    assert names({"conmaster"}) == {
        *("climaster", "mbstaff", "jobshead", "jobtasks", "taskchecklist", "reminder", "remdetail")
    }
    assert not names({"conmaster"}) & need_concerns
    assert "jobtasks" not in names({"jobshead"})
    assert names({"orgmaster"}) == set()


@pytest.fixture
def broken(office: Office) -> Office:
    """Renames the table of departments on mobile."""
    office.pair.target.execute("DROP TABLE departments CASCADE")
    return office


def forward(office: Office, instance: dg.DagsterInstance) -> dict[str, str]:
    outcome = run_forward(
        SPECS,
        mode=Mode.FULL,
        only=SPECS,
        allowances=Allowances(),
        instance=instance,
        say=lambda _: None,
        detail=lambda _: None,
        moving=lambda _: None,
    )
    return {table.table: table.verdict.value for table in outcome.tables}


def test_command_syncs_them_in_a_follow_up(broken: Office) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        found = forward(broken, instance)
        runs = instance.get_runs()
    assert found == {"orgs": "ok", "departments": "failed", "staff": "ok", "notices": "ok"}
    follow_up, first = runs
    assert {run.tags[REPOSITORY_LABEL_TAG] for run in runs} == {f"__repository__@{CODE_LOCATION}"}
    assert follow_up.tags[FOLLOWS] == first.run_id
    assert broken.pair.one("SELECT count(*) > 0 FROM staff") is True


def test_reverse_has_a_follow_up_too(office: Office) -> None:
    office.pair.source.execute("DROP TABLE departments")
    with dg.DagsterInstance.ephemeral() as instance:
        outcome = run_reverse(
            SPECS,
            only=SPECS,
            again=False,
            lookalikes=Choice.HOLD,
            instance=instance,
            say=lambda _: None,
            detail=lambda _: None,
            moving=lambda _: None,
        )
    assert {table.table: table.verdict.value for table in outcome.tables}["staff"] == "ok"


CHECKS = [dg.AssetCheckKey(mobile_key(table), "rows") for table in (ORGS, STAFF)]


def evaluate(
    instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult, specs: Sequence[TableSpec] = SPECS
) -> list[dg.RunRequest | dg.SkipReason]:
    """Returns the answers of the sensor to a failed run."""
    sensor = build_follow_up(specs, list(build_jobs(specs, DesktopFunctions(), separate=[]).jobs or ()), checks=CHECKS)
    context = dg.build_run_status_sensor_context(
        sensor_name="follow_up",
        dagster_event=result.get_run_failure_event(),
        dagster_instance=instance,
        dagster_run=result.dagster_run,
    ).for_run_failure()
    return list(sensor(context))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tags", "followed"), [({}, True), ({FOLLOWS: "a run"}, False), ({"user": "powerca-sync"}, False)]
)
def test_sensor_requests_one_follow_up(broken: Office, tags: dict[str, str], followed: bool) -> None:
    result = broken.run(specs=SPECS, tags=tags)
    assert not result.success
    (answer,) = evaluate(broken.instance, result)
    if not followed:
        assert isinstance(answer, dg.SkipReason)
        return
    assert isinstance(answer, dg.RunRequest)
    assert answer.asset_selection == [mobile_key(STAFF)]
    assert answer.asset_check_keys == CHECKS[1:]
    assert (answer.job_name, answer.tags[FOLLOWS]) == ("forward_full", result.run_id)
    assert answer.run_config == {"resources": {"sync": {"config": {"mode": "full"}}}}


class Strict(TableTranslator):
    """Stops before the tables after departments if their columns differ."""

    @override
    def drift_blocks(self, spec: TableSpec) -> bool:
        return spec.mobile == "departments"


def test_schema_drift_may_stop_the_tables_after_one(office: Office) -> None:
    office.pair.source.execute("ALTER TABLE departments ADD head text")
    specs = (ORGS, DEPARTMENTS, STAFF, NOTICES)
    job = build_definitions(specs, translator=Strict()).resolve_job_def("forward_full")
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(instance=instance, raise_on_error=False)
        assert {check.check_name for check in result.get_asset_check_evaluations()} >= {"schema_drift"}
        assert materialized(result) == {"orgs", "departments", "notices"}
        found = find_problems(instance, instance.get_run_records())
        problems = {key for key, problem in found.outcomes.items() if problem}
        assert problems == {"departments, check schema_drift"}
        (answer,) = evaluate(instance, result, specs)
    assert isinstance(answer, dg.SkipReason), "a follow-up would sync the tables after all"
