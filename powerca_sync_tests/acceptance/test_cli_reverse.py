"""`powerca-sync reverse`: its output for phone rows, streams and exit status."""

import dataclasses
from pathlib import Path

import dagster as dg
import pytest

from powerca_sync.cli import commands
from powerca_sync.specs import TableSpec
from powerca_sync_tests.acceptance import shell
from powerca_sync_tests.acceptance.shell import document, run
from powerca_sync_tests.defs.office import SPECS, Office
from powerca_sync_tests.helpers import Pair


@pytest.fixture
def office(pair: Pair, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Office:
    """Creates a small office that has been synced forward."""
    return shell.synced(pair, monkeypatch, tmp_path)


def test_run_prints_each_finished_table_and_a_final_summary(office: Office) -> None:
    office.phone_writes("Rain", "Sun")
    result = run("reverse")
    assert result.exit_code == 0
    ended = {line.split(":")[0] for line in result.stderr.splitlines() if line.startswith("[")}
    assert ended == {"[OK] orgs", "[OK] departments", "[OK] notices", "[OK] staff"}
    assert "[OK] notices: 2 phone rows, 2 pulled" in result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].split()[:4] == ["table", "seen", "pulled", "already"]
    by_table = {line.split()[0]: line.split()[1:] for line in lines[2:-1]}
    assert by_table["notices"][:-1] == ["2", "2", "0", "0", "0", "0", "0", "0", "0", "0"]
    assert by_table["total"][:2] == ["2", "2"]
    assert lines[-1].startswith("[OK] 2 phone rows reverse-synced in ")


def test_second_reverse_run_is_a_noop(office: Office) -> None:
    office.phone_writes("Rain")
    run("reverse")
    before = office.pair.text("notices", on=office.pair.source)
    totals = document(run("reverse", "--json"))["totals"]
    assert {name: count for name, count in totals.items() if count} == {"seen": 1, "already_there": 1}
    assert office.pair.text("notices", on=office.pair.source) == before


def test_unfit_row_is_a_warning_in_the_databases_words(office: Office) -> None:
    office.pair.source.execute("ALTER TABLE notices ALTER body TYPE varchar(20)")
    office.phone_writes("Rain and wind in the afternoon")
    result = run("reverse")
    assert result.exit_code == 0
    assert "[WARN] notices: 1 phone row, 1 quarantined" in result.stderr
    assert "[WARN] notices: 1 row quarantined: value too long for type character varying(20)" in result.stdout
    (notices,) = document(run("reverse", "--table", "notices", "--json"))["tables"]
    assert (notices["verdict"], notices["figures"]["quarantined"]) == ("warning", 1)
    assert "too long" in notices["quarantine"][0]["message"]


def test_conflict_shows_both_contents(office: Office) -> None:
    office.phone_writes("The phone's")
    office.pair.source.execute("INSERT INTO notices VALUES (100, 1, 'The office''s')")
    result = run("reverse")
    assert result.exit_code == 0
    assert "[WARN] notices: notice_id=100 has different contents on the phone and on the desktop:" in result.stdout
    (line,) = (line.split() for line in result.stdout.splitlines() if "The phone's" in line)
    assert line == ["body", "The", "phone's", "The", "office's", "differs"]
    assert result.stdout.count("another row") == 1, "told once"
    (notices,) = document(run("reverse", "--table", "notices", "--json"))["tables"]
    assert notices["conflicts"] == [
        {
            "key": {"notice_id": "100"},
            "phone": {"notice_id": "100", "org_id": "1", "body": "The phone's"},
            "desktop": {"notice_id": "100", "org_id": "1", "body": "The office's"},
        }
    ]
    status = document(run("status", "--json"))
    held = sum(entry["rows"] for table in status["phone_rows"] for entry in table["quarantine"])
    assert (held, status["runs"][0]["quarantined"], status["runs"][0]["conflicts"]) == (1, 1, 1)


def test_again_restores_rows_missing_on_the_desktop(office: Office) -> None:
    office.phone_writes("Rain")
    run("reverse")
    office.pair.source.execute("DELETE FROM notices WHERE notice_id = 100")
    missing = run("reverse")
    assert missing.exit_code == 0
    assert "powerca-sync reverse --again" in missing.stdout
    assert document(run("reverse", "--again", "--json"))["totals"]["pulled"] == 1
    assert office.pair.one("SELECT count(*) FROM notices WHERE notice_id = 100", office.pair.source) == 1


def test_only_named_tables_are_reverse_synced(office: Office) -> None:
    office.phone_writes("Rain")
    content = document(run("reverse", "--table", "staff", "--table", "orgs", "--json"))
    assert [table["table"] for table in content["tables"]] == ["orgs", "staff"]
    assert office.pair.one("SELECT count(*) FROM notices", office.pair.source) == 1


def test_table_without_reverse_is_wrong_usage_by_name_only(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    def one_way(spec: TableSpec) -> TableSpec:
        return dataclasses.replace(spec, reverse=spec.mobile != "staff")

    monkeypatch.setattr(commands, "TABLES", tuple(map(one_way, SPECS)))
    refused = run("reverse", "--table", "staff")
    assert refused.exit_code == 2
    assert "Not reverse-synced: staff." in refused.stderr
    assert [table["table"] for table in document(run("reverse", "--json"))["tables"]] == [
        *("orgs", "departments", "notices")
    ]


def test_failed_table_is_named_in_the_last_line_and_others_go_on(office: Office) -> None:
    office.phone_writes("Rain")
    office.pair.source.execute("DROP TABLE departments")
    result = run("reverse")
    assert result.exit_code == 1
    assert "[X] departments: Table `departments` does not exist on the desktop" in result.stderr
    lines = result.stdout.splitlines()
    assert lines[-1] == "[X] Failed: departments. The other tables went on."
    assert "[X] staff skipped: it needs the rows of departments" in lines
    assert office.pair.one("SELECT count(*) FROM notices", office.pair.source) == 2


def test_refused_login_is_a_configuration_error(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_DB_USER", "nobody")
    result = run("reverse", "--table", "notices", "--json")
    assert result.exit_code == 2
    assert document(result)["tables"][0]["kind"] == "ConfigurationError"


def test_reverse_run_is_in_the_history_of_the_ui(office: Office) -> None:
    content = document(run("reverse", "--json"))
    assert (content["job"], content["mode"]) == ("reverse", None)
    with dg.DagsterInstance.get() as instance:
        record = instance.get_run_by_id(content["run_id"])
        assert record is not None
        assert (record.job_name, record.status) == ("reverse", dg.DagsterRunStatus.SUCCESS)
        assert instance.get_latest_materialization_event(dg.AssetKey(["reverse", "notices"])) is not None


def test_dry_run_prints_each_warning_once(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    office.phone_writes("Rain")
    run("reverse")
    office.pair.target.execute("UPDATE notices SET body = 'Snow' WHERE notice_id = 100")
    caplog.clear()
    result = run("plan", "reverse")
    assert result.output.count("1 phone row changed after the pull") == 1
    # Without a handler, Python prints logged warnings on stderr.
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == []
