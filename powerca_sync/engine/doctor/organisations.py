"""The desktop's organisations, and claims of other desktops on them."""

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial

from powerca_sync.engine.context import Context, open_context
from powerca_sync.engine.doctor.findings import Finding, fine, listed, wrong
from powerca_sync.engine.doctor.side import Side
from powerca_sync.engine.mapping import Office, read_snapshot
from powerca_sync.engine.postgres import Cursor, load
from powerca_sync.engine.state import describe_unknown_run, find_unknown_run, has_other_offices, read_recorded_runs
from powerca_sync.errors import SyncError
from powerca_sync.specs import TableSpec


def find_office(source: Side, target: Side, specs: Sequence[TableSpec]) -> Context | SyncError | None:
    """Returns identity and organisations of the desktop, or the error; None if a database cannot be reached."""
    if source.connection is None or target.connection is None:
        return None
    try:
        context = open_context(source.connection, target.connection, specs, check=False)
    except SyncError as exc:
        return exc
    others = target.look("the registered desktops", lambda cursor: has_other_offices(cursor, context.office))
    return dataclasses.replace(context, office=dataclasses.replace(context.office, alone=not others))


def examine_office(source: Side, target: Side, office: Office | SyncError) -> Iterator[Finding]:
    """Yields findings if the organisations are unknown, none, or claimed by another desktop."""
    if isinstance(office, SyncError):
        yield wrong(
            source.name,
            f"The desktop's organisations are not known: {office}",
            why="Several offices may share a mobile database; without organisations, rows cannot be told apart.",
            do="Follow the message, then run `powerca-sync doctor` again.",
        )
        return
    if office.orgs is None:
        return
    if not office.orgs:
        yield wrong(
            source.name,
            "The desktop's table of organisations is empty.",
            why="No row can be assigned to this office, so that nothing is synced.",
            do="Check that `LOCAL_DB_NAME` names the office's database, and that its refresh is not running.",
        )
        return
    others = target.look("the claims of organisations", lambda cursor: _claims_of_others(cursor, office), needed=True)
    if others:
        orgs, holder = _named([org for org, _ in others]), others[0][1]
        yield wrong(
            target.name,
            f"{orgs} belong to another desktop (`{holder}`; this one is `{office.identity}`).",
            why="Two desktops with the same rows would undo each other's changes; this one is refused.",
            do="If this desktop has taken the other's place, run `powerca-sync init --accept-source`. Otherwise it is "
            "the wrong database.",
        )
    elif others is not None:
        yield fine(target.name, f"{_named(office.orgs)} belong to no other desktop.")


def examine_lineage(source: Side, target: Side, office: Context | SyncError) -> Iterator[Finding]:
    """Yields a finding if the desktop is a copy of the one that was synced last."""
    if isinstance(office, SyncError):
        return
    # In this order, so that the desktop knows a run that ends in between.
    runs = target.look("the last runs", partial(read_recorded_runs, identity=office.office.identity))
    if not runs:
        return
    unknown = source.look("the last runs", lambda cursor: find_unknown_run(cursor, read_snapshot(cursor), runs))
    if unknown is not None:
        yield wrong(
            source.name,
            describe_unknown_run(unknown),
            why="Two copies of one desktop would delete and insert each other's rows; this one is refused.",
            do="If this desktop has taken the other's place, or was restored, run `powerca-sync init --accept-source`. "
            "Otherwise it is the wrong machine.",
        )


def _named(orgs: Sequence[str]) -> str:
    return f"The rows of organisation{'s' if len(orgs) > 1 else ''} {listed(orgs)}"


def _claims_of_others(cursor: Cursor, office: Office) -> list[tuple[str, str]]:
    cursor.execute("SELECT to_regclass('powerca_sync.office') IS NOT NULL")
    if cursor.fetchone() != (True,):
        return []
    cursor.execute(load(__package__, "claims.sql"), {"office": office.identity, "orgs": list(office.orgs or ())})
    return cursor.fetchall()
