"""What Dagster's history says of a job now: whether it is under way."""

import time
from collections.abc import Collection
from typing import Final

import dagster as dg

_WAITING: Final = (dg.DagsterRunStatus.QUEUED,)
_RUNNING: Final = (
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


def active_run(
    instance: dg.DagsterInstance, job: str, keys: Collection[dg.AssetKey], *, max_runtime: float
) -> dg.DagsterRun | None:
    """A run of the job, or one by hand of some of its assets, that waits or runs; None if there is none.

    A run that began longer ago than it may take is none: its process was killed, and nobody told Dagster.
    """
    oldest = time.time() - max_runtime
    for record in instance.get_run_records(dg.RunsFilter(statuses=[*_WAITING, *_RUNNING])):
        run = record.dagster_run
        concerned = run.job_name == job or any(key in keys for key in run.asset_selection or ())
        began = record.start_time or record.create_timestamp.timestamp()
        if concerned and (run.status in _WAITING or began > oldest):
            return run
    return None
