"""Serves Dagster's UI for `powerca-sync ui`: the webserver behind the guard, the code server and the daemon."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator

from powerca_sync.defs.runs.in_process import open_instance
from powerca_sync.env_file import ENV_FILE, read_variables
from powerca_sync.environment import FOLDER, is_demo
from powerca_sync.errors import ConfigurationError
from powerca_sync.operations import UI_URL
from powerca_sync.web import dev

#: The address at which the webserver listens; other machines need a proxy.
HOST = "127.0.0.1"


def prepare(port: int) -> None:
    """Check that the port is free, and create Dagster's history if it is missing.

    Raises `ConfigurationError` if another program listens at the port, or if the history cannot be used.
    """
    _check_port(port)
    with open_instance(FOLDER / "dagster"):
        pass


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        if sys.platform != "win32":
            # As servers do, so that recently closed connections do not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as exc:
            raise ConfigurationError(
                f"Port {port} of this machine cannot be used: {exc.strerror}. Is the UI open already? If not, choose "
                f"another port: `powerca-sync ui --port {port + 1 if port < 65535 else 3000}`."
            ) from exc


def serve(port: int) -> None:
    """Serve the UI until the process is stopped; then raises `SystemExit`."""
    if not read_variables(None, ENV_FILE).get(UI_URL):
        os.environ[UI_URL] = f"http://localhost:{port}"
    # Dagster treats SIGTERM as it finds SIGINT, which a shell has its background processes ignore.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # `dagster dev` recommends `dg dev`, which knows no guard.
    warnings.filterwarnings("ignore", message="Function `dev_command`")
    with _demo_servers() if is_demo() else contextlib.nullcontext():
        dev.run(["-h", HOST, "-p", str(port)])


@contextlib.contextmanager
def _demo_servers() -> Iterator[None]:
    """Keeps the demo's servers running, in a process that Ctrl-C does not reach before Dagster's have ended."""
    apart = {"creationflags": 0x200} if sys.platform == "win32" else {"start_new_session": True}
    keeper = subprocess.Popen([sys.executable, "-m", "powerca_sync.demo"], **apart)
    try:
        yield
    finally:
        keeper.terminate()
        keeper.wait()
