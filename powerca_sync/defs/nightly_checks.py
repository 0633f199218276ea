"""The job `checks` and its schedule: every night, the checks that are no part of a sync."""

from collections.abc import Sequence
from typing import Final

import dagster as dg

from powerca_sync.defs.jobs import MAX_RUNTIME
from powerca_sync.defs.partitions import job_config
from powerca_sync.defs.schedules import build_schedule
from powerca_sync.operations import CHECKS_CRON, Schedules

CHECKS_JOB: Final = "checks"


def build_nightly_checks(keys: Sequence[dg.AssetCheckKey], schedules: Schedules, *, by_office: bool) -> dg.Definitions:
    """Returns the job of these checks and its schedule, by office without one; nothing without checks."""
    if not keys:
        return dg.Definitions()
    job = dg.define_asset_job(
        CHECKS_JOB,
        selection=dg.AssetSelection.checks(*keys),
        description="The checks of all tables that are no part of a sync. Compares both databases, and moves no rows.",
        config=job_config({}, by_office=by_office),
        executor_def=dg.in_process_executor,
        tags={"dagster/max_runtime": str(MAX_RUNTIME)},
    )
    if by_office:
        return dg.Definitions(jobs=[job])
    # Their pool queues them behind a full run that takes longer than usual.
    nightly = build_schedule(
        CHECKS_JOB,
        schedules,
        CHECKS_CRON,
        "Every night, after the full run: the checks that are no part of a sync.",
        not_beside=[CHECKS_JOB],
    )
    return dg.Definitions(jobs=[job], schedules=[nightly] if nightly else [])
