"""The command `powerca-sync`: parse, run, print, exit.

Exit status: 0 all well (rows in quarantine within limits are a warning), 1 something failed, 2 wrong usage or
configuration.
"""

import contextlib
import os
import sys
from collections.abc import Iterator

import click

from powerca_sync.console import Console
from powerca_sync.engine.database import Connection, connect
from powerca_sync.engine.extract import Mode
from powerca_sync.engine.setup import identify_office, introduce
from powerca_sync.engine.status import read_status
from powerca_sync.environment import DEMO, FOLDER, current_settings, is_demo
from powerca_sync.errors import ConfigurationError, SyncError
from powerca_sync.reports import report_introduction, report_run, report_status
from powerca_sync.settings import Settings
from powerca_sync.tables import TABLES, spec_named

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout; progress on stderr.")


@click.group()
@click.version_option(package_name="powerca-sync", message="%(prog)s %(version)s")
def main() -> None:
    """Sync an office's desktop database with the mobile database of its phone app."""


@main.command()
@click.option(
    "--mode",
    type=click.Choice([mode.value for mode in Mode]),
    default=Mode.FULL.value,
    show_default=True,
    help="Read every row, or what changed since the last run.",
)
@click.option("--table", "tables", multiple=True, metavar="TABLE", help="Only this mobile table; may be repeated.")
@click.option("--allow-mass-delete", is_flag=True, help="Let this run delete more rows than the guard allows.")
@json_option
def forward(mode: str, tables: tuple[str, ...], allow_mass_delete: bool, as_json: bool) -> None:
    """Bring the desktop's rows to mobile."""
    with _reporting(as_json) as console:
        only = [spec_named(TABLES, name) for name in tables] or TABLES
        _settings(console)
        # Dagster takes two seconds to import; a mistake in the settings is told before that.
        from powerca_sync.defs.running import open_instance, run_forward

        with open_instance(FOLDER / "dagster") as instance:
            outcome = run_forward(
                TABLES,
                mode=Mode(mode),
                only=only,
                allow_mass_delete=allow_mass_delete,
                instance=instance,
                say=console.say,
                moving=console.moving,
            )
        report_run(console, outcome)
    sys.exit(outcome.exit_status)


@main.command()
@click.option("--accept-source", is_flag=True, help="Take the place of another desktop that has these organisations.")
@json_option
def init(accept_source: bool, as_json: bool) -> None:
    """Prepare mobile for this desktop; does nothing where that has been done."""
    with _reporting(as_json) as console:
        settings = _settings(console)
        with _connections(settings) as (source, target):
            done = introduce(source=source, target=target, specs=TABLES, accept=accept_source)
        report_introduction(console, settings, done)


@main.command()
@json_option
def status(as_json: bool) -> None:
    """Say where each table stands: last sync, rows, quarantine, dangling references."""
    with _reporting(as_json) as console:
        settings = _settings(console)
        with contextlib.closing(connect(settings.mobile)) as target:
            office = None
            try:
                with contextlib.closing(connect(settings.desktop)) as source:
                    office = identify_office(source, target, TABLES)
            except SyncError as exc:
                console.say(f"[WARN] {exc} What follows counts the rows of all offices.")
            tables = read_status(target, TABLES, office)
        report_status(console, tables)
    sys.exit(1 if any(table.error for table in tables or ()) else 0)


@main.command()
@click.option("--reset", is_flag=True, help="Remove the embedded databases first and start over.")
def demo(reset: bool) -> None:
    """Tell the story of a sync on two embedded databases; needs no configuration."""
    # Dagster again, and packages that an office does not need.
    from powerca_sync import demo as embedded
    from powerca_sync import story

    os.environ[DEMO] = "1"
    with _reporting(as_json=False) as console:
        if reset:
            embedded.reset(FOLDER)
        _settings(console)
        told = story.tell(console)
    sys.exit(told)


@contextlib.contextmanager
def _reporting(as_json: bool) -> Iterator[Console]:
    """A console for the command; an error that explains itself becomes its last line and its exit status."""
    console = Console(as_json=as_json)
    try:
        yield console
    except SyncError as exc:
        console.say(f"[X] {exc}")
        console.document({"error": str(exc), "kind": type(exc).__name__})
        sys.exit(2 if isinstance(exc, ConfigurationError) else 1)


def _settings(console: Console) -> Settings:
    """The settings of this process; says what a person should know of them before anything else."""
    if is_demo():
        console.say(f"Demo: working on the embedded databases in {FOLDER} (POWERCA_DEMO is set).")
    settings = current_settings()
    for endpoint in (settings.desktop, settings.mobile):
        if not endpoint.is_local and endpoint.effective_sslmode != "verify-full":
            console.say(
                f"[WARN] The connection to {endpoint.side} ({endpoint}) has sslmode {endpoint.effective_sslmode}: "
                "nobody makes sure that it is the right server. Use verify-full."
            )
    return settings


@contextlib.contextmanager
def _connections(settings: Settings) -> Iterator[tuple[Connection, Connection]]:
    with (
        contextlib.closing(connect(settings.desktop)) as source,
        contextlib.closing(connect(settings.mobile)) as target,
    ):
        yield source, target


if __name__ == "__main__":
    main()
