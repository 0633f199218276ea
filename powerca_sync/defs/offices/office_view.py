"""Asks the databases of all offices, and Dagster's history, for what the overview shows of each office."""

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import dagster as dg

from powerca_sync.defs.attention import LATE, Attention, find_attention
from powerca_sync.defs.connections import PATIENCE, brief, without_row_content
from powerca_sync.defs.offices.rounds import ask, read_states, write_states
from powerca_sync.defs.platform import failed_checks
from powerca_sync.defs.runs import PastRun, offices_with_failures, read_past_runs
from powerca_sync.engine.postgres import connect
from powerca_sync.engine.status import (
    DesktopOffice,
    MobileOffices,
    Status,
    combine,
    read_office_on_desktop,
    read_offices_on_mobile,
)
from powerca_sync.errors import SyncError
from powerca_sync.offices import Office, Offices
from powerca_sync.plain_text import in_one_line
from powerca_sync.specs import TableSpec

#: Seconds for asking all desktops, and for a statement on mobile.
BUDGET, MOBILE_PATIENCE = 120.0, 60.0
#: Desktops that are asked at the same time: one that is away takes seconds.
THREADS: Final = 64
#: A nightly run begins in the same minute every night, and takes some time.
LATEST: Final = LATE + timedelta(hours=2)
#: Runs of an office that are looked at, if one of its runs failed in this time; before that, the office is late.
RUNS: Final = 5
RECENT: Final = timedelta(days=3)
#: Where the identity of a desktop is kept for the time in which it is away.
STORED: Final = "overview"
UNKNOWN: Final = Status(tables=None, phones=None, problem=None, refusal=None)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class OfficeView:
    """An office in the overview."""

    key: str
    #: Why one of its databases does not answer, or its entry in the file cannot be used.
    away: str = ""
    status: Status = UNKNOWN
    #: Of its checks, those that failed when they were last evaluated for this office.
    failed_checks: tuple[str, ...] = ()
    attention: tuple[Attention, ...] = ()

    @property
    def rank(self) -> tuple[Any, ...]:
        """Sorts the worst first: away, failed or late, failed checks, rows to look at."""
        about_sync = sum(not one.rows for one in self.attention)
        oldest = self.oldest[1] if self.oldest else datetime.min.replace(tzinfo=UTC)
        return (not self.away, -about_sync, -len(self.failed_checks), -len(self.attention), oldest, self.key)

    @property
    def late(self) -> list[str]:
        """Returns which tables were not synced in time."""
        return _sentences([one for one in self.attention if one.late])

    @property
    def unwell(self) -> list[str]:
        """Returns what else needs attention, the sync first."""
        checks = [f"Failed checks: {', '.join(self.failed_checks)}."] if self.failed_checks else []
        others = [one for one in self.attention if not one.late]
        return [*_sentences(sorted(others, key=lambda one: one.rows)), *checks]

    @property
    def reasons(self) -> list[str]:
        """Returns everything that needs attention."""
        return [*([in_one_line(self.away)] if self.away else []), *self.late, *self.unwell]

    @property
    def last_forward(self) -> datetime | None:
        """Returns when a table was last synced forward."""
        return max((table.last_sync for table in self.status.tables or () if table.last_sync), default=None)

    @property
    def last_reverse(self) -> datetime | None:
        """Returns when a table was last reverse-synced."""
        return max((table.last_pull for table in self.status.phones or () if table.last_pull), default=None)

    @property
    def oldest(self) -> tuple[str, datetime] | None:
        """Returns the table that was synced longest ago, and when."""
        synced = [(table.last_sync, table.table) for table in self.status.tables or () if table.last_sync]
        return (min(synced)[1], min(synced)[0]) if synced else None

    @property
    def quarantined(self) -> int:
        """Returns the rows in quarantine, in both directions."""
        return sum(table.quarantined for table in self.status.tables or ()) + self.phone_rows("quarantined")

    def phone_rows(self, figure: str) -> int:
        """Returns the sum of a figure over the reverse-synced tables."""
        return sum(getattr(table, figure) for table in self.status.phones or ())


def _sentences(found: Sequence[Attention]) -> list[str]:
    return [in_one_line(f"{one.table}: {one.what}" if one.table else one.what) for one in found]


def look_at_offices(
    instance: dg.DagsterInstance,
    offices: Offices,
    specs: Sequence[TableSpec],
    checks: Sequence[dg.AssetCheckKey],
    *,
    now: datetime,
) -> tuple[list[OfficeView], Mapping[str, Mapping[str, int]]]:
    """Returns all offices, the worst first, and the phone rows of unknown office by mobile database and table.

    Each mobile database is asked once for all of its offices.
    """
    found = list(offices.offices.values())
    desktops = {office.key: answer for office, answer in ask(found, _ask_desktop, seconds=BUDGET, threads=THREADS)}
    one_each = {office.mobile: office for office in found}
    mobiles = {
        office.mobile: answer for office, answer in ask(list(one_each.values()), partial(_ask_mobile, specs=specs))
    }
    known = read_states(instance, STORED, offices.offices)
    write_states(
        instance,
        STORED,
        {key: {"identity": one.identity} for key, one in desktops.items() if isinstance(one, DesktopOffice)},
    )
    failed, with_failures = failed_checks(instance, checks), offices_with_failures(instance, since=now - RECENT)
    views = [OfficeView(key=key, away=mistake) for key, mistake in offices.broken.items()]
    for office in found:
        view = _view(
            office.key,
            specs,
            mobiles[office.mobile],
            desktops.get(office.key, SyncError("The desktop was not asked in time.")),
            identity=known.get(office.key, {}).get("identity"),
        )
        runs: Sequence[PastRun] = ()
        if office.key in with_failures:
            runs = read_past_runs(instance, most=RUNS, office=office.key, figures=False)
        attention = (
            ()
            if view.status is UNKNOWN
            else find_attention(specs, view.status, runs, now=now, late=LATEST, by_office=True)
        )
        names = tuple(f"{key.asset_key.to_user_string()} {key.name}" for key in failed.get(office.key, ()))
        views.append(dataclasses.replace(view, attention=(*view.attention, *attention), failed_checks=names))
    unassigned = {
        mobile: answer.unassigned
        for mobile, answer in mobiles.items()
        if isinstance(answer, MobileOffices) and answer.unassigned
    }
    return sorted(views, key=lambda view: view.rank), unassigned


def _view(
    key: str,
    specs: Sequence[TableSpec],
    mobile: MobileOffices | SyncError | None,
    desktop: DesktopOffice | SyncError,
    *,
    identity: object,
) -> OfficeView:
    """Returns an office without its runs; `identity` is that of its desktop when it last answered."""
    away = " ".join(str(answer) for answer in (desktop, mobile) if isinstance(answer, SyncError))
    if isinstance(mobile, SyncError):
        return OfficeView(key=key, away=away)
    answered = desktop if isinstance(desktop, DesktopOffice) else None
    who = answered.identity if answered else identity
    if not isinstance(who, str):
        what = "The desktop has not answered before, so that nothing is known of its tables."
        return OfficeView(key=key, away=away, attention=(Attention(what=what, late=True),))
    return OfficeView(key=key, away=away, status=combine(specs, mobile, answered, identity=who))


def _ask_desktop(office: Office) -> DesktopOffice:
    with without_row_content(), contextlib.closing(connect(brief(office.desktop_endpoint()))) as desktop:
        return read_office_on_desktop(desktop, seconds=PATIENCE)


def _ask_mobile(office: Office, specs: Sequence[TableSpec]) -> MobileOffices:
    with without_row_content(), contextlib.closing(connect(brief(office.mobile_endpoint()))) as mobile:
        # Before the first sync of any office there is nothing to read.
        return read_offices_on_mobile(mobile, specs, seconds=MOBILE_PATIENCE) or MobileOffices(
            tables={}, phone_rows={}, unassigned={}
        )
