"""Reverse sync of one table: new phone rows are inserted at the target, exactly once.

`matching` pairs phone rows with the ledger, `lookalikes` finds rows that the target may have already, `insert` writes
rows and ledger entries in one transaction, `pending` asks cheaply which tables have new rows. Updates nothing else.
"""

from powerca_sync.engine.reverse.matching import PhoneRowMatcher
from powerca_sync.engine.reverse.pending import PendingTables, find_pending_tables
from powerca_sync.engine.reverse.reverse import Pull, sync_reverse

__all__ = ["PendingTables", "PhoneRowMatcher", "Pull", "find_pending_tables", "sync_reverse"]
