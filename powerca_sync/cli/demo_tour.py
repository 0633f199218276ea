"""The tour of `powerca-sync demo`: a day of an office and its phones, with the real jobs on two embedded databases."""

import os
from collections.abc import Sequence
from functools import partial

from powerca_sync.cli.console import Console
from powerca_sync.cli.run_report import report_run
from powerca_sync.cli.session import run_job
from powerca_sync.defs.runs.in_process import run_forward, run_reverse
from powerca_sync.defs.sensors import look
from powerca_sync.demo import count_without_organisation, create_phone_rows, edit_office
from powerca_sync.demo.edits import OfficeEdits
from powerca_sync.demo.proof import Digest, digests
from powerca_sync.engine.postgres import connect_both
from powerca_sync.engine.requests import Allowances, Choice, Mode
from powerca_sync.environment import FOLDER, current_settings
from powerca_sync.plain_text import counted
from powerca_sync.specs import PHONE, spec_named
from powerca_sync.tables import TABLES

MOBILE_TABLES = tuple(spec.mobile for spec in TABLES)
DESKTOP_TABLES = tuple(spec.desktop for spec in TABLES)
Digests = dict[str, Digest]


def tell(console: Console) -> int:
    """Tell it, on databases that earlier runs may have left as they were; answers the exit status.

    It is 1 as soon as a run fails, a phone row is touched, or an unchanged run writes anything.
    """
    settings = current_settings()
    with connect_both(settings.desktop, settings.mobile) as (desktop, mobile):
        console.show("\n1. Morning. The first full run: every row of the desktop, to mobile.\n")
        # The pull is the first ever, so that the sensor has something to compare the phones' rows with.
        if _forward(console, Mode.FULL) or _pull(console, MOBILE_TABLES, report=False):
            return 1

        phone_rows = digests(mobile, MOBILE_TABLES, owner=PHONE)
        if not _count(phone_rows):
            create_phone_rows(mobile)
            phone_rows = digests(mobile, MOBILE_TABLES, owner=PHONE)
        console.show(f"\n2. During the day phones write to mobile: {_per_table(phone_rows)}.")
        console.show(
            f"   {count_without_organisation(mobile)} of them name no organisation; it is that of the staff who wrote "
            "them."
        )

        found = look(TABLES)
        if found.pending:
            tables = ", ".join(f"{table} ({found.rows[table]})" for table in found.pending)
            console.show(
                f"\n3. The sensor looks every half minute. It sees new phone rows in {tables}; they are pulled.\n"
            )
            if _pull(console, found.pending):
                return 1
        else:
            console.show(
                "\n3. The sensor looks every half minute. It sees nothing new: all of them were pulled before."
            )

        console.show("\n4. A day at the office:\n")
        for edit in _edits(edit_office(desktop)):
            console.show(f"   - {edit}")

        console.show(
            "\n5. An incremental run carries that day over. What came from phones is not sent back (`echo`).\n"
        )
        if _forward(console, Mode.INCREMENTAL):
            return 1

        console.show(
            "\n6. Night. Nothing has changed since: a pull and a full run read everything and write nothing.\n"
        )
        before = digests(mobile, MOBILE_TABLES), digests(desktop, DESKTOP_TABLES)
        if _pull(console, [table for table, rows in phone_rows.items() if rows.rows]):
            return 1
        console.show("")
        if _forward(console, Mode.FULL):
            return 1
        after = digests(mobile, MOBILE_TABLES), digests(desktop, DESKTOP_TABLES)
        status = _prove(console, before, after, phone_rows, digests(mobile, MOBILE_TABLES, owner=PHONE))
    console.show(f"\n{next_steps()}")
    return status


def next_steps() -> str:
    """Returns the last line: the commands of make if make started the demo, otherwise those of the program."""
    by_make = "MAKELEVEL" in os.environ
    ui = "make dev" if by_make else "powerca-sync ui --demo"
    program = ".venv/bin/powerca-sync" if by_make else "powerca-sync"
    return (
        f"The databases stay in {FOLDER}. `{ui}` opens Dagster's UI on them, with the runs above in its history; "
        f"`{program} demo --reset` starts over."
    )


def _prove(
    console: Console,
    before: tuple[Digests, Digests],
    after: tuple[Digests, Digests],
    phone_rows: Digests,
    phone_rows_now: Digests,
) -> int:
    """Say what was written although nothing had changed; answers the exit status."""
    faults = 0
    console.show("")
    for side, then, now in zip(("mobile", "the desktop"), before, after, strict=True):
        written = _differing(then, now)
        faults += len(written)
        console.show(
            f"[X] Rows were written on {side} in {', '.join(written)}."
            if written
            else f"[OK] Not one of the {_count(then):,} rows on {side} was written again."
        )
    touched = _differing(phone_rows, phone_rows_now)
    console.show(
        f"[X] Phone rows were touched in {', '.join(touched)}."
        if touched
        else f"[OK] The {_count(phone_rows)} phone rows are as the phones left them, byte for byte."
    )
    return 1 if faults or touched else 0


def _forward(console: Console, mode: Mode) -> int:
    """Sync all tables forward and print the result; returns the exit status."""
    run = partial(run_forward, TABLES, mode=mode, only=TABLES, allowances=Allowances())
    outcome = run_job(console, run, progress=False)
    report_run(console, outcome)
    return outcome.exit_status


def _pull(console: Console, tables: Sequence[str], *, report: bool = True) -> int:
    """Reverse-sync these tables; returns the exit status."""
    only = [spec_named(TABLES, table) for table in tables]
    run = partial(run_reverse, TABLES, only=only, again=False, lookalikes=Choice.HOLD)
    outcome = run_job(console, run, progress=False)
    if report or outcome.exit_status:
        report_run(console, outcome)
    return outcome.exit_status


def _differing(before: Digests, after: Digests) -> list[str]:
    return [table for table, digest in after.items() if digest != before[table]]


def _count(digests: Digests) -> int:
    return sum(digest.rows for digest in digests.values())


def _per_table(digests: Digests) -> str:
    return ", ".join(f"{counted(digest.rows, 'row')} of {table}" for table, digest in digests.items() if digest.rows)


def _edits(edits: OfficeEdits) -> list[str]:
    sentences = [
        f"client {number} is renamed from {before} to {after}" for number, before, after in edits.renamed_clients
    ]
    sentences += [
        f"{len(edits.postponed_job_rows)} assignments get another target date",
        f"a new job comes in, with {len(edits.new_job_rows)} people and {len(edits.new_tasks)} tasks",
        f"{len(edits.deleted_job_rows)} assignments are deleted",
        f"{len(edits.changed_reminders)} reminders are changed and {len(edits.new_reminders)} is added",
    ]
    return sentences
