"""Deletes finished runs from Dagster's history after some time, so that it does not grow forever."""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import dagster as dg

from powerca_sync.defs.platform import delete_leftover_files, delete_run_completely, latest_runs_of_partitions
from powerca_sync.defs.schedules import build_schedule
from powerca_sync.operations import HISTORY_DAYS, RETENTION_CRON, History, Schedules
from powerca_sync.plain_text import counted

RETENTION_JOB: Final = "retention"
#: Seconds. Runs that one night does not delete are left to the next.
MAX_RUNTIME: Final = 60 * 60
LONGEST: Final = MAX_RUNTIME / 2
#: Runs that are read at a time.
BATCH: Final = 200
#: Failed runs are kept longer by this factor.
FAILED_TIMES: Final = 3
#: Runs in any other status are not finished.
FINISHED: Final = {
    dg.DagsterRunStatus.SUCCESS: 1,
    dg.DagsterRunStatus.CANCELED: 1,
    dg.DagsterRunStatus.FAILURE: FAILED_TIMES,
}


def build_retention(
    schedules: Schedules, history: History, *, checks: Sequence[dg.AssetCheckKey] = ()
) -> dg.Definitions:
    """Returns the job that deletes old runs, and its nightly schedule; `checks` are those with a state by office."""

    @dg.op(name="delete_old_runs", description="Deletes finished runs that have exceeded the retention time.")
    def delete_old_runs(context: dg.OpExecutionContext) -> None:
        """Delete run by run, each with its events, check results and logs."""
        began = time.monotonic()
        deleted = 0
        for run in old_runs(context.instance, history, checks):
            delete_run_completely(context.instance, run.run_id)
            deleted += 1
            if time.monotonic() - began > LONGEST:
                context.log.info("The time for one night is used up; the next one goes on.")
                break
        files = delete_leftover_files(context.instance)
        context.log.info(
            "Deleted %s that ended more than %s ago (%s).",
            counted(deleted, "run"),
            counted(history.days, "day"),
            counted(files, "file"),
        )

    @dg.job(
        name=RETENTION_JOB,
        description=(
            f"Deletes from Dagster's history the runs that ended more than {counted(history.days, 'day')} ago (set "
            f"by {HISTORY_DAYS}), failed ones after {counted(FAILED_TIMES * history.days, 'day')}. Runs that are not "
            "finished are never deleted, nor is the last run of a table. It touches neither the desktop nor mobile."
        ),
        executor_def=dg.in_process_executor,
        # Not the tables' IO manager, which needs both databases.
        resource_defs={"io_manager": dg.mem_io_manager},
        tags={"dagster/max_runtime": str(MAX_RUNTIME)},
    )
    def retention() -> None:
        delete_old_runs()

    def request(instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
        if next(old_runs(instance, history, checks), None):
            return dg.RunRequest()
        return dg.SkipReason(f"No run that may be deleted ended more than {counted(history.days, 'day')} ago.")

    nightly = build_schedule(
        RETENTION_JOB,
        schedules,
        RETENTION_CRON,
        f"Every night: deletes runs that ended more than {counted(history.days, 'day')} ago from Dagster's history.",
        not_beside=[RETENTION_JOB],
        request=request,
        max_runtime=MAX_RUNTIME,
    )
    return dg.Definitions(jobs=[retention], schedules=[nightly] if nightly else [])


def old_runs(
    instance: dg.DagsterInstance, history: History, checks: Sequence[dg.AssetCheckKey] = ()
) -> Iterator[dg.DagsterRun]:
    """Yields the finished runs to delete, the oldest first; the caller deletes each before it takes the next.

    The run that last materialized an asset, or an office's partition of it, is left out: without it, the UI would call
    the asset never materialized. So is the run that last evaluated one of the `checks` for an office.
    """
    now = datetime.fromtimestamp(time.time(), UTC)
    latest = _latest_runs(instance, checks)
    for status, times in FINISHED.items():
        over = dg.RunsFilter(statuses=[status], updated_before=now - timedelta(days=times * history.days))
        while expired := _expired(instance, over, latest):
            seen = len(expired)
            yield from expired
            if seen < BATCH:
                break


def _expired(instance: dg.DagsterInstance, over: dg.RunsFilter, latest: set[str]) -> Sequence[dg.DagsterRun]:
    records = instance.get_run_records(over, limit=BATCH + len(latest), order_by="update_timestamp", ascending=True)
    return [record.dagster_run for record in records if record.dagster_run.run_id not in latest]


def _latest_runs(instance: dg.DagsterInstance, checks: Sequence[dg.AssetCheckKey]) -> set[str]:
    events = (instance.get_latest_materialization_event(key) for key in instance.get_asset_keys())
    return {event.run_id for event in events if event is not None} | set(latest_runs_of_partitions(instance, checks))
