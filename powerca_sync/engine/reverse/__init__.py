"""Reverse sync of one table: insert its new phone rows at the target, exactly once.

`matching` classifies phone rows by the ledger, `existing_rows` and `lookalikes` deal with rows that the target may
have already, `insert` writes rows and ledger entries, `pending` finds the tables with new rows.
"""

from powerca_sync.engine.reverse.matching import PhoneRowMatcher
from powerca_sync.engine.reverse.pending import PendingTables, find_pending_tables
from powerca_sync.engine.reverse.reverse import Pull, sync_reverse

__all__ = ["PendingTables", "PhoneRowMatcher", "Pull", "find_pending_tables", "sync_reverse"]
