"""The site of a campaign: two servers, their proxies, an office, and runs that are hit by faults.

The site lets people work, starts runs and reconnects; the faults are in `faults` and `disasters`.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from powerca_sync.engine.postgres.database import Connection, connect
from powerca_sync.engine.requests import Mode
from powerca_sync.engine.result import Transfer
from powerca_sync.errors import SyncError
from powerca_sync.specs import Cursor, TableSpec
from powerca_sync_tests.helpers import Pair
from powerca_sync_tests.histories.machine import Disk, Machine
from powerca_sync_tests.histories.office import Office
from powerca_sync_tests.histories.proxy import Proxy
from powerca_sync_tests.histories.runs import Run, Started
from powerca_sync_tests.histories.tables import SHARED

DIRECTIONS = ("forward", "reverse")
WHERE = ("desktop", "mobile")
#: A hanging run is killed after this many seconds, as an operator does.
PATIENCE = 1.5
#: The timeout of a run without a fault.
LONG = 30
#: The initial estimate of a run's seconds from its first connection on; later it is measured.
USUAL = 0.25


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A kind of fault of a run."""

    name: str
    #: Applies the fault; returns whether it came before the run ended, or was met by it.
    strike: Callable[["Site", Run, Random], bool]
    #: Its frequency, relative to the others.
    share: int = 6
    #: True if the invariants of an interrupted run apply. False if the fault itself removes rows.
    watched: bool = True
    #: True if incremental runs must complete an interrupted incremental run; otherwise a full one does, as each night.
    by_increments: bool = True
    directions: tuple[str, ...] = DIRECTIONS
    #: Why it cannot happen at this site; empty if it can.
    missing: Callable[["Site"], str] = lambda site: ""


class Site:
    """Two servers used only by the campaign, with an office in them."""

    office: Office

    def __init__(
        self, machines: dict[str, Machine], pair: Pair, proxies: dict[str, Proxy], disks: dict[str, Disk]
    ) -> None:
        self.machines = machines
        self.pair = pair
        self.proxies = proxies
        #: By side, where disks may be mounted.
        self.disks = disks
        #: The seconds of a run, by direction.
        self.usual = dict.fromkeys(DIRECTIONS, USUAL)
        #: The table in which the office has changed all its rows.
        self.changed = ""
        #: True if the desktop's timestamps decide what an incremental run reads.
        self.stamped = False
        #: Numbers of rows that a restored server has lost permanently, by table.
        self.forgotten: set[tuple[str, int]] = set()
        #: Connections that do not belong to the run, by side.
        self._others: dict[str, set[int]] = {}
        self._serial = 0
        #: The folder of all data, deleted afterwards.
        self.folder = machines["desktop"].folder.parent

    # The office and its people.

    def open_office(self, dice: Random, *names: str) -> None:
        """Creates a new office in place of the last one; `names` are those of its tables."""
        self.close_office()
        self._serial, self.forgotten = 0, set()
        self.stamped = dice.random() < 0.5
        self.office = Office(
            self.pair,
            *names,
            notes_key=dice.random() < 0.5,
            alone=dice.random() < 0.5,
            desktop_owner=dice.random() < 0.5,
        )
        if self.stamped:
            self.pair.source.execute(_STAMPS)
            self.office.specs = stamped_specs(self.office.specs)

    def close_office(self) -> None:
        """Closes the office, if there is one."""
        if hasattr(self, "office"):
            self.office.close()
            del self.office

    def work(self, dice: Random) -> None:
        """Writes some rows that fit, of the office and its phones, each with a number of its own."""
        office = self.office
        for _ in range(dice.randint(3, 8)):
            # Twice as often the table of which an incremental run does not read everything.
            table = dice.choice((*office.names, "leave"))
            where = dice.choice(WHERE) if table in SHARED else "desktop"
            self._serial += 1
            values = {"org_id": 1, "job_id": self._serial, "k": self._serial, "name": "a", "days": 1, "ticked": 0}
            if table == "tasks":
                # Without a job, so that its number is not a reference.
                values |= {"job_id": None}
            source = {"source": "M"} if where == "mobile" else {}
            office.insert(where, table, **values, **source)
        self.changed = dice.choice((*office.names, "leave"))
        phones = {row["k"] for row, _ in office.mobile.look()[self.changed].values() if row["source"] == "M"}
        uids = [
            uid
            for uid, (row, _) in office.desktop.look()[self.changed].items()
            if row["k"] not in phones and row.get("source") != "M"
        ]
        self.pair.source.execute(
            f"UPDATE {self.changed} SET days = 1 - days WHERE desktop_uid = ANY (%s)",  # type: ignore[call-overload]  # noqa: S608
            [uids],
        )

    @property
    def shared(self) -> tuple[str, ...]:
        """Returns the tables in which phones create rows too."""
        return tuple(name for name in self.office.names if name in SHARED)

    # Runs.

    def run(self, *, direction: str, mode: Mode, transfer: Transfer, typed: bool = True, at_once: int = 2) -> Run:
        """Returns a run of all tables, not started."""
        return Run(
            direction=direction,
            mode=mode,
            transfer=transfer,
            typed=typed,
            at_once=at_once,
            desktop=self.pair.settings.desktop,
            mobile=self.pair.settings.mobile,
            tables=tuple(self.office.specs.values()),
        )

    @contextlib.contextmanager
    def started(self, run: Run) -> Iterator[Started]:
        """Starts the run in the body; at the end it is over, killed if need be, and both servers have noticed."""
        with self.watching():
            started = Started(run)
            try:
                yield started
            finally:
                started.join(PATIENCE)
                started.kill()
        started.check()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Attributes all connections opened in the body to the run; at the end it is over, and both servers have
        noticed.
        """
        self._others = {where: self.connections(where) for where in WHERE}
        try:
            yield
        finally:
            for where in WHERE:
                self._wait_until_gone(where)

    def finish(self, run: Run) -> frozenset[str]:
        """Waits for the end of the run; returns the SQLSTATEs of its failures."""
        with self.started(run) as started:
            self.wait_until_connected(started)
            began = time.monotonic()
            started.join(LONG)
            # A running mean, so that random moments fall into the run.
            self.usual[run.direction] += 0.2 * (time.monotonic() - began - self.usual[run.direction])
        return started.failures

    def wait_until_connected(self, started: Started) -> None:
        """Waits until the run has connected to both databases, or has ended."""
        give_up = time.monotonic() + LONG
        while started.alive and time.monotonic() < give_up and not all(map(self.of_run, WHERE)):
            time.sleep(0.005)

    def wait(self, started: Started, run: Run, share: float) -> None:
        """Waits until that share of the run is over, by estimate."""
        self.wait_until_connected(started)
        started.join(share * self.usual[run.direction])

    # Connections.

    def side(self, where: str) -> Connection:
        """Returns the campaign's own connection."""
        return {"desktop": self.pair.source, "mobile": self.pair.target}[where]

    def receiver(self, run: Run) -> str:
        """Returns the side to which the run writes."""
        return "mobile" if run.direction == "forward" else "desktop"

    def of_run(self, where: str) -> set[int]:
        """Returns the process ids of the run's connections to that side."""
        return self.connections(where) - self._others[where]

    def connections(self, where: str) -> set[int]:
        """Returns the process ids of all connections to that side except the campaign's and the office's own."""
        query = "SELECT pid FROM pg_stat_activity WHERE datname = 'history' AND backend_type = 'client backend'"
        return {pid for (pid,) in self.side(where).execute(query)} - self._own(where)

    def reconnect(self) -> None:
        """Reopens all connections after a server was stopped."""
        self.pair.source.close()
        self.pair.target.close()
        self.pair.source, self.pair.target = map(self._reach, WHERE)
        self.office.desktop.reconnect()
        self.office.mobile.reconnect()

    def _reach(self, where: str) -> Connection:
        """Returns a connection as soon as the server accepts one."""
        give_up = time.monotonic() + LONG
        while True:
            try:
                return connect(getattr(self.pair.settings, where))
            except SyncError:
                if time.monotonic() > give_up:
                    raise
            time.sleep(0.01)

    def _own(self, where: str) -> set[int]:
        side = self.office.desktop if where == "desktop" else self.office.mobile
        return {one.info.backend_pid for one in (self.side(where), *side.connections) if not one.closed}

    def _wait_until_gone(self, where: str) -> None:
        """Waits until the server has noticed the end of a run; terminates its sessions at last."""
        give_up = time.monotonic() + 1
        while more := self.of_run(where):
            if time.monotonic() > give_up:
                query = "SELECT pg_terminate_backend(pid, 5000) FROM unnest(%s::int[]) AS pid"
                self.side(where).execute(query, [list(more)])
            time.sleep(0.005)


def stamped_specs(tables: dict[str, TableSpec]) -> dict[str, TableSpec]:
    """Returns the same specs, with the timestamp cursor for the table that has timestamps."""
    return tables | {"leave": dataclasses.replace(tables["leave"], cursor=Cursor.TIMESTAMP)}


@contextlib.contextmanager
def make_site(folder: Path) -> Iterator[Site]:
    """Yields a site with two servers in that folder."""
    machines = {
        "desktop": Machine("desktop", folder, version=16),
        "mobile": Machine("mobile", folder, version=18),
    }
    with contextlib.ExitStack() as stack:
        ends, disks = {}, {}
        for where, machine in machines.items():
            # Closed in reverse order: the disk after the server.
            disk = stack.enter_context(Disk.mounted(machine))
            stack.callback(machine.stop_at_last)
            ends[where] = end = machine.start()
            with connect(dataclasses.replace(end, name="postgres")) as connection:
                connection.execute("CREATE DATABASE history TEMPLATE template0")
                if disk:
                    disks[where] = disk
                    connection.execute(f"CREATE TABLESPACE small LOCATION '{disk.location}'")  # type: ignore[call-overload]
                # So that a deadlock takes less of the campaign's time.
                connection.execute("ALTER DATABASE history SET deadlock_timeout = '50ms'")
        pair = stack.enter_context(Pair(ends["desktop"], ends["mobile"]))
        proxies = {where: stack.enter_context(Proxy(end)) for where, end in ends.items()}
        site = Site(machines, pair, proxies, disks)
        stack.callback(site.close_office)
        yield site


#: The state of the desktop's triggers; `lag` is the offset of a clock that cannot be set.
_STAMPS = """
CREATE FUNCTION lag() RETURNS interval LANGUAGE sql AS $$ SELECT interval '0' $$;
ALTER TABLE leave ADD created_at timestamp DEFAULT localtimestamp, ADD updated_at timestamp;
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.created_at = localtimestamp + lag();
    ELSE
        NEW.updated_at = localtimestamp + lag();
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON leave FOR EACH ROW EXECUTE FUNCTION stamp()"""
