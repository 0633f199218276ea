"""The ledger: a phone row is reverse-synced once, whatever happens to it, to its copy, or to the tables."""

import pytest

from powerca_sync.engine.postgres import load
from powerca_sync.engine.requests import Choice
from powerca_sync.engine.status.reverse_status import read_reverse_status
from powerca_sync.specs import Strategy, TableSpec
from powerca_sync_tests.helpers import Pair, delete_insert, pulled, row_counts, spec

DIARY = delete_insert("diary", "staff_id", "day")
LEAVE = spec("leave", "leave_id")
KEYED, KEYLESS = "id bigserial PRIMARY KEY,", ""
either_key = pytest.mark.parametrize("key", [KEYED, KEYLESS], ids=["keyed", "keyless"])


def make_diary(pair: Pair, key: str = KEYED, *, mobile: str = "") -> None:
    columns = "staff_id int, day date, note text"
    pair.source.execute(f"CREATE TABLE diary ({columns})")
    pair.target.execute(f"CREATE TABLE diary ({key} {columns}, source char(1) DEFAULT 'M' {mobile})")


def make_leave(pair: Pair, key: str = "int", *, mobile: str = "") -> None:
    pair.source.execute(f"CREATE TABLE leave (leave_id {key}, days int, status text)")
    pair.target.execute(
        f"CREATE TABLE leave (leave_id int PRIMARY KEY, days int, status text, source char(1) DEFAULT 'M' {mobile})"
    )


def add_note(pair: Pair, *notes: str) -> None:
    """Inserts phone rows into the diary."""
    for text in notes:
        pair.target.execute("INSERT INTO diary (staff_id, day, note) VALUES (1, '2025-10-01', %s)", [text])


def notes(pair: Pair) -> list[str]:
    """Returns the notes of the desktop's diary."""
    return [text for (text,) in pair.rows("SELECT note FROM diary ORDER BY 1", pair.source)]


@either_key
def test_each_row_is_reverse_synced_once(pair: Pair, key: str) -> None:
    make_diary(pair, key)
    add_note(pair, "a", "a", "b")
    assert pulled(pair.pull(DIARY)) == {"pulled": 3}
    before = pair.text("diary", on=pair.source), pair.text("powerca_sync.pulled", on=pair.source)
    assert pulled(pair.pull(DIARY)) == {"already_there": 3}
    assert (pair.text("diary", on=pair.source), pair.text("powerca_sync.pulled", on=pair.source)) == before
    add_note(pair, "a")
    assert pulled(pair.pull(DIARY)) == {"already_there": 3, "pulled": 1}
    assert notes(pair) == ["a", "a", "a", "b"]


def test_row_edited_after_its_reverse_sync_stays_and_is_listed(pair: Pair) -> None:
    make_leave(pair)
    pair.target.execute("INSERT INTO leave VALUES (5, 1, 'P'), (6, 1, 'P')")
    pair.pull(LEAVE)
    before = pair.text("leave", on=pair.source)
    pair.target.execute("UPDATE leave SET status = 'A' WHERE leave_id = 5")
    for _ in range(2):
        result = pair.pull(LEAVE)
        assert pulled(result) == {"already_there": 2, "changed_after_pull": 1}
        assert result.changed_keys == ("5",)
    assert pair.text("leave", on=pair.source) == before
    pair.target.execute("UPDATE leave SET status = 'P'")
    assert pulled(pair.pull(LEAVE)) == {"already_there": 2}


@either_key
def test_deleted_desktop_copy_is_listed_until_requested_again(pair: Pair, key: str) -> None:
    make_diary(pair, key)
    add_note(pair, "a", "b", "b", "c")
    pair.pull(DIARY)
    pair.source.execute("DELETE FROM diary WHERE note = 'a' OR ctid IN (SELECT max(ctid) FROM diary WHERE note = 'b')")
    for _ in range(2):
        result = pair.pull(DIARY)
        assert pulled(result) == {"already_there": 4, "missing_after_pull": 2}
        assert any("reverse --again" in warning for warning in result.remarks)
    assert notes(pair) == ["b", "c"]
    assert pulled(pair.pull(DIARY, again=True)) == {"already_there": 2, "pulled": 2}
    assert notes(pair) == ["a", "b", "b", "c"]
    assert pulled(pair.pull(DIARY, again=True)) == {"already_there": 4}


def test_row_requested_again_arrives_with_its_current_values(pair: Pair) -> None:
    make_leave(pair)
    pair.target.execute("INSERT INTO leave VALUES (5, 1, 'P')")
    pair.pull(LEAVE)
    pair.target.execute("UPDATE leave SET status = 'A'")
    pair.source.execute("DELETE FROM leave")
    assert pulled(pair.pull(LEAVE)) == {"already_there": 1, "changed_after_pull": 1, "missing_after_pull": 1}
    assert pulled(pair.pull(LEAVE, again=True)) == {"pulled": 1}
    assert pair.rows("SELECT * FROM leave", pair.source) == [(5, 1, "A")]
    assert pulled(pair.pull(LEAVE)) == {"already_there": 1}


def test_office_edit_of_a_copy_is_neither_missing_nor_overwritten(pair: Pair) -> None:
    make_leave(pair)
    pair.target.execute("INSERT INTO leave VALUES (5, 1, 'P')")
    pair.pull(LEAVE)
    pair.source.execute("UPDATE leave SET status = 'A'")
    assert pulled(pair.pull(LEAVE, again=True)) == {"already_there": 1}
    assert pair.rows("SELECT * FROM leave", pair.source) == [(5, 1, "A")]
    assert row_counts(pair.sync(LEAVE)) == {"kept_mobile": 1}


@either_key
def test_row_deleted_on_mobile_stays_on_the_desktop_only(pair: Pair, key: str) -> None:
    make_diary(pair, key)
    add_note(pair, "a", "b")
    pair.pull(DIARY)
    pair.target.execute("DELETE FROM diary WHERE note = 'a'")
    result = pair.pull(DIARY)
    assert pulled(result) == {"already_there": 1, "gone": 1}
    assert result.remarks == ("1 reverse-synced row deleted on mobile since, kept on the desktop",)
    assert pulled(pair.pull(DIARY)) == {"already_there": 1}
    assert notes(pair) == ["a", "b"]
    assert row_counts(pair.sync(DIARY)) == {"echo": 2}
    assert pair.one("SELECT count(*) FROM diary") == 1


@pytest.mark.parametrize("observed", [True, False])
def test_mobile_id_reused_after_a_delete_is_a_second_record(pair: Pair, observed: bool) -> None:
    make_leave(pair, mobile=", created_at timestamptz DEFAULT clock_timestamp()")
    pair.target.execute("INSERT INTO leave (leave_id, days) VALUES (5, 1)")
    pair.pull(LEAVE)
    pair.target.execute("DELETE FROM leave")
    if observed:
        assert pulled(pair.pull(LEAVE)) == {"gone": 1}
    pair.target.execute("INSERT INTO leave (leave_id, days) VALUES (5, 2)")
    assert pulled(pair.pull(LEAVE)) == ({"pulled": 1} if observed else {"pulled": 1, "gone": 1})
    assert pulled(pair.pull(LEAVE)) == {"already_there": 1}
    assert pair.rows("SELECT leave_id, days FROM leave ORDER BY 2", pair.source) == [(5, 1), (5, 2)]
    assert row_counts(pair.sync(LEAVE)) == {"echo": 2}
    assert pair.rows("SELECT leave_id, days FROM leave") == [(5, 2)]


def test_id_reuse_without_timestamps_is_known_by_an_observed_delete(pair: Pair) -> None:
    make_leave(pair)
    for days in (1, 2, 3):
        pair.target.execute("INSERT INTO leave VALUES (5, %s, 'P')", [days])
        assert pair.pull(LEAVE).pulled == 1
        pair.target.execute("DELETE FROM leave")
        pair.pull(LEAVE)
    assert pair.rows("SELECT days FROM leave ORDER BY 1", pair.source) == [(1,), (2,), (3,)]


@either_key
def test_row_that_was_temporarily_invisible_is_the_same_row(pair: Pair, key: str) -> None:
    make_diary(pair, key, mobile=", created_at timestamptz DEFAULT clock_timestamp()")
    add_note(pair, "a", "b")
    pair.pull(DIARY)
    for _ in range(3):
        pair.target.execute("UPDATE diary SET source = 'D' WHERE note = 'a'")
        assert pulled(pair.pull(DIARY)) == {"already_there": 1, "gone": 1}
        pair.target.execute("UPDATE diary SET source = 'M'")
        assert pulled(pair.pull(DIARY)) == {"already_there": 2}
    assert notes(pair) == ["a", "b"]


def test_row_edited_while_invisible_is_matched_by_its_creation_time(pair: Pair) -> None:
    make_diary(pair, mobile=", created_at timestamptz DEFAULT clock_timestamp()")
    add_note(pair, "a")
    pair.pull(DIARY)
    pair.target.execute("UPDATE diary SET source = 'D', note = 'edited'")
    assert pulled(pair.pull(DIARY)) == {"gone": 1}
    pair.target.execute("UPDATE diary SET source = 'M'")
    assert pulled(pair.pull(DIARY)) == {"already_there": 1, "changed_after_pull": 1}
    assert notes(pair) == ["a"]


@either_key
@pytest.mark.parametrize("strategy", list(Strategy))
def test_rows_inserted_by_another_engine_are_adopted(pair: Pair, key: str, strategy: Strategy) -> None:
    diary = spec("diary", "staff_id", "day", strategy=strategy)
    make_diary(pair, key)
    add_note(pair, "a", "a", "a", "b", "c")
    pair.target.execute("INSERT INTO diary (staff_id, day, note) VALUES (2, '2025-10-01', 'd'), (NULL, NULL, 'e')")
    pair.source.execute("""INSERT INTO diary VALUES
        (1, '2025-10-01', 'a'), (1, '2025-10-01', 'a'), (1, '2025-10-01', 'b'), (NULL, NULL, 'e'),
        (2, '2025-10-02', 'd')""")
    before = pair.text("diary", on=pair.source)
    result = pair.pull(diary)
    assert pulled(result) == {"adopted": 4, "pulled": 3}
    assert set(before) < set(pair.text("diary", on=pair.source))
    assert pulled(pair.pull(diary)) == {"already_there": 7}
    assert notes(pair) == ["a", "a", "a", "b", "c", "d", "d", "e"]


def test_adopted_row_is_an_echo(pair: Pair) -> None:
    make_diary(pair)
    add_note(pair, "a", "b")
    pair.source.execute("INSERT INTO diary VALUES (1, '2025-10-01', 'a')")
    assert pulled(pair.pull(DIARY)) == {"adopted": 1, "pulled": 1}
    assert row_counts(pair.sync(DIARY)) == {"echo": 2}


def test_later_lookalike_is_quarantined_until_a_choice(pair: Pair) -> None:
    make_diary(pair)
    add_note(pair, "a")
    pair.pull(DIARY)
    pair.source.execute("INSERT INTO diary VALUES (1, '2025-10-01', 'b')")
    add_note(pair, "b")
    assert pulled(pair.pull(DIARY)) == {"already_there": 1, "lookalikes": 1}
    assert pulled(pair.pull(DIARY, lookalikes=Choice.PULL)) == {"already_there": 1, "pulled": 1}
    assert notes(pair) == ["a", "b", "b"]


def test_equal_content_with_a_desktop_key_is_the_same_record(pair: Pair) -> None:
    make_leave(pair)
    pair.target.execute("INSERT INTO leave VALUES (4, 1, 'P')")
    pair.pull(LEAVE)
    pair.source.execute("INSERT INTO leave VALUES (5, 1, 'P'), (NULL, 2, 'P')")
    pair.target.execute("INSERT INTO leave VALUES (5, 1, 'P')")
    assert pulled(pair.pull(LEAVE)) == {"already_there": 1, "adopted": 1}
    assert pulled(pair.pull(LEAVE)) == {"already_there": 2}
    assert pair.one("SELECT count(*) FROM leave", pair.source) == 3


CHANGES = {
    "added": ["ALTER TABLE diary ADD place text"],
    "added with a default": ["ALTER TABLE diary ADD place text DEFAULT 'office'"],
    "added with a default that differs": ["ALTER TABLE diary ADD place text DEFAULT gen_random_uuid()::text"],
    "widened": ["ALTER TABLE diary ALTER note TYPE varchar(200)"],
    "of another type": ["ALTER TABLE diary ALTER staff_id TYPE numeric(8,2)"],
    "renamed": ["ALTER TABLE diary RENAME note TO remark"],
    "dropped": ["ALTER TABLE diary DROP COLUMN day"],
}


@either_key
@pytest.mark.parametrize(
    ("change", "side"),
    [*((change, "both") for change in CHANGES), *((change, "target") for change in CHANGES), ("dropped", "source")],
)
def test_changed_columns_do_not_reverse_sync_a_row_twice(shared_pair: Pair, key: str, side: str, change: str) -> None:
    pair = shared_pair
    diary = delete_insert("diary", "staff_id")
    pair.both("DROP TABLE IF EXISTS diary; DROP SCHEMA IF EXISTS powerca_sync CASCADE; DROP TABLE IF EXISTS sync_log")
    make_diary(pair, key)
    add_note(pair, "a", "a", "b", "c")
    pair.pull(diary)
    for connection in (pair.source, pair.target):
        if side == "both" or connection is getattr(pair, side):
            connection.execute(CHANGES[change][0])
    pair.target.execute("INSERT INTO diary (staff_id) VALUES (7)")
    result = pair.pull(diary)
    assert (result.pulled, result.already_there + result.adopted) == (1, 4)
    assert pulled(pair.pull(diary)) == {"already_there": 5}
    assert pair.one("SELECT count(*) FROM diary", pair.source) == 5


def test_row_is_matched_by_a_later_column_after_a_table_rewrite(pair: Pair) -> None:
    make_diary(pair)
    pair.target.execute("INSERT INTO diary (note) VALUES ('a'), ('b')")
    pair.pull(DIARY)
    pair.both("ALTER TABLE diary ADD place text DEFAULT 'office'")
    pair.pull(DIARY)
    pair.source.execute("VACUUM FULL diary")
    assert pulled(pair.pull(DIARY)) == {"already_there": 2}
    assert row_counts(pair.sync(DIARY)) == {"echo": 2}


def test_row_that_differs_only_in_a_new_column_arrives(pair: Pair) -> None:
    make_diary(pair, KEYLESS, mobile=", created_at timestamptz DEFAULT clock_timestamp()")
    add_note(pair, *"abcdefgh")
    pair.pull(DIARY)
    pair.both("ALTER TABLE diary ADD place text")
    pair.target.execute("INSERT INTO diary SELECT staff_id, day, note, source, clock_timestamp(), 'road' FROM diary")
    assert pulled(pair.pull(DIARY)) == {"already_there": 8, "pulled": 8}
    assert pair.rows("SELECT place, count(*) FROM diary GROUP BY 1 ORDER BY 1", pair.source) == [("road", 8), (None, 8)]


@pytest.mark.parametrize(
    ("before", "change"),
    [
        (KEYED, "ALTER TABLE diary DROP CONSTRAINT diary_pkey"),
        (KEYED, "ALTER TABLE diary DROP COLUMN id"),
        (KEYED, "ALTER TABLE diary ALTER id TYPE numeric(8,2)"),
        (KEYED, "ALTER TABLE diary DROP CONSTRAINT diary_pkey, ADD PRIMARY KEY (id, staff_id)"),
        (KEYED, "ALTER TABLE diary DROP COLUMN id; ALTER TABLE diary ADD id bigserial PRIMARY KEY"),
        (KEYLESS, "ALTER TABLE diary ADD id bigserial PRIMARY KEY"),
    ],
)
def test_changed_mobile_primary_key_does_not_reverse_sync_twice(pair: Pair, before: str, change: str) -> None:
    make_diary(pair, before)
    add_note(pair, "a", "a", "b")
    pair.pull(DIARY)
    pair.target.execute(change)
    add_note(pair, "b")
    result = pair.pull(DIARY)
    assert (result.pulled, result.already_there) == (1, 3)
    assert pulled(pair.pull(DIARY)) == {"already_there": 4}
    assert notes(pair) == ["a", "a", "b", "b"]


def test_added_and_dropped_columns_do_not_break_old_entries(pair: Pair) -> None:
    make_diary(pair, KEYLESS)
    add_note(pair, "a")
    pair.pull(DIARY)
    pair.target.execute("DELETE FROM diary")
    pair.pull(DIARY)
    pair.both("ALTER TABLE diary ADD place text")
    add_note(pair, "a")
    pair.pull(DIARY)
    pair.source.execute("ALTER TABLE diary DROP COLUMN place")
    assert pair.pull(DIARY).already_there == 1
    assert pulled(pair.pull(DIARY)) == {"already_there": 1}


def test_two_records_with_one_key_conflict_until_resolved(pair: Pair) -> None:
    make_leave(pair)
    pair.source.execute("INSERT INTO leave VALUES (5, 1, 'of the office')")
    pair.target.execute("INSERT INTO leave VALUES (5, 2, 'of a phone'), (6, 3, 'P')")
    before = pair.text("leave", where="leave_id = 5", on=pair.source)
    for fate in ("pulled", "already_there"):
        result = pair.pull(LEAVE)
        assert pulled(result) == {fate: 1, "conflicts": 1}
        (conflict,) = result.conflict_samples
        assert conflict.key == {"leave_id": "5"}
        assert (conflict.phone["status"], conflict.desktop["status"]) == ("of a phone", "of the office")
        kept = pair.rows("SELECT reason, image ->> 'days', theirs ->> 'days' FROM powerca_sync.quarantine", pair.source)
        assert kept == [("conflict", "2", "1")]
        assert row_counts(pair.sync(LEAVE)) == {"kept_mobile": 1, "echo": 1}
    assert pair.text("leave", where="leave_id = 5", on=pair.source) == before
    pair.source.execute("DELETE FROM leave WHERE leave_id = 5")
    assert pulled(pair.pull(LEAVE)) == {"already_there": 1, "pulled": 1}
    assert pair.one("SELECT count(*) FROM powerca_sync.quarantine", pair.source) == 0


def test_conflict_is_resolved_when_both_records_are_equal(pair: Pair) -> None:
    make_leave(pair)
    pair.source.execute("INSERT INTO leave VALUES (5, 1, 'A')")
    pair.target.execute("INSERT INTO leave VALUES (5, 2, 'P')")
    assert pulled(pair.pull(LEAVE)) == {"conflicts": 1}
    pair.source.execute("UPDATE leave SET days = 2, status = 'P'")
    assert pulled(pair.pull(LEAVE)) == {"adopted": 1}
    assert pair.one("SELECT count(*) FROM leave", pair.source) == 1


def test_unique_index_of_the_desktop_causes_a_conflict(pair: Pair) -> None:
    make_diary(pair)
    pair.source.execute("CREATE UNIQUE INDEX ON diary (staff_id, note)")
    pair.source.execute("INSERT INTO diary VALUES (1, '2025-01-01', 'a'), (1, '2025-10-01', 'c'), (1, NULL, NULL)")
    add_note(pair, "z")
    pair.pull(DIARY)
    add_note(pair, "a", "b", "c")
    result = pair.pull(DIARY)
    assert pulled(result) == {"already_there": 1, "pulled": 1, "adopted": 1, "conflicts": 1}
    assert str(result.samples[0]) == "the target has another row of its own with staff_id, note=1, a"


def test_copy_of_a_deleted_record_causes_no_conflict(pair: Pair) -> None:
    make_leave(pair)
    for days in (1, 2):
        pair.target.execute("INSERT INTO leave VALUES (5, %s, 'P')", [days])
        assert pulled(pair.pull(LEAVE)) == {"pulled": 1}
        pair.target.execute("DELETE FROM leave")
        pair.source.execute("UPDATE leave SET status = 'A'")
        pair.pull(LEAVE)
    assert pair.rows("SELECT days, status FROM leave ORDER BY 1", pair.source) == [(1, "A"), (2, "A")]


def test_sensitive_columns_are_not_in_conflict_samples(pair: Pair) -> None:
    make_leave(pair)
    pair.source.execute("INSERT INTO leave VALUES (5, 1, 'hidden one')")
    pair.target.execute("INSERT INTO leave VALUES (5, 2, 'hidden two')")
    result = pair.pull(spec("leave", "leave_id", sensitive=frozenset({"status"})))
    assert "hidden" not in str(result)
    assert "hidden" not in str(pair.rows("SELECT * FROM powerca_sync.quarantine", pair.source))


@pytest.mark.parametrize("table", [DIARY, LEAVE], ids=["DELETE_INSERT", "UPSERT"])
def test_owner_overwritten_on_mobile_does_not_double_the_row(pair: Pair, table: TableSpec) -> None:
    make_diary(pair)
    make_leave(pair)
    pair.source.execute("""
        INSERT INTO diary SELECT 1, '2025-10-01', 'own ' || n FROM generate_series(1, 40) AS n;
        INSERT INTO leave SELECT n, 1, 'P' FROM generate_series(1, 40) AS n""")
    pair.sync(table)
    add_note(pair, "of a phone")
    pair.target.execute("INSERT INTO leave VALUES (99, 1, 'of a phone')")
    pair.pull(table)
    pair.target.execute(f"UPDATE {table.mobile} SET source = 'M'")  # noqa: S608
    if table is DIARY:
        assert pulled(pair.pull(table)) == {"already_there": 1, "lookalikes": 40}
    else:
        assert pulled(pair.pull(table)) == {"already_there": 1, "adopted": 40}
    assert pair.one(f"SELECT count(*) FROM {table.desktop}", pair.source) == 41  # noqa: S608


def test_ledger_entries_of_other_tables_are_ignored(pair: Pair) -> None:
    make_diary(pair)
    add_note(pair, "a")
    pair.pull(DIARY)
    pair.source.execute("UPDATE powerca_sync.pulled SET table_name = 'other'")
    assert pulled(pair.pull(DIARY)) == {"adopted": 1}


SEQUENCES = {
    "owned": "CREATE TABLE leave (leave_id serial, days int, status text)",
    "identity": "CREATE TABLE leave (leave_id int GENERATED BY DEFAULT AS IDENTITY, days int, status text)",
    "shared": """CREATE SEQUENCE ids; CREATE TABLE other (id int DEFAULT nextval('ids'));
        CREATE TABLE leave (leave_id numeric(5) DEFAULT nextval('ids'), days int, status text)""",
}


def make_sequence(pair: Pair, how: str) -> None:
    make_leave(pair)
    pair.source.execute("DROP TABLE leave")
    pair.source.execute(how)


def next_leave(pair: Pair) -> int:
    return int(pair.one("INSERT INTO leave (days) VALUES (1) RETURNING leave_id", pair.source))


@pytest.mark.parametrize("how", SEQUENCES)
def test_office_insert_gets_a_key_beyond_those_of_phone_rows(pair: Pair, how: str) -> None:
    make_sequence(pair, SEQUENCES[how])
    pair.target.execute("INSERT INTO leave VALUES (7, 1, 'P'), (500, 1, 'P')")
    pair.pull(LEAVE)
    assert next_leave(pair) == 501
    pair.target.execute("INSERT INTO leave VALUES (8, 1, 'P')")
    pair.pull(LEAVE)
    assert next_leave(pair) == 502, "never backwards"


@pytest.mark.parametrize(
    ("started", "key", "following"),
    [("START 1000 MINVALUE 100", 7, 1000), ("START 1000", 1200, 1201), ("", 7, 8), ("RESTART 500", 7, 501)],
)
def test_unused_sequence_is_not_moved_back(pair: Pair, started: str, key: int, following: int) -> None:
    creation = "" if "RESTART" in started else started
    make_sequence(
        pair,
        f"CREATE SEQUENCE ids {creation};"
        "CREATE TABLE leave (leave_id int DEFAULT nextval('ids'), days int, status text)",
    )
    if "RESTART" in started:
        pair.source.execute(f"ALTER SEQUENCE ids {started}")
    pair.target.execute("INSERT INTO leave VALUES (%s, 1, 'P')", [key])
    pair.pull(LEAVE)
    assert next_leave(pair) == following


@pytest.mark.parametrize(
    ("how", "keys", "limit"), [("shared", (49_999, 95_000), 49_999), ("owned", (999_999, 2_000_000_000), 1_000_000)]
)
def test_key_outside_the_sequence_range_does_not_move_the_sequence(
    pair: Pair, how: str, keys: tuple[int, int], limit: int
) -> None:
    make_sequence(pair, SEQUENCES[how])
    pair.target.execute("INSERT INTO leave VALUES (%s, 1, 'P'), (%s, 1, 'P')", keys)
    result = pair.pull(LEAVE)
    assert result.pulled == 2
    words = f"leave_id={keys[1]} is higher than the desktop's own rows will reach; its sequence stays below {limit + 1}"
    assert words in result.warnings
    assert next_leave(pair) == keys[0] + 1


def test_default_that_formats_a_sequence_value_as_text_is_left_alone(pair: Pair) -> None:
    pair.both("CREATE SEQUENCE ids; CREATE TABLE jobs (job_uid text DEFAULT 'J' || nextval('ids'), name text)")
    pair.target.execute("ALTER TABLE jobs ADD source char(1); INSERT INTO jobs VALUES ('J9', 'a', 'M')")
    assert pulled(pair.pull(spec("jobs", "job_uid"))) == {"pulled": 1}
    assert pair.one("SELECT nextval('ids')", pair.source) == 1


def test_each_reverse_run_is_logged(pair: Pair) -> None:
    make_diary(pair)
    add_note(pair, "a", "b")
    pair.pull(DIARY)
    pair.pull(DIARY)
    log = "SELECT table_name, direction, records_synced, synced_at IS NOT NULL FROM public.sync_log ORDER BY id"
    assert pair.rows(log, pair.source) == [("diary", "reverse", 2, True), ("diary", "reverse", 0, True)]


def test_log_of_the_guides_engine_is_continued(pair: Pair) -> None:
    make_diary(pair)
    pair.source.execute("""CREATE TABLE sync_log (table_name varchar(100), direction varchar(20), records_synced int,
        last_sync_at timestamp, synced_at timestamp DEFAULT now(), remark text);
        INSERT INTO sync_log VALUES ('diary', 'forward', 3)""")
    add_note(pair, "a")
    pair.pull(DIARY)
    log = "SELECT direction, records_synced FROM sync_log ORDER BY 1"
    assert pair.rows(log, pair.source) == [("forward", 3), ("reverse", 1)]
    assert pair.one("SELECT to_regclass('powerca_sync.sync_log')", pair.source) is None


def test_failed_reverse_run_leaves_no_trace(pair: Pair) -> None:
    make_diary(pair)
    add_note(pair, "a")
    pair.pull(DIARY)
    add_note(pair, "b")
    pair.source.execute("ALTER TABLE powerca_sync.pulls ADD CHECK (columns IS NULL) NOT VALID")
    kept = ("diary", "powerca_sync.pulled", "powerca_sync.pulls", "sync_log")
    before = [pair.text(table, on=pair.source) for table in kept]
    with pytest.raises(Exception, match=r"reverse-syncing table `diary` failed: .*pulls_columns_check"):
        pair.pull(DIARY)
    assert [pair.text(table, on=pair.source) for table in kept] == before


def test_state_tables_of_the_desktop_are_created_once(pair: Pair) -> None:
    pair.source.execute(load("powerca_sync.engine.reverse", "source_state.sql"))
    before = pair.text("pg_class", on=pair.source)
    pair.source.execute(load("powerca_sync.engine.reverse", "source_state.sql"))
    assert pair.text("pg_class", on=pair.source) == before


def test_status_with_a_ledger_of_an_earlier_version_is_right_and_writes_nothing(pair: Pair) -> None:
    make_diary(pair)
    add_note(pair, "a", "b")
    pair.pull(DIARY)
    add_note(pair, "c")
    pair.source.execute("ALTER TABLE powerca_sync.pulls DROP COLUMN findings")
    before = pair.text("powerca_sync.pulls", on=pair.source)
    (status,) = read_reverse_status(source=pair.target, target=pair.source, specs=[DIARY])
    assert (status.phone_rows, status.pulled, status.waiting, status.error) == (3, 2, 1, None)
    assert status.last_pull is not None
    assert pair.text("powerca_sync.pulls", on=pair.source) == before


def test_table_whose_common_columns_are_not_compared_is_reverse_synced_once(pair: Pair) -> None:
    pair.source.execute("CREATE TABLE items (created_at timestamptz)")
    pair.target.execute(
        "CREATE TABLE items (id bigserial PRIMARY KEY, created_at timestamptz, source char(1) DEFAULT 'M');"
        "INSERT INTO items (created_at) VALUES ('2025-01-01')"
    )
    table = delete_insert("items", "item_id")
    assert pulled(pair.pull(table)) == {"pulled": 1}
    assert pulled(pair.pull(table)) == {"already_there": 1}
    assert pair.one("SELECT count(*) FROM items", pair.source) == 1
