"""Read and record the state of a table on the target: watermark, quarantine and failures."""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from powerca_sync.engine.mapping import Office
from powerca_sync.engine.postgres import (
    Connection,
    Cursor,
    Query,
    Timeouts,
    execute_batch,
    load,
    one_row,
    transaction,
)
from powerca_sync.engine.state.claims import (
    check_organisations,
    claimed_by_office,
    is_alone,
    register_office,
    registration_lock,
)
from powerca_sync.engine.state.guide import guide_columns, guide_record
from powerca_sync.engine.state.row_versions import TargetMark


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TableState:
    """The recorded state of one table."""

    #: The watermark of the last run; None before the first.
    mark: Mapping[str, Any] | None = None
    #: Fingerprint of the mapping at the last run.
    fingerprint: str | None = None
    #: Rows read by the last full run.
    rows_read: int | None = None
    #: Versions of looked-up tables: at the last run, and now.
    lookups: Mapping[str, int] = dataclasses.field(default_factory=dict)
    versions: Mapping[str, int] = dataclasses.field(default_factory=dict)
    #: Keys of quarantined rows: column to text.
    quarantined: Sequence[Mapping[str, str | None]] = ()
    #: Which row versions of the target are known; None if that cannot be told.
    target_mark: TargetMark | None = None
    #: The target's table and snapshot, as a mark has them, when this was read.
    target_now: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def recall(
    cursor: Cursor,
    office: Office,
    table: str,
    lookups: Sequence[str],
    *,
    relation: int | None,
    orgs: sql.Composed,
    unscoped: Callable[[], Sequence[str]],
    before_writing: Callable[[], None],
    shared: bool,
) -> tuple[Office, TableState]:
    """Register the office and read the state of a table (its mobile name), in one round trip if it is registered.

    `relation` is the table's object id, if it exists. `orgs` is a query for the organisations in the target's text
    form, which the returned office has; `unscoped` is as in `register_office`; `before_writing` is called before the
    office is registered. With `shared` no other desktop can register until the transaction ends. Raises
    `UnsafeTargetError` as `register_office` does.
    """
    check_organisations(office)
    claimed = sql.SQL("SELECT o.org_id, o.office FROM powerca_sync.office AS o WHERE o.org_id IN ({})").format(orgs)
    spelled, holders, [(alone,)], [remembered] = execute_batch(
        cursor, (orgs, None), (claimed, None), is_alone(office), _remembered(office, table, lookups, relation)
    )
    if office.orgs is not None:
        office = dataclasses.replace(office, orgs=tuple(org for (org,) in spelled))
    if not claimed_by_office(office, dict(holders)):
        before_writing()
        register_office(cursor, office, unscoped=unscoped)
        (alone,) = one_row(cursor, *is_alone(office))
    elif shared:
        _, [(alone,)] = execute_batch(cursor, registration_lock(shared=True), is_alone(office))
    return dataclasses.replace(office, alone=alone), _table_state(remembered)


def read_state(
    cursor: Cursor, office: Office, table: str, lookups: Sequence[str], *, relation: int | None = None
) -> TableState:
    """Returns the recorded state of a table (its mobile name); without its object id, not that of its row versions."""
    return _table_state(one_row(cursor, *_remembered(office, table, lookups, relation)))


def _remembered(office: Office, table: str, lookups: Sequence[str], relation: int | None) -> Query:
    given = {"office": office.identity, "table": table, "lookups": list(lookups), "relation": relation}
    return load(__package__, "table_state.sql"), given


def _table_state(row: tuple[Any, ...]) -> TableState:
    mark, fingerprint, rows_read, used, versions, quarantined, target_mark, target_now = row
    return TableState(
        mark=mark,
        fingerprint=fingerprint,
        rows_read=rows_read,
        lookups=used,
        versions=versions,
        quarantined=quarantined,
        target_mark=TargetMark.read(target_mark, target_now),
        target_now=target_now,
    )


def run_record(
    office: Office,
    table: str,
    *,
    mark: Mapping[str, Any] | None,
    fingerprint: str,
    rows_read: int | None,
    mode: str,
    lookups: Mapping[str, int],
    changed: bool,
    unscoped: bool,
    records: int,
    milliseconds: int,
    token: str | None,
    target_mark: TargetMark | None,
) -> Query:
    """A query that records this run, for the transaction of its data.

    `rows_read` is None for an incremental run. `unscoped`: the table's rows have no office. `token` is the run token
    issued on the desktop; without it the token of an earlier run is kept.
    """
    return load(__package__, "record_run.sql"), {
        "office": office.identity,
        "table": table,
        "mark": None if mark is None else Jsonb(mark),
        "fingerprint": fingerprint,
        "rows_read": rows_read,
        "mode": mode,
        "lookups": Jsonb(lookups),
        "changed": changed,
        "unscoped": unscoped,
        "records": records,
        "milliseconds": milliseconds,
        "token": token,
        "target_mark": target_mark and Jsonb(dataclasses.asdict(target_mark)),
    }


def quarantined_rows(office: Office, table: str) -> sql.Composed:
    """A query for key and image of the table's quarantined rows."""
    return sql.SQL("SELECT key, image FROM powerca_sync.quarantine WHERE office = {} AND table_name = {}").format(
        office.identity, table
    )


def quarantine_record(office: Office, table: str) -> Query:
    """A query that replaces the table's quarantine by the rows that this run rejected."""
    return load(__package__, "record_quarantine.sql"), {"office": office.identity, "table": table}


def record_failure(connection: Connection, table: str, message: str, *, office: str | None) -> None:
    """Record the error of a run in a transaction of its own; ignores database errors.

    `office` is the desktop's identity, or None if it is unknown.
    """
    with contextlib.suppress(psycopg.Error), _briefly(connection) as cursor:
        cursor.execute(load(__package__, "record_failure.sql"), {"office": office, "table": table, "message": message})
    with contextlib.suppress(psycopg.Error), _briefly(connection) as cursor:
        (columns,) = one_row(cursor, *guide_columns())
        if line := guide_record(columns, table, error=message):
            cursor.execute(*line)


def _briefly(connection: Connection) -> contextlib.AbstractContextManager[Cursor]:
    return transaction(connection, timezone="UTC", timeouts=Timeouts(statement=10, lock=2))
