"""Two embedded PostgreSQL servers with a generated office, to try the sync on and to test it with.

    servers         start, share, stop and remove servers; `cluster` is one of them as a folder
    databases       create and fill the two databases, once
    desktop.sql     the office's tables
    mobile.sql      the mobile tables
    office          the generated office; `masters`, `jobs`, `tasks` and `reminders` generate its rows
    phones          the phone rows that follow the first forward run
    edits           a day of changes on the desktop

Only this folder and `powerca_sync.tables` contain the names of the office's tables.
"""

from powerca_sync.demo.edits import OfficeEdits, edit_office
from powerca_sync.demo.office import create_desktop, create_mobile, fill_desktop, fill_mobile
from powerca_sync.demo.phones import count_without_organisation, create_phone_rows
from powerca_sync.demo.servers import Server, reset, start_pair, start_server

__all__ = [
    "OfficeEdits",
    "Server",
    "count_without_organisation",
    "create_desktop",
    "create_mobile",
    "create_phone_rows",
    "edit_office",
    "fill_desktop",
    "fill_mobile",
    "reset",
    "start_pair",
    "start_server",
]
