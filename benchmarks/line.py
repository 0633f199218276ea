"""The whole office over a connection of 30 ms and 20 Mbit/s: the cost of a complete and of a differential transfer.

"At line speed" is what the bytes and the round trips alone take. CPU is that of the syncing process.

The demo's office has 93 thousand rows; a grown one, of 470 thousand, has years of work diaries and checklists, some of
which phones have created and the office has reverse-synced.
"""

import contextlib
import dataclasses
import itertools
import time
from collections.abc import Iterator, Sequence

from psycopg import sql
from rich.console import Console
from rich.table import Table

from benchmarks.link import BITS, LATENCY, Line, simulate_link
from powerca_sync.demo import edit_office
from powerca_sync.engine.context import CatalogCaches
from powerca_sync.engine.forward import ReadAhead, sync_forward
from powerca_sync.engine.postgres import Connection, connect
from powerca_sync.engine.requests import Mode, TableExtract, TablePull
from powerca_sync.engine.result import Options, Transfer
from powerca_sync.engine.reverse import sync_reverse
from powerca_sync.settings import Endpoint, Settings
from powerca_sync.specs import TableSpec, in_order, spec_named
from powerca_sync.tables import TABLES

#: One row in a thousand of the large tables.
TOUCH = """
UPDATE jobshead SET work_desc = left(work_desc || '.', 100) WHERE job_id % 1000 = 7;
UPDATE jobtasks SET taskorder = taskorder + 1 WHERE job_id % 1000 = 8;
UPDATE workdiary SET minutes = minutes + 1 WHERE job_id % 1000 = 9;
"""
#: The rows that the demo's office lacks to 470 thousand.
YEARS = """
INSERT INTO workdiary (org_id, con_id, loc_id, staff_id, job_id, task_id, date, timefrom, timeto, minutes, tasknotes)
SELECT h.org_id, 0, h.loc_id, s.staff_id, h.job_id, n % 9, d.day, d.day + time '10:00', d.day + time '11:30', 90,
    'Worked on it, part ' || n
FROM generate_series(1, 250000) AS n
JOIN (SELECT *, row_number() OVER (ORDER BY ctid) AS place FROM jobshead WHERE org_id IS NOT NULL) AS h
    ON h.place = 1 + n % 20000
JOIN (SELECT *, row_number() OVER (ORDER BY staff_id) AS place FROM mbstaff) AS s ON s.place = 1 + n % 10
CROSS JOIN LATERAL (SELECT date '2020-01-01' + n % 2000 AS day) AS d
WHERE h.loc_id IN (SELECT loc_id FROM locmaster);
INSERT INTO taskchecklist (tc_id, org_id, loc_id, task_id, checklistdesc, checkliststatus, job_id)
SELECT 1000000 + n, c.org_id, c.loc_id, c.task_id, c.checklistdesc || ' ' || n, 0, c.job_id
FROM generate_series(1, 127000) AS n
JOIN (SELECT *, row_number() OVER (ORDER BY tc_id, ctid) AS place FROM taskchecklist) AS c ON c.place = 1 + n % 2500
"""
#: A year of phone rows.
PHONES = """
INSERT INTO workdiary (org_id, con_id, loc_id, staff_id, job_id, task_id, date, minutes, tasknotes, source)
SELECT w.org_id, 0, w.loc_id, w.staff_id, w.job_id, 1, date '2026-01-01' + (w.wd_id % 300)::int, 45, 'By phone', 'M'
FROM workdiary AS w WHERE w.wd_id <= 10000
"""


def measure_line(console: Console, settings: Settings) -> None:
    """Prints full runs of all tables, by the engine, on databases that have been synced."""
    table = Table(title="The office over 30 ms and 20 Mbit/s, by the engine", title_justify="left")
    headings = ("rows read", "rows written", "seconds", "at line speed", "CPU s", "MB on the line", "round trips")
    for heading in ("situation", "transfer", *headings):
        table.add_column(heading, justify="left" if heading in ("situation", "transfer") else "right")
    with connect(settings.desktop) as desktop, simulate_link(settings.mobile) as line:
        edit_office(desktop)
        _measure(table, "the demo", desktop, settings, line)
        desktop.execute(YEARS)
        with connect(settings.mobile) as mobile:
            sync_all(desktop, mobile)
            mobile.execute(PHONES)
            diary = TablePull(spec=spec_named(TABLES, "workdiary"))
            sync_reverse(diary, source=mobile, target=desktop, specs=TABLES)
            desktop.execute("ANALYZE")
            mobile.execute("ANALYZE")
        _measure(table, "grown", desktop, settings, line)
        with connect(settings.mobile) as mobile:
            large = [spec_named(TABLES, name) for name in ("workdiary", "taskchecklist")]
            for spec in large:
                mobile.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier(spec.mobile)))
        figures = _run(settings.desktop, line, Transfer.EVERYTHING, specs=large)
        table.add_row("grown, first load of two tables", Transfer.EVERYTHING.value, *figures)
    console.print(table)


def _measure(table: Table, office: str, desktop: Connection, settings: Settings, line: Line) -> None:
    with connect(settings.mobile) as mobile:
        sync_all(desktop, mobile)
    for transfer in (Transfer.EVERYTHING, Transfer.DIFFERENCES):
        table.add_row(f"{office}, unchanged", transfer.value, *_run(settings.desktop, line, transfer))
    for transfer in (Transfer.EVERYTHING, Transfer.DIFFERENCES):
        desktop.execute(TOUCH)
        table.add_row(f"{office}, 0.1 % changed", transfer.value, *_run(settings.desktop, line, transfer))
    table.add_row(f"{office}, unchanged", "incremental", *_run(settings.desktop, line, Transfer.AUTO, Mode.INCREMENTAL))
    table.add_section()


def sync_all(desktop: Connection, mobile: Connection) -> None:
    """Runs a full sync of every table, in which tables may grow to many times their size."""
    caches = CatalogCaches.build(TABLES, TABLES)
    for spec in TABLES:
        what = TableExtract(spec=spec, allow_mass_insert=True)
        sync_forward(what, source=desktop, target=mobile, specs=TABLES, caches=caches)


def _run(
    desktop: Endpoint, line: Line, transfer: Transfer, mode: Mode = Mode.FULL, specs: Sequence[TableSpec] = TABLES
) -> tuple[str, ...]:
    options = dataclasses.replace(Options(), transfer=transfer)

    @contextlib.contextmanager
    def connected(_: str | None) -> Iterator[tuple[Connection, Connection]]:
        both = kept.pop() if kept else (connect(desktop), connect(line.endpoint))
        yield both
        kept.append(both)

    kept: list[tuple[Connection, Connection]] = []
    tables = [spec for spec in in_order(TABLES) if spec in specs]
    before, began, used, read, written = line.transferred(), time.monotonic(), time.process_time(), 0, 0
    with contextlib.closing(ReadAhead(tables, TABLES, connect=connected, options=options)) as run:
        for spec in tables:
            result = run.sync(TableExtract(spec=spec, mode=mode, allow_mass_insert=True))
            read, written = read + result.extracted, written + result.written
    for connection in itertools.chain(*kept):
        connection.close()
    seconds = time.monotonic() - began
    used = time.process_time() - used
    octets, round_trips = (after - then for after, then in zip(line.transferred(), before, strict=True))
    least = octets * 8 / BITS + round_trips * LATENCY
    figures = (f"{seconds:.1f}", f"{least:.1f}", f"{used:.1f}", f"{octets / 1e6:.2f}", f"{round_trips}")
    return f"{read:,}", f"{written:,}", *figures
