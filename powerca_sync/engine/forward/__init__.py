"""Forward sync of one table: compare the source's rows with the target's, and write the difference.

`forward` opens the transactions and commits, `table_run` and `prepare` read and stage, `merge` plans, `actions` writes,
`accounting` counts; `read_ahead` reads the next table of a run meanwhile. Staging and its rules belong
to `staging`, the dry run to `dry_run`.
"""

from powerca_sync.engine.forward.accounting import account, nothing_to_sync
from powerca_sync.engine.forward.apply_sql import inserted_values, updated_values
from powerca_sync.engine.forward.differential import Differences, NarrowScopeError, find_differences
from powerca_sync.engine.forward.forward import sync_forward
from powerca_sync.engine.forward.merge import MergePlan, MergeResult
from powerca_sync.engine.forward.prepare import prepare_table
from powerca_sync.engine.forward.prepared import PreparedTable, TargetCounts
from powerca_sync.engine.forward.read_ahead import ReadAhead
from powerca_sync.engine.forward.table_run import TableRun

__all__ = [
    "Differences",
    "MergePlan",
    "MergeResult",
    "NarrowScopeError",
    "PreparedTable",
    "ReadAhead",
    "TableRun",
    "TargetCounts",
    "account",
    "find_differences",
    "inserted_values",
    "nothing_to_sync",
    "prepare_table",
    "sync_forward",
    "updated_values",
]
