"""Rows that the target refuses one by one because they exchange values under a constraint or reference each other."""

import dataclasses
from collections.abc import Callable

import pytest

from powerca_sync.specs import TableSpec
from powerca_sync_tests.helpers import Pair, assert_noop, delete_insert, row_counts, spec

ITEMS = spec("items", "id")
LINES = delete_insert("items", "id")
BOTH = pytest.mark.parametrize("table", [ITEMS, LINES], ids=["upsert", "delete-insert"])
ROWS = "SELECT id, pos, code, day, part FROM items ORDER BY id"
#: Rows of the source: number, position, code, day, uuid.
TEN = """
INSERT INTO items
SELECT n, n, 'code ' || n, date '2026-01-01' + n, ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid
FROM generate_series(1, 10) AS n"""


def make_items(pair: Pair, rules: str, *, nullable: bool = True) -> None:
    columns = "id int PRIMARY KEY, pos int {0}, code varchar(8) {0}, day date {0}, part uuid {0}".format(
        "" if nullable else "NOT NULL"
    )
    pair.source.execute(f"CREATE TABLE items ({columns})")
    pair.target.execute(f"CREATE TABLE items ({columns}, source text, {rules})")
    pair.source.execute(TEN)


def assert_same(pair: Pair) -> None:
    assert pair.rows(ROWS, pair.source) == pair.rows(ROWS)


SWAP = "SET {0} = o.{0} FROM items AS o WHERE items.id IN (1, 2) AND o.id = 3 - items.id"
ROTATE = "SET {0} = o.{0} FROM items AS o WHERE items.id <= 3 AND o.id = items.id % 3 + 1"
REVERSE = "SET {0} = o.{0} FROM items AS o WHERE o.id = 11 - items.id"


@BOTH
@pytest.mark.parametrize("rule", ["UNIQUE (pos)", "EXCLUDE USING btree (pos WITH =)"], ids=["unique", "exclusion"])
@pytest.mark.parametrize("change", [SWAP, ROTATE, REVERSE], ids=["swap", "rotation", "reversal"])
def test_values_exchanged_under_a_constraint_land(pair: Pair, table: TableSpec, rule: str, change: str) -> None:
    make_items(pair, rule)
    pair.sync(table)
    pair.source.execute(f"UPDATE items {change.format('pos')}")
    assert pair.sync(table).quarantined == 0
    assert_same(pair)
    assert_noop(pair, table)


@pytest.mark.parametrize("column", ["pos", "code", "day", "part"])
@pytest.mark.parametrize("change", [SWAP, REVERSE], ids=["swap", "reversal"])
def test_exchanged_values_of_not_null_columns_land(pair: Pair, column: str, change: str) -> None:
    make_items(pair, f"UNIQUE ({column})", nullable=False)
    pair.sync(ITEMS)
    pair.source.execute(f"UPDATE items {change.format(column)}")
    assert pair.sync(ITEMS).quarantined == 0
    assert_same(pair)


def test_hundred_reversed_rows_land(pair: Pair) -> None:
    make_items(pair, "UNIQUE (pos)", nullable=False)
    pair.source.execute("INSERT INTO items SELECT n, n, n, now(), gen_random_uuid() FROM generate_series(11, 100) AS n")
    pair.sync(ITEMS)
    pair.source.execute("UPDATE items SET pos = 101 - pos")
    assert row_counts(pair.sync(ITEMS)) == {"updated": 100}
    assert_same(pair)


def test_values_exchanged_under_several_constraints_land(pair: Pair) -> None:
    make_items(pair, "UNIQUE (pos), UNIQUE (code), EXCLUDE USING btree (day WITH =)", nullable=False)
    pair.source.execute("ALTER TABLE items DROP CONSTRAINT items_pkey")
    pair.sync(ITEMS)
    pair.source.execute("UPDATE items SET id = 11 - id")
    assert row_counts(pair.sync(ITEMS)) == {"updated": 10}
    assert_same(pair)


def test_values_exchanged_under_an_expression_index_land(pair: Pair) -> None:
    make_items(pair, "CHECK (true)")
    pair.target.execute("CREATE UNIQUE INDEX ON items (lower(code)) WHERE pos > 0")
    pair.sync(ITEMS)
    pair.source.execute(f"UPDATE items {REVERSE.format('code')}")
    assert row_counts(pair.sync(ITEMS)) == {"updated": 10}
    assert_same(pair)


def test_value_held_by_a_phone_row_does_not_stop_an_exchange(pair: Pair) -> None:
    make_items(pair, "UNIQUE (pos)")
    pair.sync(ITEMS)
    pair.target.execute("INSERT INTO items (id, pos, source) VALUES (99, 99, 'M')")
    # 1 and 2 exchange; 5 takes the phone's value, 6 that of 5, 7 that of 6.
    pair.source.execute(f"UPDATE items {SWAP.format('pos')}")
    pair.source.execute("UPDATE items SET pos = CASE id WHEN 5 THEN 99 ELSE id - 1 END WHERE id IN (5, 6, 7)")
    result = pair.sync(ITEMS)
    assert row_counts(result) == {"updated": 2, "unchanged": 5, "quarantined": 3, "held": 3}
    assert pair.rows("SELECT id, pos FROM items WHERE id IN (1, 2, 5, 6, 7, 99) ORDER BY id") == [
        *((1, 2), (2, 1), (5, 5), (6, 6), (7, 7), (99, 99)),
    ]


def test_exchange_without_interim_value_names_the_constraint(pair: Pair) -> None:
    pair.both(
        "CREATE TYPE size AS ENUM ('small', 'large'); CREATE TABLE items (id int PRIMARY KEY, size size NOT NULL)"
    )
    pair.target.execute("ALTER TABLE items ADD source text, ADD UNIQUE (size)")
    pair.source.execute("INSERT INTO items VALUES (1, 'small'), (2, 'large')")
    pair.sync(ITEMS)
    pair.source.execute(f"UPDATE items {SWAP.format('size')}")
    result = pair.sync(dataclasses.replace(ITEMS, limit_share=1.0))
    assert row_counts(result) == {"quarantined": 2, "held": 2}
    assert str(result.samples[0]) == (
        'duplicate key value violates unique constraint "items_size_key"; 2 of its rows exchange values, '
        "and no column can have an interim value. Make the constraint DEFERRABLE on the target"
    )


def test_interim_value_refused_by_a_check_is_not_used(pair: Pair) -> None:
    make_items(pair, "UNIQUE (pos, code), CHECK (pos IS NOT NULL)")
    pair.source.execute("UPDATE items SET code = 'x'")
    pair.sync(ITEMS)
    pair.source.execute(f"UPDATE items {REVERSE.format('pos')}")
    assert row_counts(pair.sync(ITEMS)) == {"updated": 10}
    assert_same(pair)


PEOPLE = spec("people", "id")


def make_people(pair: Pair) -> None:
    pair.both("CREATE TABLE people (id int PRIMARY KEY, name text, deputy int)")
    pair.target.execute("""
        ALTER TABLE people ADD source text, ADD FOREIGN KEY (deputy) REFERENCES people;
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN IF NEW.name = 'refused' THEN RAISE 'refused'; END IF; RETURN NEW; END $$;
        CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON people FOR EACH ROW EXECUTE FUNCTION refuse()""")


def test_rows_that_reference_each_other_land_beside_refused_ones(pair: Pair) -> None:
    make_people(pair)
    pair.source.execute("""
        INSERT INTO people
        VALUES (1, 'a', 2), (2, 'b', 3), (3, 'c', 1), (4, 'refused', NULL), (5, 'e', 4), (6, 'f', 5)""")
    result = pair.sync(PEOPLE)
    assert row_counts(result) == {"inserted": 3, "quarantined": 3}
    assert pair.rows("SELECT id FROM people ORDER BY 1") == [(1,), (2,), (3,)]


def test_reference_to_a_row_of_the_same_run_lands(pair: Pair) -> None:
    make_people(pair)
    pair.source.execute("INSERT INTO people VALUES (1, 'a', NULL), (2, 'b', NULL)")
    pair.sync(PEOPLE)
    pair.source.execute("UPDATE people SET deputy = 3 WHERE id = 1; INSERT INTO people VALUES (3, 'c', 2)")
    assert row_counts(pair.sync(PEOPLE)) == {"updated": 1, "inserted": 1, "unchanged": 1}


TEAMS, STAFF = spec("teams", "team_id"), spec("staff", "staff_id")


def make_teams(pair: Pair, *, leader: str = "", team: str = "") -> None:
    pair.both("""
        CREATE TABLE teams (team_id int PRIMARY KEY, name text, leader int);
        CREATE TABLE staff (staff_id int PRIMARY KEY, name text, team int)""")
    pair.target.execute(f"""
        ALTER TABLE teams ADD source text, ADD FOREIGN KEY (leader) REFERENCES staff;
        ALTER TABLE staff ADD source text, ADD FOREIGN KEY (team) REFERENCES teams;
        {leader}; {team}""")
    pair.source.execute("""
        INSERT INTO teams VALUES (1, 'A', 10), (2, 'B', NULL);
        INSERT INTO staff VALUES (10, 'x', 1), (11, 'y', 1), (12, 'z', 2)""")


LEADER_REQUIRED = "ALTER TABLE teams ALTER leader SET NOT NULL"
TEAM_REQUIRED = "ALTER TABLE staff ALTER team SET NOT NULL"


@pytest.mark.parametrize("mode", ["full", "incremental"])
@pytest.mark.parametrize("make", [spec, delete_insert], ids=["upsert", "delete-insert"])
def test_tables_that_reference_each_other_land_in_two_steps(
    pair: Pair, mode: str, make: Callable[..., TableSpec]
) -> None:
    teams, staff = make("teams", "team_id"), make("staff", "staff_id")
    make_teams(pair, team=TEAM_REQUIRED)
    first = pair.sync(teams, staff, mode=mode)
    assert row_counts(first) == {"inserted": 2}
    assert [str(one) for one in first.rejections] == [
        "1 row inserted with an empty column, which the next run fills: leader has no matching row in staff yet, which "
        "references this table in turn"
    ]
    assert row_counts(pair.sync(staff, teams, mode=mode)) == {"inserted": 3}
    assert pair.sync(teams, staff, mode=mode).updated == 1
    assert pair.rows("SELECT team_id, leader FROM teams ORDER BY 1") == [(1, 10), (2, None)]
    assert pair.rows("SELECT * FROM powerca_sync.quarantine") == []
    assert_noop(pair, teams, staff)


def test_deferred_reference_that_never_lands_is_quarantined(pair: Pair) -> None:
    make_teams(pair, team=TEAM_REQUIRED)
    pair.source.execute("UPDATE teams SET leader = 99 WHERE team_id = 1")
    pair.sync(TEAMS, STAFF)
    result = pair.sync(TEAMS, STAFF)
    assert row_counts(result) == {"unchanged": 1, "quarantined": 1, "held": 1}
    assert str(result.samples[0]) == "leader=99 has no matching row in staff"


def test_cycle_of_required_references_is_named(pair: Pair) -> None:
    make_teams(pair, leader=LEADER_REQUIRED, team=TEAM_REQUIRED)
    pair.source.execute("DELETE FROM teams WHERE leader IS NULL")
    result = pair.sync(dataclasses.replace(TEAMS, limit_share=1.0), STAFF)
    assert row_counts(result) == {"quarantined": 1}
    assert str(result.samples[0]) == (
        "leader=10 has no matching row in staff, and the tables reference each other by NOT NULL columns, so that "
        "neither row can be inserted first; allow NULL in one of the columns at the target"
    )


def test_longer_cycle_lands_without_its_dangling_references(pair: Pair) -> None:
    pair.both(
        "CREATE TABLE a (id int PRIMARY KEY, b int); CREATE TABLE b (id int PRIMARY KEY, c int);"
        "CREATE TABLE c (id int PRIMARY KEY, a int); CREATE TABLE d (id int PRIMARY KEY, a int)"
    )
    pair.target.execute("""
        ALTER TABLE a ADD source text, ADD FOREIGN KEY (b) REFERENCES b;
        ALTER TABLE b ADD source text, ADD FOREIGN KEY (c) REFERENCES c, ALTER c SET NOT NULL;
        ALTER TABLE c ADD source text, ADD FOREIGN KEY (a) REFERENCES a, ALTER a SET NOT NULL;
        ALTER TABLE d ADD source text, ADD FOREIGN KEY (a) REFERENCES a""")
    pair.source.execute(
        "INSERT INTO a VALUES (1, 1); INSERT INTO b VALUES (1, 1); INSERT INTO c VALUES (1, 1), (2, 2);"
        "INSERT INTO d VALUES (1, 1), (2, 2)"
    )
    a, b, c, d = (spec(name, "id") for name in "abcd")
    for table in (a, c, b, a):
        result = pair.sync(table)
    assert row_counts(result) == {"updated": 1}
    assert pair.rows("SELECT a.id, b.id, c.id FROM a JOIN b ON a.b = b.id JOIN c ON b.c = c.id AND c.a = a.id") == [
        (1, 1, 1)
    ]
    # No row references d, so it is not retried.
    assert row_counts(pair.sync(d)) == {"inserted": 1, "quarantined": 1}
