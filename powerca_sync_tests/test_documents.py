"""What the documents name exists, and what exists is named in the documents.

`REWRITE_DOCS=1` (`make docs`) rewrites the generated sections of `docs/reference.md`.
"""

import ast
import os
import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import click
import pytest

from powerca_sync.cli import main
from powerca_sync.operations import DEFAULTS
from powerca_sync.settings import REQUIRED
from powerca_sync_tests import idioms
from powerca_sync_tests.idioms import DOCUMENTS as DOCUMENTS_IN_PROSE
from powerca_sync_tests.idioms import find_idioms
from powerca_sync_tests.reference import (
    PROJECT,
    repository,
    settings_in_example,
    with_generated_sections,
)

REWRITE = bool(os.environ.get("REWRITE_DOCS"))
PACKAGE = PROJECT / "powerca_sync"
DOCUMENTS = sorted(
    [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", PROJECT / ".env.example", *(PROJECT / "docs").glob("*.md")]
)
CHANGELOG = (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in DOCUMENTS}
ALL = "\n".join(TEXTS.values())
REFERENCE = TEXTS["reference.md"]

COMMANDS = sorted(main.commands)
OPTIONS = {
    (name, option)
    for name, command in main.commands.items()
    for parameter in command.params
    for option in parameter.opts
    if option.startswith("--")
}
TARGETS = set(re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
SETTING = r"(?:LOCAL_DB|SUPABASE_DB|POWERCA|DAGSTER)_[A-Z_]*[A-Z]"
#: Settings of Dagster itself and of its files, which `.env` does not hold.
NOT_IN_ENV = {"DAGSTER_HOME", "DAGSTER_CODE_HOST", "DAGSTER_IS_DEV_CLI"}

by_document = pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)


def test_generated_sections_are_current() -> None:
    path = PROJECT / "docs" / "reference.md"
    current = with_generated_sections(REFERENCE)
    if REWRITE:
        path.write_text(current, encoding="utf-8")
    assert current == REFERENCE or REWRITE, "docs/reference.md is not what the code says: run `make docs`"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented_by_hand(command: str) -> None:
    assert re.search(rf"powerca-sync {command}\b", TEXTS["operations.md"])


@by_document
def test_documented_commands_and_options_exist(text: str) -> None:
    for command, rest in re.findall(r"powerca-sync ([a-z]+)([^`\n|]*)", text):
        assert command in main.commands, command
        for option in re.findall(r"--[a-z-]+", rest):
            assert (command, option) in OPTIONS, f"{command} {option}"
    for option in re.findall(r"`(--[a-z-]+)", text):
        assert option in {option for _, option in OPTIONS} | {"--round-trip"}, option


@by_document
def test_documented_make_targets_exist(text: str) -> None:
    assert set(re.findall(r"(?:^ {4}|`)make ([a-z]+)", text, re.MULTILINE)) <= TARGETS


def test_make_targets_of_the_changelog_exist() -> None:
    assert set(re.findall(r"`make ([a-z]+)", CHANGELOG)) <= TARGETS


def test_every_make_target_is_documented() -> None:
    undocumented = {target for target in TARGETS - {"help"} if not re.search(rf"make {target}\b", ALL)}
    assert undocumented <= {"clean"}


@by_document
def test_documented_files_exist(text: str) -> None:
    for path in re.findall(r"`((?:powerca_sync|powerca_sync_tests|docs|benchmarks)/[\w/.-]*)`", text):
        assert (PROJECT / path).exists(), path


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if path.suffix == ".md"], ids=lambda path: path.name)
def test_links_lead_to_files_and_headings(path: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", path.read_text(encoding="utf-8")):
        name, _, anchor = unquote(link).partition("#")
        target = (path.parent / name) if name else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link


def anchors(text: str) -> set[str]:
    """Returns the anchors that GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_document_is_linked_from_the_readme() -> None:
    assert {path.name for path in (PROJECT / "docs").iterdir()} <= set(
        re.findall(r"\(docs/([\w.-]+)\)", TEXTS["README.md"])
    )


def test_readme_is_short() -> None:
    assert len(TEXTS["README.md"].splitlines()) <= 140


@by_document
def test_documented_settings_exist(text: str) -> None:
    # A name that ends in `_` or `..._X` stands for several.
    known = set(settings_in_example()) | NOT_IN_ENV
    for name in re.findall(rf"(?<![\w.]){SETTING}(?![\w*])", text):
        assert name in known, name


def test_every_setting_that_the_code_reads_is_in_the_example() -> None:
    read = set(DEFAULTS) | {
        node.value
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(SETTING, node.value)
    }
    assert read - NOT_IN_ENV == set(settings_in_example())


def test_every_setting_of_an_office_is_passed_on_to_its_containers() -> None:
    text = (PROJECT / "docker-compose.yml").read_text(encoding="utf-8")
    passed = set(re.findall(rf"^ +({SETTING}):", text, re.MULTILINE))
    # The history's server is a service of the file itself; only its password is the office's choice.
    assert set(settings_in_example()) - passed <= {"POWERCA_DEMO", "DAGSTER_POSTGRES_PORT"}


def test_example_asks_for_required_settings_only() -> None:
    uncommented = re.findall(r"^([A-Z_]+)=$", TEXTS[".env.example"], re.MULTILINE)
    assert set(uncommented) == set(REQUIRED)


def test_jobs_and_sensors_are_documented_by_hand() -> None:
    by_hand = re.sub(r"<!-- generated: (?!tables).*?<!-- /generated -->", "", ALL, flags=re.DOTALL)
    found = repository()
    names = {job.name for job in found.get_all_jobs() if not job.name.startswith("__")}
    names |= {sensor.name for sensor in found.sensor_defs}
    assert {name for name in names if f"`{name}`" not in by_hand} == set()


def test_keys_of_json_documents_are_documented() -> None:
    keys = {
        key.value
        for path in (PACKAGE / "cli").glob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "document"
        for argument in call.args
        if isinstance(argument, ast.Dict)
        for key in argument.keys
        if isinstance(key, ast.Constant)
    }
    assert len(keys) > 10
    section = REFERENCE.partition("### JSON")[2].partition("\n## ")[0]
    assert {key for key in keys if f"`{key}`" not in section} == set()


def test_state_tables_are_documented() -> None:
    section = REFERENCE.partition("## State tables")[2]
    for path in (PACKAGE / "engine").rglob("*.sql"):
        text = path.read_text(encoding="utf-8")
        for table, columns in re.findall(
            r"CREATE TABLE (?:IF NOT EXISTS )?powerca_sync\.(\w+) \((.*?)\n\);", text, re.DOTALL
        ):
            lines = [line for line in section.splitlines() if line.startswith(f"| `powerca_sync.{table}` ")]
            assert lines, table
            for column in re.findall(r"^    ([a-z_]+) ", columns, re.MULTILINE):
                assert any(f"`{column}`" in line for line in lines), f"{table}.{column}"


def test_documents_have_no_private_idioms() -> None:
    assert list(find_idioms(DOCUMENTS_IN_PROSE)) == []


def test_an_idiom_is_found_with_its_replacement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idioms, "PROJECT", tmp_path)
    (tmp_path / "page.md").write_text("One.\nThree rows wait in quarantine.\n", encoding="utf-8")
    found = list(find_idioms([tmp_path / "page.md"]))
    assert found == ["page.md:2: wait in quarantine (write: is quarantined)"]


#: Documented messages, with `...` in place of what varies.
MESSAGES = re.findall(
    r"^\| (`[^|]+) \|", TEXTS["troubleshooting.md"].partition("## Words of PostgreSQL")[0], re.MULTILINE
)


@pytest.mark.parametrize("message", [part for cell in MESSAGES for part in re.findall(r"`([^`]+)`", cell)])
def test_documented_messages_exist(message: str) -> None:
    texts = message_texts()
    for part in message.split("..."):
        words = part.strip(" ,:;")
        assert words in texts, words


@cache
def message_texts() -> str:
    """Returns the string constants of the package, those of one f-string joined."""
    texts = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                texts.append(
                    "".join(str(part.value) if isinstance(part, ast.Constant) else "..." for part in node.values)
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n".join(texts)


def test_changelog_names_every_command() -> None:
    (line,) = re.findall(r"The command `powerca-sync`: (.+)\.", CHANGELOG)
    assert sorted(re.findall(r"`(\w+)`", line)) == COMMANDS


def test_every_command_and_option_has_help() -> None:
    for command in main.commands.values():
        assert command.help
        for parameter in command.params:
            assert not isinstance(parameter, click.Option) or parameter.help, f"{command.name} {parameter.name}"
