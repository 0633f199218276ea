"""Where Dagster keeps its own records: PostgreSQL where one is configured, otherwise SQLite files that stay.

`dagster.yaml` names the class below, because Dagster's settings cannot choose: a `postgres` block whose variables are
unset stops every process at start. The two databases that are synced have nothing to do with it; see `settings.py`.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fasteners  # type: ignore[import-untyped]

# Private, but the only way to a storage that Dagster accepts from `dagster.yaml`.
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster_postgres import DagsterPostgresStorage

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
    """Never an instance of its own: Dagster asks it for a storage and gets the one that the environment speaks of."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """No options in `dagster.yaml`: a password there would end up in process titles and in the UI."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> Any:
        """PostgreSQL if DAGSTER_POSTGRES_HOST is set and not empty, SQLite under DAGSTER_HOME otherwise."""
        host = os.environ.get("DAGSTER_POSTGRES_HOST")
        if not host:
            home = Path(os.environ.get("DAGSTER_HOME") or DEFAULT_HOME)
            home.mkdir(parents=True, exist_ok=True)
            with one_process_at_a_time(home, "storage"):
                return DagsterSqliteStorage.from_local(str(home.resolve()), inst_data=inst_data)
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
