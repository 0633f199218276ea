"""When the runs of an office are due by the clock: nightly ones, and incremental ones if it has a cron string."""

import functools
import hashlib
from datetime import datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import dagster as dg

from powerca_sync.errors import ConfigurationError
from powerca_sync.offices import Office
from powerca_sync.operations import CRON_FORM, FULL_CRON, INCREMENTAL_CRON

#: Minutes after midnight over which the offices are spread that have no cron string of their own.
SPREAD: Final = 300
#: Of a tick; it begins with the date.
_FORMAT: Final = "%Y-%m-%d %H:%M"
#: A cron string comes round at least so often.
LONGEST: Final = timedelta(days=8)


def last_night(office: Office, now: datetime) -> str:
    """Returns the date of the last night whose minute has come for the office; `now` has a time zone.

    An office that is away in its minute has its nightly runs when it is back. Raises as `last_tick` does.
    """
    if cron := office.crons.get(FULL_CRON):
        return last_tick(cron, office.timezone, now)[:10]
    minute = int(hashlib.sha256(office.key.encode()).hexdigest(), 16) % SPREAD
    zone = ZoneInfo(office.timezone)
    today = now.astimezone(zone).date()
    begins = datetime.combine(today, time(), zone) + timedelta(minutes=minute)
    return str(today if now >= begins else today - timedelta(days=1))


def last_turn(office: Office, now: datetime, default: str) -> str:
    """Returns the last tick of the office's cron string for incremental runs, or of the default; empty without one.

    Raises as `last_tick` does.
    """
    cron = office.crons.get(INCREMENTAL_CRON, default)
    return last_tick(cron, office.timezone, now) if cron else ""


def last_tick(cron: str, timezone: str, now: datetime) -> str:
    """Returns the last tick of a cron string in that zone; empty if there was none for over a week.

    Raises `ConfigurationError` for an invalid cron string.
    """
    return _last_tick(cron, timezone, now.replace(second=0, microsecond=0))


@functools.lru_cache(maxsize=1000)
def _last_tick(cron: str, timezone: str, now: datetime) -> str:
    try:
        windows = dg.TimeWindowPartitionsDefinition(
            start=now - LONGEST, fmt=_FORMAT, cron_schedule=cron, timezone=timezone
        )
    except dg.DagsterInvalidDefinitionError as exc:
        raise ConfigurationError(f"`{cron}` is not a valid cron string. {CRON_FORM}.") from exc
    # A window ends at a tick.
    ended = windows.get_partition_keys(current_time=now)
    if not ended:
        return ""
    return windows.time_window_for_partition_key(ended[-1]).end.astimezone(ZoneInfo(timezone)).strftime(_FORMAT)
