"""The source's snapshot that a run reads: identity of the server, transaction ids and position in the WAL."""

import dataclasses
from datetime import datetime
from typing import Any

from powerca_sync.engine.mapping.mapping import TableMapping
from powerca_sync.engine.postgres import Connection, Cursor, execute_autocommit, load, one_row
from powerca_sync.errors import ConfigurationError

#: Half the 32-bit range, beyond which two transaction ids cannot be ordered, less a margin.
XID_HORIZON = 2**31 - 10_000_000


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """The identity of the source and its state when it is read."""

    system_identifier: str
    timeline: int
    database_oid: int
    database: str
    #: 64-bit; no transaction below it was in progress.
    xmin: int
    #: Position in the write-ahead log (WAL), in bytes.
    lsn: int
    clock: datetime
    has_ledger: bool

    @property
    def identity(self) -> str:
        """Identifies the desktop, whatever its address."""
        return f"{self.system_identifier}/{self.database}"

    def mark(self, mapping: TableMapping) -> dict[str, Any]:
        """Returns the watermark from which the next run finds the changes since this snapshot."""
        return {
            "system_identifier": self.system_identifier,
            "timeline": self.timeline,
            "database_oid": self.database_oid,
            "table_oid": mapping.source.oid,
            "xmin": str(self.xmin),
            "lsn": str(self.lsn),
            "clock": self.clock.isoformat(),
        }


def read_identity(source: Connection) -> tuple[str, str]:
    """Returns (identity, as `Snapshot` has it; time zone of the server). Outside a transaction."""
    ((system_identifier, database, timezone),) = execute_autocommit(source, load(__package__, "identity.sql"))
    return f"{system_identifier}/{database}", timezone


def read_snapshot(cursor: Cursor) -> Snapshot:
    """Returns the snapshot; must be the first statement of the source's transaction."""
    if cursor.connection.info.server_version < 130000:
        version = cursor.connection.info.server_version // 10000
        raise ConfigurationError(f"The source runs PostgreSQL {version}, which is too old. Upgrade it to 13 or newer.")
    system_identifier, timeline, database_oid, name, xmin, lsn, clock, has_ledger = one_row(
        cursor, load(__package__, "snapshot.sql")
    )
    return Snapshot(
        system_identifier=system_identifier,
        timeline=timeline,
        database_oid=database_oid,
        database=name,
        xmin=int(xmin),
        lsn=int(lsn),
        clock=clock,
        has_ledger=has_ledger,
    )
