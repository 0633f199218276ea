"""The roles that an office should give the sync, one on mobile and one on the desktop, with the least privileges."""

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import sql

from powerca_sync.engine.postgres.database import Connection
from powerca_sync.tables import TABLES

MOBILE_USER = "office_sync"
DESKTOP_USER = "office_reader"
#: Contains every character that a URL, a PgBouncer user file or a shell could misread.
PASSWORD = "sl/ash %41 @host:5432#x?'\"$HOME"

MOBILE_TABLES = tuple(spec.mobile for spec in TABLES)
DESKTOP_TABLES = tuple(spec.desktop for spec in TABLES)
WRITTEN_BACK = tuple(spec.desktop for spec in TABLES if spec.reverse)


@contextmanager
def mobile_user(connection: Connection) -> Iterator[None]:
    """Creates a role like Supabase's: no superuser, but BYPASSRLS, with row-level security on every table.

    It has short timeouts, as Supabase's roles have; much shorter, so that a test can exceed them.
    """
    with _user(connection, MOBILE_USER, "BYPASSRLS") as user:
        for setting, value in (("statement_timeout", "500ms"), ("lock_timeout", "200ms")):
            connection.execute(sql.SQL("ALTER ROLE {} SET {} = {}").format(user, sql.Identifier(setting), value))
        for table in map(sql.Identifier, MOBILE_TABLES):
            connection.execute(sql.SQL("ALTER TABLE {} ENABLE ROW LEVEL SECURITY").format(table))
            connection.execute(sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO {}").format(table, user))
        connection.execute(sql.SQL("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {}").format(user))
        yield


def let_prepare(connection: Connection, *, may: bool) -> None:
    """Grants or revokes the right to create the state tables, which is needed once."""
    database = sql.Identifier(connection.info.dbname)
    to = sql.SQL("GRANT CREATE ON {} TO {}") if may else sql.SQL("REVOKE CREATE ON {} FROM {}")
    user = sql.Identifier(MOBILE_USER)
    for what in (sql.SQL("DATABASE {}").format(database), sql.SQL("SCHEMA public")):
        connection.execute(to.format(what, user))


@contextmanager
def desktop_user(connection: Connection) -> Iterator[None]:
    """Creates a role that reads all tables, inserts where reverse sync does, and owns the schema `powerca_sync`."""
    with _user(connection, DESKTOP_USER, "NOBYPASSRLS") as user:
        for table in map(sql.Identifier, DESKTOP_TABLES):
            connection.execute(sql.SQL("GRANT SELECT ON {} TO {}").format(table, user))
        for table in map(sql.Identifier, WRITTEN_BACK):
            connection.execute(sql.SQL("GRANT INSERT ON {} TO {}").format(table, user))
        connection.execute(sql.SQL("GRANT USAGE, UPDATE ON ALL SEQUENCES IN SCHEMA public TO {}").format(user))
        connection.execute(sql.SQL("CREATE SCHEMA powerca_sync AUTHORIZATION {}").format(user))
        yield


@contextmanager
def _user(connection: Connection, name: str, attribute: str) -> Iterator[sql.Identifier]:
    user = sql.Identifier(name)
    connection.execute(
        sql.SQL("CREATE ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE {}").format(user, sql.SQL(attribute))  # type: ignore[arg-type]
    )
    try:
        yield user
    finally:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s AND pid <> pg_backend_pid()",
            [name],
        )
        connection.execute(sql.SQL("DROP OWNED BY {} CASCADE; DROP ROLE {}").format(user, user))
