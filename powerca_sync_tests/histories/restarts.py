"""Programs around a run that can be killed and restarted: PgBouncer, and Dagster's code server."""

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from powerca_sync.engine.requests import Mode
from powerca_sync.settings import Endpoint
from powerca_sync_tests.acceptance.compose import free_port
from powerca_sync_tests.acceptance.pooler import PATH
from powerca_sync_tests.histories.machine import Machine
from powerca_sync_tests.histories.tables import Variant

#: Seconds until a program must respond.
PATIENCE = 60
#: The environment variable that tells the code server its office.
OFFICE = "POWERCA_HISTORY_OFFICE"


def pgbouncer() -> str | None:
    """Returns the program, if installed."""
    return shutil.which("pgbouncer", path=PATH)


class Pooler:
    """PgBouncer in transaction mode in front of a server."""

    def __init__(self, machine: Machine, endpoint: Endpoint, folder: Path) -> None:
        self._machine = machine
        self._port = free_port()
        folder.mkdir(exist_ok=True)
        self._configuration = folder / "pgbouncer.ini"
        self._configuration.write_text(
            f"""[databases]
* = host={endpoint.host} port={endpoint.port} user={endpoint.user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self._port}
unix_socket_dir =
pool_mode = transaction
default_pool_size = 3
auth_type = any
logfile = {folder}/log
""",
            encoding="utf-8",
        )
        for path in (folder, self._configuration):
            machine.own(path)
        self.through = dataclasses.replace(endpoint, host="127.0.0.1", port=self._port, sslmode="disable")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end(signal.SIGKILL)

    def start(self) -> None:
        """Starts it and waits until it responds."""
        # PgBouncer refuses to run as root, so it runs as the user of the server, whose socket it may use.
        as_user = ["-u", self._machine.folder.owner()] if os.getuid() == 0 else []
        self._process = subprocess.Popen(
            [str(pgbouncer()), *as_user, str(self._configuration)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _wait_for(self._port, self._process)

    def end(self, by: signal.Signals, *, within: float = 1) -> None:
        """Ends it with that signal; kills it if that takes too long."""
        assert self._process is not None
        self._process.send_signal(by)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(within)
        self._process.kill()
        self._process.wait()


class CodeServer:
    """Dagster's code server with the office's definitions; its runs are separate processes, as in production."""

    def __init__(
        self,
        folder: Path,
        desktop: Endpoint,
        mobile: Endpoint,
        *,
        names: Sequence[str],
        variant: Variant,
        stamped: bool,
    ) -> None:
        """`names` are those of the office's tables."""
        self._port = free_port()
        self._folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "dagster.yaml").write_text(_DAGSTER, encoding="ascii")
        (folder / "workspace.yaml").write_text(_WORKSPACE.format(port=self._port), encoding="ascii")
        self._environment = {
            **os.environ,
            "DAGSTER_HOME": str(folder),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            OFFICE: json.dumps({"names": names, "variant": dataclasses.asdict(variant), "stamped": stamped}),
        }
        for prefix, end in (("LOCAL", desktop), ("SUPABASE", mobile)):
            values = {"HOST": end.host, "PORT": str(end.port), "NAME": end.name, "USER": end.user, "PASSWORD": "any"}
            self._environment |= {f"{prefix}_DB_{name}": value for name, value in values.items()}

    @contextlib.contextmanager
    def running(self, direction: str, mode: Mode) -> Iterator[None]:
        """Launches a run in a new code server; at the end kills both and all their processes."""
        server = self._start("api", "grpc", "-h", "127.0.0.1", "-p", str(self._port), "-m", _DEFINITIONS)
        launcher = None
        try:
            _wait_for(self._port, server)
            job = "reverse" if direction == "reverse" else f"forward_{mode.value}"
            launcher = self._start("job", "launch", "-w", str(self._folder / "workspace.yaml"), "-j", job)
            yield
        finally:
            for process in (server, launcher):
                if process is not None:
                    _kill_all(process)

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "dagster", *arguments],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def was_interrupted(self) -> bool:
        """Returns whether Dagster records the run as still in progress."""
        # The import takes seconds, and few campaigns need it.
        import dagster as dg

        with dg.DagsterInstance.from_config(str(self._folder)) as instance:
            return [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.STARTED]

    def log(self) -> str:
        """Returns the end of the output of both."""
        return (self._folder / "log").read_text(encoding="utf-8", errors="replace")[-2000:]


_DEFINITIONS = "powerca_sync_tests.histories.code_location"
_DAGSTER = """
run_coordinator: {module: dagster._core.run_coordinator, class: DefaultRunCoordinator}
run_launcher: {module: powerca_sync.defs.platform, class: WatchedRunLauncher, config: {patience_seconds: 120}}
telemetry: {enabled: false}
nux: {enabled: false}
"""
_WORKSPACE = """
load_from:
  - grpc_server: {{host: 127.0.0.1, port: {port}, location_name: office}}
"""


def _kill_all(process: subprocess.Popen[bytes]) -> None:
    """Kills a process and all of its children at once, as the end of a container does."""
    with contextlib.suppress(psutil.NoSuchProcess):
        main = psutil.Process(process.pid)
        for one in (*main.children(recursive=True), main):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
    process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    give_up = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        assert process.poll() is None, f"it ended with status {process.returncode}"
        assert time.monotonic() < give_up, "it does not answer"
        time.sleep(0.02)
