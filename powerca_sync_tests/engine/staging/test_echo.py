"""Rows that reverse sync inserted on the desktop are skipped as echoes by forward sync."""

import pytest

from powerca_sync_tests.engine.staging.diary import (
    DIARY,
    LEAVE,
    desktop_writes,
    entry,
    make_diary,
    make_leave,
    phone_writes,
)
from powerca_sync_tests.helpers import Pair, assert_noop, row_counts


def diary(pair: Pair) -> list[tuple[object, ...]]:
    return pair.rows("SELECT staff_id, note, source FROM diary ORDER BY id")


def test_reverse_synced_row_is_recognised_by_its_image(pair: Pair) -> None:
    make_diary(pair)
    phone_writes(pair, "diary", entry("1", "visit"), entry(None, "without staff"))
    before = pair.text("diary")
    assert row_counts(pair.sync(DIARY)) == {"echo": 2}
    assert pair.text("diary") == before


def test_as_many_equal_rows_are_echoes_as_were_reverse_synced(pair: Pair) -> None:
    make_diary(pair)
    phone_writes(pair, "diary", entry("1", "visit"), entry("1", "visit"))
    desktop_writes(pair, 1, "visit")
    assert row_counts(pair.sync(DIARY)) == {"echo": 2, "inserted": 1}
    assert diary(pair) == [(1, "visit", "M"), (1, "visit", "M"), (1, "visit", "D")]
    assert_noop(pair, DIARY)


@pytest.mark.parametrize("staff", [1, None])
def test_new_desktop_row_with_the_key_of_a_reverse_synced_row_lands(pair: Pair, staff: int | None) -> None:
    make_diary(pair)
    phone_writes(pair, "diary", entry(staff and str(staff), "by phone"))
    desktop_writes(pair, staff, "by the office")
    assert row_counts(pair.sync(DIARY)) == {"echo": 1, "inserted": 1}
    assert diary(pair) == [(staff, "by phone", "M"), (staff, "by the office", "D")]
    assert_noop(pair, DIARY)


def test_office_edit_of_a_reverse_synced_row_is_skipped_and_reported(pair: Pair) -> None:
    make_diary(pair)
    phone_writes(pair, "diary", entry("1", "visit"), entry("1", "call"))
    before = pair.text("diary")
    pair.source.execute("UPDATE diary SET note = 'long visit' WHERE note = 'visit'")
    result = pair.sync(DIARY)
    assert row_counts(result) == {"echo": 1, "kept_mobile": 1}
    assert (result.conflicting, result.conflicts) == (1, ("(1,2025-10-01)",))
    assert pair.text("diary") == before


def test_desktop_row_with_the_key_of_a_deleted_copy_lands(pair: Pair) -> None:
    make_diary(pair)
    desktop_writes(pair, 1, "own")
    pair.sync(DIARY)
    phone_writes(pair, "diary", entry("1", "by phone"))
    pair.source.execute("DELETE FROM diary WHERE note = 'by phone'")
    before = pair.text("diary")
    assert row_counts(pair.sync(DIARY)) == {"unchanged": 1}
    assert pair.text("diary") == before
    pair.source.execute("UPDATE diary SET note = 'own, changed'")
    assert row_counts(pair.sync(DIARY)) == {"updated": 1}
    assert diary(pair) == [(1, "own, changed", "D"), (1, "by phone", "M")]


def test_phone_row_deleted_on_mobile_is_not_restored_from_the_desktop(pair: Pair) -> None:
    make_diary(pair)
    phone_writes(pair, "diary", entry("1", "visit"), entry("1", "call"))
    pair.source.execute(
        "UPDATE powerca_sync.pulled SET gone_at = now(); UPDATE diary SET note = 'C' WHERE note = 'call'"
    )
    pair.target.execute("DELETE FROM diary")
    assert row_counts(pair.sync(DIARY)) == {"echo": 1, "kept_mobile": 1}
    assert diary(pair) == []


def test_row_with_mobile_source_is_a_desktop_row_without_a_phone_row(pair: Pair) -> None:
    make_diary(pair, ", source char(1)")
    pair.source.execute(
        "INSERT INTO diary VALUES (1, NULL, 'phone', 'M'), (1, NULL, 'office', 'D'), (2, NULL, 'old', NULL)"
    )
    assert row_counts(pair.sync(DIARY)) == {"inserted": 3}
    assert diary(pair) == [(1, "phone", "D"), (1, "office", "D"), (2, "old", "D")]
    phone_writes(pair, "diary", entry("1", "visit"))
    pair.source.execute("UPDATE diary SET source = 'M' WHERE note = 'visit'")
    assert row_counts(pair.sync(DIARY)) == {"echo": 1, "unchanged": 3}
    assert_noop(pair, DIARY)


def test_row_with_mobile_source_pairs_with_an_unledgered_phone_row(pair: Pair) -> None:
    make_diary(pair, ", source char(1)")
    phone_writes(pair, "diary", entry("1", "same"), entry("1", "before"))
    pair.source.execute(
        "DROP SCHEMA powerca_sync CASCADE; UPDATE diary SET source = 'M', note = replace(note, 'before', 'edited')"
    )
    before = pair.text("diary")
    result = pair.sync(DIARY)
    assert (row_counts(result), result.conflicts) == ({"echo": 1, "kept_mobile": 1}, ("(1,2025-10-01)",))
    assert pair.text("diary") == before


def test_ledger_entry_without_a_key_claims_no_office_row(pair: Pair) -> None:
    make_diary(pair)
    phone_writes(pair, "diary", entry(None, "by phone"))
    pair.source.execute("UPDATE diary SET note = 'by the office'")
    assert row_counts(pair.sync(DIARY)) == {"inserted": 1}
    assert diary(pair) == [(None, "by phone", "M"), (None, "by the office", "D")]


def test_row_synced_before_the_ledger_is_recognised_by_content(pair: Pair) -> None:
    make_diary(pair)
    phone_writes(pair, "diary", entry("1", "visit"))
    pair.source.execute("DROP SCHEMA powerca_sync CASCADE")
    before = pair.text("diary")
    assert row_counts(pair.sync(DIARY)) == {"kept_mobile": 1}
    assert pair.text("diary") == before


@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_echoes_are_skipped_when_the_desktop_generates_its_own_key(pair: Pair, mode: str) -> None:
    make_leave(pair)
    pair.source.execute("INSERT INTO leave VALUES (1, 1, 'P')")
    pair.sync(LEAVE)
    phone_writes(pair, "leave", {"leave_id": "7", "days": "1.50", "status": "P"})
    before = pair.text("leave")
    assert row_counts(pair.sync(LEAVE, mode=mode)).get("echo") == 1
    pair.source.execute("UPDATE leave SET status = 'A' WHERE leave_id = 7")
    result = pair.sync(LEAVE, mode=mode)
    assert (result.echo, result.kept_mobile, result.conflicts) == (0, 1, ("(7)",))
    pair.target.execute("DELETE FROM leave WHERE leave_id = 7")
    assert pair.sync(LEAVE).inserted == 0
    assert pair.text("leave") == before[:1]


def test_ledger_entries_of_other_tables_are_ignored(pair: Pair) -> None:
    make_diary(pair)
    pair.source.execute("CREATE TABLE other (staff_id int, day date, note text)")
    phone_writes(pair, "diary", entry("1", "visit"))
    pair.source.execute("UPDATE powerca_sync.pulled SET table_name = 'other'")
    assert row_counts(pair.sync(DIARY)) == {"kept_mobile": 1}


def test_image_without_a_later_column_is_read_with_null_there(pair: Pair) -> None:
    make_diary(pair)
    phone_writes(pair, "diary", entry("1", "visit"))
    pair.both("ALTER TABLE diary ADD place text")
    assert row_counts(pair.sync(DIARY)) == {"echo": 1}


def test_ledger_of_a_large_table_is_matched_in_moderate_time(pair: Pair) -> None:
    make_diary(pair)
    pair.source.execute("""
        INSERT INTO diary SELECT n, '2025-10-01', 'entry ' || n FROM generate_series(1, 20000) AS n;
        INSERT INTO powerca_sync.pulled (table_name, mobile_key, image, content_hash)
        SELECT 'diary', staff_id, jsonb_build_object('staff_id', staff_id, 'day', day, 'note', note), 'hash' FROM diary;
        INSERT INTO diary SELECT n, '2025-10-02', 'own ' || n FROM generate_series(1, 5000) AS n""")
    result = pair.sync(DIARY)
    assert row_counts(result) == {"echo": 20000, "inserted": 5000}
    assert sum(result.seconds.values()) < 120, "a product of rows and entries takes hours"
