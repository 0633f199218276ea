"""Syncs while the office and its phones write, for some minutes: `make traffic ARGS="--minutes 5"`.

Delays caused by a sync are measured at the servers, by the locks that sessions wait for, so that a slow machine is not
taken for a blocking sync. The exit status is 1 if a statement of the app failed or waited for a second or more, or if
the databases differ at the end.
"""

import argparse
import contextlib
import dataclasses
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import psycopg

from benchmarks.link import simulate_link
from powerca_sync.engine.forward.forward import sync_forward
from powerca_sync.engine.postgres.database import Connection, connect
from powerca_sync.engine.requests import Mode, TableExtract, TablePull
from powerca_sync.engine.result import Options
from powerca_sync.engine.reverse.reverse import sync_reverse
from powerca_sync.errors import SyncError
from powerca_sync.settings import Endpoint, Settings
from powerca_sync.specs import Lookup, Reference, in_order
from powerca_sync_tests.helpers import QUICK, Pair, delete_insert, spec
from powerca_sync_tests.histories.soak import databases

#: The timeouts of the app's roles on Supabase, in seconds.
PATIENCE = (3, 8)
#: The maximum delay of a writer by a sync, in seconds.
LONGEST = 1.0
#: Seconds between two samples of the locks.
GLANCE = 0.02

CLIENTS = spec("clients", "client_id")
JOBS = delete_insert(
    "jobs",
    "job_id",
    references=(Reference(column="client_id", parent="clients"),),
    lookups=(Lookup(column="client_name", table="clients", match="client_id", value="name"),),
    mobile_owned=frozenset({"ticked"}),
    # The office deletes more between two runs here than a real office does.
    mass_delete_rows=100_000,
)
DIARY = delete_insert("diary", "staff_id", "day")
SPECS = in_order((CLIENTS, JOBS, DIARY))

_SOURCE = """
CREATE TABLE clients (client_id int PRIMARY KEY, name text);
CREATE TABLE jobs (job_id int, client_id int, staff_id int, description text, ticked int DEFAULT 0);
CREATE TABLE diary (staff_id int, day date, note text);
INSERT INTO clients SELECT n, 'Client ' || n FROM generate_series(1, 200) AS n;
"""
_TARGET = """
CREATE TABLE clients (client_id int PRIMARY KEY, name text, source char(1) DEFAULT 'D');
CREATE TABLE jobs (id bigserial PRIMARY KEY, job_id int, client_id int, client_name text, staff_id int,
    description text, ticked int DEFAULT 0, source char(1) DEFAULT 'D');
CREATE TABLE diary (wd_id bigserial PRIMARY KEY, staff_id int, day date, note text, source char(1) DEFAULT 'D');
CREATE INDEX ON jobs (job_id);
"""

#: The columns compared at the end.
AGREED = (
    "SELECT client_id, name FROM clients ORDER BY 1",
    "SELECT job_id, client_id, staff_id, description FROM jobs ORDER BY 1, 2, 3, 4",
    "SELECT staff_id, day, note FROM diary ORDER BY 1, 2, 3",
)


def create(pair: Pair, jobs: int) -> None:
    """Creates an office with a number of jobs, some of which have several rows, and an empty mobile database."""
    pair.source.execute(_SOURCE)  # type: ignore[call-overload]
    pair.source.execute(
        "INSERT INTO jobs SELECT n %% %s, 1 + n %% 200, n %% 16, 'Job ' || n FROM generate_series(1, %s) AS n",
        [jobs // 3, jobs],
    )
    pair.target.execute(_TARGET)  # type: ignore[call-overload]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Ways:
    """Parameters of the writers."""

    #: Distinct jobs.
    jobs: int
    #: Maximum seconds between two statements of one phone, and of one person at the office.
    pause: float
    #: The probability that a transaction of the office changes every job.
    refresh: int = 0


def office(connection: Connection, random: Random, ways: Ways) -> None:
    """Executes one transaction of the office, some of which take their time."""
    n = random.randrange(ways.jobs)
    # People at the office may block each other; that is not caused by the sync.
    with contextlib.suppress(psycopg.errors.DeadlockDetected), connection.transaction():
        if ways.refresh and random.randrange(ways.refresh) == 0:
            connection.execute("UPDATE jobs SET staff_id = (staff_id + 1) % 16")
        match random.randrange(5):
            case 0:
                connection.execute("UPDATE clients SET name = name || '.' WHERE client_id = %s", [1 + n % 200])
            case 1:
                connection.execute("UPDATE jobs SET description = %s WHERE job_id = %s", [f"Job {random.random()}", n])
            case 2:
                connection.execute("INSERT INTO jobs VALUES (%s, %s, %s, 'New')", [10**6 + n, 1 + n % 200, n % 16])
            case 3:
                connection.execute(
                    "DELETE FROM jobs WHERE ctid IN (SELECT ctid FROM jobs WHERE job_id = %s LIMIT 1)", [n]
                )
            case 4:
                connection.execute("INSERT INTO diary VALUES (%s, '2025-10-01', 'by the office')", [n % 16])
        if random.random() < 0.2:
            time.sleep(random.random() / 2)


def phone(connection: Connection, random: Random, ways: Ways) -> None:
    """Executes one statement of the app, which writes single rows."""
    n = random.randrange(ways.jobs)
    match random.randrange(4):
        case 0:
            connection.execute(
                "INSERT INTO diary (staff_id, day, note, source) VALUES (%s, '2025-10-01', %s, 'M')",
                [n % 16, f"by phone {random.random()}"],
            )
        case 1:
            connection.execute(
                "UPDATE jobs SET ticked = 1 - ticked WHERE id = (SELECT min(id) FROM jobs WHERE job_id = %s)", [n]
            )
        case 2:
            connection.execute("SELECT count(*) FROM jobs WHERE staff_id = %s", [n % 16])
        case 3:
            connection.execute(
                "UPDATE diary SET note = note"
                " WHERE wd_id = (SELECT max(wd_id) FROM diary WHERE source = 'M' AND staff_id = %s)",
                [n % 16],
            )


@dataclasses.dataclass(kw_only=True, slots=True)
class Seen:
    """The figures of a rush."""

    #: Statements of phones, transactions of the office.
    done: int = 0
    #: Runs over all tables, and tables left to the next run because of concurrent writes.
    runs: int = 0
    postponed: int = 0
    #: Rows that the largest change of a table has written in one transaction, and the maximum seconds for which it
    #: locked them.
    written: int = 0
    held: float = 0.0
    #: The longest statement of a phone, in seconds, whatever it waited for.
    slowest: float = 0.0
    #: The longest wait for a sync, in seconds, and its lock; and the number of waits.
    longest: float = 0.0
    awaited: str = ""
    waits: int = 0
    #: The longest time between two samples of the locks, by which a wait may have been longer.
    unseen: float = 0.0

    @property
    def most(self) -> int:
        """Returns how many rows may change at once before a writer may be delayed too long."""
        return round(self.written / self.held * LONGEST) if self.held else 0

    def __str__(self) -> str:
        """Returns a line for each figure."""
        return "\n".join(
            (
                f"{self.runs} runs over {len(SPECS)} tables, {self.postponed} tables postponed",
                f"{self.done} statements of the app and transactions of the office, the slowest {self.slowest:.2f} s",
                f"{self.written} rows written in the largest transaction, locked for {self.held:.2f} s at most; "
                f"{LONGEST:.0f} s would be reached with {self.most}",
                f"{self.waits} waits for a sync, the longest {self.longest:.2f} s{self.awaited}",
                f"locks looked at every {GLANCE:.2f} s, once only after {self.unseen:.2f} s",
            )
        )


class Traffic:
    """Writers that continue until they are stopped, and a sampler of their lock waits."""

    def __init__(self, ways: Ways) -> None:
        self.ways = ways
        self.stop = threading.Event()
        self.seen = Seen()

    def write(
        self,
        endpoint: Endpoint,
        what: Callable[[Connection, Random, Ways], None],
        seed: int,
        patience: float | None,
    ) -> None:
        """Writes as a phone, with its timeouts, or as a person at the office."""
        random = Random(seed)
        with connect(endpoint) as connection:
            connection.execute("SET application_name = 'traffic'")
            if patience is not None:
                connection.execute("SELECT set_config('statement_timeout', %s, false)", [f"{patience}s"])
            while not self.stop.is_set():
                began = time.monotonic()
                what(connection, random, self.ways)
                if patience is not None:
                    self.seen.slowest = max(self.seen.slowest, time.monotonic() - began)
                self.seen.done += 1
                time.sleep(random.random() * self.ways.pause)

    def watch(self, endpoint: Endpoint) -> None:
        """Samples the sessions that wait for a sync, directly or behind another waiting session."""
        known: set[tuple[int, Any]] = set()
        before = time.monotonic()
        with connect(endpoint) as connection:
            while not self.stop.is_set():
                rows = connection.execute(_WAITS).fetchall()
                now = time.monotonic()
                self.seen.unseen, before = max(self.seen.unseen, now - before), now
                blockers = {pid: set(blocking) for pid, _, _, _, _, blocking in rows}
                syncs = {pid for pid, name in connection.execute(_WHO).fetchall() if name == "powerca_sync"}
                for pid, name, began, seconds, what, _ in rows:
                    if name != "traffic" or not _leads_to(pid, syncs, blockers):
                        continue
                    self.seen.waits += (pid, began) not in known
                    known.add((pid, began))
                    if seconds > self.seen.longest:
                        self.seen.longest, self.seen.awaited = float(seconds), f" ({what})"
                time.sleep(GLANCE)


_WAITS = """
SELECT l.pid, a.application_name, l.waitstart, extract(epoch FROM clock_timestamp() - l.waitstart),
    l.locktype || ': ' || a.query, pg_blocking_pids(l.pid)
FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
WHERE NOT l.granted AND l.waitstart IS NOT NULL
"""
_WHO = "SELECT pid, application_name FROM pg_stat_activity WHERE datname = current_database()"


def _leads_to(pid: int, ends: set[int], blockers: dict[int, set[int]]) -> bool:
    seen: set[int] = set()
    look = [pid]
    while look:
        one = look.pop()
        if one in ends:
            return True
        look += blockers.get(one, set()) - seen
        seen.add(one)
    return False


@contextlib.contextmanager
def traffic(settings: Settings, ways: Ways) -> Iterator[Traffic]:
    """Runs two people at the office and four phones in the body; raises any of their errors at the end."""
    going = Traffic(ways)
    with ThreadPoolExecutor(max_workers=8) as threads:
        people = [
            *(threads.submit(going.write, settings.desktop, office, seed, None) for seed in (1, 2)),
            *(threads.submit(going.write, settings.mobile, phone, 10 + n, PATIENCE[n % 2]) for n in range(4)),
            *(threads.submit(going.watch, endpoint) for endpoint in (settings.desktop, settings.mobile)),
        ]
        try:
            yield going
        finally:
            going.stop.set()
        for one in people:
            one.result()


def sync(settings: Settings, mode: Mode, seen: Seen, options: Options = QUICK) -> None:
    """Syncs all tables in both directions; a table with too many concurrent writes is left to the next time."""
    with connect(settings.desktop) as desktop, connect(settings.mobile) as mobile:
        for table in SPECS:
            try:
                result = sync_forward(
                    TableExtract(spec=table, mode=mode), source=desktop, target=mobile, specs=SPECS, options=options
                )
                if result.written > seen.written:
                    seen.written = result.written
                    seen.held = sum(result.seconds.get(phase, 0.0) for phase in ("apply", "record"))
            except SyncError as exc:
                if not exc.retryable:
                    raise
                seen.postponed += 1
        for table in SPECS:
            sync_reverse(TablePull(spec=table), source=mobile, target=desktop, specs=SPECS, options=options)
    seen.runs += 1


def rush(settings: Settings, far: Settings, ways: Ways, *, seconds: float, options: Options = QUICK) -> Seen:
    """Syncs among traffic for a time, over connections as in `far`; then two more times without traffic."""
    with traffic(settings, ways) as going:
        give_up = time.monotonic() + seconds
        while time.monotonic() < give_up:
            sync(far, Mode.INCREMENTAL, going.seen, options)
    for _ in range(2):
        sync(far, Mode.INCREMENTAL, Seen(), options)
    return going.seen


def disagreements(pair: Pair) -> list[str]:
    """Returns the tables that differ between the databases."""
    wrong = [query for query in AGREED if pair.rows(query) != pair.rows(query, pair.source)]
    if pair.one("SELECT count(*) FROM jobs JOIN clients USING (client_id) WHERE client_name <> name"):
        wrong.append("looked-up names of clients")
    return wrong


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, prog="make traffic")
    parser.add_argument("--minutes", type=float, default=5, help="duration (default: 5)")
    parser.add_argument("--jobs", type=int, default=24_000, help="rows of the large table (default: 24000)")
    parser.add_argument(
        "--refresh", type=int, default=40, help="transactions of the office between changes of all rows"
    )
    parser.add_argument(
        "--round-trip", type=float, default=0, help="round-trip time to mobile in milliseconds (default: 0)"
    )
    parser.add_argument("--pause", type=float, default=0.5, help="maximum seconds between two statements of a phone")
    asked = parser.parse_args()
    logging.disable()
    with databases() as pair, contextlib.ExitStack() as line:
        create(pair, asked.jobs)
        far = pair.settings
        if asked.round_trip:
            mobile = line.enter_context(simulate_link(far.mobile, seconds=asked.round_trip / 1000)).endpoint
            far = dataclasses.replace(far, mobile=dataclasses.replace(mobile, sslmode="disable"))
        ways = Ways(jobs=asked.jobs // 3, pause=asked.pause, refresh=asked.refresh)
        sync(far, Mode.FULL, Seen())
        try:
            seen = rush(pair.settings, far, ways, seconds=asked.minutes * 60)
        except psycopg.Error as exc:
            sys.stdout.write(f"[X] a statement of the app failed: {exc}\n")
            return 1
        wrong = disagreements(pair)
    sys.stdout.write(f"{seen}\n")
    if wrong:
        sys.stdout.write(f"[X] not the same on both sides: {'; '.join(wrong)}\n")
    if seen.longest >= LONGEST:
        sys.stdout.write(f"[X] somebody waited {seen.longest:.2f} s for a sync\n")
    return 1 if wrong or seen.longest >= LONGEST else 0


if __name__ == "__main__":
    sys.exit(main())
