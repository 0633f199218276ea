"""What `powerca-sync demo` tells: a day of an office and its phones, with the real job on two embedded databases."""

from powerca_sync.console import Console
from powerca_sync.defs.running import RunOutcome, open_instance, run_forward
from powerca_sync.demo import create_phone_rows, edit_office
from powerca_sync.demo.edits import OfficeEdits
from powerca_sync.demo.proof import Digest, digests
from powerca_sync.engine.database import connect
from powerca_sync.engine.extract import Mode
from powerca_sync.environment import FOLDER, current_settings
from powerca_sync.reports import report_run
from powerca_sync.tables import PHONE, TABLES

MOBILE_TABLES = tuple(spec.mobile for spec in TABLES)


def tell(console: Console) -> int:
    """Tell it, on databases that earlier runs may have left as they were; answers the exit status.

    It is 1 as soon as a run fails, a phone row is touched, or an unchanged run writes anything.
    """
    settings = current_settings()
    with connect(settings.desktop) as desktop, connect(settings.mobile) as mobile:
        console.show("\n1. The first full run: every row of the desktop, to mobile.\n")
        if _forward(console, Mode.FULL).exit_status:
            return 1

        phone_rows = digests(mobile, MOBILE_TABLES, owner=PHONE)
        if not _count(phone_rows):
            create_phone_rows(mobile)
            phone_rows = digests(mobile, MOBILE_TABLES, owner=PHONE)
        console.show(f"\n2. Phones write to mobile: {_per_table(phone_rows)}.")

        console.show("\n3. A day at the office:\n")
        console.show(_edits(edit_office(desktop)))

        console.show("\n4. An incremental run carries that day over.\n")
        if _forward(console, Mode.INCREMENTAL).exit_status:
            return 1

        console.show("\n5. Nothing has changed since. A full run reads everything and writes nothing.\n")
        before = digests(mobile, MOBILE_TABLES)
        if _forward(console, Mode.FULL).exit_status:
            return 1
        written = [table for table, digest in digests(mobile, MOBILE_TABLES).items() if digest != before[table]]
        touched = [
            table
            for table, digest in digests(mobile, MOBILE_TABLES, owner=PHONE).items()
            if digest != phone_rows[table]
        ]
    console.show("")
    console.show(
        f"[X] Rows were written in {', '.join(written)}."
        if written
        else f"[OK] Not one of the {_count(before):,} rows on mobile was written again."
    )
    console.show(
        f"[X] Phone rows were touched in {', '.join(touched)}."
        if touched
        else f"[OK] The {_count(phone_rows)} phone rows are as the phones left them, byte for byte."
    )
    console.show(
        f"\nThe databases stay in {FOLDER}. `make dev` opens Dagster's UI on them, with the runs above in its "
        "history; `powerca-sync demo --reset` starts over."
    )
    return 1 if written or touched else 0


def _forward(console: Console, mode: Mode) -> RunOutcome:
    with open_instance(FOLDER / "dagster") as instance:
        outcome = run_forward(
            TABLES,
            mode=mode,
            only=TABLES,
            allow_mass_delete=False,
            instance=instance,
            say=lambda _: None,
            moving=console.moving,
        )
    report_run(console, outcome)
    return outcome


def _count(digests: dict[str, Digest]) -> int:
    return sum(digest.rows for digest in digests.values())


def _per_table(digests: dict[str, Digest]) -> str:
    return ", ".join(f"{digest.rows} rows of {table}" for table, digest in digests.items() if digest.rows)


def _edits(edits: OfficeEdits) -> str:
    sentences = [
        f"client {number} is renamed from {before} to {after}" for number, before, after in edits.renamed_clients
    ]
    sentences += [
        f"{len(edits.postponed_job_rows)} assignments get another target date",
        f"a new job comes in, with {len(edits.new_job_rows)} people and {len(edits.new_tasks)} tasks",
        f"{len(edits.deleted_job_rows)} assignments are deleted",
        f"{len(edits.changed_reminders)} reminders are changed and {len(edits.new_reminders)} is added",
    ]
    return "\n".join(f"   - {sentence}" for sentence in sentences)
