"""The whole office over a line of 30 ms and 20 Mbit/s: what it costs to send everything, and only differences."""

import dataclasses
import time

from rich.console import Console
from rich.table import Table

from benchmarks.link import Line, through_a_link
from powerca_sync.demo import edit_office
from powerca_sync.engine.database import Connection, connect
from powerca_sync.engine.extract import TableExtract
from powerca_sync.engine.forward import sync_forward
from powerca_sync.engine.result import Options, Transfer
from powerca_sync.settings import Settings
from powerca_sync.tables import TABLES

#: One row in a thousand of the two large tables.
TOUCH = """
UPDATE jobshead SET work_desc = left(work_desc || '.', 100) WHERE job_id % 1000 = 7;
UPDATE jobtasks SET taskorder = taskorder + 1 WHERE job_id % 1000 = 8;
"""


def measure_line(console: Console, settings: Settings) -> None:
    """Print full runs of the fifteen tables, by the engine, on databases that have been synced."""
    table = Table(title="The office of the demo over 30 ms and 20 Mbit/s, full runs", title_justify="left")
    for heading in ("situation", "transfer", "rows read", "rows written", "seconds", "MB on the line", "round trips"):
        table.add_column(heading, justify="left" if heading in ("situation", "transfer") else "right")
    with connect(settings.desktop) as desktop, through_a_link(settings.mobile) as line:
        edit_office(desktop)
        _run(desktop, line, Transfer.EVERYTHING)
        for situation in ("unchanged", "0.1 % changed"):
            for transfer in (Transfer.EVERYTHING, Transfer.DIFFERENCES):
                if situation != "unchanged":
                    desktop.execute(TOUCH)
                table.add_row(situation, transfer.value, *_run(desktop, line, transfer))
    console.print(table)


def _run(desktop: Connection, line: Line, transfer: Transfer) -> tuple[str, ...]:
    options = dataclasses.replace(Options(), transfer=transfer)
    before, began, read, written = line.passed(), time.monotonic(), 0, 0
    with connect(line.endpoint) as mobile:
        for spec in TABLES:
            result = sync_forward(TableExtract(spec=spec), source=desktop, target=mobile, specs=TABLES, options=options)
            read, written = read + result.extracted, written + result.written
    seconds = time.monotonic() - began
    octets, round_trips = (after - then for after, then in zip(line.passed(), before, strict=True))
    return f"{read:,}", f"{written:,}", f"{seconds:.1f}", f"{octets / 1e6:.2f}", f"{round_trips}"
