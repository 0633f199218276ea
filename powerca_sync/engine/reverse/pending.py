"""Find the tables with phone rows that no reverse run has seen, by digest: one statement on mobile for all tables."""

import dataclasses
from collections.abc import Sequence
from functools import partial

import psycopg
from psycopg import sql

from powerca_sync.engine.context import Context, read_context
from powerca_sync.engine.mapping import named_office, office_condition
from powerca_sync.engine.postgres import (
    Connection,
    Cursor,
    Timeouts,
    error_text,
    execute_in_savepoint,
    explained,
    load,
    transaction,
)
from powerca_sync.engine.reverse import ledger
from powerca_sync.engine.reverse.phone_table import why_off
from powerca_sync.engine.staging import phone_rows_sql
from powerca_sync.errors import SyncError
from powerca_sync.plain_text import one_line_logger
from powerca_sync.specs import BY_HAND, OWNER, TableSpec

logger = one_line_logger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PendingTables:
    """The tables whose phone rows differ from those of the last reverse run."""

    #: Mobile names, in the order of the specs.
    pending: tuple[str, ...]
    #: The same for tables that are reverse-synced by hand only, if they have phone rows.
    by_hand: tuple[str, ...] = ()
    #: Number of phone rows of this office by mobile name, without tables that were never reverse-synced.
    rows: dict[str, int]
    #: Number of rows that reverse runs have inserted since the office's own function last booked them.
    unbooked: int = 0
    #: Identifies the desktop.
    identity: str = ""


def find_pending_tables(
    *, source: Connection, target: Connection, specs: Sequence[TableSpec], seconds: float = 5
) -> PendingTables:
    """Compare the digests of the phone rows at `source` with those that the last reverse runs recorded at `target`.

    Only reads; each statement may take `seconds`. Pending are also tables that were never reverse-synced, and tables
    that cannot be read or reverse-synced: the run reports why. Tables without reverse sync in their spec, or without
    phone rows on mobile, are left out. Raises a `SyncError` if no table can be compared.
    """
    timeouts = Timeouts(statement=seconds, lock=seconds)
    wanted = [spec for spec in specs if spec.reverse]
    with (
        explained("looking at what was pulled"),
        transaction(target, timezone="UTC", timeouts=timeouts, snapshot=True) as here,
        explained("looking for new phone rows"),
        transaction(source, timezone="UTC", timeouts=timeouts, snapshot=True) as there,
    ):
        with explained("looking at what was pulled"):
            context = read_context(here, there, specs, at_mobile=partial(explained, "looking for new phone rows"))
            wanted = [spec for spec in wanted if _has_phone_rows(spec, context) and not why_off(here, spec)]
            if not ledger.is_prepared(target):
                return PendingTables(
                    pending=tuple(spec.mobile for spec in wanted if spec.reverse != BY_HAND),
                    rows={},
                    identity=context.office.identity,
                )
            here.execute(load(__package__, "last_pulls.sql"), {"tables": [spec.phone_table for spec in wanted]})
            digests = dict(zip((spec.mobile for spec in wanted), here.fetchall(), strict=True))
            unbooked = sum(ledger.read_unbooked(here).values())
        known = [
            spec
            for spec in wanted
            if (spec.reverse == BY_HAND or digests[spec.mobile][0] is not None) and _can_be_pulled(spec, context)
        ]
        found: dict[str, tuple[int, str]] = {}
        if known:
            found = _digests(there, [(spec.mobile, _digest(spec, context)) for spec in known])
    changed = [spec for spec in wanted if spec.mobile not in found or found[spec.mobile][1] != digests[spec.mobile][0]]
    return PendingTables(
        pending=tuple(spec.mobile for spec in changed if spec.reverse != BY_HAND),
        by_hand=tuple(
            spec.mobile for spec in changed if spec.reverse == BY_HAND and found.get(spec.mobile, (0, ""))[0]
        ),
        rows={name: rows for name, (rows, _) in found.items() if digests[name][0] is not None},
        unbooked=unbooked,
        identity=context.office.identity,
    )


def _digests(cursor: Cursor, statements: Sequence[tuple[str, sql.Composed]]) -> dict[str, tuple[int, str]]:
    """Returns phone rows and digest by table, in one round trip unless a statement fails.

    After a failure each statement is executed by itself, and tables whose statement fails are left out. Raises the last
    error if all of them fail.
    """
    try:
        execute_in_savepoint(cursor, sql.SQL("\nUNION ALL\n").join(statement for _, statement in statements))
        return {name: (rows, digest) for name, rows, _, digest in cursor.fetchall()}
    except psycopg.Error as exc:
        if cursor.connection.closed:
            raise
        logger.info("Reading phone rows failed for one of the tables (%s); reading each by itself.", error_text(exc))
    found: dict[str, tuple[int, str]] = {}
    for table, statement in statements:
        try:
            execute_in_savepoint(cursor, statement)
        except psycopg.Error as exc:
            is_last = table == statements[-1][0]
            if cursor.connection.closed or (is_last and not found):
                raise
            logger.warning("[WARN] %s: reading phone rows failed: %s.", table, error_text(exc))
        else:
            ((name, rows, _, digest),) = cursor.fetchall()
            found[name] = (rows, digest)
    return found


def _has_phone_rows(spec: TableSpec, context: Context) -> bool:
    """Whether mobile's table can have phone rows; a missing table counts, so that the run reports it as missing."""
    if context.catalogs.resolution[spec.mobile].absent:
        return False
    table = context.catalogs.targets.get(spec.mobile)
    return table is None or table.column(OWNER) is not None


def _can_be_pulled(spec: TableSpec, context: Context) -> bool:
    """Whether the table is not blocked."""
    try:
        context.require(spec)
    except SyncError:
        return False
    return True


def _digest(spec: TableSpec, context: Context) -> sql.Composed:
    resolved, scope, table = context.require(spec), context.scope, context.catalogs.targets[spec.mobile]
    ours, named = office_condition(resolved, scope, "s"), named_office(resolved, scope, "s")
    digest = phone_rows_sql.digest(table, ours, named, spec.max_row_bytes)
    return sql.SQL("SELECT {} AS name, d.* FROM ({}) AS d").format(spec.mobile, digest)
