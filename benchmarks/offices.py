"""Many offices on one instance: latency of edits, isolation and cost under the daemon, and what 600 offices cost.

python -m benchmarks.offices --offices 60 --minutes 60 --edits 6
python -m benchmarks.offices --dummies 600
"""

import argparse
import dataclasses
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Self

import dagster as dg
from rich.console import Console
from rich.table import Table

from benchmarks.company import (
    DEAD,
    LARGE,
    SLOW,
    Company,
    OfficeSite,
    Program,
    found_company,
    load,
    one_value,
    run_code_server,
    run_program,
    server_seconds,
)
from benchmarks.dummies import measure_dummies
from benchmarks.records import record_as_synced
from powerca_sync.engine.postgres import Connection, connect
from powerca_sync.engine.verify import verify
from powerca_sync.tables import TABLES

console = Console(width=120)
#: Seconds within which an edit has to arrive.
LIMIT = 120.0
#: Seconds after which it counts as lost.
PATIENCE = 600.0
#: Seconds between two looks for the edits that have not arrived.
STEP = 1.0


def main() -> None:
    """Measures the live company, or the dummies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--offices", type=int, default=60, help="small offices, besides the large, slow and dead one")
    parser.add_argument("--minutes", type=float, default=12, help="minutes of edits on both sides")
    parser.add_argument(
        "--edits", type=int, default=1, help="edits of each office, in turn at the desktop and at a phone"
    )
    parser.add_argument("--dummies", type=int, default=0, help="measure an instance with so many idle offices instead")
    arguments = parser.parse_args()
    if arguments.dummies:
        measure_dummies(console, arguments.dummies)
        return
    if arguments.offices > 89:
        sys.exit("The numbers of leave requests are enough for 89 small offices.")
    with found_company(arguments.offices) as company, dg.DagsterInstance.get() as instance:
        _load(company, instance)
        with (
            run_code_server(company) as code,
            run_program(company, "daemon", "dagster-daemon", "run", "-w", "workspace.yaml") as daemon,
        ):
            time.sleep(60)
            _measure_idle(company, instance, (code, daemon))
            late = _play(company, instance, (code, daemon), minutes=arguments.minutes, edits=arguments.edits)
            console.print(f"Memory: code server {code.megabytes():.0f} MB, daemon {daemon.megabytes():.0f} MB")
        _check(company, instance)
    sys.exit(late > 0)


def _load(company: Company, instance: dg.DagsterInstance) -> None:
    """Loads every office with the engine, and leaves the records of it that the sensors look for.

    Under the daemon an office that is new has four runs, which the measurement is not about.
    """
    began, used, count = time.monotonic(), time.process_time(), len(company.sites)
    for site in company.sites.values():
        load(site.desktop, company.mobile)
    console.print(
        f"First load of {count} offices by the engine, one after the other: {time.monotonic() - began:.0f} s, "
        f"{(time.process_time() - used) / count:.2f} CPU s of Python each"
    )
    record_as_synced(instance, [*company.sites, DEAD])


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Spent:
    """Processor seconds since the start, and Dagster's records."""

    #: Daemon, code server and the processes of runs.
    dagster: float
    servers: float
    runs: int
    events: int

    @classmethod
    def read(cls, company: Company, instance: dg.DagsterInstance, programs: Sequence[Program]) -> Self:
        return cls(
            dagster=sum(program.processor_seconds() for program in programs),
            servers=sum(server_seconds(server) for server in company.servers),
            runs=instance.get_runs_count(),
            events=int(instance.event_log_storage.get_maximum_record_id() or 0),
        )

    def since(self, before: Self) -> Self:
        """Returns the differences."""
        names = [field.name for field in dataclasses.fields(self)]
        return type(self)(**{name: getattr(self, name) - getattr(before, name) for name in names})


def _measure_idle(
    company: Company, instance: dg.DagsterInstance, programs: Sequence[Program], seconds: float = 120
) -> None:
    before = _Spent.read(company, instance, programs)
    time.sleep(seconds)
    spent = _Spent.read(company, instance, programs).since(before)
    console.print(
        f"Idle for {seconds:.0f} s: {spent.runs} runs, {spent.events} events; CPU s: daemon and code server "
        f"{spent.dagster:.2f}, servers {spent.servers:.2f}"
    )


class _Edit:
    """One edit, and where it has to arrive."""

    def __init__(self, site: OfficeSite, way: str, text: str) -> None:
        self.site, self.way, self.text = site, way, text
        self.committed, self.clock = time.monotonic(), time.strftime("%H:%M:%S")

    def has_arrived(self, desktop: Connection, mobile: Connection) -> bool:
        if self.way == "desktop to mobile":
            query = "SELECT EXISTS (SELECT FROM climaster WHERE clientname = %s)"
            return bool(one_value(mobile, query, self.text))
        return bool(one_value(desktop, "SELECT EXISTS (SELECT FROM workdiary WHERE tasknotes = %s)", self.text))


def _make_edit(site: OfficeSite, number: int, desktop: Connection, mobile: Connection) -> _Edit:
    if number % 2:
        text = f"Edit {number} of {site.number}"
        client = site.number * 1000 + 1 + number % 20
        desktop.execute("UPDATE climaster SET clientname = %s WHERE client_id = %s", [text, client])
        return _Edit(site, "desktop to mobile", text)
    text = f"Phone row {number} of {site.number}"
    mobile.execute(
        "INSERT INTO workdiary (org_id, con_id, loc_id, staff_id, job_id, task_id, date, minutes, tasknotes, source)"
        " VALUES (%(org)s, %(org)s, %(org)s, %(key)s, %(key)s, %(key)s, current_date, 60, %(text)s, 'M')",
        {"org": site.number, "key": site.number * 1000 + 1, "text": text},
    )
    return _Edit(site, "mobile to desktop", text)


def _play(
    company: Company, instance: dg.DagsterInstance, programs: Sequence[Program], *, minutes: float, edits: int
) -> int:
    """Makes edits at all offices and waits for each to arrive; prints how long that took.

    Returns the number of those that took more than `LIMIT` seconds.
    """
    before, due = _Spent.read(company, instance, programs), _draw(company, edits)
    began, made, lost, pending = time.monotonic(), 0, 0, list[_Edit]()
    found: dict[tuple[str, str], list[float]] = {}
    with _all_connected(company) as (desktops, mobile):
        while pending or made < len(due):
            if made < len(due) and made / len(due) <= (time.monotonic() - began) / (minutes * 60):
                key, number = due[made]
                pending.append(_make_edit(company.sites[key], number, desktops[key], mobile))
                made += 1
            for edit in [one for one in pending if one.has_arrived(desktops[one.site.key], mobile)]:
                pending.remove(edit)
                seconds = time.monotonic() - edit.committed
                if seconds > LIMIT:
                    console.print(f"{edit.text}: {seconds:.0f} s, committed {edit.clock}")
                for kind in ("all", edit.site.key if edit.site.key in (LARGE, SLOW) else "small"):
                    found.setdefault((edit.way, kind), []).append(seconds)
            if pending and time.monotonic() - pending[0].committed > PATIENCE:
                console.print(f"{pending.pop(0).text} did not arrive")
                lost += 1
            time.sleep(STEP)
    seconds = time.monotonic() - began
    spent = _Spent.read(company, instance, programs).since(before)
    _print_latencies(found)
    console.print(
        f"{made} edits in {seconds / 60:.1f} minutes: {spent.runs} runs, {spent.events} events; CPU s: daemon, code "
        f"server and runs {spent.dagster:.1f}, servers {spent.servers:.1f}"
    )
    late = lost + sum(one > LIMIT for (_, kind), all_of in found.items() if kind == "all" for one in all_of)
    console.print(f"{late} edits took more than {LIMIT:.0f} s, {lost} of them did not arrive")
    return late


def _draw(company: Company, edits: int) -> list[tuple[str, int]]:
    """Returns the offices of all edits, each with the number of the edit; in every round the order is another.

    Odd numbers are edits at the desktop: half of the offices begin there.
    """
    dice = random.Random(17)
    due = []
    for turn in range(edits):
        keys = list(company.sites)
        due += [(key, turn + company.sites[key].number % 2) for key in dice.sample(keys, len(keys))]
    return due


@contextmanager
def _all_connected(company: Company) -> Iterator[tuple[dict[str, Connection], Connection]]:
    desktops = {key: connect(site.desktop) for key, site in company.sites.items()}
    try:
        with connect(company.mobile) as mobile:
            yield desktops, mobile
    finally:
        for connection in desktops.values():
            connection.close()


def _print_latencies(found: dict[tuple[str, str], list[float]]) -> None:
    table = Table(title="From commit to visible, seconds", title_justify="left")
    for heading in ("direction", "offices", "edits", "median", "95 %", "most"):
        table.add_column(heading, justify="right")
    for (way, kind), seconds in sorted(found.items()):
        high = statistics.quantiles(seconds, n=20, method="inclusive")[-1] if len(seconds) > 1 else seconds[0]
        median = f"{statistics.median(seconds):.0f}"
        table.add_row(way, kind, str(len(seconds)), median, f"{high:.0f}", f"{max(seconds):.0f}")
    console.print(table)


def _check(company: Company, instance: dg.DagsterInstance) -> None:
    """Verifies each office, and that no row is with another. Raises `AssertionError`."""
    with closing(connect(company.mobile)) as mobile:
        for key, site in company.sites.items():
            with closing(connect(site.desktop)) as desktop:
                found = verify(source=desktop, target=mobile, specs=TABLES)
                wrong = [one for one in found if one.outcome is None or any(one.outcome.differences.values())]
                assert not wrong, (key, wrong)
                foreign = "SELECT count(*) FROM workdiary WHERE tasknotes LIKE 'Phone row%%' AND tasknotes NOT LIKE %s"
                assert one_value(desktop, foreign, f"% of {site.number}") == 0, key
        strangers = (
            "SELECT count(*) FROM climaster"
            " WHERE clientname ~ ' of [0-9]+$' AND clientname !~ (' of ' || org_id || '$')"
        )
        assert mobile.execute(strangers).fetchone() == (0,)
    runs = instance.get_runs()
    failed = Counter(run.tags.get("dagster/partition") for run in runs if run.status == dg.DagsterRunStatus.FAILURE)
    console.print(f"{len(company.sites)} offices verified, no row with another. Failed runs by office: {dict(failed)}")


if __name__ == "__main__":
    main()
