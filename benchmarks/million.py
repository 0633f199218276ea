"""A table with a million rows of forty offices on mobile: the cost of one office's runs, to that of the office alone.

python -m benchmarks.million
"""

import argparse
import dataclasses
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial

from rich.console import Console
from rich.table import Table

from benchmarks.machines import Machines, start_machines
from powerca_sync.engine.dry_run import plan_forward, plan_reverse
from powerca_sync.engine.forward import sync_forward
from powerca_sync.engine.postgres import Connection, connect
from powerca_sync.engine.requests import Mode, TableExtract, TablePull
from powerca_sync.engine.reverse import find_pending_tables, sync_reverse
from powerca_sync.engine.verify import verify
from powerca_sync.specs import Category, Reference, Strategy, TableSpec

console = Console(width=110)
#: Rows of each office in a table, and phone rows among them.
ROWS, PHONES = 25_000, 300
COLUMNS = "org_id int, no int, staff_id int, day date, line text"
ORGS = TableSpec(
    desktop="orgs",
    key=("org_id",),
    description="Organisations.",
    category=Category.MASTERS,
    strategy=Strategy.UPSERT,
    office="org_id",
    defines_offices=True,
)
DIARY, VISITS = (
    TableSpec(
        desktop=name,
        key=("no",),
        description=name,
        category=Category.TRANSACTIONAL,
        strategy=strategy,
        office="org_id",
        references=(Reference(column="org_id", parent="orgs"),),
    )
    for name, strategy in (("diary", Strategy.DELETE_INSERT), ("visits", Strategy.UPSERT))
)
SPECS = (ORGS, DIARY, VISITS)


def main() -> None:
    """Measures the runs of one office alone, then beside the others, without and with the recommended indexes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--offices", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with start_machines() as machines, connect(machines.desktop) as desktop, connect(machines.mobile) as mobile:
        _fill(desktop, mobile)
        measure = _Measurement(machines, desktop, mobile, arguments.rounds)
        for spec in SPECS:
            sync_forward(TableExtract(spec=spec), source=desktop, target=mobile, specs=SPECS)
            sync_reverse(TablePull(spec=spec), source=mobile, target=desktop, specs=SPECS)
        mobile.execute("VACUUM ANALYZE")
        desktop.execute("VACUUM ANALYZE")
        alone = measure.all()
        _add_others(mobile, arguments.offices)
        without = measure.all()
        for table in ("diary", "visits"):
            mobile.execute(f"CREATE INDEX ON {table} (org_id)")
            mobile.execute(f"CREATE INDEX ON {table} (org_id) WHERE source = 'M'")
        mobile.execute("VACUUM ANALYZE")
        indexed = measure.all()
    title = f"{ROWS:,} rows of an office among {arguments.offices * ROWS:,}: CPU s of servers and sync"
    printed = Table(title=title, title_justify="left")
    for heading in ("what", "alone", "without indexes", "with indexes", "to alone"):
        printed.add_column(heading, justify="left" if heading == "what" else "right")
    for what, seconds in alone.items():
        ratio = f"{indexed[what] / seconds:.2f}"
        printed.add_row(what, f"{seconds:.3f}", f"{without[what]:.3f}", f"{indexed[what]:.3f}", ratio)
    console.print(printed)


def _fill(desktop: Connection, mobile: Connection) -> None:
    """Creates the office's tables, with its phone rows on mobile."""
    desktop.execute("CREATE TABLE orgs (org_id int); INSERT INTO orgs VALUES (1)")
    mobile.execute("CREATE TABLE orgs (org_id int PRIMARY KEY, source char(1) DEFAULT 'D')")
    for name, key in (("diary", "id bigserial PRIMARY KEY"), ("visits", "PRIMARY KEY (no)")):
        desktop.execute(f"CREATE TABLE {name} ({COLUMNS})")
        mobile.execute(f"CREATE TABLE {name} ({COLUMNS}, source char(1) DEFAULT 'D', {key})")
        _insert(desktop, name, "1, 1", source="")
        _insert(mobile, name, "1, 1", source=", 'M'", rows=PHONES, first=ROWS)


def _insert(connection: Connection, table: str, offices: str, *, source: str, rows: int = ROWS, first: int = 0) -> None:
    columns = "org_id, no, staff_id, day, line" + (", source" if source else "")
    connection.execute(
        f"INSERT INTO {table} ({columns})"
        f" SELECT org, org * 100000 + {first} + n, n % 45, date '2015-01-01' + n % 2000, 'Line ' || n{source}"
        f" FROM generate_series({offices}) AS org, generate_series(1, {rows}) AS n"
    )


def _add_others(mobile: Connection, offices: int) -> None:
    """Adds the other offices, which have claimed their organisations."""
    mobile.execute(
        "INSERT INTO powerca_sync.office SELECT n::text, 'desktop ' || n FROM generate_series(2, %s) AS n", [offices]
    )
    for name in ("diary", "visits"):
        _insert(mobile, name, f"2, {offices}", source=", 'D'", rows=ROWS - PHONES)
        _insert(mobile, name, f"2, {offices}", source=", 'M'", rows=PHONES, first=ROWS)
    mobile.execute("VACUUM ANALYZE")


class _Measurement:
    """Measures what the office does, each a number of times, of which the median counts."""

    def __init__(self, machines: Machines, desktop: Connection, mobile: Connection, rounds: int) -> None:
        self.machines, self.desktop, self.mobile, self.rounds = machines, desktop, mobile, rounds
        self.edits = 0

    def all(self) -> dict[str, float]:
        """Returns the processor seconds of each."""
        found: dict[str, float] = {}
        for spec in (DIARY, VISITS):
            found |= {f"{spec.mobile}: {what}": seconds for what, seconds in self._of(spec)}
        there = {"source": self.mobile, "target": self.desktop, "specs": SPECS}
        return {**found, "look for phone rows": self._median(partial(find_pending_tables, **there))}

    def _of(self, spec: TableSpec) -> Iterator[tuple[str, float]]:
        forth = {"source": self.desktop, "target": self.mobile, "specs": SPECS}
        back = {"source": self.mobile, "target": self.desktop, "specs": SPECS}
        full, pull = TableExtract(spec=spec), TablePull(spec=spec)
        later = dataclasses.replace(full, mode=Mode.INCREMENTAL)
        yield "full, unchanged", self._median(partial(sync_forward, full, **forth))
        edit = partial(self._edit, spec.desktop)
        yield "incremental, 60 rows changed", self._median(partial(sync_forward, later, **forth), prepare=edit)
        insert = partial(self._insert, spec.mobile)
        yield "reverse, one new row", self._median(partial(sync_reverse, pull, **back), prepare=insert)
        yield "verify", self._median(partial(verify, **forth, only=[spec]))
        yield "plan", self._median(partial(plan_forward, [full], **forth))
        yield "plan reverse", self._median(partial(plan_reverse, [pull], **back))

    def _median(self, run: Callable[[], object], *, prepare: Callable[[], None] = lambda: None) -> float:
        costs: list[float] = []
        for _ in range(self.rounds):
            prepare()
            before, own = self.machines.seconds(), time.process_time()
            run()
            costs.append(self.machines.seconds() - before + time.process_time() - own)
        return statistics.median_low(costs)

    def _edit(self, name: str) -> None:
        self.edits += 1
        self.desktop.execute(f"UPDATE {name} SET line = 'Edit {self.edits}' WHERE no % 417 = {self.edits}")

    def _insert(self, name: str) -> None:
        self.edits += 1
        values = f"1, {190_000 + self.edits}, 'Phone', 'M'"
        self.mobile.execute(f"INSERT INTO {name} (org_id, no, line, source) VALUES ({values})")


if __name__ == "__main__":
    main()
