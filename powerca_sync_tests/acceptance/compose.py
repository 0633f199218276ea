"""`docker-compose.yml` without Docker: its services as processes on this machine, with their own commands and checks.

Only the parts that need a container network are replaced: host names, fixed ports, and the listen address.
"""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import yaml

PROJECT = Path(__file__).parents[2]
FILE = PROJECT / "docker-compose.yml"
#: Seconds for a service to become healthy; Dagster's programs take some seconds to import, and CI machines are shared.
PATIENCE = 240


def services() -> dict[str, dict[str, Any]]:
    """Returns the services by name, with anchors and merges resolved."""
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))["services"]


def free_port() -> int:
    """Returns a free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def interpolated(text: str, environ: Mapping[str, str]) -> str:
    """Returns the text with `${NAME}` and `${NAME:-default}` replaced, as Compose does."""
    return re.sub(r"\$\{(\w+)(?::-([^}]*))?\}", lambda found: environ.get(found[1]) or found[2] or "", text)


class Processes:
    """The started services, each with all of its processes."""

    def __init__(
        self, folder: Path, *, environ: Mapping[str, str], hosts: Mapping[str, str], ports: Mapping[str, int]
    ) -> None:
        """`environ` is the content of `.env`; `hosts` and `ports` map those of the file to those of this machine."""
        self.folder = folder
        self.services = services()
        self._environ = environ
        self._hosts = hosts
        self._ports = ports
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def environment(self, service: str) -> dict[str, str]:
        """Returns the environment of the service's processes; of this process's own only PATH and the like."""
        given = {
            name: self._environ.get(name) if value is None else interpolated(str(value), self._environ)
            for name, value in self.services[service].get("environment", {}).items()
        }
        return {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": os.pathsep.join([str(PROJECT), *filter(None, sys.path)]),
            "PYTHONUNBUFFERED": "1",
            "DAGSTER_HOME": str(self.folder / "home"),
        } | {name: self._hosts.get(value, value) for name, value in given.items() if value is not None}

    def start(self, service: str, *, folder: Path | None = None) -> None:
        """Starts the service's command; its output goes to a file of its name."""
        with (self.folder / f"{service}.log").open("ab") as log:
            self._running[service] = subprocess.Popen(
                self._here(self.services[service]["command"]),
                cwd=folder or self.folder,
                env=self.environment(service),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def wait_until_healthy(self, *names: str) -> None:
        """Runs the services' health checks until all pass."""
        give_up = time.monotonic() + PATIENCE
        waiting = list(names)
        while waiting := [name for name in waiting if not self.is_healthy(name)]:
            for name in waiting:
                assert self._running[name].poll() is None, f"{name} ended: {self.log(name)}"
            assert time.monotonic() < give_up, f"not healthy: {[(name, self.log(name)) for name in waiting]}"
            time.sleep(0.3)

    def is_healthy(self, service: str) -> bool:
        """Returns whether the service's health check passes within its timeout."""
        check = self.services[service]["healthcheck"]
        kind, *command = check["test"]
        assert kind == "CMD"
        try:
            done = subprocess.run(
                self._here(command),
                cwd=self.folder,
                env=self.environment(service) | self.environment_of_checks,
                capture_output=True,
                timeout=float(str(check["timeout"]).removesuffix("s")),
                check=False,
            )
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    #: For `pg_isready`, which in its container finds the server at the default address.
    environment_of_checks: Mapping[str, str] = {}

    def command_lines(self) -> list[str]:
        """Returns the command lines of all processes of the services."""
        main = [psutil.Process(process.pid) for process in self._running.values()]
        return [" ".join(one.cmdline()) for one in (*main, *(child for one in main for child in one.children(True)))]

    def kill(self, service: str) -> None:
        """Kills the service and all of its processes at once, as the end of a container does."""
        process = self._running.pop(service)
        try:
            doomed = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
        except psutil.NoSuchProcess:
            doomed = []
        for one in doomed:
            try:
                one.kill()
            except psutil.NoSuchProcess:
                continue
        process.wait(timeout=30)

    def end_all(self) -> None:
        """Kills all remaining processes."""
        for service in list(self._running):
            self.kill(service)

    def log(self, service: str) -> str:
        """Returns the last lines that the service has printed."""
        return (self.folder / f"{service}.log").read_text(encoding="utf-8", errors="replace")[-2000:]

    def _here(self, command: Sequence[str]) -> list[str]:
        return [self._local(argument) for argument in command]

    def _local(self, argument: str) -> str:
        argument = argument.replace("0.0.0.0", "127.0.0.1")
        for port, here in self._ports.items():
            argument = re.sub(rf"(?<![\d.]){port}(?!\d)", str(here), argument)
        return argument
