"""The options and subcommands of `powerca-sync`; each calls the engine or a Dagster job and prints the result.

Exit status: 0 all well (quarantined rows within limits are a warning), 1 something failed or differs, 2 wrong usage or
configuration, 130 after Ctrl-C, 143 after SIGTERM.
"""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import click

from powerca_sync.cli.console import Console
from powerca_sync.cli.doctor_report import report_findings
from powerca_sync.cli.plan_report import exit_status, report_plan, report_pull_plan
from powerca_sync.cli.run_report import report_introduction, report_run, report_status
from powerca_sync.cli.verify_report import report_verification
from powerca_sync.engine.doctor import BOTH, examine, reach, warning
from powerca_sync.engine.dry_run import PullPlan, TablePlan, plan_forward, plan_reverse
from powerca_sync.engine.postgres import Connection, connect
from powerca_sync.engine.requests import Allowances, Mode, TableExtract, TablePull
from powerca_sync.engine.result import Options
from powerca_sync.engine.setup import introduce
from powerca_sync.engine.state import warn_of_copy
from powerca_sync.engine.status import read_status
from powerca_sync.engine.verify import verify as compare
from powerca_sync.env_file import exposure
from powerca_sync.environment import DEMO, FOLDER, current_settings, is_demo
from powerca_sync.errors import ConfigurationError, SyncError
from powerca_sync.interrupts import note_signals
from powerca_sync.settings import Settings
from powerca_sync.specs import spec_named
from powerca_sync.tables import TABLES

if TYPE_CHECKING:
    from powerca_sync.defs.runs import PastRun

#: Each lets one run do what others may not.
ALLOWANCES = {
    "--allow-mass-delete": "Let this run delete more rows than the guard allows.",
    "--allow-mass-insert": "Let this run insert more rows than the guard allows.",
    "--allow-emptied": "Let this run empty more values of a column than the guard allows.",
    "--delete-foreign": "Delete rows that others inserted or changed on mobile and the desktop does not have.",
}
EXIT_CODES = (
    "Exit status: 0 all well (quarantined rows within limits are a warning), 1 something failed or differs, "
    "2 wrong usage or configuration, 130 after Ctrl-C, 143 after SIGTERM."
)
HELP = {"help_option_names": ["-h", "--help"]}


def allowance_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add these switches to a command, which gets each as a keyword."""
    for option, words in reversed(ALLOWANCES.items()):
        command = click.option(option, is_flag=True, help=words)(command)
    return command


def output_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say what a command prints."""
    command = click.option(
        "-q", "--quiet", is_flag=True, help="No progress on stderr, only warnings and errors; results stay on stdout."
    )(command)
    return click.option(
        "--json", "as_json", is_flag=True, help="One JSON document on stdout; progress stays on stderr."
    )(command)


verbose_option = click.option("-v", "--verbose", is_flag=True, help="A line on stderr for each stage of each table.")


def _complete_table(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    return [spec.mobile for spec in TABLES if spec.mobile.startswith(typed)]


table_option = click.option(
    "--table",
    "tables",
    multiple=True,
    metavar="TABLE",
    shell_complete=_complete_table,
    help="Only this mobile table; may be repeated.",
)


def _examples(*lines: str) -> str:
    """Returns the end of a help text: examples as they are, then the exit codes."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines) + f"\n\n{EXIT_CODES}"


@click.group(
    context_settings=HELP,
    epilog=_examples(
        "powerca-sync doctor                    examine both databases",
        "powerca-sync init                      prepare mobile for this desktop",
        "powerca-sync plan                      see what a run would change",
        "powerca-sync forward                   sync all tables to mobile",
        "powerca-sync reverse                   bring new phone rows to the desktop",
        'eval "$(_POWERCA_SYNC_COMPLETE=bash_source powerca-sync)"   complete names in bash',
    ),
)
@click.version_option(package_name="powerca-sync", message="%(prog)s %(version)s")
def main() -> None:
    """Sync an office's desktop database with the mobile database of its phone app."""


@main.command(
    context_settings=HELP,
    epilog=_examples(
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
@output_options
@verbose_option
def forward(mode: str, tables: tuple[str, ...], as_json: bool, quiet: bool, verbose: bool, **allowed: bool) -> None:
    """Sync the desktop's rows to mobile."""
    with _reporting(as_json, quiet=quiet, verbose=verbose) as console:
        only = [spec_named(TABLES, name) for name in tables] or TABLES
        _settings(console)
        # Dagster takes two seconds to import; mistakes in the settings are reported before that.
        from powerca_sync.defs.runs.in_process import open_instance, run_forward

        with open_instance(FOLDER / "dagster") as instance:
            outcome = run_forward(
                TABLES,
                mode=Mode(mode),
                only=only,
                allowances=Allowances(**allowed),
                instance=instance,
                say=console.say,
                detail=console.detail,
                moving=console.moving,
            )
        report_run(console, outcome)
    sys.exit(outcome.exit_status)


@main.command(
    context_settings=HELP,
    epilog=_examples(
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
@output_options
@verbose_option
def reverse(
    tables: tuple[str, ...], again: bool, lookalikes: str | None, as_json: bool, quiet: bool, verbose: bool
) -> None:
    """Insert new phone rows on the desktop."""
    with _reporting(as_json, quiet=quiet, verbose=verbose) as console:
        only = [spec_named(TABLES, name) for name in tables] or [spec for spec in TABLES if spec.reverse]
        _settings(console)
        from powerca_sync.defs.runs.in_process import open_instance, run_reverse

        with open_instance(FOLDER / "dagster") as instance:
            outcome = run_reverse(
                TABLES,
                only=only,
                again=again,
                lookalikes=lookalikes or "hold",
                instance=instance,
                say=console.say,
                detail=console.detail,
                moving=console.moving,
            )
        report_run(console, outcome)
    sys.exit(outcome.exit_status)


@main.command(
    context_settings=HELP,
    epilog=_examples(
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
@output_options
def plan(
    direction: str, mode: str | None, tables: tuple[str, ...], as_json: bool, quiet: bool, **allowed: bool
) -> None:
    """Show what a run would change, without changing anything."""
    with _reporting(as_json, quiet=quiet) as console:
        only = [spec_named(TABLES, name) for name in tables] or TABLES
        if direction == "reverse" and (mode or any(allowed.values())):
            raise ConfigurationError(
                f"`--mode` and `{'`, `'.join(ALLOWANCES)}` are for forward runs only. Leave them out."
            )
        settings = _settings(console)
        options = Options(timezone=settings.timezone, encoding=settings.encoding, limits=settings.limits)
        began = time.monotonic()
        plans: Sequence[TablePlan | PullPlan]
        with _connections(settings) as (desktop, mobile):
            if direction == "forward":
                how = Mode(mode or Mode.FULL)
                extracts = [TableExtract(spec=spec, mode=how, **allowed) for spec in only]
                plans = forwards = plan_forward(extracts, source=desktop, target=mobile, specs=TABLES, options=options)
                report_plan(console, forwards, mode=how, seconds=time.monotonic() - began)
            else:
                pulls = [TablePull(spec=spec) for spec in only if spec.reverse]
                plans = pulled = plan_reverse(pulls, source=mobile, target=desktop, specs=TABLES, options=options)
                report_pull_plan(console, pulled, seconds=time.monotonic() - began)
    sys.exit(exit_status(plans))


@main.command(
    context_settings=HELP,
    epilog=_examples(
        "powerca-sync init",
        "powerca-sync init --accept-source",
    ),
)
@click.option(
    "--accept-source",
    is_flag=True,
    help="Replace another desktop that has these organisations; also after copying or restoring this one.",
)
@output_options
def init(accept_source: bool, as_json: bool, quiet: bool) -> None:
    """Prepare mobile for this desktop; safe to repeat."""
    with _reporting(as_json, quiet=quiet) as console:
        settings = _settings(console)
        with _connections(settings) as (source, target):
            done = introduce(source=source, target=target, specs=TABLES, accept=accept_source)
        report_introduction(console, settings, done)


@main.command(
    context_settings=HELP,
    epilog=_examples(
        "powerca-sync status",
        "powerca-sync status --json",
    ),
)
@output_options
def status(as_json: bool, quiet: bool) -> None:
    """Show each table: last sync, rows, quarantine, last runs."""
    with _reporting(as_json, quiet=quiet) as console:
        settings = _settings(console)
        status = read_status(settings, TABLES)
        for sentence in filter(None, (status.problem, status.refusal)):
            console.say(f"[WARN] {sentence}")
        report_status(console, status, _past_runs(console))
    sys.exit(1 if status.has_errors else 0)


@main.command(
    context_settings=HELP,
    epilog=_examples(
        "powerca-sync verify",
        "powerca-sync verify --table climaster",
    ),
)
@table_option
@output_options
def verify(tables: tuple[str, ...], as_json: bool, quiet: bool) -> None:
    """Compare both databases row by row; changes nothing."""
    with _reporting(as_json, quiet=quiet) as console:
        only = [spec_named(TABLES, name) for name in tables] or TABLES
        settings = _settings(console)
        began = time.monotonic()
        with _connections(settings) as (source, target):
            if refusal := warn_of_copy(source, target):
                console.say(f"[WARN] {refusal}")
            found = compare(
                source=source,
                target=target,
                specs=TABLES,
                only=only,
                options=Options(timezone=settings.timezone, encoding=settings.encoding),
            )
        report_verification(console, found, seconds=time.monotonic() - began)
    sys.exit(0 if all(one.agrees for one in found) else 1)


@main.command(
    context_settings=HELP,
    epilog=_examples(
        "powerca-sync doctor",
    ),
)
@output_options
def doctor(as_json: bool, quiet: bool) -> None:
    """Find what is wrong and what to do; changes nothing."""
    with _reporting(as_json, quiet=quiet) as console:
        settings = _settings(console, examined=True)
        with reach(settings.desktop) as source, reach(settings.mobile) as target:
            findings = examine(
                source,
                target,
                TABLES,
                timezone=settings.timezone,
                encoding=settings.encoding,
                limits=settings.limits,
            )
        if exposed := exposure():
            findings = (warning(BOTH, exposed, why="They open both databases.", do="Run `chmod 600 .env`."), *findings)
        status = report_findings(console, findings)
    sys.exit(status)


@main.command(
    context_settings=HELP,
    epilog=_examples(
        "powerca-sync demo",
        "powerca-sync demo --reset",
    ),
)
@click.option("--reset", is_flag=True, help="Remove the embedded databases first and start over.")
def demo(reset: bool) -> None:
    """Show a day of an office on two embedded databases."""
    # Imports Dagster, and packages that an office does not need.
    from powerca_sync import demo as embedded
    from powerca_sync.cli import demo_tour

    os.environ[DEMO] = "1"
    with _reporting(as_json=False) as console:
        if reset:
            embedded.reset(FOLDER)
        _settings(console)
        told = demo_tour.tell(console)
    sys.exit(told)


@main.command(context_settings=HELP, epilog=_examples("powerca-sync ui --port 3001", "powerca-sync ui --demo"))
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=3000,
    show_default=True,
    help="The port of this machine at which the UI listens.",
)
@click.option("--demo", "on_demo", is_flag=True, help="Use the demo's databases, whatever is configured.")
def ui(port: int, on_demo: bool) -> None:
    """Serve Dagster's UI and start the scheduled runs, until stopped with Ctrl-C."""
    with _reporting(as_json=False) as console:
        if on_demo:
            os.environ[DEMO] = "1"
        if is_demo():
            console.say(f"Demo: working on the embedded databases in {FOLDER} (POWERCA_DEMO is set).")
        else:
            _settings(console)
        from powerca_sync.cli import web_ui
        from powerca_sync.defs.runs.in_process import open_instance

        web_ui.check_port(port)
        with open_instance(FOLDER / "dagster"):
            console.say(f"Dagster's UI is at http://localhost:{port} in a few seconds. Stop it with Ctrl-C.")
    web_ui.serve(port)


@contextlib.contextmanager
def _reporting(as_json: bool, *, quiet: bool = False, verbose: bool = False) -> Iterator[Console]:
    """Yields the console of a command; prints an error or an interrupt as the last line and exits with its status."""
    console = Console(as_json=as_json, quiet=quiet, verbose=verbose)
    with note_signals() as signals:
        try:
            yield console
        except SyncError as exc:
            console.say(f"[X] {exc}")
            console.document({"error": str(exc), "kind": type(exc).__name__})
            sys.exit(2 if isinstance(exc, ConfigurationError) else 1)
        except KeyboardInterrupt:
            console.say("[X] Interrupted. Nothing is half done; run the same command again.")
            console.document({"error": "interrupted", "kind": "Interrupted"})
            sys.exit(signals.exit_status)


def _settings(console: Console, *, examined: bool = False) -> Settings:
    """Returns the settings; warns of an exposed `.env` and unverified connections unless `examined` by doctor."""
    if is_demo():
        console.say(f"Demo: working on the embedded databases in {FOLDER} (POWERCA_DEMO is set).")
    settings = current_settings()
    if not examined and not is_demo() and (exposed := exposure()):
        console.say(f"[WARN] {exposed} Run `chmod 600 .env`.")
    for endpoint in (settings.desktop, settings.mobile):
        if not examined and not endpoint.is_local and endpoint.effective_sslmode != "verify-full":
            console.say(
                f"[WARN] The connection to {endpoint.side} ({endpoint}) has sslmode {endpoint.effective_sslmode}: "
                "it does not verify the server's identity. Use verify-full."
            )
    return settings


def _past_runs(console: Console) -> "tuple[PastRun, ...]":
    """Returns the last runs in Dagster's history; creates no history."""
    if not os.environ.get("DAGSTER_HOME") and not (FOLDER / "dagster").exists():
        return ()
    from powerca_sync.defs.runs import read_past_runs
    from powerca_sync.defs.runs.in_process import open_instance

    try:
        with open_instance(FOLDER / "dagster") as instance:
            return read_past_runs(instance)
    except SyncError as exc:
        console.say(f"[WARN] {exc} The last runs are not known.")
        return ()


@contextlib.contextmanager
def _connections(settings: Settings) -> Iterator[tuple[Connection, Connection]]:
    with (
        contextlib.closing(connect(settings.desktop)) as source,
        contextlib.closing(connect(settings.mobile)) as target,
    ):
        yield source, target
