"""Everything that needs private modules of Dagster; each import has its reason beside it.

`storage` chooses where Dagster keeps its records and deletes old ones completely, `launcher` notices runs that lost
their process, `dev_server` starts the guarded webserver, `partition_history` reads the history by partition.
`dagster.yaml` names the two classes exported here. When deletions are due is left to `retention`.
"""

from powerca_sync.defs.platform.launcher import WatchedRunLauncher
from powerca_sync.defs.platform.partition_history import failed_checks, latest_runs_of_partitions
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
    "failed_checks",
    "latest_runs_of_partitions",
    "one_process_at_a_time",
]
