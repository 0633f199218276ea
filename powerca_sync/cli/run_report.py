"""The output of `forward`, `reverse`, `init` and `status`: a table for people or one document for programs."""

import dataclasses
from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any

from powerca_sync.cli.console import Console
from powerca_sync.cli.doctor_report import show_problems
from powerca_sync.cli.setup_files import SetupFiles
from powerca_sync.engine.doctor import Finding
from powerca_sync.engine.result import Conflict, ForwardResult, ReverseResult, figures
from powerca_sync.engine.setup import Introduction
from powerca_sync.engine.status import ReverseStatus, Status, TableStatus
from powerca_sync.environment import is_demo
from powerca_sync.plain_text import counted, in_one_line
from powerca_sync.settings import REQUIRED, Settings

if TYPE_CHECKING:
    from powerca_sync.defs.runs import FunctionOutcome, PastRun, RunOutcome, TableOutcome

#: Columns that a narrow terminal can do without, least important first.
SPARE = ("mode", "seconds", "already", "kept", "changed", "missing", "unassigned", "echo")


def report_introduction(console: Console, settings: Settings, done: Introduction, findings: Sequence[Finding]) -> None:
    """Print what `init` created or found, the statements for an administrator, and findings about other offices."""
    organisations = ", ".join(done.office.orgs or ()) or "(not split by organisation)"
    own_tables = _made(done.created, "the sync's own tables")
    ledger = _made(done.ledger_created, "the ledger of reverse-synced rows")
    console.show(f"[OK] {own_tables} on {settings.mobile}.")
    console.show(f"[OK] {ledger} on {settings.desktop}.")
    console.show(f"[OK] Registered the desktop {settings.desktop} for organisations {organisations}.")
    if done.refusal:
        console.show(
            f"[WARN] The guide's table `_sync_metadata` could not be completed ({done.refusal}). The sync does not "
            "need it and goes on with tables of its own. To complete it, ask an administrator to run:"
        )
        console.paste(f"\n{done.statements}")
    show_problems(console, findings)
    console.document(
        {
            "created": done.created,
            "ledger_created": done.ledger_created,
            "guide_table_statements": done.statements,
            "office": done.office.identity,
            "organisations": done.office.orgs,
            "findings": [dataclasses.asdict(finding) for finding in findings],
            "desktop": str(settings.desktop),
            "mobile": str(settings.mobile),
            "demo": is_demo(),
        }
    )


def report_files(console: Console, files: SetupFiles) -> None:
    """Print which files `init --files` wrote, and what to do next."""
    named = ", ".join(f"`{name}`" for name in REQUIRED)
    for name in files.written:
        console.show(f"[OK] Wrote {files.folder / name}.")
    for name in files.kept:
        console.show(f"[OK] Kept {files.folder / name}, which existed.")
    console.show(
        f"Next: fill in {named} in {files.folder / '.env'}. Then, in that folder, run `powerca-sync doctor`, "
        "`powerca-sync init` and `powerca-sync ui`."
    )
    console.document({"folder": str(files.folder), "written": files.written, "kept": files.kept})


def _made(created: bool | None, what: str) -> str:
    if created is None:
        return f"No table is reverse-synced: did not create {what}"
    return f"Created {what}" if created else f"Found {what}"


def report_run(console: Console, outcome: "RunOutcome") -> None:
    """Print each table and the total, then warnings; the last line names the tables that failed."""
    columns = [figure for figure in figures(ForwardResult if outcome.mode else ReverseResult) if figure.heading]
    synced = [table for table in outcome.tables if table.figures]
    totals = {figure.name: sum(int(table.figures[figure.name]) for table in synced) for figure in columns}
    rows = [
        (
            table.table,
            *((table.figures["mode_effective"],) if outcome.mode else ()),
            *(table.figures[figure.name] for figure in columns),
            table.figures["seconds"],
        )
        for table in synced
    ]
    if synced:
        rows.append(("total", *(("",) if outcome.mode else ()), *totals.values(), outcome.seconds))
        header = ("table", *(("mode",) if outcome.mode else ()), *(figure.heading for figure in columns), "seconds")
        console.table(header, rows, spare=SPARE)
    for table in outcome.tables:
        if not outcome.refresh_failed:
            _report_attention(console, table)
    for function in outcome.functions:
        _report_function(console, function)
    if outcome.interrupted:
        console.show(
            "[X] Interrupted. Tables that ended are synced, the others are unchanged; the same command carries on."
        )
    elif outcome.error:
        console.show(f"[X] The run ended early: {outcome.error}")
    elif outcome.refresh_failed:
        console.show("[X] No table was read, because the desktop's tables could not be refreshed.")
    elif outcome.failed or outcome.exit_status:
        failed = ", ".join(
            [table.table for table in outcome.failed] + [one.asset for one in outcome.functions if one.error]
        )
        went_on = any(table.figures for table in outcome.tables)
        console.show(f"[X] Failed: {failed}.{' The other tables went on.' if went_on else ''}")
    elif outcome.mode:
        console.show(f"[OK] {counted(len(synced), 'table')} synced in {outcome.seconds:.1f} s.")
    else:
        console.show(f"[OK] {counted(totals['pulled'], 'phone row')} reverse-synced in {outcome.seconds:.1f} s.")
    console.document(
        {
            **dataclasses.asdict(outcome),
            "demo": is_demo(),
            "exit_status": outcome.exit_status,
            "totals": totals,
        }
    )


def _report_function(console: Console, function: "FunctionOutcome") -> None:
    if function.error:
        console.show(f"[X] {function.asset} failed: {function.error}")
    elif function.seconds is None:
        console.show(
            f"     {function.asset}: `{function.function}` was not called, as there is no new phone row to book."
        )
    else:
        console.show(
            f"[OK] {function.asset}: `{function.function}` returned {function.returned} in {function.seconds:.1f} s."
        )


def _report_attention(console: Console, table: "TableOutcome") -> None:
    for entry in table.quarantine:
        # Conflicts are printed below, with both contents.
        if entry.reason != "conflict":
            console.show(f"[WARN] {table.table}: {entry}.")
    for warning in table.warnings:
        console.show(f"[WARN] {table.table}: {warning}.")
    for remark in table.remarks:
        console.show(f"       {table.table}: {remark}.")
    for conflict in table.conflicts:
        key = ", ".join(f"{name}={in_one_line(str(value))}" for name, value in conflict.key.items())
        console.show(f"[WARN] {table.table}: {key} has different contents on the phone and on the desktop:")
        console.table(("column", "phone", "desktop", ""), _both(conflict), indent=7)
    if table.error:
        console.show(f"[X] {table.table} {table.verdict.value}: {table.error}")


def _both(conflict: Conflict) -> Iterator[tuple[str, ...]]:
    """Yields name, phone's value, desktop's value and a remark for each column."""
    for name, phone in conflict.phone.items():
        desktop = conflict.desktop.get(name)
        shown = ("(empty)" if value is None else value for value in (phone, desktop))
        yield name, *shown, "" if phone == desktop else "differs"


def report_status(console: Console, status: Status, runs: "tuple[PastRun, ...]", zone: tzinfo) -> None:
    """Print tables, quarantine, dangling references and errors; phone rows, if they are known; and the last runs.

    Times are those of the zone; in the document, those of the databases.
    """
    tables, phones = status.tables, status.phones
    if tables is None:
        console.show("Nothing has been synced to this mobile database yet. Run `powerca-sync forward --mode full`.")
    else:
        header = ("table", "last sync", "mode", "synced", "seconds", "desktop", "phone", "other", "quarantined")
        lines = [_status_row(table, zone) for table in tables]
        console.table(header, lines, spare=("seconds", "mode", "synced", "other"))
    for table in tables or ():
        for entry in table.quarantine:
            console.show(f"[WARN] {table.table}: {entry}.")
        if table.foreign:
            console.show(
                f"[WARN] {table.table}: {counted(table.foreign, 'row')} inserted or changed on mobile by others, not "
                "on the desktop, and kept. `powerca-sync plan` lists them."
            )
        for orphans in table.contents.orphans if table.contents else ():
            rows = counted(orphans.rows, "row")
            console.show(f"       {table.table}: {rows} whose {orphans.column} is not in {orphans.parent}.")
        if table.error:
            console.show(f"[X] {table.table}: {table.error}")
    if phones is not None:
        _report_phones(console, phones, zone)
    if runs:
        console.show("")
        headings = ("last runs", "job", "status", "seconds", "tables", "rows written", "quarantined", "run")
        console.table(headings, [_run_row(run, zone) for run in runs[:SHOWN]], spare=("tables", "run", "seconds"))
    if tables:
        console.show(f"Times are those of {zone}.")
    console.document(
        {
            "prepared": tables is not None,
            "demo": is_demo(),
            "tables": [dataclasses.asdict(table) for table in tables or ()],
            "phone_rows": None if phones is None else [dataclasses.asdict(table) for table in phones],
            "runs": [dataclasses.asdict(run) for run in runs],
        }
    )


#: Number of runs in the text; the document has all of them.
SHOWN = 5
#: Heading of a column in the table of phone rows, and the figure in it.
PHONES = {
    "on mobile": "phone_rows",
    "pending": "waiting",
    "pulled": "pulled",
    "quarantined": "quarantined",
    "conflicting": "conflicting",
    "unassigned": "unassigned",
    "changed": "changed_after_pull",
    "missing": "missing_after_pull",
}


def _report_phones(console: Console, phones: tuple[ReverseStatus, ...], zone: tzinfo) -> None:
    """Print the tables that have phone rows, quarantined rows or warnings."""
    told = [table for table in phones if table.quarantine or any(getattr(table, name) for name in PHONES.values())]
    console.show("")
    if not told:
        console.show("There are no phone rows.")
    else:
        rows = (
            (
                table.table,
                _moment(table.last_pull, zone),
                *(getattr(table, name) for name in PHONES.values()),
            )
            for table in told
        )
        header = ("phone rows", "last run", *PHONES)
        console.table(header, rows, spare=("last run", "changed", "missing", "unassigned"))
    for table in phones:
        for entry in table.quarantine:
            console.show(f"[WARN] {table.table}: {entry}.")
        if table.by_hand and table.waiting:
            console.show(
                f"[WARN] {table.table}: {counted(table.waiting, 'new phone row')} pending; the table is "
                f"reverse-synced by hand only. Look at the rows, then run `powerca-sync reverse --table {table.table}`."
            )
        if table.error:
            console.show(f"[X] {table.table}: {table.error}")


def _run_row(run: "PastRun", zone: tzinfo) -> tuple[Any, ...]:
    return (
        _moment(run.started, zone),
        run.name,
        run.status,
        "" if run.seconds is None else run.seconds,
        run.tables,
        run.written,
        run.quarantined,
        run.run_id[:8],
    )


def _moment(moment: datetime | None, zone: tzinfo) -> str:
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M") if moment else "never"


def _status_row(table: TableStatus, zone: tzinfo) -> tuple[Any, ...]:
    contents = table.contents
    return (
        table.table,
        _moment(table.last_sync, zone),
        table.mode or "",
        "" if table.records is None else table.records,
        "" if table.seconds is None else table.seconds,
        *((contents.desktop, contents.phone, contents.other) if contents else ("no table", "", "")),
        table.quarantined,
    )
