"""The command `powerca-sync` with a file of offices."""

import dagster as dg
import pytest

from powerca_sync.cli import commands
from powerca_sync.cli.offices import complete_office
from powerca_sync_tests.acceptance.shell import document, run
from powerca_sync_tests.defs.office import SPECS
from powerca_sync_tests.defs.offices.conftest import DEAD, NUMBERS, Company

pytestmark = pytest.mark.long


@pytest.fixture(autouse=True)
def _commands_of_the_small_office(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "TABLES", SPECS)
    # Set to empty, so that a value set by a command is restored after the test.
    monkeypatch.setenv("DAGSTER_HOME", "")


def test_command_names_its_office_and_its_run_is_the_offices(company: Company) -> None:
    refused = run("forward")
    assert refused.exit_code == 2
    assert "has 4 offices. Name one with `--office`, or all with `--all-offices`." in refused.stderr
    assert "has no office `sooth`. Did you mean `south`?" in run("status", "--office", "sooth").stderr
    assert run("forward", "--office", "south").exit_code == 0
    assert company.mobile_rows("south") == company.desktop_rows("south")
    assert company.mobile_rows("north") == {table: [] for table in company.mobile_rows("north")}
    (past,) = document(run("status", "--office", "south", "--json"))["runs"]
    assert past["status"] == "SUCCESS"
    assert document(run("status", "--office", "north", "--json"))["runs"] == []
    with dg.DagsterInstance.get() as instance:
        assert [item.tags["dagster/partition"] for item in instance.get_runs()] == ["south"]
        assert instance.get_materialized_partitions(dg.AssetKey("staff")) == {"south"}
    assert run("verify", "--office", "south").exit_code == 0


def test_all_offices_get_a_section_each_and_the_worst_exit_status(company: Company) -> None:
    content = document(run("plan", "--all-offices", "--json"))["offices"]
    assert list(content) == [DEAD, *NUMBERS]
    assert "connecting to desktop" in content[DEAD]["error"]
    assert [content[key]["tables"][0]["table"] for key in NUMBERS] == ["orgs"] * 3
    assert run("init", "--office", "west").exit_code == 0
    assert run("forward", "--office", "west").exit_code == 0
    result = run("verify", "--all-offices")
    assert result.exit_code == 1
    assert [line for line in result.stdout.splitlines() if line.startswith("Office ")] == [
        f"Office {key}" for key in (DEAD, *NUMBERS)
    ]
    assert result.stderr.count("[X]") == 1
    assert result.stdout.rpartition("Office west")[2].count("[OK]") == 1
    assert "exclude each other" in run("plan", "--all-offices", "--office", "north").stderr


def test_list_of_offices_names_each_mistake(company: Company) -> None:
    result = run("offices")
    assert result.exit_code == 0
    lines = {line.split()[0]: line for line in result.stdout.splitlines()}
    assert lines[DEAD].split()[2:] == ["127.0.0.1:1/enterprise_db", "main", str(company.pair.settings.mobile)]
    company.file.write_text(
        company.file.read_text() + '[office.east]\nhots = "x"\n[office.late]\nhost = "x"\npassword_file = "none"\n'
    )
    result = run("offices")
    assert result.exit_code == 2
    assert "[X] [office.east] in " in result.stderr
    assert "unknown key `hots`. Did you mean `host`?" in result.stderr
    assert "[X] `password_file` of [office.late]" in result.stderr
    content = document(run("offices", "--json"))
    assert set(content["mistakes"]) == {"east", "late"}
    assert [one["office"] for one in content["offices"]] == [DEAD, *NUMBERS, "late"]
    assert complete_office(None, None, "so") == ["south"]  # type: ignore[arg-type]
    company.file.unlink()
    assert "Name one with" not in run("offices").stderr


def test_commands_that_read_databases_choose_offices() -> None:
    choosing = {
        name
        for name, command in commands.main.commands.items()
        if [option.name for option in command.params if option.name in ("office", "all_offices")]
        == ["office", "all_offices"]
    }
    assert choosing == {"forward", "reverse", "plan", "init", "status", "verify", "doctor"}


def test_without_a_file_nothing_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POWERCA_OFFICES")
    for arguments in (("offices",), ("status", "--office", "north"), ("status", "--all-offices")):
        result = run(*arguments)
        assert result.exit_code == 2
        assert "No file of offices is configured. POWERCA_OFFICES names it." in result.stderr
    assert complete_office(None, None, "") == []  # type: ignore[arg-type]
