"""Change tokens of the desktop's tables: what the server's cumulative statistics say has been written.

One statement in constant time, whatever the size of the tables. A token is a hint: it may move without a change (an
aborted transaction counts) and it may move late. That a token moves decides when a run starts, never which rows it
reads. Starting runs is left to the caller.
"""

from powerca_sync.engine.changes.tokens import Changes, ChangeToken, count_own_writes, read_changes, report_own_writes

__all__ = ["ChangeToken", "Changes", "count_own_writes", "read_changes", "report_own_writes"]
