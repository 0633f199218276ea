"""Mobile-owned columns are never updated, but a change of the desktop's value is reported."""

import dataclasses

import pytest

from powerca_sync.engine.result import ForwardResult, Transfer
from powerca_sync.specs import TableSpec, spec_named
from powerca_sync.tables import TABLES
from powerca_sync_tests.engine.verify.checking import difference_counts, verify_table
from powerca_sync_tests.helpers import QUICK, Pair, delete_insert, row_counts, spec

LINES = delete_insert("lines", "job_id", mobile_owned=frozenset({"ticked"}))
ITEMS = spec("lines", "job_id", mobile_owned=frozenset({"ticked"}))
APART = dataclasses.replace(QUICK, transfer=Transfer.DIFFERENCES)


@pytest.fixture
def lines(pair: Pair) -> Pair:
    """Creates forty lines of forty jobs, none ticked, synced once."""
    pair.source.execute("CREATE TABLE lines (job_id int, line text, ticked int)")
    pair.source.execute("INSERT INTO lines SELECT n, 'line ' || n % 7, 0 FROM generate_series(1, 40) AS n")
    pair.target.execute("CREATE TABLE lines (job_id int UNIQUE, line text, ticked int, source char(1))")
    return pair


def remarks(result: ForwardResult) -> str:
    assert result.warnings == ()
    return "; ".join(result.remarks)


@pytest.mark.parametrize("table", [LINES, ITEMS], ids=["delete_insert", "upsert"])
def test_desktop_change_of_a_mobile_owned_column_is_reported(lines: Pair, table: TableSpec) -> None:
    assert lines.sync(table).mobile_owned == 0
    lines.source.execute("UPDATE lines SET ticked = 1 WHERE job_id < 4")
    lines.source.execute("UPDATE lines SET ticked = 1, line = 'changed' WHERE job_id = 9")
    plan = lines.plan(table)["lines"].foreseen
    result = lines.sync(table)
    said = "4 rows with another value of `ticked` on the desktop; mobile owns it and keeps its own"
    assert plan is not None
    assert (remarks(plan), remarks(result)) == (said, said)
    assert row_counts(result) == {"updated": 1, "unchanged": 39}
    assert lines.one("SELECT sum(ticked) FROM lines") == 0
    assert difference_counts(verify_table(lines, table)) == {"mobile_owned": 4}
    # The next run reports it again, until both values agree.
    assert lines.sync(table).mobile_owned == 4
    lines.target.execute("UPDATE lines SET ticked = 1 WHERE job_id IN (1, 2, 3, 9)")
    assert remarks(lines.sync(table)) == ""


def test_duplicates_of_a_line_are_compared_as_a_multiset(pair: Pair) -> None:
    pair.source.execute("CREATE TABLE lines (job_id int, line text, ticked int)")
    pair.source.execute("INSERT INTO lines SELECT 1, 'same', n FROM generate_series(1, 4) AS n")
    pair.target.execute("CREATE TABLE lines (id serial, job_id int, line text, ticked int, source char(1))")
    pair.sync(LINES)
    pair.source.execute("UPDATE lines SET ticked = 5 - ticked")
    assert pair.sync(LINES).mobile_owned == 0
    pair.source.execute("UPDATE lines SET ticked = NULL WHERE ticked = 2")
    assert pair.sync(LINES).mobile_owned == 1


@pytest.mark.parametrize("table", [LINES, ITEMS], ids=["delete_insert", "upsert"])
def test_digests_do_not_hide_a_desktop_change(lines: Pair, table: TableSpec) -> None:
    lines.sync(table, options=APART)
    lines.target.execute("UPDATE lines SET ticked = 7 WHERE job_id = 20")
    quiet = lines.sync(table, options=APART)
    assert (quiet.bytes, quiet.mobile_owned) == (0, None)
    lines.source.execute("UPDATE lines SET ticked = 1 WHERE job_id < 4")
    assert lines.sync(table, options=APART).mobile_owned == 4
    assert lines.sync(table, options=APART).bytes == 0


def test_incremental_run_reports_changed_rows_and_keeps_the_digest(lines: Pair) -> None:
    lines.source.execute("ALTER TABLE lines ADD PRIMARY KEY (job_id)")
    lines.sync(ITEMS)
    lines.source.execute("UPDATE lines SET ticked = 1 WHERE job_id < 4")
    assert lines.sync(ITEMS, mode="incremental").mobile_owned == 3
    assert lines.sync(ITEMS, options=APART).mobile_owned == 3
    assert lines.sync(ITEMS, options=APART).bytes == 0


def test_dismissal_of_an_employee_reaches_mobile(pair: Pair) -> None:
    staff = dataclasses.replace(spec_named(TABLES, "mbstaff"), references=(), office=None)
    pair.source.execute("CREATE TABLE mbstaff (staff_id int, active_status numeric(1), terminateddate date)")
    pair.source.execute("INSERT INTO mbstaff VALUES (1, 0, NULL), (2, 0, NULL)")
    pair.target.execute(
        "CREATE TABLE mbstaff (staff_id int PRIMARY KEY, active_status numeric(1), terminateddate date, source char(1))"
    )
    pair.sync(staff)
    pair.source.execute("UPDATE mbstaff SET active_status = 2, terminateddate = '2026-11-27' WHERE staff_id = 2")
    assert row_counts(pair.sync(staff)) == {"updated": 1, "unchanged": 1}
    assert pair.rows("SELECT staff_id, active_status::int FROM mbstaff ORDER BY 1") == [(1, 0), (2, 2)]
