"""The subcommands of `powerca-sync`; each calls the engine or a Dagster job and prints the result.

A command imports what it needs when it runs: the engine takes a quarter of a second to import, Dagster one second, and
help texts, completion and wrong options need neither.
"""

import sys
import time
import zoneinfo
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from powerca_sync.cli.local_commands import demo, ui
from powerca_sync.cli.offices import office_options, offices
from powerca_sync.cli.options import (
    ALLOWANCES,
    HELP,
    allowance_options,
    examples,
    files_option,
    output_options,
    table_option,
    verbose_option,
)
from powerca_sync.cli.session import (
    choose_tables,
    load_settings,
    quick_imports,
    read_last_runs,
    reporting,
    run_job,
    say_what_is_not_called,
)
from powerca_sync.engine.requests import Allowances, Choice, Mode, TableExtract, TablePull
from powerca_sync.environment import current_functions, current_tables
from powerca_sync.errors import ConfigurationError
from powerca_sync.operations import Schedules
from powerca_sync.tables import TABLES

if TYPE_CHECKING:
    from powerca_sync.engine.dry_run import PullPlan, TablePlan


@click.group(
    context_settings=HELP,
    epilog=examples(
        "powerca-sync doctor                    examine both databases",
        "powerca-sync init                      prepare mobile for this desktop",
        "powerca-sync plan                      see what a run would change",
        "powerca-sync forward                   sync all tables to mobile",
        "powerca-sync reverse                   bring new phone rows to the desktop",
        'eval "$(_POWERCA_SYNC_COMPLETE=bash_source powerca-sync)"  bash completion',
    ),
)
@click.version_option(package_name="powerca-sync", message="%(prog)s %(version)s")
def main() -> None:
    """Sync an office's desktop database with the mobile database of its phone app."""


@main.command(
    epilog=examples(
        "powerca-sync forward --mode incremental",
        "powerca-sync forward --table jobshead --table jobtasks",
    ),
)
@click.option(
    "--mode",
    type=click.Choice([mode.value for mode in Mode]),
    default=Mode.FULL.value,
    show_default=True,
    help="Read every row, or the rows that changed since the last run.",
)
@table_option
@allowance_options
@office_options
@output_options
@verbose_option
def forward(mode: str, tables: tuple[str, ...], as_json: bool, quiet: bool, verbose: bool, **allowed: bool) -> None:
    """Sync the desktop's rows to mobile."""
    with reporting(as_json, quiet=quiet, verbose=verbose) as console:
        specs, only = choose_tables(TABLES, tables)
        load_settings(console)
        # After the settings, so that their mistakes are reported at once.
        with quick_imports():
            from powerca_sync.cli.run_report import report_run
            from powerca_sync.defs.runs.in_process import run_forward

        outcome = run_job(
            console, partial(run_forward, specs, mode=Mode(mode), only=only, allowances=Allowances(**allowed))
        )
        report_run(console, outcome)
    sys.exit(outcome.exit_status)


@main.command(
    epilog=examples(
        "powerca-sync reverse",
        "powerca-sync reverse --table mbstaff",
    ),
)
@table_option
@click.option("--again", is_flag=True, help="Insert again rows that were deleted on the desktop.")
@click.option(
    "--adopt-lookalikes",
    "lookalikes",
    flag_value="adopt",
    help="Look-alikes are the desktop's own rows: enter them into the ledger as they are.",
)
@click.option(
    "--pull-lookalikes", "lookalikes", flag_value="pull", help="Look-alikes are new rows: insert them on the desktop."
)
@office_options
@output_options
@verbose_option
def reverse(
    tables: tuple[str, ...], again: bool, lookalikes: str | None, as_json: bool, quiet: bool, verbose: bool
) -> None:
    """Insert new phone rows on the desktop."""
    with reporting(as_json, quiet=quiet, verbose=verbose) as console:
        specs, only = choose_tables(TABLES, tables, reverse=True)
        load_settings(console)
        with quick_imports():
            from powerca_sync.cli.run_report import report_run
            from powerca_sync.defs.runs.in_process import run_reverse

        outcome = run_job(
            console, partial(run_reverse, specs, only=only, again=again, lookalikes=Choice(lookalikes or "hold"))
        )
        report_run(console, outcome)
    sys.exit(outcome.exit_status)


@main.command(
    epilog=examples(
        "powerca-sync plan",
        "powerca-sync plan reverse --table reminder",
    ),
)
@click.argument("direction", type=click.Choice(["forward", "reverse"]), default="forward")
@click.option(
    "--mode",
    type=click.Choice([mode.value for mode in Mode]),
    help="For forward: read every row (default), or the rows that changed since the last run.",
)
@table_option
@allowance_options
@office_options
@output_options
def plan(
    direction: str, mode: str | None, tables: tuple[str, ...], as_json: bool, quiet: bool, **allowed: bool
) -> None:
    """Show what a run would change, without changing anything."""
    from powerca_sync.cli.plan_report import exit_status, report_plan
    from powerca_sync.engine.dry_run import plan_forward, plan_reverse
    from powerca_sync.engine.postgres import connect_both
    from powerca_sync.engine.result import Options

    with reporting(as_json, quiet=quiet) as console:
        specs, only = choose_tables(TABLES, tables)
        if direction == "reverse" and (mode or any(allowed.values())):
            raise ConfigurationError(
                f"`--mode` and `{'`, `'.join(ALLOWANCES)}` are for forward runs only. Leave them out."
            )
        settings = load_settings(console)
        options = Options(timezone=settings.timezone, encoding=settings.encoding, limits=settings.limits)
        began = time.monotonic()
        how = Mode(mode or Mode.FULL) if direction == "forward" else None
        say_what_is_not_called(console, forward=how is not None)
        plans: Sequence[TablePlan | PullPlan]
        with connect_both(settings.desktop, settings.mobile) as (desktop, mobile):
            if how:
                extracts = [TableExtract(spec=spec, mode=how, **allowed) for spec in only]
                plans = plan_forward(extracts, source=desktop, target=mobile, specs=specs, options=options)
            else:
                pulls = [TablePull(spec=spec) for spec in only if spec.reverse]
                plans = plan_reverse(pulls, source=mobile, target=desktop, specs=specs, options=options)
        report_plan(console, plans, mode=how, seconds=time.monotonic() - began)
    sys.exit(exit_status(plans))


@main.command(
    epilog=examples(
        "powerca-sync init",
        "powerca-sync init --accept-source",
        "powerca-sync init --files /srv/powerca",
    ),
)
@click.option(
    "--accept-source",
    is_flag=True,
    help="Replace another desktop that has these organisations; also after copying or restoring this one.",
)
@files_option
@office_options
@output_options
def init(accept_source: bool, folder: Path | None, as_json: bool, quiet: bool) -> None:
    """Prepare mobile for this desktop; safe to repeat."""
    from powerca_sync.cli.run_report import report_files, report_introduction
    from powerca_sync.cli.setup_files import write_files
    from powerca_sync.engine.doctor import examine_sharing
    from powerca_sync.engine.postgres import connect_both
    from powerca_sync.engine.setup import introduce

    with reporting(as_json, quiet=quiet) as console:
        if folder is not None:
            report_files(console, write_files(folder))
            return
        settings = load_settings(console)
        with connect_both(settings.desktop, settings.mobile) as (source, target):
            done = introduce(source=source, target=target, specs=current_tables(TABLES), accept=accept_source)
            findings = examine_sharing(settings, source, target, current_tables(TABLES))
        report_introduction(console, settings, done, findings)


@main.command(epilog=examples("powerca-sync status", "powerca-sync status --json"))
@office_options
@output_options
def status(as_json: bool, quiet: bool) -> None:
    """Show each table: last sync, rows, quarantine, last runs."""
    from powerca_sync.cli.run_report import report_status
    from powerca_sync.engine.status import read_status

    with reporting(as_json, quiet=quiet) as console:
        settings = load_settings(console)
        status = read_status(settings, current_tables(TABLES))
        for sentence in filter(None, (status.problem, status.refusal)):
            console.say(f"[WARN] {sentence}")
        zone = zoneinfo.ZoneInfo(Schedules.from_env().timezone)
        report_status(console, status, read_last_runs(console), zone)
    sys.exit(1 if status.has_errors else 0)


@main.command(epilog=examples("powerca-sync verify", "powerca-sync verify --table climaster"))
@table_option
@office_options
@output_options
def verify(tables: tuple[str, ...], as_json: bool, quiet: bool) -> None:
    """Compare both databases row by row; changes nothing."""
    from powerca_sync.cli.verify_report import report_verification
    from powerca_sync.engine.postgres import connect_both
    from powerca_sync.engine.result import Options
    from powerca_sync.engine.state import warn_of_copy
    from powerca_sync.engine.verify import verify as compare

    with reporting(as_json, quiet=quiet) as console:
        specs, only = choose_tables(TABLES, tables)
        settings = load_settings(console)
        began = time.monotonic()
        with connect_both(settings.desktop, settings.mobile) as (source, target):
            if refusal := warn_of_copy(source, target):
                console.say(f"[WARN] {refusal}")
            found = compare(
                source=source,
                target=target,
                specs=specs,
                only=only,
                options=Options(timezone=settings.timezone, encoding=settings.encoding),
            )
        report_verification(console, found, seconds=time.monotonic() - began)
    sys.exit(0 if all(one.agrees for one in found) else 1)


@main.command(epilog=examples("powerca-sync doctor"))
@office_options
@output_options
def doctor(as_json: bool, quiet: bool) -> None:
    """Find what is wrong and what to do; changes nothing."""
    from powerca_sync.cli.doctor_report import examine_env_file, report_findings
    from powerca_sync.engine.doctor import examine, reach

    with reporting(as_json, quiet=quiet) as console:
        settings = load_settings(console, examined=True)
        with reach(settings.desktop) as source, reach(settings.mobile) as target:
            findings = examine(
                source,
                target,
                current_tables(TABLES),
                functions=current_functions(),
                timezone=settings.timezone,
                encoding=settings.encoding,
                limits=settings.limits,
            )
        status = report_findings(console, [*examine_env_file(), *findings])
    sys.exit(status)


main.add_command(demo)
main.add_command(ui)
main.add_command(offices)
for _command in main.commands.values():
    # Of its own: click keeps the help option of a command's first use, which may be without the group.
    _command.context_settings = HELP
