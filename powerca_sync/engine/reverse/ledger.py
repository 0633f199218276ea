"""The engine's tables on the desktop: the ledger of reverse-synced rows, their quarantine, and the guide's log."""

import dataclasses
from collections.abc import Mapping, Sequence

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from powerca_sync.engine.postgres import (
    Connection,
    Cursor,
    Timeouts,
    error_text,
    execute_autocommit,
    execute_with_optional,
    explained,
    load,
    one_row,
    transaction,
)
from powerca_sync.errors import ConfigurationError
from powerca_sync.plain_text import one_line_logger

logger = one_line_logger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """The phone rows with a ledger entry that need a person's attention: how many, and the first keys."""

    #: Edited on mobile since they were reverse-synced.
    changed: int = 0
    changed_keys: tuple[str, ...] = ()
    #: No longer on the desktop.
    missing: int = 0
    missing_keys: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LastPull:
    """The record of a table's last reverse run."""

    #: Columns that identified phone rows; None before the first run.
    columns: tuple[str, ...] | None
    #: How those columns, and the primary key, were declared.
    content_form: str | None
    key_form: str | None
    #: The run saw at least one phone row.
    saw_rows: bool
    #: The ledger has at least one entry of the table.
    has_entries: bool
    #: What the run read, by `unchanged.read_state`; None if the next run must look at every row.
    state: str | None
    findings: Findings

    @property
    def is_lost(self) -> bool:
        """Whether the ledger is empty although rows may have been reverse-synced."""
        return not self.has_entries and (self.columns is None or self.saw_rows)


def prepare_ledger(connection: Connection) -> bool:
    """Create the engine's tables on the desktop that are missing; returns whether any was.

    Raises `ConfigurationError`, with the statements for an administrator, if the role lacks the right.
    """
    with explained("looking for the ledger at the desktop"):
        if is_prepared(connection):
            return False
    try:
        with (
            explained("creating the ledger at the desktop"),
            transaction(connection, timezone="UTC", timeouts=Timeouts()) as cursor,
        ):
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('powerca_sync', 0))")
            complete_ledger(cursor)
    except ConfigurationError as exc:
        if not isinstance(exc.__cause__, psycopg.errors.InsufficientPrivilege):
            raise
        role = sql.Identifier(connection.info.user).as_string(connection)
        raise ConfigurationError(
            "The ledger of reverse-synced rows is missing on the desktop, and its user may not create it "
            f"({error_text(exc.__cause__)}). Ask an administrator of the desktop's database to run:\n\n"
            f"CREATE SCHEMA IF NOT EXISTS powerca_sync;\nALTER SCHEMA powerca_sync OWNER TO {role};\n"
        ) from exc.__cause__
    return True


def is_prepared(connection: Connection) -> bool:
    """Whether all of the engine's tables exist on the desktop and may be read."""
    try:
        return execute_autocommit(connection, load(__package__, "source_state_exists.sql")) == [(True,)]
    except psycopg.errors.InsufficientPrivilege:
        # The schema belongs to another role.
        return False


def is_outdated(connection: Connection) -> bool:
    """Returns whether the desktop has a ledger of an earlier version, which the next reverse run completes."""
    found = execute_autocommit(connection, "SELECT to_regclass('powerca_sync.pulled') IS NOT NULL")
    return found == [(True,)] and not is_prepared(connection)


def complete_ledger(cursor: Cursor) -> None:
    """Create what is missing of the engine's tables on the desktop, in the transaction of the cursor."""
    cursor.execute(load(__package__, "source_state.sql"))


def read_last_pull(cursor: Cursor, table: str) -> LastPull:
    """Returns what the last reverse run recorded of a table (its desktop name)."""
    columns, content_form, key_form, saw_rows, has_entries, state, findings = one_row(
        cursor, load(__package__, "last_pull.sql"), {"table": table}
    )
    return LastPull(
        columns=None if columns is None else tuple(columns),
        content_form=content_form,
        key_form=key_form,
        saw_rows=saw_rows,
        has_entries=has_entries,
        state=state,
        findings=Findings(
            changed=findings.get("changed", 0),
            changed_keys=tuple(findings.get("changed_keys", ())),
            missing=findings.get("missing", 0),
            missing_keys=tuple(findings.get("missing_keys", ())),
        ),
    )


def record_pull(
    cursor: Cursor,
    table: str,
    *,
    columns: Sequence[str],
    content_form: str,
    key_form: str,
    digest: str,
    alone: bool,
    state: str | None,
    findings: Findings,
    run_id: str | None,
    pulled: int,
    own_writes: int,
) -> None:
    """Record this run, the phone rows that it saw and how many rows it wrote, and add a line to the guide's log."""
    cursor.execute(
        load(__package__, "record_pull.sql"),
        {
            "table": table,
            "columns": list(columns),
            "content_form": content_form,
            "key_form": key_form,
            "digest": digest,
            "alone": alone,
            "state": state,
            "findings": Jsonb(dataclasses.asdict(findings)),
            "run": run_id,
            "own_writes": own_writes,
            "pulled": pulled,
        },
    )
    _log(cursor, table, pulled)


def read_unbooked(cursor: Cursor) -> dict[str, int]:
    """Returns by desktop name how many rows reverse runs have inserted since the last booking, without zeros."""
    cursor.execute("SELECT p.table_name, p.unbooked FROM powerca_sync.pulls AS p WHERE p.unbooked > 0")
    return dict(cursor.fetchall())


def record_booked(cursor: Cursor, rows: Mapping[str, int]) -> None:
    """Record that these rows of `read_unbooked` have been booked; rows inserted meanwhile stay unbooked."""
    cursor.execute(
        "UPDATE powerca_sync.pulls AS p SET unbooked = p.unbooked - b.rows"
        " FROM unnest(%s::text[], %s::bigint[]) AS b (table_name, rows) WHERE b.table_name = p.table_name",
        [list(rows), list(rows.values())],
    )


def record_no_op(cursor: Cursor, table: str, run_id: str | None) -> None:
    """Record that this run found what the last one had found, and add a line to the guide's log."""
    cursor.execute(
        "UPDATE powerca_sync.pulls SET run_id = %s, pulled_at = now() WHERE table_name = %s", [run_id, table]
    )
    _log(cursor, table, 0)


def _log(cursor: Cursor, table: str, pulled: int) -> None:
    schema = "public" if one_row(cursor, load(__package__, "guide_log_exists.sql")) == (True,) else "powerca_sync"
    line = sql.SQL(
        "INSERT INTO {} (table_name, direction, records_synced, last_sync_at, synced_at)"
        " VALUES (%s, %s, %s, now(), now())"
    ).format(sql.Identifier(schema, "sync_log"))
    if refusal := execute_with_optional(cursor, optional=(line, [table, "reverse", pulled])):
        logger.warning("[WARN] `%s.sync_log` has not been written for %s: %s.", schema, table, refusal)


def record_quarantine(cursor: Cursor, table: str) -> None:
    """Replace the table's quarantine on the desktop by the rows that this run rejected."""
    cursor.execute(load(__package__, "record_reverse_quarantine.sql"), {"table": table})
