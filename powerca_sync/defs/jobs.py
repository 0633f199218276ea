"""The jobs: all tables forward, in either mode, and all phone rows in reverse."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import dagster as dg

from powerca_sync.defs.keys import BOOKING, REFRESH, mobile_key, reverse_key
from powerca_sync.defs.load_factory import LoadFactory
from powerca_sync.defs.partitions import job_config
from powerca_sync.defs.resources import PullMode, SyncMode
from powerca_sync.defs.reverse_assets import IO_MANAGER as DESKTOP_IO_MANAGER
from powerca_sync.defs.reverse_assets import pulled_tables
from powerca_sync.engine.requests import Mode
from powerca_sync.settings import DesktopFunctions
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
#: Dagster's name of the default IO manager.
IO_MANAGER = "io_manager"


def forward_job_name(mode: Mode) -> str:
    """Returns the name of the job that syncs all tables forward in that mode."""
    return f"forward_{mode.value}"


def build_jobs(
    specs: Sequence[TableSpec],
    functions: DesktopFunctions,
    *,
    separate: Sequence[dg.AssetCheckKey],
    loads: Mapping[str, LoadFactory] = MappingProxyType({}),
    by_office: bool = False,
) -> dg.Definitions:
    """Returns one forward job for each mode, and a reverse job if any table is reverse-synced.

    The office's functions on the desktop are part of them.

    Their launchpads begin with every option and its default, those of the IO managers `loads` too. Checks in the step
    of a load are part of a job; `separate` ones are not. Steps run in one process: a process for each table would cost
    more than most tables take.
    """
    keys = [*([REFRESH] if functions.before_forward else []), *(mobile_key(spec) for spec in specs)]
    last = [BOOKING] if functions.after_reverse else []
    tables = dg.AssetSelection.assets(*keys) - dg.AssetSelection.checks(*separate)
    jobs = [
        dg.define_asset_job(
            forward_job_name(mode),
            selection=tables,
            description=DESCRIPTIONS[mode],
            config=job_config(_options("sync", SyncMode(mode=mode.value), IO_MANAGER, loads), by_office=by_office),
            executor_def=dg.in_process_executor,
            tags={"dagster/max_runtime": str(MAX_RUNTIME), "direction": "forward"},
        )
        for mode in Mode
    ]
    if pulled := pulled_tables(specs):
        jobs.append(
            dg.define_asset_job(
                REVERSE_JOB,
                selection=[*(reverse_key(spec) for spec in pulled), *last],
                description="All phone rows that the desktop does not have yet, and quarantined ones.",
                config=job_config(_options("pull", PullMode(), DESKTOP_IO_MANAGER, loads), by_office=by_office),
                executor_def=dg.in_process_executor,
                tags={"dagster/max_runtime": str(REVERSE_MAX_RUNTIME), "direction": "reverse"},
            )
        )
    return dg.Definitions(jobs=jobs)


def _options(
    name: str, mode: SyncMode | PullMode, manager: str, loads: Mapping[str, LoadFactory]
) -> dict[str, dict[str, Any]]:
    """Returns the configuration with which a launchpad begins: the mode under its name, and the limits of the loads."""
    limits = {manager: {"config": loads[manager].options}} if manager in loads else {}
    return {"resources": {name: {"config": mode.model_dump()}, **limits}}
