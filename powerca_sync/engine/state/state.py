"""What the engine remembers, at the target: whose organisations these are, marks, quarantine, the guide's metadata."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from powerca_sync.engine.mapping import WITHOUT_ORGANISATIONS, Office
from powerca_sync.engine.postgres import (
    Connection,
    Cursor,
    Query,
    Timeouts,
    error_text,
    execute_autocommit,
    execute_batch,
    explained,
    load,
    one_row,
    transaction,
)
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


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Preparation:
    """What had to be made at the target."""

    #: Whether anything of the engine's own, or of the guide's table, was made.
    created: bool
    #: Why the guide's table could not be made or completed, and the statements for an administrator; empty if it could.
    refusal: str = ""
    statements: str = ""


def prepare_target(connection: Connection) -> Preparation:
    """Create what the engine keeps at the target, where it is missing, and complete the guide's `_sync_metadata`.

    Where nothing is missing no DDL is issued: that would make the app's interface reload. Nothing depends on the
    guide's table, so that a role that may not change it goes on without. Raises `ConfigurationError`, with the
    statements for an administrator, if the role may not make the engine's own tables.
    """
    with explained("looking for the sync's own tables at the target"):
        if execute_autocommit(connection, *is_prepared()) == [(True,)]:
            return Preparation(created=False)
    script, guides = load(__package__, "target_state.sql"), load(__package__, "guide_state.sql")
    refusal = ""
    try:
        with transaction(connection, timezone="UTC", timeouts=Timeouts()) as cursor:
            # Two first runs at once must not collide in CREATE ... IF NOT EXISTS.
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('powerca_sync', 0))")
            cursor.execute(script)
            try:
                with connection.transaction():
                    cursor.execute(guides)
            except psycopg.Error as exc:
                refusal = error_text(exc)
    except psycopg.errors.InsufficientPrivilege as exc:
        raise ConfigurationError(
            f"The sync's own tables are missing at the target and its user may not create them "
            f"({error_text(exc)}). Ask an administrator to run:\n\n{script.decode()}"
        ) from exc
    return Preparation(created=True, refusal=refusal, statements=guides.decode() if refusal else "")


def is_prepared() -> Query:
    """Whether all is there that the engine keeps at the target."""
    return load(__package__, "state_exists.sql"), None


def guide_columns() -> Query:
    """The columns of the guide's `_sync_metadata` that this role may write."""
    return load(__package__, "guide_columns.sql"), None


def guide_record(
    columns: Sequence[str], table: str, *, records: int | None = None, milliseconds: int | None = None, error: str = ""
) -> Query | None:
    """The guide's line about a run of the table: with `records` it succeeded, otherwise `error` says why not.

    Earlier versions of that system have other columns: those that exist are written. None where there is no such table.
    """
    succeeded = records is not None
    values: dict[str, sql.Composable] = {
        "last_sync_timestamp": sql.SQL("now()"),
        "records_synced": sql.Literal(records),
        "last_sync_records": sql.Literal(records),
        "last_sync_duration_ms": sql.Literal(milliseconds),
        "error_message": sql.Literal(error or None),
        "updated_at": sql.SQL("now()"),
    }
    of_success = {"last_sync_timestamp", "records_synced", "last_sync_records", "last_sync_duration_ms"}
    written = [name for name in values if name in columns and (succeeded or name not in of_success)]
    if "table_name" not in columns or not written:
        return None
    comma = sql.SQL(", ")
    return sql.SQL("""\
WITH updated AS (
    UPDATE public._sync_metadata AS m SET {changes} WHERE m.table_name = {table} RETURNING 1
)
INSERT INTO public._sync_metadata (table_name, {names})
SELECT {table}, {values} WHERE NOT EXISTS (SELECT FROM updated)""").format(
        changes=comma.join(sql.SQL("{} = {}").format(sql.Identifier(name), values[name]) for name in written),
        names=comma.join(map(sql.Identifier, written)),
        values=comma.join(values[name] for name in written),
        table=sql.Literal(table),
    ), None


def try_lock(name: str) -> Query:
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
                f"{held} by another run, which did not end within {wait:.0f} s. Nothing was read; the run is retried."
            )
        time.sleep(0.2)


def register_office(
    cursor: Cursor, office: Office, *, unscoped: Callable[[], Sequence[str]], accept: bool = False
) -> None:
    """Record the office's organisations as its own, once no other registration is under way.

    `unscoped` returns the tables of this desktop whose rows cannot be told apart by office (mobile names); it is called
    only if another desktop is registered. With `accept` the desktops that have one of the organisations are replaced,
    and what was remembered of their tables is forgotten. Raises `UnsafeTargetError` if another desktop has one of the
    organisations, or if rows of two desktops could not be told apart.
    """
    check_organisations(office)
    if not office.claims:
        return
    cursor.execute(*_registration_lock(shared=False))
    claim = {"office": office.identity, "orgs": list(office.claims)}
    if accept:
        cursor.execute(load(__package__, "accept_office.sql"), claim)
    if check_claim(cursor, office):
        return
    check_registration(cursor, office, unscoped=unscoped)
    cursor.execute(load(__package__, "claim_office.sql"), claim)
    if not office.unlisted:
        cursor.execute(
            "DELETE FROM powerca_sync.office AS o WHERE o.office = %s AND o.org_id = %s",
            [office.identity, WITHOUT_ORGANISATIONS],
        )
    check_claim(cursor, office)


def _check_tells_apart(
    office: Office, unscoped: Sequence[str], others: Sequence[tuple[str, bool, Sequence[str]]]
) -> None:
    """Raises `UnsafeTargetError` unless every table tells the rows of this office and of the `others` apart."""
    tables = sorted({*unscoped, *(table for _, _, theirs in others for table in theirs)})
    nameless = office.unlisted or any(unlisted for _, unlisted, _ in others)
    if not (tables or nameless):
        return
    named = ", ".join(f"`{table}`" for table in tables) or "every table"
    raise UnsafeTargetError(
        f"Another desktop (`{others[0][0]}`) is registered in this mobile database, and the rows of two offices could "
        f"not be told apart in {named}: no column leads to an organisation. Nothing was read, and this desktop "
        f"(`{office.identity}`) is not registered. Add the office's column (`org_id`) to these tables on both "
        "databases, use a mobile database of its own for this office, or take the tables out of the specs of both."
    )


def _registration_lock(*, shared: bool) -> Query:
    """Keep out others that register a desktop; `shared`: only those."""
    name = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
    return sql.SQL("SELECT {}(hashtextextended('powerca_sync:registration', 0))").format(sql.SQL(name)), None


def check_registration(cursor: Cursor, office: Office, *, unscoped: Callable[[], Sequence[str]]) -> Office:
    """Returns the office, told whether it is alone; raises `UnsafeTargetError` if it could not be registered.

    `unscoped` as in `register_office`. Only reads.
    """
    is_registered = check_claim(cursor, office)
    cursor.execute(load(__package__, "other_offices.sql"), {"office": office.identity})
    others = cursor.fetchall()
    if others and office.claims and not is_registered:
        _check_tells_apart(office, unscoped(), others)
    return dataclasses.replace(office, alone=not (others and office.claims))


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
    cursor.execute("SELECT org_id, office FROM powerca_sync.office WHERE org_id = ANY (%s)", [list(office.claims)])
    return _holds_all(office, dict(cursor.fetchall()))


def has_offices(cursor: Cursor) -> bool:
    """Whether any sync has prepared this mobile database for registering desktops."""
    cursor.execute("SELECT to_regclass('powerca_sync.office') IS NOT NULL")
    return cursor.fetchone() == (True,)


def _alone(office: Office) -> Query:
    statement = "SELECT NOT EXISTS (SELECT FROM powerca_sync.office AS o WHERE o.office <> %s) OR %s"
    return statement, [office.identity, not office.claims]


def _holds_all(office: Office, holders: Mapping[str, str]) -> bool:
    others = sorted(org for org, holder in holders.items() if holder != office.identity)
    if others:
        whose = "A desktop without organisations" if office.unlisted else f"Organisation {', '.join(others)}"
        raise UnsafeTargetError(
            f"{whose} belongs to another desktop (`{holders[others[0]]}`; this one is "
            f"`{office.identity}`). Nothing was read. If this desktop has taken the other's place, for example after "
            "it was moved to a new machine, run `powerca-sync init --accept-source`."
        )
    return holders.keys() >= set(office.claims)


def recall(
    cursor: Cursor,
    office: Office,
    table: str,
    lookups: Sequence[str],
    *,
    orgs: sql.Composed,
    unscoped: Callable[[], Sequence[str]],
    shared: bool,
) -> tuple[Office, TableState]:
    """Register the office, and read what is remembered of a table (its mobile name): in one round trip, if registered.

    `orgs` is a query for its organisations as the target spells them, as the office then has them too; `unscoped` as in
    `register_office`. With `shared` no other desktop can register until this transaction ends. Raises
    `UnsafeTargetError` as `register_office` does.
    """
    check_organisations(office)
    claimed = sql.SQL("SELECT o.org_id, o.office FROM powerca_sync.office AS o WHERE o.org_id IN ({})").format(orgs)
    spelled, holders, [(alone,)], [remembered] = execute_batch(
        cursor, (orgs, None), (claimed, None), _alone(office), _remembered(office, table, lookups)
    )
    if office.orgs is not None:
        office = dataclasses.replace(office, orgs=tuple(org for (org,) in spelled))
    if not _holds_all(office, dict(holders)):
        register_office(cursor, office, unscoped=unscoped)
        (alone,) = one_row(cursor, *_alone(office))
    elif shared:
        _, [(alone,)] = execute_batch(cursor, _registration_lock(shared=True), _alone(office))
    return dataclasses.replace(office, alone=alone), _table_state(remembered)


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


def _remembered(office: Office, table: str, lookups: Sequence[str]) -> Query:
    return load(__package__, "table_state.sql"), {"office": office.identity, "table": table, "lookups": list(lookups)}


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
    unscoped: bool,
    records: int,
    milliseconds: int,
    token: str | None,
) -> Query:
    """Store where this run stood and what it did, in the transaction of its data.

    `rows_read` is None for an incremental run.

    `unscoped` says that the table's rows cannot be told apart by office. `token` is the one that the run has issued on
    the desktop; without it mobile keeps the one of an earlier run.
    """
    return load(__package__, "record_run.sql"), {
        "office": office.identity,
        "table": table,
        "mark": None if mark is None else Jsonb(mark),
        "fingerprint": fingerprint,
        "rows_read": rows_read,
        "mode": mode,
        "lookups": Jsonb(lookups),
        "changed": changed,
        "unscoped": unscoped,
        "records": records,
        "milliseconds": milliseconds,
        "token": token,
    }


def quarantine_record(office: Office, table: str) -> Query:
    """Make the table's quarantine what this run rejected."""
    return load(__package__, "record_quarantine.sql"), {"office": office.identity, "table": table}


def record_failure(connection: Connection, table: str, message: str, *, office: str | None) -> None:
    """Write the error in a transaction of its own; a failure to do so is not worth another.

    `office` is the desktop's identity, or None if it did not answer.
    """
    with contextlib.suppress(psycopg.Error), _briefly(connection) as cursor:
        cursor.execute(load(__package__, "record_failure.sql"), {"office": office, "table": table, "message": message})
    with contextlib.suppress(psycopg.Error), _briefly(connection) as cursor:
        (columns,) = one_row(cursor, *guide_columns())
        if line := guide_record(columns, table, error=message):
            cursor.execute(*line)


def _briefly(connection: Connection) -> contextlib.AbstractContextManager[Cursor]:
    return transaction(connection, timezone="UTC", timeouts=Timeouts(statement=10, lock=2))
