"""Options that several subcommands share, and the end of their help texts."""

from collections.abc import Callable
from pathlib import Path

import click

from powerca_sync.tables import TABLES

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


def complete_table(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    return [spec.mobile for spec in TABLES if spec.mobile.startswith(typed)]


table_option = click.option(
    "--table",
    "tables",
    multiple=True,
    metavar="TABLE",
    shell_complete=complete_table,
    help="Only this mobile table; may be repeated.",
)


files_option = click.option(
    "--files",
    "folder",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Instead, write `.env`, `dagster.yaml` and `workspace.yaml` into this folder; files that exist are kept.",
)


def examples(*lines: str) -> str:
    """Returns the end of a help text: examples as they are, then the exit codes."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines) + f"\n\n{EXIT_CODES}"
