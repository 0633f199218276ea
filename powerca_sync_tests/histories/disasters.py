"""Faults of a whole server, its disk or its clock, or of a program between it and a run."""

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

#: The maximum time in seconds from the first connection of a Dagster run to its end.
DAGSTERS_TIME = 2.5
#: Time zones hours apart, with and without daylight saving time.
ZONES = ("UTC", "Asia/Kolkata", "America/New_York", "Pacific/Auckland")


def disk_full(site: Site, run: Run, dice: Random) -> bool:
    """Fills the disk of the receiving server: for temporary data of the run, and for a table."""
    where = site.receiver(run)
    database = site.side(where)
    table = site.changed if where == "mobile" else dice.choice(site.shared)
    # Sparse pages, so that a few rows need another one.
    database.execute(f"ALTER TABLE {table} SET TABLESPACE small; ALTER TABLE {table} SET (fillfactor = 10)")  # type: ignore[call-overload]
    database.execute("ALTER DATABASE history SET temp_tablespaces = 'small'")
    try:
        with site.disks[where].full_but_for(dice.randint(0, 5)):
            return DISK_FULL in site.finish(run)
    finally:
        database.execute("ALTER DATABASE history RESET temp_tablespaces")
        database.execute(f"ALTER TABLE {table} SET TABLESPACE pg_default; ALTER TABLE {table} RESET (fillfactor)")  # type: ignore[call-overload]


def server_crashed(site: Site, run: Run, dice: Random) -> bool:
    """Kills the server process of the run's connection; the server closes all connections and recovers."""
    where, share = dice.choice(WHERE), dice.uniform(0, 1)
    with _away(site, run, share):
        there = site.of_run(where)
        if there:
            os.kill(min(there), signal.SIGKILL)
            _wait_until_gone(site, where)
    return bool(there)


def server_restarted(site: Site, run: Run, dice: Random) -> bool:
    """Stops a server, orderly or not, and starts it again."""
    where, share, how = dice.choice(WHERE), dice.uniform(0, 1), dice.choice(("fast", "immediate"))
    with _away(site, run, share):
        there = site.of_run(where)
        site.machines[where].stop(how)
        site.machines[where].start()
    return bool(there)


def restored(site: Site, run: Run, dice: Random) -> bool:
    """Crashes a server and restores it from an earlier backup."""
    where, share = dice.choice(WHERE), dice.uniform(0, 1)
    machine = site.machines[where]
    machine.stop("fast")
    machine.back_up()
    machine.start()
    site.reconnect()
    ledgers = copy.deepcopy(site.office.ledgers)
    # Time passes.
    site.work(dice)
    site.office.forward(run.mode.value, allow=True)
    site.office.reverse()
    site.work(dice)
    phones, before = _numbers(site, "mobile", source="M"), _numbers(site, where)

    def crash() -> None:
        with _away(site, run, share) as started:
            machine.stop("immediate")
            # The run may not have connected yet; wait for it.
            started.kill()
            machine.start()

    # Results of the run are recorded before the state that it used is gone.
    site.office.disturbed(run.direction, crash)
    machine.stop("fast")
    machine.restore()
    machine.start()
    site.reconnect()
    gone = before - _numbers(site, where)
    if where == "desktop":
        site.office.accept_desktop()
        # The restored server has no record of later reverse runs; those rows are inserted again, and no others.
        site.office.ledgers = ledgers
        site.forgotten |= gone - phones
    else:
        site.forgotten |= gone & phones
    return True


def _numbers(site: Site, where: str, **wanted: str) -> set[tuple[str, int]]:
    """Returns the rows of a database by table and number: all, or those with these values."""
    side = {"desktop": site.office.desktop, "mobile": site.office.mobile}[where]
    return {
        (name, row["k"])
        for name, rows in side.look().items()
        for row, _ in rows.values()
        if wanted.items() <= row.items()
    }


def pooler_restarted(site: Site, run: Run, dice: Random) -> bool:
    """Stops the pooler in front of mobile, orderly or not, and starts it again."""
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
        # Otherwise the pooler's own connections stay open.
        pooler.end(signal.SIGKILL)
    return struck


def code_server_killed(site: Site, run: Run, dice: Random) -> bool:
    """Kills Dagster's code server and its run, as the end of a container does."""
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
    """Restarts a server during a run with a clock that is hours off; later with the right one."""
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
    # Time passes.
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
    """Writes desktop timestamps as if the clock had jumped by hours for a while; then kills a run."""
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
    """Changes the time zone of a server for all later reads and writes."""
    where, zone = dice.choice(WHERE), dice.choice(ZONES)
    site.side(where).execute(sql.SQL("ALTER DATABASE history SET timezone = {}").format(zone))
    site.reconnect()
    site.work(dice)
    site.office.disturbed(run.direction, lambda: site.finish(run))
    return True


@contextlib.contextmanager
def _away(site: Site, run: Run, share: float) -> Iterator[Started]:
    """In the body, that share of the run is over; the server stops and starts again."""
    with site.started(run) as started:
        site.wait(started, run, share)
        yield started
        site.reconnect()


def _wait_until_gone(site: Site, where: str) -> None:
    """Waits until the server has closed all connections."""
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
