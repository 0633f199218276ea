"""Roles, other than the sync's own, that may create objects in a schema of the search path."""

import dataclasses
from collections.abc import Iterable, Iterator

from psycopg import sql

from powerca_sync.engine.doctor.findings import Finding, warning
from powerca_sync.engine.doctor.side import read_as
from powerca_sync.engine.postgres import Cursor, execute_with_database_settings, load


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Creator:
    """A role that may create objects in a schema of the search path."""

    schema: str
    #: Empty for PUBLIC.
    role: str


def read_creators(cursor: Cursor) -> list[Creator]:
    """Returns the roles other than the sync's own, superusers and owners, for the database's search path."""
    ((schemas,),) = execute_with_database_settings(
        cursor, sql.SQL("SELECT pg_catalog.current_schemas(false)::text[]").format()
    )
    return read_as(Creator, cursor, load(__package__, "path.sql"), {"schemas": schemas})


def examine_creators(side: str, creators: Iterable[Creator]) -> Iterator[Finding]:
    """Yields a finding for each role, with the statement that revokes the right."""
    for creator in creators:
        who = f"The role {creator.role}" if creator.role else "Every role"
        grantee = sql.Identifier(creator.role) if creator.role else sql.SQL("PUBLIC")
        yield warning(
            side,
            f"{who} may create objects in the schema {creator.schema}, which is in the search path.",
            why="The sync's own statements use PostgreSQL's functions only. Triggers of the tables, however, run with "
            "the sync's rights, and may execute objects of that role that have the same name.",
            do="Revoke the right, as an administrator of that database:",
            statements=[sql.SQL("REVOKE CREATE ON SCHEMA {} FROM {}").format(sql.Identifier(creator.schema), grantee)],
        )
