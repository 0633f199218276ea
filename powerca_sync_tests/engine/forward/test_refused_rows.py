"""Rows that the target refuses, with any SQLSTATE, are isolated; session-wide errors fail the table."""

import psycopg
import pytest

from powerca_sync.engine.postgres.database import Timeouts, connect
from powerca_sync.engine.result import Options
from powerca_sync.errors import ConfigurationError, ContentionError, SchemaMismatchError, SyncError
from powerca_sync.specs import TableSpec
from powerca_sync_tests.helpers import Pair, delete_insert, pulled, row_counts, spec

ITEMS = spec("items", "id")
LINES = delete_insert("items", "id")
BOTH = pytest.mark.parametrize("table", [ITEMS, LINES], ids=["upsert", "delete-insert"])
ROWS = 40
#: Errors of no data, of a session, a server, a privilege, a connection, and an unknown class.
STATES = (
    *("PGRST", "ZZ001", "55000", "42501", "42P01", "40001", "40P01", "08006", "08P01", "57014", "57P01", "55P03"),
    *("25006", "53100", "53300", "0A000", "XX000", "28P01", "P0001"),
)


@pytest.fixture
def items(pair: Pair) -> Pair:
    pair.source.execute("CREATE TABLE items (id int, name text)")
    pair.source.execute(f"INSERT INTO items SELECT n, 'name' FROM generate_series(1, {ROWS}) AS n")  # type: ignore[call-overload]  # noqa: S608
    pair.target.execute("CREATE TABLE items (id int, name text, source text)")
    return pair


def on_write(connection: psycopg.Connection, body: str, events: str = "INSERT OR UPDATE", when: str = "BEFORE") -> None:
    connection.execute(f"""
        CREATE FUNCTION on_write() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$;
        CREATE TRIGGER on_write {when} {events} ON items FOR EACH ROW EXECUTE FUNCTION on_write()""")  # type: ignore[call-overload]


def phones_write(pair: Pair, *ids: int) -> None:
    for n in ids:
        pair.target.execute("INSERT INTO items VALUES (%s, 'name', 'M')", [n])


@BOTH
@pytest.mark.parametrize("state", STATES)
def test_row_refused_by_a_trigger_is_quarantined(items: Pair, table: TableSpec, state: str) -> None:
    raising = f"IF NEW.id % 100 = 3 THEN RAISE EXCEPTION 'not this one' USING ERRCODE = '{state}'; END IF; RETURN NEW;"
    on_write(items.target, raising)
    result = items.sync(table)
    assert row_counts(result) == {"inserted": ROWS - 1, "quarantined": 1}
    assert str(result.samples[0]) == "not this one"
    # Alone, it is refused as well.
    assert row_counts(items.sync(table, mode="incremental"))["quarantined"] == 1
    items.source.execute("UPDATE items SET name = 'new' WHERE id = 5")
    items.target.execute("DROP TRIGGER on_write ON items")
    assert row_counts(items.sync(table)) == {"inserted": 1, "updated": 1, "unchanged": ROWS - 2}
    on_write(items.source, raising)
    phones_write(items, 101, 102, 103)
    assert pulled(items.pull(table)) == {"pulled": 2, "quarantined": 1}
    assert pulled(items.pull(table)) == {"already_there": 2, "quarantined": 1}


@BOTH
@pytest.mark.parametrize("failing", ["INSERT INTO audit VALUES (NEW.id)", "PERFORM current_setting('powerca.missing')"])
def test_row_for_which_a_trigger_fails_is_quarantined(items: Pair, table: TableSpec, failing: str) -> None:
    on_write(items.target, f"IF NEW.id = 3 THEN {failing}; END IF; RETURN NEW;")
    assert row_counts(items.sync(table)) == {"inserted": ROWS - 1, "quarantined": 1}
    # The same row alone, which proves nothing about other rows.
    assert row_counts(items.sync(table))["quarantined"] == 1
    assert row_counts(items.sync(table, mode="incremental"))["quarantined"] == 1


@BOTH
def test_table_fails_when_no_row_can_be_written(items: Pair, table: TableSpec) -> None:
    on_write(items.target, "INSERT INTO audit VALUES (NEW.id); RETURN NEW;")
    with pytest.raises(
        SyncError, match=r'^syncing table `items` failed: relation "audit" does not exist\. Nothing was'
    ):
        items.sync(table)
    assert items.one("SELECT count(*) FROM items") == 0
    on_write(items.source, "INSERT INTO audit VALUES (NEW.id); RETURN NEW;")
    items.target.execute("DROP TRIGGER on_write ON items")
    items.sync(table)
    phones_write(items, 101, 102)
    with pytest.raises(
        SyncError, match=r'^reverse-syncing table `items` failed: relation "audit" does not exist\. Nothing was'
    ):
        items.pull(table)


def test_missing_privilege_of_a_trigger_is_a_configuration_error(items: Pair) -> None:
    items.target.execute("""
        CREATE TABLE audit (id int);
        CREATE ROLE nobodys_friend;
        CREATE FUNCTION on_write() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
            $$ BEGIN INSERT INTO audit VALUES (NEW.id); RETURN NEW; END $$;
        ALTER FUNCTION on_write() OWNER TO nobodys_friend;
        CREATE TRIGGER on_write BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION on_write()""")
    try:
        with pytest.raises(ConfigurationError, match=r"permission denied for table audit\. Grant the missing right"):
            items.sync(ITEMS)
    finally:
        items.target.execute("DROP OWNED BY nobodys_friend CASCADE; DROP ROLE nobodys_friend")


def test_statement_timeout_is_not_a_refused_row(items: Pair) -> None:
    on_write(items.target, "IF NEW.id = 3 THEN PERFORM pg_sleep(30); END IF; RETURN NEW;")
    with pytest.raises(SyncError, match=r"statement timeout\. The statement exceeded its timeout"):
        items.sync(ITEMS, options=Options(timeouts=Timeouts(statement=0.5, lock=5, table=1)))
    assert items.one("SELECT count(*) FROM items") == 0


def test_lock_timeout_is_not_a_refused_row(items: Pair) -> None:
    items.target.execute("CREATE TABLE counters (id int); INSERT INTO counters VALUES (1)")
    on_write(items.target, "IF NEW.id = 3 THEN UPDATE counters SET id = 1; END IF; RETURN NEW;")
    with connect(items.settings.mobile) as holder, holder.transaction():
        holder.execute("UPDATE counters SET id = 1")
        with pytest.raises(ContentionError, match="canceling statement due to lock timeout"):
            items.sync(ITEMS, options=Options(timeouts=Timeouts(statement=60, lock=0.3, table=1)))
    assert row_counts(items.sync(ITEMS)) == {"inserted": ROWS}


def test_connection_ended_by_a_trigger_is_not_a_refused_row(items: Pair) -> None:
    on_write(items.target, "IF NEW.id = 3 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; RETURN NEW;")
    with pytest.raises(SyncError, match="terminating connection due to administrator command") as caught:
        items.sync(ITEMS)
    assert caught.value.retryable


@BOTH
def test_row_discarded_by_a_trigger_is_quarantined_naming_the_trigger(items: Pair, table: TableSpec) -> None:
    on_write(items.target, "IF NEW.id = 3 THEN RETURN NULL; END IF; RETURN NEW;")
    for expected in ({"inserted": ROWS - 1, "quarantined": 1}, {"unchanged": ROWS - 1, "quarantined": 1}):
        result = items.sync(table)
        assert row_counts(result) == expected
        assert "`on_write` of the target swallowed the row" in str(result.samples[0])


@BOTH
def test_discarded_update_retains_the_last_good_version(items: Pair, table: TableSpec) -> None:
    items.sync(table)
    on_write(items.target, "IF NEW.id = 3 THEN RETURN NULL; END IF; RETURN NEW;", events="UPDATE")
    items.source.execute("UPDATE items SET name = 'new' WHERE id < 10")
    result = items.sync(table)
    assert row_counts(result) == {"updated": 8, "unchanged": ROWS - 9, "quarantined": 1, "held": 1}
    assert items.rows("SELECT id FROM items WHERE id < 10 AND name <> 'new'") == [(3,)]


def test_discarded_delete_is_not_contention(items: Pair) -> None:
    items.sync(LINES)
    on_write(items.target, "RETURN NULL;", events="DELETE")
    items.source.execute("DELETE FROM items WHERE id = 3")
    assert row_counts(items.sync(LINES)) == {"unchanged": ROWS - 1, "kept_referenced": 1}
    assert items.one("SELECT count(*) FROM items") == ROWS


SPLIT = """
CREATE TABLE low (CHECK (id < 20)) INHERITS (items);
CREATE TABLE high (CHECK (id >= 20)) INHERITS (items);
"""
ROUTE = "IF NEW.id < 20 THEN INSERT INTO low VALUES (NEW.*); ELSE INSERT INTO high VALUES (NEW.*); END IF; RETURN NULL;"


@BOTH
def test_inheritance_partitions_are_reported_once_and_not_retried(items: Pair, table: TableSpec) -> None:
    items.target.execute(SPLIT)
    on_write(items.target, ROUTE, events="INSERT")
    with pytest.raises(SchemaMismatchError, match=r"`on_write` of the target swallowed .*PARTITION BY") as caught:
        items.sync(table)
    assert not caught.value.retryable
    assert items.one("SELECT count(*) FROM items") == 0


@BOTH
def test_inheritance_partitions_of_the_desktop_double_no_row(items: Pair, table: TableSpec) -> None:
    items.source.execute(SPLIT)
    on_write(items.source, ROUTE, events="INSERT")
    items.sync(table)
    phones_write(items, 101, 102)
    for _ in range(2):
        with pytest.raises(SchemaMismatchError, match=r"`on_write` of the target swallowed .*PARTITION BY"):
            items.pull(table)
        assert items.one("SELECT count(*) FROM items", items.source) == ROWS
