"""Who holds one of the tables right now, so that a sync or a phone would have to wait."""

import dataclasses
from collections.abc import Iterable, Iterator

from psycopg import sql
from typing_extensions import override

from powerca_sync.engine.doctor.findings import Finding, listed, warning
from powerca_sync.engine.doctor.side import read_as
from powerca_sync.engine.postgres import Cursor, Table, load

#: Seconds after which a transaction that wrote rows is no longer ordinary.
LONG = 60


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Lock:
    """A lock that somebody else holds on a table."""

    #: Of the table.
    oid: int
    name: str
    #: As `pg_locks` has it.
    mode: str
    #: Process on the server; None for a prepared transaction, which has none.
    pid: int | None
    user: str
    application: str
    #: What its session does; empty where we may not know.
    state: str
    #: Since its transaction began; None where we may not know.
    seconds: int | None

    @property
    def keeps_readers_out(self) -> bool:
        """Whether not even reading is possible."""
        return self.mode == "AccessExclusiveLock"

    @override
    def __str__(self) -> str:
        """Who keeps what, and how long already."""
        who = f"user {self.user}" + (f" ({self.application})" if self.application else "")
        kept = "rows that it has written" if self.mode == "RowExclusiveLock" else f"the whole table ({self.mode})"
        since = "" if self.seconds is None else f" for {self.seconds} seconds"
        idle = ", and does nothing meanwhile" if self.state.startswith("idle") else ""
        return f"{self.name}: {who} keeps {kept} locked{since}{idle}."


def read_locks(cursor: Cursor, tables: Iterable[Table], *, changed: bool) -> list[Lock]:
    """Locks that stand in the way of reading and adding rows or, if rows are `changed` there too, of that."""
    wanted = {"tables": [table.oid for table in tables], "changed": changed, "seconds": LONG}
    return read_as(Lock, cursor, load(__package__, "locks.sql"), wanted)


def examine_locks(side: str, locks: Iterable[Lock]) -> Iterator[Finding]:
    """Each lock of a session."""
    for lock in locks:
        if lock.pid is None:
            continue
        yield warning(
            side,
            str(lock),
            why="A sync has to wait, and gives up after a while; so do phones.",
            do="Let that program finish, or end it; as an administrator of that side:",
            statements=[sql.SQL("SELECT pg_terminate_backend({})").format(sql.Literal(lock.pid))],
        )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PreparedTransaction:
    """A transaction that waits for its COMMIT PREPARED or ROLLBACK PREPARED, in no session."""

    gid: str
    owner: str
    #: Since it was prepared.
    seconds: int
    #: Ours that it keeps locked, or rows of them.
    tables: list[str]


def read_prepared(cursor: Cursor, tables: Iterable[Table]) -> list[PreparedTransaction]:
    """Those of this database."""
    return read_as(
        PreparedTransaction, cursor, load(__package__, "prepared.sql"), {"tables": [table.oid for table in tables]}
    )


def examine_prepared(side: str, prepared: Iterable[PreparedTransaction]) -> Iterator[Finding]:
    """Each prepared transaction, with the command that ends it."""
    for one in prepared:
        locked = f", which keeps rows of {listed(one.tables)} locked" if one.tables else ""
        yield warning(
            side,
            f"The transaction `{one.gid}` of user {one.owner} was prepared {one.seconds} seconds ago and has not "
            f"ended{locked}.",
            why="Its locks outlive its session and a restart of the server, and until it ends every incremental run "
            "reads again what was changed since.",
            do="Have the program end it that has prepared it. If that is gone, as that user or an administrator "
            "(COMMIT PREPARED instead keeps what it has written):",
            statements=[sql.SQL("ROLLBACK PREPARED {}").format(sql.Literal(one.gid))],
        )
