"""The Dagster face of the sync: the only folder that imports dagster. It holds no SQL.

Assets and what they declare:

    keys                names of the tables of both databases, as asset keys
    assets              one asset for each mobile table, from its spec
    reverse_assets      one asset for each reverse-synced table
    function_assets     the office's own functions on the desktop, before and after
    checks/             asset checks: in the step of a run, and separate ones
    pools               which runs are queued behind each other
    translator          groups, owners, tags, descriptions of the assets; an office may override them
    freshness           when an asset counts as late
    jobs                forward, reverse

Loading:

    mobile_io_manager   mobile: stages and merges with the engine, or loads a DataFrame
    desktop_io_manager  desktop: inserts reverse-synced rows
    load_factory        what an operator may configure of both
    output_handle       carries the result of a load from the IO manager to its asset
    frames              DataFrames as COPY text and back
    failures            which errors Dagster retries
    metadata            metadata of a materialization
    resources           the two databases and the options of a run

Starting runs:

    sensors             reverse sync when mobile has new rows
    desktop_sensor      forward sync when the desktop's tables have changed
    partitions          offices as partitions, where one instance serves several
    offices/            the same sensors for several offices, and the overview of all of them
    schedules           runs by the clock
    due                 tables that the hourly schedule reverse-syncs
    follow_up           tables that a failed run skipped without need
    runs/               history and backoff, events as text, a run in the current process

Operating:

    nightly_checks      the checks that are no part of a sync
    alerts/             messages to people when a run or a check fails
    status_report       the asset with the state of all tables
    retention           deletes old runs from Dagster's history
    platform/           storage, launcher, `dagster dev`: the only private Dagster imports
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypedDict

import dagster as dg

from powerca_sync.defs.alerts import build_alerts
from powerca_sync.defs.assets import build_assets, build_desktop_tables
from powerca_sync.defs.checks import build_parity_checks, build_table_checks
from powerca_sync.defs.desktop_io_manager import build_desktop_io_manager
from powerca_sync.defs.desktop_sensor import build_desktop_sensor
from powerca_sync.defs.failures import Retries
from powerca_sync.defs.follow_up import build_follow_up
from powerca_sync.defs.function_assets import build_function_assets
from powerca_sync.defs.jobs import build_jobs
from powerca_sync.defs.keys import REFRESH, mobile_key
from powerca_sync.defs.load_factory import LoadFactory
from powerca_sync.defs.mobile_io_manager import build_io_manager
from powerca_sync.defs.nightly_checks import build_nightly_checks
from powerca_sync.defs.offices import build_desktop_gate, build_membership, build_mobile_gate, build_overview
from powerca_sync.defs.resources import PullMode, SyncDatabases, SyncMode
from powerca_sync.defs.retention import build_retention
from powerca_sync.defs.reverse_assets import IO_MANAGER, build_reverse_assets, pulled_tables
from powerca_sync.defs.schedules import build_schedules
from powerca_sync.defs.sensors import build_sensors
from powerca_sync.defs.status_report import build_status_report
from powerca_sync.defs.translator import TableTranslator
from powerca_sync.engine.postgres import Timeouts
from powerca_sync.operations import INCREMENTAL_CRON, History, Schedules
from powerca_sync.settings import DesktopFunctions
from powerca_sync.specs import TableSpec


def build_definitions(
    specs: Sequence[TableSpec],
    *,
    written: Sequence[dg.AssetsDefinition] = (),
    functions: DesktopFunctions | None = None,
    timeouts: Timeouts | None = None,
    retries: Retries | None = None,
    loggers: Mapping[str, dg.LoggerDefinition] | None = None,
    schedules: Schedules | None = None,
    history: History | None = None,
    translator: TableTranslator | None = None,
    separate_checks: bool = True,
    by_office: bool = False,
) -> dg.Definitions:
    """All that Dagster needs to sync the tables of `specs`; reads no environment and opens no connection.

    `written` are assets in Python, each of which makes the rows of one of the tables instead of the desktop.
    `functions` are called on the desktop before a forward run and after a reverse run. `schedules` says when the jobs
    start by themselves, `history` how long Dagster's own records are kept, `translator` what Dagster shows of the
    assets. With `separate_checks` there are also the checks that are no part of a sync. With `by_office`, assets and
    checks have a partition for each office of the file of offices, and sensors instead of schedules start the runs.
    """
    timeouts, retries = timeouts or Timeouts(), retries or Retries()
    schedules, functions = schedules or Schedules(), functions or DesktopFunctions()
    translator = translator or TableTranslator(timezone=schedules.timezone)
    first = [REFRESH] if functions.before_forward else []
    made = {key for asset in written for key in asset.keys}
    copied = [spec for spec in specs if mobile_key(spec) not in made]
    limits: _Limits = {"timeouts": timeouts, "retries": retries}
    synced = [
        *build_assets(copied, translator, among=specs, first=first, by_office=by_office),
        *written,
        *build_reverse_assets(specs, translator, by_office=by_office),
    ]
    checks = _build_checks(specs, copied, translator, limits, by_office=by_office) if separate_checks else []
    evaluated, separate = _split_checks(synced, checks)
    resources, loads = _build_resources(specs, copied, limits)
    jobs = build_jobs(specs, functions, separate=separate, loads=loads, by_office=by_office)
    nightly = build_nightly_checks(separate, schedules, by_office=by_office)
    parts = [jobs, nightly, build_status_report(specs, schedules, by_office=by_office)]
    tables = dg.Definitions(
        assets=[
            *synced,
            *build_desktop_tables(copied, translator, first=first, by_office=by_office),
            *build_function_assets(functions, pulled_tables(specs), **limits, by_office=by_office),
        ],
        resources={**resources, **loads},
        asset_checks=checks,
        sensors=_build_sensors(specs, functions, parts, schedules, checks=evaluated, by_office=by_office),
        schedules=[] if by_office else build_schedules(specs, schedules, functions),
        executor=dg.in_process_executor,
        loggers=loggers,
    )
    # The office's own report repeats what the checks say.
    checked = _check_keys(tables) if by_office else []
    if by_office:
        parts.append(build_overview(specs, schedules, checks=checked))
    return dg.Definitions.merge(tables, *parts, build_retention(schedules, history or History(), checks=checked))


def _build_checks(
    specs: Sequence[TableSpec],
    copied: Sequence[TableSpec],
    translator: TableTranslator,
    limits: "_Limits",
    *,
    by_office: bool,
) -> list[dg.AssetChecksDefinition]:
    """Returns the checks that are no part of a sync."""
    drift_blocks = translator.drift_blocks
    return [
        *build_parity_checks(specs, copied=copied, **limits, by_office=by_office),
        *build_table_checks(specs, copied=copied, drift_blocks=drift_blocks, **limits, by_office=by_office),
    ]


def _split_checks(
    synced: Sequence[dg.AssetsDefinition], checks: Sequence[dg.AssetChecksDefinition]
) -> tuple[set[dg.AssetCheckKey], list[dg.AssetCheckKey]]:
    """Returns the keys of the checks that each run of a table evaluates, and those of the others.

    A request for some assets of a job would otherwise take all of their checks along.
    """
    specs = [spec for check in checks for spec in check.check_specs]
    evaluated = {key for asset in synced for key in asset.check_keys}
    return evaluated | {spec.key for spec in specs if spec.blocking}, [spec.key for spec in specs if not spec.blocking]


def _check_keys(definitions: dg.Definitions) -> list[dg.AssetCheckKey]:
    """Returns the keys of all checks."""
    checks = [*(definitions.assets or ()), *(definitions.asset_checks or ())]
    return [key for one in checks if isinstance(one, dg.AssetsDefinition) for key in one.check_keys]


class _Limits(TypedDict):
    """The time limits of loads, and which errors Dagster retries."""

    timeouts: Timeouts
    retries: Retries


def _build_resources(
    specs: Sequence[TableSpec], copied: Sequence[TableSpec], limits: _Limits
) -> tuple[Mapping[str, Any], Mapping[str, LoadFactory]]:
    """Returns the resources of a run, and the IO managers, which share the first two of them."""
    # Configured at launch: otherwise each IO manager would have its own.
    databases, sync = SyncDatabases.configure_at_launch(), SyncMode.configure_at_launch()
    loads = {
        "io_manager": build_io_manager(specs, copied=copied, databases=databases, sync=sync, **limits),
        IO_MANAGER: build_desktop_io_manager(specs, databases=databases, **limits),
    }
    return {"databases": databases, "sync": sync, "pull": PullMode()}, loads


def _build_sensors(
    specs: Sequence[TableSpec],
    functions: DesktopFunctions,
    parts: Sequence[dg.Definitions],
    schedules: Schedules,
    *,
    checks: Collection[dg.AssetCheckKey],
    by_office: bool,
) -> list[dg.SensorDefinition]:
    """Returns the sensors that look for changes in both databases, and those that follow runs.

    `parts` have the jobs that they may request, the jobs of the tables first.
    """
    after_runs = [build_follow_up(specs, list(parts[0].jobs or ()), checks=checks), build_alerts(by_office=by_office)]
    if not by_office:
        return [*build_sensors(specs, functions), build_desktop_sensor(specs, functions, checks=checks), *after_runs]
    # As `dg.define_asset_job` has made them; Dagster's own kinds of jobs are none of them.
    jobs: list[Any] = [job for part in parts for job in part.jobs or ()]
    cron = schedules.crons[INCREMENTAL_CRON]
    return [
        build_membership(),
        *build_mobile_gate(specs, functions, jobs),
        build_desktop_gate(specs, functions, jobs, checks=checks, incremental_cron=cron),
        *after_runs,
    ]
