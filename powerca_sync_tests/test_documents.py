"""Everything that the documents name exists, and every public feature is in the documents."""

import re
from pathlib import Path

import click
import pytest

from powerca_sync.cli import main
from powerca_sync.settings import REQUIRED

PROJECT = Path(__file__).parents[1]
README = (PROJECT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8")
CHANGELOG = (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")
MAKEFILE = (PROJECT / "Makefile").read_text(encoding="utf-8")
ENVIRONMENT = (PROJECT / ".env.example").read_text(encoding="utf-8")
WINDOWS = (PROJECT / "docs" / "windows.md").read_text(encoding="utf-8")
MOVING = (PROJECT / "docs" / "moving-over.md").read_text(encoding="utf-8")
TABLES = (PROJECT / "docs" / "tables-that-differ.md").read_text(encoding="utf-8")

COMMANDS = sorted(main.commands)
TARGETS = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_readme(command: str) -> None:
    assert f"powerca-sync {command}" in README


@pytest.mark.parametrize(
    "document",
    [README, CONTRIBUTING, ENVIRONMENT, WINDOWS, MOVING, TABLES],
    ids=["readme", "contributing", "environment", "windows", "moving", "tables"],
)
def test_every_documented_command_and_option_exists(document: str) -> None:
    for command, rest in re.findall(r"powerca-sync ([a-z]+)([^`\n|]*)", document):
        assert command in main.commands, command
        known = {option for parameter in main.commands[command].params for option in parameter.opts}
        for option in re.findall(r"--[a-z-]+", rest):
            assert option in known, f"{command} {option}"


@pytest.mark.parametrize("document", [README, CONTRIBUTING, CHANGELOG], ids=["readme", "contributing", "changelog"])
def test_every_documented_make_target_exists(document: str) -> None:
    assert set(re.findall(r"(?:^ {4}|`)make ([a-z]+)", document, re.MULTILINE)) <= TARGETS


@pytest.mark.parametrize("document", [README, CONTRIBUTING], ids=["readme", "contributing"])
def test_every_documented_file_exists(document: str) -> None:
    for path in re.findall(r"`((?:powerca_sync|docs|benchmarks)/[\w/.]+)`|\]\((?!http)([\w/.-]+)\)", document):
        assert (PROJECT / "".join(path)).exists(), path


def test_changelog_names_the_existing_commands() -> None:
    (line,) = re.findall(r"The command `powerca-sync`: (.+)\.", CHANGELOG)
    assert sorted(re.findall(r"`(\w+)`", line)) == COMMANDS


def test_example_environment_has_the_required_variables() -> None:
    assert set(re.findall(r"^([A-Z_]+)=$", ENVIRONMENT, re.MULTILINE)) == set(REQUIRED)


def test_every_command_has_a_help_text() -> None:
    for command in main.commands.values():
        assert command.help
        for parameter in command.params:
            assert not isinstance(parameter, click.Option) or parameter.help, f"{command.name} {parameter.name}"
