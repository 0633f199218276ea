"""Columns and names: common columns are synced whatever their names; columns of one database only do no harm."""

import logging

import pytest
from psycopg import sql

from powerca_sync.errors import SchemaMismatchError
from powerca_sync.specs import Strategy
from powerca_sync_tests.helpers import ORGS, Pair, assert_noop, delete_insert, row_counts, spec

ITEMS = spec("items", "id")


@pytest.fixture
def items(pair: Pair) -> Pair:
    pair.both("CREATE TABLE items (id int PRIMARY KEY, name text)")
    pair.source.execute("INSERT INTO items VALUES (1, 'one'), (2, 'two')")
    return pair


def test_source_only_column_is_reported_as_not_synced(items: Pair, caplog: pytest.LogCaptureFixture) -> None:
    items.source.execute("ALTER TABLE items ADD note text DEFAULT 'x', ADD \"Größe\" int")
    with caplog.at_level(logging.INFO, logger="powerca_sync"):
        assert row_counts(items.sync(ITEMS)) == {"inserted": 2}
    assert "items: columns that only the source has are not synced: note, Größe." in caplog.messages


def test_target_only_column_is_never_written(items: Pair) -> None:
    items.target.execute("ALTER TABLE items ADD rating int DEFAULT 5")
    items.sync(ITEMS)
    items.target.execute("UPDATE items SET rating = 1 WHERE id = 1")
    items.source.execute("UPDATE items SET name = upper(name)")
    items.sync(ITEMS)
    assert items.rows("SELECT * FROM items ORDER BY id") == [(1, "ONE", 1), (2, "TWO", 5)]


def test_column_added_in_both_databases_is_synced_at_once(items: Pair) -> None:
    items.sync(ITEMS)
    assert items.sync(ITEMS, mode="incremental").extracted == 0
    items.both("ALTER TABLE items ADD colour text")
    # PostgreSQL stores such a default in the catalog: no row gets a new version.
    items.source.execute(
        "ALTER TABLE items ADD size text DEFAULT 'big'; ALTER TABLE items ALTER colour SET DEFAULT 'red'"
    )
    items.target.execute("ALTER TABLE items ADD size text")
    result = items.sync(ITEMS, mode="incremental")
    assert (result.mode_effective, row_counts(result)) == ("full", {"updated": 2})
    assert result.mode_reason.startswith("the columns, their labels, the spec")
    assert items.rows("SELECT size, colour FROM items") == [("big", None)] * 2


def test_recreated_column_is_another_column(items: Pair) -> None:
    items.sync(ITEMS)
    items.source.execute("ALTER TABLE items DROP name; ALTER TABLE items ADD name text DEFAULT 'same for all'")
    result = items.sync(ITEMS, mode="incremental")
    assert (result.mode_effective, row_counts(result)) == ("full", {"updated": 2})


def test_column_dropped_in_the_source_keeps_its_target_values(items: Pair) -> None:
    items.sync(ITEMS)
    items.source.execute("ALTER TABLE items DROP name")
    assert row_counts(items.sync(ITEMS)) == {"unchanged": 2}
    assert items.rows("SELECT name FROM items ORDER BY id") == [("one",), ("two",)]


#: Reserved, mixed case, blank, with every special character of some layer, and of the maximum length.
NAMES = [
    *("user", "select", "order", "CamelCase", "with space", " ", 'quo"te', "it's", "per%cent", "%s", "{brace}", "{}"),
    *("back\\slash", "semi;colon", "dash--ed", "dot.ted", "colon:ed", "ref:0", "tab\tbed"),
    *("new\nline", "größe", "नाम", "🙂", "n" * 63, "ñ" * 31),
    *("s", "t", "a", "h", "p", "k", "key", "place", "action", "content", "copy", "value", "h1", "existing", "rank"),
]


@pytest.mark.parametrize("strategy", list(Strategy))
def test_unusual_names_are_synced_correctly(pair: Pair, strategy: Strategy) -> None:
    table, key = 'T a"b%l.e', "Key %s"
    columns = sql.SQL(", ").join(sql.SQL("{} varchar(9)").format(sql.Identifier(name)) for name in NAMES)
    create = sql.SQL("CREATE TABLE {} ({} int, {}, source char(1) DEFAULT 'D')")
    for connection in (pair.source, pair.target):
        connection.execute(create.format(sql.Identifier(table), sql.Identifier(key), columns))
    insert = sql.SQL("INSERT INTO {} SELECT g, {} FROM generate_series(1, 3) AS g").format(
        sql.Identifier(table), sql.SQL(", ").join(sql.SQL("{} || g::text").format(f"{n}:") for n in range(len(NAMES)))
    )
    pair.source.execute(insert)
    odd = spec(f"public.{table}", key, mobile=f"public.{table}", strategy=strategy)
    assert row_counts(pair.sync(odd)) == {"inserted": 3}
    query = sql.SQL("SELECT * FROM {} ORDER BY 1").format(sql.Identifier(table))
    assert pair.target.execute(query).fetchall() == pair.source.execute(query).fetchall()
    for name in NAMES:
        change = sql.SQL("UPDATE {} SET {} = 'new' WHERE {} = 2")
        pair.source.execute(change.format(*map(sql.Identifier, (table, name, key))))
    pair.source.execute(sql.SQL("UPDATE {} SET {} = NULL WHERE {} = 1").format(*map(sql.Identifier, (table, "s", key))))
    assert row_counts(pair.sync(odd)) == {"updated": 2, "unchanged": 1}
    assert pair.target.execute(query).fetchall() == pair.source.execute(query).fetchall()


def test_row_is_quarantined_whatever_its_column_names(pair: Pair) -> None:
    columns = sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(name)) for name in NAMES)
    pair.source.execute(sql.SQL("CREATE TABLE odd (id int PRIMARY KEY, {})").format(columns))
    pair.target.execute(sql.SQL("CREATE TABLE odd (id int PRIMARY KEY, {})").format(columns))
    pair.target.execute('ALTER TABLE odd ALTER s SET NOT NULL, ADD CHECK ("{}" <> \'%s\'), ALTER "%s" TYPE varchar(3)')
    pair.source.execute(
        "INSERT INTO odd (id, s, \"{}\", \"%s\") VALUES (1, NULL, '', ''), (2, 's', '%s', ''), (3, '', '', 'long')"
    )
    result = pair.sync(spec("odd", "id", limit_share=1.0))
    assert [str(sample) for sample in result.samples] == [
        "{} violates the target's rule odd_{}_check",
        "s is empty, which the target forbids",
        "value too long for type character varying(3) (column %s)",
    ]
    images = pair.rows(
        "SELECT key ->> 'id', image ->> 's', image ->> '{}', image ->> '%s' FROM powerca_sync.quarantine"
    )
    assert sorted(images) == [("1", None, "", ""), ("2", "s", "%s", ""), ("3", "", "", "long")]


def test_table_of_five_hundred_columns_is_synced(pair: Pair) -> None:
    columns = ", ".join(
        f"c{n} {kind}" for n, kind in zip(range(500), ["int", "text", "numeric(9,2)", "date"] * 125, strict=True)
    )
    pair.both(f"CREATE TABLE wide (id int PRIMARY KEY, {columns})")
    pair.source.execute("INSERT INTO wide (id, c0, c1, c498) SELECT g, g, 'text', 1.5 FROM generate_series(1, 5) AS g")
    assert row_counts(pair.sync(spec("wide", "id"))) == {"inserted": 5}
    pair.source.execute("UPDATE wide SET c499 = '2025-11-30' WHERE id = 3")
    assert row_counts(pair.sync(spec("wide", "id"))) == {"updated": 1, "unchanged": 4}


def test_tables_may_live_in_other_schemas(pair: Pair) -> None:
    pair.both(
        "CREATE SCHEMA \"My Books\"; CREATE SCHEMA s; CREATE TYPE s.kind AS ENUM ('x'); CREATE TABLE items (id text)"
    )
    pair.source.execute('CREATE TABLE "My Books".items (id int PRIMARY KEY, kind s.kind)')
    pair.target.execute("CREATE TABLE s.things (id int PRIMARY KEY, kind s.kind)")
    pair.source.execute("INSERT INTO \"My Books\".items VALUES (1, 'x')")
    things = spec("My Books.items", "id", mobile="s.things")
    pair.sync(things)
    assert pair.rows("SELECT id, kind FROM s.things") == [(1, "x")]
    assert pair.rows("SELECT * FROM public.items") == []
    assert row_counts(pair.sync(things)) == {"unchanged": 1}


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        (None, "TABLE items (id int)", "Table `items` does not exist on the desktop, or its user may not see it"),
        ("TABLE items (id int)", None, "Table `items` does not exist on mobile. Create it there"),
        (
            "TABLE items (no int)",
            "TABLE items (id int)",
            "the desktop lacks `id`",
        ),
        ("TABLE items (id int)", "TABLE items (no int)", "mobile lacks `id`"),
        ("TABLE items (id int)", "VIEW items AS SELECT 1 AS id", "`items` is not a table at the target"),
        (
            "TABLE items (id int)",
            "TABLE items (id int GENERATED ALWAYS AS IDENTITY)",
            "Column `id` of `items` is generated by the target.* Make it a plain column",
        ),
        (
            "TABLE items (id int)",
            "TABLE items (no int, id int GENERATED ALWAYS AS (no) STORED)",
            "Column `id` of `items` is generated by the target",
        ),
    ],
)
def test_schema_mismatch_is_reported_before_anything_is_written(
    pair: Pair, source: str | None, target: str | None, words: str
) -> None:
    for connection, definition in ((pair.source, source), (pair.target, target)):
        if definition:
            connection.execute(f"CREATE {definition}")  # type: ignore[call-overload]
    with pytest.raises(SchemaMismatchError, match=words) as caught:
        pair.sync(ITEMS)
    assert not caught.value.retryable
    assert pair.one("SELECT error_message FROM _sync_metadata") == str(caught.value)
    assert pair.rows("SELECT * FROM powerca_sync.table_state") == []


def test_no_column_in_common_is_a_mismatch(pair: Pair) -> None:
    pair.source.execute("CREATE TABLE items (a int)")
    pair.target.execute("CREATE TABLE items (b int, source text)")
    with pytest.raises(SchemaMismatchError, match="Table `items` has no column in common with `items`"):
        pair.sync(delete_insert("items"))


def test_values_generated_by_the_target_are_left_to_it(pair: Pair) -> None:
    pair.both("CREATE TABLE items (id int PRIMARY KEY, price int)")
    pair.source.execute(
        "ALTER TABLE items ADD twice int, ADD no int, ADD half int GENERATED ALWAYS AS (price / 2) STORED"
    )
    pair.target.execute("ALTER TABLE items ADD twice int GENERATED ALWAYS AS (price * 2) STORED, ADD half int")
    pair.target.execute("ALTER TABLE items ADD no int GENERATED ALWAYS AS IDENTITY (START 100)")
    pair.source.execute("INSERT INTO items VALUES (1, 10, 0, 7)")
    pair.sync(ITEMS)
    assert pair.rows("SELECT id, price, twice, half, no FROM items") == [(1, 10, 20, 5, 100)]
    assert_noop(pair, ITEMS)


def test_identity_by_default_takes_source_keys_and_keeps_its_sequence(pair: Pair) -> None:
    pair.source.execute("CREATE TABLE items (id int PRIMARY KEY, name text)")
    pair.target.execute("CREATE TABLE items (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, name text)")
    pair.source.execute("INSERT INTO items VALUES (41, 'x')")
    pair.sync(ITEMS)
    assert pair.rows("SELECT id, name FROM items") == [(41, "x")]
    assert pair.rows("SELECT last_value, is_called FROM items_id_seq") == [(1, False)]


def test_key_column_without_a_source_value_is_refused(pair: Pair) -> None:
    pair.both("CREATE TABLE clients (client_id int, name text)")
    with pytest.raises(SchemaMismatchError, match="is in `key`, and cannot be filled otherwise"):
        pair.sync(spec("clients", "client_id", constants={"client_id": "1"}))


def test_column_that_leads_to_the_office_is_required(pair: Pair) -> None:
    pair.source.execute("CREATE TABLE clients (client_id int, org_id int); CREATE TABLE orgs (org_id int)")
    pair.source.execute("INSERT INTO orgs VALUES (1)")
    pair.target.execute("""
        CREATE TABLE orgs (org_id int PRIMARY KEY, source char(1));
        CREATE TABLE clients (client_id int PRIMARY KEY, org_id int GENERATED ALWAYS AS (1) STORED, source char(1))""")
    with pytest.raises(SchemaMismatchError, match="column `org_id` determines the office"):
        pair.sync(spec("clients", "client_id", office="org_id"), ORGS)
