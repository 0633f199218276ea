"""The demo runs to its end, repeatedly."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.long


def demo(folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("POWERCA_", "DAGSTER_"))}
    return subprocess.run(
        [sys.executable, "-m", "powerca_sync.cli", "demo"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def readme() -> list[str]:
    """Returns the lines that the README shows as the demo's output."""
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    block = text.partition("<!-- demo -->")[2].partition("<!-- /demo -->")[0].strip().splitlines()
    assert len(block) > 20
    return block[1:-1]


def without_seconds(line: str) -> str:
    """Returns the line without parts that differ from machine to machine."""
    return re.sub(r" +\d+\.\d+( s\.)?$", "", line)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not pytest's own folder, which other sessions make inaccessible to the system user of the servers."""
    with tempfile.TemporaryDirectory(prefix="powerca-demo-") as folder:
        yield Path(folder)


def test_demo_syncs_an_office_of_real_size_and_is_then_a_noop(folder: Path) -> None:
    told = demo(folder)
    assert told.returncode == 0, told.stdout + told.stderr
    assert told.stderr.startswith("Demo: working on the embedded databases")
    lines = told.stdout.splitlines()
    by_table = {line.split()[0]: line.split() for line in lines if line.split()[1:2] == ["full"]}
    read = {table: int(line[2]) for table, line in by_table.items()}
    assert read["climaster"] == 729
    assert read["taskchecklist"] == 2894
    assert read["jobtasks"] == 64_714, "64,711 and the three of the new job"
    assert "It sees new phone rows in learequest (15), workdiary (40); they are pulled." in told.stdout
    pulls = [line.split()[1:-1] for line in lines if re.match(r"(learequest|workdiary) +\d", line)]
    assert pulls == [
        *(["15", "15", "0", "0", "0", "0", "0", "0", "0", "0"], ["40", "38", "0", "0", "0", "0", "2", "0", "0", "0"]),
        *(["15", "0", "15", "0", "0", "0", "0", "0", "0", "0"], ["40", "0", "38", "0", "0", "0", "2", "0", "0", "0"]),
    ]
    assert "[OK] Not one of the 92,975 rows on mobile was written again." in lines
    assert "[OK] Not one of the 93,150 rows on the desktop was written again." in lines
    assert "[OK] The 55 phone rows are as the phones left them, byte for byte." in lines
    assert told.stdout.isascii()
    shown = {without_seconds(line) for line in lines}
    assert [line for line in readme() if line != "..." and without_seconds(line) not in shown] == []

    again = demo(folder)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "It sees nothing new: all of them were pulled before." in again.stdout
    assert "[OK] The 55 phone rows are as the phones left them, byte for byte." in again.stdout
