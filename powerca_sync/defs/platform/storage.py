"""Where Dagster keeps its own records: PostgreSQL where one is configured, otherwise SQLite files that stay.

`dagster.yaml` names the class below, because Dagster's settings cannot choose: a `postgres` block whose variables are
unset stops every process at start. The two databases that are synced have nothing to do with it; see `settings.py`.
"""

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import fasteners  # type: ignore[import-untyped]

# Private, but `DagsterInstance.delete_run` leaves evaluations of checks behind, and the SQLite file of a run's events.
from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable

# Private, but the only way to a storage that Dagster accepts from `dagster.yaml`.
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData
from typing_extensions import override

from powerca_sync.defs.platform.sqlite_events import KeptSqliteEventLog
from powerca_sync.environment import FOLDER

#: Where the SQLite files go if DAGSTER_HOME is not set: the folder that `make dev` sets it to.
DEFAULT_HOME = FOLDER / "dagster"


@contextlib.contextmanager
def one_process_at_a_time(folder: Path, what: str) -> Iterator[None]:
    """Wait until no other process is in such a block for this folder: SQLite files made by two at once are spoiled.

    A folder in which nothing can be written has none.
    """
    if not os.access(folder, os.W_OK):
        yield
        return
    with fasteners.InterProcessLock(folder / f"{what}.lock"):
        yield


class PostgresOrSqliteStorage(DagsterSqliteStorage):
    """SQLite files whose event log keeps its connections; asked for a storage, the one that the environment names."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        events = self._event_log_storage
        self._event_log_storage = KeptSqliteEventLog(str(Path(events.path_for_shard("index")).parent))

    @override
    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """No options in `dagster.yaml`: a password there would end up in process titles and in the UI."""
        return {}

    @override
    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> Any:
        """PostgreSQL if DAGSTER_POSTGRES_HOST is set and not empty, SQLite under DAGSTER_HOME otherwise."""
        host = os.environ.get("DAGSTER_POSTGRES_HOST")
        if not host:
            home = Path(os.environ.get("DAGSTER_HOME") or DEFAULT_HOME)
            home.mkdir(parents=True, exist_ok=True)
            with one_process_at_a_time(home, "storage"):
                return cls.from_local(str(home.resolve()), inst_data=inst_data)
        from dagster_postgres import DagsterPostgresStorage

        # A folder is that of a Unix socket, which has no place in the front of a URL.
        socket = host.startswith("/")
        return DagsterPostgresStorage.from_config_value(
            inst_data,
            {
                "postgres_db": {
                    # Since SQLAlchemy 2.1 a plain `postgresql` means psycopg 3, on which Dagster's NOTIFY fails.
                    "scheme": "postgresql+psycopg2",
                    "hostname": "" if socket else host,
                    "params": {"host": host} if socket else {},
                    "port": int(os.environ.get("DAGSTER_POSTGRES_PORT") or 5432),
                    "db_name": os.environ.get("DAGSTER_POSTGRES_DB") or "dagster",
                    "username": os.environ.get("DAGSTER_POSTGRES_USER") or "dagster",
                    "password": os.environ.get("DAGSTER_POSTGRES_PASSWORD") or "",
                }
            },
        )


def delete_run_completely(instance: dg.DagsterInstance, run_id: str) -> None:
    """Delete a run with its events, evaluations of checks and logs; not its SQLite file (`delete_leftover_files`)."""
    events = instance.event_log_storage
    if isinstance(events, SqlEventLogStorage):
        with events.index_connection() as connection:
            connection.execute(AssetCheckExecutionsTable.delete().where(AssetCheckExecutionsTable.c.run_id == run_id))
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    # Last: as long as the run is there, a deletion that was interrupted is repeated.
    instance.delete_run(run_id)


def delete_leftover_files(instance: dg.DagsterInstance) -> int:
    """Delete the SQLite files with events of runs that were deleted; returns how many. With PostgreSQL there are none.

    A file that another process has open, which Windows does not let go, stays until the next time.
    """
    events = instance.event_log_storage
    if not isinstance(events, SqliteEventLogStorage):
        return 0
    deleted = 0
    # Files first: a run is recorded before it has events.
    for run_id in filter(_is_run_id, events.get_all_run_ids()):
        if instance.has_run(run_id):
            continue
        file = Path(events.path_for_shard(run_id))
        with contextlib.suppress(OSError):
            for suffix in ("-wal", "-shm"):
                file.with_name(file.name + suffix).unlink(missing_ok=True)
            file.unlink(missing_ok=True)
            deleted += 1
    return deleted


def _is_run_id(name: str) -> bool:
    try:
        return str(uuid.UUID(name)) == name
    except ValueError:
        return False
