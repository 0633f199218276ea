"""Which tables have phone rows that no reverse run has seen: one statement on mobile for all tables, if none fails."""

import dataclasses
from collections.abc import Sequence
from functools import partial

import psycopg
from psycopg import sql

from powerca_sync.engine.context import Context, read_context
from powerca_sync.engine.mapping import office_condition
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
from powerca_sync.engine.staging import phone_rows_sql
from powerca_sync.errors import SyncError
from powerca_sync.plain_text import one_line_logger
from powerca_sync.tables import BY_HAND, OWNER, TableSpec

logger = one_line_logger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PendingTables:
    """What a look at both sides found."""

    #: Mobile names of the tables whose phone rows are not those of the last pull, in the order of the specs.
    pending: tuple[str, ...]
    #: The same of tables that are reverse-synced by hand only, if phones have made rows of them.
    by_hand: tuple[str, ...] = ()
    #: Phone rows of this office, by mobile name; tables that were never pulled are left out.
    rows: dict[str, int]


def find_pending_tables(
    *, source: Connection, target: Connection, specs: Sequence[TableSpec], seconds: float = 5
) -> PendingTables:
    """Compare the phones' rows (at `source`) with what the last pull of each table recorded (at `target`).

    Each statement is given `seconds`. Only reads. Tables that were never pulled are pending, and so are those that
    cannot be looked at or reverse-synced: a run says why. Those whose spec switches the way back off, and those in
    which mobile cannot have phone rows, are left out. Tables that are reverse-synced by hand only are told apart.
    Raises a `SyncError`.
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
            wanted = [spec for spec in wanted if _has_phone_rows(spec, context)]
            if not ledger.is_prepared(target):
                return PendingTables(pending=tuple(spec.mobile for spec in wanted if spec.reverse != BY_HAND), rows={})
            here.execute(load(__package__, "last_pulls.sql"), {"tables": [spec.desktop for spec in wanted]})
            digests = dict(zip((spec.mobile for spec in wanted), here.fetchall(), strict=True))
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
    )


def _digests(cursor: Cursor, statements: Sequence[tuple[str, sql.Composed]]) -> dict[str, tuple[int, str]]:
    """Phone rows and digest by table: in one round trip, unless one of the statements fails.

    Then each is tried by itself, so that one table cannot keep the others from being looked at. It is left out. Raises
    the error of the last one if all of them fail.
    """
    try:
        execute_in_savepoint(cursor, sql.SQL("\nUNION ALL\n").join(statement for _, statement in statements))
        return {name: (rows, digest) for name, rows, _, digest in cursor.fetchall()}
    except psycopg.Error as exc:
        if cursor.connection.closed:
            raise
        logger.info("One of the tables cannot be looked at (%s); looking at each by itself.", error_text(exc))
    found: dict[str, tuple[int, str]] = {}
    for table, statement in statements:
        try:
            execute_in_savepoint(cursor, statement)
        except psycopg.Error as exc:
            is_last = table == statements[-1][0]
            if cursor.connection.closed or (is_last and not found):
                raise
            logger.warning("[WARN] %s: cannot look for new phone rows: %s.", table, error_text(exc))
        else:
            ((name, rows, _, digest),) = cursor.fetchall()
            found[name] = (rows, digest)
    return found


def _has_phone_rows(spec: TableSpec, context: Context) -> bool:
    """Whether mobile can have rows that phones made; a missing table counts, so that a run says that it is missing."""
    if context.catalogs.resolution[spec.mobile].absent:
        return False
    table = context.catalogs.targets.get(spec.mobile)
    return table is None or table.column(OWNER) is not None


def _can_be_pulled(spec: TableSpec, context: Context) -> bool:
    """Whether a run would look at the rows, rather than say why it cannot."""
    try:
        context.require(spec)
    except SyncError:
        return False
    return True


def _digest(spec: TableSpec, context: Context) -> sql.Composed:
    ours = office_condition(context.require(spec), context.specs, context.office, "s")
    digest = phone_rows_sql.digest(context.catalogs.targets[spec.mobile], ours, spec.max_row_bytes)
    return sql.SQL("SELECT {} AS name, d.* FROM ({}) AS d").format(spec.mobile, digest)
