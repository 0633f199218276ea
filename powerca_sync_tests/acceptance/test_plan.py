"""`powerca-sync plan`: its predictions for the real tables, output and exit status."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from powerca_sync.tables import TABLES
from powerca_sync_tests.acceptance.conftest import GeneratedOffice
from powerca_sync_tests.acceptance.shell import configured, empty, run
from powerca_sync_tests.defs.office import Office
from powerca_sync_tests.helpers import Pair, everything, row_counts

pytestmark = pytest.mark.long


@pytest.fixture
def office(pair: Pair, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Office:
    """Creates a small office whose tables the command plans, in a shell with no other configuration."""
    empty(monkeypatch, tmp_path)
    return configured(pair, monkeypatch)


def by_table(content: Any) -> dict[str, Any]:
    return {table["table"]: table for table in content["tables"]}


@pytest.mark.parametrize("day", [0, 1], ids=["first contact", "a day later"])
def test_run_of_the_real_tables_equals_its_dry_run(generated_office: GeneratedOffice, day: int) -> None:
    plans, results = generated_office.days[day].plans, generated_office.days[day].results
    assert results.keys() == {spec.mobile for spec in TABLES}
    for table, result in results.items():
        foreseen = plans[table].foreseen
        assert foreseen is not None, plans[table]
        left_out = {"seconds": {}, "samples": (), "snapshot": None}
        assert dataclasses.replace(foreseen, **left_out) == dataclasses.replace(result, **left_out)
    read = sum(result.extracted for result in results.values())
    quarantined = sum(result.quarantined for result in results.values())
    counts = {"climaster": 3, "jobshead": 6, "jobtasks": 169}
    assert {table: results[table].quarantined for table in counts} == counts
    assert sum(result.inserted for result in results.values()) == (read - quarantined, 6)[day]


def test_references_of_the_first_contact_resolve_to_planned_rows(
    generated_office: GeneratedOffice,
) -> None:
    plans = generated_office.days[0].plans
    jobtasks, remdetail = plans["jobtasks"].foreseen, plans["remdetail"].foreseen
    assert jobtasks is not None
    assert remdetail is not None
    assert (jobtasks.inserted, jobtasks.quarantined, jobtasks.lookups[0].filled) == (64_542, 169, 64_542)
    assert row_counts(remdetail) == {"inserted": 37}, "their office is that of reminders that are not there yet"


def test_dry_run_shows_old_and_new_values(generated_office: GeneratedOffice) -> None:
    plans = generated_office.days[1].plans
    assert plans["climaster"].changes == {"clientname": 2}
    assert plans["jobshead"].changes == {"targetdate": 5}
    for update in plans["climaster"].updates:
        assert update.before is not None
        assert update.after == {"clientname": f"{update.before['clientname']} (India)"}
    assert [len(plans["jobshead"].deletes), len(plans["jobshead"].inserts)] == [3, 2]
    first = generated_office.days[0].plans["mbstaff"].inserts
    assert all(insert.after is not None and insert.after["app_pw"] == "***" for insert in first)


def test_command_shows_changes_of_each_table_and_open_questions(office: Office) -> None:
    run("forward")
    office.pair.source.execute("""
        UPDATE departments SET title = 'Taxes' WHERE dept_id = 20; INSERT INTO departments VALUES (30, 1, 'Law');
        UPDATE staff SET dept_id = 30 WHERE dept_id = 20 AND staff_no <> 9;
        UPDATE staff SET dept_id = 99, login = 'pw-secret' WHERE staff_no = 7;
        UPDATE staff SET login = 'pw-secret' WHERE staff_no = 8;
        CREATE TABLE sorted AS SELECT * FROM staff ORDER BY staff_no = 8 DESC, staff_no;
        DROP TABLE staff; ALTER TABLE sorted RENAME TO staff;
        DELETE FROM staff WHERE staff_no = 9;
        INSERT INTO notices VALUES (2, 1, E'Two\\nlines')""")
    before = everything(office.pair.source), everything(office.pair.target)
    result = run("plan")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split()[:6] == ["table", "mode", "read", "insert", "update", "delete"]
    figures = {line.split()[0]: line.split()[1:] for line in lines[2:7]}
    assert figures["staff"] == ["full", "39", "0", "19", "1", "19", "0", "0", "0", "1", "0", "1"]
    assert figures["total"][:4] == ["45", "2", "20", "1"]
    assert "departments: 1 row to insert, 1 row to update (changes: title in 1)." in lines
    assert "   ~ dept_id=20: title `Tax` -> `Taxes`" in lines
    assert r"   + notice_id=2, org_id=1, body=Two\nlines" in lines
    assert "staff: 19 rows to update, 1 row to delete (changes: dept_id in 18, title in 18, login in 1)." in (lines)
    assert "   ~ id=8, org_id=1, staff_no=8: login `***` -> `***`" in lines
    assert "   ~ id=1, org_id=1, staff_no=1: dept_id `20` -> `30`, title `Tax` -> `Law`" in lines
    assert any(line.startswith("   - id=9, org_id=1, staff_no=9, dept_id=20, title=Tax,") for line in lines)
    assert "   ~ ... and 16 more" in lines
    assert "[WARN] staff: 1 row would be quarantined: dept_id has no matching row in departments." in lines
    assert "       org_id=1, staff_no=7: dept_id=99 has no matching row in departments" in lines
    assert lines[-2].startswith("Not foreseen: what a trigger of the target refuses")
    assert lines[-1].startswith("[OK] 4 tables planned in ")
    assert "pw-" not in result.output
    assert (everything(office.pair.source), everything(office.pair.target)) == before


def test_totals_of_the_json_document_equal_those_of_the_run(office: Office) -> None:
    run("forward")
    office.pair.source.execute("UPDATE departments SET title = 'Taxes'; DELETE FROM staff WHERE staff_no < 3")
    content = json.loads(run("plan", "forward", "--mode", "incremental", "--json").stdout)
    assert (content["direction"], content["mode"], content["exit_status"]) == ("forward", "incremental", 0)
    assert "trigger" in content["unforeseen"]
    departments = by_table(content)["departments"]
    assert departments["updates"][0] == {
        "key": {"dept_id": "10"},
        "before": {"title": "Audit"},
        "after": {"title": "Taxes"},
    }
    assert (departments["prospect"], departments["changed_columns"]) == ("ready", {"title": 2})
    done = json.loads(run("forward", "--mode", "incremental", "--json").stdout)
    for table, entry in by_table(done).items():
        figures = by_table(content)[table]["figures"]
        assert {name: entry["figures"][name] for name in figures if name in entry["figures"]} == {
            name: value for name, value in figures.items() if name in entry["figures"]
        }
    assert {name: done["totals"][name] for name in content["totals"] if name in done["totals"]} == {
        name: value for name, value in content["totals"].items() if name in done["totals"]
    }


def test_run_that_would_fail_has_exit_status_1(office: Office) -> None:
    run("forward")
    office.pair.source.execute("DELETE FROM staff WHERE staff_no > 10")
    office.pair.target.execute("DROP TABLE notices")
    result = run("plan")
    assert result.exit_code == 1
    assert "[X] staff would be refused: Table `staff`: 30 of the office's 40 rows would be deleted" in result.stdout
    assert "[X] notices failed: Table `notices` does not exist on mobile." in result.stdout
    assert result.stdout.splitlines()[-1] == "[X] A run would not sync notices, staff. Nothing was changed."
    assert run("plan", "--table", "staff", "--allow-mass-delete").exit_code == 0
    content = json.loads(run("plan", "--json").stdout)
    assert (by_table(content)["staff"]["prospect"], by_table(content)["staff"]["figures"]["deleted"]) == ("refused", 30)
    assert content["totals"]["deleted"] == 0
    assert "figures" not in by_table(content)["notices"]


def test_limit_of_the_environment_applies_to_the_dry_run(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    run("forward")
    office.pair.source.execute("DELETE FROM staff WHERE staff_no > 10")
    assert run("plan", "--table", "staff").exit_code == 1
    monkeypatch.setenv("POWERCA_MASS_DELETE_ROWS", "30")
    assert run("plan", "--table", "staff").exit_code == 0
    monkeypatch.setenv("POWERCA_MASS_DELETE_SHARE", "all")
    result = run("plan", "--table", "staff")
    assert result.exit_code == 2
    assert "POWERCA_MASS_DELETE_SHARE is `all`, which is not a share" in result.stderr


def test_dry_run_before_the_first_run_creates_nothing(office: Office) -> None:
    content = json.loads(run("plan", "--json").stdout)
    assert content["totals"]["inserted"] == 44
    assert office.pair.one("SELECT to_regnamespace('powerca_sync') IS NULL AND to_regclass('_sync_metadata') IS NULL")
    assert list(Path.cwd().iterdir()) == [], "and Dagster has no run in its history"


def test_invalid_direction_or_table_is_wrong_usage(office: Office) -> None:
    assert run("plan", "sideways").exit_code == 2
    result = run("plan", "--table", "stuff")
    assert result.exit_code == 2
    assert "There is no spec for table `stuff`" in result.stderr


def test_reverse_sync_has_a_dry_run(office: Office) -> None:
    run("forward")
    office.pair.target.execute("""
        INSERT INTO notices VALUES (7, 1, 'From a phone', 'M'), (1000, 1, 'Another', 'M');
        INSERT INTO staff (org_id, staff_no, full_name, login, source) VALUES (1, 500, 'New', 'pw-secret', 'M')""")
    office.pair.source.execute("INSERT INTO notices VALUES (7, 1, 'Of the office')")
    before = everything(office.pair.source), everything(office.pair.target)
    result = run("plan", "reverse")
    content = json.loads(run("plan", "reverse", "--json").stdout)
    assert (everything(office.pair.source), everything(office.pair.target)) == before
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split()[:4] == ["table", "seen", "pull", "already"]
    assert "staff: 1 row to reverse-sync." in lines
    assert "   + org_id=1, staff_no=500, full_name=New" in lines
    assert "       notice_id=7: phone: body=From a phone, org_id=1, notice_id=7" in lines
    assert "       notice_id=7: desktop: body=Of the office, org_id=1, notice_id=7" in lines
    assert "pw-secret" not in result.output
    assert (content["direction"], content["exit_status"]) == ("reverse", 0)
    assert content["totals"] == json.loads(run("reverse", "--json").stdout)["totals"]


def test_options_of_forward_runs_are_wrong_usage_for_reverse(office: Office) -> None:
    for option in (["--mode", "full"], ["--allow-mass-delete"]):
        result = run("plan", "reverse", *option)
        assert result.exit_code == 2
        assert "are for forward runs only" in result.stderr
