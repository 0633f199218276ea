"""Connections that stay open between runs and tests: a new server process reads the system catalog anew, which takes
longer than a run of a small table.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from powerca_sync.engine.postgres.database import Connection, connect
from powerca_sync.settings import Endpoint

#: Drops everything that a test may have created or set in a database, and ends all other sessions but the idle ones.
EMPTY = """
SET TRANSACTION READ WRITE;
DO $$
DECLARE
    name text;
BEGIN
    PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND pid <> ALL (ARRAY{idle}::int[]);
    FOR name IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP
        EXECUTE format('DROP SCHEMA %I CASCADE', name);
    END LOOP;
    CREATE SCHEMA public AUTHORIZATION pg_database_owner;
    GRANT USAGE ON SCHEMA public TO PUBLIC;
    EXECUTE format('ALTER DATABASE %I RESET ALL', current_database());
END
$$"""


class Connections:
    """Idle connections to some endpoints; those to others are closed after use.

    A connection that was opened under other settings is not used again.
    """

    def __init__(self, *endpoints: Endpoint) -> None:
        self._idle: dict[Endpoint, list[Connection]] = {endpoint: [] for endpoint in endpoints}
        #: The settings of databases and roles, and libpq's environment variables, under which each was opened.
        self._settings: dict[Connection, object] = {}

    def take(self, endpoint: Endpoint) -> Connection:
        """Returns an idle connection, or a new one."""
        idle = self._idle.get(endpoint, [])
        while idle:
            connection = idle.pop()
            with contextlib.suppress(psycopg.Error):
                if self._settings[connection] == _settings(connection):
                    return connection
            self._close(connection)
        connection = connect(endpoint)
        if endpoint in self._idle:
            self._settings[connection] = _settings(connection)
        return connection

    def give_back(self, endpoint: Endpoint, connection: Connection, *, reset: bool = False) -> None:
        """Keeps a connection for its next user, or closes it if it is not idle; `reset` ends what its user has set."""
        connection.cursor_factory = psycopg.Cursor
        if reset and not connection.closed:
            with contextlib.suppress(psycopg.Error):
                connection.rollback()
                connection.autocommit = True
                connection.execute("DISCARD ALL")
        if endpoint in self._idle and connection.info.transaction_status == TransactionStatus.IDLE:
            self._idle[endpoint].append(connection)
        else:
            self._close(connection)

    @contextlib.contextmanager
    def use(self, endpoint: Endpoint) -> Iterator[Connection]:
        """Yields a connection for a run, and keeps it as the run leaves it."""
        connection = self.take(endpoint)
        try:
            yield connection
        finally:
            self.give_back(endpoint, connection)

    def idle(self) -> list[int]:
        """Returns the process ids, at the servers, of all idle connections."""
        return [one.info.backend_pid for ready in self._idle.values() for one in ready if not one.closed]

    def empty(self, connection: Connection) -> None:
        """Empties a database over one connection; ends all others to it except the idle ones."""
        connection.execute(EMPTY.format(idle=self.idle()))  # type: ignore[call-overload]

    def close(self) -> None:
        """Closes the idle connections."""
        for idle in self._idle.values():
            while idle:
                self._close(idle.pop())

    def _close(self, connection: Connection) -> None:
        connection.close()
        self._settings.pop(connection, None)


def _settings(connection: Connection) -> Any:
    variables = {name: value for name, value in os.environ.items() if name.startswith("PG")}
    return connection.execute("SELECT s.xmin, s.* FROM pg_catalog.pg_db_role_setting AS s").fetchall(), variables
