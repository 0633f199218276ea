"""The subcommands that run on this machine until they are done: the demo, and Dagster's UI."""

import os
import sys

import click

from powerca_sync.cli.options import examples
from powerca_sync.cli.session import load_settings, reporting
from powerca_sync.environment import DEMO, FOLDER, find_offices, is_demo, serves_offices
from powerca_sync.plain_text import counted


@click.command(epilog=examples("powerca-sync demo", "powerca-sync demo --reset"))
@click.option("--reset", is_flag=True, help="Remove the embedded databases first and start over.")
def demo(reset: bool) -> None:
    """Show a day of an office on two embedded databases."""
    # Imports Dagster, and packages that an office does not need.
    from powerca_sync import demo as embedded
    from powerca_sync.cli import demo_tour

    os.environ[DEMO] = "1"
    with reporting(as_json=False) as console:
        if reset:
            embedded.reset(FOLDER)
        load_settings(console)
        told = demo_tour.tell(console)
    sys.exit(told)


@click.command(epilog=examples("powerca-sync ui --port 3001", "powerca-sync ui --demo"))
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=3000,
    show_default=True,
    help="The port of this machine at which the UI listens.",
)
@click.option("--demo", "on_demo", is_flag=True, help="Use the demo's databases, whatever is configured.")
def ui(port: int, on_demo: bool) -> None:
    """Serve Dagster's UI and start scheduled runs, until Ctrl-C."""
    with reporting(as_json=False) as console:
        if on_demo:
            os.environ[DEMO] = "1"
        if is_demo():
            console.say(f"Demo: working on the embedded databases in {FOLDER} (POWERCA_DEMO is set).")
        elif serves_offices():
            console.say(f"{counted(len(find_offices().keys), 'office')}.")
        else:
            load_settings(console)
        from powerca_sync.cli import web_ui

        web_ui.prepare(port)
        console.say(f"Dagster's UI is at http://localhost:{port} in a few seconds. Stop it with Ctrl-C.")
    web_ui.serve(port)
