"""Dry runs: what a forward or reverse run would do, computed in a transaction that is rolled back.

Runs the statements of `forward` and `reverse` themselves; `virtual_tables` shows to later tables the rows that
earlier ones would have.
"""

from powerca_sync.engine.dry_run.forward_plan import (
    UNFORESEEN,
    PlannedRun,
    count_changes,
    foresee,
    plan_forward,
    sample,
)
from powerca_sync.engine.dry_run.reverse_plan import UNFORESEEN_PULL, PullPlan, plan_reverse
from powerca_sync.engine.dry_run.table_plan import Change, Prospect, TablePlan

__all__ = [
    "UNFORESEEN",
    "UNFORESEEN_PULL",
    "Change",
    "PlannedRun",
    "Prospect",
    "PullPlan",
    "TablePlan",
    "count_changes",
    "foresee",
    "plan_forward",
    "plan_reverse",
    "sample",
]
