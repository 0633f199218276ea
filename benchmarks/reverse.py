"""The cost of reverse sync: statements and seconds, against the guide's one INSERT per row."""

import time
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table

from powerca_sync.engine.postgres import Connection, connect
from powerca_sync.engine.requests import TablePull
from powerca_sync.engine.reverse import sync_reverse
from powerca_sync.settings import Endpoint
from powerca_sync.specs import Category, Strategy, TableSpec

DIARY = TableSpec(
    desktop="bench_diary",
    description="Diary lines.",
    category=Category.TRANSACTIONAL,
    strategy=Strategy.DELETE_INSERT,
    key=("staff_id", "day"),
    office=None,
)
COLUMNS = "staff_id int, day date, minutes int, note varchar(50)"


def measure_pull(console: Console, desktop: Endpoint, mobile: Endpoint, *, sizes: tuple[int, ...]) -> None:
    """Prints the first reverse run of each number of phone rows, and the no-op run after it."""
    table = Table(title="Reverse sync of phone rows", title_justify="left")
    for heading in ("phone rows", "statements", "seconds", "one INSERT a row", "again: statements", "again: seconds"):
        table.add_column(heading, justify="right")
    with connect(mobile) as source, connect(desktop) as target:
        for rows in sizes:
            _prepare(source, target, rows)
            first, again = _pull(source, target), _pull(source, target)
            guide = _one_by_one(source, target)
            table.add_row(
                f"{rows:,}", str(first[0]), f"{first[1]:.2f}", f"{guide:.2f}", str(again[0]), f"{again[1]:.2f}"
            )
    console.print(table)


def _prepare(source: Connection, target: Connection, rows: int) -> None:
    for connection, further in ((target, ""), (source, ", source char(1) DEFAULT 'D', wd_id bigserial PRIMARY KEY")):
        connection.execute("DROP TABLE IF EXISTS bench_diary")
        connection.execute(f"CREATE TABLE bench_diary ({COLUMNS}{further})")  # type: ignore[call-overload]
    target.execute("DROP SCHEMA IF EXISTS powerca_sync CASCADE")
    source.execute(
        "INSERT INTO bench_diary SELECT n %% 16, date '2025-10-01' + n %% 300, n %% 600, 'Visit ' || n, 'M'"
        " FROM generate_series(1, %s) AS n",
        [rows],
    )


class _Counting(psycopg.Cursor[tuple[Any, ...]]):
    """A cursor that counts its statements; COPY counts once."""

    sent = 0

    def execute(self, *arguments: Any, **options: Any) -> Any:
        _Counting.sent += 1
        return super().execute(*arguments, **options)

    def copy(self, *arguments: Any, **options: Any) -> Any:
        _Counting.sent += 1
        return super().copy(*arguments, **options)


def _pull(source: Connection, target: Connection) -> tuple[int, float]:
    source.cursor_factory = target.cursor_factory = _Counting
    _Counting.sent, began = 0, time.monotonic()
    sync_reverse(TablePull(spec=DIARY), source=source, target=target, specs=[DIARY])
    taken = time.monotonic() - began
    source.cursor_factory = target.cursor_factory = psycopg.Cursor
    return _Counting.sent, taken


def _one_by_one(source: Connection, target: Connection) -> float:
    rows = source.execute("SELECT staff_id, day, minutes, note FROM bench_diary WHERE source = 'M'").fetchall()
    began = time.monotonic()
    for row in rows:
        target.execute("INSERT INTO bench_diary VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING", row)
    return time.monotonic() - began
