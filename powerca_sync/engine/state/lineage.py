"""Detect copies of a desktop, which have the same system identifier, by tokens of its runs.

Each forward run issues a random token on the desktop and stores it on mobile in the transaction of its data. The
desktop that synced last has every token that mobile has. A copy of its machine, or a desktop restored from a backup,
lacks the tokens issued since. The token is committed on the desktop first: a run that ends between the two commits
leaves a token on the desktop only, which does no harm.

If the desktop's user may not write there, the position in the write-ahead log is compared instead: it must not
decrease.
"""

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

import psycopg

from powerca_sync.engine.mapping import Snapshot, read_identity, read_snapshot
from powerca_sync.engine.postgres import (
    Connection,
    Cursor,
    Query,
    Timeouts,
    apply_settings,
    error_text,
    execute_batch,
    explained,
    load,
    one_row,
    transaction,
)
from powerca_sync.errors import UnsafeTargetError
from powerca_sync.plain_text import one_line_logger

logger = one_line_logger(__name__)

#: Minimum age of deleted tokens, so that mobile may be restored from a backup of this age.
KEPT = "30 days"
#: Short, because a run can do without a token.
_PATIENCE = Timeouts(statement=10, lock=2)
#: SQLSTATEs of a mobile database without the schema, the table or the column of tokens.
NOT_PREPARED = (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.InvalidSchemaName)


@dataclasses.dataclass(frozen=True, slots=True)
class RecordedRun:
    """The last run of one table, as recorded on mobile."""

    table: str
    #: None if the desktop could not issue one.
    token: str | None
    at: datetime
    #: Position of the desktop's write-ahead log at the run, in bytes; None if the run stored no watermark.
    lsn: int | None
    timeline: int | None


def recorded_runs(identity: str) -> Query:
    """A query for the recorded runs of the desktop, with the columns of `RecordedRun`.

    Execute it before the desktop's tokens are read, because other tables may be synced in between.
    """
    return load(__package__, "recorded_runs.sql"), {"office": identity}


def read_recorded_runs(mobile: Cursor, identity: str) -> tuple[RecordedRun, ...]:
    """Returns the recorded runs of the desktop; none if mobile is not prepared."""
    savepoint: Query = ("SAVEPOINT powerca_lineage", None)
    try:
        _, found, _ = execute_batch(
            mobile, savepoint, recorded_runs(identity), ("RELEASE SAVEPOINT powerca_lineage", None)
        )
    except NOT_PREPARED:
        mobile.execute("ROLLBACK TO SAVEPOINT powerca_lineage")
        return ()
    return tuple(RecordedRun(*row) for row in found)


def check_lineage(desktop: Cursor, snapshot: Snapshot, runs: Sequence[RecordedRun]) -> None:
    """Raises `UnsafeTargetError` unless the desktop is the one that made the recorded runs. Only reads."""
    unknown = find_unknown_run(desktop, snapshot, runs)
    if unknown is not None:
        raise UnsafeTargetError(f"{describe_unknown_run(unknown)} Nothing was read. {_ACTION}")


def check_desktop(desktop: Connection, mobile: Connection) -> tuple[RecordedRun, ...]:
    """Returns the recorded runs of the desktop; raises `UnsafeTargetError` as `check_lineage` does. Only reads."""
    with _both_read(desktop, mobile) as (here, snapshot, runs):
        check_lineage(here, snapshot, runs)
    return runs


def warn_of_copy(desktop: Connection, mobile: Connection) -> str | None:
    """Returns why runs refuse this desktop, as `check_lineage` does; None if they do not. Only reads."""
    with _both_read(desktop, mobile) as (here, snapshot, runs):
        unknown = find_unknown_run(here, snapshot, runs)
    return f"{describe_unknown_run(unknown)} Runs refuse it. {_ACTION}" if unknown else None


_ACTION = (
    "If it has taken the other's place, or was restored, run `powerca-sync init --accept-source`. Otherwise correct "
    "the settings, or stop the sync of this machine."
)


@contextlib.contextmanager
def _both_read(desktop: Connection, mobile: Connection) -> Iterator[tuple[Cursor, Snapshot, tuple[RecordedRun, ...]]]:
    """Yields a cursor of the desktop, its snapshot, and the recorded runs, which were read before it."""
    with explained("reading the desktop's identity"):
        identity, _ = read_identity(desktop)
    with (
        explained("looking for the last runs on mobile"),
        transaction(mobile, timezone="UTC", timeouts=Timeouts(), snapshot=True) as there,
    ):
        runs = read_recorded_runs(there, identity)
    with (
        explained("looking for the last runs on the desktop"),
        transaction(desktop, timezone="UTC", timeouts=Timeouts(), snapshot=True) as here,
    ):
        yield here, read_snapshot(here), runs


def describe_unknown_run(run: RecordedRun) -> str:
    """Returns what is known of a desktop that has no trace of the run."""
    return (
        f"This desktop is not in the state in which it was last synced: it has no trace of the run of `{run.table}` at "
        f"{run.at:%Y-%m-%d %H:%M:%S%z}, which mobile records. It is a copy of the desktop that was synced then (of its "
        "machine or data folder), or it was restored from a backup."
    )


def find_unknown_run(desktop: Cursor, snapshot: Snapshot, runs: Sequence[RecordedRun]) -> RecordedRun | None:
    """Returns a recorded run that the desktop has no trace of, if there is one. Only reads."""
    if not runs:
        return None
    _, readable, _, _ = one_row(desktop, load(__package__, "run_token_rights.sql"))
    known = _known_tokens(desktop, runs) if readable else None
    for run in runs:
        if run.token is not None and known is not None:
            if run.token not in known:
                return run
        elif _is_behind(snapshot, run):
            return run
    return None


def _is_behind(snapshot: Snapshot, run: RecordedRun) -> bool:
    return (run.lsn is not None and snapshot.lsn < run.lsn) or (
        run.timeline is not None and snapshot.timeline < run.timeline
    )


def _known_tokens(desktop: Cursor, runs: Iterable[RecordedRun]) -> set[str]:
    tokens = [run.token for run in runs if run.token is not None]
    if not tokens:
        return set()
    desktop.execute("SELECT t.token FROM powerca_sync.run_token AS t WHERE t.token = ANY (%s)", [tokens])
    return {token for (token,) in desktop.fetchall()}


def issue_token(connection: Connection, runs: Sequence[RecordedRun]) -> str | None:
    """Issue a token on the desktop, outside any transaction there, and commit it; None if that is not possible.

    `runs` are those that `check_lineage` has accepted.
    """
    if connection.closed:
        return None
    try:
        with transaction(connection, timezone="UTC", timeouts=_PATIENCE) as cursor:
            if not _prepare(cursor, runs):
                return None
            # Mobile must never have a token that a power failure takes from the desktop.
            apply_settings(cursor, {"synchronous_commit": "on"})
            (token,) = one_row(
                cursor, "INSERT INTO powerca_sync.run_token AS t (token) VALUES (DEFAULT) RETURNING t.token"
            )
            cursor.execute(
                "DELETE FROM powerca_sync.run_token AS t"
                " WHERE t.issued_at < now() - %s::interval AND t.token <> ALL (%s::text[])",
                [KEPT, _tokens(runs)],
            )
    except psycopg.Error as exc:
        logger.info("No run token was issued on the desktop: %s.", error_text(exc))
        return None
    return str(token)


def prepare_tokens(connection: Connection, runs: Sequence[RecordedRun]) -> None:
    """Create the table of tokens on the desktop if it is missing and the user may. `runs` as in `issue_token`."""
    with (
        explained("preparing the desktop"),
        transaction(connection, timezone="UTC", timeouts=_PATIENCE) as cursor,
    ):
        _prepare(cursor, runs)


def _prepare(cursor: Cursor, runs: Sequence[RecordedRun]) -> bool:
    """Returns whether tokens can be issued."""
    exists, _, writable, has_schema = one_row(cursor, load(__package__, "run_token_rights.sql"))
    if exists or not writable:
        return bool(writable)
    # Two first runs at once must not collide.
    cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('powerca_sync', 0))")
    exists, _, writable, has_schema = one_row(cursor, load(__package__, "run_token_rights.sql"))
    if not exists:
        if not has_schema:
            cursor.execute("CREATE SCHEMA powerca_sync")
        cursor.execute(load(__package__, "run_tokens.sql"))
        # The table was lost, and the desktop was accepted by its position.
        cursor.execute("INSERT INTO powerca_sync.run_token (token) SELECT DISTINCT unnest(%s::text[])", [_tokens(runs)])
    return bool(writable)


def _tokens(runs: Iterable[RecordedRun]) -> list[str]:
    return [run.token for run in runs if run.token is not None]


def restart_runs(mobile: Cursor, identity: str, token: str | None) -> None:
    """Store the token for all tables of the desktop and delete their watermarks, so that full runs follow."""
    mobile.execute(load(__package__, "restart_runs.sql"), {"office": identity, "token": token})
