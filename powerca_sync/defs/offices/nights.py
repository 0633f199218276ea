"""When the nightly runs of an office are due: each office has its own minute, in the night of its own time zone."""

import hashlib
from datetime import datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from powerca_sync.offices import Office

#: Minutes after midnight over which the offices are spread.
SPREAD: Final = 300


def last_night(office: Office, now: datetime) -> str:
    """Returns the date of the last night whose minute has come for the office; `now` has a time zone.

    An office that is away in its minute has its nightly runs when it is back.
    """
    minute = int(hashlib.sha256(office.key.encode()).hexdigest(), 16) % SPREAD
    zone = ZoneInfo(office.timezone)
    today = now.astimezone(zone).date()
    begins = datetime.combine(today, time(), zone) + timedelta(minutes=minute)
    return str(today if now >= begins else today - timedelta(days=1))
