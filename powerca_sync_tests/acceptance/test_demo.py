"""The demo runs to its end, repeatedly."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from powerca_sync.cli.demo_tour import next_steps
from powerca_sync.demo.office import build_office
from powerca_sync.tables import TABLES

pytestmark = pytest.mark.long

README = Path(__file__).parents[2] / "README.md"


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


def excerpt(printed: str) -> list[str]:
    """Returns what the README shows: steps, headings, totals, results and each warning once; `...` for the rest."""
    shown: list[str] = []
    for line in printed.splitlines():
        is_new = line not in shown or not line.startswith("[WARN]")
        if is_new and re.match(r"\d\. |table |---|total |\[(OK|WARN|X)\]", line):
            if re.match(r"\d\. ", line) and shown:
                shown.append("")
            shown.append(line)
        elif line.strip() and shown and shown[-1] != "...":
            shown.append("...")
    return shown[:-1] if shown[-1] == "..." else shown


def without_seconds(line: str) -> str:
    """Returns the line without parts that differ from machine to machine: seconds, and the spaces before them."""
    return re.sub(r"-{9,}", "-", re.sub(r" +", " ", re.sub(r"(in|total.*) +\d+\.\d+( s\.)?$", r"\1", line)))


def check_readme(shown: list[str]) -> None:
    """Compare the README's excerpt with this one except for seconds; `REWRITE_DOCS=1` replaces it."""
    before, begin, rest = README.read_text(encoding="utf-8").partition("<!-- demo -->\n```text\n")
    block, end, after = rest.partition("\n```\n<!-- /demo -->")
    assert begin
    assert end
    if os.environ.get("REWRITE_DOCS"):
        # The seconds of another machine, or of another hour, are no news.
        kept = block.splitlines()
        if list(map(without_seconds, kept)) == list(map(without_seconds, shown)):
            return
        README.write_text(before + begin + "\n".join(shown) + end + after, encoding="utf-8")
    else:
        assert [without_seconds(line) for line in block.splitlines()] == [without_seconds(line) for line in shown], (
            "The README does not show what the demo prints: run `make docs`."
        )


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
    office = build_office()
    assert read.keys() - {"total"} == {spec.mobile for spec in TABLES}
    assert read["climaster"] == len(office.clients) > 500
    assert read["taskchecklist"] == len(office.checklist) > 2000
    assert read["jobtasks"] == len(office.tasks) + 3 > 60_000, "three are of the new job"
    assert "It sees new phone rows in learequest (15), workdiary (40); they are pulled." in told.stdout
    pulls = [line.split()[1:-1] for line in lines if re.match(r"(learequest|workdiary) +\d", line)]
    assert pulls == [
        *(["15", "15", "0", "0", "0", "0", "0", "0", "0", "0"], ["40", "38", "0", "0", "0", "0", "2", "0", "0", "0"]),
        *(["15", "0", "15", "0", "0", "0", "0", "0", "0", "0"], ["40", "0", "38", "0", "0", "0", "2", "0", "0", "0"]),
    ]
    (total,) = [line.split() for line in lines if line.startswith("total ")][-1:]
    assert f"[OK] Not one of the {int(total[1]):,} rows on the desktop was written again." in lines
    assert re.search(r"^\[OK\] Not one of the 9\d,\d{3} rows on mobile was written again\.$", told.stdout, re.MULTILINE)
    assert "[OK] The 55 phone rows are as the phones left them, byte for byte." in lines
    assert told.stdout.isascii()
    check_readme(excerpt(told.stdout))

    again = demo(folder)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "It sees nothing new: all of them were pulled before." in again.stdout
    assert "[OK] The 55 phone rows are as the phones left them, byte for byte." in again.stdout


def test_last_line_names_the_commands_of_what_started_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAKELEVEL", "1")
    assert "`make dev` opens" in next_steps()
    assert "`.venv/bin/powerca-sync demo --reset`" in next_steps()
    monkeypatch.delenv("MAKELEVEL")
    assert "`powerca-sync ui --demo` opens" in next_steps()
    assert "`powerca-sync demo --reset`" in next_steps()
