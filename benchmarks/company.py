"""Many offices for `benchmarks.offices`: their desktops, one mobile database, and the programs of an instance.

Small desktops are databases of one server. Three offices have a server of their own: `large`, `slow` behind a simulated
line, and `dead`, which accepts connections and never answers.
"""

import contextlib
import dataclasses
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import yaml
from psycopg import sql

from benchmarks.link import simulate_link
from powerca_sync.demo import Server, create_mobile, start_server
from powerca_sync.engine.forward import sync_forward
from powerca_sync.engine.postgres import Connection, connect
from powerca_sync.engine.requests import TableExtract, TablePull
from powerca_sync.engine.reverse import sync_reverse
from powerca_sync.settings import Endpoint
from powerca_sync.specs import in_order
from powerca_sync.tables import TABLES
from powerca_sync_tests.acceptance.real_tables import create_office

PROJECT = Path(__file__).parents[1]
SETTINGS = {"max_connections": "600", "shared_buffers": "64MB", "max_locks_per_transaction": "256"}
LARGE, SLOW, DEAD = "large", "slow", "dead"
#: Numbers of organisations: those of the small offices begin behind those of the three others.
FIRST = 10
#: Rows of the large office in its largest table.
LARGE_ROWS = 200_000
DIARY = """
INSERT INTO workdiary (org_id, con_id, loc_id, staff_id, job_id, task_id, date, timefrom, timeto, minutes, tasknotes)
SELECT {number}, {number}, {number}, {number} * 1000 + 1 + i % 8, {number} * 1000 + 1 + i % 20,
    {number} * 1000 + 1 + i % 6, date '2020-01-01' + i % 2000,
    timestamp '2020-01-01 09:30', timestamp '2020-01-01 11:00', 90, 'Line ' || i
FROM generate_series(1, {rows}) AS i
"""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class OfficeSite:
    """An office: its organisation and its desktop, as the benchmark reaches it."""

    key: str
    number: int
    desktop: Endpoint


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Company:
    """All offices, and the folder with the files of their instance."""

    folder: Path
    file: Path
    mobile: Endpoint
    #: Those that answer, by key.
    sites: Mapping[str, OfficeSite]
    #: The server of the small desktops.
    desktops: Server
    #: All servers: the small desktops', the others', and mobile's, which has Dagster's records too.
    servers: tuple[Server, ...]

    def entries(self) -> str:
        """Returns the content of the file of offices."""
        return self.file.read_text(encoding="utf-8")

    def add_desktop(self, name: str, *, number: int) -> Endpoint:
        """Creates the desktop of another small office, which is not in the file yet."""
        return _found_desktop(self.desktops, name, number=number)


@contextlib.contextmanager
def found_company(small: int) -> Iterator[Company]:
    """Yields a company with so many small offices and the three others; sets the environment of its instance."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pca-", ignore_cleanup_errors=True)))
        desktops, own, mobiles = (
            _server(stack, folder / name, version) for name, version in (("small", 16), ("own", 16), ("mobile", 18))
        )
        mobile = _create(mobiles, "mobile", "app")
        storage = _create(mobiles, "mobile", "dagster")
        with connect(mobile) as connection:
            create_mobile(connection)
            _create_indexes(connection)
        sites = _sites(desktops, own, small)
        slow = stack.enter_context(simulate_link(sites[SLOW].desktop, seconds=0.06, bits=5e6)).endpoint
        deaf = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1000))
        where = {key: site.desktop for key, site in sites.items()} | {SLOW: slow}
        where[DEAD] = dataclasses.replace(slow, port=deaf.getsockname()[1])
        file = folder / "offices.toml"
        (folder / "password").write_text("nobody asks for it", encoding="utf-8")
        file.write_text(describe(where, mobile), encoding="utf-8")
        _configure(folder, file, storage)
        stack.enter_context(contextlib.chdir(folder))
        servers = (desktops, own, mobiles)
        yield Company(folder=folder, file=file, mobile=mobile, sites=sites, desktops=desktops, servers=servers)


def describe(desktops: Mapping[str, Endpoint], mobile: Endpoint) -> str:
    """Returns a file of offices."""
    lines = ['[defaults]\nuser = "postgres"\n', "[mobile.main]\n", _address(mobile)]
    for key, desktop in desktops.items():
        lines += [f"[office.{key}]\n", _address(desktop)]
    return "".join(lines)


def _address(endpoint: Endpoint) -> str:
    host = f'host = "{endpoint.host}"\nport = {endpoint.port}\nname = "{endpoint.name}"\n'
    return f'{host}user = "postgres"\npassword_file = "password"\n'


def _server(stack: contextlib.ExitStack, folder: Path, version: int) -> Server:
    server = start_server(folder, version=version, durable=False, settings=SETTINGS)
    stack.callback(server.stop)
    return server


def _create(server: Server, side: str, name: str) -> Endpoint:
    with connect(server.endpoint(side, "postgres")) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return server.endpoint(side, name)


def _create_indexes(mobile: Connection) -> None:
    """Creates the indexes that `doctor` recommends."""
    for spec in TABLES:
        if spec.office == "org_id":
            index = sql.SQL("CREATE INDEX ON {} (org_id)").format(sql.Identifier(spec.mobile))
            mobile.execute(index)
            mobile.execute(index + sql.SQL(" WHERE source = 'M'"))


def _sites(desktops: Server, own: Server, small: int) -> dict[str, OfficeSite]:
    numbers = {LARGE: 1, SLOW: 2} | {f"o{number:03}": number for number in range(FIRST, FIRST + small)}
    sites = {}
    for key, number in numbers.items():
        rows = LARGE_ROWS if key == LARGE else 0
        desktop = _found_desktop(own if key in (LARGE, SLOW) else desktops, key, number=number, rows=rows)
        sites[key] = OfficeSite(key=key, number=number, desktop=desktop)
    return sites


def _found_desktop(server: Server, name: str, *, number: int, rows: int = 0) -> Endpoint:
    desktop = _create(server, "desktop", name)
    with connect(desktop) as connection:
        create_office(connection, office=number)
        connection.execute(DIARY.format(number=number, rows=rows))
        connection.execute("ANALYZE")
    return desktop


def load(desktop: Endpoint, mobile: Endpoint) -> None:
    """Syncs an office once, both ways, by the engine alone."""
    with connect(desktop) as at_desktop, connect(mobile) as at_mobile:
        for spec in in_order(TABLES):
            sync_forward(TableExtract(spec=spec), source=at_desktop, target=at_mobile, specs=TABLES)
        for spec in TABLES:
            if spec.reverse:
                sync_reverse(TablePull(spec=spec), source=at_mobile, target=at_desktop, specs=TABLES)


def _configure(folder: Path, file: Path, storage: Endpoint) -> None:
    """Writes `dagster.yaml` as it is, but for the number of runs, and sets the environment."""
    home = folder / "home"
    home.mkdir()
    settings = yaml.safe_load((PROJECT / "dagster.yaml").read_text(encoding="utf-8"))
    settings["concurrency"]["runs"]["max_concurrent_runs"] = 2 * (os.cpu_count() or 2)
    (home / "dagster.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    for name in [name for name in os.environ if name.startswith(("LOCAL_DB_", "SUPABASE_DB_", "POWERCA_", "DAGSTER_"))]:
        del os.environ[name]
    os.environ |= {
        "DAGSTER_HOME": str(home),
        "DAGSTER_POSTGRES_HOST": storage.host,
        "DAGSTER_POSTGRES_PORT": str(storage.port),
        "DAGSTER_POSTGRES_USER": "postgres",
        "DAGSTER_CODE_HOST": "127.0.0.1",
        "POWERCA_OFFICES": str(file),
        "PYTHONPATH": os.pathsep.join([str(PROJECT), *filter(None, sys.path)]),
    }


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """A program of the instance, which leads a session of its own."""

    pid: int

    def processor_seconds(self) -> float:
        """Returns the processor time of the session's processes and of their children that have ended."""
        ticks = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = stat.read_text().rpartition(")")[2].split()
                if int(fields[3]) == self.pid:
                    ticks += sum(map(int, fields[11:15]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def megabytes(self) -> float:
        """Returns the memory of its first process, without what it shares with others."""
        return float(psutil.Process(self.pid).memory_full_info().uss) / 1e6


def server_seconds(server: Server) -> float:
    """Returns the processor time of a PostgreSQL server: its processes, and those that have ended."""
    pid = int((server.folder / "postmaster.pid").read_text(encoding="utf-8").split()[0])
    postmaster = psutil.Process(pid)
    times = [postmaster.cpu_times()]
    for process in postmaster.children():
        with contextlib.suppress(psutil.NoSuchProcess):
            times.append(process.cpu_times())
    own = sum(one.user + one.system for one in times)
    return float(own + times[0].children_user + times[0].children_system)


@contextlib.contextmanager
def run_code_server(company: Company) -> Iterator[Program]:
    """Yields a code server, and writes the `workspace.yaml` by which the other programs find it."""
    port = free_port()
    workspace = (PROJECT / "workspace.yaml").read_text(encoding="utf-8").replace("port: 4000", f"port: {port}")
    (company.folder / "workspace.yaml").write_text(workspace, encoding="utf-8")
    arguments = ["dagster", "api", "grpc", "-h", "127.0.0.1", "-p", str(port), "-m", "powerca_sync.definitions"]
    with run_program(company, "code", *arguments) as program:
        await_port(port)
        yield program


@contextlib.contextmanager
def run_program(company: Company, name: str, *command: str) -> Iterator[Program]:
    """Yields a program of the virtual environment; its output goes to a file of that name."""
    programs = Path(sys.executable).parent
    with (company.folder / f"{name}.log").open("w") as log:
        process = subprocess.Popen(
            [str(programs / command[0]), *command[1:]],
            cwd=company.folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Program(pid=process.pid)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
        if kept := os.environ.get("OFFICES_LOGS"):
            shutil.copy(company.folder / f"{name}.log", kept)


def free_port() -> int:
    """Returns a free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def await_port(port: int, *, seconds: float = 120) -> None:
    """Waits until a program listens. Raises `TimeoutError` after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.2)
    raise TimeoutError(f"nothing listens at port {port}")


def one_value(connection: Connection, query: str, *values: object) -> object:
    """Returns the only value of a query."""
    row = connection.execute(query, values).fetchone()
    assert row is not None
    return row[0]
