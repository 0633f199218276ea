"""The time from an edit's commit to the other database under Dagster's daemon, and the cost of an idle daemon."""

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import dagster as dg
from psycopg import sql
from rich.console import Console
from rich.table import Table

from benchmarks.events import count_events, describe, tabulate_events, tabulate_stages
from powerca_sync.defs.desktop_sensor import look
from powerca_sync.demo import reset
from powerca_sync.engine.postgres import Connection, connect
from powerca_sync.environment import DEMO, FOLDER, current_settings
from powerca_sync.operations import DEFAULTS
from powerca_sync.settings import Settings
from powerca_sync.tables import TABLES

console = Console()
#: Seconds after which an edit counts as lost.
LIMIT = 300.0
UNFINISHED = (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED)


def main() -> None:
    """Prints the latencies of both directions and the cost of an idle daemon."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edits", type=int, default=30, help="edits in each direction")
    parser.add_argument("--idle", type=float, default=120, help="seconds in which nothing changes")
    arguments = parser.parse_args()
    os.environ[DEMO] = "1"
    # The schedules would sync the edits too.
    os.environ.update({name: "" for name in DEFAULTS if name.endswith("_CRON")})
    project = Path(__file__).parents[1]
    with (
        tempfile.TemporaryDirectory(prefix="powerca-live-", ignore_cleanup_errors=True) as folder,
        contextlib.chdir(folder),
    ):
        home = Path("home").resolve()
        home.mkdir()
        shutil.copy(project / "dagster.yaml", home)
        os.environ |= {"DAGSTER_HOME": str(home), "PYTHONPATH": os.pathsep.join([str(project), *sys.path])}
        settings = current_settings()
        try:
            for command in ("forward", "reverse"):
                subprocess.run([sys.executable, "-m", "powerca_sync.cli", command, "-q"], check=True, timeout=600)
            with _daemon(home / "log") as daemon, dg.DagsterInstance.from_config(str(home)) as instance:
                _measure_idle(instance, daemon, arguments.idle)
                _measure_latencies(instance, settings, daemon, arguments.edits)
        finally:
            reset(FOLDER)


@contextlib.contextmanager
def _daemon(log: Path) -> Iterator[int]:
    """Yields the session id of a daemon and all of its processes."""
    command = [sys.executable, "-m", "dagster._daemon", "run", "-m", "powerca_sync.definitions"]
    with log.open("w") as output:
        daemon = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        yield daemon.pid
    finally:
        daemon.send_signal(signal.SIGINT)
        daemon.wait(60)


def _measure_idle(instance: dg.DagsterInstance, session: int, seconds: float) -> None:
    # The first ticks know nothing of the tables, and request a run of all of them.
    _until(lambda: instance.get_runs_count(dg.RunsFilter(tags={"dagster/sensor_name": "desktop_rows"})) > 0)
    _until(lambda: instance.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS])) >= 3)
    time.sleep(10)
    before, runs = _processor_seconds(session), instance.get_runs_count()
    time.sleep(seconds)
    spent, new = _processor_seconds(session) - before, instance.get_runs_count() - runs
    began, processor = time.perf_counter(), time.process_time()
    for _ in range(20):
        look(TABLES)
    look_cpu, look_wall = (time.process_time() - processor) / 20, (time.perf_counter() - began) / 20
    console.print(
        f"Idle for {seconds:.0f} s: {new} runs; daemon and code server {100 * spent / seconds:.1f} % of a core; "
        f"one look at the desktop {1000 * look_wall:.0f} ms, {1000 * look_cpu:.0f} ms of it CPU of the sensor "
        f"({100 * look_cpu / 30:.2f} % of a core)"
    )


def _measure_latencies(instance: dg.DagsterInstance, settings: Settings, session: int, edits: int) -> None:
    before, began, first = _processor_seconds(session), time.monotonic(), datetime.now(UTC)
    found: dict[str, list[float]] = {"desktop to mobile": [], "mobile to desktop": []}
    ways = {
        "desktop to mobile": (settings.desktop, settings.mobile, _rename_concern),
        "mobile to desktop": (settings.mobile, settings.desktop, _request_leave),
    }

    def play(way: str) -> None:
        here, there, edit = ways[way]
        dice = random.Random(way)
        with connect(here) as source, connect(there) as target:
            for number in range(edits):
                time.sleep(dice.uniform(0, 30))
                visible = edit(source, number)
                committed = time.monotonic()
                _until(partial(_is_true, target, visible))
                found[way].append(time.monotonic() - committed)

    threads = [threading.Thread(target=play, args=[way]) for way in ways]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    share = (_processor_seconds(session) - before) / (time.monotonic() - began)
    table = Table(title=f"From commit to visible, {edits} edits each way, seconds", title_justify="left")
    for heading in ("direction", "median", "95 %", "most"):
        table.add_column(heading, justify="right")
    for way, seconds in found.items():
        table.add_row(way, *describe(seconds))
    console.print(table, f"Meanwhile {100 * share:.0f} % of a core, the processes of runs left out that have ended.")
    _until(lambda: instance.get_runs_count(dg.RunsFilter(statuses=list(UNFINISHED))) == 0)
    done = dg.RunsFilter(created_after=first, statuses=[dg.DagsterRunStatus.SUCCESS])
    runs = {run.run_id: run.job_name for run in instance.get_runs(done)}
    examples = {job_name: count_events(instance, run_id) for run_id, job_name in runs.items()}
    console.print(tabulate_stages(instance, list(runs)), tabulate_events("Events of runs of one table", examples))


def _rename_concern(desktop: Connection, number: int) -> sql.Composed:
    """Renames a concern on the desktop; returns a query that says whether mobile has it."""
    desktop.execute("UPDATE conmaster SET conname = %s WHERE con_id = 1", [f"Concern {number}"])
    return sql.SQL("SELECT EXISTS (SELECT FROM conmaster WHERE conname = {})").format(f"Concern {number}")


def _request_leave(mobile: Connection, number: int) -> sql.Composed:
    """Inserts a phone's request for leave; returns a query that says whether the desktop has it."""
    mobile.execute(
        "INSERT INTO learequest (org_id, loc_id, learequest_id, staff_id, leaveremarks, source)"
        " SELECT 1, 1, (SELECT min(n) FROM generate_series(1, 99999) AS n"
        " WHERE n NOT IN (SELECT learequest_id FROM learequest)), min(staff_id), %s, 'M'"
        " FROM mbstaff WHERE org_id = 1",
        [f"Live {number}"],
    )
    return sql.SQL("SELECT EXISTS (SELECT FROM learequest WHERE leaveremarks = {})").format(f"Live {number}")


def _is_true(connection: Connection, query: sql.Composed) -> bool:
    return connection.execute(query).fetchall() == [(True,)]


def _until(condition: Callable[[], bool]) -> None:
    """Waits until the condition holds. Raises `TimeoutError` after `LIMIT` seconds."""
    end = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.2)


def _processor_seconds(session: int) -> float:
    """Returns the processor time of the session's processes and of their children that have ended."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
