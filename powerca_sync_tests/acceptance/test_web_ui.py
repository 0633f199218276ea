"""`powerca-sync ui`: webserver behind the guard, code server and daemon, on a port of this machine."""

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from powerca_sync.defs.runs.in_process import CODE_LOCATION
from powerca_sync_tests.acceptance.compose import PATIENCE, free_port
from powerca_sync_tests.acceptance.shell import empty, run
from powerca_sync_tests.acceptance.webserver import Webserver

#: Both databases are configured and neither exists.
NOWHERE = {
    "LOCAL_DB_HOST": "127.0.0.1",
    "LOCAL_DB_PORT": "1",
    "LOCAL_DB_PASSWORD": "x",
    "SUPABASE_DB_HOST": "127.0.0.1",
    "SUPABASE_DB_PORT": "1",
    "SUPABASE_DB_PASSWORD": "x",
}


def test_ui_without_configuration_exits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    empty(monkeypatch, tmp_path)
    result = run("ui")
    assert result.exit_code == 2
    assert "Not configured: LOCAL_DB_PASSWORD" in result.output


def test_ui_serves_pages_behind_the_guard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    empty(monkeypatch, tmp_path)
    for name, value in NOWHERE.items():
        monkeypatch.setenv(name, value)
    server = Webserver(free_port())
    arguments = [sys.executable, "-m", "powerca_sync.cli", "ui", "--port", str(server.port)]
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        give_up = time.monotonic() + PATIENCE
        while not is_answering(server):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < give_up, log.read_text()
            time.sleep(0.5)
        status, page, headers = server.ask("GET", "/", Accept="text/html")
        assert (status, headers["x-frame-options"]) == (200, "SAMEORIGIN")
        assert "<html" in page
        assert server.ask("GET", "/", host="evil.example")[0] == 400
        workspace = {
            "query": "{ repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } } } } }"
        }
        status, found, _ = server.ask("POST", "/graphql", workspace, Content_Type="application/json")
        assert status == 200
        (repository,) = json.loads(found)["data"]["repositoriesOrError"]["nodes"]
        assert repository == {"name": "__repository__", "location": {"name": CODE_LOCATION}}

        programs = [" ".join(child.cmdline()) for child in psutil.Process(process.pid).children(recursive=True)]
        assert {"powerca_sync.web", "dagster._daemon"} <= {word for line in programs for word in line.split()}

        second = run("ui", "--port", str(server.port))
        assert second.exit_code == 2
        assert f"Port {server.port} of this machine cannot be used" in second.output
    finally:
        left_behind = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        process.wait(timeout=120)
    assert f"http://localhost:{server.port}" in log.read_text()
    _, left = psutil.wait_procs(left_behind, timeout=60)
    assert left == []


def is_answering(server: Webserver) -> bool:
    """Returns whether the webserver accepts requests."""
    try:
        return server.ask("GET", "/server_info")[0] == 200
    except OSError:
        return False
