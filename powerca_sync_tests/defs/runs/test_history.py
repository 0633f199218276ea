"""Backoff of tables after failures, on real runs of a small job."""

from collections.abc import Iterator

import dagster as dg
import pytest

from powerca_sync.defs.runs import Failures, recent_failures

BROKEN: set[str] = set()
PARENT, CHILD, OTHER = KEYS = [dg.AssetKey(name) for name in ("parent", "child", "other")]


def build_asset(key: dg.AssetKey, *deps: dg.AssetKey) -> dg.AssetsDefinition:
    @dg.asset(key=key, deps=deps, required_resource_keys={"wire"})
    def asset() -> None:
        if key.to_user_string() in BROKEN:
            raise dg.Failure("broken")

    return asset


@dg.resource
def wire() -> None:
    if "wire" in BROKEN:
        raise dg.Failure("no answer")


DEFINITIONS = dg.Definitions(
    assets=[build_asset(PARENT), build_asset(CHILD, PARENT), build_asset(OTHER)],
    jobs=[dg.define_asset_job("job")],
    resources={"wire": wire},
    executor=dg.in_process_executor,
)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    BROKEN.clear()
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def run(instance: dg.DagsterInstance, *broken: str, only: list[dg.AssetKey] | None = None) -> None:
    BROKEN.clear()
    BROKEN.update(broken)
    job = DEFINITIONS.resolve_job_def("job")
    job.execute_in_process(instance=instance, asset_selection=only, raise_on_error=False)


def counts(instance: dg.DagsterInstance) -> dict[str, int]:
    return {key.to_user_string(): failures.count for key, failures in recent_failures(instance, "job", KEYS).items()}


def test_no_backoff_before_a_failure(instance: dg.DagsterInstance) -> None:
    assert counts(instance) == {}
    run(instance)
    assert counts(instance) == {}


def test_each_table_counts_its_own_failures(instance: dg.DagsterInstance) -> None:
    run(instance, "child")
    run(instance, "child", "other")
    assert counts(instance) == {"child": 2, "other": 1}


def test_table_skipped_because_of_another_has_not_failed(instance: dg.DagsterInstance) -> None:
    run(instance, "parent")
    assert counts(instance) == {"parent": 1}


def test_success_resets_the_count(instance: dg.DagsterInstance) -> None:
    run(instance, "other", "child")
    run(instance, only=[OTHER])
    assert counts(instance) == {"child": 1}
    run(instance, "other")
    assert counts(instance) == {"other": 1}


def test_run_that_failed_before_its_steps_counts_for_its_tables(instance: dg.DagsterInstance) -> None:
    run(instance, "wire", only=[OTHER])
    assert counts(instance) == {"other": 1}
    run(instance, "wire")
    assert counts(instance) == {"parent": 1, "child": 1, "other": 2}


def test_runs_of_another_job_do_not_count(instance: dg.DagsterInstance) -> None:
    BROKEN.add("other")
    dg.materialize([build_asset(OTHER)], instance=instance, resources={"wire": wire}, raise_on_error=False)
    assert counts(instance) == {}


@pytest.mark.parametrize(("count", "minutes"), [(1, 2), (2, 4), (3, 8), (4, 16), (5, 32), (6, 60), (30, 60)])
def test_backoff_doubles_up_to_an_hour(count: int, minutes: int) -> None:
    failures = Failures(count=count, last=1_000_000.0)
    assert failures.remaining_backoff(now=1_000_000.0) == minutes * 60
    assert failures.remaining_backoff(now=1_000_000.0 + minutes * 60 - 1) == 1
    assert failures.remaining_backoff(now=1_000_000.0 + minutes * 60) == 0
