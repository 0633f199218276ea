"""Where each table's phone rows stand: waiting on mobile, pulled, in quarantine at the desktop, nobody's."""

import dataclasses
from collections.abc import Sequence
from datetime import datetime

from powerca_sync.engine.mapping import office_condition
from powerca_sync.engine.postgres import (
    Connection,
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
from powerca_sync.tables import BY_HAND, TableSpec


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ReverseStatus:
    """What can be said of the phones' rows of one table. All counts are rows."""

    #: Mobile name.
    table: str
    #: When a pull last committed; None if none ever did.
    last_pull: datetime | None = None
    #: Rows that phones of this office made and that are on mobile now.
    phone_rows: int = 0
    #: Of them, those that no pull has dealt with yet.
    waiting: int = 0
    #: Whether a pull has to be asked for.
    by_hand: bool = False
    #: Of them, those that the ledger holds.
    pulled: int = 0
    #: At the desktop, by reason; conflicts among them.
    quarantine: tuple[Rejections, ...] = ()
    #: Of those in quarantine: the desktop has another row of the same key.
    conflicting: int = 0
    #: Phone rows of which nobody can say whose they are.
    unassigned: int = 0
    #: Of the pulled: edited on mobile since.
    changed_after_pull: int = 0
    #: Of the pulled: no longer on the desktop.
    missing_after_pull: int = 0
    #: Why the table could not be looked at; None if it could.
    error: str | None = None


def read_reverse_status(
    *, source: Connection, target: Connection, specs: Sequence[TableSpec], options: Options | None = None
) -> tuple[ReverseStatus, ...]:
    """The status of each table whose spec has a way back, in the order of `specs`; `source` is mobile.

    Only reads, each table at one instant of either side. Where no pull has ever been made, all phone rows wait. A table
    that cannot be looked at says why, and does not keep the others from it; a side that does not answer raises.
    """
    options = options or Options()
    wanted = [spec for spec in specs if spec.reverse]
    with explained("looking for the ledger at the desktop"):
        look = _look if ledger.is_prepared(target) else _count
    found = []
    for spec in wanted:
        try:
            found.append(
                dataclasses.replace(look(spec, source, target, specs, options), by_hand=spec.reverse == BY_HAND)
            )
        except SyncError as exc:
            if source.closed or target.closed:
                raise
            found.append(ReverseStatus(table=spec.mobile, error=str(exc)))
    return tuple(found)


def _look(
    spec: TableSpec, source: Connection, target: Connection, specs: Sequence[TableSpec], options: Options
) -> ReverseStatus:
    timezone = options.timezone or server_timezone(target)
    with (
        explained(f"looking at the phone rows of `{spec.mobile}`"),
        transaction(source, timezone="UTC", timeouts=options.timeouts, snapshot=True) as source_cursor,
        # Not READ ONLY, in which no temporary table could be made.
        transaction(target, timezone=timezone, timeouts=options.timeouts) as target_cursor,
    ):
        use_stored_encoding(target_cursor, options.encoding)
        matcher = PhoneRowMatcher(TablePull(spec=spec), source_cursor, target_cursor, specs, timezone=timezone)
        matcher.resolve()
        if not matcher.has_phone_rows:
            return ReverseStatus(table=spec.mobile)
        found = matcher.match(record=False)
        last_pull, entries, known = one_row(target_cursor, load(__package__, "held_back.sql"), {"table": spec.desktop})
    quarantine = tuple(Rejections(**entry) for entry in entries)
    return ReverseStatus(
        table=spec.mobile,
        last_pull=last_pull,
        phone_rows=found.seen,
        waiting=found.seen - found.there - known,
        pulled=found.there,
        quarantine=quarantine,
        conflicting=sum(entry.rows for entry in quarantine if entry.reason == "conflict"),
        unassigned=found.unassigned,
        changed_after_pull=found.changed,
        missing_after_pull=found.missing,
    )


def _count(
    spec: TableSpec, source: Connection, target: Connection, specs: Sequence[TableSpec], options: Options
) -> ReverseStatus:
    """Before the first pull: all that phones made waits."""
    with (
        explained(f"looking at the phone rows of `{spec.mobile}`"),
        transaction(target, timezone="UTC", timeouts=options.timeouts, snapshot=True) as target_cursor,
        transaction(source, timezone="UTC", timeouts=options.timeouts, snapshot=True) as source_cursor,
    ):
        matcher = PhoneRowMatcher(TablePull(spec=spec), source_cursor, target_cursor, specs)
        matcher.resolve()
        if not matcher.has_phone_rows:
            return ReverseStatus(table=spec.mobile)
        context = matcher.context
        ours = office_condition(matcher.spec, context.specs, context.office, "s")
        table = context.catalogs.targets[spec.mobile]
        rows, unassigned, _ = one_row(source_cursor, phone_rows_sql.digest(table, ours, spec.max_row_bytes))
    return ReverseStatus(table=spec.mobile, phone_rows=rows, waiting=rows, unassigned=unassigned)
