"""The frame of every subcommand: settings, console, errors, interrupts, and Dagster's history."""

import contextlib
import gc
import os
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import click

from powerca_sync.cli.console import Console
from powerca_sync.env_file import exposure
from powerca_sync.environment import FOLDER, choose_office, current_functions, current_settings, current_tables, is_demo
from powerca_sync.errors import ConfigurationError, SyncError
from powerca_sync.interrupts import note_signals
from powerca_sync.settings import Settings
from powerca_sync.specs import TableSpec, spec_named

if TYPE_CHECKING:
    from powerca_sync.defs.runs import PastRun, RunOutcome

#: In the context of the command: the office that was chosen, and the list that takes the documents of one of several.
CHOSEN: Final = "powerca_sync.office"
DOCUMENTS: Final = "powerca_sync.documents"


@contextlib.contextmanager
def reporting(as_json: bool, *, quiet: bool = False, verbose: bool = False) -> Iterator[Console]:
    """Yields the console of a command; prints an error or an interrupt as the last line and exits with its status."""
    context = click.get_current_context(silent=True)
    meta = context.meta if context else {}
    office, documents = meta.get(CHOSEN), meta.get(DOCUMENTS)
    with (
        contextlib.closing(
            Console(as_json=as_json, quiet=quiet, verbose=verbose, office=office, documents=documents)
        ) as console,
        note_signals() as signals,
    ):
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


def load_settings(console: Console, *, examined: bool = False) -> Settings:
    """Returns the settings; warns of an exposed `.env` and unverified connections unless `examined` by doctor."""
    if is_demo():
        console.say(f"Demo: working on the embedded databases in {FOLDER} (POWERCA_DEMO is set).")
    chosen = choose_office(console.office)
    console.office = chosen.key if chosen else None
    settings = current_settings(console.office)
    if not examined and not is_demo() and (exposed := exposure()):
        console.say(f"[WARN] {exposed} Run `chmod 600 .env`.")
    for endpoint in (settings.desktop, settings.mobile):
        if not examined and not endpoint.is_local and endpoint.effective_sslmode != "verify-full":
            console.say(
                f"[WARN] The connection to {endpoint.side} ({endpoint}) has sslmode {endpoint.effective_sslmode}: "
                "it does not verify the server's identity. Use verify-full."
            )
    return settings


def choose_tables(
    declared: Sequence[TableSpec], names: Collection[str], *, reverse: bool = False
) -> tuple[tuple[TableSpec, ...], list[TableSpec]]:
    """Returns all specs, with the desktop relations of the settings, and those of these mobile names.

    Without names these are all of them, or with `reverse` those that are reverse-synced. Raises `ConfigurationError`
    for a name without a spec.
    """
    specs = current_tables(declared)
    named = [spec_named(specs, name) for name in names]
    return specs, named or [spec for spec in specs if spec.reverse or not reverse]


@contextlib.contextmanager
def quick_imports() -> Iterator[None]:
    """Pause Python's garbage collector while Dagster is imported, and exempt what was imported from later collections.

    Nothing of it is ever garbage, and looking for that takes a sixth of the time of the imports.
    """
    if "dagster" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def run_job(console: Console, run: "Callable[..., RunOutcome]", *, progress: bool = True) -> "RunOutcome":
    """Call `run_forward` or `run_reverse`, bound to its other arguments, and return its outcome.

    The office's functions on the desktop are those of the settings. Without `progress`, only the movement of rows is
    shown.
    """
    from powerca_sync.defs.runs.in_process import open_instance

    functions = current_functions()
    say, detail = (console.say, console.detail) if progress else (_ignore, _ignore)
    with open_instance(FOLDER / "dagster") as instance:
        return run(
            instance=instance,
            office=console.office,
            say=say,
            detail=detail,
            moving=console.moving,
            functions=functions,
        )


def say_what_is_not_called(console: Console, *, forward: bool) -> None:
    """Print which function of the office a dry run leaves out, if a run would call one."""
    functions = current_functions()
    if function := functions.before_forward if forward else functions.after_reverse:
        console.say(f"`plan` does not call `{function}`: the plan is for the desktop's tables as they are now.")


def _ignore(_: str) -> None:
    pass


def read_last_runs(console: Console) -> "tuple[PastRun, ...]":
    """Returns the last runs in Dagster's history; creates no history."""
    if not os.environ.get("DAGSTER_HOME") and not (FOLDER / "dagster").exists():
        return ()
    with quick_imports():
        from powerca_sync.defs.runs import read_past_runs
        from powerca_sync.defs.runs.in_process import open_instance

    try:
        with open_instance(FOLDER / "dagster") as instance:
            return read_past_runs(instance, office=console.office)
    except SyncError as exc:
        console.say(f"[WARN] {exc} The last runs are not known.")
        return ()
