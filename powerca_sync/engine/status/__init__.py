"""The state of each table in both directions: last sync, rows by owner, quarantine, dangling references.

Reads only, and never the rows of the desktop's tables. `status` reads one office, `offices_status` all offices of a
mobile database.
"""

from powerca_sync.engine.status.offices_status import (
    DesktopOffice,
    MobileOffices,
    combine,
    read_office_on_desktop,
    read_offices_on_mobile,
)
from powerca_sync.engine.status.reverse_status import ReverseStatus
from powerca_sync.engine.status.status import Status, read_status
from powerca_sync.engine.status.table_status import TableStatus, read_table_status

__all__ = [
    "DesktopOffice",
    "MobileOffices",
    "ReverseStatus",
    "Status",
    "TableStatus",
    "combine",
    "read_office_on_desktop",
    "read_offices_on_mobile",
    "read_status",
    "read_table_status",
]
