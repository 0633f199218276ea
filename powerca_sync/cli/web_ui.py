"""What `powerca-sync ui` starts: Dagster's webserver behind the guard and its daemon, until the process is stopped."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator

from powerca_sync.defs.platform.dev_server import run_dagster_dev
from powerca_sync.env_file import ENV_FILE, read_variables
from powerca_sync.environment import is_demo
from powerca_sync.errors import ConfigurationError
from powerca_sync.operations import UI_URL

#: The address at which the webserver listens; other machines need a proxy.
HOST = "127.0.0.1"


def check_port(port: int) -> None:
    """Raises `ConfigurationError` if another program listens at this port."""
    with socket.socket() as probe:
        if sys.platform != "win32":
            # As servers do, so that connections that have just been closed do not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as exc:
            raise ConfigurationError(
                f"Port {port} of this machine cannot be used: {exc.strerror}. Is the UI open already? If not, choose "
                f"another port: `powerca-sync ui --port {port + 1 if port < 65535 else 3000}`."
            ) from exc


def serve(port: int) -> None:
    """Runs webserver, code server and daemon; returns, by `SystemExit`, once they have ended."""
    if not read_variables(None, ENV_FILE).get(UI_URL):
        os.environ[UI_URL] = f"http://localhost:{port}"
    # Dagster treats SIGTERM as it finds SIGINT, which a shell has its background processes ignore.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # `dagster dev` recommends `dg dev`, which knows no guard.
    warnings.filterwarnings("ignore", message="Function `dev_command`")
    with _demo_servers() if is_demo() else contextlib.nullcontext():
        run_dagster_dev("powerca_sync.web", ["-h", HOST, "-p", str(port), "-m", "powerca_sync.definitions"])


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
