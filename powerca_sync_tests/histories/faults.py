"""A campaign of faults against runs of both directions: `make faults ARGS="--faults 1000"`. Not for Windows.

While an office and its phones work, each run is hit by one fault at a random moment. Then runs go on until all is
quiet, and both sides must hold what they should: every row once. A fault that comes too late is not counted. The exit
status is 1 if a row was lost or doubled.
"""

import argparse
import contextlib
import dataclasses
import logging
import multiprocessing
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.process import BaseProcess

import psycopg

from powerca_sync.engine.database import Connection, Timeouts, connect
from powerca_sync.engine.extract import Mode, TableExtract, TablePull
from powerca_sync.engine.forward import sync_forward
from powerca_sync.engine.result import Options
from powerca_sync.engine.reverse import sync_reverse
from powerca_sync.errors import SyncError
from powerca_sync.settings import Endpoint
from powerca_sync.tables import TableSpec
from powerca_sync_tests.helpers import ORGS, Pair
from powerca_sync_tests.histories.office import Office
from powerca_sync_tests.histories.proxy import Proxy, Trouble
from powerca_sync_tests.histories.soak import databases
from powerca_sync_tests.histories.tables import SHARED

#: After so many faults the office is replaced by a new one.
FAULTS_PER_OFFICE = 15
#: A run that hangs is killed after so many seconds, as somebody would do.
PATIENCE = 1.5
#: So long may a run of both directions take that nothing disturbs, at first; later it is measured.
USUAL = 0.5
DIRECTIONS = ("forward", "reverse")
WHERE = ("desktop", "mobile")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A run in a process of its own."""

    direction: str
    desktop: Endpoint
    mobile: Endpoint
    tables: Sequence[TableSpec]
    statement_timeout: float = 30
    lock_timeout: float = 5

    def __call__(self) -> None:
        logging.disable()
        timeouts = Timeouts(statement=self.statement_timeout, lock=self.lock_timeout, table=5)
        with contextlib.suppress(SyncError), connect(self.desktop) as desktop, connect(self.mobile) as mobile:
            for table in self.tables:
                with contextlib.suppress(SyncError):
                    self._sync(table, desktop, mobile, Options(timeouts=timeouts))

    def _sync(self, table: TableSpec, desktop: Connection, mobile: Connection, options: Options) -> None:
        specs = (ORGS, *self.tables)
        if self.direction == "forward":
            what = TableExtract(spec=table, mode=Mode.FULL, allow_mass_delete=True)
            sync_forward(what, source=desktop, target=mobile, specs=specs, options=options)
        elif table.mobile in SHARED:
            sync_reverse(TablePull(spec=table), source=mobile, target=desktop, specs=specs, options=options)


class Campaign:
    """One office after the other, and what became of each fault."""

    def __init__(self, pair: Pair, proxies: dict[str, Proxy], seed: str) -> None:
        self.pair = pair
        self.proxies = proxies
        self.dice = random.Random(seed)
        self.times: Counter[str] = Counter()
        self.survived: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.doubled: Counter[str] = Counter()
        self.complaints: list[str] = []
        #: Seconds that a run takes, by direction; bytes that it sends, by side.
        self.usual = dict.fromkeys(DIRECTIONS, USUAL)
        self.serial = 0
        #: Whether the fault came before the run had ended.
        self._struck = True
        #: The table in which the office has changed all its rows.
        self._changed = ""

    def go(self, *, faults: int, seconds: float) -> None:
        """Hit runs until there were enough faults, or the time is up."""
        give_up = time.monotonic() + seconds
        kinds: tuple[Callable[[Office, Run], None], ...] = (
            *(self.killed, self.terminated, self.cut, self.stalled, self.delayed),
            *(self.disk_full, self.statement_timeout, self.lock_timeout, self.deadlock),
        )
        office: Office | None = None
        for n in range(faults):
            if time.monotonic() > give_up:
                break
            if office is None or n % FAULTS_PER_OFFICE == 0:
                if office:
                    office.close()
                self.serial = 0
                office = Office(self.pair, notes_key=self.dice.random() < 0.5, alone=self.dice.random() < 0.5)
            kind = kinds[n % len(kinds)]
            if not self._hit(office, kind):
                office.close()
                office = None
        if office:
            office.close()

    def _hit(self, office: Office, fault: Callable[[Office, Run], None]) -> bool:
        self._work(office)
        direction = self.dice.choice(DIRECTIONS if fault != self.deadlock else DIRECTIONS[:1])
        name = fault.__name__.replace("_", " ")
        run = Run(
            direction=direction,
            desktop=self.pair.settings.desktop,
            mobile=self.pair.settings.mobile,
            tables=tuple(office.specs.values()),
        )
        self._struck = True
        try:
            office.disturbed(direction, lambda: fault(office, run))
            office.settle()
        except Exception as exc:
            self.complaints.append(f"{name}, {direction}: {exc}")
        self.times[name] += self._struck
        lost, doubled = self._count(office)
        self.lost[name] += lost
        self.doubled[name] += doubled
        fine = not (lost or doubled or (self.complaints and self.complaints[-1].startswith(f"{name}, {direction}: ")))
        self.survived[name] += fine and self._struck
        return fine

    def _work(self, office: Office) -> None:
        """The office and its phones write some rows that fit, each with a number of its own."""
        for _ in range(self.dice.randint(3, 8)):
            table = self.dice.choice(office.names)
            where = self.dice.choice(WHERE) if table in SHARED else "desktop"
            self.serial += 1
            values = {"org_id": 1, "job_id": self.serial, "k": self.serial, "name": "a", "days": 1, "ticked": 0}
            if table == "tasks":
                # Without a job, so that its number is not a reference.
                values |= {"job_id": None}
            source = {"source": "M"} if where == "mobile" else {}
            office.insert(where, table, **values, **source)
        self._changed = self.dice.choice(office.names)
        uids = [
            uid
            for uid, (row, _) in office.desktop.look()[self._changed].items()
            if row["k"] not in self._phones(office, self._changed)
        ]
        self.pair.source.execute(
            f"UPDATE {self._changed} SET days = 1 - days WHERE desktop_uid = ANY (%s)",  # type: ignore[call-overload]  # noqa: S608
            [uids],
        )

    def _phones(self, office: Office, table: str) -> set[int]:
        return {row["k"] for row, _ in office.mobile.look()[table].values() if row["source"] == "M"}

    def _count(self, office: Office) -> tuple[int, int]:
        """Rows lost and rows doubled, by their numbers: each is on both sides, once."""
        lost = doubled = 0
        desktop, mobile = office.look()
        for table in office.names:
            sides = [Counter(row["k"] for row, _ in side[table].values()) for side in (desktop, mobile)]
            for number in sides[0] | sides[1]:
                lost += sum(side[number] < 1 for side in sides)
                doubled += sum(side[number] > 1 for side in sides)
        return lost, doubled

    def table(self, seed: str) -> str:
        """What became of the faults, and what is wrong."""
        lines = [f"{'fault':<20}{'times':>8}{'survived':>10}{'rows lost':>11}{'rows doubled':>14}"]
        for name in [*self.times, "all"]:
            columns = (self.times, self.survived, self.lost, self.doubled)
            times, survived, lost, doubled = (c.total() if name == "all" else c[name] for c in columns)
            lines.append(f"{name:<20}{times:>8}{survived:>10}{lost:>11}{doubled:>14}")
        return "\n".join([*lines, "", *self.complaints, f"seed {seed}", ""])

    # The faults.

    def killed(self, office: Office, run: Run) -> None:
        """The process is killed at a random time."""
        with self._started(run) as process:
            self._wait(process, run)
            self._struck = process.is_alive()
            if process.pid and process.is_alive():
                os.kill(process.pid, signal.SIGKILL)

    def terminated(self, office: Office, run: Run) -> None:
        """A server ends the run's connection at a random time."""
        side = self.dice.choice((self.pair.source, self.pair.target))
        there = _connections(side)
        with self._started(run) as process:
            self._wait(process, run)
            ended = list(_connections(side) - there)
            self._struck = bool(ended)
            side.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", [ended])

    def cut(self, office: Office, run: Run) -> None:
        """The line is cut after a random number of bytes."""
        self._over_a_line(run, "cut")

    def stalled(self, office: Office, run: Run) -> None:
        """Nothing more comes over the line, until somebody kills the run."""
        self._over_a_line(run, "stalled")

    def delayed(self, office: Office, run: Run) -> None:
        """The line is slow."""
        self._over_a_line(run, "delayed")

    def _over_a_line(self, run: Run, kind: str) -> None:
        where = self.dice.choice(WHERE)
        proxy = self.proxies[where]
        run = dataclasses.replace(run, **{where: proxy.through})
        with (
            proxy.troubled(Trouble(kind=kind, after=int(10 ** self.dice.uniform(2, 5.2)))),
            self._started(run) as process,
        ):
            process.join(PATIENCE if kind == "stalled" else 30)
            if process.pid and process.is_alive():
                os.kill(process.pid, signal.SIGKILL)
            self._struck = proxy.struck

    def disk_full(self, office: Office, run: Run) -> None:
        """The receiving side has no space left, from a random row of a random table on."""
        where = "mobile" if run.direction == "forward" else "desktop"
        side = self.pair.target if where == "mobile" else self.pair.source
        table = self.dice.choice(office.names)
        side.execute(
            f"""
            CREATE SEQUENCE written;
            CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF nextval('written') >= {self.dice.randint(1, 6)} THEN
                    RAISE 'could not extend file: No space left on device' USING ERRCODE = '53100';
                END IF;
                RETURN coalesce(NEW, OLD);
            END $$;
            CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE OR DELETE ON {table}
            FOR EACH ROW EXECUTE FUNCTION full_disk()"""  # type: ignore[call-overload]
        )
        try:
            self._finish(run)
        finally:
            side.execute("DROP FUNCTION full_disk CASCADE; DROP SEQUENCE written")

    def statement_timeout(self, office: Office, run: Run) -> None:
        """Statements may not take long."""
        self._finish(dataclasses.replace(run, statement_timeout=self.dice.uniform(0.001, 0.02)))

    def lock_timeout(self, office: Office, run: Run) -> None:
        """The app holds a lock on a table."""
        endpoint = self.dice.choice((run.desktop, run.mobile))
        with connect(endpoint) as app, app.transaction(force_rollback=True):
            app.execute(f"LOCK {self.dice.choice(office.names)} IN EXCLUSIVE MODE")  # type: ignore[call-overload]
            self._finish(dataclasses.replace(run, lock_timeout=0.1))

    def deadlock(self, office: Office, run: Run) -> None:
        """The app takes the rows of a table in the opposite order; the run is the one that has to give way."""
        run = dataclasses.replace(run, lock_timeout=20)
        table = self._changed
        rows = [uid for uid, (row, _) in office.mobile.look()[table].items() if row["source"] == "D"]
        if len(rows) < 2:
            return self._finish(run)
        tick = f"UPDATE {table} SET ticked = 1 - coalesce(ticked, 0) WHERE mobile_uid = %s"  # noqa: S608
        with connect(run.mobile) as app, self._started(run) as process:
            app.execute("SET deadlock_timeout = '1min'; SET lock_timeout = '10s'; BEGIN")
            with contextlib.suppress(psycopg.OperationalError):
                app.execute(tick, [max(rows)])  # type: ignore[call-overload]
                self._wait(process, run)
                app.execute(tick, [min(rows)])  # type: ignore[call-overload]
            app.execute("ROLLBACK")
            process.join(30)
        return None

    def _wait(self, process: BaseProcess, run: Run) -> None:
        process.join(self.dice.uniform(0, 1.2) * self.usual[run.direction])

    def _finish(self, run: Run) -> None:
        began = time.monotonic()
        with self._started(run) as process:
            process.join(30)
        # A running mean, so that random moments fall into the run.
        self.usual[run.direction] += 0.2 * (time.monotonic() - began - self.usual[run.direction])

    @contextlib.contextmanager
    def _started(self, run: Run) -> Iterator[BaseProcess]:
        sides = (self.pair.source, self.pair.target)
        before = [_connections(side) for side in sides]
        process = _PROCESSES.Process(target=run)
        process.start()
        try:
            yield process
        finally:
            process.join(PATIENCE)
            if process.is_alive() and process.pid:
                os.kill(process.pid, signal.SIGKILL)
            process.join()
            for side, there in zip(sides, before, strict=True):
                _wait_until_gone(side, there)


def _connections(side: Connection) -> set[int]:
    query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
    return {pid for (pid,) in side.execute(query)}


def _wait_until_gone(side: Connection, there: set[int]) -> None:
    """Until the server has noticed that a run is gone; at last it is told."""
    give_up = time.monotonic() + 1
    while more := _connections(side) - there:
        if time.monotonic() > give_up:
            side.execute("SELECT pg_terminate_backend(pid, 5000) FROM unnest(%s::int[]) AS pid", [list(more)])
        time.sleep(0.01)


#: Not forks of this process, which has threads and connections of its own.
_PROCESSES = multiprocessing.get_context("forkserver")


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description=__doc__, prog="make faults")
    parser.add_argument("--faults", type=int, default=1000, help="how many (default: 1000)")
    parser.add_argument("--minutes", type=float, default=60, help="for how long at most (default: 60)")
    parser.add_argument("--seed", default=str(time.time_ns()), help="what the dice begin with")
    asked = parser.parse_args()
    logging.disable()
    multiprocessing.set_forkserver_preload(["powerca_sync_tests.histories.office"])
    with databases() as pair, Proxy(pair.settings.desktop) as desktop, Proxy(pair.settings.mobile) as mobile:
        campaign = Campaign(pair, {"desktop": desktop, "mobile": mobile}, asked.seed)
        campaign.go(faults=asked.faults, seconds=asked.minutes * 60)
    sys.stdout.write(campaign.table(asked.seed))
    return 1 if campaign.complaints or campaign.lost.total() or campaign.doubled.total() else 0


if __name__ == "__main__":
    sys.exit(main())
