"""The engine's state on the target: claims of offices, watermarks, row versions, quarantine, failures and run tokens.

`preparation` creates the tables, `locks` has advisory locks, `claims` registers offices, `state` reads and records
runs, `guide` writes the guide's table, `lineage` detects copied desktops. The ledger belongs to `reverse`.
"""

from powerca_sync.engine.state.claims import has_other_offices
from powerca_sync.engine.state.lineage import (
    RecordedRun,
    check_desktop,
    check_lineage,
    describe_unknown_run,
    find_unknown_run,
    read_recorded_runs,
    warn_of_copy,
)
from powerca_sync.engine.state.row_versions import MOST_VERSIONS, TargetMark, mark_after
from powerca_sync.engine.state.state import TableState

__all__ = [
    "MOST_VERSIONS",
    "RecordedRun",
    "TableState",
    "TargetMark",
    "check_desktop",
    "check_lineage",
    "describe_unknown_run",
    "find_unknown_run",
    "has_other_offices",
    "mark_after",
    "read_recorded_runs",
    "warn_of_copy",
]
