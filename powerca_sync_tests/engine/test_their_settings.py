"""Code of the databases (views, triggers, checks, defaults) computes what it computes in their own sessions."""

from collections.abc import Iterator

import pytest
from psycopg import sql

from powerca_sync_tests.helpers import Pair, fates, pulled, spec


@pytest.fixture
def indian(pair: Pair) -> Iterator[Pair]:
    """Databases that read 03-04-05 as the third of April."""
    for connection, endpoint in ((pair.source, pair.settings.desktop), (pair.target, pair.settings.mobile)):
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET DateStyle = 'SQL, DMY'").format(sql.Identifier(endpoint.name))
        )
        connection.execute("SET DateStyle = 'SQL, DMY'")
    yield pair
    for endpoint, connection in ((pair.settings.desktop, pair.source), (pair.settings.mobile, pair.target)):
        connection.execute(sql.SQL("ALTER DATABASE {} RESET ALL").format(sql.Identifier(endpoint.name)))


def test_view_reads_dates_in_the_databases_order(indian: Pair) -> None:
    indian.source.execute("""
        CREATE TABLE raw (id int, day text); INSERT INTO raw VALUES (1, '03-04-05'), (2, '25/12/2025');
        CREATE VIEW items AS SELECT id, day::date AS day FROM raw""")
    indian.target.execute("CREATE TABLE items (id int PRIMARY KEY, day date, source text)")
    assert fates(indian.sync(spec("items", "id", reverse=False))) == {"inserted": 2}
    days = indian.rows("SELECT to_char(day, 'YYYY-MM-DD') FROM items ORDER BY id")
    assert days == [("2005-04-03",), ("2025-12-25",)]


def test_dates_in_texts_are_refused_where_their_order_is_unknown(indian: Pair) -> None:
    indian.source.execute("CREATE TABLE notes (id int, day text)")
    indian.source.execute("INSERT INTO notes VALUES (1, '03-04-05'), (2, '2025-04-03')")
    indian.target.execute("CREATE TABLE notes (id int PRIMARY KEY, day date, source text)")
    assert fates(indian.sync(spec("notes", "id"))) == {"inserted": 1, "quarantined": 1}
    assert indian.rows("SELECT to_char(day, 'YYYY-MM-DD') FROM notes") == [("2025-04-03",)]


def test_triggers_read_dates_in_the_databases_order(indian: Pair) -> None:
    indian.both("""
        CREATE TABLE visits (id int PRIMARY KEY, day text, due date, source text);
        CREATE FUNCTION due() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN NEW.due := NEW.day::date; RETURN NEW; END';
        CREATE TRIGGER due BEFORE INSERT OR UPDATE ON visits FOR EACH ROW EXECUTE FUNCTION due()""")
    visits = spec("visits", "id", skip=frozenset({"due"}))
    indian.source.execute("INSERT INTO visits VALUES (1, '03-04-05'), (2, '25/12/2025')")
    indian.target.execute("INSERT INTO visits VALUES (50, '04-05-06', NULL, 'M')")
    assert fates(indian.sync(visits)) == {"inserted": 2}
    assert pulled(indian.pull(visits)) == {"pulled": 1}
    due = "SELECT to_char(due, 'YYYY-MM-DD') FROM visits ORDER BY id"
    expected = [("2005-04-03",), ("2025-12-25",), ("2006-05-04",)]
    assert (indian.rows(due), indian.rows(due, indian.source)) == (expected, expected)
