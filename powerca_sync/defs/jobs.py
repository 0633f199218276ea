"""The jobs: all tables forward, in either mode, and all phone rows in reverse."""

from collections.abc import Sequence

import dagster as dg

from powerca_sync.defs.keys import mobile_key, reverse_key
from powerca_sync.defs.resources import PullMode, SyncMode
from powerca_sync.defs.reverse_assets import pulled_tables
from powerca_sync.engine.requests import Mode
from powerca_sync.specs import TableSpec

#: Seconds after which Dagster's run monitoring ends a run that has lost its process, so that the next can start.
MAX_RUNTIME = 2 * 60 * 60
#: Phone rows are few, and while a run is active no other reverse run starts.
REVERSE_MAX_RUNTIME = 30 * 60
DESCRIPTIONS = {
    Mode.FULL: "Every row of every table, from the desktop to mobile; what is equal there already is not written.",
    Mode.INCREMENTAL: (
        "Rows that changed on the desktop since the last run. Masters, and tables without a usable watermark, are read "
        "in full."
    ),
}
#: The job that reverse-syncs all phone rows.
REVERSE_JOB = "reverse"


def forward_job_name(mode: Mode) -> str:
    """Returns the name of the job that syncs all tables forward in that mode."""
    return f"forward_{mode.value}"


def build_jobs(specs: Sequence[TableSpec], *, separate: Sequence[dg.AssetCheckKey]) -> dg.Definitions:
    """Returns one forward job for each mode, and a reverse job if any table is reverse-synced.

    Their launchpads begin with every option and its default. Checks in the step of a load are part of a job; `separate`
    ones are not. Steps run in one process: a process for each table would cost more than most tables take.
    """
    keys = [mobile_key(spec.mobile) for spec in specs]
    tables = dg.AssetSelection.assets(*keys) - dg.AssetSelection.checks(*separate)
    jobs = [
        dg.define_asset_job(
            forward_job_name(mode),
            selection=tables,
            description=DESCRIPTIONS[mode],
            config={"resources": {"sync": {"config": SyncMode(mode=mode.value).model_dump()}}},
            executor_def=dg.in_process_executor,
            tags={"dagster/max_runtime": str(MAX_RUNTIME), "direction": "forward"},
        )
        for mode in Mode
    ]
    if pulled := pulled_tables(specs):
        jobs.append(
            dg.define_asset_job(
                REVERSE_JOB,
                selection=[reverse_key(spec.mobile) for spec in pulled],
                description="All phone rows that the desktop does not have yet, and quarantined ones.",
                config={"resources": {"pull": {"config": PullMode().model_dump()}}},
                executor_def=dg.in_process_executor,
                tags={"dagster/max_runtime": str(REVERSE_MAX_RUNTIME), "direction": "reverse"},
            )
        )
    return dg.Definitions(jobs=jobs)
