"""The state of each table in both directions: last sync, rows by owner, quarantine, dangling references.

Reads only, and never the rows of the desktop's tables.
"""

from powerca_sync.engine.status.reverse_status import ReverseStatus
from powerca_sync.engine.status.status import TableStatus, read_status
from powerca_sync.engine.status.summary import Overview, read_overview

__all__ = ["Overview", "ReverseStatus", "TableStatus", "read_overview", "read_status"]
