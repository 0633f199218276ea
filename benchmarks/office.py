"""The whole office of the demo: the cost of one no-op run, and Dagster's share of it."""

import contextlib
import os
import statistics
import tempfile
import time

from rich.console import Console
from rich.table import Table

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
            first, engine, whole = _seconds(settings, rounds)
            table = Table(
                title=f"The office of the demo, 15 tables, in seconds, median of {rounds}", title_justify="left"
            )
            for heading in ("first load", "unchanged: engine alone", "unchanged: forward_full", "cost of Dagster"):
                table.add_column(heading, justify="right")
            table.add_row(f"{first:.2f}", f"{engine:.2f}", f"{whole:.2f}", f"{whole - engine:.2f}")
            console.print(table)
            console.print(_unchanged_jobshead(settings))
            measure_line(console, settings)
        finally:
            reset(FOLDER)


def _seconds(settings: Settings, rounds: int) -> tuple[float, float, float]:
    began = time.monotonic()
    _engine(settings)
    first = time.monotonic() - began
    engine, whole = [], []
    with open_instance(FOLDER / "dagster") as instance:
        for _ in range(rounds):
            began = time.monotonic()
            _engine(settings)
            engine.append(time.monotonic() - began)
            began = time.monotonic()
            outcome = run_forward(
                TABLES,
                mode=Mode.FULL,
                only=TABLES,
                allowances=Allowances(),
                instance=instance,
                say=lambda _: None,
                detail=lambda _: None,
                moving=lambda _: None,
            )
            assert outcome.exit_status == 0, outcome
            whole.append(time.monotonic() - began)
    return first, statistics.median(engine), statistics.median(whole)


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
