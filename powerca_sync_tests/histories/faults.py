"""Everyday faults of a run: killed processes, broken connections, locks and timeouts.

Faults of a whole server, or of a program between, are in `disasters`.
"""

import contextlib
import dataclasses
import time
from random import Random

import psycopg

from powerca_sync.engine.postgres.database import connect
from powerca_sync_tests.helpers import LOCK_AWAITED
from powerca_sync_tests.histories.proxy import Trouble
from powerca_sync_tests.histories.runs import Run
from powerca_sync_tests.histories.site import LONG, PATIENCE, WHERE, Kind, Site

#: The SQLSTATEs that the databases report.
DISK_FULL, TEMP_FILES, TIMEOUT, LOCK_TIMEOUT, DEADLOCK = "53100", "53400", "57014", "55P03", "40P01"


def killed(site: Site, run: Run, dice: Random) -> bool:
    """Kills the process at a random time."""
    with site.started(run) as started:
        site.wait(started, run, dice.uniform(0, 1))
        struck = started.alive
        started.kill()
    return struck


def terminated(site: Site, run: Run, dice: Random) -> bool:
    """Terminates the run's connection at a random time."""
    where, share = dice.choice(WHERE), dice.uniform(0, 1)
    with site.started(run) as started:
        site.wait(started, run, share)
        ended = list(site.of_run(where))
        site.side(where).execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", [ended])
    return bool(ended)


def cut(site: Site, run: Run, dice: Random) -> bool:
    """Cuts the connection after a random number of bytes."""
    return _over_a_line(site, run, dice, "cut")


def stalled(site: Site, run: Run, dice: Random) -> bool:
    """Passes nothing more on over the connection, until the run is killed."""
    return _over_a_line(site, run, dice, "stalled")


def delayed(site: Site, run: Run, dice: Random) -> bool:
    """Slows the connection down."""
    return _over_a_line(site, run, dice, "delayed")


def _over_a_line(site: Site, run: Run, dice: Random, kind: str) -> bool:
    where = dice.choice(WHERE)
    proxy = site.proxies[where]
    through = dataclasses.replace(run, **{where: proxy.through})
    trouble = Trouble(kind=kind, after=int(10 ** dice.uniform(2, 5.1)))
    with proxy.troubled(trouble), site.started(through) as started:
        give_up = time.monotonic() + LONG
        while started.alive and not proxy.struck and time.monotonic() < give_up:
            started.join(0.01)
        started.join(PATIENCE if kind == "stalled" else LONG)
        started.kill()
        return proxy.struck


def refused_for_space(site: Site, run: Run, dice: Random) -> bool:
    """Raises "disk full" in the receiving database from a random row on."""
    body = "RAISE 'could not extend file: No space left on device' USING ERRCODE = '53100';"
    return DISK_FULL in _at_a_row(site, run, dice, body)


def temp_file_limit(site: Site, run: Run, dice: Random) -> bool:
    """Lets a trigger of the receiving database sort more than `temp_file_limit` allows.

    The engine's own sorts stay in memory up to a million rows and more, which would take a campaign too long.
    """
    database = site.side(site.receiver(run))
    database.execute("ALTER DATABASE history SET temp_file_limit = '64kB'")
    try:
        body = "PERFORM n FROM generate_series(1, 20000) AS n ORDER BY md5(n::text);"
        return TEMP_FILES in _at_a_row(site, run, dice, body)
    finally:
        database.execute("ALTER DATABASE history RESET temp_file_limit")


def _at_a_row(site: Site, run: Run, dice: Random, body: str) -> frozenset[str]:
    """Executes something whenever a row is written, from a random one on; returns the SQLSTATEs of the run's
    failures.
    """
    database = site.side(site.receiver(run))
    database.execute(
        f"""
        CREATE SEQUENCE written;
        CREATE FUNCTION at_a_row() RETURNS trigger LANGUAGE plpgsql SET work_mem = '64kB' AS $$ BEGIN
            IF nextval('written') >= {dice.randint(1, 6)} THEN {body} END IF;
            RETURN coalesce(NEW, OLD);
        END $$"""  # type: ignore[call-overload]
    )
    for table in site.office.names:
        trigger = f"CREATE TRIGGER at_a_row BEFORE INSERT OR UPDATE OR DELETE ON {table}"
        database.execute(f"{trigger} FOR EACH ROW EXECUTE FUNCTION at_a_row()")  # type: ignore[call-overload]
    try:
        return site.finish(run)
    finally:
        database.execute("DROP FUNCTION at_a_row CASCADE; DROP SEQUENCE written")


def statement_timeout(site: Site, run: Run, dice: Random) -> bool:
    """Sets a short statement timeout."""
    return TIMEOUT in site.finish(dataclasses.replace(run, statement_timeout=dice.uniform(0.001, 0.006)))


def lock_timeout(site: Site, run: Run, dice: Random) -> bool:
    """Locks a table from another session."""
    where = dice.choice(WHERE)
    # Readers are not blocked by the other mode.
    strength = dice.choice(("EXCLUSIVE", "ACCESS EXCLUSIVE")) if where == site.receiver(run) else "ACCESS EXCLUSIVE"
    endpoint = {"desktop": run.desktop, "mobile": run.mobile}[where]
    with connect(endpoint) as app, app.transaction(force_rollback=True):
        table = site.changed if run.direction == "forward" else dice.choice(site.shared)
        app.execute(f"LOCK {table} IN {strength} MODE")  # type: ignore[call-overload]
        return LOCK_TIMEOUT in site.finish(dataclasses.replace(run, lock_timeout=0.1))


def deadlock(site: Site, run: Run, dice: Random) -> bool:
    """Locks the rows of a table in the opposite order, as the app; the run is the deadlock victim."""
    run = dataclasses.replace(run, lock_timeout=20)
    table = site.changed
    rows = [uid for uid, (row, _) in site.office.mobile.look()[table].items() if row["source"] == "D"]
    if len(rows) < 2:
        site.finish(run)
        return False
    tick = f"UPDATE {table} SET ticked = 1 - coalesce(ticked, 0) WHERE mobile_uid = %s"  # noqa: S608
    with connect(run.mobile) as app, connect(run.mobile) as watch, site.started(run) as started:
        app.execute("SET deadlock_timeout = '1min'; SET lock_timeout = '10s'; BEGIN")
        with contextlib.suppress(psycopg.OperationalError):
            app.execute(tick, [max(rows)])  # type: ignore[call-overload]
            while started.alive and watch.execute(f"SELECT {LOCK_AWAITED}").fetchone() != (True,):
                started.join(0.005)
            app.execute(tick, [min(rows)])  # type: ignore[call-overload]
        app.execute("ROLLBACK")
        started.join(LONG)
    return DEADLOCK in started.failures


KINDS = (
    Kind(name="killed", strike=killed, share=10),
    Kind(name="terminated", strike=terminated, share=8),
    Kind(name="cut", strike=cut, share=8),
    Kind(name="stalled", strike=stalled, share=4),
    Kind(name="delayed", strike=delayed, share=4),
    Kind(name="refused for space", strike=refused_for_space),
    Kind(name="temp_file_limit", strike=temp_file_limit),
    Kind(name="statement timeout", strike=statement_timeout),
    Kind(name="lock timeout", strike=lock_timeout),
    Kind(name="deadlock", strike=deadlock, directions=("forward",)),
)
