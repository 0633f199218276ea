"""Triggers, partitions, exclusion constraints, deferred and partial unique constraints of a target table."""

import pytest

from powerca_sync.engine.forward import actions
from powerca_sync.errors import MergeError
from powerca_sync.specs import TableSpec
from powerca_sync_tests.helpers import Pair, assert_noop, delete_insert, row_counts, spec

ITEMS = spec("items", "k")
LINES = delete_insert("items", "k")
BOTH = pytest.mark.parametrize("table", [ITEMS, LINES], ids=["upsert", "delete-insert"])


def make_items(pair: Pair, rules: str = "", tail: str = "") -> None:
    pair.source.execute("CREATE TABLE items (k int, name text)")
    pair.target.execute(f"""
        CREATE TABLE items (k int, name text, source char(1) DEFAULT 'D', updated_at timestamptz DEFAULT now() {rules})
        {tail}""")


def write_items(pair: Pair, *names: str | None) -> None:
    """Replaces the rows of the source, with keys from 1 on."""
    pair.source.execute("TRUNCATE items")
    with pair.source.cursor() as cursor:
        cursor.executemany("INSERT INTO items VALUES (%s, %s)", list(enumerate(names, start=1)))


def items(pair: Pair) -> list[tuple[object, ...]]:
    return pair.rows("SELECT k, name FROM items ORDER BY k, name")


def on_write(pair: Pair, body: str, events: str = "INSERT OR UPDATE") -> None:
    pair.target.execute(f"""
        CREATE FUNCTION on_write() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$;
        CREATE TRIGGER on_write BEFORE {events} ON items FOR EACH ROW EXECUTE FUNCTION on_write()""")


@BOTH
def test_row_refused_by_a_trigger_is_quarantined_with_its_message(pair: Pair, table: TableSpec) -> None:
    make_items(pair)
    on_write(pair, "IF NEW.name LIKE 'no %' THEN RAISE EXCEPTION 'we have %', NEW.name; END IF; RETURN NEW;")
    write_items(pair, *[f"yes {n}" for n in range(50)], "no bananas", "yes", "no apples")
    result = pair.sync(table)
    assert row_counts(result) == {"inserted": 51, "quarantined": 2}
    assert sorted(map(str, result.samples)) == ["we have no apples", "we have no bananas"]
    before = pair.text("items")
    write_items(pair, "no longer", *[f"yes {n}" for n in range(1, 50)], "yes, bananas", "yes", "no apples")
    assert row_counts(pair.sync(table)) == {"inserted": 1, "unchanged": 50, "quarantined": 2, "held": 1}
    assert pair.text("items", where="name <> 'yes, bananas'") == before, "the last good version of the first row stays"
    assert pair.rows("SELECT key ->> 'k', message FROM powerca_sync.quarantine ORDER BY 1") == [
        ("1", "we have no longer"),
        ("53", "we have no apples"),
    ]


@BOTH
def test_trigger_may_set_the_response_status_of_postgrest(pair: Pair, table: TableSpec) -> None:
    make_items(pair)
    on_write(pair, "IF NEW.k = 2 THEN RAISE SQLSTATE 'PT403' USING MESSAGE = 'not yours'; END IF; RETURN NEW;")
    write_items(pair, "a", "b", "c")
    result = pair.sync(table)
    assert row_counts(result) == {"inserted": 2, "quarantined": 1}
    assert str(result.samples[0]) == "not yours"


@BOTH
def test_trigger_that_keeps_updated_at_causes_no_second_write(pair: Pair, table: TableSpec) -> None:
    make_items(pair)
    on_write(pair, "NEW.updated_at = clock_timestamp(); RETURN NEW;", events="UPDATE")
    write_items(pair, "a", "b")
    pair.sync(table)
    write_items(pair, "a", "B")
    assert row_counts(pair.sync(table)) == {"unchanged": 1, "updated": 1}
    assert_noop(pair, table)


def test_too_many_refused_rows_fail_the_table(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "MOST_REFUSED", 10)
    make_items(pair)
    on_write(pair, "RAISE EXCEPTION 'closed';")
    write_items(pair, *["a"] * 15)
    with pytest.raises(MergeError, match=r"refused more than 10 rows; the last one: closed\. Nothing was written"):
        pair.sync(ITEMS)


@BOTH
def test_partitioned_target_moves_only_rows_of_another_partition(pair: Pair, table: TableSpec) -> None:
    make_items(
        pair,
        tail="""PARTITION BY LIST (name);
        CREATE TABLE items_a PARTITION OF items FOR VALUES IN ('a');
        CREATE TABLE items_rest PARTITION OF items DEFAULT""",
    )
    write_items(pair, "a", "b", "a", "c")
    assert row_counts(pair.sync(table)) == {"inserted": 4}
    before = pair.text("items", where="k <> 2")
    write_items(pair, "a", "a", "a", "c")
    assert row_counts(pair.sync(table)) == {"unchanged": 3, "updated": 1}
    assert pair.text("items", where="k <> 2") == before
    assert pair.rows("SELECT k, tableoid::regclass::text FROM items WHERE k = 2") == [(2, "items_a")]
    assert_noop(pair, table)


def test_target_is_merged_together_with_its_inheriting_tables(pair: Pair) -> None:
    make_items(pair, tail="; CREATE TABLE special () INHERITS (items); INSERT INTO special VALUES (1, 'a'), (2, 'b')")
    write_items(pair, "a", "B", "c")
    assert row_counts(pair.sync(LINES)) == {"unchanged": 1, "updated": 1, "inserted": 1}
    write_items(pair, "a", "b", "C")
    assert row_counts(pair.sync(LINES)) == {"unchanged": 1, "updated": 2}
    assert pair.rows("SELECT k, name, tableoid::regclass::text FROM items ORDER BY k") == [
        (1, "a", "special"),
        (2, "b", "special"),
        (3, "C", "items"),
    ]


@BOTH
def test_row_refused_by_an_exclusion_constraint_is_quarantined(pair: Pair, table: TableSpec) -> None:
    make_items(pair, ", EXCLUDE USING btree (name WITH =) WHERE (name <> 'free')")
    write_items(pair, "a", "b", "a", "free", "free")
    result = pair.sync(table)
    assert row_counts(result) == {"inserted": 4, "quarantined": 1}
    assert "conflicting key value violates exclusion constraint" in str(result.samples[0])
    write_items(pair, "c", "b", "a", "free", "free")
    assert row_counts(pair.sync(table))["inserted" if table is ITEMS else "updated"] == 1
    assert len(items(pair)) == 5


@BOTH
def test_exchanged_values_land_under_a_deferrable_constraint(pair: Pair, table: TableSpec) -> None:
    make_items(pair, ", UNIQUE (name) DEFERRABLE INITIALLY DEFERRED")
    write_items(pair, "a", "b", "c")
    pair.sync(table)
    write_items(pair, "b", "a", "c")
    assert row_counts(pair.sync(table)) == {"updated": 2, "unchanged": 1}
    assert items(pair) == [(1, "b"), (2, "a"), (3, "c")]


@BOTH
def test_unique_value_released_in_the_same_run_is_free(pair: Pair, table: TableSpec) -> None:
    make_items(pair, ", UNIQUE (name)")
    write_items(pair, *"abcdefgh")
    pair.sync(table)
    write_items(pair, *"bcdefghi")
    assert row_counts(pair.sync(table)) == {"updated": 8}
    write_items(pair, *"abcdefgh")
    assert row_counts(pair.sync(table)) == {"updated": 8}
    assert [name for _, name in items(pair)] == list("abcdefgh")


@BOTH
def test_nulls_not_distinct_of_the_target_makes_null_keys_duplicates(pair: Pair, table: TableSpec) -> None:
    make_items(pair, ", UNIQUE NULLS NOT DISTINCT (name)")
    write_items(pair, None, "a", None)
    result = pair.sync(table)
    assert row_counts(result) == {"inserted": 1, "quarantined": 2}
    assert {sample.reason for sample in result.samples} == {"duplicate_key"}


@BOTH
def test_nulls_that_only_the_target_forbids_to_repeat_are_quarantined(pair: Pair, table: TableSpec) -> None:
    pair.source.execute("CREATE TABLE items (k int, number int UNIQUE)")
    pair.target.execute("CREATE TABLE items (k int, number int, source text, UNIQUE NULLS NOT DISTINCT (number))")
    pair.source.execute("INSERT INTO items VALUES (1, NULL), (2, 5), (3, NULL)")
    result = pair.sync(table)
    assert row_counts(result) == {"inserted": 1, "quarantined": 2}
    assert {sample.reason for sample in result.samples} == {"duplicate_key"}


@BOTH
def test_violation_of_an_expression_index_is_found_by_the_insert(pair: Pair, table: TableSpec) -> None:
    make_items(pair, tail="; CREATE UNIQUE INDEX ON items (lower(name)) WHERE name <> ''")
    write_items(pair, "a", "A", "b", "", "")
    result = pair.sync(table)
    assert row_counts(result) == {"inserted": 4, "quarantined": 1}
    assert "duplicate key value violates unique constraint" in str(result.samples[0])


def test_unique_value_of_a_phone_row_quarantines_a_desktop_row(pair: Pair) -> None:
    make_items(pair, ", UNIQUE (name)")
    pair.target.execute("INSERT INTO items VALUES (9, 'a', 'M')")
    phone = pair.text("items")
    write_items(pair, "a", "b")
    assert row_counts(pair.sync(ITEMS)) == {"inserted": 1, "quarantined": 1}
    assert pair.text("items", where="source = 'M'") == phone
