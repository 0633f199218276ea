"""The timestamp cursor of the guide: rows stamped after the source's clock at the last snapshot, less an overlap."""

import dataclasses
import logging

import pytest
from psycopg import sql

from powerca_sync.engine.requests import Mode
from powerca_sync.specs import STAMPS, Cursor
from powerca_sync_tests.helpers import QUICK, Pair, row_counts, spec

DIARY = spec("diary", "id", cursor=Cursor.TIMESTAMP)
#: No overlap, so that the watermark itself is tested; the clock of the desktop follows its time zone.
EXACT = dataclasses.replace(QUICK, overlap=0)


def make_diary(pair: Pair, stamps: str) -> None:
    """Creates rows 1 to 3, stamped an hour ago, synced once."""
    pair.source.execute(f"CREATE TABLE diary (id int PRIMARY KEY, note text{stamps})")  # type: ignore[call-overload]
    pair.target.execute("CREATE TABLE diary (id int PRIMARY KEY, note text)")
    pair.source.execute("INSERT INTO diary SELECT g, 'note' FROM generate_series(1, 3) AS g")
    for name in [name for name in STAMPS if name in stamps]:
        stamp = sql.SQL("UPDATE diary SET {} = now() - interval '1 hour'").format(sql.Identifier(name))
        pair.source.execute(stamp)
    pair.sync(DIARY)


def read(pair: Pair, overlap: float = 0) -> dict[str, int]:
    result = pair.sync(DIARY, mode="incremental", options=dataclasses.replace(EXACT, overlap=overlap))
    assert (result.mode_effective, result.mode_reason) == (Mode.INCREMENTAL, "")
    return row_counts(result)


BOTH = ", created_at timestamp, updated_at timestamp"


@pytest.mark.parametrize(
    "stamps", [BOTH, BOTH.replace("timestamp", "timestamptz"), ", updated_at timestamp", ", created_at timestamptz"]
)
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "Etc/GMT+8"])
def test_rows_stamped_since_the_last_run_are_read_in_any_time_zone(pair: Pair, stamps: str, zone: str) -> None:
    pair.source.execute(f"ALTER DATABASE {pair.settings.desktop.name} SET TimeZone = '{zone}'")  # type: ignore[call-overload]
    pair.source.execute(f"SET TimeZone = '{zone}'")  # type: ignore[call-overload]
    make_diary(pair, stamps)
    assert read(pair) == {}
    column = "updated_at" if "updated_at" in stamps else "created_at"
    change = sql.SQL("UPDATE diary SET note = 'changed', {} = clock_timestamp() WHERE id = 2")
    pair.source.execute(change.format(sql.Identifier(column)))
    pair.source.execute("UPDATE diary SET note = 'changed without a stamp' WHERE id = 3")
    assert read(pair) == {"updated": 1}
    assert read(pair) == {}


def test_row_without_a_timestamp_is_read_in_each_run(pair: Pair) -> None:
    make_diary(pair, BOTH)
    pair.source.execute(
        "UPDATE diary SET updated_at = NULL WHERE id = 1; UPDATE diary SET created_at = NULL WHERE id = 2"
    )
    pair.source.execute("UPDATE diary SET note = 'changed' WHERE id < 3")
    assert read(pair) == {"updated": 2}
    assert read(pair) == {"unchanged": 2}


def test_overlap_finds_rows_committed_after_the_last_run(pair: Pair) -> None:
    make_diary(pair, BOTH)
    pair.source.execute("UPDATE diary SET note = 'late', updated_at = now() - interval '5 minutes' WHERE id = 1")
    assert read(pair, overlap=60) == {}
    assert read(pair, overlap=600) == {"updated": 1}


def test_watermark_is_the_clock_of_the_source_at_its_snapshot(pair: Pair) -> None:
    make_diary(pair, BOTH)
    before = pair.one("SELECT clock_timestamp()", pair.source)
    pair.sync(DIARY)
    after = pair.one("SELECT clock_timestamp()", pair.source)
    assert before < pair.one("SELECT (mark ->> 'clock')::timestamptz FROM powerca_sync.table_state") < after


def test_table_without_timestamps_runs_full_and_says_why(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    make_diary(pair, "")
    with caplog.at_level(logging.INFO, logger="powerca_sync"):
        result = pair.sync(DIARY, mode="incremental")
    assert result.mode_effective is Mode.FULL
    assert (
        "diary ran in full: `diary` is missing the columns created_at and updated_at, "
        "which an incremental sync requires." in caplog.messages
    )


def test_view_with_timestamps_is_read_incrementally(pair: Pair) -> None:
    pair.source.execute("CREATE TABLE stored (id int, note text, updated_at timestamp)")
    pair.source.execute("INSERT INTO stored VALUES (1, 'a', '2020-01-01')")
    pair.source.execute("CREATE VIEW diary AS SELECT * FROM stored")
    pair.target.execute("CREATE TABLE diary (id int PRIMARY KEY, note text)")
    pair.sync(DIARY)
    assert read(pair) == {}
    pair.source.execute("INSERT INTO stored VALUES (2, 'b', localtimestamp)")
    assert read(pair) == {"inserted": 1}


def test_date_column_counts_as_any_time_of_that_day(pair: Pair) -> None:
    make_diary(pair, ", updated_at date")
    pair.source.execute("UPDATE diary SET note = 'edited', updated_at = current_date WHERE id = 2")
    assert read(pair)["updated"] == 1
    pair.source.execute("UPDATE diary SET note = 'again', updated_at = current_date WHERE id = 2")
    assert read(pair)["updated"] == 1


def test_clock_set_back_makes_the_run_full(pair: Pair) -> None:
    make_diary(pair, ", updated_at timestamptz")
    pair.target.execute(
        "UPDATE powerca_sync.table_state SET mark = jsonb_set(mark, '{clock}', to_jsonb(now() + interval '1 hour'))"
    )
    result = pair.sync(DIARY, mode="incremental", options=EXACT)
    assert (result.mode_effective, result.mode_reason) == (
        Mode.FULL,
        "the source's clock went backwards since the last run",
    )
