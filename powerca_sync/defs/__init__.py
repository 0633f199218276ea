"""The Dagster face of the sync: the only folder that imports dagster. It holds no SQL.

What is synced:

    keys            names of the tables on both sides, as asset keys
    assets          one asset for each mobile table, from its spec
    checks          checks in the step of a load
    jobs            all tables forward

How it lands:

    io_managers     stage and merge by way of the engine, or load as a DataFrame
    delivery        how the result of a load gets back to its asset
    frames          DataFrames as COPY text and back
    failures        which errors are tried again
    metadata        what is shown of a load

Where and by whom it is run:

    resources       the two databases, and the mode of a run
    storage         where Dagster keeps its own records
    running         a job run in this process, for the command line
    progress        a run's events as lines for a person
"""

from collections.abc import Mapping, Sequence

import dagster as dg

from powerca_sync.defs.assets import build_assets, build_desktop_tables
from powerca_sync.defs.failures import Retries
from powerca_sync.defs.io_managers import build_io_manager
from powerca_sync.defs.jobs import build_jobs
from powerca_sync.defs.keys import mobile_key
from powerca_sync.defs.resources import SyncDatabases, SyncMode
from powerca_sync.engine.database import Timeouts
from powerca_sync.tables import TableSpec


def build_definitions(
    specs: Sequence[TableSpec],
    *,
    written: Sequence[dg.AssetsDefinition] = (),
    timeouts: Timeouts | None = None,
    retries: Retries | None = None,
    loggers: Mapping[str, dg.LoggerDefinition] | None = None,
) -> dg.Definitions:
    """All that Dagster needs to sync the tables of `specs`; reads no environment and opens no connection.

    `written` are assets in Python, each of which makes the rows of one of the tables instead of the desktop.
    """
    made = {key for asset in written for key in asset.keys}
    copied = [spec for spec in specs if mobile_key(spec.mobile) not in made]
    tables = dg.Definitions(
        assets=[*build_assets(copied), *written, *build_desktop_tables(copied)],
        resources={
            "databases": SyncDatabases(),
            "sync": SyncMode(),
            "io_manager": build_io_manager(specs, timeouts=timeouts or Timeouts(), retries=retries or Retries()),
        },
        executor=dg.in_process_executor,
        loggers=loggers,
    )
    return dg.Definitions.merge(tables, build_jobs(specs))
