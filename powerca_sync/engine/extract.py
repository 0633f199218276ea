"""What to read from the source: the snapshot, the mark that it leaves, and the change set of a run."""

import dataclasses
import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from psycopg import sql

from powerca_sync.engine.catalog import PLAIN, Column, Table
from powerca_sync.engine.database import Connection, Cursor, ask_alone, one_row
from powerca_sync.engine.mapping import TableMapping
from powerca_sync.engine.sql import load
from powerca_sync.engine.state import TableState
from powerca_sync.engine.statements import extract as statements
from powerca_sync.errors import ConfigurationError
from powerca_sync.tables import STAMPS, Category, Strategy, TableSpec
from powerca_sync.tables import Cursor as ChangeCursor

#: Past half the 32-bit range the order of two transaction ids can no longer be told; this leaves a margin.
XID_HORIZON = 2**31 - 10_000_000
#: A `timestamp` mark goes back this far, in seconds, for transactions in flight and clocks that differ.
DEFAULT_OVERLAP = 600.0


class Choice(enum.StrEnum):
    """What becomes of look-alikes: new phone rows of which the desktop may have a copy already."""

    #: They are quarantined, shown with both contents, until another choice is made.
    HOLD = "hold"
    #: They are entered into the ledger as the desktop has them.
    ADOPT = "adopt"
    #: They are inserted: the desktop's rows are others.
    PULL = "pull"


class Mode(enum.StrEnum):
    """Everything, or what changed since the last run."""

    FULL = "full"
    INCREMENTAL = "incremental"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Allowances:
    """What this run may do although a guard would refuse it."""

    #: Delete more rows than the guard allows.
    allow_mass_delete: bool = False
    #: Insert more rows than the guard allows.
    allow_mass_insert: bool = False
    #: Empty more values of a column than the guard allows.
    allow_emptied: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TableExtract(Allowances):
    """What to read, not yet read: one table of the source."""

    spec: TableSpec
    mode: Mode = Mode.FULL


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TablePull:
    """What to bring back, not yet read: the phones' rows of one table that the desktop does not have."""

    spec: TableSpec
    #: Brings back once more what was pulled before and is no longer on the desktop.
    again: bool = False
    #: What becomes of new phone rows of which the desktop may have a copy already.
    lookalikes: Choice = Choice.HOLD


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TextRows(Allowances):
    """Rows from elsewhere: all that the target table should hold of this office."""

    spec: TableSpec
    #: Names of the columns that there are, as the target has them.
    columns: tuple[str, ...]
    #: Asked for columns in an order (some of them twice), gives rows of COPY text, each ending in a newline.
    rows: Callable[[Sequence[str]], Iterable[bytes]]
    #: What `pg_type` calls the type of a column's values, where that is known: a value that would not reach the target
    #: unchanged is then refused. Any other column is read as the target's own type reads it.
    types: Mapping[str, str] = dataclasses.field(default_factory=dict)


def as_table(rows: TextRows, target: Table) -> Table:
    """The source's table as the given rows have it; columns whose type they do not say are of the target's."""
    columns = []
    for name in rows.columns:
        declared, own = rows.types.get(name), target.column(name)
        if declared is None and own is not None:
            # Amounts of money in given text have two decimals, whatever the target's `lc_monetary`.
            columns.append(dataclasses.replace(own, decimals=2))
        else:
            base = declared or "text"
            columns.append(Column(name=name, type=base, base=base, typmod=-1, category=""))
    return Table(schema="", name=rows.spec.desktop, oid=0, kind=PLAIN, columns=tuple(columns))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """Who the source is, and the instant at which it is read."""

    system_identifier: str
    timeline: int
    database_oid: int
    database: str
    #: 64-bit; no transaction below it was in progress.
    xmin: int
    #: Position in the write-ahead log, in bytes.
    lsn: int
    clock: datetime
    has_ledger: bool

    @property
    def identity(self) -> str:
        """The desktop itself, however it is reached."""
        return f"{self.system_identifier}/{self.database}"

    def mark(self, mapping: TableMapping) -> dict[str, Any]:
        """What the next run needs to find the changes since this snapshot."""
        return {
            "system_identifier": self.system_identifier,
            "timeline": self.timeline,
            "database_oid": self.database_oid,
            "table_oid": mapping.source.oid,
            "xmin": str(self.xmin),
            "lsn": str(self.lsn),
            "clock": self.clock.isoformat(),
        }


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ChangeSet:
    """Which rows a run reads."""

    mode: Mode
    #: Why it is not the mode that was asked for; empty otherwise.
    reason: str
    where: sql.Composable


def read_identity(source: Connection) -> tuple[str, str]:
    """Returns (identity, as `Snapshot` has it; time zone of the server). Outside a transaction."""
    ((system_identifier, database, timezone),) = ask_alone(source, load("identity.sql"))
    return f"{system_identifier}/{database}", timezone


def read_snapshot(cursor: Cursor) -> Snapshot:
    """The first statement of the source's transaction: fixes the instant, answers what it is."""
    if cursor.connection.info.server_version < 130000:
        version = cursor.connection.info.server_version // 10000
        raise ConfigurationError(f"The source runs PostgreSQL {version}, which is too old. Upgrade it to 13 or newer.")
    system_identifier, timeline, database_oid, name, xmin, lsn, clock, has_ledger = one_row(
        cursor, load("snapshot.sql")
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


def change_set(
    mapping: TableMapping,
    requested: Mode,
    state: TableState,
    snapshot: Snapshot,
    *,
    overlap: float = DEFAULT_OVERLAP,
) -> ChangeSet:
    """Everything, or what changed since the stored mark and every row in quarantine, read again by key."""
    reason = _why_full(mapping, requested, state, snapshot) if requested is Mode.INCREMENTAL else ""
    if requested is Mode.FULL or reason:
        return ChangeSet(mode=Mode.FULL, reason=reason, where=sql.SQL("TRUE"))
    assert state.mark is not None
    changed: sql.Composable
    if mapping.spec.cursor is ChangeCursor.XMIN:
        changed = statements.changed_since_xid(int(state.mark["xmin"]))
    else:
        mark = datetime.fromisoformat(state.mark["clock"]) - timedelta(seconds=overlap)
        changed = statements.changed_since_time(mapping, mark)
    if not mapping.source.is_unique(mapping.spec.key):
        changed = statements.sharing_a_key(mapping, changed)
    if state.quarantined:
        keys = [[key.get(name) for name in mapping.spec.key] for key in state.quarantined]
        changed = sql.SQL("({}) OR {}").format(changed, statements.having_keys(mapping, keys))
    return ChangeSet(mode=Mode.INCREMENTAL, reason="", where=changed)


def _why_full(mapping: TableMapping, requested: Mode, state: TableState, snapshot: Snapshot) -> str:
    spec, mark = mapping.spec, state.mark
    if spec.category is Category.MASTERS:
        return "master tables are always read in full"
    if spec.strategy is Strategy.DELETE_INSERT:
        return "the mobile side makes the key, so that a row's place shows only among all rows"
    if spec.cursor is ChangeCursor.TIMESTAMP and not any(mapping.source.column(name) for name in STAMPS):
        return f"`{spec.desktop}` is missing the columns {' and '.join(STAMPS)}, which an incremental sync requires"
    if spec.cursor is ChangeCursor.XMIN and mapping.source.kind != PLAIN:
        return f"`{spec.desktop}` is not a plain table at the source, so that its row versions say nothing"
    if not mapping.keys_stay_apart:
        return "different keys of the source may be one at the target (`01` and `1`), which shows only among all rows"
    if mark is None:
        return "there was no complete run before"
    if state.fingerprint != mapping.fingerprint:
        return (
            "the columns, their labels, what the spec does with them, the time zone or the declared encoding are not "
            "what they were at the last run"
        )
    if any(mark[name] != value for name, value in snapshot.mark(mapping).items() if name in _IDENTITY):
        return "the source is not the database that it was at the last run"
    xmin, lsn = int(mark["xmin"]), int(mark["lsn"])
    if snapshot.xmin < xmin or snapshot.lsn < lsn:
        return "the source's history went backwards since the last run (it was restored)"
    if spec.cursor is ChangeCursor.TIMESTAMP and snapshot.clock < datetime.fromisoformat(mark["clock"]):
        return "the source's clock went backwards since the last run"
    if snapshot.xmin - xmin > XID_HORIZON:
        return "too many transactions went by since the last run"
    if state.lookups != state.versions:
        return "a table that values are looked up in has changed"
    return ""


_IDENTITY = ("system_identifier", "timeline", "database_oid", "table_oid")
