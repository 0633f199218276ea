"""The follow-up of a run: tables that were skipped although they need no row of a failed table.

Dagster skips whatever comes after a failed asset. Some tables come after others for order only; these are synced in one
further run that starts at once and is never followed itself.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import dagster as dg

from powerca_sync.defs.checks import SCHEMA_DRIFT
from powerca_sync.defs.jobs import REVERSE_JOB, forward_job_name
from powerca_sync.defs.keys import REVERSE, mobile_key, reverse_key
from powerca_sync.defs.partitions import office_of, office_tags
from powerca_sync.defs.runs import DIRECTION, directions_of
from powerca_sync.engine.requests import Mode
from powerca_sync.specs import TableSpec, in_order, needed_tables

#: Tag: the run that a follow-up follows.
FOLLOWS: Final = "follows"
#: Tag of runs that start their follow-up themselves, and its value.
STARTED_BY: Final = "user"
COMMAND: Final = "powerca-sync"


def tables_to_follow(
    specs: Sequence[TableSpec], *, failed: Collection[str], skipped: Collection[str]
) -> tuple[TableSpec, ...]:
    """Returns the `skipped` tables that need no row of a `failed` table, directly or indirectly.

    `specs` are ordered parents first; `failed` and `skipped` are mobile names.
    """
    unfit = set(failed)
    ready = []
    for spec in specs:
        if spec.mobile not in skipped:
            continue
        if unfit.intersection(needed_tables(spec)):
            unfit.add(spec.mobile)
        else:
            ready.append(spec)
    return tuple(ready)


def build_follow_up(
    specs: Sequence[TableSpec], jobs: Sequence[Any], *, checks: Collection[dg.AssetCheckKey] = ()
) -> dg.SensorDefinition:
    """Returns a sensor that requests the follow-up of a failed run, started by a schedule, a sensor or the UI.

    `jobs` are those that move rows, `checks` those that their runs evaluate.
    """

    @dg.run_failure_sensor(
        name="follow_up",
        minimum_interval_seconds=10,
        default_status=dg.DefaultSensorStatus.RUNNING,
        request_jobs=list(jobs),
        description=("Syncs at once the tables that a failed run skipped although they need no row of a failed table."),
    )
    def follow_up(context: dg.RunFailureSensorContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        run = context.dagster_run
        directions = directions_of(context.instance, run)
        if not directions or FOLLOWS in run.tags or run.tags.get(STARTED_BY) == COMMAND:
            yield dg.SkipReason("The run is a follow-up, makes its own, or moves no rows.")
            return
        requests = [_request(context.instance, run, specs, direction, checks) for direction in directions]
        if not any(requests):
            yield dg.SkipReason("Each skipped table needs rows of one that failed.")
        yield from filter(None, requests)

    return follow_up


def _request(
    instance: dg.DagsterInstance,
    run: dg.DagsterRun,
    specs: Sequence[TableSpec],
    direction: str,
    checks: Collection[dg.AssetCheckKey],
) -> dg.RunRequest | None:
    """Returns the follow-up of a failed run in one of its directions; None if it skipped no table without need."""
    key = reverse_key if direction == REVERSE else mobile_key
    moved = [spec for spec in in_order(specs) if spec.reverse or direction != REVERSE]
    ready = _skipped_without_reason(instance, run, moved, key)
    if not ready:
        return None
    keys = [key(spec) for spec in ready]
    return dg.RunRequest(
        run_key=f"{direction} follow-up of {run.run_id}",
        job_name=_job(run, direction),
        asset_selection=keys,
        asset_check_keys=[check for check in checks if check.asset_key in keys],
        run_config=_same_resources(run, direction),
        tags={FOLLOWS: run.run_id, **office_tags(office_of(run))},
    )


def _skipped_without_reason(
    instance: dg.DagsterInstance,
    run: dg.DagsterRun,
    specs: Sequence[TableSpec],
    key: Callable[[TableSpec], dg.AssetKey],
) -> tuple[TableSpec, ...]:
    steps = {step.step_key: getattr(step.status, "value", "") for step in instance.get_run_step_stats(run.run_id)}
    if "FAILURE" not in steps.values():
        # The run was cancelled; the next run syncs the tables that have not begun.
        return ()
    selected = [spec for spec in specs if not run.asset_selection or key(spec) in run.asset_selection]
    ended = {spec.mobile: steps.get(key(spec).to_python_identifier(), "") for spec in selected}
    blocked = [spec.mobile for spec in selected if steps.get(_drift_step(key(spec))) == "FAILURE"]
    failed = [*blocked, *(name for name, status in ended.items() if status == "FAILURE")]
    # A step downstream of a failed one has no event.
    return tables_to_follow(selected, failed=failed, skipped=[name for name, status in ended.items() if not status])


def _drift_step(key: dg.AssetKey) -> str:
    """Returns the step of the check by which a table stops those after it."""
    return f"{key.to_python_identifier()}_{SCHEMA_DRIFT}"


def _job(run: dg.DagsterRun, direction: str) -> str:
    """Returns the job of the run; for a run of assets instead of a job, the full job of its direction."""
    if DIRECTION in run.tags:
        return run.job_name
    return REVERSE_JOB if direction == REVERSE else forward_job_name(Mode.FULL)


def _same_resources(run: dg.DagsterRun, direction: str) -> dict[str, Any]:
    """Returns the mode of the run, from its configuration or its job."""
    configured: Mapping[str, Any] = dict(run.run_config).get("resources", {})  # type: ignore[assignment]
    if direction == REVERSE:
        return {"resources": {"pull": configured["pull"]}} if "pull" in configured else {}
    mode = Mode.INCREMENTAL if run.job_name == forward_job_name(Mode.INCREMENTAL) else Mode.FULL
    return {"resources": {"sync": configured.get("sync", {"config": {"mode": mode.value}})}}
