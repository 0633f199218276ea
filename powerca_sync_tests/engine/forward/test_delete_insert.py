"""`DELETE_INSERT`: mobile generates the primary key; the end state is reached by writing only the difference."""

import pytest

from powerca_sync.errors import SchemaMismatchError
from powerca_sync_tests.helpers import Pair, assert_noop, delete_insert, row_counts

LINES = delete_insert("lines", "job_id", mobile_owned=frozenset({"ticked"}))


def make_lines(pair: Pair, key: str = "id bigserial PRIMARY KEY", rule: str = "CHECK (true)") -> None:
    pair.source.execute(
        "CREATE TABLE lines (job_id int, line text, ticked int, created_at timestamp, updated_at timestamp)"
    )
    pair.target.execute(
        f"CREATE TABLE lines ({key}, {'' if 'job_id int' in key else 'job_id int,'} line text, ticked int, remark text,"
        " source char(1) DEFAULT 'D', created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(),"
        f" {rule})"
    )


def write_lines(pair: Pair, *rows: tuple[int | None, str | None]) -> None:
    """Replaces the rows of the source."""
    pair.source.execute("TRUNCATE lines")
    with pair.source.cursor() as cursor:
        cursor.executemany("INSERT INTO lines VALUES (%s, %s, 0, now(), now())", rows)


def lines(pair: Pair, columns: str = "id, job_id, line") -> list[tuple[object, ...]]:
    return pair.rows(f"SELECT {columns} FROM lines ORDER BY 1, 2, 3")  # noqa: S608


def test_changed_row_keeps_its_primary_key_and_others_are_not_written(pair: Pair) -> None:
    make_lines(pair)
    write_lines(pair, (1, "a"), (2, "b"), (3, "c"))
    assert row_counts(pair.sync(LINES)) == {"inserted": 3}
    pair.target.execute("UPDATE lines SET created_at = '2020-01-01', updated_at = '2020-01-01', remark = 'mine'")
    others = pair.text("lines", where="job_id <> 2")
    write_lines(pair, (1, "a"), (2, "changed"), (3, "c"))
    assert row_counts(pair.sync(LINES)) == {"updated": 1, "unchanged": 2}
    assert pair.rows(
        "SELECT id, line, remark, created_at < '2020-01-02', updated_at > '2020-01-02' FROM lines WHERE job_id = 2"
    ) == [(2, "changed", "mine", True, True)]
    assert pair.text("lines", where="job_id <> 2") == others
    assert_noop(pair, LINES)


def test_duplicate_keys_pair_by_content_then_by_order(pair: Pair) -> None:
    make_lines(pair)
    write_lines(pair, (1, "a"), (1, "b"), (1, "c"), (1, "d"))
    pair.sync(LINES)
    write_lines(pair, (1, "d"), (1, "x"), (1, "a"), (1, "y"), (1, "z"))
    assert row_counts(pair.sync(LINES)) == {"unchanged": 2, "updated": 2, "inserted": 1}
    assert lines(pair) == [(1, 1, "a"), (2, 1, "x"), (3, 1, "y"), (4, 1, "d"), (5, 1, "z")]


def test_rows_with_null_keys_pair_with_each_other(pair: Pair) -> None:
    make_lines(pair)
    write_lines(pair, (None, "a"), (None, None), (2, "b"))
    pair.sync(LINES)
    write_lines(pair, (None, "a"), (None, "no longer empty"), (2, "b"))
    assert row_counts(pair.sync(LINES)) == {"unchanged": 2, "updated": 1}
    assert lines(pair) == [(1, None, "a"), (2, None, "no longer empty"), (3, 2, "b")]
    assert_noop(pair, LINES)


def test_surplus_duplicate_rows_are_deleted(pair: Pair) -> None:
    make_lines(pair)
    write_lines(pair, *[(1, "same")] * 5)
    pair.sync(LINES)
    before = pair.text("lines")
    write_lines(pair, *[(1, "same")] * 3)
    assert row_counts(pair.sync(LINES)) == {"unchanged": 3, "deleted": 2}
    assert pair.text("lines") == before[:3]


def test_rewritten_but_equal_desktop_rows_write_nothing_on_mobile(pair: Pair) -> None:
    make_lines(pair)
    rows = [(n % 7, f"line {n % 11}") for n in range(200)]
    write_lines(pair, *rows)
    pair.sync(LINES)
    before = pair.text("lines")
    write_lines(pair, *reversed(rows))
    pair.source.execute("UPDATE lines SET created_at = now() + '1 day', updated_at = NULL")
    assert row_counts(pair.sync(LINES)) == {"unchanged": 200}
    assert pair.text("lines") == before
    assert pair.one("SELECT last_value FROM lines_id_seq") == 200


def test_mobile_owned_columns_are_written_on_insert_only(pair: Pair) -> None:
    make_lines(pair)
    write_lines(pair, (1, "a"), (2, "b"))
    pair.sync(LINES)
    assert lines(pair, "ticked, job_id, line") == [(0, 1, "a"), (0, 2, "b")]
    pair.target.execute("UPDATE lines SET ticked = 1")
    assert_noop(pair, LINES)
    write_lines(pair, (1, "a"), (2, "changed"))
    pair.source.execute("UPDATE lines SET ticked = 5")
    pair.sync(LINES)
    assert lines(pair, "ticked, job_id, line") == [(1, 1, "a"), (1, 2, "changed")]


def test_unowned_rows_are_adopted_by_content_or_key_else_retained(pair: Pair) -> None:
    make_lines(pair)
    pair.target.execute(
        "INSERT INTO lines (job_id, line, source) VALUES (1, 'a', NULL), (2, 'old', NULL), (9, 'stays', NULL)"
    )
    write_lines(pair, (1, "a"), (2, "new"))
    assert row_counts(pair.sync(LINES)) == {"updated": 2, "kept_other": 1}
    assert lines(pair, "id, line, source") == [(1, "a", "D"), (2, "new", "D"), (3, "stays", None)]
    assert_noop(pair, LINES)


def test_system_rows_are_never_deleted_and_match_equal_rows(pair: Pair) -> None:
    make_lines(pair)
    pair.target.execute("INSERT INTO lines (job_id, line, source) VALUES (0, 'none', 'S'), (1, 'a', 'S')")
    before = pair.text("lines")
    write_lines(pair, (1, "a"), (1, "b"))
    assert row_counts(pair.sync(LINES)) == {"inserted": 1, "kept_mobile": 1, "kept_other": 2}
    assert pair.text("lines", where="source = 'S'") == before


def test_phone_row_matches_an_equal_desktop_row_once(pair: Pair) -> None:
    make_lines(pair)
    pair.target.execute("INSERT INTO lines (job_id, line, source) VALUES (1, 'a', 'M')")
    phone = pair.text("lines")
    write_lines(pair, (1, "a"), (1, "a"))
    assert row_counts(pair.sync(LINES)) == {"inserted": 1, "kept_mobile": 1}
    assert_noop(pair, LINES)
    write_lines(pair, (1, "a"))
    assert row_counts(pair.sync(LINES)) == {"unchanged": 1}, "the desktop's own copy comes before the phone's"
    assert pair.text("lines", where="source = 'M'") == phone


def test_phone_row_with_a_key_of_another_desktop_row_is_not_matched(pair: Pair) -> None:
    make_lines(pair)
    pair.target.execute("INSERT INTO lines (job_id, line, source) VALUES (1, 'from a phone', 'M')")
    phone = pair.text("lines")
    write_lines(pair, (1, "from the office"))
    assert row_counts(pair.sync(LINES)) == {"inserted": 1}
    write_lines(pair, (2, "elsewhere"))
    assert row_counts(pair.sync(LINES)) == {"inserted": 1, "deleted": 1}
    assert pair.text("lines", where="source = 'M'") == phone


def test_phone_row_without_an_equal_desktop_row_is_not_matched(pair: Pair) -> None:
    make_lines(pair)
    pair.target.execute("INSERT INTO lines (job_id, line, source) VALUES (1, 'a', 'M'), (1, 'a', 'M')")
    phones = pair.text("lines")
    write_lines(pair, (1, "a"), (1, "b"))
    assert row_counts(pair.sync(LINES)) == {"inserted": 1, "kept_mobile": 1}
    assert pair.text("lines", where="source = 'M'") == phones


def test_duplicates_are_quarantined_when_the_key_is_the_primary_key(pair: Pair) -> None:
    make_lines(pair, key="job_id int PRIMARY KEY")
    write_lines(pair, (1, "a"), (2, "b"), (2, "not b"), (3, "c"), (3, "c"))
    result = pair.sync(LINES)
    assert row_counts(result) == {"inserted": 2, "quarantined": 2, "superseded": 1}
    assert str(result.samples[0]) == "several different rows have job_id=2"
    write_lines(pair, (1, "A"), (2, "b"), (3, "c"))
    assert row_counts(pair.sync(LINES)) == {"inserted": 1, "updated": 1, "unchanged": 1}
    write_lines(pair, (1, "A"), (2, "b"), (2, "not b"), (3, "c"))
    assert row_counts(pair.sync(LINES)) == {"unchanged": 2, "quarantined": 2, "held": 1}
    assert lines(pair, "job_id, line, source") == [(1, "A", "D"), (2, "b", "D"), (3, "c", "D")]


def test_rows_without_a_primary_key_are_told_apart_by_ctid(pair: Pair) -> None:
    make_lines(pair, key="job_id int")
    write_lines(pair, (1, "same"), (1, "same"), (1, "other"))
    pair.sync(LINES)
    unchanged = pair.text("lines", where="line = 'same'")
    write_lines(pair, (1, "same"), (1, "same"), (1, "another"))
    assert row_counts(pair.sync(LINES)) == {"unchanged": 2, "updated": 1}
    assert pair.text("lines", where="line = 'same'") == unchanged
    assert_noop(pair, LINES)


def test_changed_row_without_a_spec_key_is_replaced(pair: Pair) -> None:
    keyless = delete_insert("lines", mobile_owned=frozenset({"ticked"}))
    make_lines(pair)
    write_lines(pair, (1, "a"), (1, "b"), (1, "b"))
    pair.sync(keyless)
    write_lines(pair, (1, "a"), (1, "b"), (1, "c"))
    assert row_counts(pair.sync(keyless)) == {"unchanged": 2, "inserted": 1, "deleted": 1}
    assert lines(pair) == [(1, 1, "a"), (2, 1, "b"), (4, 1, "c")]


def test_unique_constraint_of_the_target_is_respected(pair: Pair) -> None:
    make_lines(pair, rule="UNIQUE (job_id, line)")
    pair.target.execute("INSERT INTO lines (job_id, line, source, remark) VALUES (7, 'x', 'M', 'by a phone')")
    write_lines(pair, (1, "a"), (1, "a"), (1, None), (1, None), (7, "x"))
    assert row_counts(pair.sync(LINES)) == {"inserted": 3, "superseded": 1, "kept_mobile": 1}
    write_lines(pair, (1, "b"), (1, None), (1, None), (7, "x"))
    assert row_counts(pair.sync(LINES)) == {"updated": 1, "unchanged": 2, "kept_mobile": 1}
    assert_noop(pair, LINES)


@pytest.mark.parametrize(
    "key",
    [
        "id bigserial PRIMARY KEY",
        "id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
        "id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
        "id uuid DEFAULT gen_random_uuid() PRIMARY KEY",
    ],
)
def test_mobile_primary_key_is_generated_by_mobile_only(pair: Pair, key: str) -> None:
    make_lines(pair, key=key)
    pair.source.execute("ALTER TABLE lines ADD id int")
    pair.source.execute("INSERT INTO lines (id, job_id, line) VALUES (NULL, 1, 'a'), (77, 2, 'b')")
    assert row_counts(pair.sync(LINES)) == {"inserted": 2}
    assert pair.one("SELECT count(*) FROM lines WHERE id IS NULL OR id::text = '77'") == 0
    pair.source.execute("UPDATE lines SET id = 5")
    assert_noop(pair, LINES)


def test_generated_column_is_left_to_the_target(pair: Pair) -> None:
    make_lines(pair, rule="long int GENERATED ALWAYS AS (length(line)) STORED")
    pair.source.execute("ALTER TABLE lines ADD long int DEFAULT 99")
    pair.source.execute("INSERT INTO lines (job_id, line) VALUES (1, 'abc')")
    pair.sync(LINES)
    assert lines(pair, "job_id, line, long") == [(1, "abc", 3)]
    assert_noop(pair, LINES)


def test_table_without_a_source_column_is_refused(pair: Pair) -> None:
    make_lines(pair)
    pair.target.execute("ALTER TABLE lines DROP COLUMN source")
    with pytest.raises(SchemaMismatchError, match="has no column `source`"):
        pair.sync(LINES)


def test_no_row_replaces_a_quarantined_row_with_the_same_key(pair: Pair) -> None:
    staff = delete_insert("staff", "job_id", limit_share=1.0)
    pair.source.execute("CREATE TABLE staff (job_id int, who text, state text)")
    pair.target.execute(
        "CREATE TABLE staff (id serial PRIMARY KEY, job_id int, who text, state varchar(3), source char(1))"
    )
    pair.source.execute("INSERT INTO staff VALUES (1, 'A', 'x'), (1, 'B', 'x')")
    pair.sync(staff)
    before = pair.text("staff")
    pair.source.execute("UPDATE staff SET state = CASE who WHEN 'A' THEN 'too long' ELSE 'new' END")
    result = pair.sync(staff)
    assert row_counts(result) == {"quarantined": 2, "held": 2}
    assert str(result.samples[0]).startswith("another row of the same job_id is quarantined")
    assert pair.text("staff") == before
    pair.source.execute("UPDATE staff SET state = 'ok' WHERE who = 'A'")
    assert row_counts(pair.sync(staff)) == {"updated": 2}
    assert pair.rows("SELECT id, who, state FROM staff ORDER BY id") == [(1, "A", "ok"), (2, "B", "new")]
    assert pair.one("SELECT count(*) FROM powerca_sync.quarantine") == 0


@pytest.mark.parametrize("shift", [1, -1])
def test_rows_that_exchange_unique_values_are_renumbered(pair: Pair, shift: int) -> None:
    lines = delete_insert("lines", "line")
    pair.source.execute("CREATE TABLE lines (line int, pos int)")
    pair.target.execute("CREATE TABLE lines (id serial PRIMARY KEY, line int, pos int UNIQUE, source char(1))")
    pair.source.execute("INSERT INTO lines SELECT g, g FROM generate_series(1, 40) AS g")
    pair.sync(lines)
    pair.source.execute("UPDATE lines SET pos = pos + %s", [shift])
    assert row_counts(pair.sync(lines)) == {"updated": 40}


def test_thousands_of_duplicate_rows_are_paired(pair: Pair) -> None:
    lines = delete_insert("lines", "line")
    pair.source.execute("CREATE TABLE lines (line int)")
    pair.target.execute("CREATE TABLE lines (id serial PRIMARY KEY, line int, source char(1))")
    pair.source.execute("INSERT INTO lines SELECT 1 FROM generate_series(1, 20000) AS g")
    pair.sync(lines)
    pair.source.execute("INSERT INTO lines VALUES (1)")
    assert row_counts(pair.sync(lines)) == {"unchanged": 20_000, "inserted": 1}
