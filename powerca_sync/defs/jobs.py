"""The jobs: all tables forward, in either mode."""

from collections.abc import Iterable

import dagster as dg

from powerca_sync.defs.keys import mobile_key
from powerca_sync.engine.extract import Mode
from powerca_sync.tables import TableSpec

#: Seconds after which Dagster's run monitoring ends a run whose process is gone, so that the next one can start.
MAX_RUNTIME = 2 * 60 * 60
DESCRIPTIONS = {
    Mode.FULL: "Every row of every table, from the desktop to mobile; what is equal there already is not written.",
    Mode.INCREMENTAL: (
        "What changed at the desktop since the last run. Masters, and tables whose changes cannot be told, are read in "
        "full all the same."
    ),
}


def forward_job_name(mode: Mode) -> str:
    """The name of the job that runs all tables forward in that mode."""
    return f"forward_{mode.value}"


def build_jobs(specs: Iterable[TableSpec]) -> dg.Definitions:
    """One job for each mode.

    Steps run in one process: a process for each table would cost more than most tables take.
    """
    selection = [mobile_key(spec.mobile) for spec in specs]
    jobs = [
        dg.define_asset_job(
            forward_job_name(mode),
            selection=selection,
            description=DESCRIPTIONS[mode],
            config={"resources": {"sync": {"config": {"mode": mode.value}}}},
            executor_def=dg.in_process_executor,
            tags={"dagster/max_runtime": str(MAX_RUNTIME), "direction": "forward"},
        )
        for mode in Mode
    ]
    return dg.Definitions(jobs=jobs)
