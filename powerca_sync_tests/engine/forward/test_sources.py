"""Relations that may be a source: plain tables, views and others; a run reads a single snapshot."""

import pytest

from powerca_sync_tests.helpers import Pair, row_counts, spec

ITEMS = spec("items", "id")
NOT_PLAIN = "`items` is not a plain table at the source, so that its rows have no usable version"

SOURCES = {
    "view": "CREATE VIEW items AS SELECT id, name || '!' AS name FROM stored",
    "materialized view": "CREATE MATERIALIZED VIEW items AS SELECT id, name || '!' AS name FROM stored",
    "partitioned table": """
        CREATE TABLE items (id int PRIMARY KEY, name text) PARTITION BY RANGE (id);
        CREATE TABLE low PARTITION OF items FOR VALUES FROM (0) TO (2);
        CREATE TABLE high PARTITION OF items DEFAULT;
        INSERT INTO items SELECT id, name || '!' FROM stored""",
}


@pytest.mark.parametrize("kind", SOURCES)
def test_any_selectable_relation_is_a_source_and_runs_full(pair: Pair, kind: str) -> None:
    pair.source.execute("CREATE TABLE stored (id int, name text); INSERT INTO stored VALUES (1, 'one'), (2, 'two')")
    pair.source.execute(SOURCES[kind])  # type: ignore[call-overload]
    pair.target.execute("CREATE TABLE items (id int PRIMARY KEY, name text)")
    pair.sync(ITEMS)
    assert pair.rows("SELECT * FROM items ORDER BY id") == [(1, "one!"), (2, "two!")]
    result = pair.sync(ITEMS, mode="incremental")
    assert (result.mode_effective, result.mode_reason, row_counts(result)) == ("full", NOT_PLAIN, {"unchanged": 2})


def test_rows_of_inheriting_tables_are_read_and_duplicate_keys_found(pair: Pair) -> None:
    pair.both("CREATE TABLE items (id int PRIMARY KEY, name text)")
    pair.source.execute("""
        CREATE TABLE special () INHERITS (items);
        INSERT INTO items VALUES (1, 'one'), (2, 'two');
        INSERT INTO special VALUES (2, 'not two'), (3, 'three');
    """)
    result = pair.sync(ITEMS)
    assert row_counts(result) == {"inserted": 2, "quarantined": 2}
    assert pair.rows("SELECT * FROM items ORDER BY id") == [(1, "one"), (3, "three")]


def test_rows_are_merged_into_a_partitioned_target(pair: Pair) -> None:
    pair.source.execute("CREATE TABLE items (id int PRIMARY KEY, name text)")
    pair.target.execute(SOURCES["partitioned table"].partition("INSERT")[0])  # type: ignore[call-overload]
    pair.source.execute("INSERT INTO items VALUES (1, 'one'), (2, 'two'), (3, 'three')")
    assert row_counts(pair.sync(ITEMS)) == {"inserted": 3}
    pair.source.execute("UPDATE items SET name = upper(name) WHERE id <> 3")
    assert row_counts(pair.sync(ITEMS)) == {"updated": 2, "unchanged": 1}
    assert pair.rows("SELECT id, name, tableoid::regclass::text FROM items ORDER BY id") == [
        (1, "ONE", "low"),
        (2, "TWO", "high"),
        (3, "three", "high"),
    ]
