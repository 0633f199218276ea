"""The status of reverse sync by table: new, reverse-synced and quarantined phone rows, conflicts, unassigned rows."""

import dataclasses
from collections.abc import Sequence
from datetime import datetime
from functools import partial

import psycopg

from powerca_sync.engine.mapping import named_office, office_condition
from powerca_sync.engine.postgres import (
    Connection,
    Cursor,
    explained,
    load,
    one_row,
    server_timezone,
    transaction,
    use_stored_encoding,
)
from powerca_sync.engine.requests import TablePull
from powerca_sync.engine.result import Options
from powerca_sync.engine.reverse import PhoneRowMatcher, ledger
from powerca_sync.engine.staging import Rejections, phone_rows_sql
from powerca_sync.errors import SyncError
from powerca_sync.specs import BY_HAND, TableSpec


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ReverseStatus:
    """The status of the phone rows of one table. All counts are rows."""

    #: Mobile name.
    table: str
    #: When a reverse run last committed; None before the first.
    last_pull: datetime | None = None
    #: Phone rows of this office on mobile.
    phone_rows: int = 0
    #: Of `phone_rows`: new since the last reverse run.
    waiting: int = 0
    #: The table is reverse-synced by hand only.
    by_hand: bool = False
    #: Of `phone_rows`: rows in the ledger.
    pulled: int = 0
    #: On the desktop, by reason, conflicts included.
    quarantine: tuple[Rejections, ...] = ()
    #: Of `quarantine`: the desktop has another row of the same key.
    conflicting: int = 0
    #: Phone rows whose office is unknown.
    unassigned: int = 0
    #: Of `pulled`: edited on mobile since.
    changed_after_pull: int = 0
    #: Of `pulled`: no longer on the desktop.
    missing_after_pull: int = 0
    #: Why the status could not be read.
    error: str | None = None

    @property
    def quarantined(self) -> int:
        """The number of quarantined phone rows."""
        return sum(entry.rows for entry in self.quarantine)


def read_reverse_status(
    *, source: Connection, target: Connection, specs: Sequence[TableSpec], options: Options | None = None
) -> tuple[ReverseStatus, ...]:
    """Returns the status of each table with reverse sync, in the order of `specs`; `source` is mobile.

    Only reads, each table in one snapshot of either side. Before the first reverse run all phone rows are new. The
    error of a table is part of its status; raises a `SyncError` if a connection is lost.
    """
    options = options or Options()
    with explained("looking for the ledger at the desktop"):
        outdated = ledger.is_outdated(target)
        read = partial(_read, outdated=outdated) if outdated or ledger.is_prepared(target) else _read_without_ledger
    statuses = []
    for spec in specs:
        if not spec.reverse:
            continue
        try:
            status = read(spec, source, target, specs, options)
        except SyncError as exc:
            if source.closed or target.closed:
                raise
            statuses.append(ReverseStatus(table=spec.mobile, error=str(exc)))
        else:
            statuses.append(dataclasses.replace(status, by_hand=spec.reverse == BY_HAND))
    return tuple(statuses)


def _read(
    spec: TableSpec,
    source: Connection,
    target: Connection,
    specs: Sequence[TableSpec],
    options: Options,
    *,
    outdated: bool,
) -> ReverseStatus:
    """Returns the status from the ledger; one of an earlier version is completed for the time of the transaction."""
    timezone = options.timezone or server_timezone(target)
    status = ReverseStatus(table=spec.mobile)
    with (
        explained(f"reading the phone rows of `{spec.mobile}`"),
        transaction(source, timezone="UTC", timeouts=options.timeouts, snapshot=True) as source_cursor,
        # Not READ ONLY, because the matcher creates temporary tables.
        transaction(target, timezone=timezone, timeouts=options.timeouts) as target_cursor,
    ):
        if outdated:
            ledger.complete_ledger(target_cursor)
        use_stored_encoding(target_cursor, options.encoding)
        matcher = PhoneRowMatcher(TablePull(spec=spec), source_cursor, target_cursor, specs, timezone=timezone)
        matcher.resolve()
        if matcher.has_phone_rows:
            status = _match(matcher, target_cursor, spec)
        raise psycopg.Rollback
    return status


def _match(matcher: PhoneRowMatcher, target: Cursor, spec: TableSpec) -> ReverseStatus:
    phones, last = matcher.look(), ledger.read_last_pull(target, spec.phone_table)
    matched = matcher.match(phones, last, record=False)
    last_pull, entries, known = one_row(target, load(__package__, "reverse_status.sql"), {"table": spec.phone_table})
    quarantine = tuple(Rejections(**entry) for entry in entries)
    return ReverseStatus(
        table=spec.mobile,
        last_pull=last_pull,
        phone_rows=matched.seen,
        waiting=matched.seen - matched.there - known,
        pulled=matched.there,
        quarantine=quarantine,
        conflicting=sum(entry.rows for entry in quarantine if entry.reason == "conflict"),
        unassigned=phones.unassigned,
        changed_after_pull=matched.findings.changed,
        missing_after_pull=matched.findings.missing,
    )


def _read_without_ledger(
    spec: TableSpec, source: Connection, target: Connection, specs: Sequence[TableSpec], options: Options
) -> ReverseStatus:
    with (
        explained(f"reading the phone rows of `{spec.mobile}`"),
        transaction(target, timezone="UTC", timeouts=options.timeouts, snapshot=True) as target_cursor,
        transaction(source, timezone="UTC", timeouts=options.timeouts, snapshot=True) as source_cursor,
    ):
        matcher = PhoneRowMatcher(TablePull(spec=spec), source_cursor, target_cursor, specs)
        matcher.resolve()
        if not matcher.has_phone_rows:
            return ReverseStatus(table=spec.mobile)
        context = matcher.context
        ours, named = (one(matcher.spec, context.scope, "s") for one in (office_condition, named_office))
        table = context.catalogs.targets[spec.mobile]
        rows, unassigned, _ = one_row(source_cursor, phone_rows_sql.digest(table, ours, named, spec.max_row_bytes))
    return ReverseStatus(table=spec.mobile, phone_rows=rows, waiting=rows, unassigned=unassigned)
