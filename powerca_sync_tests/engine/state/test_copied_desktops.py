"""Desktops with one system identifier: a copied machine, and one that was restored from a backup."""

import dataclasses
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from powerca_sync.demo import Server, start_server
from powerca_sync.engine.dry_run.forward_plan import Prospect
from powerca_sync.engine.dry_run.reverse_plan import plan_reverse
from powerca_sync.engine.postgres.database import connect
from powerca_sync.engine.requests import Mode, TablePull
from powerca_sync.engine.setup import introduce
from powerca_sync.engine.status import read_status
from powerca_sync.errors import SyncError, UnsafeTargetError
from powerca_sync.settings import Endpoint
from powerca_sync.specs import Reference, TableSpec, in_order
from powerca_sync_tests.conftest import SOURCE_VERSION
from powerca_sync_tests.engine.clinic import examined
from powerca_sync_tests.helpers import ORGS, QUICK, Pair, delete_insert, everything, pulled, row_counts, spec

ORG = Reference(column="org_id", parent="orgs")
CLIENTS = spec("clients", "client_id", office="org_id", references=(ORG,))
JOBS = delete_insert("jobs", "org_id", "no", office="org_id", references=(ORG,))
SPECS = (ORGS, CLIENTS, JOBS)
REFUSED = r"not in the state in which it was last synced.*no trace of the run of `\w+`.*init --accept-source"

DESKTOP = """
CREATE TABLE orgs (org_id int PRIMARY KEY);
CREATE TABLE clients (client_id int PRIMARY KEY, org_id int, name text);
CREATE TABLE jobs (org_id int, no int, body text);
INSERT INTO orgs VALUES (1);
INSERT INTO clients SELECT n, 1, 'client ' || n FROM generate_series(1, 30) n;
INSERT INTO jobs SELECT 1, n, 'job ' || n FROM generate_series(1, 30) n;
"""
MOBILE = """
CREATE TABLE orgs (org_id int PRIMARY KEY, source text DEFAULT 'D');
CREATE TABLE clients (client_id int PRIMARY KEY, org_id int, name text, source text DEFAULT 'D');
CREATE TABLE jobs (id bigserial PRIMARY KEY, org_id int, no int, body text, source text DEFAULT 'D');
"""
#: Enough write-ahead log to pass the position of the other machine.
WORK = """
CREATE TABLE work AS SELECT n, repeat('x', 500) FROM generate_series(1, 5000) n;
DROP TABLE work
"""


class Machines:
    """Desktop servers in folders that are copied while they are stopped."""

    def __init__(self, folder: Path, mobile: Endpoint) -> None:
        self.folder = folder
        self.mobile = mobile
        self.running: dict[str, tuple[Server, Pair]] = {}

    def start(self, name: str) -> Pair:
        server = start_server(self.folder / name, version=SOURCE_VERSION, durable=False)
        pair = Pair(server.endpoint("desktop", "postgres"), self.mobile)
        self.running[name] = server, pair
        return pair

    def stop(self, name: str) -> None:
        server, pair = self.running.pop(name)
        pair.close()
        server.stop()

    def crash(self, name: str) -> None:
        """Stops the server immediately, without a checkpoint."""
        server, pair = self.running.pop(name)
        os.kill(int((server.folder / "postmaster.pid").read_text().splitlines()[0]), signal.SIGQUIT)
        pair.close()
        give_up = time.monotonic() + 30
        while (server.folder / "postmaster.pid").exists():
            assert time.monotonic() < give_up
            time.sleep(0.05)
        server.stop()

    def copy(self, name: str, to: str) -> None:
        subprocess.run(["cp", "-a", self.folder / name, self.folder / to], check=True)

    def both(self) -> tuple[Pair, Pair]:
        """Stops `pc1`, copies its folder to `pc2`, and starts both."""
        self.stop("pc1")
        self.copy("pc1", "pc2")
        return self.start("pc1"), self.start("pc2")


@pytest.fixture(scope="module")
def installed() -> Iterator[Path]:
    """Returns the folder of a stopped server with the desktop's tables."""
    with TemporaryDirectory(prefix="powerca-tests-", ignore_cleanup_errors=True) as folder:
        server = start_server(Path(folder) / "installed", version=SOURCE_VERSION, durable=False)
        with connect(server.endpoint("desktop", "postgres")) as connection:
            connection.execute(DESKTOP)
        server.stop()
        yield server.folder


@pytest.fixture
def machines(installed: Path, pair: Pair) -> Iterator[Machines]:
    """Starts a desktop `pc1` that was never synced."""
    pair.target.execute(MOBILE)
    with TemporaryDirectory(prefix="powerca-tests-", ignore_cleanup_errors=True) as folder:
        # The server's own user must be able to reach it.
        Path(folder).chmod(0o755)
        subprocess.run(["cp", "-a", installed, Path(folder) / "pc1"], check=True)
        found = Machines(Path(folder), pair.settings.mobile)
        found.start("pc1")
        yield found
        for name in tuple(found.running):
            found.stop(name)


def others(table: TableSpec) -> list[TableSpec]:
    return [one for one in SPECS if one is not table]


def init(pair: Pair, *, accept: bool = False) -> None:
    with pair.connected() as (source, target):
        introduce(source=source, target=target, specs=in_order(SPECS), accept=accept)


def assert_refused(pair: Pair) -> None:
    """Asserts that every command is refused, for every table, without a change visible to the office or the app."""
    before = everything(pair.source), pair.text("jobs"), pair.text("clients")
    for table in SPECS:
        for mode in Mode:
            with pytest.raises(UnsafeTargetError, match=REFUSED):
                pair.sync(table, *others(table), mode=mode, allow_mass_delete=True)
        with pytest.raises(UnsafeTargetError, match=REFUSED):
            pair.pull(table, *others(table))
    with pytest.raises(UnsafeTargetError, match=REFUSED):
        init(pair)
    assert (everything(pair.source), pair.text("jobs"), pair.text("clients")) == before
    assert {plan.prospect for plan in pair.plan(*SPECS).values()} == {Prospect.REFUSED, Prospect.SKIPPED}
    with pair.connected() as (target, source):
        (plan,) = plan_reverse([TablePull(spec=JOBS)], source=source, target=target, specs=SPECS, options=QUICK)
    assert plan.prospect is Prospect.REFUSED
    assert lineage_finding(pair) == ["X"]
    assert re.search(REFUSED, str(read_status(pair.settings, SPECS).refusal))


def lineage_finding(pair: Pair) -> list[str]:
    found = examined(pair, *SPECS)
    return [one.severity.value for one in found if "in which it was last synced" in one.what]


@pytest.mark.parametrize("overtakes", [False, True], ids=["behind", "overtakes"])
def test_copy_is_refused_once_the_desktop_has_synced_again(machines: Machines, overtakes: bool) -> None:
    machines.running["pc1"][1].sync_all(*SPECS)
    first, second = machines.both()
    first.source.execute("INSERT INTO jobs VALUES (1, 100, 'entered on pc1')")
    second.source.execute("INSERT INTO jobs VALUES (1, 200, 'entered on pc2')")
    first.target.execute("INSERT INTO jobs (org_id, no, body, source) VALUES (1, 5000, 'phone', 'M')")
    assert row_counts(first.sync(JOBS, *others(JOBS))) == {"inserted": 1, "unchanged": 30}
    if overtakes:
        second.source.execute(WORK)
    assert_refused(second)
    assert pulled(first.pull(JOBS, *others(JOBS))) == {"pulled": 1}
    assert row_counts(first.sync(CLIENTS, *others(CLIENTS), mode="incremental")) == {}
    assert lineage_finding(first) == []
    assert read_status(first.settings, SPECS).refusal is None


def test_second_desktop_is_refused_although_it_is_the_original(machines: Machines) -> None:
    machines.running["pc1"][1].sync_all(*SPECS)
    first, second = machines.both()
    # The program cannot know which one is meant to continue: the first one to sync does.
    second.sync(ORGS, *others(ORGS))
    assert_refused(first)


def test_accepted_copy_reads_all_rows_and_excludes_the_original(machines: Machines) -> None:
    machines.running["pc1"][1].sync_all(*SPECS)
    first, second = machines.both()
    first.source.execute("UPDATE clients SET name = 'pc1' WHERE client_id = 1")
    first.sync_all(*SPECS)
    second.source.execute("UPDATE clients SET name = 'pc2' WHERE client_id = 2")
    init(second, accept=True)
    assert_refused(first)
    result = second.sync(CLIENTS, *others(CLIENTS), mode="incremental")
    assert (result.mode_effective, row_counts(result)) == (Mode.FULL, {"updated": 2, "unchanged": 28})
    assert row_counts(second.sync(CLIENTS, *others(CLIENTS), mode="incremental")) == {}
    second.sync_all(*SPECS)
    second.pull_all(*SPECS)
    assert lineage_finding(second) == []
    init(second)
    init(first, accept=True)
    first.sync_all(*SPECS)
    assert_refused(second)


def test_restored_desktop_is_refused_until_it_is_accepted(machines: Machines) -> None:
    desktop = machines.running["pc1"][1]
    desktop.sync_all(*SPECS)
    machines.stop("pc1")
    machines.copy("pc1", "backup")
    desktop = machines.start("pc1")
    # Runs without changes move the watermark too.
    desktop.source.execute(WORK)
    desktop.sync_all(*SPECS, mode="incremental")
    machines.stop("pc1")
    shutil.rmtree(machines.folder / "pc1")
    machines.copy("backup", "pc1")
    desktop = machines.start("pc1")
    desktop.source.execute("UPDATE clients SET name = 'entered after the restore' WHERE client_id = 3")
    for _ in range(5):
        desktop.source.execute(WORK)
    assert_refused(desktop)
    init(desktop, accept=True)
    assert row_counts(desktop.sync(CLIENTS, *others(CLIENTS), mode="incremental")) == {"updated": 1, "unchanged": 29}


def test_copy_without_organisations_is_refused_and_accepted(machines: Machines) -> None:
    clients = spec("clients", "client_id")
    desktop = machines.running["pc1"][1]
    desktop.sync(clients)
    first, second = machines.both()
    first.sync(clients)
    with pytest.raises(UnsafeTargetError, match=REFUSED):
        second.sync(clients)
    with second.connected() as (source, target):
        introduce(source=source, target=target, specs=(clients,), accept=True)
    assert row_counts(second.sync(clients)) == {"unchanged": 30}
    with pytest.raises(UnsafeTargetError, match=REFUSED):
        first.sync(clients)


def test_run_that_fails_at_its_end_does_not_exclude_the_desktop(machines: Machines) -> None:
    desktop = machines.running["pc1"][1]
    desktop.sync_all(*SPECS)
    desktop.source.execute("INSERT INTO jobs VALUES (1, 100, 'new')")
    desktop.target.execute("""
        CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$BEGIN RAISE EXCEPTION 'no commit'; END$$;
        CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON powerca_sync.table_state
        INITIALLY DEFERRED DEFERRABLE FOR EACH ROW EXECUTE FUNCTION public.refuse()""")
    for table in SPECS:
        with pytest.raises(SyncError, match="no commit"):
            desktop.sync(table, *others(table))
    # A copy made now has the complete state of mobile. The first of the two to sync excludes the other.
    first, second = machines.both()
    first.target.execute("DROP TRIGGER refuse ON powerca_sync.table_state")
    assert row_counts(first.sync(JOBS, *others(JOBS))) == {"inserted": 1, "unchanged": 30}
    first.sync_all(*SPECS)
    assert_refused(second)


def test_lost_response_to_the_commit_does_not_exclude_the_desktop(machines: Machines) -> None:
    desktop = machines.running["pc1"][1]
    desktop.sync_all(*SPECS)
    token = desktop.one("SELECT token FROM powerca_sync.table_state WHERE table_name = 'jobs'")
    desktop.sync(JOBS, *others(JOBS))
    # As if that run had not been committed on mobile.
    desktop.target.execute("UPDATE powerca_sync.table_state SET token = %s WHERE table_name = 'jobs'", [token])
    assert lineage_finding(desktop) == []
    desktop.sync_all(*SPECS)
    desktop.pull_all(*SPECS)


def test_crash_of_the_desktop_does_not_exclude_it(machines: Machines) -> None:
    desktop = machines.running["pc1"][1]
    desktop.sync_all(*SPECS)
    desktop.source.execute("ALTER SYSTEM SET synchronous_commit = 'off'")
    desktop.source.execute("SELECT pg_reload_conf()")
    for _ in range(3):
        desktop.sync_all(*SPECS)
        machines.crash("pc1")
        desktop = machines.start("pc1")
        desktop.sync_all(*SPECS, mode="incremental")
        desktop.pull_all(*SPECS)


def read_only_pair(pair: Pair) -> Pair:
    """Returns the same two databases, with a desktop role that may only read."""
    return Pair(dataclasses.replace(pair.settings.desktop, user="reader"), pair.settings.mobile)


def test_without_write_privileges_the_wal_position_decides(machines: Machines) -> None:
    machines.running["pc1"][1].source.execute(
        "CREATE ROLE reader LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader"
    )
    with read_only_pair(machines.running["pc1"][1]) as desktop:
        desktop.sync_all(*SPECS)
        desktop.sync_all(*SPECS)
        assert desktop.one("SELECT to_regnamespace('powerca_sync') IS NULL", desktop.source)
        assert desktop.one("SELECT count(token) FROM powerca_sync.table_state") == 0
    first, second = machines.both()
    first.source.execute(WORK)
    with read_only_pair(first) as desktop, read_only_pair(second) as copy:
        desktop.sync_all(*SPECS)
        with pytest.raises(UnsafeTargetError, match=REFUSED):
            copy.sync(JOBS, *others(JOBS))
        assert lineage_finding(copy) == ["X"]
        desktop.sync_all(*SPECS)
        # Privileges granted later allow tokens immediately.
        desktop.sync_all(*SPECS)
    first.sync_all(*SPECS)
    assert first.one("SELECT count(token) FROM powerca_sync.table_state") == len(SPECS)
    second.source.execute(WORK + ";" + WORK.replace("work", "more"))
    with read_only_pair(first) as desktop:
        desktop.sync_all(*SPECS)


def test_tables_synced_concurrently_do_not_refuse_each_other(machines: Machines) -> None:
    desktop = machines.running["pc1"][1]
    desktop.sync_all(*SPECS)

    def repeat(table: TableSpec) -> None:
        for _ in range(12):
            desktop.sync(table, *others(table))
            if table is not ORGS:
                desktop.pull(table, *others(table))

    with ThreadPoolExecutor() as threads:
        for run in [threads.submit(repeat, table) for table in SPECS]:
            run.result()


def test_lost_tokens_are_restored_from_mobile(machines: Machines) -> None:
    desktop = machines.running["pc1"][1]
    desktop.sync_all(*SPECS)
    desktop.source.execute("DROP SCHEMA powerca_sync CASCADE")
    desktop.sync(JOBS, *others(JOBS))
    desktop.sync_all(*SPECS)
    desktop.source.execute("DROP SCHEMA powerca_sync CASCADE")
    init(desktop)
    desktop.sync_all(*SPECS)


def test_old_tokens_are_removed_unless_mobile_has_them(machines: Machines) -> None:
    desktop = machines.running["pc1"][1]
    for _ in range(3):
        desktop.sync_all(*SPECS)
    desktop.source.execute("UPDATE powerca_sync.run_token SET issued_at = now() - interval '31 days'")
    desktop.sync(JOBS, *others(JOBS))
    kept = desktop.rows("SELECT token FROM powerca_sync.run_token", desktop.source)
    assert {token for (token,) in desktop.rows("SELECT token FROM powerca_sync.table_state")} < {t for (t,) in kept}
    assert len(kept) == len(SPECS) + 1
    desktop.sync_all(*SPECS)
