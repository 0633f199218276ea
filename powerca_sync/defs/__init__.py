"""The Dagster face of the sync: the only folder that imports dagster. It holds no SQL.

What is synced:

    keys            names of the tables on both sides, as asset keys
    assets          one asset for each mobile table, from its spec
    reverse         one asset for each table whose phone rows are brought back
    checks          checks in the step of a load or a pull
    verification    checks that both sides hold the same, each by itself
    jobs            all tables forward, all phone rows back

How it lands:

    io_managers     on mobile: stage and merge by way of the engine, or load as a DataFrame
    desktop_io_manager  on the desktop: phone rows, each once
    delivery        how the result of a load gets back to its asset
    frames          DataFrames as COPY text and back
    failures        which errors are tried again
    metadata        what is shown of a load

When, where and by whom it is run:

    sensors         when phones have made rows
    schedules       by the clock
    due             which tables the hourly schedule reverse-syncs
    freshness       when an asset counts as old
    history         whether a job is under way
    backoff         how long a table rests after it has failed
    resources       the two databases, and what a run is told
    storage         where Dagster keeps its own records
    retention       how long it keeps them
    launcher        how runs are started, and how one that lost its process is noticed
    follow_up       the tables that a failed run has skipped without need
    running         a job run in this process, for the command line
    outcomes        what such a run did, table by table
    progress        a run's events as lines for a person

Who is told of it:

    alerts          the sensor that looks at ended runs
    problems        what was wrong with a run
    alert_state     what people know of it, and what has still to reach them
    alert_message   what a message says
    notifier        how it is sent
    past_runs       what the last runs did
    status_report   where everything stands, for the UI
"""

from collections.abc import Mapping, Sequence

import dagster as dg

from powerca_sync.defs.alerts import build_alerts
from powerca_sync.defs.assets import build_assets, build_desktop_tables
from powerca_sync.defs.desktop_io_manager import build_desktop_io_manager
from powerca_sync.defs.failures import Retries
from powerca_sync.defs.follow_up import build_follow_up
from powerca_sync.defs.io_managers import build_io_manager
from powerca_sync.defs.jobs import build_jobs
from powerca_sync.defs.keys import mobile_key
from powerca_sync.defs.resources import PullMode, SyncDatabases, SyncMode
from powerca_sync.defs.retention import build_retention
from powerca_sync.defs.reverse import IO_MANAGER, build_reverse_assets
from powerca_sync.defs.schedules import build_schedules
from powerca_sync.defs.sensors import build_sensors
from powerca_sync.defs.status_report import build_status_report
from powerca_sync.defs.table_checks import build_table_checks
from powerca_sync.defs.verification import build_parity_checks
from powerca_sync.engine.postgres import Timeouts
from powerca_sync.operations import History, Schedules
from powerca_sync.tables import TableSpec


def build_definitions(
    specs: Sequence[TableSpec],
    *,
    written: Sequence[dg.AssetsDefinition] = (),
    timeouts: Timeouts | None = None,
    retries: Retries | None = None,
    loggers: Mapping[str, dg.LoggerDefinition] | None = None,
    schedules: Schedules | None = None,
    history: History | None = None,
    by_hand: bool = True,
) -> dg.Definitions:
    """All that Dagster needs to sync the tables of `specs`; reads no environment and opens no connection.

    `written` are assets in Python, each of which makes the rows of one of the tables instead of the desktop.
    `schedules` says when the jobs start by themselves, `history` how long Dagster's own records are kept. With
    `by_hand` there are also the checks that no job runs.
    """
    timeouts, retries = timeouts or Timeouts(), retries or Retries()
    schedules = schedules or Schedules()
    made = {key for asset in written for key in asset.keys}
    copied = [spec for spec in specs if mobile_key(spec.mobile) not in made]
    checks = []
    if by_hand:
        checks += build_parity_checks(specs, copied=copied, timeouts=timeouts, retries=retries)
        checks += build_table_checks(specs, copied=copied, timeouts=timeouts, retries=retries)
    jobs = build_jobs(specs, by_hand=[key for check in checks for key in check.check_keys])
    tables = dg.Definitions(
        assets=[*build_assets(copied), *written, *build_desktop_tables(copied), *build_reverse_assets(specs)],
        resources={
            "databases": SyncDatabases(),
            "sync": SyncMode(),
            "pull": PullMode(),
            "io_manager": build_io_manager(specs, timeouts=timeouts, retries=retries),
            IO_MANAGER: build_desktop_io_manager(specs, timeouts=timeouts, retries=retries),
        },
        asset_checks=checks,
        sensors=[*build_sensors(specs), build_follow_up(specs, list(jobs.jobs or ())), build_alerts()],
        schedules=build_schedules(specs, schedules),
        executor=dg.in_process_executor,
        loggers=loggers,
    )
    return dg.Definitions.merge(
        tables,
        jobs,
        build_status_report(specs, schedules),
        build_retention(schedules, history or History()),
    )
