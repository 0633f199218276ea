"""What the engine remembers on the target: claims of offices, watermarks, quarantine and the tokens of runs.

Creates the state tables and reads and writes them. The ledger of reverse-synced rows belongs to `reverse`.
"""

from powerca_sync.engine.state.lineage import (
    RecordedRun,
    check_desktop,
    check_lineage,
    describe_unknown_run,
    find_unknown_run,
    read_recorded_runs,
    warn_of_copy,
)
from powerca_sync.engine.state.state import TableState

__all__ = [
    "RecordedRun",
    "TableState",
    "check_desktop",
    "check_lineage",
    "describe_unknown_run",
    "find_unknown_run",
    "read_recorded_runs",
    "warn_of_copy",
]
