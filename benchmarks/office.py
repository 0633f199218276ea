"""The whole office of the demo: the cost of one no-op run, and Dagster's share of it."""

import contextlib
import dataclasses
import os
import statistics
import tempfile
import time
from collections import Counter

import dagster as dg
import sqlalchemy
from rich.console import Console
from rich.table import Table

from benchmarks.events import count_events, tabulate_events
from benchmarks.line import measure_line, sync_all
from powerca_sync.defs.runs.in_process import open_instance, run_forward
from powerca_sync.demo import reset
from powerca_sync.engine.forward import sync_forward
from powerca_sync.engine.postgres import Connection, connect
from powerca_sync.engine.requests import Allowances, Mode, TableExtract
from powerca_sync.environment import DEMO, FOLDER, current_settings
from powerca_sync.settings import Settings
from powerca_sync.specs import spec_named
from powerca_sync.tables import TABLES


def measure_office(console: Console, *, rounds: int) -> None:
    """Prints the cost of `forward_full` over all tables, and that of a no-op run of jobshead."""
    # The job reads its databases from the environment, like any other run of it.
    os.environ[DEMO] = "1"
    with tempfile.TemporaryDirectory(prefix="powerca-bench-") as folder, contextlib.chdir(folder):
        settings = current_settings()
        try:
            first, engine, whole, incremental = _runs(settings, rounds)
            table = Table(
                title=f"The office of the demo, {len(TABLES)} tables, in seconds, median of {rounds}",
                title_justify="left",
            )
            headings = ("first load", "unchanged: engine alone", "unchanged: forward_full", "cost of Dagster")
            for heading in (*headings, "its CPU s", "events", "commits", "forward_incremental"):
                table.add_column(heading, justify="right")
            table.add_row(
                f"{first:.2f}",
                f"{engine.seconds:.2f}",
                f"{whole.seconds:.2f}",
                f"{whole.seconds - engine.seconds:.2f}",
                f"{whole.processor - engine.processor:.2f}",
                str(whole.events.total()),
                str(whole.commits),
                f"{incremental.seconds:.2f}",
            )
            runs = {"forward_full": whole.events, "forward_incremental": incremental.events}
            console.print(table, tabulate_events(f"Events of unchanged runs of {len(TABLES)} tables", runs))
            console.print(_unchanged_jobshead(settings))
            measure_line(console, settings)
        finally:
            reset(FOLDER)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Run:
    """One run of all tables: its time, that of this process's processor, and what Dagster recorded."""

    seconds: float
    processor: float
    events: Counter[str] = dataclasses.field(default_factory=Counter)
    commits: int = 0


def _runs(settings: Settings, rounds: int) -> tuple[float, _Run, _Run, _Run]:
    """Returns the seconds of the first load, and the medians of unchanged runs: by the engine, and by the jobs
    `forward_full` and `forward_incremental`.
    """
    began = time.monotonic()
    _engine(settings)
    first = time.monotonic() - began
    engine, whole, incremental = [], [], []
    with open_instance(FOLDER / "dagster") as instance:
        for _ in range(rounds):
            began, used = time.monotonic(), time.process_time()
            _engine(settings)
            engine.append(_Run(seconds=time.monotonic() - began, processor=time.process_time() - used))
            whole.append(_job(instance, Mode.FULL))
            incremental.append(_job(instance, Mode.INCREMENTAL))
    return first, _median(engine), _median(whole), _median(incremental)


def _job(instance: dg.DagsterInstance, mode: Mode) -> _Run:
    commits = 0

    def count(_: object) -> None:
        nonlocal commits
        commits += 1

    sqlalchemy.event.listen(sqlalchemy.Engine, "commit", count)
    began, used = time.monotonic(), time.process_time()
    outcome = run_forward(
        TABLES,
        mode=mode,
        only=TABLES,
        allowances=Allowances(),
        instance=instance,
        say=lambda _: None,
        detail=lambda _: None,
        moving=lambda _: None,
    )
    seconds, processor = time.monotonic() - began, time.process_time() - used
    sqlalchemy.event.remove(sqlalchemy.Engine, "commit", count)
    assert outcome.exit_status == 0, outcome
    (run,) = instance.get_runs(limit=1)
    return _Run(seconds=seconds, processor=processor, events=count_events(instance, run.run_id), commits=commits)


def _median(runs: list[_Run]) -> _Run:
    return _Run(
        seconds=statistics.median(run.seconds for run in runs),
        processor=statistics.median(run.processor for run in runs),
        events=runs[-1].events,
        commits=runs[-1].commits,
    )


def _engine(settings: Settings) -> None:
    with connect(settings.desktop) as source, connect(settings.mobile) as target:
        sync_all(source, target)


def _unchanged_jobshead(settings: Settings) -> str:
    spec = spec_named(TABLES, "jobshead")
    with connect(settings.desktop) as source, connect(settings.mobile) as target, connect(settings.mobile) as observer:
        observer.execute("CHECKPOINT")
        before = _log_position(observer)
        result = sync_forward(TableExtract(spec=spec), source=source, target=target, specs=TABLES)
        logged = _log_position(observer) - before
    return (
        f"An unchanged run of jobshead read {result.extracted:,} rows, wrote {result.written} rows of the table and "
        f"{logged / 1e6:.2f} MB of write-ahead log (limit: 0.50)."
    )


def _log_position(connection: Connection) -> float:
    row = connection.execute("SELECT pg_current_wal_lsn() - '0/0'").fetchone()
    assert row is not None
    return float(row[0])
