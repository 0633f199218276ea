"""The demo's databases on the two servers: created and filled once, completely or not at all."""

import dataclasses
from collections.abc import Callable
from typing import Final

from psycopg import sql

from powerca_sync.demo.office import create_desktop, create_mobile, fill_desktop, fill_mobile
from powerca_sync.engine.postgres import Connection, connect
from powerca_sync.settings import Endpoint

#: The key of the advisory lock.
LOCK: Final = 0x706F776572


def prepare_desktop(endpoint: Endpoint) -> None:
    """Creates and fills the office's database, in the office's time zone."""
    _prepare(endpoint, "Asia/Kolkata", create_desktop, fill_desktop)


def prepare_mobile(endpoint: Endpoint) -> None:
    """Creates and fills the mobile database, in Supabase's time zone."""
    _prepare(endpoint, "UTC", create_mobile, fill_mobile)


def _prepare(
    endpoint: Endpoint, zone: str, create: Callable[[Connection], None], fill: Callable[[Connection], None]
) -> None:
    """Creates and fills the database unless it exists.

    1. Wait for other processes: the lock belongs to the server's session, and ends with it. 2. Create the database,
    which cannot be done in a transaction. 3. Everything else in one transaction: if there is one table, the database is
    complete.
    """
    with connect(dataclasses.replace(endpoint, name="postgres")) as server:
        server.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        if not server.execute("SELECT FROM pg_database WHERE datname = %s", [endpoint.name]).fetchall():
            server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(endpoint.name)))
        with connect(endpoint) as database, database.transaction():
            if database.execute("SELECT FROM pg_tables WHERE schemaname = 'public'").fetchall():
                return
            in_zone = sql.SQL("ALTER DATABASE {} SET timezone = {}")
            database.execute(in_zone.format(sql.Identifier(endpoint.name), sql.Literal(zone)))
            create(database)
            fill(database)
