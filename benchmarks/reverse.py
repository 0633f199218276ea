"""The cost of reverse sync: statements and seconds, against the guide's one INSERT per row."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import psycopg
from rich.console import Console
from rich.table import Table
from typing_extensions import override

from benchmarks.costs import child
from benchmarks.machines import Machines
from powerca_sync.engine.postgres import Connection, connect
from powerca_sync.specs import Category, Strategy, TableSpec

DIARY = TableSpec(
    desktop="bench_diary",
    description="Diary lines.",
    category=Category.TRANSACTIONAL,
    strategy=Strategy.DELETE_INSERT,
    key=("staff_id", "day"),
    office=None,
)
#: One INSERT a row takes over a minute for more.
ONE_BY_ONE_LIMIT: Final = 10_000
COLUMNS = "staff_id int, day date, minutes int, note varchar(50)"


def measure_pull(console: Console, machines: Machines, *, sizes: tuple[int, ...]) -> None:
    """Prints three reverse runs of each number of phone rows: the second looks at what the first wrote, the third is
    idle.
    """
    table = Table(title="Reverse sync of phone rows", title_justify="left")
    for heading in ("phone rows", "run", "statements", "seconds", "CPU s", "memory MB", "one INSERT a row, seconds"):
        table.add_column(heading, justify="left" if heading == "run" else "right")
    with connect(machines.mobile) as source, connect(machines.desktop) as target:
        for rows in sizes:
            _prepare(source, target, rows)
            for run in ("first", "second", "idle"):
                cost, statements = child(machines, "reverse", DIARY)
                assert cost.memory is not None
                table.add_row(
                    f"{rows:,}",
                    run,
                    str(statements),
                    f"{cost.seconds:.2f}",
                    f"{cost.processor:.2f}",
                    f"{cost.memory / 1e6:.0f}",
                    f"{_one_by_one(source, target):.2f}" if run == "first" and rows <= ONE_BY_ONE_LIMIT else "",
                )
            table.add_section()
    console.print(table)


def _prepare(source: Connection, target: Connection, rows: int) -> None:
    for connection, further in ((target, ""), (source, ", source char(1) DEFAULT 'D', wd_id bigserial PRIMARY KEY")):
        connection.execute("DROP TABLE IF EXISTS bench_diary")
        connection.execute(f"CREATE TABLE bench_diary ({COLUMNS}{further})")
    target.execute("DROP SCHEMA IF EXISTS powerca_sync CASCADE")
    source.execute(
        "INSERT INTO bench_diary SELECT n %% 16, date '2025-10-01' + n %% 300, n %% 600, 'Visit ' || n, 'M'"
        " FROM generate_series(1, %s) AS n",
        [rows],
    )


class _Counting(psycopg.Cursor[tuple[Any, ...]]):
    """A cursor that counts its statements; COPY counts once."""

    sent = 0

    @override
    def execute(self, *arguments: Any, **options: Any) -> Any:
        _Counting.sent += 1
        return super().execute(*arguments, **options)

    @override
    def copy(self, *arguments: Any, **options: Any) -> Any:
        _Counting.sent += 1
        return super().copy(*arguments, **options)


@contextlib.contextmanager
def count_statements(*connections: Connection) -> Iterator[Callable[[], int]]:
    """Counts the statements of these connections; yields what returns their number so far."""
    for connection in connections:
        connection.cursor_factory = _Counting
    _Counting.sent = 0
    yield lambda: _Counting.sent
    for connection in connections:
        connection.cursor_factory = psycopg.Cursor


def _one_by_one(source: Connection, target: Connection) -> float:
    target.execute("CREATE TEMP TABLE one_by_one (LIKE bench_diary)")
    rows = source.execute("SELECT staff_id, day, minutes, note FROM bench_diary WHERE source = 'M'").fetchall()
    began = time.monotonic()
    for row in rows:
        target.execute("INSERT INTO one_by_one VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING", row)
    taken = time.monotonic() - began
    target.execute("DROP TABLE one_by_one")
    return taken
