"""Dagster's SQLite event log with connections that stay open.

Dagster's own class creates an engine and a connection for each statement, more than a thousand in a run of fifteen
tables. It compiles each statement anew, and SQLite copies its write-ahead log into the file whenever the last
connection is closed. With PostgreSQL, Dagster keeps its connections itself.
"""

import contextlib
from collections.abc import Callable, Iterator

import sqlalchemy as db
from alembic.migration import MigrationContext

# Private, but Dagster has no setting for the connections of its SQLite files.
from dagster._core.storage.event_log import SqliteEventLogStorage
from sqlalchemy.pool import ConnectionPoolEntry
from typing_extensions import override

#: Files that stay open: the index of all runs, and the events of the runs used last.
KEPT = 4
#: Seconds to wait for the lock of another process, as in Dagster's own class.
BUSY_TIMEOUT = 30


class KeptSqliteEventLog(SqliteEventLogStorage):
    """Keeps the connections to the files used last, and remembers which tables, columns and indexes exist.

    A commit does not wait for the disk (`synchronous = NORMAL`): after a power failure the last events of a run may be
    missing from the history, whose files stay consistent. The synced databases are not concerned.
    """

    def __init__(self, folder: str) -> None:
        self._engines: dict[str, db.Engine] = {}
        self._known: set[str] = set()
        super().__init__(folder)

    @override
    @contextlib.contextmanager
    def _connect(self, shard: str) -> Iterator[db.Connection]:
        with self._db_lock, self._engine(shard).connect() as connection, connection.begin():
            yield connection

    def _engine(self, shard: str) -> db.Engine:
        if shard not in self._initialized_dbs:
            # A new database, or one that was deleted.
            self._dispose(shard)
        engine = self._engines.pop(shard, None) or self._open(shard)
        # The last one used is last.
        self._engines[shard] = engine
        while len(self._engines) > KEPT:
            self._dispose(next(iter(self._engines)))
        return engine

    def _open(self, shard: str) -> db.Engine:
        engine = db.create_engine(
            self.conn_string_for_shard(shard), connect_args={"timeout": BUSY_TIMEOUT}, pool_size=1
        )
        db.event.listen(engine, "connect", _do_not_wait_for_disk)
        if shard not in self._initialized_dbs:
            self._initdb(engine)
            self._initialized_dbs.add(shard)
        return engine

    @override
    def _initdb(self, engine: db.Engine, for_index_shard: bool = False) -> None:
        """Create the tables of a new file; a file that has a revision is left as it is.

        Dagster's own does the same, but first loads all of its migrations, which is most of the time in which the last
        runs are read.
        """
        # The file may be in the making in another process, which Dagster's own waits for.
        with contextlib.suppress(db.exc.DatabaseError), engine.connect() as connection:
            if MigrationContext.configure(connection).get_current_revision():
                return
        super()._initdb(engine, for_index_shard)

    def _dispose(self, shard: str) -> None:
        if engine := self._engines.pop(shard, None):
            engine.dispose()

    @override
    def has_table(self, table_name: str) -> bool:
        """Returns whether the table exists; once it does, without looking."""
        return self._exists(f"table {table_name}", lambda: super(KeptSqliteEventLog, self).has_table(table_name))

    @override
    def has_secondary_index(self, name: str) -> bool:
        """Returns whether a migration of Dagster's history was done; once it was, without looking."""
        return self._exists(f"index {name}", lambda: super(KeptSqliteEventLog, self).has_secondary_index(name))

    @override
    def _has_asset_key_col_on_connection(self, conn: db.Connection, column_name: str) -> bool:
        look = super()._has_asset_key_col_on_connection
        return self._exists(f"column {column_name}", lambda: look(conn, column_name))

    def _exists(self, what: str, look: Callable[[], bool]) -> bool:
        if what not in self._known and look():
            self._known.add(what)
        return what in self._known

    @override
    def dispose(self) -> None:
        """Close the connections."""
        for shard in list(self._engines):
            self._dispose(shard)
        super().dispose()


def _do_not_wait_for_disk(connection: object, _: ConnectionPoolEntry) -> None:
    connection.execute("PRAGMA synchronous = NORMAL")  # type: ignore[attr-defined]
