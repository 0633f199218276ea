"""Many offices on one instance: latency of edits, isolation and cost under the daemon, and what 600 offices cost.

python -m benchmarks.offices --offices 60 --minutes 12
python -m benchmarks.offices --dummies 600
"""

import argparse
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

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
)
from benchmarks.dummies import measure_dummies
from benchmarks.records import record_as_synced
from powerca_sync.engine.postgres import Connection, connect
from powerca_sync.engine.verify import verify
from powerca_sync.tables import TABLES

console = Console(width=120)
#: Seconds after which an edit counts as lost.
LIMIT = 600.0
#: Seconds between two looks for the edits that have not arrived.
STEP = 0.5


def main() -> None:
    """Measures the live company, or the dummies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--offices", type=int, default=60, help="small offices, besides the large, slow and dead one")
    parser.add_argument("--minutes", type=float, default=12, help="minutes of edits on both sides")
    parser.add_argument("--every", type=float, default=12, help="seconds between two edits of the company")
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
            _measure_idle(instance, (code, daemon))
            _play(company, instance, (code, daemon), minutes=arguments.minutes, every=arguments.every)
            console.print(f"Memory: code server {code.megabytes():.0f} MB, daemon {daemon.megabytes():.0f} MB")
        _check(company, instance)


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


def _measure_idle(instance: dg.DagsterInstance, programs: Sequence[Program], seconds: float = 120) -> None:
    before, runs, events = _spent(programs), instance.get_runs_count(), _last_event(instance)
    time.sleep(seconds)
    spent, new = _spent(programs) - before, instance.get_runs_count() - runs
    console.print(
        f"Idle for {seconds:.0f} s: {new} runs, {_last_event(instance) - events} events; daemon and code server "
        f"{100 * spent / seconds:.1f} % of a core"
    )


def _spent(programs: Sequence[Program]) -> float:
    return sum(program.processor_seconds() for program in programs)


def _last_event(instance: dg.DagsterInstance) -> int:
    return int(instance.event_log_storage.get_maximum_record_id() or 0)


class _Edit:
    """One edit, and where it has to arrive."""

    def __init__(self, site: OfficeSite, way: str, text: str) -> None:
        self.site, self.way, self.text = site, way, text
        self.committed = time.monotonic()

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
    company: Company, instance: dg.DagsterInstance, programs: Sequence[Program], *, minutes: float, every: float
) -> None:
    """Makes edits at random offices, waits for each to arrive, and prints how long that took."""
    dice = random.Random(17)
    before, runs, events = _spent(programs), instance.get_runs_count(), _last_event(instance)
    began, made, pending = time.monotonic(), 0, list[_Edit]()
    found: dict[tuple[str, str], list[float]] = {}
    with _all_connected(company) as (desktops, mobile):
        while pending or time.monotonic() - began < minutes * 60:
            if time.monotonic() - began < minutes * 60 and made <= (time.monotonic() - began) / every:
                # Every sixth edit concerns one of the two special offices.
                key = (LARGE, SLOW)[made // 6 % 2] if made % 6 in (2, 5) else dice.choice(sorted(company.sites))
                pending.append(_make_edit(company.sites[key], made, desktops[key], mobile))
                made += 1
            for edit in [one for one in pending if one.has_arrived(desktops[one.site.key], mobile)]:
                pending.remove(edit)
                kind = edit.site.key if edit.site.key in (LARGE, SLOW) else "small"
                found.setdefault((edit.way, kind), []).append(time.monotonic() - edit.committed)
            if pending and time.monotonic() - pending[0].committed > LIMIT:
                raise TimeoutError(f"{pending[0].text} did not arrive")
            time.sleep(STEP)
    seconds = time.monotonic() - began
    spent, new = _spent(programs) - before, instance.get_runs_count() - runs
    _print_latencies(found)
    console.print(
        f"{made} edits in {seconds / 60:.1f} minutes: {new} runs ({spent / new:.1f} CPU s and "
        f"{(_last_event(instance) - events) / new:.0f} events each, the daemon's share included), "
        f"{100 * spent / seconds:.0f} % of a core"
    )


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
