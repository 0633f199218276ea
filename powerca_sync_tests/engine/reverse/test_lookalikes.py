"""Look-alikes, phone rows of which the desktop may have a copy, are adopted or quarantined, never inserted twice."""

import pytest

from powerca_sync.engine.postgres import Timeouts
from powerca_sync.engine.requests import Choice
from powerca_sync.engine.result import Options
from powerca_sync.specs import Expression
from powerca_sync_tests.helpers import ORGS, Pair, assert_noop, delete_insert, pulled, row_counts, spec

WORK = delete_insert(
    "work",
    *("staff_id", "day", "job_id"),
    expressions=(Expression(column="begun", forward='"begun"::time', reverse='"day" + "begun"'),),
)
LINES = delete_insert("lines", "task_id", "line", mobile_owned=frozenset({"ticked"}))

DESKTOP = "staff_id int, day date, job_id int, begun timestamp, note varchar(200)"
MOBILE = "staff_id int, day date, job_id int, begun time, note text, source char(1) DEFAULT 'M'"


def make_work(pair: Pair, *, desktop: str = "source char(1)", mobile: str = "wd_id bigserial PRIMARY KEY") -> None:
    """Creates three phone rows."""
    pair.source.execute(f"CREATE TABLE work ({DESKTOP}, {desktop})")  # type: ignore[call-overload]
    pair.target.execute(f"CREATE TABLE work ({MOBILE}, {mobile})")  # type: ignore[call-overload]
    pair.target.execute("""INSERT INTO work (staff_id, day, job_id, begun, note)
        SELECT n, '2025-11-04', n, '10:01', repeat('visit ', 10 * n) FROM generate_series(1, 3) AS n""")


#: Copies as an earlier engine left them: clock times on the previous day, notes cut.
SHIFTED = "'2025-11-03 10:01'"
EARLIER = (
    "INSERT INTO work (staff_id, day, job_id, begun, note{names}) SELECT n, '2025-11-04', n, {begun}, {note}{values}"
)


def insert_copies_of_earlier_engine(pair: Pair, *, cut: int = 200, names: str = "", values: str = "") -> None:
    note = f"left(repeat('visit ', 10 * n), {cut})"
    statement = EARLIER.format(names=names, values=values, begun=f"timestamp {SHIFTED}", note=note)
    pair.source.execute(f"{statement} FROM generate_series(1, 3) AS n")  # type: ignore[call-overload]


def count(pair: Pair, table: str = "work") -> int:
    return int(pair.one(f"SELECT count(*) FROM {table}", pair.source))  # noqa: S608


def test_copies_with_shifted_times_are_adopted_on_first_contact(pair: Pair) -> None:
    make_work(pair)
    insert_copies_of_earlier_engine(pair)
    assert pulled(pair.pull(WORK)) == {"adopted": 3}
    assert row_counts(pair.sync(WORK)) == {"echo": 3}
    assert pulled(pair.pull(WORK)) == {"already_there": 3}
    assert count(pair) == 3


def test_copies_with_cut_notes_are_quarantined_with_both_contents(pair: Pair) -> None:
    make_work(pair)
    insert_copies_of_earlier_engine(pair, cut=50)
    result = pair.pull(WORK)
    assert pulled(result) == {"lookalikes": 3}
    assert result.rejections[0].why == "the desktop has a row of the same staff_id, day, job_id that may be its copy"
    shown = result.conflict_samples[0]
    assert (len(shown.phone["note"] or ""), len(shown.desktop["note"] or "")) == (60, 50)
    assert "--adopt-lookalikes" in result.warnings[0]
    assert pulled(pair.pull(WORK)) == {"lookalikes": 3}
    assert count(pair) == 3


@pytest.mark.parametrize(("choice", "outcome", "rows"), [(Choice.ADOPT, "adopted", 3), (Choice.PULL, "pulled", 6)])
def test_choice_resolves_lookalikes(pair: Pair, choice: Choice, outcome: str, rows: int) -> None:
    make_work(pair)
    insert_copies_of_earlier_engine(pair, cut=50)
    plan = pulled(pair.pull(WORK))
    assert plan == {"lookalikes": 3}
    assert pulled(pair.pull(WORK, lookalikes=choice)) == {outcome: 3}
    assert pulled(pair.pull(WORK)) == {"already_there": 3}
    assert count(pair) == rows
    assert pair.one("SELECT count(*) FROM powerca_sync.quarantine", pair.source) == 0
    pair.sync(WORK)
    assert_noop(pair, WORK)


@pytest.mark.parametrize("unique", ["", " UNIQUE"], ids=["no index", "unique index"])
def test_mobile_primary_key_on_the_desktop_identifies_the_row(pair: Pair, unique: str) -> None:
    make_work(pair, desktop=f"source char(1), wd_id numeric(10){unique}")
    insert_copies_of_earlier_engine(pair, names=", wd_id", values=", n")
    pair.source.execute("UPDATE work SET note = 'another text', job_id = 99 WHERE wd_id = 3")
    result = pair.pull(WORK)
    assert pulled(result) == {"adopted": 2, "lookalikes": 1}
    assert pulled(pair.pull(WORK, lookalikes=Choice.ADOPT)) == {"already_there": 2, "adopted": 1}
    assert count(pair) == 3


@pytest.mark.parametrize("says_phone", [True, False])
def test_copies_of_an_earlier_engine_beside_a_ledger_are_not_doubled(pair: Pair, says_phone: bool) -> None:
    make_work(pair)
    assert pulled(pair.pull(WORK)) == {"pulled": 3}
    pair.target.execute(
        "INSERT INTO work (staff_id, day, job_id, begun, note) VALUES (9, '2025-11-05', 9, '09:00', 'x')"
    )
    pair.source.execute("INSERT INTO work VALUES (9, '2025-11-05', 9, '2025-11-04 09:00', 'x', %s)", ["M" * says_phone])
    outcome = "adopted" if says_phone else "lookalikes"
    assert pulled(pair.pull(WORK)) == {"already_there": 3, outcome: 1}
    assert count(pair) == 4


def test_new_row_beside_quarantined_lookalikes_is_reverse_synced(pair: Pair) -> None:
    make_work(pair)
    insert_copies_of_earlier_engine(pair, cut=50)
    pair.pull(WORK)
    pair.target.execute("INSERT INTO work (staff_id, day, job_id, note) VALUES (8, '2025-11-06', 8, 'new')")
    assert pulled(pair.pull(WORK)) == {"lookalikes": 3, "pulled": 1}


def test_desktop_row_on_mobile_is_not_a_lookalike(pair: Pair) -> None:
    make_work(pair)
    pair.source.execute("INSERT INTO work VALUES (1, '2025-11-04', 1, '2025-11-04 10:01', 'the office''s own', 'D')")
    pair.sync(WORK)
    assert pulled(pair.pull(WORK)) == {"pulled": 3}
    assert count(pair) == 4


def test_desktop_rows_of_another_office_explain_no_copy(pair: Pair) -> None:
    pair.both("CREATE TABLE orgs (org_id int PRIMARY KEY); INSERT INTO orgs VALUES (1)")
    pair.target.execute("ALTER TABLE orgs ADD source char(1) DEFAULT 'D'")
    for connection in (pair.source, pair.target):
        connection.execute("CREATE TABLE work (org_id int, staff_id int, note text, source char(1))")
    pair.target.execute("ALTER TABLE work ADD wd_id bigserial PRIMARY KEY")
    work = delete_insert("work", "staff_id", office="org_id")
    pair.sync_all(ORGS, work)
    pair.target.execute("""
        INSERT INTO powerca_sync.office VALUES ('2', 'another desktop');
        INSERT INTO work (org_id, staff_id, note, source) VALUES (1, 7, 'Whole note', 'M'), (2, 7, 'Whole', 'D')""")
    pair.source.execute("INSERT INTO work VALUES (1, 7, 'Whole', NULL)")
    assert pulled(pair.pull(work, ORGS)) == {"lookalikes": 1}
    pair.target.execute("UPDATE work SET org_id = 1 WHERE org_id = 2")
    assert pulled(pair.pull(work, ORGS)) == {"pulled": 1}, "the office's own row explains the desktop's"


def test_other_content_with_the_same_key_is_another_row(pair: Pair) -> None:
    make_work(pair)
    pair.source.execute("INSERT INTO work VALUES (1, '2025-11-04', 1, '2025-11-04 18:30', 'something else', 'D')")
    assert pulled(pair.pull(WORK)) == {"pulled": 3}


def test_few_ticked_lines_with_overwritten_owner_are_quarantined(pair: Pair) -> None:
    pair.source.execute("CREATE TABLE lines (task_id int, line text, ticked int)")
    pair.target.execute("""CREATE TABLE lines (tc_id bigserial PRIMARY KEY, task_id int, line text, ticked int,
        source char(1) DEFAULT 'D')""")
    pair.source.execute("INSERT INTO lines SELECT n % 5, 'line', 0 FROM generate_series(1, 40) AS n")
    pair.sync(LINES)
    assert pulled(pair.pull(LINES)) == {}
    for ticked in (1, 2, 3):
        pair.target.execute("UPDATE lines SET ticked = 1, source = 'M' WHERE tc_id = %s", [ticked])
        assert pulled(pair.pull(LINES)) == {"lookalikes": ticked}
        pair.sync(LINES)
    assert count(pair, "lines") == 40
    assert pulled(pair.pull(LINES, lookalikes=Choice.ADOPT)) == {"adopted": 3}
    pair.sync(LINES)
    assert pair.one("SELECT count(*) FROM lines") == 40
    assert_noop(pair, LINES)


def test_rows_without_a_key_are_matched_by_content(pair: Pair) -> None:
    table = delete_insert("work")
    pair.source.execute("CREATE TABLE work (note text)")
    pair.target.execute("CREATE TABLE work (id bigserial PRIMARY KEY, note text, source char(1) DEFAULT 'M')")
    pair.target.execute("INSERT INTO work (note) VALUES ('a')")
    assert pulled(pair.pull(table)) == {"pulled": 1}
    pair.both("INSERT INTO work (note) VALUES ('b')")
    assert pulled(pair.pull(table)) == {"already_there": 1, "lookalikes": 1}


def test_rows_doubled_on_a_desktop_without_source_stay_there(pair: Pair) -> None:
    """Rows doubled on the desktop are neither synced to mobile nor inserted on the desktop a third time."""
    table = spec("leave", "leave_id")
    pair.source.execute("CREATE TABLE leave (leave_id int, days int)")
    pair.target.execute("CREATE TABLE leave (leave_id int PRIMARY KEY, days int, source char(1) DEFAULT 'M')")
    pair.target.execute("INSERT INTO leave SELECT n, n FROM generate_series(1, 5) AS n")
    pair.source.execute("INSERT INTO leave SELECT n, n FROM generate_series(1, 5) AS n")
    assert pulled(pair.pull(table)) == {"adopted": 5}
    assert row_counts(pair.sync(table)) == {"echo": 5}
    assert count(pair, "leave") == 5


def test_ambiguous_primary_key_is_not_adopted(pair: Pair) -> None:
    requests = spec("requests", "id")
    pair.both("CREATE TABLE requests (id int PRIMARY KEY, staff_id int, day date, days int, note text, source char(1))")
    pair.source.execute("""
        INSERT INTO requests VALUES (1, 1, '2025-11-04', 2, 'left by an earlier engine', NULL),
            (2, 9, '2025-01-01', 5, 'the office''s own', NULL)""")
    pair.target.execute("""
        INSERT INTO requests VALUES (1, 1, '2025-11-04', 2, 'left by an earlier engine, and cut', 'M'),
            (2, 2, '2025-11-05', 1, 'another person''s', 'M')""")
    assert pulled(pair.pull(requests)) == {"conflicts": 2}
    assert pulled(pair.pull(requests, lookalikes=Choice.ADOPT)) == {"adopted": 1, "conflicts": 1}
    assert pulled(pair.pull(requests)) == {"already_there": 1, "conflicts": 1}
    assert count(pair, "requests") == 2


def test_new_phone_rows_are_compared_without_statistics(pair: Pair) -> None:
    make_work(pair)
    pair.target.execute("""INSERT INTO work (staff_id, day, job_id, source)
        SELECT n % 50, '2025-11-04', n, 'D' FROM generate_series(1, 30000) AS n; ANALYZE work""")
    pair.target.execute(
        "INSERT INTO work (staff_id, day, job_id, source) SELECT 1, '2025-11-05', n, 'M'"
        " FROM generate_series(1, 5000) AS n"
    )
    assert pair.pull(WORK, options=Options(timeouts=Timeouts(statement=8))).pulled == 5003
