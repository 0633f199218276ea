"""Dry runs: what a forward or reverse run would do, computed in a transaction that is rolled back.

Runs the statements of `forward` and `reverse` themselves; `virtual_tables` shows to later tables the rows that
earlier ones would have.
"""

from powerca_sync.engine.dry_run.forward_plan import UNFORESEEN, Change, Prospect, TablePlan, plan_forward
from powerca_sync.engine.dry_run.reverse_plan import UNFORESEEN_PULL, PullPlan, plan_reverse

__all__ = [
    "UNFORESEEN",
    "UNFORESEEN_PULL",
    "Change",
    "Prospect",
    "PullPlan",
    "TablePlan",
    "plan_forward",
    "plan_reverse",
]
