"""Triggers, defaults and checks of both databases resolve names by the database's own search path."""

from collections.abc import Iterator

import pytest
from psycopg import sql

from powerca_sync.specs import Deletes
from powerca_sync_tests.helpers import Pair, pulled, row_counts, spec

#: What the code of each database does with a row of `visits`, by unqualified names of two schemas.
THEIR_CODE = """
CREATE SCHEMA app;
CREATE TABLE app.labels (id int, label text);
INSERT INTO app.labels VALUES (1, 'first'), (2, 'second'), (50, 'phone');
CREATE TABLE app.trail (id int, what text);
SET search_path = app, public;
CREATE FUNCTION app.next_number() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM labels';
CREATE FUNCTION app.is_known(int) RETURNS bool LANGUAGE sql AS 'SELECT EXISTS (SELECT FROM labels WHERE id = $1)';
CREATE FUNCTION app.shouted(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN loud($1); END';
CREATE FUNCTION app.loud(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT upper($1)';
CREATE TABLE public.visits (
    id int PRIMARY KEY CHECK (app.is_known(id)), note text, source char(1),
    label text, number bigint DEFAULT app.next_number(), loud text GENERATED ALWAYS AS (app.shouted(note)) STORED
);
CREATE FUNCTION app.label() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN NEW.label := (SELECT l.label FROM labels AS l WHERE l.id = NEW.id); RETURN NEW; END';
CREATE FUNCTION app.trail() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN INSERT INTO trail VALUES (coalesce(NEW.id, OLD.id), TG_OP); RETURN NULL; END';
CREATE TRIGGER label BEFORE INSERT OR UPDATE ON public.visits FOR EACH ROW EXECUTE FUNCTION app.label();
CREATE CONSTRAINT TRIGGER trail AFTER INSERT OR UPDATE OR DELETE ON public.visits DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION app.trail();
"""


@pytest.fixture
def office(pair: Pair) -> Iterator[Pair]:
    """Creates both databases with code that relies on their search path."""
    for connection, endpoint in ((pair.source, pair.settings.desktop), (pair.target, pair.settings.mobile)):
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET search_path = app, public").format(sql.Identifier(endpoint.name))
        )
        connection.execute(THEIR_CODE)
    yield pair
    for connection, endpoint in ((pair.source, pair.settings.desktop), (pair.target, pair.settings.mobile)):
        connection.execute(sql.SQL("ALTER DATABASE {} RESET search_path").format(sql.Identifier(endpoint.name)))


def test_code_of_both_databases_uses_its_own_search_path(office: Pair) -> None:
    table = spec("visits", "id", deletes=Deletes.PROPAGATE, skip=frozenset({"label", "number"}))
    office.source.execute("INSERT INTO visits VALUES (1, 'a'), (2, 'b')")
    office.target.execute("INSERT INTO visits VALUES (50, 'p', 'M')")
    assert row_counts(office.sync(table)) == {"inserted": 2}
    rows = [(1, "a", "D", "first", 3, "A"), (2, "b", "D", "second", 3, "B"), (50, "p", "M", "phone", 3, "P")]
    assert office.rows("SELECT * FROM visits ORDER BY id") == rows
    assert pulled(office.pull(table)) == {"pulled": 1}
    assert office.rows("SELECT * FROM visits WHERE id = 50", office.source) == [(50, "p", "M", "phone", 3, "P")]
    office.source.execute("UPDATE visits SET note = 'c' WHERE id = 1; DELETE FROM visits WHERE id = 2")
    result = office.sync(table)
    assert (result.updated, result.deleted) == (1, 1)
    assert office.rows("SELECT * FROM visits WHERE id = 1") == [(1, "c", "D", "first", 3, "C")]
    trail = "SELECT id, what FROM app.trail ORDER BY id, what"
    assert office.rows(trail) == [(1, "INSERT"), (1, "UPDATE"), (2, "DELETE"), (2, "INSERT"), (50, "INSERT")]
    assert (50, "INSERT") in office.rows(trail, office.source)


def test_view_resolves_names_by_the_desktops_search_path(office: Pair) -> None:
    office.source.execute("""
        CREATE FUNCTION app.label_of(int) RETURNS text LANGUAGE plpgsql STABLE AS
            'BEGIN RETURN (SELECT label FROM labels WHERE id = $1); END';
        CREATE VIEW public.named AS SELECT id, label_of(id) AS label FROM labels""")
    office.target.execute("CREATE TABLE public.named (id int PRIMARY KEY, label text, source char(1))")
    table = spec("named", "id", reverse=False)
    assert row_counts(office.sync(table)) == {"inserted": 3}
    assert office.rows("SELECT id, label FROM named WHERE id = 1") == [(1, "first")]
