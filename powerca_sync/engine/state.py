"""What the engine remembers, at the target: whose organisations these are, marks, quarantine, the guide's metadata."""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from powerca_sync.engine.database import Connection, Cursor, Question, Timeouts, ask, one_row, transaction
from powerca_sync.engine.failures import explained
from powerca_sync.engine.office import Office
from powerca_sync.engine.sql import load
from powerca_sync.errors import ConfigurationError, ContentionError, UnsafeTargetError


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TableState:
    """What the last runs of one table left for this one."""

    #: Where the last run stood in the source's history; None before the first.
    mark: Mapping[str, Any] | None = None
    #: Of the mapping at that run.
    fingerprint: str | None = None
    #: By the last full run.
    rows_read: int | None = None
    #: Versions of looked-up tables, as the last run saw them and as they are now.
    lookups: Mapping[str, int] = dataclasses.field(default_factory=dict)
    versions: Mapping[str, int] = dataclasses.field(default_factory=dict)
    #: Keys of rows in quarantine: column to text.
    quarantined: Sequence[Mapping[str, str | None]] = ()


def prepare_target(connection: Connection) -> bool:
    """Create what the engine keeps at the target, where it is missing; answers whether anything was.

    Works beside the guide's own engine, whose `_sync_metadata` is left as it is. Where nothing is missing no DDL is
    issued: that would make the app's interface reload. Raises `ConfigurationError`, with the statements for an
    administrator, if the role may not.
    """
    with explained("looking for the sync's own tables at the target"):
        if connection.execute(*is_prepared()).fetchone() == (True,):
            return False
    script = load("target_state.sql")
    try:
        with transaction(connection, timezone="UTC", timeouts=Timeouts()) as cursor:
            # Two first runs at once must not collide in CREATE ... IF NOT EXISTS.
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('powerca_sync', 0))")
            cursor.execute(script)
    except psycopg.errors.InsufficientPrivilege as exc:
        raise ConfigurationError(
            f"The sync's own tables are missing at the target and its user may not create them "
            f"({exc.diag.message_primary}). Ask an administrator to run:\n\n{script.decode()}"
        ) from exc
    return True


def is_prepared() -> Question:
    """Whether all is there that the engine keeps at the target."""
    return load("state_exists.sql"), None


def try_lock(name: str) -> Question:
    """Have this transaction be the only one with that lock; answers whether it is."""
    return "SELECT pg_try_advisory_xact_lock(hashtextextended('powerca_sync:' || %s, 0))", [name]


def lock(cursor: Cursor, name: str, held: str, *, wait: float) -> None:
    """Have this transaction be the only one with that lock; `ContentionError` if another has it for `wait` seconds.

    `held` begins its message: what the other one is doing.
    """
    give_up = time.monotonic() + wait
    while one_row(cursor, *try_lock(name)) != (True,):
        if time.monotonic() > give_up:
            raise ContentionError(
                f"{held} by another run, which did not end within {wait:.0f} s. Nothing was read. It is tried again."
            )
        time.sleep(0.2)


def claim_office(cursor: Cursor, office: Office, *, accept: bool = False) -> None:
    """Record the office's organisations as its own; refuse them if another desktop has them.

    With `accept` the other desktop is replaced, and what was remembered of its tables is forgotten.
    """
    check_organisations(office)
    if office.orgs is None:
        return
    claim = {"office": office.identity, "orgs": list(office.orgs)}
    if accept:
        cursor.execute(load("accept_office.sql"), claim)
    if not check_claim(cursor, office):
        cursor.execute(load("claim_office.sql"), claim)
        check_claim(cursor, office)


def check_organisations(office: Office) -> None:
    """Raises `UnsafeTargetError` if the desktop should have organisations and has none."""
    if office.orgs is not None and not office.orgs:
        raise UnsafeTargetError(
            f"The desktop's table of organisations is empty (`{office.table}` has 0 rows with a key; the limit is 1), "
            "so that no row can be told to be this office's. Nothing was read, and no switch allows it. Check that the "
            "settings name the right database."
        )


def check_claim(cursor: Cursor, office: Office) -> bool:
    """Whether all of the organisations are claimed; raises `UnsafeTargetError` if another desktop has one of them."""
    cursor.execute("SELECT org_id, office FROM powerca_sync.office WHERE org_id = ANY (%s)", [list(office.orgs or ())])
    return _holds_all(office, dict(cursor.fetchall()))


def _holds_all(office: Office, holders: Mapping[str, str]) -> bool:
    others = sorted(org for org, holder in holders.items() if holder != office.identity)
    if others:
        raise UnsafeTargetError(
            f"Organisation {', '.join(others)} belongs to another desktop (`{holders[others[0]]}`; this one is "
            f"`{office.identity}`). Nothing was read. If this desktop has taken the other's place, for example after "
            "it was moved to a new machine, run `powerca-sync init --accept-source`."
        )
    return holders.keys() >= set(office.orgs or ())


def recall(
    cursor: Cursor, office: Office, table: str, lookups: Sequence[str], *, orgs: sql.Composed
) -> tuple[Office, TableState]:
    """Claim the organisations, and read what is remembered of a table (its mobile name): in one round trip, if all are
    claimed.

    `orgs` is a query for them as the target spells them, as the office then has them too. Raises `UnsafeTargetError`
    if another desktop has one of them.
    """
    check_organisations(office)
    claimed = sql.SQL("SELECT o.org_id, o.office FROM powerca_sync.office AS o WHERE o.org_id IN ({})").format(orgs)
    spelled, holders, [remembered] = ask(cursor, (orgs, None), (claimed, None), _remembered(office, table, lookups))
    if office.orgs is not None:
        office = dataclasses.replace(office, orgs=tuple(org for (org,) in spelled))
        if not _holds_all(office, dict(holders)):
            claim_office(cursor, office)
    return office, _table_state(remembered)


def is_remembered(cursor: Cursor) -> bool:
    """Whether a sync has ever prepared this target, so that there is something to read."""
    cursor.execute(
        "SELECT to_regclass('powerca_sync.office') IS NOT NULL AND to_regclass('powerca_sync.table_state') IS NOT NULL"
        " AND to_regclass('powerca_sync.quarantine') IS NOT NULL"
    )
    return cursor.fetchone() == (True,)


def read_state(cursor: Cursor, office: Office, table: str, lookups: Sequence[str]) -> TableState:
    """What is remembered of a table (its mobile name)."""
    return _table_state(one_row(cursor, *_remembered(office, table, lookups)))


def _remembered(office: Office, table: str, lookups: Sequence[str]) -> Question:
    return load("table_state.sql"), {"office": office.identity, "table": table, "lookups": list(lookups)}


def _table_state(row: tuple[Any, ...]) -> TableState:
    mark, fingerprint, rows_read, used, versions, quarantined = row
    return TableState(
        mark=mark,
        fingerprint=fingerprint,
        rows_read=rows_read,
        lookups=used,
        versions=versions,
        quarantined=quarantined,
    )


def run_record(
    office: Office,
    table: str,
    *,
    mark: Mapping[str, Any] | None,
    fingerprint: str,
    rows_read: int | None,
    mode: str,
    lookups: Mapping[str, int],
    changed: bool,
    records: int,
    milliseconds: int,
) -> Question:
    """Store where this run stood, in the transaction of its data. `rows_read` is None for an incremental run."""
    return load("record_run.sql"), {
        "office": office.identity,
        "table": table,
        "mark": None if mark is None else Jsonb(mark),
        "fingerprint": fingerprint,
        "rows_read": rows_read,
        "mode": mode,
        "lookups": Jsonb(lookups),
        "changed": changed,
        "records": records,
        "milliseconds": milliseconds,
    }


def quarantine_record(office: Office, table: str) -> Question:
    """Make the table's quarantine what this run rejected."""
    return load("record_quarantine.sql"), {"office": office.identity, "table": table}


def record_failure(connection: Connection, table: str, message: str) -> None:
    """Write the error to the guide's table in a transaction of its own; a failure to do so is not worth another."""
    try:
        with transaction(connection, timezone="UTC", timeouts=Timeouts(statement=10, lock=2)) as cursor:
            cursor.execute(load("record_failure.sql"), {"table": table, "message": message})
    except psycopg.Error:
        return
