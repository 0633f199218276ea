"""The clocks of both servers and of this machine, and the office's time zone."""

import time
from collections.abc import Callable, Iterator, Mapping

import psycopg

from powerca_sync.engine.doctor.findings import BOTH, Finding, warning, wrong
from powerca_sync.engine.doctor.side import Side
from powerca_sync.engine.postgres import Cursor, load, one_row
from powerca_sync.plain_text import counted

#: Seconds by which clocks may differ before time stamps look wrong.
CLOCK_TOLERANCE = 60


def examine_zones(source: Side, target: Side, own: str, configured: str | None) -> Iterator[Finding]:
    """Yields a finding if a server does not know the office's zone, or if it differs from the desktop's `own`."""
    zone = configured or own
    for side in (source, target):
        if side.look("the names of time zones", lambda cursor: _knows(cursor, zone)) is False:
            yield wrong(
                side.name,
                f"The {side.name} database does not know the time zone `{zone}`.",
                why="No table can be synced: times without a zone would be read wrongly.",
                do="Set `LOCAL_DB_TIMEZONE` to a name that both servers know, such as Asia/Kolkata.",
            )
            return
    if configured is None:
        return
    same = source.look(
        "the time zone",
        lambda cursor: one_row(cursor, load(__package__, "zone.sql"), {"ours": configured, "theirs": own}),
    )
    if same == (False,):
        yield warning(
            source.name,
            f"`LOCAL_DB_TIMEZONE` is `{configured}`, but the desktop's own zone is `{own}`.",
            why="The desktop's time stamps have no zone: in another zone, all of them are hours off on the phones.",
            do="Remove `LOCAL_DB_TIMEZONE`, unless you know that the office's program writes times of that zone.",
        )


def _knows(cursor: Cursor, zone: str) -> bool:
    try:
        with cursor.connection.transaction():
            cursor.execute("SELECT set_config('TimeZone', %s, true)", [zone])
    except psycopg.errors.InvalidParameterValue:
        return False
    return True


def clock_offset(cursor: Cursor, now: Callable[[], float] = time.time) -> float:
    """Returns the seconds by which the server's clock is ahead of `now`; the error is half the round trip."""
    before = now()
    (server,) = one_row(cursor, "SELECT extract(epoch FROM clock_timestamp())::float8")
    return float(server) - (before + now()) / 2


def examine_clocks(offsets: Mapping[str, float]) -> Iterator[Finding]:
    """Yields a finding if clocks differ; `offsets` are the servers' seconds ahead of this machine."""
    clocks = {"this machine": 0.0} | {f"the {side} server": offset for side, offset in offsets.items()}
    slowest, fastest = min(clocks, key=lambda name: clocks[name]), max(clocks, key=lambda name: clocks[name])
    apart = clocks[fastest] - clocks[slowest]
    if apart > CLOCK_TOLERANCE:
        yield warning(
            BOTH,
            f"The clock of {fastest} is {_duration(apart)} ahead of that of {slowest}.",
            why="Which rows are synced does not depend on clocks, but stamps and the times of runs will look wrong, "
            "and a clock that is far off breaks encrypted connections.",
            do="Set the wrong clock; on Windows switch on *Set time automatically*.",
        )


def _duration(seconds: float) -> str:
    if seconds < 7200:
        return counted(round(seconds / 60), "minute")
    return f"{seconds / 3600:.1f} h"
