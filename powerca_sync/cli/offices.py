"""Options that choose among the offices of the file of offices, and the list of them."""

import functools
import sys
from collections.abc import Callable
from typing import Any, Final

import click

from powerca_sync.cli.console import Console
from powerca_sync.cli.options import examples, output_options
from powerca_sync.cli.session import CHOSEN, DOCUMENTS, reporting
from powerca_sync.environment import find_offices
from powerca_sync.errors import ConfigurationError, SyncError
from powerca_sync.offices import Offices

#: The lowest exit status of a command that a signal has ended.
SIGNALLED: Final = 128


def complete_office(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    try:
        return [key for key in find_offices().keys if key.startswith(typed)]
    except SyncError:
        return []


def office_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that choose offices; with `--all-offices`, the command is called once for each."""

    @functools.wraps(command)
    def for_offices(*, office: str | None, all_offices: bool, **options: Any) -> None:
        meta = click.get_current_context().meta
        meta[CHOSEN] = office
        if not all_offices:
            command(**options)
            return
        with reporting(options["as_json"], quiet=options["quiet"]) as console:
            if office:
                raise ConfigurationError("`--office` and `--all-offices` exclude each other. Leave one out.")
            documents, worst = {}, 0
            for key in find_offices().keys:
                console.show(f"\nOffice {key}\n")
                meta[CHOSEN], meta[DOCUMENTS] = key, []
                status = _status_of(command, options)
                documents[key] = next(iter(meta[DOCUMENTS]), None)
                worst = max(worst, status)
                if status >= SIGNALLED:
                    break
            console.document({"offices": documents})
        sys.exit(worst)

    for_offices = click.option(
        "--all-offices", is_flag=True, help="All offices of the file of offices, one after the other."
    )(for_offices)
    return click.option(
        "--office",
        metavar="OFFICE",
        shell_complete=complete_office,
        help="This office of the file of offices; needed if it has several.",
    )(for_offices)


def _status_of(command: Callable[..., None], options: dict[str, Any]) -> int:
    try:
        command(**options)
    except SystemExit as exc:
        return exc.code if isinstance(exc.code, int) else 1
    return 0


def report_offices(console: Console, offices: Offices) -> int:
    """Print the offices with their addresses, then the mistakes; returns the exit status."""
    mistakes = dict(offices.broken)
    for office in offices.offices.values():
        try:
            office.settings()
        except ConfigurationError as exc:
            mistakes[office.key] = str(exc)
    rows = [
        (office.key, office.title, str(office.checked.desktop), office.mobile, str(office.checked.mobile))
        for office in offices.offices.values()
    ]
    header = ("office", "title", "desktop", "mobile", "mobile address")
    if rows:
        console.table(header, rows)
    for mistake in dict.fromkeys(mistakes.values()):
        console.say(f"[X] {mistake}")
    console.document(
        {
            "file": str(offices.path),
            "offices": [dict(zip(header, row, strict=True)) for row in rows],
            "mistakes": mistakes,
        }
    )
    return 2 if mistakes else 0


@click.command(epilog=examples("powerca-sync offices"))
@output_options
def offices(as_json: bool, quiet: bool) -> None:
    """List the offices of the file of offices, and its mistakes."""
    with reporting(as_json, quiet=quiet) as console:
        status = report_offices(console, find_offices())
    sys.exit(status)
