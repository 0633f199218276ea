"""First contact: make what the engine keeps at the target, and record whose organisations the desktop has."""

import dataclasses
from collections.abc import Sequence

from powerca_sync.engine.context import open_context
from powerca_sync.engine.mapping import Office
from powerca_sync.engine.postgres import Connection, Timeouts, explained, transaction
from powerca_sync.engine.reverse import ledger
from powerca_sync.engine.state import lineage, state
from powerca_sync.tables import TableSpec


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Introduction:
    """What the target now knows of the source."""

    #: Whether any of the engine's own tables at the target had to be made.
    created: bool
    #: Why the guide's `_sync_metadata` could not be completed, and the statements for an administrator; mostly empty.
    refusal: str = ""
    statements: str = ""
    #: Whether the ledger of pulled phone rows had to be made at the source; None where no table has a way back.
    ledger_created: bool | None
    office: Office


def introduce(
    *, source: Connection, target: Connection, specs: Sequence[TableSpec], accept: bool = False
) -> Introduction:
    """Prepare the target for this source, and the source for phone rows; changes nothing where that has been done.

    Raises `UnsafeTargetError` if another desktop has one of the organisations, or if this one is a copy of the desktop
    that was synced last, unless `accept`: then this one takes its place, and its next runs read all rows. Raises
    `ConfigurationError` where a role may not make what is missing; the target comes first.
    """
    context = open_context(source, target, specs, check=False)
    office = context.office
    prepared = state.prepare_target(target)
    # An accepted desktop knows none of the runs of those whose place it takes, unless it is one of them.
    runs = () if accept else lineage.check_desktop(source, target)
    token = lineage.issue_token(source, runs) if accept else None
    with (
        explained("claiming the organisations at the target"),
        transaction(target, timezone="UTC", timeouts=Timeouts()) as cursor,
    ):
        unscoped = context.catalogs.resolution.unscoped
        state.register_office(cursor, office, unscoped=lambda: unscoped, accept=accept)
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
