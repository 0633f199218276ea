"""Syncs while the office and its phones go on writing: nobody is turned away, and at the end both sides agree.

`POWERCA_LIVE_SECONDS` says for how long; the default is short.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random

from powerca_sync.engine.database import Connection, connect
from powerca_sync.engine.extract import Mode, TableExtract, TablePull
from powerca_sync.engine.forward import sync_forward
from powerca_sync.engine.reverse import sync_reverse
from powerca_sync.errors import SyncError
from powerca_sync.settings import Endpoint
from powerca_sync.tables import Lookup, Reference, in_order
from powerca_sync_tests.helpers import QUICK, Pair, delete_insert, spec

SECONDS = float(os.environ.get("POWERCA_LIVE_SECONDS", "6"))
#: The app's roles have these on Supabase, in seconds.
PATIENCE = (3, 8)

CLIENTS = spec("clients", "client_id")
JOBS = delete_insert(
    "jobs",
    "job_id",
    references=(Reference(column="client_id", parent="clients"),),
    lookups=(Lookup(column="client_name", table="clients", match="client_id", value="name"),),
    mobile_owned=frozenset({"ticked"}),
    # The office deletes more between two runs here than any office would.
    mass_delete_rows=100_000,
)
DIARY = delete_insert("diary", "staff_id", "day")
SPECS = in_order((CLIENTS, JOBS, DIARY))

SOURCE = """
CREATE TABLE clients (client_id int PRIMARY KEY, name text);
CREATE TABLE jobs (job_id int, client_id int, staff_id int, description text, ticked int DEFAULT 0);
CREATE TABLE diary (staff_id int, day date, note text);
INSERT INTO clients SELECT n, 'Client ' || n FROM generate_series(1, 200) AS n;
INSERT INTO jobs SELECT n % 700, 1 + n % 200, n % 16, 'Job ' || n FROM generate_series(1, 2000) AS n;
"""
TARGET = """
CREATE TABLE clients (client_id int PRIMARY KEY, name text, source char(1) DEFAULT 'D');
CREATE TABLE jobs (id bigserial PRIMARY KEY, job_id int, client_id int, client_name text, staff_id int,
    description text, ticked int DEFAULT 0, source char(1) DEFAULT 'D');
CREATE TABLE diary (wd_id bigserial PRIMARY KEY, staff_id int, day date, note text, source char(1) DEFAULT 'D');
"""


def office(connection: Connection, random: Random) -> None:
    """One transaction of the office, some of which take their time."""
    n = random.randrange(700)
    with connection.transaction():
        match random.randrange(5):
            case 0:
                connection.execute("UPDATE clients SET name = name || '.' WHERE client_id = %s", [1 + n % 200])
            case 1:
                connection.execute("UPDATE jobs SET description = %s WHERE job_id = %s", [f"Job {random.random()}", n])
            case 2:
                connection.execute("INSERT INTO jobs VALUES (%s, %s, %s, 'New')", [1000 + n, 1 + n % 200, n % 16])
            case 3:
                connection.execute(
                    "DELETE FROM jobs WHERE ctid IN (SELECT ctid FROM jobs WHERE job_id = %s LIMIT 1)", [n]
                )
            case 4:
                connection.execute("INSERT INTO diary VALUES (%s, '2025-10-01', 'by the office')", [n % 16])
        if random.random() < 0.2:
            time.sleep(random.random() / 2)


def phone(connection: Connection, random: Random) -> None:
    """One statement of the app, which writes single rows."""
    n = random.randrange(700)
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


class Traffic:
    """Writers that go on until they are told to stop."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.done = 0
        self.longest = 0.0

    def write(
        self, endpoint: Endpoint, what: Callable[[Connection, Random], None], seed: int, patience: float | None
    ) -> None:
        random = Random(seed)
        with connect(endpoint) as connection:
            if patience is not None:
                connection.execute("SELECT set_config('statement_timeout', %s, false)", [f"{patience}s"])
            while not self.stop.is_set():
                began = time.monotonic()
                what(connection, random)
                if patience is not None:
                    self.longest = max(self.longest, time.monotonic() - began)
                self.done += 1
                time.sleep(0.005)


@contextlib.contextmanager
def traffic(pair: Pair) -> Iterator[Traffic]:
    """Two people at the office and four phones; an error of any of them is raised at the end."""
    going = Traffic()
    with ThreadPoolExecutor() as threads:
        writers = [threads.submit(going.write, pair.settings.desktop, office, seed, None) for seed in (1, 2)] + [
            threads.submit(going.write, pair.settings.mobile, phone, 10 + n, PATIENCE[n % 2]) for n in range(4)
        ]
        try:
            yield going
        finally:
            going.stop.set()
        for writer in writers:
            writer.result()


def sync(pair: Pair, mode: Mode) -> int:
    """All tables both ways; answers how many had to be left to the next time, because others wrote."""
    postponed = 0
    with connect(pair.settings.desktop) as desktop, connect(pair.settings.mobile) as mobile:
        for table in SPECS:
            try:
                sync_forward(
                    TableExtract(spec=table, mode=mode), source=desktop, target=mobile, specs=SPECS, options=QUICK
                )
            except SyncError as exc:
                if not exc.retryable:
                    raise
                postponed += 1
        for table in SPECS:
            sync_reverse(TablePull(spec=table), source=mobile, target=desktop, specs=SPECS, options=QUICK)
    return postponed


def test_nobody_is_turned_away_and_in_the_end_both_sides_agree(pair: Pair) -> None:
    pair.source.execute(SOURCE)  # type: ignore[call-overload]
    pair.target.execute(TARGET)  # type: ignore[call-overload]
    sync(pair, Mode.FULL)
    runs = postponed = 0
    with traffic(pair) as going:
        give_up = time.monotonic() + SECONDS
        while time.monotonic() < give_up:
            postponed += sync(pair, Mode.INCREMENTAL)
            runs += 1
    assert going.done > 50
    assert runs > 3
    assert postponed < runs * len(SPECS) / 2, f"{postponed} of {runs * len(SPECS)} had to be tried again"
    # Far below the app's patience; a sync holds no row longer than its own merge takes.
    assert going.longest < min(PATIENCE)

    for _ in range(2):
        sync(pair, Mode.INCREMENTAL)
    for query in (
        "SELECT client_id, name FROM clients ORDER BY 1",
        "SELECT job_id, client_id, staff_id, description FROM jobs ORDER BY 1, 2, 3, 4",
        "SELECT staff_id, day, note FROM diary ORDER BY 1, 2, 3",
    ):
        assert pair.rows(query) == pair.rows(query, pair.source)
    assert pair.one("SELECT count(*) FROM jobs JOIN clients USING (client_id) WHERE client_name <> name") == 0
