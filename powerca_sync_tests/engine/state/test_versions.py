"""The machine's own PostgreSQL on either side, and what only a full installation has: XML, citext, foreign tables.

The embedded servers are 16 and 18; an office may have 15, and so may Supabase.
"""

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
from powerca_sync_tests.conftest import EMPTY
from powerca_sync_tests.helpers import Pair, assert_quiet, delete_insert, fates, spec

#: Users of the machine; Windows has none of that kind.
pwd = pytest.importorskip("pwd")

JOBS = spec("jobs", "id")
LINES = delete_insert("lines", "job_id")


def programs() -> Path:
    """The folder of the machine's own server programs; the test is skipped where there is none."""
    pg_config = shutil.which("pg_config")
    if pg_config is None:
        pytest.skip("This machine has no PostgreSQL of its own (no `pg_config`).")
    folder = Path(subprocess.run([pg_config, "--bindir"], check=True, capture_output=True, text=True).stdout.strip())
    if not (folder / "initdb").exists():
        pytest.skip("This machine has PostgreSQL's client programs only (no `initdb`).")
    return folder


@pytest.fixture(scope="module")
def own() -> Iterator[Endpoint]:
    """A server of the machine's own version; for root, who may not run it, as the user that it is made for."""
    folder, user = programs(), {}
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


@pytest.fixture(params=["desktop", "mobile", "both"])
def pair_of_versions(request: pytest.FixtureRequest, own: Endpoint, pair: Pair) -> Iterator[Pair]:
    """A pair one or both of whose sides are the machine's own server."""
    source = pair.settings.desktop if request.param == "mobile" else database(own, "source")
    target = pair.settings.mobile if request.param == "desktop" else database(own, "target")
    with Pair(source, target) as both:
        yield both


def database(own: Endpoint, name: str) -> Endpoint:
    address: dict[str, Any] = {"host": own.host, "port": own.port, "user": own.user, "autocommit": True}
    with psycopg.connect(dbname="postgres", **address) as server:
        if not server.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchall():
            server.execute(f"CREATE DATABASE {name} TEMPLATE template0")  # type: ignore[call-overload]
    with psycopg.connect(dbname=name, **address) as one:
        one.execute(EMPTY)
    return Endpoint(side=name, host=own.host, port=own.port, name=name, user=own.user)


def test_both_strategies_work_whatever_the_version(pair_of_versions: Pair) -> None:
    pair = pair_of_versions
    pair.source.execute("CREATE TABLE jobs (id numeric, name text, price numeric, at timestamp, updated_at timestamp)")
    pair.target.execute(
        "CREATE TABLE jobs (id int PRIMARY KEY, name varchar(9) CHECK (name <> ''), price numeric(8,2), at timestamptz,"
        " source char(1), created_at timestamptz, updated_at timestamptz)"
    )
    pair.source.execute("CREATE TABLE lines (job_id int, line text)")
    pair.target.execute("CREATE TABLE lines (id serial PRIMARY KEY, job_id int, line text, source char(1))")
    pair.source.execute(
        "INSERT INTO jobs SELECT g, 'job ' || g, g / 8.0, '2025-11-30' FROM generate_series(1, 99) AS g"
    )
    pair.source.execute("UPDATE jobs SET name = 'far too long' WHERE id = 7; UPDATE jobs SET name = '' WHERE id = 8")
    pair.source.execute("INSERT INTO lines SELECT g % 20, 'line' FROM generate_series(1, 100) AS g")
    jobs = spec("jobs", "id", limit_share=1.0)
    # Every other price has three decimals where the target holds two.
    assert fates(pair.sync(jobs)) == {"inserted": 48, "quarantined": 51}
    assert fates(pair.sync(LINES)) == {"inserted": 100}
    pair.source.execute("UPDATE jobs SET name = 'new' WHERE id = 16; UPDATE jobs SET price = 1 WHERE id = 9")
    pair.source.execute("UPDATE lines SET line = 'changed' WHERE job_id = 3; DELETE FROM lines WHERE job_id = 4")
    assert fates(pair.sync(jobs, mode="incremental")) == {"inserted": 1, "updated": 1, "quarantined": 50}
    assert fates(pair.sync(LINES)) == {"updated": 5, "unchanged": 90, "deleted": 5}
    assert_quiet(pair, jobs, LINES)


def test_types_of_extensions_and_xml_arrive(own: Endpoint) -> None:
    with Pair(database(own, "source"), database(own, "target")) as pair:
        pair.both("CREATE EXTENSION citext; CREATE EXTENSION hstore")
        pair.source.execute("CREATE TABLE jobs (id citext PRIMARY KEY, tags hstore, document xml, note text)")
        pair.target.execute("CREATE TABLE jobs (id citext PRIMARY KEY, tags hstore, document xml, note xml)")
        pair.source.execute("""
            INSERT INTO jobs VALUES ('Ab', 'a=>1, "b c"=>NULL', '<a>x &amp; y</a>', '<b/>'), ('C', '', NULL, '<oops')
        """)
        result = pair.sync(JOBS)
        assert fates(result) == {"inserted": 1, "quarantined": 1}
        assert str(result.samples[0]) == "invalid XML content (column note)"
        assert pair.rows("SELECT id::text, tags::text, document::text, note::text FROM jobs") == [
            ("Ab", '"a"=>"1", "b c"=>NULL', "<a>x &amp; y</a>", "<b/>")
        ]
        pair.source.execute("UPDATE jobs SET note = '<c/>', tags = tags || 'd=>e'")
        assert fates(pair.sync(JOBS)) == {"inserted": 1, "updated": 1}
        pair.source.execute("UPDATE jobs SET id = 'AB' WHERE id = 'ab'")
        assert fates(pair.sync(JOBS)) == {"updated": 1, "unchanged": 1}
        assert pair.rows("SELECT id::text FROM jobs ORDER BY 1") == [("AB",), ("C",)]


def test_a_foreign_table_is_a_source_and_runs_full(own: Endpoint) -> None:
    with Pair(database(own, "source"), database(own, "target")) as pair:
        pair.source.execute("""
            CREATE EXTENSION file_fdw;
            CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
            CREATE FOREIGN TABLE jobs (id int, name text) SERVER files OPTIONS (program 'printf "1\\tone\\n2\\ttwo"');
        """)
        pair.target.execute("CREATE TABLE jobs (id int PRIMARY KEY, name text)")
        assert fates(pair.sync(JOBS)) == {"inserted": 2}
        result = pair.sync(JOBS, mode="incremental")
        assert result.mode_reason.startswith("`jobs` is not a plain table at the source")
        assert fates(result) == {"unchanged": 2}
        pair.source.execute("DROP EXTENSION file_fdw CASCADE")
