"""The state of each table in both directions: last sync, rows by owner, quarantine, dangling references.

Reads only, and never the rows of the desktop's tables.
"""

from powerca_sync.engine.status.reverse_status import ReverseStatus
from powerca_sync.engine.status.status import Status, read_status
from powerca_sync.engine.status.table_status import TableStatus, read_table_status

__all__ = ["ReverseStatus", "Status", "TableStatus", "read_status", "read_table_status"]
