"""Derives the list of problems for people from the status of both databases and the last runs."""

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from powerca_sync.defs.failures import name_launchpad_switches
from powerca_sync.defs.runs import FORWARD, PastRun
from powerca_sync.engine.status import ReverseStatus, Status, TableStatus
from powerca_sync.plain_text import counted
from powerca_sync.specs import TableSpec

#: Time without a forward run after which a table without a deadline is late, as in the freshness policy.
LATE: Final = timedelta(hours=24)
#: Offices that a sentence names.
NAMED: Final = 10


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Attention:
    """One thing that a person should look at."""

    #: Mobile name; empty if it concerns the whole sync.
    table: str = ""
    what: str
    #: It is about rows; otherwise about the sync itself.
    rows: bool = False
    #: A table was not synced in time.
    late: bool = False


def find_attention(
    specs: Sequence[TableSpec],
    status: Status,
    runs: Sequence[PastRun],
    *,
    now: datetime,
    late: timedelta = LATE,
    by_office: bool = False,
) -> tuple[Attention, ...]:
    """Returns what needs attention; the same things for which the runs and the checks of the tables warn.

    A table is late after `late`; those with a deadline too where freshness policies do not apply (`by_office`).
    """
    by_name = {spec.mobile: spec for spec in specs}
    failed = {table.table for table in status.tables or () if table.error}
    return (
        *_of_the_sync(status, runs, by_office),
        *(
            found
            for table in status.tables or ()
            for found in _of_table(by_name[table.table], table, now, late, by_office)
        ),
        *(found for table in status.phones or () for found in _of_phone_rows(table, failed)),
    )


def verdict(found: Sequence[Attention]) -> str:
    """Returns the sentence with which the report begins."""
    if not found:
        return "All well."
    return "1 thing needs attention." if len(found) == 1 else f"{len(found)} things need attention."


def verdict_of_offices(keys: Sequence[str], number: int) -> str:
    """Returns the sentence about so many offices, of which these need attention."""
    if not keys:
        return "The office is well." if number == 1 else f"All {number} offices are well."
    others = f" and {counted(len(keys) - NAMED, 'other')}" if len(keys) > NAMED else ""
    needs = "needs" if len(keys) == 1 else "need"
    return f"{len(keys)} of {counted(number, 'office')} {needs} attention: {', '.join(keys[:NAMED])}{others}."


def _of_the_sync(status: Status, runs: Sequence[PastRun], by_office: bool) -> Iterator[Attention]:
    if status.problem:
        yield Attention(what=status.problem)
    if status.refusal:
        yield Attention(what=status.refusal)
    if status.tables is None:
        where = "of this office" if by_office else "to this mobile database"
        yield Attention(what=f"Nothing has been synced {where} yet. Run the job `forward_full`.", late=True)
    latest: Mapping[str, PastRun] = {run.direction: run for run in reversed(runs) if run.seconds is not None}
    for direction, run in latest.items():
        named = direction == FORWARD and any(table.error for table in status.tables or ())
        if run.failed and not named:
            yield Attention(what=f"The last {direction} run failed (job {run.job}). Open it for the reason.")


def _of_table(
    spec: TableSpec, table: TableStatus, now: datetime, late: timedelta, by_office: bool
) -> Iterator[Attention]:
    if table.error:
        yield Attention(table=table.table, what=name_launchpad_switches(table.error))
    elif table.last_sync is None:
        yield Attention(table=table.table, what="It has never been synced.", late=True)
    elif (by_office or not spec.fresh_by) and now - table.last_sync > late:
        hours = (now - table.last_sync).total_seconds() / 3600
        yield Attention(table=table.table, what=f"It was last synced {counted(round(hours), 'hour')} ago.", late=True)
    quarantined, contents = table.quarantined, table.contents
    if quarantined > spec.warn_share * (quarantined + (contents.desktop if contents else 0)):
        reasons = "; ".join(str(entry) for entry in table.quarantine if not entry.deferred)
        yield Attention(table=table.table, what=f"{reasons}.", rows=True)
    if contents and contents.unowned:
        yield Attention(table=table.table, what=f"{counted(contents.unowned, 'row')} without an owner.", rows=True)


def _of_phone_rows(table: ReverseStatus, failed: Collection[str]) -> Iterator[Attention]:
    if table.error and table.table not in failed:
        yield Attention(table=table.table, what=table.error)
    for entry in table.quarantine:
        yield Attention(table=table.table, what=f"On the desktop: {entry}.", rows=True)
    if table.unassigned:
        yield Attention(
            table=table.table,
            what=f"{counted(table.unassigned, 'phone row')} of unknown office. Set the organisation on mobile.",
            rows=True,
        )
    if table.by_hand and table.waiting:
        yield Attention(
            table=table.table,
            what=(
                f"{counted(table.waiting, 'new phone row')} pending; the table is reverse-synced by hand only. Look at "
                f"the rows, then materialize `reverse/{table.table}`."
            ),
            rows=True,
        )
