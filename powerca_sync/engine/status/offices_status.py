"""The status of all offices of a mobile database in a few statements, from what their runs have recorded.

Nothing is counted in the synced tables besides phone rows: rows of the desktop are those of the last full run.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

from powerca_sync.engine.mapping import read_identity
from powerca_sync.engine.postgres import Connection, Timeouts, explained, load, transaction
from powerca_sync.engine.reverse import PhoneRows, ledger, read_phone_rows_by_office
from powerca_sync.engine.staging import Rejections
from powerca_sync.engine.state.preparation import has_state
from powerca_sync.engine.status.reverse_status import ReverseStatus
from powerca_sync.engine.status.status import Status
from powerca_sync.engine.status.table_status import Contents, TableStatus
from powerca_sync.specs import BY_HAND, TableSpec


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class MobileOffices:
    """The state of all offices, as their runs have recorded it on mobile."""

    #: Tables by desktop identity and mobile name.
    tables: Mapping[str, Mapping[str, TableStatus]]
    #: By desktop identity and mobile name.
    phone_rows: Mapping[str, Mapping[str, PhoneRows]]
    #: Phone rows of unknown office by mobile name, without zeros.
    unassigned: Mapping[str, int]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LastPulled:
    """The last reverse run of a table, as the desktop has recorded it."""

    at: datetime
    #: Of the phone rows that it saw; begins with their number.
    digest: str
    changed: int
    missing: int
    quarantine: tuple[Rejections, ...]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DesktopOffice:
    """The last reverse runs, as the desktop has recorded them."""

    identity: str
    #: By desktop name; empty before the first reverse run.
    pulls: Mapping[str, LastPulled]


def read_offices_on_mobile(mobile: Connection, specs: Sequence[TableSpec], *, seconds: float) -> MobileOffices | None:
    """Returns the state of all offices; None if no sync has ever prepared mobile. Only reads.

    Each statement may take `seconds`.
    """
    with (
        explained("reading the status of the offices on mobile"),
        transaction(
            mobile, timezone="UTC", timeouts=Timeouts(statement=seconds, lock=seconds), snapshot=True
        ) as cursor,
    ):
        if not has_state(cursor):
            return None
        cursor.execute(load(__package__, "offices_on_mobile.sql"))
        tables: dict[str, dict[str, TableStatus]] = defaultdict(dict)
        for office, table, mode, synced_at, records, rows_read, milliseconds, foreign, error, quarantine in cursor:
            tables[office][table] = TableStatus(
                table=table,
                last_sync=synced_at,
                mode=mode,
                records=records,
                seconds=None if milliseconds is None else milliseconds / 1000,
                foreign=foreign or 0,
                error=error,
                quarantine=tuple(Rejections(**entry) for entry in quarantine),
                contents=Contents(desktop=rows_read or 0, phone=0, other=0, administrator=0, orphans=()),
            )
    found = read_phone_rows_by_office(mobile, specs, seconds=seconds)
    return MobileOffices(tables=tables, phone_rows=found.offices, unassigned=found.unassigned)


def read_office_on_desktop(desktop: Connection, *, seconds: float) -> DesktopOffice:
    """Returns the last reverse runs of the desktop. Only reads; each statement may take `seconds`."""
    with explained("reading the status of the office on the desktop"):
        identity, _ = read_identity(desktop)
        if not ledger.is_prepared(desktop):
            return DesktopOffice(identity=identity, pulls={})
        timeouts = Timeouts(statement=seconds, lock=seconds)
        with transaction(desktop, timezone="UTC", timeouts=timeouts, snapshot=True) as cursor:
            cursor.execute(load(__package__, "office_on_desktop.sql"))
            pulls = {
                table: LastPulled(
                    at=at,
                    digest=digest,
                    changed=changed,
                    missing=missing,
                    quarantine=tuple(Rejections(**entry) for entry in quarantine),
                )
                for table, at, digest, changed, missing, quarantine in cursor
            }
    return DesktopOffice(identity=identity, pulls=pulls)


def combine(
    specs: Sequence[TableSpec], mobile: MobileOffices | None, desktop: DesktopOffice | None, *, identity: str | None
) -> Status:
    """Returns the status of one office, of the form that `read_status` returns.

    `identity` is that of its desktop, as far as it is known; `desktop` is None if it does not answer.
    """
    if mobile is None or identity is None:
        return Status(tables=None, phones=None, problem=None, refusal=None)
    tables, phone_rows = mobile.tables.get(identity, {}), mobile.phone_rows.get(identity, {})
    never = TableStatus(
        table="",
        last_sync=None,
        mode=None,
        records=None,
        seconds=None,
        foreign=0,
        error=None,
        quarantine=(),
        contents=None,
    )
    return Status(
        tables=tuple(tables.get(spec.mobile) or dataclasses.replace(never, table=spec.mobile) for spec in specs)
        if tables
        else None,
        phones=None
        if desktop is None
        else tuple(
            _reverse_status(spec, desktop.pulls.get(spec.phone_table), phone_rows.get(spec.mobile))
            for spec in specs
            if spec.reverse
        ),
        problem=None,
        refusal=None,
    )


def _reverse_status(spec: TableSpec, last: LastPulled | None, found: PhoneRows | None) -> ReverseStatus:
    rows = found.rows if found else 0
    status = ReverseStatus(table=spec.mobile, phone_rows=rows, waiting=rows, by_hand=spec.reverse == BY_HAND)
    if last is None:
        return status
    # Of rows that were edited or replaced since, and of rows of unknown office, the number is not known.
    waiting = 0 if found is None or found.digest == last.digest else max(rows - int(last.digest.partition(":")[0]), 1)
    return dataclasses.replace(
        status,
        last_pull=last.at,
        waiting=waiting,
        pulled=rows - waiting,
        quarantine=last.quarantine,
        conflicting=sum(entry.rows for entry in last.quarantine if entry.reason == "conflict"),
        changed_after_pull=last.changed,
        missing_after_pull=last.missing,
    )
