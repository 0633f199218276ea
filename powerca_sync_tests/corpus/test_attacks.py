"""Hostile input beyond a single table: unusual organisation ids, values of tens of megabytes, newer mobile types."""

import dataclasses

import pytest
from psycopg import sql

from powerca_sync.engine.verify.verifier import verify
from powerca_sync.errors import SchemaMismatchError
from powerca_sync_tests.corpus.rules import RESTLESS
from powerca_sync_tests.corpus.values import literal
from powerca_sync_tests.helpers import ORGS, QUICK, Pair, delete_insert, pulled, row_counts

ITEMS = delete_insert("items", "id")

#: By type: two organisations of this office, and one of another.
ORGANISATIONS = {
    "text": ('a"b\\,{}', "%s ' \n", "NULL"),
    "char(8)": ("a", "a b", "A"),
    "varchar": ("", " ", "\\N"),
    "numeric(5,2)": ("1", "2.50", "3"),
    "bigint": ("0", "-9223372036854775808", "5"),
    "uuid": tuple(f"{n}0000000-0000-0000-0000-000000000000" for n in "01f"),
    "float8": ("0.1", "-0", "1e300"),
    "date": ("2025-01-01", "infinity", "0044-03-15 BC"),
}


@pytest.mark.parametrize("kind", ORGANISATIONS)
def test_organisation_ids_of_any_type_are_told_apart(pair: Pair, kind: str) -> None:
    items = delete_insert("items", "org_id", "id", office="org_id")
    *ours, theirs = map(literal, ORGANISATIONS[kind])
    pair.both(f"""CREATE TABLE orgs (org_id {kind} PRIMARY KEY); CREATE TABLE items (org_id {kind}, id int)""")
    pair.target.execute("ALTER TABLE orgs ADD source text; ALTER TABLE items ADD source text")
    for org in ours:
        pair.source.execute(f"INSERT INTO orgs VALUES ({org}); INSERT INTO items VALUES ({org}, 1), ({org}, 2)")  # type: ignore[call-overload]
    pair.target.execute(f"INSERT INTO orgs VALUES ({theirs}, 'D'); INSERT INTO items VALUES ({theirs}, 1, 'D')")  # type: ignore[call-overload]
    pair.target.execute(f"INSERT INTO items VALUES ({ours[0]}, 9, 'M'), ({theirs}, 9, 'M')")  # type: ignore[call-overload]
    others = pair.text("items", where=f"org_id = {theirs}")
    assert row_counts(pair.sync(ORGS, items)) == {"inserted": 2}
    assert row_counts(pair.sync(items, ORGS)) == {"inserted": 4}
    assert pulled(pair.pull(items, ORGS)) == {"pulled": 1}
    assert row_counts(pair.sync(items, ORGS)) == {"unchanged": 4, "echo": 1}
    for found in verify(source=pair.source, target=pair.target, specs=[ORGS, items], options=QUICK):
        assert found.agrees, found
    pair.source.execute("DELETE FROM items WHERE id = 2")
    assert row_counts(pair.sync(items, ORGS)) == {"unchanged": 2, "echo": 1, "deleted": 2}
    assert pair.text("items", where=f"org_id = {theirs}") == others


def test_values_of_tens_of_megabytes_arrive_and_stay(pair: Pair) -> None:
    items = dataclasses.replace(ITEMS, max_row_bytes=64 * 2**20)
    pair.source.execute("CREATE TABLE items (id int PRIMARY KEY, note text, bytes bytea)")
    pair.source.execute("ALTER TABLE items ALTER note SET STORAGE EXTERNAL")
    pair.target.execute("CREATE TABLE items (id int PRIMARY KEY, note text, bytes bytea, source text)")
    pair.source.execute("INSERT INTO items VALUES (1, repeat(E'ab\\\\\\n', 12500000), NULL), (3, 'small', '')")
    pair.source.execute("INSERT INTO items VALUES (2, NULL, decode(repeat('00ff', 5000000), 'hex'))")
    assert row_counts(pair.sync(items)) == {"inserted": 3}
    before = pair.rows("SELECT id, ctid, xmin FROM items")
    assert row_counts(pair.sync(items)) == {"unchanged": 3}
    assert pair.rows("SELECT id, ctid, xmin FROM items") == before
    digests = "SELECT id, md5(note), length(note), md5(bytes) FROM items ORDER BY id"
    assert pair.rows(digests) == pair.rows(digests, pair.source)
    (found,) = verify(source=pair.source, target=pair.target, specs=[items], options=QUICK)
    assert found.agrees


def test_values_of_newer_mobile_types_are_quarantined_on_the_desktop(pair: Pair) -> None:
    if pair.target.info.server_version < 170000:
        pytest.skip("Infinite intervals came with PostgreSQL 17.")
    pair.both("CREATE TABLE items (id int PRIMARY KEY, span interval, path jsonpath, kind regtype)")
    pair.target.execute("ALTER TABLE items ADD source text")
    pair.target.execute("""
        CREATE TYPE mood AS ENUM ('fine');
        INSERT INTO items VALUES (1, 'infinity', NULL, NULL, 'M'), (2, NULL, '$.a.bigint()', NULL, 'M'),
            (3, NULL, NULL, 'mood', 'M'), (4, '1 day', '$', 'text', 'M')""")
    for fate in ("pulled", "already_there"):
        result = pair.pull(ITEMS)
        assert pulled(result) == {fate: 1, "quarantined": 3}
    assert {sample.key["id"]: str(sample).partition(" (")[0] for sample in result.samples} == {
        "1": 'invalid input syntax for type interval: "infinity"',
        "2": 'syntax error at or near "(" of jsonpath input',
        "3": 'type "public.mood" does not exist',
    }


def test_trigger_that_changes_every_row_is_reported_by_verify(shared_pair: Pair) -> None:
    """The intended value is not stored, so that each run writes such rows again; verify names the column."""
    pair, case = shared_pair, RESTLESS
    pair.empty()
    for side, statements in ((pair.source, case.desktop), (pair.target, case.mobile)):
        side.execute(statements)  # type: ignore[call-overload]
    assert row_counts(pair.sync(case.table)) == {"inserted": 3}
    assert row_counts(pair.sync(case.table)) == {"updated": 3}
    (found,) = verify(source=pair.source, target=pair.target, specs=[case.table], options=QUICK)
    assert found.outcome is not None
    assert not found.agrees
    assert found.outcome.columns == {"name": 3}


@pytest.mark.parametrize("event", ["UPDATE", "DELETE"])
def test_rule_that_keeps_rows_unchanged_is_named(pair: Pair, event: str) -> None:
    pair.both("CREATE TABLE items (id int, name text)")
    pair.target.execute("ALTER TABLE items ADD source text")
    create = sql.SQL("CREATE RULE silent AS ON {} TO items WHERE OLD.id = 1 DO INSTEAD NOTHING")
    pair.target.execute(create.format(sql.SQL(event)))  # type: ignore[arg-type]
    pair.source.execute("INSERT INTO items VALUES (1, 'one'), (2, 'two'), (3, 'three')")
    assert row_counts(pair.sync(ITEMS)) == {"inserted": 3}
    pair.source.execute("UPDATE items SET name = 'new' WHERE id = 2; DELETE FROM items WHERE id = 3")
    assert row_counts(pair.sync(ITEMS)) == {"updated": 1, "deleted": 1, "unchanged": 1}
    pair.source.execute("UPDATE items SET name = 'new'" if event == "UPDATE" else "DELETE FROM items WHERE id = 1")
    before = pair.text("items")
    if event == "UPDATE":
        with pytest.raises(
            SchemaMismatchError, match=r"`silent` of the target swallowed the row .* Nothing was written"
        ):
            pair.sync(ITEMS)
    else:
        assert row_counts(pair.sync(ITEMS)) == {"unchanged": 1, "kept_referenced": 1}
    assert pair.text("items") == before
