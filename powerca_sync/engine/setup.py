"""First contact: make what the engine keeps at the target, and record whose organisations the desktop has."""

import dataclasses
from collections.abc import Sequence

from powerca_sync.engine import ledger, state
from powerca_sync.engine.catalog import read_tables
from powerca_sync.engine.database import Connection, Timeouts, transaction
from powerca_sync.engine.extract import read_snapshot
from powerca_sync.engine.failures import explained
from powerca_sync.engine.office import Office, as_the_target_has_it, read_office
from powerca_sync.tables import TableSpec


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Introduction:
    """What the target now knows of the source."""

    #: Whether any of the engine's own tables at the target had to be made.
    created: bool
    #: Whether the ledger of pulled phone rows had to be made at the source; None where no table has a way back.
    ledger_created: bool | None
    office: Office


def identify_office(source: Connection, target: Connection, specs: Sequence[TableSpec]) -> Office:
    """Who the source is and whose organisations it has, as the target spells them; only reads."""
    with (
        explained("reading the organisations at the source"),
        transaction(source, timezone="UTC", timeouts=Timeouts(), snapshot=True) as cursor,
    ):
        office = read_office(cursor, specs, read_snapshot(cursor).identity)
    with (
        explained("looking for the table of organisations at the target"),
        transaction(target, timezone="UTC", timeouts=Timeouts(), snapshot=True) as cursor,
    ):
        tables = read_tables(cursor, [spec.mobile for spec in specs if spec.defines_offices])
        return as_the_target_has_it(cursor, office, specs, tables)


def introduce(
    *, source: Connection, target: Connection, specs: Sequence[TableSpec], accept: bool = False
) -> Introduction:
    """Prepare the target for this source, and the source for phone rows; changes nothing where that has been done.

    Raises `UnsafeTargetError` if another desktop has one of the organisations, unless `accept`: then this one takes
    its place. Raises `ConfigurationError` where a role may not make what is missing; the target comes first.
    """
    office = identify_office(source, target, specs)
    created = state.prepare_target(target)
    with (
        explained("claiming the organisations at the target"),
        transaction(target, timezone="UTC", timeouts=Timeouts()) as cursor,
    ):
        state.claim_office(cursor, office, accept=accept)
    ledger_created = ledger.prepare_ledger(source) if any(spec.reverse for spec in specs) else None
    return Introduction(created=created, ledger_created=ledger_created, office=office)
