"""One process creates Dagster's history; concurrent processes are blocked until it exists."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from powerca_sync.defs.runs.in_process import open_instance
from powerca_sync.errors import ConfigurationError

#: Opens the instance as a command does when standard input closes, and reads its history.
OPEN = """
import sys
from pathlib import Path
from powerca_sync.defs.runs.in_process import open_instance
print("ready", flush=True)
sys.stdin.read()
with open_instance(Path(".powerca/dagster")) as instance:
    print(len(instance.get_runs()))
"""
PROJECT = Path(__file__).parents[3] / "dagster.yaml"
COMMANDS = 4


@pytest.mark.parametrize("configuration", [None, PROJECT], ids=["without dagster.yaml", "with the project's"])
def test_concurrent_first_uses_of_dagster_all_work(tmp_path: Path, configuration: Path | None) -> None:
    if configuration:
        (tmp_path / "dagster.yaml").write_bytes(configuration.read_bytes())
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("DAGSTER", "POWERCA"))}
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN], cwd=tmp_path, env=environ, stdin=pipe, stdout=pipe, stderr=pipe, text=True
        )
        for _ in range(COMMANDS)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    for process in processes:
        output, errors = process.communicate(timeout=120)
        assert (process.returncode, output) == (0, "0\n"), errors
        assert "Traceback" not in errors


def test_home_that_does_not_exist_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "nowhere"))
    with (
        pytest.raises(
            ConfigurationError, match=r"history in `.*nowhere` cannot be used: .* Check that the folder exists"
        ),
        open_instance(tmp_path),
    ):
        pass
