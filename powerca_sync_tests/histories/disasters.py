"""Faults that befall a whole server, its disk or its clock, or a program between it and a run."""

import contextlib
import copy
import dataclasses
import os
import signal
import time
from collections.abc import Iterator
from random import Random

import psycopg
from psycopg import sql

from powerca_sync_tests.histories.faults import DISK_FULL, killed
from powerca_sync_tests.histories.machine import faketime
from powerca_sync_tests.histories.restarts import PATIENCE, CodeServer, Pooler, pgbouncer
from powerca_sync_tests.histories.runs import Run, Started
from powerca_sync_tests.histories.site import WHERE, Kind, Site

#: Seconds from the first connection of a run of Dagster's to its end, or less.
DAGSTERS_TIME = 2.5
#: Zones hours apart, with summer time and without.
ZONES = ("UTC", "Asia/Kolkata", "America/New_York", "Pacific/Auckland")


def disk_full(site: Site, run: Run, dice: Random) -> bool:
    """The receiving side's disk is full: for what the run puts aside while it works, and for a table."""
    where = site.receiver(run)
    database = site.side(where)
    table = site.changed if where == "mobile" else dice.choice(site.shared)
    # Thinly filled pages, so that a few rows need another one.
    database.execute(f"ALTER TABLE {table} SET TABLESPACE small; ALTER TABLE {table} SET (fillfactor = 10)")  # type: ignore[call-overload]
    database.execute("ALTER DATABASE history SET temp_tablespaces = 'small'")
    try:
        with site.disks[where].full_but_for(dice.randint(0, 5)):
            return DISK_FULL in site.finish(run)
    finally:
        database.execute("ALTER DATABASE history RESET temp_tablespaces")
        database.execute(f"ALTER TABLE {table} SET TABLESPACE pg_default; ALTER TABLE {table} RESET (fillfactor)")  # type: ignore[call-overload]


def server_crashed(site: Site, run: Run, dice: Random) -> bool:
    """The server's process of a run's connection is killed; the server throws everybody out and recovers."""
    where, share = dice.choice(WHERE), dice.uniform(0, 1)
    with _away(site, run, share):
        there = site.of_run(where)
        if there:
            os.kill(min(there), signal.SIGKILL)
            _wait_until_gone(site, where)
    return bool(there)


def server_restarted(site: Site, run: Run, dice: Random) -> bool:
    """A server is stopped, orderly or not, and started again."""
    where, share, how = dice.choice(WHERE), dice.uniform(0, 1), dice.choice(("fast", "immediate"))
    with _away(site, run, share):
        there = site.of_run(where)
        site.machines[where].stop(how)
        site.machines[where].start()
    return bool(there)


def restored(site: Site, run: Run, dice: Random) -> bool:
    """A server is crashed and comes back as it was some time ago."""
    where, share = dice.choice(WHERE), dice.uniform(0, 1)
    machine = site.machines[where]
    machine.stop("fast")
    machine.back_up()
    machine.start()
    site.reconnect()
    ledgers = copy.deepcopy(site.office.ledgers)
    # Time goes by.
    site.work(dice)
    site.office.forward(run.mode.value, allow=True)
    site.office.reverse()
    site.work(dice)
    phones, before = _numbers(site, "mobile", source="M"), _numbers(site, where)

    def crash() -> None:
        with _away(site, run, share) as started:
            machine.stop("immediate")
            # Lest it has not even connected yet, and does so now.
            started.kill()
            machine.start()

    # What the run got done is seen before what it was done with is gone.
    site.office.disturbed(run.direction, crash)
    machine.stop("fast")
    machine.restore()
    machine.start()
    site.reconnect()
    gone = before - _numbers(site, where)
    if where == "desktop":
        site.office.accept_desktop()
        # It knows nothing of what was pulled since; that comes again, and only that.
        site.office.ledgers = ledgers
        site.forgotten |= gone - phones
    else:
        site.forgotten |= gone & phones
    return True


def _numbers(site: Site, where: str, **wanted: str) -> set[tuple[str, int]]:
    """The rows of a side by table and number: all, or those with these values."""
    side = {"desktop": site.office.desktop, "mobile": site.office.mobile}[where]
    return {
        (name, row["k"])
        for name, rows in side.look().items()
        for row, _ in rows.values()
        if wanted.items() <= row.items()
    }


def pooler_restarted(site: Site, run: Run, dice: Random) -> bool:
    """The pooler before the mobile side ends, orderly or not, and is started again."""
    by, share = dice.choice((signal.SIGINT, signal.SIGTERM, signal.SIGKILL)), dice.uniform(0, 1)
    with (
        Pooler(site.machines["mobile"], run.mobile, site.folder / "pooler") as pooler,
        site.started(dataclasses.replace(run, mobile=pooler.through)) as started,
    ):
        site.wait(started, run, share)
        struck = started.alive and bool(site.of_run("mobile"))
        pooler.end(by)
        pooler.start()
        started.join(PATIENCE)
        # Otherwise its own connections stay.
        pooler.end(signal.SIGKILL)
    return struck


def code_server_killed(site: Site, run: Run, dice: Random) -> bool:
    """Dagster's code server is killed in the middle of a run, with the run, as the end of a container does it."""
    share = dice.uniform(0, 1)
    server = CodeServer(
        site.folder / "dagster",
        run.desktop,
        run.mobile,
        names=site.office.names,
        variant=site.office.variant,
        stamped=site.stamped,
    )
    with site.watching(), server.running(run.direction, run.mode):
        give_up = time.monotonic() + PATIENCE
        while not any(map(site.of_run, WHERE)):
            assert time.monotonic() < give_up, f"Dagster does not run the job: {server.log()}"
            time.sleep(0.01)
        # Between two tables there is no connection.
        time.sleep(share * DAGSTERS_TIME)
    return server.was_interrupted()


def clock_jumped(site: Site, run: Run, dice: Random) -> bool:
    """One side's machine starts anew in the middle of a run, with a clock that is hours off; later with a right one."""
    where, share, hours = dice.choice(WHERE), dice.uniform(0, 1), dice.randint(-12, 12)
    machine = site.machines[where]
    struck = False

    def jump() -> None:
        nonlocal struck
        with _away(site, run, share):
            struck = bool(site.of_run(where))
            machine.stop("immediate")
            machine.set_clock(hours)
            machine.start()

    site.office.disturbed(run.direction, jump)
    # Time goes by.
    site.work(dice)
    site.office.forward(run.mode.value, allow=True)
    site.office.reverse()
    site.work(dice)
    machine.stop("fast")
    machine.set_clock(0)
    machine.start()
    site.reconnect()
    return struck


def stamps_jumped(site: Site, run: Run, dice: Random) -> bool:
    """The desktop writes stamps as if its clock had jumped by hours for a while; then a run is killed."""
    _lag(site, dice.randint(-12, 12))
    site.work(dice)
    _lag(site, 0)
    struck = False

    def kill() -> None:
        nonlocal struck
        struck = killed(site, run, dice)

    site.office.disturbed(run.direction, kill)
    return struck and site.stamped


def _lag(site: Site, hours: int) -> None:
    if site.stamped:
        body = sql.Literal(f"SELECT interval '{hours} hours'")
        site.pair.source.execute(
            sql.SQL("CREATE OR REPLACE FUNCTION lag() RETURNS interval LANGUAGE sql AS {}").format(body)
        )


def zone_changed(site: Site, run: Run, dice: Random) -> bool:
    """A server gets another time zone, in which all write and read from then on."""
    where, zone = dice.choice(WHERE), dice.choice(ZONES)
    site.side(where).execute(sql.SQL("ALTER DATABASE history SET timezone = {}").format(zone))
    site.reconnect()
    site.work(dice)
    site.office.disturbed(run.direction, lambda: site.finish(run))
    return True


@contextlib.contextmanager
def _away(site: Site, run: Run, share: float) -> Iterator[Started]:
    """Inside, that share of the run is over, and a server goes away and comes back."""
    with site.started(run) as started:
        site.wait(started, run, share)
        yield started
        site.reconnect()


def _wait_until_gone(site: Site, where: str) -> None:
    """Until the server has thrown everybody out."""
    give_up = time.monotonic() + PATIENCE
    with contextlib.suppress(psycopg.OperationalError):
        while time.monotonic() < give_up:
            site.side(where).execute("SELECT")
            time.sleep(0.002)
        raise AssertionError(f"the server of {where} goes on as if nothing had happened")


def _without_disk(site: Site) -> str:
    return "" if len(site.disks) == len(WHERE) else "no small disk can be mounted here"


def _without_pooler(site: Site) -> str:
    return "" if pgbouncer() else "pgbouncer is not installed"


def _without_clock(site: Site) -> str:
    return "" if faketime() else "faketime is not installed"


KINDS = (
    Kind(name="disk full", strike=disk_full, missing=_without_disk),
    Kind(name="server crashed", strike=server_crashed),
    Kind(name="server restarted", strike=server_restarted, share=4),
    Kind(name="server restored", strike=restored, share=2, watched=False),
    Kind(name="pooler restarted", strike=pooler_restarted, missing=_without_pooler),
    Kind(name="code server killed", strike=code_server_killed, share=1),
    Kind(name="clock jumped", strike=clock_jumped, share=4, watched=False, by_increments=False, missing=_without_clock),
    Kind(name="stamps jumped", strike=stamps_jumped, share=4, watched=False, by_increments=False),
    Kind(name="time zone changed", strike=zone_changed, share=3, watched=False, by_increments=False),
)
