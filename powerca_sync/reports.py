"""What came of a command, as a table for a person or as one document for a program: the same figures in both."""

import dataclasses
from typing import TYPE_CHECKING, Any

from powerca_sync.console import Console, text_table
from powerca_sync.engine.setup import Introduction
from powerca_sync.engine.status import TableStatus
from powerca_sync.environment import is_demo
from powerca_sync.settings import Settings

if TYPE_CHECKING:
    from powerca_sync.defs.running import RunOutcome

#: Heading of a column in the table of a run, and the figure in it.
FIGURES = {
    "read": "extracted",
    "inserted": "inserted",
    "updated": "updated",
    "deleted": "deleted",
    "unchanged": "unchanged",
    "kept": "kept_mobile",
    "quarantined": "quarantined",
}


def report_introduction(console: Console, settings: Settings, done: Introduction) -> None:
    """What `init` did."""
    organisations = ", ".join(done.office.orgs or ()) or "(not split by organisation)"
    console.show(
        f"[OK] The sync's own tables {'were made' if done.created else 'are there'} at {settings.mobile}.\n"
        f"[OK] Organisations {organisations} belong to the desktop at {settings.desktop}."
    )
    console.document(
        {
            "created": done.created,
            "office": done.office.identity,
            "organisations": done.office.orgs,
            "desktop": str(settings.desktop),
            "mobile": str(settings.mobile),
            "demo": is_demo(),
        }
    )


def report_run(console: Console, outcome: "RunOutcome") -> None:
    """Each table and the total; then what needs attention; the last line names what failed."""
    synced = [table for table in outcome.tables if table.figures]
    totals = {figure: sum(int(table.figures[figure]) for table in synced) for figure in FIGURES.values()}
    rows: list[tuple[Any, ...]] = [
        (
            table.table,
            table.figures["mode_effective"],
            *(table.figures[figure] for figure in FIGURES.values()),
            table.figures["seconds"],
        )
        for table in synced
    ]
    if synced:
        rows.append(("total", "", *totals.values(), outcome.seconds))
        console.show(text_table(("table", "mode", *FIGURES, "seconds"), rows))
    for table in outcome.tables:
        for entry in table.quarantine:
            console.show(f"[WARN] {table.table}: {entry}.")
        if table.error:
            console.show(f"[X] {table.table} {table.verdict.value}: {table.error}")
    if outcome.error:
        console.show(f"[X] The run ended early: {outcome.error}")
    elif outcome.failed:
        console.show(f"[X] Failed: {', '.join(table.table for table in outcome.failed)}. The other tables went on.")
    else:
        console.show(f"[OK] {len(synced)} tables synced in {outcome.seconds:.1f} s.")
    console.document(
        {
            "run_id": outcome.run_id,
            "mode": outcome.mode.value,
            "demo": is_demo(),
            "exit_status": outcome.exit_status,
            "seconds": outcome.seconds,
            "error": outcome.error,
            "totals": totals,
            "tables": [dataclasses.asdict(table) for table in outcome.tables],
        }
    )


def report_status(console: Console, tables: tuple[TableStatus, ...] | None) -> None:
    """Each table; then quarantine, dangling references and errors."""
    if tables is None:
        console.show("Nothing has been synced to this mobile database yet. Run `powerca-sync forward --mode full`.")
    else:
        header = ("table", "last sync", "mode", "synced", "seconds", "desktop", "phone", "other", "quarantined")
        console.show(text_table(header, map(_status_row, tables)))
    for table in tables or ():
        for entry in table.quarantine:
            console.show(f"[WARN] {table.table}: {entry}.")
        for orphans in table.contents.orphans if table.contents else ():
            console.show(
                f"       {table.table}: {orphans.rows} rows whose {orphans.column} is not in {orphans.parent}."
            )
        if table.error:
            console.show(f"[X] {table.table}: {table.error}")
    console.document(
        {
            "prepared": tables is not None,
            "demo": is_demo(),
            "tables": [dataclasses.asdict(table) for table in tables or ()],
        }
    )


def _status_row(table: TableStatus) -> tuple[Any, ...]:
    contents = table.contents
    return (
        table.table,
        table.last_sync.strftime("%Y-%m-%d %H:%M:%S UTC") if table.last_sync else "never",
        table.mode or "",
        "" if table.records is None else table.records,
        "" if table.seconds is None else table.seconds,
        *((contents.desktop, contents.phone, contents.other) if contents else ("no table", "", "")),
        sum(entry.rows for entry in table.quarantine),
    )
