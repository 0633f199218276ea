"""Set up both databases for the sync: create the engine's tables, and register the desktop and its organisations."""

import dataclasses
from collections.abc import Sequence

from powerca_sync.engine.context import open_context
from powerca_sync.engine.mapping import Office
from powerca_sync.engine.postgres import Connection, Timeouts, explained, transaction
from powerca_sync.engine.reverse import ledger
from powerca_sync.engine.state import claims, lineage, locks, preparation
from powerca_sync.specs import TableSpec


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Introduction:
    """Result of setting up both databases."""

    #: Some of the engine's own tables at the target were created.
    created: bool
    #: Why the guide's `_sync_metadata` could not be completed, and the statements for an administrator; usually empty.
    refusal: str = ""
    statements: str = ""
    #: The ledger of reverse-synced rows was created at the source; None if no table is reverse-synced.
    ledger_created: bool | None
    office: Office


def introduce(
    *, source: Connection, target: Connection, specs: Sequence[TableSpec], accept: bool = False
) -> Introduction:
    """Create the engine's missing tables, the target's first, and register the desktop; a no-op if all of it exists.

    With `accept` this desktop replaces another one that has claimed its organisations, or of which it is a copy; its
    next runs read all rows. Waits for the other's runs.

    Raises:
        UnsafeTargetError: Another desktop has claimed an organisation, or this one is a copy of the desktop that was
            synced last; not with `accept`.
        ConfigurationError: A role has no right to create what is missing.
        ContentionError: A run of the desktop that is to be replaced did not end.
    """
    context = open_context(source, target, specs, check=False)
    office = context.office
    prepared = preparation.prepare_target(target)
    # An accepted desktop need not know the runs of the desktop that it replaces.
    runs = () if accept else lineage.check_desktop(source, target)
    token = lineage.issue_token(source, runs) if accept else None
    with (
        explained("claiming the organisations at the target"),
        transaction(target, timezone="UTC", timeouts=Timeouts()) as cursor,
    ):
        if accept:
            # Before the lock of registrations, for which runs wait that have a table's lock.
            for other in claims.read_replaced(cursor, office):
                for spec in specs:
                    locks.acquire_table(cursor, spec, specs, other, wait=Timeouts().table)
        unscoped = context.catalogs.resolution.unscoped
        claims.register_office(cursor, office, unscoped=lambda: unscoped, accept=accept)
        if accept:
            lineage.restart_runs(cursor, office.identity, token)
    lineage.prepare_tokens(source, runs)
    ledger_created = ledger.prepare_ledger(source) if any(spec.reverse for spec in specs) else None
    return Introduction(
        created=prepared.created,
        refusal=prepared.refusal,
        statements=prepared.statements,
        ledger_created=ledger_created,
        office=office,
    )
