"""The dry run against the run: on random offices both have the same counts, and the dry run changes nothing."""

import dataclasses
from collections.abc import Iterator

import pytest
from hypothesis import given, settings

from powerca_sync.specs import Lookup, Reference, TableSpec, in_order
from powerca_sync_tests.engine.random_offices import (
    FOLLOWED,
    ITEMS,
    KEYLESS,
    LINES,
    SEEDS,
    create_tables,
    draw,
    fill,
    sides,
)
from powerca_sync_tests.helpers import ORGS, QUICK, Pair, delete_insert

pytestmark = pytest.mark.long

#: Its office, a reference and a value come from the items, as they are after their sync.
PARTS = delete_insert(
    *("parts", "part_id"),
    office="k",
    references=(Reference(column="k", parent="items"),),
    limit_share=1.0,
    lookups=(Lookup(column="item_name", table="items", match="k", value="name"),),
)


@pytest.fixture(scope="module")
def office(shared_pair: Pair) -> Iterator[Pair]:
    """Creates the random tables, and parts that reference items."""
    create_tables(shared_pair)
    shared_pair.source.execute("""
        CREATE TABLE parts (part_id int, k int);
        INSERT INTO parts SELECT n, n % 7 FROM generate_series(1, 14) AS n""")
    shared_pair.target.execute("CREATE TABLE parts (part_id int, k int, item_name text, source char(1))")
    return shared_pair


def assert_run_equals_dry_run(office: Pair, *tables: TableSpec, mode: str) -> None:
    plans = office.plan(*tables, mode=mode, allow_mass_delete=True, options=QUICK)
    for table in in_order(tables):
        others = [other for other in tables if other is not table]
        result = office.sync(table, *others, mode=mode, allow_mass_delete=True, options=QUICK)
        foreseen = plans[table.mobile].foreseen
        assert foreseen is not None, plans[table.mobile]
        # Which of several rows with one key is shown is arbitrary; a no-op run counts no mobile-owned values. Rows are
        # copied as text or in binary form, by how fast the machine has just answered.
        left_out = {"seconds": {}, "samples": (), "mobile_owned": None, "snapshot": None, "bytes": 0}
        assert dataclasses.replace(foreseen, **left_out) == dataclasses.replace(result, **left_out)
        assert sum(map(bool, plans[table.mobile].inserts)) == min(result.inserted, 5)
        assert sum(map(bool, plans[table.mobile].updates)) == min(result.updated, 5)
        assert sum(map(bool, plans[table.mobile].deletes)) == min(result.deleted, 5)


# Each example is a dry run and a run of every table, so that a fraction of the usual number suffices.
SOME, FEW = settings().max_examples // 6, settings().max_examples // 10


@pytest.mark.parametrize("table", [LINES, KEYLESS], ids=["by key", "without a key"])
@settings(max_examples=SOME)
@given(**SEEDS)
def test_delete_insert_run_equals_its_dry_run(office: Pair, table: TableSpec, seed: int, size: int) -> None:
    fill(office, "lines", *sides(draw(seed, size, 1, 1, 2, None)))
    assert_run_equals_dry_run(office, table, ORGS, mode="full")


@pytest.mark.parametrize("table", [ITEMS, FOLLOWED], ids=["stale rows retained", "deletes propagated"])
@settings(max_examples=FEW)
@given(**SEEDS)
def test_upsert_run_and_its_dependents_equal_their_dry_run(
    office: Pair, table: TableSpec, seed: int, size: int
) -> None:
    source, target = sides(draw(seed, size, 1, 2, 3, 4, 5, None))
    office.target.execute("TRUNCATE parts; ALTER TABLE parts DROP CONSTRAINT IF EXISTS parts_k_fkey")
    fill(office, "items", source, list({existing.row.k: existing for existing in target if existing.row.k}.values()))
    office.target.execute("ALTER TABLE parts ADD FOREIGN KEY (k) REFERENCES items ON DELETE CASCADE")
    assert_run_equals_dry_run(office, ORGS, table, PARTS, mode="full")
    office.source.execute("DELETE FROM items WHERE k = 2; UPDATE items SET name = 'c' WHERE k = 3")
    assert_run_equals_dry_run(office, ORGS, table, PARTS, mode="incremental")
