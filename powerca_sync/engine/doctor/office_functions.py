"""The office's own functions, which runs call on the desktop: do they exist, and may the sync's user call them?"""

from collections.abc import Iterator

from powerca_sync.engine.doctor.findings import Finding, fine, wrong
from powerca_sync.engine.doctor.side import Side
from powerca_sync.engine.functions import find_fault, missing_grants, read_function
from powerca_sync.settings import AFTER_REVERSE, BEFORE_FORWARD, DesktopFunction, DesktopFunctions


def examine_functions(desktop: Side, functions: DesktopFunctions) -> Iterator[Finding]:
    """Yields a finding for each function that is set; calls none."""
    if functions.before_forward:
        yield from _examine(desktop, BEFORE_FORWARD, functions.before_forward, why="No forward run reads a table.")
    if functions.after_reverse:
        yield from _examine(
            desktop,
            AFTER_REVERSE,
            functions.after_reverse,
            why="Phone rows are inserted on the desktop, but not booked.",
        )


def _examine(desktop: Side, setting: str, function: DesktopFunction, *, why: str) -> Iterator[Finding]:
    facts = desktop.look(f"the function of {setting}", lambda cursor: read_function(cursor, function), needed=True)
    if facts is None or desktop.connection is None:
        return
    user = desktop.connection.info.user
    if fault := find_fault(function, facts):
        yield wrong(desktop.name, fault, why=why, do=f"Create the function, or correct {setting}.")
    elif grants := missing_grants(function, facts, user):
        yield wrong(
            desktop.name,
            f"User {user} may not call `{function}` ({setting}).",
            why=why,
            do=f"As the function's owner or an administrator of the {desktop.name} database:",
            statements=grants,
        )
    else:
        yield fine(desktop.name, f"User {user} may call `{function}` ({setting}).")
