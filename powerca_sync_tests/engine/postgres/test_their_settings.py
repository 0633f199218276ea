"""Code of the databases (views, triggers, checks, defaults) runs with the settings of their own sessions."""

from collections.abc import Iterator

import pytest
from psycopg import sql

from powerca_sync.engine.dry_run import Prospect
from powerca_sync.engine.verify import verify
from powerca_sync.errors import SyncError
from powerca_sync.specs import Deletes, Expression
from powerca_sync_tests.helpers import QUICK, Pair, pulled, row_counts, spec


@pytest.fixture
def day_first(pair: Pair) -> Iterator[Pair]:
    """Creates databases that read 03-04-05 as the third of April."""
    for connection, endpoint in ((pair.source, pair.settings.desktop), (pair.target, pair.settings.mobile)):
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET DateStyle = 'SQL, DMY'").format(sql.Identifier(endpoint.name))
        )
        connection.execute("SET DateStyle = 'SQL, DMY'")
    yield pair
    for endpoint, connection in ((pair.settings.desktop, pair.source), (pair.settings.mobile, pair.target)):
        connection.execute(sql.SQL("ALTER DATABASE {} RESET ALL").format(sql.Identifier(endpoint.name)))


def test_view_reads_dates_in_the_date_order_of_the_database(day_first: Pair) -> None:
    day_first.source.execute("""
        CREATE TABLE raw (id int, day text); INSERT INTO raw VALUES (1, '03-04-05'), (2, '25/12/2025');
        CREATE VIEW items AS SELECT id, day::date AS day FROM raw""")
    day_first.target.execute("CREATE TABLE items (id int PRIMARY KEY, day date, source text)")
    assert row_counts(day_first.sync(spec("items", "id", reverse=False))) == {"inserted": 2}
    days = day_first.rows("SELECT to_char(day, 'YYYY-MM-DD') FROM items ORDER BY id")
    assert days == [("2005-04-03",), ("2025-12-25",)]


def test_dates_in_texts_are_refused_if_their_order_is_unknown(day_first: Pair) -> None:
    day_first.source.execute("CREATE TABLE notes (id int, day text)")
    day_first.source.execute("INSERT INTO notes VALUES (1, '03-04-05'), (2, '2025-04-03')")
    day_first.target.execute("CREATE TABLE notes (id int PRIMARY KEY, day date, source text)")
    assert row_counts(day_first.sync(spec("notes", "id"))) == {"inserted": 1, "quarantined": 1}
    assert day_first.rows("SELECT to_char(day, 'YYYY-MM-DD') FROM notes") == [("2025-04-03",)]


def test_triggers_read_dates_in_the_date_order_of_the_database(day_first: Pair) -> None:
    day_first.both("""
        CREATE TABLE visits (id int PRIMARY KEY, day text, due date, source text);
        CREATE FUNCTION due() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN NEW.due := NEW.day::date; RETURN NEW; END';
        CREATE TRIGGER due BEFORE INSERT OR UPDATE ON visits FOR EACH ROW EXECUTE FUNCTION due()""")
    visits = spec("visits", "id", skip=frozenset({"due"}))
    day_first.source.execute("INSERT INTO visits VALUES (1, '03-04-05'), (2, '25/12/2025')")
    day_first.target.execute("INSERT INTO visits VALUES (50, '04-05-06', NULL, 'M')")
    assert row_counts(day_first.sync(visits)) == {"inserted": 2}
    assert pulled(day_first.pull(visits)) == {"pulled": 1}
    due = "SELECT to_char(due, 'YYYY-MM-DD') FROM visits ORDER BY id"
    expected = [("2005-04-03",), ("2025-12-25",), ("2006-05-04",)]
    assert (day_first.rows(due), day_first.rows(due, day_first.source)) == (expected, expected)


#: What a trigger makes of values of every kind whose text or parsing depends on a setting.
SEEN = """concat_ws(' ', date '2005-04-03', interval '1 year 2 days', 0.1::float8 * 3, '\\x41'::bytea,
    timestamptz '2005-04-03 12:00+00', current_setting('array_nulls'), current_setting('lc_monetary'))"""
THEIRS = {
    "DateStyle": "German, DMY",
    "IntervalStyle": "iso_8601",
    "extra_float_digits": "-5",
    "bytea_output": "escape",
    "TimeZone": "Asia/Kolkata",
    "array_nulls": "off",
    "lc_monetary": "POSIX",
}
COLUMNS = """id int PRIMARY KEY, at timestamp, span interval, number float8, bytes bytea, price money, words text[],
    seen text DEFAULT 'default', source text"""


@pytest.fixture
def custom_settings(pair: Pair) -> Iterator[Pair]:
    """Creates databases with settings of their own, and a trigger that records what it sees of them."""
    for connection, endpoint in ((pair.source, pair.settings.desktop), (pair.target, pair.settings.mobile)):
        for name, value in THEIRS.items():
            connection.execute(
                sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                    sql.Identifier(endpoint.name), sql.Identifier(name), sql.Literal(value)
                )
            )
            connection.execute("SELECT set_config(%s, %s, false)", [name, value])
        connection.execute(f"""
            CREATE TABLE items ({COLUMNS});
            CREATE FUNCTION seen() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN NEW.seen := {SEEN}; RETURN NEW; END $$;
            CREATE TRIGGER seen BEFORE INSERT OR UPDATE ON items FOR EACH ROW EXECUTE FUNCTION seen()""")  # type: ignore[call-overload]
    yield pair
    for endpoint, connection in ((pair.settings.desktop, pair.source), (pair.settings.mobile, pair.target)):
        connection.execute(sql.SQL("ALTER DATABASE {} RESET ALL").format(sql.Identifier(endpoint.name)))


def test_triggers_see_the_settings_of_the_database(custom_settings: Pair) -> None:
    pair = custom_settings
    items = spec("items", "id", skip=frozenset({"seen"}), deletes=Deletes.PROPAGATE)
    for connection, first, owner in ((pair.source, 1, None), (pair.target, 50, "M")):
        for n in range(first, first + 5):
            connection.execute(
                """INSERT INTO items (id, at, span, number, bytes, price, words, source)
                VALUES (%s, timestamp '2024-05-06 07:08:09.123456', interval '1 mon -2 days', 0.1::float8 * 3, 'a',
                    12.5::numeric::money, ARRAY['x', NULL], %s)""",
                [n, owner],
            )
    seen = pair.one("SELECT DISTINCT seen FROM items")
    assert seen == f"03.04.2005 P1Y2D 0.3 A 03.04.2005 17:30:00 IST off {THEIRS['lc_monetary']}"
    assert row_counts(pair.sync(items)) == {"inserted": 5}
    assert pulled(pair.pull(items)) == {"pulled": 5}
    assert pulled(pair.pull(items)) == {"already_there": 5}
    assert row_counts(pair.sync(items)) == {"unchanged": 5, "echo": 5}
    pair.source.execute("UPDATE items SET number = number * 2, at = at + interval '1 h' WHERE id IN (1, 2)")
    pair.source.execute("DELETE FROM items WHERE id = 3")
    result = pair.sync(items)
    assert (result.updated, result.deleted) == (2, 1)
    for connection in (pair.source, pair.target):
        assert pair.rows("SELECT DISTINCT seen FROM items", connection) == [(seen,)]
    assert pair.one("SELECT to_char(at, 'YYYY-MM-DD HH24:MI:SS.US') FROM items WHERE id = 1") == (
        "2024-05-06 08:08:09.123456"
    )
    assert pair.one("SELECT number = 0.1::float8 * 3 * 2 FROM items WHERE id = 1")
    assert pair.one("SELECT price = 12.5::numeric::money AND words[2] IS NULL FROM items WHERE id = 54", pair.source)


@pytest.mark.parametrize("own", [True, False], ids=["copied", "read-only database"])
def test_view_computes_with_the_settings_of_the_database(
    custom_settings: Pair, own: bool, caplog: pytest.LogCaptureFixture
) -> None:
    pair = custom_settings
    pair.both("DROP TABLE items")
    pair.source.execute("CREATE TABLE stored (id int); INSERT INTO stored VALUES (1), (2)")
    pair.source.execute(f"CREATE VIEW items AS SELECT id, {SEEN} AS seen, 1 / (id - 1) AS unread FROM stored")  # type: ignore[call-overload]  # noqa: S608
    pair.target.execute("CREATE TABLE items (id int PRIMARY KEY, seen text, source text)")
    items = spec("items", "id", reverse=False)
    expected = pair.rows("SELECT id, seen FROM items ORDER BY id", pair.source) if own else None
    if not own:
        name = sql.Identifier(pair.settings.desktop.name)
        pair.source.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name))
    assert {plan.prospect for plan in pair.plan(items).values()} == {Prospect.READY}
    assert row_counts(pair.sync(items)) == {"inserted": 2}
    assert expected in (None, pair.rows("SELECT id, seen FROM items ORDER BY id"))
    assert row_counts(pair.sync(items)) == {"unchanged": 2}
    with pair.connected() as (source, target):
        (verified,) = verify(source=source, target=target, specs=[items], options=QUICK)
    assert verified.agrees
    assert ("View `items` is read with the settings of the sync" in caplog.text) is not own


def test_expression_cannot_write_at_the_source(pair: Pair) -> None:
    pair.source.execute("""
        CREATE TABLE items (id int, name text); INSERT INTO items VALUES (1, 'one');
        CREATE FUNCTION noted(text) RETURNS text LANGUAGE sql AS 'DELETE FROM public.items; SELECT $1'""")
    pair.target.execute("CREATE TABLE items (id int PRIMARY KEY, name varchar, source text)")
    noted = Expression(column="name", forward='public.noted("name")', reverse='"name"')
    assert "read-only transaction" in str(pair.plan(spec("items", "id", expressions=(noted,)))["items"].error)
    with pytest.raises(SyncError, match="cannot execute DELETE in a read-only transaction"):
        pair.sync(spec("items", "id", expressions=(noted,)))


def test_timestamps_have_the_time_of_the_office(custom_settings: Pair) -> None:
    custom_settings.source.execute("CREATE TABLE notes (id int)")
    custom_settings.source.execute("INSERT INTO notes VALUES (1)")
    custom_settings.target.execute(
        "CREATE TABLE notes (id int PRIMARY KEY, created_at timestamp, updated_at timestamptz, source text)"
    )
    name = custom_settings.settings.mobile.name
    custom_settings.target.execute(sql.SQL("ALTER DATABASE {} SET TimeZone = 'UTC'").format(sql.Identifier(name)))
    custom_settings.sync(spec("notes", "id"))
    assert custom_settings.one("SELECT created_at = updated_at AT TIME ZONE 'Asia/Kolkata' FROM notes")
