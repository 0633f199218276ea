"""Which target rows a run counts: a full run all rows of the office, an incremental run only those it examined."""

import pytest

from powerca_sync.engine.result import ForwardResult
from powerca_sync_tests.helpers import Pair, row_counts, spec

ITEMS = spec("items", "id")


@pytest.fixture(params=["plain", "partitioned", "inherited"])
def items(request: pytest.FixtureRequest, pair: Pair) -> Pair:
    """Creates nine rows in both databases, one of a phone and one unowned; three have changed since the last run."""
    pair.source.execute("CREATE TABLE items (id int PRIMARY KEY, name text)")
    columns = "(id int, name text, source text)"
    pair.target.execute(f"CREATE TABLE items {columns} {'PARTITION BY HASH (id)' * (request.param == 'partitioned')}")  # type: ignore[call-overload]
    for n in range(2):
        if request.param == "partitioned":
            pair.target.execute(f"CREATE TABLE items_{n} PARTITION OF items FOR VALUES WITH (MODULUS 2, REMAINDER {n})")  # type: ignore[call-overload]
        elif request.param == "inherited":
            pair.target.execute(f"CREATE TABLE items_{n} () INHERITS (items)")  # type: ignore[call-overload]
    pair.source.execute("INSERT INTO items SELECT n, 'old' FROM generate_series(1, 9) AS n")
    pair.target.execute("INSERT INTO items VALUES (100, 'by phone', 'M'), (101, 'by nobody', 'S')")
    assert counted(pair.sync(ITEMS)) == (11, 1, 1)
    pair.source.execute("UPDATE items SET name = 'new' WHERE id <= 3")
    return pair


def counted(result: ForwardResult) -> tuple[int | None, int | None, int | None]:
    return result.rows_at_target, result.phone_rows, result.kept_other


def test_incremental_run_counts_only_the_rows_it_examined(items: Pair) -> None:
    result = items.sync(ITEMS, mode="incremental")
    assert (row_counts(result), counted(result)) == ({"updated": 3}, (None, None, None))
    assert (result.phone_rows_written, result.rows_at_source) == (0, 9)
    assert counted(items.sync(ITEMS, mode="incremental")) == (None, None, None)
    assert counted(items.sync(ITEMS)) == (11, 1, 1)


def test_incremental_run_counts_phone_rows_written_by_a_trigger(items: Pair) -> None:
    items.target.execute("""
        CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN UPDATE items SET name = 'meddled' WHERE source = 'M'; RETURN NULL; END $$""")
    for (table,) in items.rows("SELECT relname FROM pg_class WHERE relname LIKE 'items%' AND relkind = 'r'"):
        items.target.execute(
            f"CREATE TRIGGER meddle AFTER UPDATE ON {table} FOR EACH ROW WHEN (NEW.source = 'D')"  # type: ignore[call-overload]
            " EXECUTE FUNCTION meddle()"
        )
    assert items.sync(ITEMS, mode="incremental").phone_rows_written == 1


def test_refused_rows_are_not_counted_as_phone_rows(items: Pair) -> None:
    items.target.execute("ALTER TABLE items ADD CHECK (id <> 2 OR name = 'old' OR 1 / (id - 2) > 0)")
    result = items.sync(ITEMS, mode="incremental")
    assert (row_counts(result)["updated"], row_counts(result)["quarantined"], result.phone_rows_written) == (2, 1, 0)


def test_server_without_write_statistics_counts_all_rows(items: Pair) -> None:
    name = items.settings.mobile.name
    items.target.execute(f"ALTER DATABASE {name} SET track_counts = off")  # type: ignore[call-overload]
    result = items.sync(ITEMS, mode="incremental")
    assert (row_counts(result)["updated"], counted(result), result.phone_rows_written) == (3, (11, 1, 1), 0)
