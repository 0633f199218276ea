"""Lookups: a column that the desktop lacks is filled from another mobile table."""

import pytest

from powerca_sync.specs import Lookup
from powerca_sync_tests.helpers import ORGS, Pair, assert_noop, delete_insert, row_counts, spec

JOBS = delete_insert("jobs", "job_id")
TASKS = delete_insert("tasks", "job_id", "task", lookups=(Lookup(column="client_id", table="jobs", match="job_id"),))


def make_tables(pair: Pair, match: str = "int", client: str = "int") -> None:
    pair.source.execute(f"CREATE TABLE jobs (job_id {match}, client_id int)")
    pair.source.execute("CREATE TABLE tasks (job_id int, task text)")
    pair.target.execute(f"""
        CREATE TABLE jobs (job_id {match}, client_id int, source char(1) DEFAULT 'D');
        CREATE TABLE tasks (id bigserial PRIMARY KEY, job_id int, task text, client_id {client}, source char(1))""")


def tasks(pair: Pair) -> list[tuple[object, ...]]:
    return pair.rows("SELECT job_id, task, client_id FROM tasks ORDER BY task")


def test_failed_lookup_gives_null_and_is_counted(pair: Pair) -> None:
    make_tables(pair)
    pair.source.execute("INSERT INTO jobs VALUES (1, 11), (2, NULL)")
    pair.source.execute("INSERT INTO tasks VALUES (9, 'a'), (1, 'b'), (NULL, 'c'), (2, 'd'), (1, 'e')")
    result = pair.sync_all(JOBS, TASKS)["tasks"]
    assert row_counts(result) == {"inserted": 5}
    assert tasks(pair) == [(9, "a", None), (1, "b", 11), (None, "c", None), (2, "d", None), (1, "e", 11)]
    (lookup,) = result.lookups
    assert (lookup.filled, lookup.missed, lookup.ambiguous) == (2, 2, 0)
    assert result.warnings == ("2 rows found no `client_id` in `jobs`; it is empty there",)
    assert_noop(pair, JOBS, TASKS)


def test_of_several_matches_the_desktop_row_then_the_lowest_wins(pair: Pair) -> None:
    make_tables(pair)
    pair.source.execute("INSERT INTO jobs VALUES (1, 13), (1, 12), (2, 20), (2, 20), (3, NULL), (3, 30)")
    pair.target.execute("INSERT INTO jobs VALUES (1, 5, 'M'), (4, 41, 'M'), (4, 40, NULL)")
    pair.source.execute("INSERT INTO tasks VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd')")
    result = pair.sync_all(JOBS, TASKS)["tasks"]
    assert [client for _, _, client in tasks(pair)] == [12, 20, 30, 40]
    assert result.lookups[0].ambiguous == 2
    assert "2 rows found several values of `client_id` in `jobs`" in result.warnings


def test_failed_lookup_quarantines_only_for_a_not_null_column(pair: Pair) -> None:
    make_tables(pair, client="int NOT NULL")
    pair.source.execute("INSERT INTO jobs VALUES (1, 11); INSERT INTO tasks VALUES (9, 'a'), (1, 'b')")
    result = pair.sync_all(JOBS, TASKS)["tasks"]
    assert row_counts(result) == {"inserted": 1, "quarantined": 1}
    assert str(result.samples[0]) == "no client_id was found in jobs, and the target forbids an empty one"
    pair.source.execute("INSERT INTO jobs VALUES (9, 99)")
    assert row_counts(pair.sync_all(JOBS, TASKS)["tasks"]) == {"inserted": 1, "unchanged": 1}
    assert pair.one("SELECT count(*) FROM powerca_sync.quarantine") == 0


def test_zero_is_an_ordinary_lookup_key_and_value(pair: Pair) -> None:
    make_tables(pair)
    pair.source.execute("INSERT INTO jobs VALUES (0, 7), (7, 0); INSERT INTO tasks VALUES (0, 'a'), (7, 'b')")
    result = pair.sync_all(JOBS, TASKS)["tasks"]
    assert tasks(pair) == [(0, "a", 7), (7, "b", 0)]
    assert result.lookups[0].missed == 0


def test_changed_lookup_value_updates_the_row(pair: Pair) -> None:
    make_tables(pair)
    pair.source.execute("INSERT INTO jobs VALUES (1, 11), (2, 22); INSERT INTO tasks VALUES (1, 'a'), (2, 'b')")
    pair.sync_all(JOBS, TASKS)
    pair.source.execute("UPDATE jobs SET client_id = 12 WHERE job_id = 1")
    assert row_counts(pair.sync_all(JOBS, TASKS)["tasks"]) == {"updated": 1, "unchanged": 1}
    assert pair.rows("SELECT id, client_id FROM tasks ORDER BY id") == [(1, 12), (2, 22)]


def test_changed_lookup_table_makes_an_incremental_run_full(pair: Pair) -> None:
    make_tables(pair)
    table = spec("tasks", "task", lookups=TASKS.lookups)
    pair.source.execute("INSERT INTO jobs VALUES (1, 11); INSERT INTO tasks VALUES (1, 'a'), (1, 'b')")
    pair.sync_all(JOBS, table)
    assert pair.sync(table, JOBS, mode="incremental").mode_effective == "incremental"
    pair.sync(JOBS)
    assert pair.sync(table, JOBS, mode="incremental").mode_effective == "incremental", "nothing changed there"
    pair.source.execute("UPDATE jobs SET client_id = 12")
    pair.sync(JOBS)
    result = pair.sync(table, JOBS, mode="incremental")
    assert (result.mode_effective, result.mode_reason) == ("full", "a lookup table has changed")
    assert row_counts(result) == {"updated": 2}
    assert pair.sync(table, JOBS, mode="incremental").mode_effective == "incremental"


@pytest.mark.parametrize("match", ["bigint", "numeric(10,0)", "text"])
def test_lookup_key_may_have_another_type_in_the_lookup_table(pair: Pair, match: str) -> None:
    make_tables(pair, match=match)
    pair.source.execute("INSERT INTO jobs VALUES ('1', 11); INSERT INTO tasks VALUES (1, 'a')")
    assert row_counts(pair.sync_all(JOBS, TASKS)["tasks"]) == {"inserted": 1}
    assert tasks(pair) == [(1, "a", 11)]


def test_rows_of_another_office_are_not_looked_up(pair: Pair) -> None:
    make_tables(pair)
    pair.both("CREATE TABLE orgs (org_id int); ALTER TABLE jobs ADD org_id int; ALTER TABLE tasks ADD org_id int")
    pair.target.execute("INSERT INTO jobs VALUES (1, 5, 'D', 2), (1, 6, 'D', NULL); ALTER TABLE orgs ADD source text")
    jobs = delete_insert("jobs", "job_id", office="org_id")
    table = delete_insert("tasks", "job_id", "task", office="org_id", lookups=TASKS.lookups)
    pair.source.execute("INSERT INTO orgs VALUES (1); INSERT INTO jobs VALUES (1, 11, 1), (2, 22, 1)")
    pair.source.execute("INSERT INTO tasks VALUES (1, 'a', 1), (2, 'b', 1), (3, 'c', 1)")
    assert pair.sync_all(ORGS, jobs, table)["tasks"].lookups[0].ambiguous == 0
    assert [client for _, _, client in tasks(pair)] == [11, 22, None]


@pytest.mark.parametrize(
    ("type", "first", "second"),
    [("uuid", "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"), ("bool", "f", "t")],
)
def test_values_of_types_without_min_are_ordered_by_their_text(pair: Pair, type: str, first: str, second: str) -> None:
    pair.source.execute(f"CREATE TABLE jobs (job_id int, client_id {type})")  # type: ignore[call-overload]
    pair.source.execute("CREATE TABLE tasks (job_id int, task text)")
    pair.target.execute(f"""
        CREATE TABLE jobs (job_id int, client_id {type}, source char(1));
        CREATE TABLE tasks (id bigserial PRIMARY KEY, job_id int, task text, client_id {type}, source char(1))""")  # type: ignore[call-overload]
    pair.source.execute("INSERT INTO jobs VALUES (1, %s), (1, %s), (2, %s)", [second, first, second])
    pair.source.execute("INSERT INTO tasks VALUES (1, 'a'), (2, 'b')")
    result = pair.sync_all(JOBS, TASKS)["tasks"]
    assert [(lookup.filled, lookup.ambiguous) for lookup in result.lookups] == [(2, 1)]
    winners = pair.rows(
        "SELECT j.job_id, min(j.client_id::text) = min(t.client_id::text) FROM jobs AS j JOIN tasks AS t USING (job_id)"
        " GROUP BY j.job_id"
    )
    assert dict(winners) == {1: True, 2: True}
