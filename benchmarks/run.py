"""`make bench`: prints the cost of the sync, as ratios of medians of interleaved rounds in this one run.

Compare the ratios, not the seconds, which depend on the machine and its load. Processor time is that of the contender
and of both servers together; it depends less on what else the machine does.
"""

import argparse
import dataclasses
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from psycopg import sql
from rich.console import Console
from rich.table import Table

from benchmarks import limit, peers, tables
from benchmarks.costs import Cost, child, process
from benchmarks.machines import Machines, start_machines
from benchmarks.office import measure_office
from benchmarks.reverse import measure_pull
from powerca_sync.engine.postgres import Connection, connect
from powerca_sync.specs import Strategy, TableSpec

console = Console(width=140)
#: Above this the guide's algorithm is left out: at a million rows one run of it takes over a minute and a gigabyte.
GUIDE_LIMIT: Final = 100_000
LIMIT: Final = "limit"
OURS: Final = "powerca_sync"


def main() -> None:
    """Measures each size, then reverse sync, the whole office, and the time from an edit to the other database."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="*", default=[25_000, 250_000, 1_000_000], help="sizes of the table")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-office", action="store_true", help="leave the whole office and the line out")
    parser.add_argument("--edits", type=int, default=30, help="edits in each direction under the daemon; 0: none")
    arguments = parser.parse_args()
    with start_machines() as machines:
        for rows in arguments.rows:
            for strategy in Strategy:
                measure(machines, tables.big(f"big_{strategy.lower()}", strategy), rows, arguments.rounds)
        measure_pull(console, machines, sizes=(10, 1_000, 10_000, 250_000))
    if not arguments.no_office:
        measure_office(console, rounds=arguments.rounds)
    if arguments.edits:
        # A process of its own, because the daemon reads its settings from the environment and the current folder.
        subprocess.run([sys.executable, "-m", "benchmarks.live", "--edits", str(arguments.edits)], check=True)


def measure(machines: Machines, spec: TableSpec, rows: int, rounds: int) -> None:
    """Prints one table: first load, 0.1 % changed, unchanged; if the strategy allows it, 100 changed rows that an
    incremental run finds, against a pipe that is told which; and the installed peers.
    """
    source, target = machines.desktop, machines.mobile
    with (
        connect(source) as from_source,
        connect(target) as to_target,
        tempfile.TemporaryDirectory(prefix="powerca-peers-") as folder,
    ):
        tables.create(from_source, to_target, spec, rows)
        table = _Table(machines, to_target, spec, f"{spec.strategy}, {rows:,} rows, median of {rounds}", rounds)
        ours: dict[str, Callable[[], Cost]] = {OURS: lambda: child(machines, OURS, spec)[0]}
        if rows <= GUIDE_LIMIT:
            ours["guide"] = lambda: child(machines, "guide", spec)[0]

        def pipe(*, first: bool = False, where: str = "TRUE") -> Callable[[], Cost]:
            return lambda: process(machines, lambda: limit.pipe(source, target, spec, first=first, where=where))

        def empty(_: int) -> None:
            to_target.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier(spec.mobile)))
            # Otherwise the engine does not expect an empty table.
            if to_target.execute("SELECT to_regclass('powerca_sync.table_state')").fetchone() != (None,):
                to_target.execute("TRUNCATE powerca_sync.table_state")

        def edit(seed: int) -> None:
            tables.change(from_source, spec, 0.001, seed=seed)

        table.situation("first load", {**ours, LIMIT: pipe(first=True)}, empty)
        peers.prepare(from_source, to_target, spec)
        others = {
            name: _measured(machines, run) for name, run in peers.installed(source, target, spec, Path(folder)).items()
        }
        for run in others.values():
            run()
        table.situation("0.1 % changed", {**ours, LIMIT: pipe(), **others}, edit)
        table.situation("unchanged", {**ours, LIMIT: pipe()}, lambda _: None)
        if spec.strategy is Strategy.UPSERT:
            changed = "FALSE"

            def edit_few(seed: int) -> None:
                nonlocal changed
                row = from_source.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::xid::text").fetchone()
                assert row is not None
                changed = f"age(xmin) <= age('{row[0]}'::xid)"
                tables.change(from_source, spec, 100 / rows, seed=seed)

            # The pipe leaves no watermark, so that the next run of the engine finds its rows as well, unchanged by
            # then.
            few: dict[str, Callable[[], Cost]] = {
                OURS: lambda: child(machines, OURS, spec, mode="incremental")[0],
                LIMIT: lambda: pipe(where=changed)(),
            }
            table.situation("100 changed, incremental", few, edit_few)
    console.print(table.table)


class _Table:
    """The printed table of one measured table: a section for each situation, a row for each contender."""

    def __init__(self, machines: Machines, target: Connection, spec: TableSpec, title: str, rounds: int) -> None:
        self.machines, self.target, self.spec, self.rounds = machines, target, spec, rounds
        self.table = Table(title=title, title_justify="left")
        self.table.add_column("situation")
        self.table.add_column("contender")
        for heading in ("seconds", "to limit", "CPU s", "CPU to limit", "whole process", "log MB", "memory MB"):
            self.table.add_column(heading, justify="right")

    def situation(
        self, name: str, contenders: Mapping[str, Callable[[], Cost]], prepare: Callable[[int], None]
    ) -> None:
        """Runs each contender in each round after `prepare`, which gets a number that is new each time."""
        found: dict[str, list[Cost]] = {contender: [] for contender in contenders}
        seed = 0
        for _ in range(self.rounds):
            for contender, run in contenders.items():
                seed += 1
                prepare(seed)
                # Otherwise each contender pays for the last one: dead rows, pages without hint bits, the log.
                self.target.execute(sql.SQL("VACUUM {}").format(sql.Identifier(self.spec.mobile)))
                self.target.execute("CHECKPOINT")
                before = _log_position(self.target)
                cost = run()
                found[contender].append(dataclasses.replace(cost, log=_log_position(self.target) - before))
        lowest = found[LIMIT]
        for contender, costs in found.items():
            median = {
                field: statistics.median(getattr(cost, field) for cost in costs)
                for field in ("seconds", "processor", "process", "log")
            }
            memory = [cost.memory for cost in costs if cost.memory is not None]
            self.table.add_row(
                name,
                contender,
                f"{median['seconds']:.2f}",
                f"{median['seconds'] / statistics.median(cost.seconds for cost in lowest):.2f}",
                f"{median['processor']:.2f}",
                f"{median['processor'] / max(0.01, statistics.median(cost.processor for cost in lowest)):.2f}",
                f"{median['process']:.2f}",
                f"{median['log'] / 1e6:.1f}",
                f"{statistics.median(memory) / 1e6:.0f}" if memory else "",
            )
        self.table.add_section()


def _measured(machines: Machines, run: Callable[[], None]) -> Callable[[], Cost]:
    return lambda: process(machines, run)


def _log_position(connection: Connection) -> float:
    row = connection.execute("SELECT pg_current_wal_lsn() - '0/0'").fetchone()
    assert row is not None
    return float(row[0])


if __name__ == "__main__":
    main()
