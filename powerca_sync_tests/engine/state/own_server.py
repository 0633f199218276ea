"""The machine's own PostgreSQL: a full installation, and another version than the embedded servers."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from powerca_sync.settings import Endpoint
from powerca_sync_tests.connections import EMPTY

#: Users of the machine; Windows does not have this module.
pwd = pytest.importorskip("pwd")


def find_server_programs() -> Path:
    """Returns the folder of the machine's own server programs; skips the test if there is none."""
    pg_config = shutil.which("pg_config")
    if pg_config is None:
        pytest.skip("This machine has no PostgreSQL of its own (no `pg_config`).")
    folder = Path(subprocess.run([pg_config, "--bindir"], check=True, capture_output=True, text=True).stdout.strip())
    if not (folder / "initdb").exists():
        pytest.skip("This machine has PostgreSQL's client programs only (no `initdb`).")
    return folder


@pytest.fixture(scope="module")
def own_server() -> Iterator[Endpoint]:
    """Yields a server of the machine's own version; as root, which may not run it, uses the user `postgres`."""
    folder, user = find_server_programs(), {}
    if os.geteuid() == 0:
        try:
            user = {"user": pwd.getpwnam("postgres").pw_uid}
        except KeyError:
            pytest.skip("Running as root, and this machine has no user `postgres` for its server.")
    with tempfile.TemporaryDirectory(prefix="powerca-tests-", ignore_cleanup_errors=True) as home:
        if user:
            os.chown(home, user["user"], -1)

        def run(*command: str | Path) -> None:
            subprocess.run(command, check=True, capture_output=True, cwd=home, **user)  # type: ignore[call-overload]

        data = Path(home) / "data"
        run(folder / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        listening = f"-c listen_addresses='' -c unix_socket_directories='{home}' -c fsync=off -c max_connections=20"
        run(folder / "pg_ctl", "-D", data, "-l", data / "log", "-o", listening, "-w", "start")
        yield Endpoint(side="own", host=home, port=5432, name="postgres", user="postgres")
        run(folder / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")


def create_database(own_server: Endpoint, name: str) -> Endpoint:
    address: dict[str, Any] = {
        "host": own_server.host,
        "port": own_server.port,
        "user": own_server.user,
        "autocommit": True,
    }
    with psycopg.connect(dbname="postgres", **address) as server:
        if not server.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchall():
            server.execute(f"CREATE DATABASE {name} TEMPLATE template0")  # type: ignore[call-overload]
    with psycopg.connect(dbname=name, **address) as one:
        one.execute(EMPTY.format(idle=[]))  # type: ignore[call-overload]
    return Endpoint(side=name, host=own_server.host, port=own_server.port, name=name, user=own_server.user)
