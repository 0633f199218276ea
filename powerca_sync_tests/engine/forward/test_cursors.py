"""What an incremental run reads: rows changed since the snapshot of the last run, by row version (`xmin`)."""

import dataclasses
from collections.abc import Iterator

import pytest
from psycopg.types.json import Jsonb

from powerca_sync.engine.postgres.database import connect
from powerca_sync.engine.requests import Mode
from powerca_sync.errors import SyncError
from powerca_sync.specs import Category, Lookup
from powerca_sync_tests.helpers import QUICK, Pair, delete_insert, row_counts, spec

DIARY = spec("diary", "id", limit_share=1.0)


@pytest.fixture
def diary(pair: Pair) -> Pair:
    """Creates five rows in both databases and runs a full sync."""
    pair.both("CREATE TABLE diary (id int PRIMARY KEY, note text)")
    pair.source.execute("INSERT INTO diary SELECT g, 'note ' || g FROM generate_series(1, 5) AS g")
    pair.sync(DIARY)
    return pair


def read(pair: Pair) -> tuple[int, dict[str, int]]:
    """Returns the rows that an incremental run reads, and their counts."""
    result = pair.sync(DIARY, mode="incremental")
    assert (result.mode_effective, result.mode_reason) == (Mode.INCREMENTAL, "")
    return result.extracted, row_counts(result)


def same(pair: Pair) -> bool:
    query = "SELECT * FROM diary ORDER BY id"
    return pair.rows(query) == pair.rows(query, pair.source)


def test_first_run_is_full_and_names_the_reason(pair: Pair) -> None:
    pair.both("CREATE TABLE diary (id int PRIMARY KEY, note text)")
    result = pair.sync(DIARY, mode="incremental")
    assert (result.mode_requested, result.mode_effective) == (Mode.INCREMENTAL, Mode.FULL)
    assert result.mode_reason == "there was no complete run before"


def test_unchanged_table_reads_no_rows(diary: Pair) -> None:
    before = diary.text("diary")
    assert read(diary) == (0, {})
    assert diary.text("diary") == before


def test_only_inserted_and_updated_rows_are_read(diary: Pair) -> None:
    diary.source.execute("INSERT INTO diary VALUES (6, 'new'); UPDATE diary SET note = 'changed' WHERE id = 2")
    assert read(diary) == (2, {"inserted": 1, "updated": 1})
    assert same(diary)
    assert read(diary) == (0, {})


def test_deleted_source_row_is_left_to_the_next_full_run(diary: Pair) -> None:
    diary.source.execute("DELETE FROM diary WHERE id = 5")
    assert read(diary) == (0, {})
    assert row_counts(diary.sync(DIARY)) == {"unchanged": 4, "stale": 1}


def test_late_commit_is_read_by_the_next_run(diary: Pair) -> None:
    with connect(diary.settings.desktop) as late:
        late.autocommit = False
        late.execute("INSERT INTO diary VALUES (6, 'late')")
        diary.source.execute("INSERT INTO diary VALUES (7, 'early')")
        assert read(diary) == (1, {"inserted": 1})
        # While it is open, rows written after it began are read again and found unchanged.
        assert read(diary) == (1, {"unchanged": 1})
        late.commit()
    assert read(diary) == (2, {"inserted": 1, "unchanged": 1})
    assert same(diary)


def test_write_in_a_savepoint_is_read(diary: Pair) -> None:
    with diary.source.transaction():
        diary.source.execute("UPDATE diary SET note = 'outer' WHERE id = 1")
        with diary.source.transaction():
            diary.source.execute("UPDATE diary SET note = 'inner' WHERE id = 2")
    assert read(diary) == (2, {"updated": 2})


def test_change_during_a_run_is_read_by_the_next_run(diary: Pair) -> None:
    # The run has taken its snapshot and is blocked by the lock that the test holds on the target table.
    with connect(diary.settings.mobile) as holder:
        holder.autocommit = False
        holder.execute("LOCK TABLE diary")
        with diary.sync_that_waits(DIARY) as run:
            diary.source.execute("UPDATE diary SET note = 'meanwhile' WHERE id = 3")
            diary.source.execute("INSERT INTO diary VALUES (6, 'meanwhile')")
            holder.commit()
    assert row_counts(run.result()) == {"unchanged": 5}
    assert diary.rows("SELECT note FROM diary WHERE id IN (3, 6)") == [("note 3",)]
    assert read(diary) == (2, {"inserted": 1, "updated": 1})
    assert same(diary)


@pytest.mark.parametrize("command", ["VACUUM FREEZE diary", "VACUUM FULL diary", "CLUSTER diary USING diary_pkey"])
def test_maintenance_neither_hides_nor_creates_changes(diary: Pair, command: str) -> None:
    diary.source.execute(command)  # type: ignore[call-overload]
    assert read(diary) == (0, {})
    diary.source.execute("UPDATE diary SET note = 'changed' WHERE id = 2")
    diary.source.execute(command)  # type: ignore[call-overload]
    assert read(diary) == (1, {"updated": 1})


def test_locked_but_unwritten_rows_are_not_changes(diary: Pair) -> None:
    with diary.source.transaction():
        diary.source.execute("SELECT FROM diary FOR UPDATE")
    assert read(diary) == (0, {})


ELSEWHERE = "the source is another database than at the last run"
BACKWARDS = "the source's history went backwards since the last run (it was restored)"


@pytest.mark.parametrize(
    ("fact", "value", "reason"),
    [
        ("system_identifier", "another server", ELSEWHERE),
        ("timeline", 7, ELSEWHERE),
        ("database_oid", 7, ELSEWHERE),
        ("table_oid", 7, ELSEWHERE),
        ("xmin", str(2**40), BACKWARDS),
        ("lsn", str(2**60), BACKWARDS),
        ("xmin", str(-(2**31)), "too many transactions went by since the last run"),
    ],
)
def test_watermark_of_another_history_is_ignored(diary: Pair, fact: str, value: object, reason: str) -> None:
    diary.target.execute(
        "UPDATE powerca_sync.table_state SET mark = mark || jsonb_build_object(%s::text, %s)",
        [fact, Jsonb(value)],
    )
    diary.source.execute("UPDATE diary SET note = 'changed' WHERE id = 2")
    result = diary.sync(DIARY, mode="incremental")
    assert (result.mode_effective, result.mode_reason) == (Mode.FULL, reason)
    assert row_counts(result) == {"updated": 1, "unchanged": 4}
    assert read(diary) == (0, {})


def test_recreated_table_is_read_in_full(diary: Pair) -> None:
    diary.source.execute("CREATE TABLE other (LIKE diary INCLUDING ALL); INSERT INTO other SELECT * FROM diary")
    diary.source.execute("DROP TABLE diary; ALTER TABLE other RENAME TO diary")
    result = diary.sync(DIARY, mode="incremental")
    assert (result.mode_effective, row_counts(result)) == (Mode.FULL, {"unchanged": 5})


def test_changed_spec_is_read_in_full(diary: Pair) -> None:
    result = diary.sync(spec("diary", "id", mobile_owned=frozenset({"note"})), mode="incremental")
    assert (result.mode_effective, result.mode_reason.split(",")[0]) == (Mode.FULL, "the columns")
    assert diary.sync(spec("diary", "id", "note"), mode="incremental").mode_effective is Mode.FULL


def test_changed_time_zone_is_read_in_full(pair: Pair) -> None:
    pair.source.execute("CREATE TABLE diary (id int, at timestamp); INSERT INTO diary VALUES (1, '2025-06-01 10:00')")
    pair.target.execute("CREATE TABLE diary (id int PRIMARY KEY, at timestamptz)")
    for zone, hour in (("Asia/Kolkata", 4), ("Europe/Berlin", 8)):
        result = pair.sync(DIARY, mode="incremental", options=dataclasses.replace(QUICK, timezone=zone))
        assert result.mode_effective is Mode.FULL
        assert pair.one("SELECT extract(hour FROM at AT TIME ZONE 'UTC') FROM diary") == hour


def test_renamed_enum_label_is_read_in_full(pair: Pair) -> None:
    pair.both(
        "CREATE TYPE mood AS ENUM ('glad', 'sad'); CREATE TABLE diary (id int PRIMARY KEY, now mood, past mood[])"
    )
    pair.source.execute("INSERT INTO diary VALUES (1, 'glad', '{glad,sad}')")
    pair.sync(DIARY)
    pair.source.execute("ALTER TYPE mood RENAME VALUE 'glad' TO 'happy'")
    pair.target.execute("ALTER TYPE mood RENAME VALUE 'glad' TO 'content'; ALTER TYPE mood ADD VALUE 'happy'")
    result = pair.sync(DIARY, mode="incremental")
    assert (result.mode_effective, row_counts(result)) == (Mode.FULL, {"updated": 1})
    assert pair.rows("SELECT now::text, past::text FROM diary") == [("happy", "{happy,sad}")]
    assert pair.sync(DIARY, mode="incremental").mode_effective is Mode.INCREMENTAL


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (spec("diary", "id", category=Category.MASTERS), "master tables are always read in full"),
        (
            delete_insert("diary", "id"),
            "mobile generates the primary key, so that rows can be paired only among all rows",
        ),
    ],
    ids=["masters", "DELETE_INSERT"],
)
def test_masters_and_delete_insert_tables_are_read_in_full(diary: Pair, table: object, reason: str) -> None:
    assert isinstance(table, type(DIARY))
    diary.target.execute("ALTER TABLE diary ADD source text DEFAULT 'D'")
    diary.sync(table)
    result = diary.sync(table, mode="incremental")
    assert (result.mode_requested, result.mode_effective, result.mode_reason) == (Mode.INCREMENTAL, Mode.FULL, reason)


def test_failed_run_keeps_the_watermark(diary: Pair) -> None:
    diary.source.execute("UPDATE diary SET note = 'changed' WHERE id = 2")
    diary.target.execute("ALTER TABLE diary RENAME note TO hidden")
    diary.target.execute("ALTER TABLE diary RENAME id TO no")
    with pytest.raises(SyncError):
        diary.sync(DIARY, mode="incremental")
    diary.target.execute("ALTER TABLE diary RENAME hidden TO note")
    diary.target.execute("ALTER TABLE diary RENAME no TO id")
    assert read(diary) == (1, {"updated": 1})


@pytest.fixture
def repeating(pair: Pair) -> Iterator[Pair]:
    """Creates a source without a unique index on the key."""
    pair.source.execute("CREATE TABLE diary (id int, note text)")
    pair.target.execute("CREATE TABLE diary (id int PRIMARY KEY, note text)")
    pair.source.execute("INSERT INTO diary VALUES (1, 'a'), (2, 'b')")
    pair.sync(DIARY)
    return pair


def test_new_duplicate_of_an_old_key_is_detected(repeating: Pair) -> None:
    repeating.source.execute("INSERT INTO diary VALUES (1, 'another a')")
    assert read(repeating) == (2, {"quarantined": 2})
    assert repeating.rows("SELECT * FROM diary ORDER BY id") == [(1, "a"), (2, "b")]
    repeating.source.execute("DELETE FROM diary WHERE note = 'a'")
    assert read(repeating) == (1, {"updated": 1})
    assert repeating.rows("SELECT * FROM diary ORDER BY id") == [(1, "another a"), (2, "b")]


def test_changed_lookup_table_makes_the_run_full(pair: Pair) -> None:
    pair.both(
        "CREATE TABLE jobs (job_id int PRIMARY KEY, client_id int); CREATE TABLE diary (id int PRIMARY KEY, job_id int)"
    )
    pair.target.execute("ALTER TABLE diary ADD client_id int")
    pair.source.execute("INSERT INTO jobs VALUES (1, 10); INSERT INTO diary VALUES (1, 1), (2, 1)")
    jobs = spec("jobs", "job_id")
    diary = spec("diary", "id", lookups=(Lookup(column="client_id", table="jobs", match="job_id"),))
    pair.sync_all(jobs, diary)
    assert pair.sync(diary, jobs, mode="incremental").mode_effective is Mode.INCREMENTAL
    pair.source.execute("UPDATE jobs SET client_id = 20")
    pair.sync(jobs)
    result = pair.sync(diary, jobs, mode="incremental")
    assert result.mode_reason == "a lookup table has changed"
    assert (row_counts(result), pair.rows("SELECT DISTINCT client_id FROM diary")) == ({"updated": 2}, [(20,)])
    assert pair.sync(diary, jobs, mode="incremental").mode_effective is Mode.INCREMENTAL
