"""Several offices under Dagster's daemon, from their entries in the file to their rows on mobile."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest

from powerca_sync.defs.alerts.problems import MEMORY, find_problems
from powerca_sync.defs.partitions import OFFICE, office_tags
from powerca_sync_tests.acceptance.compose import PROJECT
from powerca_sync_tests.defs.offices.conftest import DEAD, NUMBERS, Company
from powerca_sync_tests.helpers import wait_until

pytestmark = pytest.mark.long

FULL = dg.RunsFilter(job_name="forward_full")
#: The merge of the staff of `south` stops at each row while the gate is closed.
GATE = """
CREATE TABLE gate (is_closed boolean);
INSERT INTO gate VALUES (true);
CREATE FUNCTION wait_at_the_gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    WHILE (SELECT is_closed FROM public.gate) LOOP
        PERFORM pg_sleep(0.05);
    END LOOP;
    RETURN NEW;
END $$;
CREATE TRIGGER wait_at_the_gate BEFORE INSERT ON staff
    FOR EACH ROW WHEN (NEW.org_id = 2) EXECUTE FUNCTION wait_at_the_gate();
"""
AT_THE_GATE = "EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep')"
OTHERS_LOADED = "(SELECT count(*) = 80 FROM staff WHERE org_id <> 2)"
NO_LOCKS = "NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory')"


@contextmanager
def daemon(home: Path) -> Iterator[Callable[[], bool]]:
    """Runs a daemon with its code server; yields whether it has ended."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(PROJECT), *filter(None, sys.path)])}
    command = [
        sys.executable,
        "-m",
        "dagster._daemon",
        "run",
        "-m",
        "powerca_sync_tests.defs.offices.daemon_definitions",
    ]
    with (home / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment, cwd=home, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield lambda: process.poll() is not None
        assert process.poll() is None, (home / "log").read_text()
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def process_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> int:
    """Returns the process of a run."""
    records = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT).records
    messages = "\n".join(record.event_log_entry.message for record in records)
    found = re.search(r"Executing steps in process \(pid: (\d+)\)", messages)
    assert found, messages
    return int(found[1])


def synced_by(instance: dg.DagsterInstance, run: dg.DagsterRun) -> set[str]:
    """Returns the tables that a run has synced."""
    records = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION).records
    keys = [record.asset_key for record in records]
    return {key.to_user_string() for key in keys if key and key.path[0] != "desktop"}


def ended_run(instance: dg.DagsterInstance, run_id: str, seconds: float = 120) -> dg.RunRecord:
    """Waits for the end of a run; returns its record."""
    give_up = time.monotonic() + seconds
    while True:
        record = instance.get_run_record_by_id(run_id)
        assert record
        if record.dagster_run.is_finished:
            return record
        assert time.monotonic() < give_up, record.dagster_run.status
        time.sleep(0.2)


def replacement(instance: dg.DagsterInstance, run: dg.DagsterRun, seconds: float = 120) -> dg.DagsterRun:
    """Waits for the run that Dagster starts in place of this one."""
    give_up = time.monotonic() + seconds
    while not (found := instance.get_runs(dg.RunsFilter(tags={"dagster/parent_run_id": run.run_id}))):
        assert time.monotonic() < give_up, "no run took its place"
        time.sleep(0.2)
    return found[0]


def test_offices_are_loaded_and_a_killed_run_concerns_its_own_only(
    company: Company, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(PROJECT / "dagster.yaml", home)
    # The storage of `dagster.yaml` lies below it, in this process too.
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    company.mobile.execute(GATE)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        with daemon(home) as has_ended:
            # The others are loaded while the run of `south` stops in the middle of its merge.
            wait_until(company.mobile, f"{OTHERS_LOADED} AND {AT_THE_GATE}", unless=has_ended, seconds=400)
            assert not has_ended()
            (run,) = instance.get_runs(dg.RunsFilter(job_name="forward_full", tags=office_tags("south")))
            os.kill(process_of(instance, run), signal.SIGKILL)
            company.mobile.execute("UPDATE gate SET is_closed = false")
            killed = ended_run(instance, run.run_id)
            again = ended_run(instance, replacement(instance, run).run_id)
        runs = instance.get_runs(FULL)
        assert killed.dagster_run.status is dg.DagsterRunStatus.FAILURE
        assert again.dagster_run.status is dg.DagsterRunStatus.SUCCESS
        assert Counter(one.tags["dagster/partition"] for one in runs) == Counter([DEAD, "south", *NUMBERS])
        assert {one.tags["dagster/partition"] for one in runs if not one.is_success} == {DEAD, "south"}
        # What was synced is not synced again, and nothing of the run that was killed is left.
        assert synced_by(instance, killed.dagster_run) == {"orgs", "departments", "notices"}
        assert synced_by(instance, again.dagster_run) == {"staff"}
        assert again.dagster_run.tags["powerca/mobile"] == "main"
        assert set(instance.get_dynamic_partitions(OFFICE)) == {DEAD, *NUMBERS}
        assert set(instance.get_materialized_partitions(dg.AssetKey("staff"))) == set(NUMBERS)
        # An alert tells of the office whose run was killed, and of the dead one, until a run has taken its place.
        records = instance.get_run_records(FULL, ascending=True)
        first = [record for record in records if record.dagster_run.run_id != again.dagster_run.run_id]
        failed = {key: problem for key, problem in find_problems(instance, first).outcomes.items() if problem}
        assert {key.partition(":")[0] for key in failed} == {DEAD, "south"}
        words = f"The process of the run was terminated by signal 9 (SIGKILL). {MEMORY}"
        assert failed["south: forward run"].reason == words
        assert find_problems(instance, [killed, again]).outcomes["south: forward run"] is None
    for office in NUMBERS:
        assert company.mobile_rows(office) == company.desktop_rows(office)
    wait_until(company.mobile, NO_LOCKS)
