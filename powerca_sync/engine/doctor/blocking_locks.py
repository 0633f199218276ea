"""Locks on the tables that a sync or a phone would have to wait for."""

import dataclasses
from collections.abc import Iterable, Iterator

from psycopg import sql
from typing_extensions import override

from powerca_sync.engine.doctor.findings import Finding, listed, warning
from powerca_sync.engine.doctor.side import read_as
from powerca_sync.engine.postgres import Cursor, Table, load
from powerca_sync.plain_text import counted

#: Seconds after which a transaction that has written rows is reported.
LONG = 60


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Lock:
    """A lock of another session on a table."""

    #: Of the table.
    oid: int
    name: str
    #: As in `pg_locks`.
    mode: str
    #: Process on the server; None for a prepared transaction, which has none.
    pid: int | None
    user: str
    application: str
    #: State of its session; empty if the role may not see it.
    state: str
    #: Since its transaction began; None if the role may not see it.
    seconds: int | None

    @property
    def keeps_readers_out(self) -> bool:
        """Whether it blocks reading, too."""
        return self.mode == "AccessExclusiveLock"

    @override
    def __str__(self) -> str:
        """A sentence with user, lock and duration."""
        who = f"user {self.user}" + (f" ({self.application})" if self.application else "")
        kept = "rows that it has written" if self.mode == "RowExclusiveLock" else f"the whole table ({self.mode})"
        since = "" if self.seconds is None else f" for {counted(self.seconds, 'second')}"
        idle = " while idle" if self.state.startswith("idle") else ""
        return f"{self.name}: {who} keeps {kept} locked{since}{idle}."


def read_locks(cursor: Cursor, tables: Iterable[Table], *, changed: bool) -> list[Lock]:
    """Returns locks that block reading and inserting rows or, if the sync has `changed` rows there, updates too."""
    wanted = {"tables": [table.oid for table in tables], "changed": changed, "seconds": LONG}
    return read_as(Lock, cursor, load(__package__, "blocking_locks.sql"), wanted)


def examine_locks(side: str, locks: Iterable[Lock]) -> Iterator[Finding]:
    """Yields a finding for each lock of a session."""
    for lock in locks:
        if lock.pid is None:
            continue
        yield warning(
            side,
            str(lock),
            why="Syncs and phones wait for it, and fail after a time limit.",
            do="Let that program finish, or end it; as an administrator of that database:",
            statements=[sql.SQL("SELECT pg_terminate_backend({})").format(sql.Literal(lock.pid))],
        )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PreparedTransaction:
    """A prepared transaction, which has not been committed or rolled back and belongs to no session."""

    gid: str
    owner: str
    #: Since it was prepared.
    seconds: int
    #: Synced tables that it keeps locked, or rows of them.
    tables: list[str]


def read_prepared(cursor: Cursor, tables: Iterable[Table]) -> list[PreparedTransaction]:
    """Returns the prepared transactions of this database."""
    return read_as(
        PreparedTransaction, cursor, load(__package__, "prepared.sql"), {"tables": [table.oid for table in tables]}
    )


def examine_prepared(side: str, prepared: Iterable[PreparedTransaction]) -> Iterator[Finding]:
    """Yields a finding for each prepared transaction, with the command that ends it."""
    for one in prepared:
        locked = f", which keeps rows of {listed(one.tables)} locked" if one.tables else ""
        yield warning(
            side,
            f"The transaction `{one.gid}` of user {one.owner} was prepared {counted(one.seconds, 'second')} ago and "
            f"has not ended{locked}.",
            why="Its locks outlive its session and a restart of the server, and until it ends every incremental run "
            "reads again the rows that changed since.",
            do="Let the program that has prepared it end it. If that is impossible, as that user or an administrator "
            "(COMMIT PREPARED keeps its rows):",
            statements=[sql.SQL("ROLLBACK PREPARED {}").format(sql.Literal(one.gid))],
        )
