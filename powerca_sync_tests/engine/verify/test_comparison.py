"""Two rows differ if the text of their values differs, whatever the types; and how keys pair."""

import psycopg
import pytest

from powerca_sync.specs import Strategy, TableSpec
from powerca_sync_tests.helpers import Pair, assert_noop, delete_insert, row_counts, spec

STRATEGIES = ["upsert", "delete-insert"]

#: Type, a value, and another value; the type's own equality is missing, wider, or raises.
PAIRS = [
    ("json", '{"a": 1, "b": null}', '{"a":1, "b": null}'),
    ("json", "null", "[]"),
    ("jsonb", "null", '"null"'),
    ("jsonb", "1.5", "1.50"),
    ("point", "(1,2)", "(1,2.5)"),
    ("point", "(1,2)", "(1,2.0000000001)"),
    ("xml", "<a/>", "<a></a>"),
    ("numeric", "1.5", "1.50"),
    ("numeric", "NaN", "0"),
    ("float8", "0", "-0"),
    ("float4[]", "{0}", "{-0}"),
    ("interval", "30 days", "1 mon"),
    ("interval", "24:00:00", "1 day"),
    ("text[]", "{NULL}", "{}"),
    ("text[]", "{a,b}", '{"a,b"}'),
    ("bit varying(5)", "1", "10"),
    ("timetz", "12:00+02", "10:00+00"),
    ("bytea", "\\x00", "\\x0000"),
    ("inet", "10.0.0.1", "10.0.0.1/24"),
    ("int4range", "[1,3)", "[1,4)"),
    ("tsvector", "a b", "a:1 b"),
    ("box", "(2,2),(1,1)", "(2.5,2),(1.5,1)"),
    ("text", "", " "),
    ("text", "a\tb\\n", "a\nb\\n"),
    ("text COLLATE ignore_case", "a", "A"),
    ("text", "\u00e9", "e\u0301"),
]


@pytest.fixture
def items(pair: Pair) -> list[tuple[str, str, str]]:
    """Creates the table `items` with a column for each type that the server supports and a row with a value there
    alone.

    Returns (column, value, other value); the nth belongs to the row with key n.
    """
    pair.source.execute("CREATE TABLE items (k int)")
    pair.target.execute("CREATE TABLE items (id bigserial, k int, source char(1), updated_at timestamptz)")
    there = []
    for kind, value, other in PAIRS:
        name = f"v{len(there)}"
        try:
            if "ignore_case" in kind:
                pair.both(
                    "CREATE COLLATION ignore_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
                )
            pair.source.execute(f"SELECT %s::{kind}", [value])
        except psycopg.errors.FeatureNotSupported:
            continue  # Some servers are built without XML or ICU.
        pair.both(f"ALTER TABLE items ADD {name} {kind}")
        pair.source.execute(f"INSERT INTO items (k, {name}) VALUES (%s, %s)", [len(there), value])  # noqa: S608
        there.append((name, value, other))
    return there


@pytest.mark.parametrize(
    "table",
    [spec("items", "k"), delete_insert("items", "k"), delete_insert("items")],
    ids=["upsert", "delete-insert", "keyless"],
)
def test_value_is_written_only_if_its_text_changed(
    pair: Pair, items: list[tuple[str, str, str]], table: TableSpec
) -> None:
    assert len(items) >= len(PAIRS) - 3
    assert row_counts(pair.sync(table)) == {"inserted": len(items)}
    assert_noop(pair, table)
    for values in ([other for _, _, other in items], [None] * len(items), [value for _, value, _ in items]):
        for k, ((name, _, _), value) in enumerate(zip(items, values, strict=True)):
            pair.source.execute(f"UPDATE items SET {name} = %s WHERE k = %s", [value, k])  # noqa: S608
        fate = row_counts(pair.sync(table, allow_mass_delete=True))
        assert fate == ({"updated": len(items)} if table.key else {"inserted": len(items), "deleted": len(items)})
        everything = "SELECT (to_jsonb(t) - 'id' - 'source' - 'updated_at')::text FROM items AS t ORDER BY k"
        assert pair.rows(everything) == pair.rows(everything, pair.source)
        assert_noop(pair, table)


@pytest.mark.parametrize("table", [spec("links", "a", "b", "c"), delete_insert("links", "a", "b", "c")], ids=STRATEGIES)
def test_table_of_key_columns_only_is_synced_by_inserts_and_deletes(pair: Pair, table: TableSpec) -> None:
    pair.both("CREATE TABLE links (a int, b text, c date)")
    pair.target.execute("ALTER TABLE links ADD source char(1) DEFAULT 'D'")
    pair.source.execute(
        "INSERT INTO links VALUES (1, 'x', '2025-01-01'), (1, 'x', '2025-01-02'), (1, 'y', '2025-01-01')"
    )
    assert row_counts(pair.sync(table)) == {"inserted": 3}
    assert_noop(pair, table)
    pair.source.execute("UPDATE links SET c = '2026-01-01' WHERE c = '2025-01-02'")
    gone = "deleted" if table.strategy is Strategy.DELETE_INSERT else "stale"
    assert row_counts(pair.sync(table)) == {"unchanged": 2, "inserted": 1, gone: 1}


@pytest.mark.parametrize("table", [spec("jobs", "org", "job"), delete_insert("jobs", "org", "job")], ids=STRATEGIES)
def test_composite_key_pairs_as_a_whole(pair: Pair, table: TableSpec) -> None:
    pair.both("CREATE TABLE jobs (org int, job text, name text)")
    pair.target.execute("ALTER TABLE jobs ADD id bigserial PRIMARY KEY, ADD source char(1) DEFAULT 'D'")
    pair.source.execute("INSERT INTO jobs VALUES (1, '2,3', 'a'), (1, '2', 'b'), (12, '3', 'c'), (2, '2', 'd')")
    pair.sync(table)
    pair.source.execute("UPDATE jobs SET name = upper(name)")
    assert row_counts(pair.sync(table)) == {"updated": 4}
    assert pair.rows("SELECT id, name FROM jobs ORDER BY id") == [(1, "A"), (2, "B"), (3, "C"), (4, "D")]


@pytest.mark.parametrize("table", [spec("jobs", "job"), delete_insert("jobs", "job")], ids=STRATEGIES)
@pytest.mark.parametrize(("source", "target", "again"), [("text", "int", "01"), ("text", "numeric", "1.0")])
def test_keys_distinct_only_on_the_desktop_are_quarantined(
    pair: Pair, table: TableSpec, source: str, target: str, again: str
) -> None:
    pair.source.execute(f"CREATE TABLE jobs (job {source} PRIMARY KEY, name text)")
    pair.target.execute(f"CREATE TABLE jobs (job {target} PRIMARY KEY, name text, source char(1) DEFAULT 'D')")
    pair.source.execute("INSERT INTO jobs VALUES ('1', 'a'), ('2', 'b')")
    assert row_counts(pair.sync(table)) == {"inserted": 2}
    before = pair.text("jobs")
    pair.source.execute("INSERT INTO jobs VALUES (%s, 'c')", [again])
    assert row_counts(pair.sync(table)) == {"unchanged": 1, "quarantined": 2, "held": 1}
    assert pair.text("jobs") == before


def test_quarantined_numeric_key_is_matched_in_any_notation(pair: Pair) -> None:
    table = delete_insert("jobs", "job")
    pair.source.execute("CREATE TABLE jobs (job numeric, name text)")
    pair.target.execute("CREATE TABLE jobs (id bigserial, job numeric, name text NOT NULL, source char(1) DEFAULT 'D')")
    pair.source.execute("INSERT INTO jobs VALUES (1, 'a'), (2, 'b')")
    pair.sync(table)
    before = pair.text("jobs")
    pair.source.execute(
        "UPDATE jobs SET job = 2.0, name = NULL WHERE job = 2; UPDATE jobs SET job = 1.00 WHERE job = 1"
    )
    assert row_counts(pair.sync(table)) == {"updated": 1, "quarantined": 1, "held": 1}
    assert pair.text("jobs", where="job = 2") == before[1:]
