"""`powerca-sync doctor` as an administrator runs it: output, streams and exit status."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from powerca_sync.cli import commands, main
from powerca_sync.plain_text import counted
from powerca_sync_tests.acceptance.conftest import GeneratedOffice
from powerca_sync_tests.engine.clinic import SPECS, settle
from powerca_sync_tests.helpers import Pair

SECRETS = ("horse-battery-desktop", "horse-battery-mobile")


def configure(pair: Pair, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Changes to a new folder, with no variables but those that name the pair."""
    for name in [name for name in os.environ if name.startswith(("LOCAL_DB_", "SUPABASE_DB_", "POWERCA_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(folder)
    prefixes = ("LOCAL_DB", "SUPABASE_DB")
    sides = (pair.settings.desktop, pair.settings.mobile)
    for prefix, endpoint, secret in zip(prefixes, sides, SECRETS, strict=True):
        for name, value in (
            *(("HOST", endpoint.host), ("PORT", str(endpoint.port)), ("NAME", endpoint.name)),
            *(("USER", endpoint.user), ("PASSWORD", secret)),
        ):
            monkeypatch.setenv(f"{prefix}_{name}", value)


@pytest.fixture
def office(pair: Pair, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pair:
    """Creates the small healthy office, which the command examines."""
    configure(settle(pair), monkeypatch, tmp_path)
    monkeypatch.setattr(commands, "TABLES", SPECS)
    return pair


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(main, ["doctor", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    assert result.output.isascii()
    for secret in SECRETS:
        assert secret not in result.output
    return result


def document(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json").stdout)


def test_healthy_office_gets_a_few_good_lines(office: Pair) -> None:
    result = run()
    assert result.exit_code == 0
    *lines, _, last = result.stdout.splitlines()
    assert last == "[OK] Both databases are ready for a sync."
    assert all(line.startswith(("[OK] desktop: ", "[OK] mobile: ", "[OK] both: ")) for line in lines)
    assert 8 <= len(lines) <= 15
    assert result.stderr == ""
    assert list(Path.cwd().iterdir()) == []


def test_warning_gives_reason_and_action_without_failure(office: Pair) -> None:
    office.target.execute("ALTER TABLE notes ALTER COLUMN source SET DEFAULT 'D'")
    result = run()
    assert result.exit_code == 0
    _, _, paragraph = result.stdout.partition("\n\n")
    lines = paragraph.splitlines()
    assert lines[0] == "[WARN] mobile: `source` is 'D' by default where phones insert rows: notes."
    assert lines[1].startswith("     Why: ")
    assert any(line.startswith("     Do:  ") for line in lines)
    assert """          ALTER TABLE "public"."notes" ALTER COLUMN "source" SET DEFAULT 'M';""" in lines
    assert lines[-1] == "[WARN] A sync can run; 1 warning above."


def test_error_fails_the_command_and_is_printed_last(office: Pair) -> None:
    office.target.execute("DROP TRIGGER stamp ON notes; DROP TABLE clients CASCADE")
    result = run()
    assert result.exit_code == 1
    marks = [line.split()[0] for line in result.stdout.splitlines() if line.startswith("[")]
    assert marks[-3:] == ["[WARN]", "[X]", "[X]"]
    assert result.stdout.splitlines()[-1] == "[X] 1 problem to solve before a sync can succeed, and 1 warning."


def test_findings_with_the_same_action_are_grouped(office: Pair) -> None:
    office.source.execute(
        "UPDATE notes SET client_id = 99 WHERE client_id = 3; UPDATE clients SET org_id = 9 WHERE client_id = 4"
    )
    result = run()
    assert result.stdout.count("[WARN] desktop: ") == 3
    assert result.stdout.count("Why: ") == 1


def test_json_document_has_every_finding_in_full(office: Pair) -> None:
    office.source.execute("ALTER TABLE clients DROP COLUMN client_id")
    content = document()
    assert (content["exit_status"], content["problems"], content["warnings"]) == (1, 1, 0)
    assert set(content["findings"][0]) == {"severity", "side", "what", "why", "do", "table", "statements"}
    (problem,) = [finding for finding in content["findings"] if finding["severity"] == "X"]
    assert problem["table"] == "clients"
    assert "has no key that both databases have" in problem["what"]


def test_unreachable_server_is_the_first_finding(office: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_DB_PORT", "1")
    result = run()
    assert result.exit_code == 1
    assert "[X] mobile: The mobile database cannot be reached" in result.stdout
    assert "[OK] desktop: User postgres may read" in result.stdout


def test_missing_configuration_stops_the_examination(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("LOCAL_DB_", "SUPABASE_DB_", "POWERCA_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    result = run()
    assert result.exit_code == 2
    assert "SUPABASE_DB_PASSWORD" in result.stderr


def test_office_of_real_size_is_examined_within_a_minute(
    generated_office: GeneratedOffice, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    configure(generated_office.pair, monkeypatch, tmp_path)
    began = time.monotonic()
    content = document()
    assert time.monotonic() - began < 60
    found = {finding["what"] for finding in content["findings"] if finding["severity"] != "OK"}
    quarantined = {
        f"{table}: {counted(entry.rows, 'row')} would be quarantined: {entry.why}."
        for table, result in generated_office.days[-1].results.items()
        for entry in result.rejections
    }
    assert "jobtasks: 158 rows would be quarantined: job_id has no matching row in jobshead." in quarantined
    assert found == quarantined | {
        "taskchecklist: 1860 rows exactly like another, 64% of the 2894 rows; each of them is synced.",
        "`source` is 'D' by default where phones insert rows: learequest, remdetail, reminder and workdiary.",
        *(
            f"workdiary: 1 phone row would be quarantined: value too long for type character varying({place})."
            for place in ("15) (column doc_ref", "50) (column tasknotes")
        ),
    }
    assert content["problems"] == 0


def test_readable_env_file_is_reported_by_doctor_and_at_start(office: Pair) -> None:
    sentence = "`.env` holds passwords, and every user of this machine may read it."
    Path(".env").write_text("LOCAL_DB_NAME=\n", encoding="utf-8")
    for mode, told in ((0o644, 1), (0o600, 0)):
        Path(".env").chmod(mode)
        found, started = run("--json"), CliRunner().invoke(main, ["status"])
        assert [finding["what"] for finding in json.loads(found.stdout)["findings"]].count(sentence) == told
        assert started.stderr.count(f"[WARN] {sentence} Run `chmod 600 .env`.") == told
