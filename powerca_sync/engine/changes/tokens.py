"""Read the change tokens of tables, and count what a transaction of our own has written."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Final

from psycopg import sql

from powerca_sync.engine.postgres import (
    Connection,
    Cursor,
    Query,
    Timeouts,
    execute_batch,
    explained,
    fetch_batch,
    load,
    schema_and_name,
    transaction,
)
from powerca_sync.specs import TableSpec

#: Why a table has no token.
STANDBY: Final = "the desktop is a standby server, which does not count changes"
UNCOUNTED: Final = "the desktop does not count changes (`track_counts` is off)"
NO_TABLE: Final = "it reads no table of this database"
#: Why a token may not tell everything.
READS_MORE: Final = "its view also calls functions or reads tables of other servers"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ChangeToken:
    """The counters of one desktop table in the server's statistics; equal tokens mean that no change is known."""

    #: Mobile name.
    table: str
    #: Empty if nothing is known.
    text: str
    #: Moves when rows were deleted or the table was truncated or rewritten.
    removals: str
    #: The desktop's relation is a view; its token comes from the tables below.
    is_view: bool
    #: Why changes may pass unnoticed; usually empty.
    blind: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    """The change tokens of a database, and whether others are connected to it."""

    #: Of the tables that exist, in the order of the specs.
    tokens: tuple[ChangeToken, ...]
    #: Other sessions are connected to the database.
    has_others: bool


def read_changes(source: Connection, specs: Sequence[TableSpec], *, seconds: float) -> Changes:
    """Returns the tokens of the desktop tables. Only reads catalogs, in two round trips.

    The statement may take `seconds`. A change is counted when the session that made it goes idle, up to ten seconds
    after its commit, or when its procedure has ended: a token is never later than what a snapshot taken after it shows,
    but it may be earlier. Rows that reverse sync has written are not counted.
    """
    timeouts = Timeouts(statement=seconds, lock=seconds)
    with (
        explained("looking for changes on the desktop"),
        transaction(
            source,
            timezone="UTC",
            timeouts=timeouts,
            snapshot=True,
            first=[(load(__package__, "server.sql"), None), _kept_statistics(tuple(spec.desktop for spec in specs))],
        ) as cursor,
    ):
        (server,), tables = fetch_batch(cursor)
        history, has_others, is_standby, counts, records_own_writes = server
        own: dict[str, int] = {}
        if records_own_writes:
            cursor.execute("SELECT p.table_name, p.own_writes FROM powerca_sync.pulls AS p; COMMIT")
            own = dict(cursor.fetchall())
    blind = STANDBY if is_standby else "" if counts else UNCOUNTED
    found = []
    for spec, (exists, is_view, is_counted, reads_more, writes, deletes, files, _) in zip(specs, tables, strict=True):
        if not exists:
            continue
        why = blind or (NO_TABLE if not is_counted else "")
        found.append(
            ChangeToken(
                table=spec.mobile,
                text="" if why else f"{history} {files} {writes - own.get(spec.desktop, 0)}",
                removals=f"{files} {deletes}",
                is_view=is_view,
                blind=why or (READS_MORE if reads_more else ""),
            )
        )
    return Changes(tokens=tuple(found), has_others=has_others)


def count_own_writes(cursor: Cursor, desktop: str) -> int:
    """Returns the rows of a table that this session has written and the statistics do not yet have.

    The difference of two calls is what the transaction wrote in between, triggers and undone attempts included.
    """
    ((*_, unreported),) = execute_batch(cursor, _statistics([desktop]))[0]
    return int(unreported)


def report_own_writes(cursor: Cursor) -> None:
    """Make the session report to the statistics at its commit: otherwise it may do so up to ten seconds later."""
    if cursor.connection.info.server_version >= 150000:
        cursor.execute("SELECT pg_stat_force_next_flush()")


@functools.lru_cache(maxsize=10)
def _kept_statistics(names: tuple[str, ...]) -> Query:
    """Returns the statement for these relations with its parameters in it, for connections in UTF-8."""
    statement, relations = _statistics(names)
    schemas, tables = (sql.Literal(relations[name]).as_string() for name in ("schemas", "names"))
    return statement.replace(b"%(schemas)s", schemas.encode()).replace(b"%(names)s", tables.encode()), None


def _statistics(names: Sequence[str]) -> tuple[bytes, Mapping[str, list[str]]]:
    schemas, tables = zip(*map(schema_and_name, names), strict=True) if names else ((), ())
    return load(__package__, "statistics.sql"), {"schemas": list(schemas), "names": list(tables)}
