"""What the target requires or fills in: NOT NULL, CHECK, owner and timestamps."""

import pytest

from powerca_sync_tests.helpers import Pair, assert_noop, delete_insert, row_counts, spec

ITEMS = spec("items", "id")
LINES = delete_insert("items", "id")


def test_null_in_a_not_null_column_is_quarantined(pair: Pair) -> None:
    pair.both("CREATE TABLE items (id int PRIMARY KEY, name text)")
    pair.target.execute("ALTER TABLE items ALTER name SET NOT NULL")
    pair.source.execute("INSERT INTO items VALUES (1, 'a'), (2, NULL)")
    result = pair.sync(ITEMS)
    assert row_counts(result) == {"inserted": 1, "quarantined": 1}
    assert str(result.samples[0]) == "name is empty, which the target forbids"


def test_check_constraint_is_evaluated_in_staging_naming_the_row(pair: Pair) -> None:
    pair.both("CREATE TABLE items (id int PRIMARY KEY, price int, share int)")
    pair.target.execute("ALTER TABLE items ADD CONSTRAINT sane CHECK (price > 0 AND price < 100 OR share % 2 = 1)")
    pair.source.execute("INSERT INTO items VALUES (1, 5, 0), (2, 500, 2), (3, 500, 3), (4, NULL, NULL)")
    result = pair.sync(ITEMS)
    assert row_counts(result) == {"inserted": 3, "quarantined": 1}
    assert str(result.samples[0]) == "price, share violates the target's rule sane"
    assert pair.rows("SELECT id FROM items ORDER BY id") == [(1,), (3,), (4,)]


def test_not_enforced_constraint_refuses_nothing(pair: Pair) -> None:
    pair.both("CREATE TABLE items (id int PRIMARY KEY, price int)")
    if pair.target.info.server_version < 180000:
        pytest.skip("NOT ENFORCED came with PostgreSQL 18.")
    pair.target.execute("CREATE TABLE kinds (id int PRIMARY KEY)")
    pair.target.execute("ALTER TABLE items ADD CHECK (price > 0) NOT ENFORCED")
    pair.target.execute("ALTER TABLE items ADD FOREIGN KEY (price) REFERENCES kinds (id) NOT ENFORCED")
    pair.source.execute("INSERT INTO items VALUES (1, -5)")
    assert row_counts(pair.sync(ITEMS)) == {"inserted": 1}


@pytest.mark.parametrize("items", [ITEMS, LINES], ids=lambda one: one.strategy)
def test_check_that_raises_quarantines_only_that_row(pair: Pair, items: object) -> None:
    table = ITEMS if items is ITEMS else LINES
    pair.source.execute("CREATE TABLE items (id int, price int)")
    pair.target.execute("CREATE TABLE items (id int, price int CHECK (100 / price > 0), source text)")
    pair.target.execute("ALTER TABLE items ADD CHECK (price <> 7)")
    pair.source.execute("INSERT INTO items SELECT g, g % 20 FROM generate_series(1, 39) AS g")
    result = pair.sync(table)
    assert row_counts(result) == {"inserted": 36, "quarantined": 3}
    assert {str(sample) for sample in result.samples} == {
        "division by zero",
        'new row for relation "items" violates check constraint "items_price_check1"',
    }


def test_violated_domain_check_names_the_column(pair: Pair) -> None:
    pair.both("CREATE DOMAIN positive AS int CHECK (VALUE > 0)")
    pair.source.execute("CREATE TABLE items (id int PRIMARY KEY, price int)")
    pair.target.execute("CREATE TABLE items (id int PRIMARY KEY, price positive)")
    pair.source.execute("INSERT INTO items VALUES (1, 1), (2, 0)")
    result = pair.sync(ITEMS)
    assert row_counts(result) == {"inserted": 1, "quarantined": 1}
    assert str(result.samples[0]).endswith('violates check constraint "positive_check" (column price)')


def test_values_beyond_server_limits_quarantine_only_their_rows(pair: Pair) -> None:
    pair.source.execute("CREATE TABLE items (id int PRIMARY KEY, name text, document text)")
    pair.target.execute("CREATE TABLE items (id int PRIMARY KEY, name text UNIQUE, document jsonb)")
    pair.source.execute("INSERT INTO items SELECT g, g, '[]' FROM generate_series(1, 9) AS g")
    pair.source.execute("UPDATE items SET document = repeat('[', 20000) || repeat(']', 20000) WHERE id = 3")
    pair.source.execute(
        "UPDATE items SET name = (SELECT string_agg(md5(g::text), '') FROM generate_series(1, 999) AS g) WHERE id = 5"
    )
    result = pair.sync(ITEMS)
    assert row_counts(result) == {"inserted": 7, "quarantined": 2}
    assert {str(sample).partition(" ")[0] for sample in result.samples} == {"index", "stack"}


def make_stamped(pair: Pair, *, on_source: bool) -> None:
    stamps = ", created_at timestamp, updated_at timestamp" if on_source else ""
    pair.source.execute(f"CREATE TABLE items (id int, name text{stamps})")  # type: ignore[call-overload]
    pair.target.execute(
        "CREATE TABLE items (id int PRIMARY KEY, name text, source text,"
        " created_at timestamptz, updated_at timestamptz)"
    )


def test_timestamps_missing_in_the_source_are_filled_on_insert(pair: Pair) -> None:
    make_stamped(pair, on_source=False)
    pair.source.execute("INSERT INTO items VALUES (1, 'a')")
    began = pair.one("SELECT now()")
    pair.sync(ITEMS)
    ((source, created, updated),) = pair.rows("SELECT source, created_at, updated_at FROM items")
    assert source == "D"
    assert began < created == updated < pair.one("SELECT now()")


def test_source_timestamps_are_inserted_and_null_ones_filled(pair: Pair) -> None:
    make_stamped(pair, on_source=True)
    pair.source.execute("INSERT INTO items VALUES (1, 'a', '2020-01-01', '2020-01-02'), (2, 'b', NULL, NULL)")
    pair.sync(ITEMS)
    assert pair.rows("SELECT id, created_at::date::text, updated_at::date = current_date FROM items WHERE id = 1") == [
        (1, "2020-01-01", False)
    ]
    assert pair.one("SELECT min(created_at) FROM items WHERE id = 2") is not None


@pytest.mark.parametrize("items", [ITEMS, LINES], ids=lambda one: one.strategy)
def test_changed_timestamp_alone_is_no_difference(pair: Pair, items: object) -> None:
    table = ITEMS if items is ITEMS else LINES
    make_stamped(pair, on_source=True)
    pair.source.execute("INSERT INTO items SELECT g, 'a', '2020-01-01', '2020-01-01' FROM generate_series(1, 3) AS g")
    pair.sync(table)
    pair.source.execute("UPDATE items SET created_at = now(), updated_at = now()")
    pair.target.execute("UPDATE items SET updated_at = now(), created_at = NULL WHERE id = 1")
    before = pair.text("items")
    assert row_counts(pair.sync(table)) == {"unchanged": 3}
    assert pair.text("items") == before


def test_changed_row_sets_updated_at_and_keeps_created_at(pair: Pair) -> None:
    make_stamped(pair, on_source=True)
    pair.source.execute("INSERT INTO items VALUES (1, 'a', '2020-01-01', '2020-01-01')")
    pair.sync(ITEMS)
    pair.source.execute("UPDATE items SET name = 'b', created_at = '2024-01-01', updated_at = '2024-01-01'")
    began = pair.one("SELECT now()")
    assert row_counts(pair.sync(ITEMS)) == {"updated": 1}
    ((name, created, updated),) = pair.rows("SELECT name, created_at::date::text, updated_at FROM items")
    assert (name, created) == ("b", "2020-01-01")
    assert updated > began


def test_trigger_on_updated_at_causes_no_second_write(pair: Pair) -> None:
    make_stamped(pair, on_source=True)
    pair.target.execute("""
        CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN NEW.updated_at := clock_timestamp(); RETURN NEW; END';
        CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON items FOR EACH ROW EXECUTE FUNCTION touch();
    """)
    pair.source.execute("INSERT INTO items VALUES (1, 'a', '2020-01-01', '2020-01-01')")
    pair.sync(ITEMS)
    assert_noop(pair, ITEMS)


def test_source_column_named_source_is_not_copied(pair: Pair) -> None:
    make_stamped(pair, on_source=False)
    pair.source.execute("ALTER TABLE items ADD source text")
    pair.source.execute("INSERT INTO items VALUES (1, 'a', 'D'), (2, 'b', NULL), (3, 'c', 'M'), (4, 'd', 'else')")
    # Neither the ledger nor mobile has a phone row for the third: it is a desktop row, whatever its `source` is.
    assert row_counts(pair.sync(ITEMS)) == {"inserted": 4}
    assert pair.rows("SELECT id, source FROM items ORDER BY 1") == [(1, "D"), (2, "D"), (3, "D"), (4, "D")]


def test_mobile_owned_columns_do_not_quarantine_a_row(pair: Pair) -> None:
    ticks = spec("ticks", "id", mobile_owned=frozenset({"ticked"}))
    pair.source.execute("CREATE TABLE ticks (id int, note text, ticked text)")
    pair.target.execute("CREATE TABLE ticks (id int PRIMARY KEY, note text, ticked text NOT NULL, source char(1))")
    pair.source.execute("INSERT INTO ticks VALUES (1, 'first', 'n')")
    pair.sync(ticks)
    pair.source.execute("UPDATE ticks SET note = 'second', ticked = NULL")
    assert row_counts(pair.sync(ticks)) == {"updated": 1}
    assert pair.rows("SELECT note, ticked FROM ticks") == [("second", "n")]
