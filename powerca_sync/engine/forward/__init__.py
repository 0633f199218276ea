"""Forward sync of one table: staged rows are compared with the target, and the difference is written.

One transaction on the target from the lock to the commit check (`forward`, `table_run`); `merge` plans, `actions`
writes, `accounting` counts. Staging and its rules belong to `staging`, the dry run to `dry_run`.
"""

from powerca_sync.engine.forward.accounting import account, nothing_to_sync
from powerca_sync.engine.forward.apply_sql import inserted_values, updated_values
from powerca_sync.engine.forward.differential import Differences, NarrowScopeError, find_differences
from powerca_sync.engine.forward.forward import sync_forward
from powerca_sync.engine.forward.merge import MergePlan, MergeResult
from powerca_sync.engine.forward.prepared import Counted, Ready
from powerca_sync.engine.forward.table_run import WORTH_ANALYZING, TableRun

__all__ = [
    "WORTH_ANALYZING",
    "Counted",
    "Differences",
    "MergePlan",
    "MergeResult",
    "NarrowScopeError",
    "Ready",
    "TableRun",
    "account",
    "find_differences",
    "inserted_values",
    "nothing_to_sync",
    "sync_forward",
    "updated_values",
]
