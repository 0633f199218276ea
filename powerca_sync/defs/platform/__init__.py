"""What Dagster offers by private modules only; the one folder that imports them, each with its reason.

`storage` chooses where Dagster keeps its records and deletes old ones completely, `launcher` notices runs that lost
their process, `dev_server` starts the guarded webserver. `dagster.yaml` names the two classes exported here. When
deletions are due is left to `retention`.
"""

from powerca_sync.defs.platform.launcher import WatchedRunLauncher
from powerca_sync.defs.platform.storage import (
    PostgresOrSqliteStorage,
    delete_leftover_files,
    delete_run_completely,
    one_process_at_a_time,
)

__all__ = [
    "PostgresOrSqliteStorage",
    "WatchedRunLauncher",
    "delete_leftover_files",
    "delete_run_completely",
    "one_process_at_a_time",
]
