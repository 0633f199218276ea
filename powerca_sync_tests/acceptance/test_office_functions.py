"""The command with functions of the office on the desktop, and with tables that are read through views."""

from pathlib import Path

import pytest

from powerca_sync_tests.acceptance import shell
from powerca_sync_tests.acceptance.shell import document, run
from powerca_sync_tests.defs.office import Office
from powerca_sync_tests.defs.product import PRODUCT
from powerca_sync_tests.helpers import Pair

BEFORE, AFTER = "POWERCA_BEFORE_FORWARD", "POWERCA_AFTER_REVERSE"


@pytest.fixture
def office(pair: Pair, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Office:
    """Creates a small office that has been synced forward, with functions of its own."""
    made = shell.synced(pair, monkeypatch, tmp_path)
    made.pair.source.execute(PRODUCT)
    monkeypatch.setenv(BEFORE, "office.refresh")
    monkeypatch.setenv(AFTER, "office.book")
    return made


def calls(office: Office) -> list[str]:
    return [name for (name,) in office.pair.rows("SELECT called FROM office.calls", office.pair.source)]


def test_forward_refreshes_first_also_for_one_table(office: Office) -> None:
    office.pair.source.execute("UPDATE product_notices SET body = 'Open'")
    result = run("forward", "--table", "notices")
    assert result.exit_code == 0
    assert result.stderr.splitlines()[0].startswith("[OK] desktop_refresh: `office.refresh` returned 1 (0.")
    assert "[OK] desktop_refresh: `office.refresh` returned 1 in 0." in result.stdout
    assert office.pair.one("SELECT body FROM notices WHERE notice_id = 1") == "Open"
    (told,) = document(run("forward", "--json"))["functions"]
    assert (told["asset"], told["function"], told["verdict"]) == ("desktop_refresh", "office.refresh", "ok")
    assert (told["returned"], told["rows"], told["error"]) == ("1", 1, None)
    assert calls(office) == ["refresh", "refresh"]


def test_failed_refresh_ends_the_command_before_a_table_is_read(office: Office) -> None:
    office.pair.source.execute("ALTER TABLE product_notices RENAME TO away")
    result = run("forward")
    assert result.exit_code == 1
    error = 'calling `office.refresh` on the desktop failed: relation "product_notices" does not exist'
    assert f"[X] desktop_refresh failed: {error}" in result.stdout
    assert result.stdout.splitlines()[-1] == (
        "[X] No table was read, because the desktop's tables could not be refreshed."
    )
    assert "skipped" not in result.stdout
    told = document(run("forward", "--json"))
    assert (told["exit_status"], told["functions"][0]["verdict"]) == (1, "failed")
    assert {table["verdict"] for table in told["tables"]} == {"skipped"}


def test_reverse_books_new_rows_once_and_repeats_a_failed_booking(office: Office) -> None:
    office.phone_writes("Rain")
    office.pair.source.execute("ALTER TABLE office.calls RENAME TO away")
    failed = run("reverse")
    assert failed.exit_code == 1
    assert failed.stdout.splitlines()[-1] == "[X] Failed: desktop_booking. The other tables went on."
    assert office.pair.one("SELECT count(*) FROM notices WHERE notice_id = 100", office.pair.source) == 1
    office.pair.source.execute("ALTER TABLE office.away RENAME TO calls")
    result = run("reverse", "--table", "staff")
    assert result.exit_code == 0
    assert "[OK] desktop_booking: `office.book` returned booked=2, day=2026-02-01 in " in result.stdout
    (told,) = document(run("reverse", "--json"))["functions"]
    assert (told["verdict"], told["booked"]) == ("skipped", None)
    assert "desktop_booking: `office.book` was not called" in run("reverse").stdout
    assert calls(office) == ["book"]


def test_rows_are_booked_in_the_same_command_although_a_table_fails(office: Office) -> None:
    office.pair.source.execute("ALTER TABLE departments RENAME TO departments_away")
    office.pair.target.execute("INSERT INTO departments (dept_id, org_id, source) VALUES (90, 1, 'M')")
    office.phone_writes("Rain")
    result = run("reverse")
    assert result.exit_code == 1
    assert "[OK] desktop_booking: `office.book` returned" in result.stdout
    assert calls(office) == ["book"]


@pytest.mark.parametrize(
    ("arguments", "function"), [(["plan"], "office.refresh"), (["plan", "reverse"], "office.book")]
)
def test_plan_calls_no_function_and_says_so(office: Office, arguments: list[str], function: str) -> None:
    office.phone_writes("Rain")
    result = run(*arguments)
    assert result.exit_code == 0
    assert f"`plan` does not call `{function}`" in result.stderr
    assert calls(office) == []


def test_other_names_are_refused_before_anything_happens(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(AFTER, "office.book(); drop")
    result = run("forward")
    assert result.exit_code == 2
    assert f"[X] {AFTER} is `office.book(); drop`, which is not the name of a function." in result.stderr
    assert calls(office) == []


def test_tables_are_read_through_views_that_the_settings_name(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    office.pair.source.execute("DROP TABLE notices")
    monkeypatch.setenv("POWERCA_DESKTOP_RELATIONS", "departments=office.v_departments, notices=product_notices")
    office.pair.source.execute("UPDATE departments SET title = 'Law' WHERE dept_id = 10")
    monkeypatch.delenv(BEFORE)
    monkeypatch.delenv(AFTER)
    assert run("forward").exit_code == 0
    assert office.pair.one("SELECT title FROM departments WHERE dept_id = 10") == "Law"
    assert run("verify").exit_code == 0
    office.phone_writes("Rain")
    office.pair.target.execute("INSERT INTO departments (dept_id, org_id, title, source) VALUES (90, 1, 'Wind', 'M')")
    result = run("reverse")
    assert result.exit_code == 0, result.stdout
    assert office.pair.one("SELECT title FROM departments WHERE dept_id = 90", office.pair.source) == "Wind"
    assert (
        "phone rows are not reverse-synced, because the desktop's rows are read from `product_notices`" in result.stdout
    )
    assert office.pair.one("SELECT count(*) FROM product_notices", office.pair.source) == 1
    assert run("forward").exit_code == 0, "the view shows the phone row, which is an echo"
    assert office.pair.one("SELECT source FROM departments WHERE dept_id = 90") == "M"
    monkeypatch.setenv("POWERCA_DESKTOP_RELATIONS", "departements=office.v_departments")
    result = run("plan")
    assert result.exit_code == 2
    assert "There is no spec for table `departements`. Did you mean `departments`?" in result.stderr
