"""Embedded servers for the session, and an empty pair of databases for each test that requests one."""

import contextlib
import gc
import itertools
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import psutil
import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from hypothesis import HealthCheck, settings
from psycopg import sql
from sqlalchemy import Engine, NullPool, create_engine

from powerca_sync.demo import Server, start_server
from powerca_sync.settings import Endpoint
from powerca_sync_tests.connections import Connections
from powerca_sync_tests.helpers import Pair

#: Golden texts that a reviewer should see change, kept beside the tests.
GOLDEN = Path(__file__).parent / "golden"

_numbers = itertools.count(1)

#: PostgreSQL versions of an office's desktop and of Supabase.
SOURCE_VERSION, TARGET_VERSION = 16, 18

# Examples share their databases and run at the speed of servers, so that Hypothesis's health checks do not apply.
_with_servers = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]}
settings.register_profile("default", max_examples=60, derandomize=True, database=None, **_with_servers)
settings.register_profile("long", max_examples=3000, print_blob=True, **_with_servers)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

#: Linux's memory file system, and how much of it must be free.
MEMORY, GIGABYTES = Path("/dev/shm"), 6
if MEMORY.is_dir() and "TMPDIR" not in os.environ:
    # Creating and dropping tables on disk is a third of the servers' work, and SQLite syncs on each commit.
    available = min(psutil.virtual_memory().available, shutil.disk_usage(MEMORY).free)
    if available > GIGABYTES * 1024**3:
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)

# Nothing that is imported is ever given back.
gc.disable()


def pytest_xdist_auto_num_workers() -> int:
    """Returns two workers more than processors, because many tests wait for servers and processes; of the processors,
    those that a container may use.
    """
    processors = float(os.cpu_count() or 1)
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        processors = min(processors, float(quota) / float(period))
    return max(2, round(processors) + 2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Starts with the files marked as long, then those of many tests, so that all workers are busy to the end."""
    tests = Counter(item.path for item in items)
    items.sort(key=lambda item: (item.get_closest_marker("long") is None, -tests[item.path]))


def pytest_collection_finish() -> None:
    """Excludes all modules from garbage collection: Dagster alone has a million objects."""
    gc.freeze()
    gc.enable()


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compares a text with the golden file of that name, or writes the file if `REWRITE_GOLDEN=1` is set."""

    def check(name: str, text: str) -> None:
        file = GOLDEN / name
        if os.environ.get("REWRITE_GOLDEN"):
            file.write_text(text, encoding="utf-8")
        kept = file.read_text(encoding="utf-8") if file.exists() else ""
        assert text == kept, (
            f"`{name}` changed. If that is meant, run the tests with REWRITE_GOLDEN=1 and review the diff."
        )

    return check


@pytest.fixture(scope="session", autouse=True)
def _read_revisions_once() -> Iterator[None]:
    """Keeps what Alembic reads of Dagster's storage: half the time that making an instance takes."""
    read: dict[str | None, ScriptDirectory] = {}

    def kept(config: Config) -> ScriptDirectory:
        location = config.get_main_option("script_location")
        if location not in read:
            read[location] = from_config(config)
        return read[location]

    from_config = ScriptDirectory.from_config
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "from_config", kept)
        yield


@pytest.fixture(scope="session", autouse=True)
def _make_engines_once() -> Iterator[None]:
    """Keeps the SQLAlchemy engines of Dagster's SQLite files, which Dagster makes for each connection.

    A new engine compiles every statement anew. Without a pool, it has no other state.
    """

    @lru_cache(maxsize=100)
    def kept(url: str, arguments: tuple[tuple[str, object], ...]) -> Engine:
        return create_engine(url, poolclass=NullPool, connect_args=dict(arguments))

    def make(url: str, *, connect_args: Mapping[str, object] | None = None, **options: object) -> Engine:
        if options == {"poolclass": NullPool}:
            return kept(url, tuple((connect_args or {}).items()))
        return create_engine(url, connect_args=connect_args or {}, **options)

    with pytest.MonkeyPatch.context() as patch:
        for name, module in list(sys.modules.items()):
            if name.startswith("dagster._core.storage.") and hasattr(module, "create_engine"):
                patch.setattr(module, "create_engine", make)
        yield


@contextlib.contextmanager
def _kept_memory() -> Iterator[None]:
    """Has the C library of processes that are started inside keep the memory that they free.

    PostgreSQL frees the memory of each statement: to take it back from the system is a tenth of its work.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MALLOC_TOP_PAD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"):
            patch.setenv(name, str(16 * 1024**2))
        yield


@pytest.fixture(scope="session")
def servers() -> Iterator[tuple[Server, Server]]:
    """Starts a source and a target server for the session."""
    # Not pytest's own folder, which other sessions on the machine prune while the servers run in it.
    with tempfile.TemporaryDirectory(prefix="powerca-tests-", ignore_cleanup_errors=True) as folder:
        with _kept_memory():
            source = start_server(Path(folder) / "source", version=SOURCE_VERSION, durable=False)
            target = start_server(Path(folder) / "target", version=TARGET_VERSION, durable=False)
        yield source, target
        source.stop()
        target.stop()


@pytest.fixture(scope="session")
def _kept_databases(servers: tuple[Server, Server]) -> Iterator[tuple[tuple[Endpoint, Endpoint], Connections]]:
    """Creates two databases for all tests of the session; creating and dropping them takes ten times as long as
    emptying.
    """
    with _new_databases(servers) as endpoints:
        connections = Connections(*endpoints)
        yield endpoints, connections
        connections.close()


@pytest.fixture
def databases(_kept_databases: tuple[tuple[Endpoint, Endpoint], Connections]) -> Iterator[tuple[Endpoint, Endpoint]]:
    """Yields two empty databases, and empties them after the test."""
    endpoints, connections = _kept_databases
    yield endpoints
    for endpoint in endpoints:
        with connections.use(endpoint) as connection:
            connections.empty(connection)


@pytest.fixture
def pair(
    databases: tuple[Endpoint, Endpoint], _kept_databases: tuple[tuple[Endpoint, Endpoint], Connections]
) -> Iterator[Pair]:
    """Yields both databases with an autocommit connection for the test."""
    with Pair(*databases, _kept_databases[1]) as both:
        yield both


@pytest.fixture(scope="module")
def shared_pair(servers: tuple[Server, Server]) -> Iterator[Pair]:
    """Yields two databases for all tests of a module, each of which empties them itself."""
    with _new_databases(servers) as endpoints, Pair(*endpoints) as both:
        yield both


@contextlib.contextmanager
def _new_databases(servers: tuple[Server, Server]) -> Iterator[tuple[Endpoint, Endpoint]]:
    name = f"test_{next(_numbers)}"
    source, target = servers
    endpoints = source.endpoint("desktop", name), target.endpoint("mobile", name)
    for endpoint in endpoints:
        with _connect(endpoint, "postgres") as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    yield endpoints
    for endpoint in endpoints:
        with _connect(endpoint, "postgres") as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _connect(endpoint: Endpoint, name: str) -> psycopg.Connection:
    return psycopg.connect(
        host=endpoint.host,
        port=endpoint.port,
        dbname=name,
        user=endpoint.user,
        autocommit=True,
        options="-c default_transaction_read_only=off",
    )
