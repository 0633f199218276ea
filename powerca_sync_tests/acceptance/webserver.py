"""A webserver of Dagster without code locations, and its requests."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from powerca_sync_tests.acceptance.compose import PATIENCE, PROJECT, free_port

MUTATION = "mutation { reloadWorkspace { __typename } }"


QUERY = "{ version }"


JSON = {"Content-Type": "application/json"}


class Webserver:
    """A webserver without code locations, on a port of this machine."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(
        self, method: str, path: str, body: object = None, *, host: str = "", **headers: str
    ) -> tuple[int, str, dict[str, str]]:
        """Sends a request; underscores in header names stand for dashes. Returns status, body and headers."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.putrequest(method, path, skip_host=True)
        text = b"" if body is None else (body if isinstance(body, str) else json.dumps(body)).encode()
        connection.putheader("Host", host or f"localhost:{self.port}")
        connection.putheader("Content-Length", str(len(text)))
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders(text)
        with contextlib.closing(connection), connection.getresponse() as response:
            answer = response.read().decode(), {name.lower(): value for name, value in response.getheaders()}
            return (response.status, *answer)

    def mutate(self, **headers: str) -> int:
        """Sends a mutation as the UI does, unless the headers differ; returns the status."""
        status, text, _ = self.ask(
            "POST", "/graphql", {"query": MUTATION}, **({"Content_Type": JSON["Content-Type"]} | headers)
        )
        assert ("reloadWorkspace" in text) == (status == 200)
        return status

    def open_socket(self, origin: str | None, **headers: str) -> int:
        """Opens a WebSocket and sends a mutation through it; returns the status of the handshake."""
        try:
            with connect(
                f"ws://localhost:{self.port}/graphql",
                origin=origin,  # type: ignore[arg-type]
                subprotocols=["graphql-ws"],
                additional_headers=headers,
                proxy=None,
            ) as socket:
                socket.send(json.dumps({"type": "connection_init"}))
                assert json.loads(socket.recv(30))["type"] == "connection_ack"
                return 101
        except InvalidStatus as exc:
            return exc.response.status_code

    @property
    def origin(self) -> str:
        """Returns the origin of the UI's own pages."""
        return f"http://localhost:{self.port}"


def start_webserver(folder: Path, **environ: str) -> Iterator[Webserver]:
    """Starts a webserver process, which ends with the test."""
    server = Webserver(free_port())
    arguments = ["-h", "127.0.0.1", "-p", str(server.port), "--empty-workspace"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("POWERCA_", "DAGSTER_"))}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "powerca_sync.web", *arguments],
            cwd=folder,
            env=kept | {"DAGSTER_HOME": str(folder), "PYTHONPATH": str(PROJECT)} | environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    give_up = time.monotonic() + PATIENCE
    try:
        while True:
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < give_up
            try:
                assert server.ask("GET", "/server_info")[0] == 200
                break
            except OSError:
                time.sleep(0.3)
        yield server
    finally:
        process.terminate()
        process.wait(timeout=60)
