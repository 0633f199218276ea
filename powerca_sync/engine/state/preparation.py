"""Create the engine's tables on the target, and check whether they exist."""

import dataclasses

import psycopg

from powerca_sync.engine.postgres import (
    Connection,
    Cursor,
    Query,
    Timeouts,
    error_text,
    execute_autocommit,
    explained,
    load,
    transaction,
)
from powerca_sync.errors import ConfigurationError


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Preparation:
    """The result of preparing the target."""

    #: One of the engine's tables, or the guide's table, was created or completed.
    created: bool
    #: Why the guide's table could not be created or completed, and the statements for an administrator.
    refusal: str = ""
    statements: str = ""


def prepare_target(connection: Connection) -> Preparation:
    """Create the engine's tables that the target lacks, and create or complete the guide's `_sync_metadata`.

    Executes DDL only if something is missing, because DDL makes the app's interface reload its schema. The guide's
    table is optional. Raises `ConfigurationError`, with the statements for an administrator, if the role may not create
    the engine's tables.
    """
    with explained("looking for the sync's own tables at the target"):
        if execute_autocommit(connection, *state_exists()) == [(True,)]:
            return Preparation(created=False)
    script, guides = load(__package__, "target_state.sql"), load(__package__, "guide_state.sql")
    refusal = ""
    try:
        with transaction(connection, timezone="UTC", timeouts=Timeouts()) as cursor:
            # Concurrent CREATE ... IF NOT EXISTS of one object fails.
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


def state_exists() -> Query:
    """A query: do all of the engine's tables exist on the target?"""
    return load(__package__, "state_exists.sql"), None


def has_claims(cursor: Cursor) -> bool:
    """Whether the mobile database has the table of claims."""
    cursor.execute("SELECT to_regclass('powerca_sync.office') IS NOT NULL")
    return cursor.fetchone() == (True,)


def has_state(cursor: Cursor) -> bool:
    """Whether the target has the tables of claims, runs and quarantine."""
    cursor.execute(
        "SELECT to_regclass('powerca_sync.office') IS NOT NULL AND to_regclass('powerca_sync.table_state') IS NOT NULL"
        " AND to_regclass('powerca_sync.quarantine') IS NOT NULL"
    )
    return cursor.fetchone() == (True,)
