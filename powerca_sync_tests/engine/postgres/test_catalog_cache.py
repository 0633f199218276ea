"""The catalog is read once a run, and again after any schema change that alters a fact."""

import pytest

from powerca_sync.engine.context import CatalogCaches
from powerca_sync.engine.forward.forward import sync_forward
from powerca_sync.engine.postgres import CatalogCache, Table, Timeouts, connect, read_tables, transaction
from powerca_sync.engine.requests import TableExtract
from powerca_sync.engine.result import ForwardResult
from powerca_sync_tests.helpers import QUICK, Pair, row_counts, spec

NAMES = ("items", "parts", "family", "absent")
TABLES = """
CREATE TYPE colour AS ENUM ('red', 'green');
CREATE DOMAIN code AS varchar(5);
CREATE FUNCTION fine(int) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT true';
CREATE TABLE makers (maker_id int PRIMARY KEY, best int);
CREATE TABLE items (
    id int PRIMARY KEY, name text, amount numeric(8, 2), hue colour, short code,
    maker_id int NOT NULL REFERENCES makers,
    CONSTRAINT fine CHECK (fine(id))
);
ALTER TABLE makers ADD CONSTRAINT best FOREIGN KEY (best) REFERENCES items;
CREATE TABLE parts (id int, item_id int, kind int) PARTITION BY LIST (kind);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
ALTER TABLE parts_1 ADD UNIQUE (id);
CREATE TABLE uses (id int REFERENCES parts_1 (id));
CREATE TABLE loose (id int, item_id int, kind int);
CREATE TABLE family (id int, item_id int, kind int);
CREATE TABLE orders (id int, item_id int);
CREATE SCHEMA other;
"""
#: Each changes a fact about one of the tables, mostly without touching its row in `pg_class`.
CHANGES = (
    "ALTER TABLE items ALTER amount TYPE numeric(8, 1)",
    "ALTER TABLE items ADD note text",
    "ALTER TABLE items DROP name",
    "ALTER TABLE items RENAME name TO title",
    "ALTER TABLE items ALTER name SET NOT NULL",
    "ALTER TABLE items ALTER name SET DEFAULT 'x'",
    "ALTER TABLE items ADD note text DEFAULT 'missing value'",
    "DROP TABLE items CASCADE; CREATE TABLE items (id int)",
    "ALTER TABLE items RENAME TO things",
    "CREATE TABLE absent (id int)",
    "CREATE UNIQUE INDEX ON items (name)",
    "ALTER TABLE items DROP CONSTRAINT items_pkey CASCADE",
    "ALTER TABLE items ADD CHECK (id > 0)",
    "ALTER TABLE items DROP CONSTRAINT fine",
    "ALTER FUNCTION fine(int) RENAME TO finer",
    "ALTER TYPE colour ADD VALUE 'blue'",
    "ALTER TYPE colour RENAME VALUE 'red' TO 'pink'",
    "ALTER TYPE colour RENAME TO shade",
    "ALTER DOMAIN code SET NOT NULL",
    "ALTER TABLE orders ADD FOREIGN KEY (item_id) REFERENCES items",
    "ALTER TABLE makers ALTER best SET NOT NULL",
    "ALTER TABLE makers RENAME maker_id TO id",
    "ALTER TABLE makers RENAME TO producers",
    "ALTER TABLE makers DROP CONSTRAINT best",
    "CREATE RULE nothing AS ON DELETE TO items DO INSTEAD NOTHING",
    "ALTER TABLE loose INHERIT family",
    "ALTER TABLE parts DETACH PARTITION parts_1",
    "ALTER TABLE items SET SCHEMA other",
)


@pytest.fixture
def database(pair: Pair) -> Pair:
    pair.source.execute(TABLES)
    return pair


@pytest.fixture
def cache(database: Pair) -> CatalogCache:
    """Returns a cache that has read the tables."""
    kept = CatalogCache(NAMES)
    read(database, kept)
    return kept


def read(pair: Pair, cache: CatalogCache | None = None) -> dict[str, Table]:
    with transaction(pair.source, timezone="UTC", timeouts=Timeouts(), snapshot=True) as cursor:
        return read_tables(cursor, NAMES) if cache is None else cache.read(cursor, NAMES)


@pytest.mark.parametrize("change", CHANGES)
def test_schema_change_is_seen_by_the_next_reading(database: Pair, cache: CatalogCache, change: str) -> None:
    before = read(database)
    database.source.execute(change)  # type: ignore[call-overload]
    assert read(database) != before
    assert read(database, cache) == read(database)


@pytest.mark.parametrize(
    "work",
    [
        "INSERT INTO makers VALUES (1); INSERT INTO items VALUES (1, 'one', 1, 'red', 'x', 1)",
        "TRUNCATE items, makers, parts, uses",
        "ANALYZE",
        "VACUUM",
        "CREATE TEMP TABLE temporary (id int PRIMARY KEY, hue colour)",
    ],
)
def test_work_of_others_does_not_read_the_catalog_again(database: Pair, cache: CatalogCache, work: str) -> None:
    before = cache.kept
    database.source.execute(work)  # type: ignore[call-overload]
    assert read(database, cache) == read(database)
    assert cache.kept is before


def test_changes_of_an_open_transaction_are_not_seen(database: Pair, cache: CatalogCache) -> None:
    before = cache.kept
    with transaction(database.source, timezone="UTC", timeouts=Timeouts(), snapshot=True) as cursor:
        cursor.execute("SELECT 1")
        with connect(database.settings.desktop) as other:
            other.execute("ALTER TABLE orders ADD FOREIGN KEY (item_id) REFERENCES items")
        # The snapshot is older than the change; so are the rows that this transaction reads.
        assert not cache.read(cursor, NAMES)["items"].referenced_by[1:]
        assert cache.kept is before
    assert len(read(database, cache)["items"].referenced_by) == 2


def test_further_names_are_added(database: Pair) -> None:
    kept = CatalogCache(["items"])
    read(database, kept)
    assert kept.kept.names == NAMES
    assert kept.kept.tables.keys() == {"items", "parts", "family"}


AMOUNTS, OTHERS = spec("amounts", "id"), spec("others", "id")


@pytest.fixture
def amounts(pair: Pair) -> Pair:
    """Creates two tables of amounts."""
    for table in ("amounts", "others"):
        pair.both(f"CREATE TABLE {table} (id int PRIMARY KEY, amount numeric(8, 2))")
        pair.target.execute(f"ALTER TABLE {table} ADD source char(1) DEFAULT 'D'")  # type: ignore[call-overload]
    pair.source.execute("INSERT INTO amounts VALUES (1, 1.25), (2, 1.50); INSERT INTO others TABLE amounts")
    return pair


def run(pair: Pair, caches: CatalogCaches, *, between: str = "SELECT 1") -> ForwardResult:
    """Syncs both tables; returns the result of the second."""
    with pair.connected() as (source, target):
        for table in (AMOUNTS, OTHERS):
            result = sync_forward(
                TableExtract(spec=table),
                source=source,
                target=target,
                specs=(AMOUNTS, OTHERS),
                options=QUICK,
                caches=caches,
            )
            pair.target.execute(between)  # type: ignore[call-overload]
    return result


def test_schema_change_between_two_tables_of_a_run_alters_no_value(amounts: Pair) -> None:
    caches = CatalogCaches.build((AMOUNTS, OTHERS), (AMOUNTS, OTHERS))
    result = run(amounts, caches, between="ALTER TABLE others ALTER amount TYPE numeric(8, 1)")
    assert row_counts(result) == {"inserted": 1, "quarantined": 1}
    assert amounts.rows("SELECT id, amount::text FROM others") == [(2, "1.5")]


def test_catalogs_are_read_once_for_all_tables_of_a_run(amounts: Pair) -> None:
    caches = CatalogCaches.build((AMOUNTS, OTHERS), (AMOUNTS, OTHERS))
    # It creates the sync's own tables.
    run(amounts, caches)
    kept = (caches.source.kept, caches.target.kept)
    assert all(one.tables.keys() == {"amounts", "others"} for one in kept)
    run(amounts, caches)
    assert caches.source.kept is kept[0]
    assert caches.target.kept is kept[1]


def test_run_of_one_table_reads_only_what_it_needs() -> None:
    caches = CatalogCaches.build([OTHERS], (AMOUNTS, OTHERS))
    assert caches.source.kept.names == caches.target.kept.names == ("others",)
