"""Ledger entries whose stored values the desktop's columns can no longer hold."""

import dataclasses

import pytest

from powerca_sync.engine.result import Transfer
from powerca_sync.engine.verify.verifier import verify
from powerca_sync.specs import TableSpec
from powerca_sync_tests.helpers import QUICK, Pair, delete_insert, pulled, row_counts, spec

TYPES = """CREATE DOMAIN short AS text; CREATE TYPE part AS (a int, b text); CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE SCHEMA other; CREATE TYPE other.mood AS ENUM ('x')"""
COLUMNS = "id int, note text, s short, c part, e mood, n int, m numeric, v varchar(50)"
OWN = "(1, 'x', 'd', '(1,z)', 'bad', 1, 1, 'v')"
PHONES = "(100, 'abc', 'phone', '(2,q)', 'good', 70000, 123456, 'abcdef', 'M')"

CHANGES = {
    "text to int": "ALTER TABLE items ALTER note TYPE int USING length(note)",
    "text to date": "ALTER TABLE items ALTER note TYPE date USING NULL",
    "domain with a check": "UPDATE items SET s = 'd'; ALTER DOMAIN short ADD CHECK (VALUE <> 'phone')",
    "domain with a check for new values": "ALTER DOMAIN short ADD CHECK (VALUE <> 'phone') NOT VALID",
    "composite type without an attribute": "UPDATE items SET c = NULL; ALTER TYPE part DROP ATTRIBUTE b",
    "label renamed": "ALTER TYPE mood RENAME VALUE 'good' TO 'fine'",
    "labels recreated": """ALTER TABLE items ALTER e TYPE text; UPDATE items SET e = 'bad'; DROP TYPE mood;
        CREATE TYPE mood AS ENUM ('bad'); ALTER TABLE items ALTER e TYPE mood USING e::mood""",
    "smaller integer": "UPDATE items SET n = 5; ALTER TABLE items ALTER n TYPE smallint",
    "fewer digits": "UPDATE items SET m = 1; ALTER TABLE items ALTER m TYPE numeric(5,2)",
    "uuid recreated": "ALTER TABLE items DROP note; ALTER TABLE items ADD note uuid",
    "two columns": """ALTER TABLE items ALTER note TYPE int USING length(note);
        UPDATE items SET n = 5; ALTER TABLE items ALTER n TYPE smallint""",
}


def make_items(pair: Pair, table: TableSpec) -> None:
    pair.both(TYPES)
    pair.source.execute(f"CREATE TABLE items ({COLUMNS})")  # type: ignore[call-overload]
    pair.source.execute(f"INSERT INTO items VALUES {OWN}")  # type: ignore[call-overload]  # noqa: S608
    pair.target.execute(f"CREATE TABLE items (row_id bigserial PRIMARY KEY, {COLUMNS}, source text)")
    pair.sync(table)
    pair.target.execute(f"INSERT INTO items (id, note, s, c, e, n, m, v, source) VALUES {PHONES}")  # type: ignore[call-overload]  # noqa: S608
    assert pulled(pair.pull(table)) == {"pulled": 1}


def assert_agree(pair: Pair, table: TableSpec) -> None:
    with pair.connected() as (source, target):
        (found,) = verify(source=source, target=target, specs=[table], options=QUICK)
    assert found.agrees, found


TABLES = {
    "DELETE_INSERT": delete_insert("items", "id"),
    "UPSERT": spec("items", "id"),
    "without key": delete_insert("items"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("table", TABLES)
def test_unreadable_entries_do_not_stop_the_table(pair: Pair, table: str, change: str) -> None:
    items = TABLES[table]
    make_items(pair, items)
    pair.source.execute(CHANGES[change])  # type: ignore[call-overload]
    if "label" in change or "composite" in change:
        pair.target.execute(CHANGES[change])  # type: ignore[call-overload]
    before = pair.text("items", on=pair.source)
    result = pair.sync(items)
    assert any("cannot hold any more" in warning for warning in result.warnings)
    assert result.echo + result.kept_mobile == 1, row_counts(result)
    pair.sync(items, options=dataclasses.replace(QUICK, transfer=Transfer.DIFFERENCES))
    result = pair.pull(items)
    assert (result.pulled, result.already_there, result.missing_after_pull) == (0, 1, 0)
    assert any("cannot hold any more" in warning for warning in result.warnings)
    if change != "domain with a check for new values":
        again = pair.pull(items)
        assert not any("cannot hold" in warning for warning in again.warnings), "the entries have been renewed"
        assert row_counts(pair.sync(items)) == {"unchanged": 1, "echo": 1}
    assert_agree(pair, items)
    assert pair.rows("SELECT source, count(*) FROM items GROUP BY 1 ORDER BY 1") == [("D", 1), ("M", 1)]
    assert pair.text("items", on=pair.source) == before


def test_skipped_entries_are_kept_in_the_ledger(pair: Pair) -> None:
    items = TABLES["UPSERT"]
    make_items(pair, items)
    pair.source.execute(CHANGES["text to int"])  # type: ignore[call-overload]
    pair.pull(items)
    assert pair.rows("SELECT image ->> 'note', image ->> 'aside:note' FROM powerca_sync.pulled", pair.source) == [
        ("3", "abc")
    ]


def test_values_of_sensitive_columns_are_not_shown(pair: Pair) -> None:
    items = dataclasses.replace(TABLES["UPSERT"], sensitive=frozenset({"note"}))
    make_items(pair, items)
    pair.source.execute(CHANGES["text to int"])  # type: ignore[call-overload]
    assert "abc" not in str(pair.sync(items).warnings)
    assert "abc" not in str(pair.pull(items).warnings)


def test_unreadable_key_skips_only_its_entry(pair: Pair) -> None:
    items = TABLES["DELETE_INSERT"]
    make_items(pair, items)
    pair.target.execute("INSERT INTO items (id, note, source) VALUES (101, 'second', 'M')")
    pair.pull(items)
    pair.source.execute("DELETE FROM items WHERE id = 100")
    pair.source.execute(
        "UPDATE powerca_sync.pulled SET image = image || '{\"id\": \"x\"}' WHERE image ->> 'id' = '100'"
    )
    assert row_counts(pair.sync(items)) == {"unchanged": 1, "echo": 1}
    assert pulled(pair.pull(items)) == {"already_there": 2, "missing_after_pull": 1}
