"""The demo's databases on the two servers: made and filled once, whole or not at all."""

import dataclasses
from collections.abc import Callable
from typing import Final

from psycopg import sql

from powerca_sync.demo.office import create_desktop, create_mobile, fill_desktop, fill_mobile
from powerca_sync.engine.postgres import Connection, connect
from powerca_sync.settings import Endpoint

#: Any number that nobody else locks.
LOCK: Final = 0x706F776572


def prepare_desktop(endpoint: Endpoint) -> None:
    """The office's database, in the office's time."""
    _prepare(endpoint, "Asia/Kolkata", create_desktop, fill_desktop)


def prepare_mobile(endpoint: Endpoint) -> None:
    """The phones' database, in the time in which Supabase keeps it."""
    _prepare(endpoint, "UTC", create_mobile, fill_mobile)


def _prepare(
    endpoint: Endpoint, zone: str, create: Callable[[Connection], None], fill: Callable[[Connection], None]
) -> None:
    """Make and fill the database unless it is there.

    1. Wait for others who are at it: the lock belongs to the server's session, and goes with it.
    2. Make the database, which no transaction can hold.
    3. Everything in it in one transaction: if there is a table, there is everything.
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
