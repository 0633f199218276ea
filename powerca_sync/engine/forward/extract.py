"""The change set of a run: all rows of the source, or those that changed since the watermark."""

import dataclasses
from datetime import datetime, timedelta

from psycopg import sql

from powerca_sync.engine.mapping import XID_HORIZON, Snapshot, TableMapping
from powerca_sync.engine.postgres import PLAIN, Column, Table
from powerca_sync.engine.requests import DEFAULT_OVERLAP, Mode, TextRows
from powerca_sync.engine.staging import extract_sql
from powerca_sync.engine.state import TableState
from powerca_sync.specs import STAMPS, Category, Strategy
from powerca_sync.specs import Cursor as ChangeCursor


def as_table(rows: TextRows, target: Table) -> Table:
    """Returns the table of given rows; columns without a given type have the target's."""
    columns = []
    for name in rows.columns:
        declared, own = rows.types.get(name), target.column(name)
        if declared is None and own is not None:
            # Money in given text has two decimals, whatever the target's `lc_monetary`.
            columns.append(dataclasses.replace(own, decimals=2))
        else:
            base = declared or "text"
            columns.append(Column(name=name, type=base, base=base, typmod=-1, category=""))
    return Table(schema="", name=rows.spec.desktop, oid=0, kind=PLAIN, columns=tuple(columns))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ChangeSet:
    """The rows that a run reads."""

    mode: Mode
    #: Why the mode differs from the requested one; empty if it does not.
    reason: str
    #: Condition on the source's row `s`.
    where: sql.Composable


def change_set(
    mapping: TableMapping,
    requested: Mode,
    state: TableState,
    snapshot: Snapshot,
    *,
    overlap: float = DEFAULT_OVERLAP,
) -> ChangeSet:
    """Returns all rows, or those that changed since the watermark together with all quarantined rows, by key."""
    reason = _why_full(mapping, requested, state, snapshot) if requested is Mode.INCREMENTAL else ""
    if requested is Mode.FULL or reason:
        return ChangeSet(mode=Mode.FULL, reason=reason, where=sql.SQL("TRUE"))
    assert state.mark is not None
    changed: sql.Composable
    if mapping.spec.cursor is ChangeCursor.XMIN:
        changed = extract_sql.changed_since_xid(int(state.mark["xmin"]))
    else:
        mark = datetime.fromisoformat(state.mark["clock"]) - timedelta(seconds=overlap)
        changed = extract_sql.changed_since_time(mapping, mark)
    if not mapping.source.is_unique(mapping.key_names):
        changed = extract_sql.sharing_a_key(mapping, changed)
    if state.quarantined:
        keys = [[key.get(name) for name in mapping.key_names] for key in state.quarantined]
        changed = sql.SQL("({}) OR {}").format(changed, extract_sql.having_keys(mapping, keys))
    return ChangeSet(mode=Mode.INCREMENTAL, reason="", where=changed)


def _why_full(mapping: TableMapping, requested: Mode, state: TableState, snapshot: Snapshot) -> str:
    spec, mark = mapping.spec, state.mark
    if spec.category is Category.MASTERS:
        return "master tables are always read in full"
    if spec.strategy is Strategy.DELETE_INSERT:
        return "mobile generates the primary key, so that rows can be paired only among all rows"
    if spec.cursor is ChangeCursor.TIMESTAMP and not any(mapping.source.column(name) for name in STAMPS):
        return f"`{spec.desktop}` is missing the columns {' and '.join(STAMPS)}, which an incremental sync requires"
    if spec.cursor is ChangeCursor.XMIN and mapping.source.kind != PLAIN:
        return f"`{spec.desktop}` is not a plain table at the source, so that its rows have no usable version"
    if not mapping.keys_stay_apart:
        return "different keys of the source may be equal at the target (`01` and `1`), which only a full run detects"
    if mark is None:
        return "there was no complete run before"
    if state.fingerprint != mapping.fingerprint:
        return (
            "the columns, their labels, the spec, the time zone or the declared encoding have changed since the last "
            "run"
        )
    if any(mark[name] != value for name, value in snapshot.mark(mapping).items() if name in _IDENTITY):
        return "the source is another database than at the last run"
    xmin, lsn = int(mark["xmin"]), int(mark["lsn"])
    if snapshot.xmin < xmin or snapshot.lsn < lsn:
        return "the source's history went backwards since the last run (it was restored)"
    if spec.cursor is ChangeCursor.TIMESTAMP and snapshot.clock < datetime.fromisoformat(mark["clock"]):
        return "the source's clock went backwards since the last run"
    if snapshot.xmin - xmin > XID_HORIZON:
        return "too many transactions went by since the last run"
    if state.lookups != state.versions:
        return "a lookup table has changed"
    return ""


_IDENTITY = ("system_identifier", "timeline", "database_oid", "table_oid")
