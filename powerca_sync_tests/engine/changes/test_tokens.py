"""Change tokens: they move with every kind of change, and not with what reverse sync writes."""

import pytest

from powerca_sync.engine.changes import ChangeToken, read_changes
from powerca_sync.engine.changes.tokens import NO_TABLE, READS_MORE, UNCOUNTED
from powerca_sync.engine.postgres import connect
from powerca_sync.specs import TableSpec
from powerca_sync_tests.helpers import ORGS, Pair, spec

NOTES = spec("notes", "note_id", office="org_id")
OTHERS = spec("others", "note_id", office="org_id")


def tokens(pair: Pair, *specs: TableSpec) -> dict[str, ChangeToken]:
    with connect(pair.settings.desktop) as source:
        return {token.table: token for token in read_changes(source, specs, seconds=5).tokens}


def desktop(pair: Pair, statement: str) -> None:
    """Executes a statement on the desktop; returns when the statistics have it."""
    pair.source.execute(statement)  # type: ignore[call-overload]
    pair.source.execute("SELECT pg_stat_force_next_flush()")


@pytest.fixture
def office(pair: Pair) -> Pair:
    """Creates two tables with three rows each on the desktop, and the tables on mobile."""
    pair.source.execute("""
        CREATE TABLE orgs (org_id int); INSERT INTO orgs VALUES (1);
        CREATE TABLE notes (note_id int UNIQUE, org_id int, body text);
        CREATE TABLE others (LIKE notes)""")
    pair.target.execute("""
        CREATE TABLE orgs (org_id int PRIMARY KEY, source char(1) DEFAULT 'D');
        CREATE TABLE notes (note_id int PRIMARY KEY, org_id int, body text, source char(1) DEFAULT 'D')""")
    desktop(pair, "INSERT INTO notes SELECT n, 1, 'old' FROM generate_series(1, 3) AS n")
    desktop(pair, "INSERT INTO others TABLE notes")
    return pair


@pytest.mark.parametrize(
    ("change", "removes"),
    [
        ("INSERT INTO notes VALUES (4, 1, 'new')", False),
        ("UPDATE notes SET body = 'new' WHERE note_id = 1", False),
        ("DELETE FROM notes WHERE note_id = 1", True),
        ("TRUNCATE notes", True),
        ("SELECT pg_stat_reset()", False),
    ],
)
def test_token_moves_with_a_change_of_its_table_only(office: Pair, change: str, removes: bool) -> None:
    before = tokens(office, NOTES, OTHERS)
    assert before == tokens(office, NOTES, OTHERS), "an idle table keeps its token"
    desktop(office, change)
    after = tokens(office, NOTES, OTHERS)
    assert after["notes"].text != before["notes"].text
    if "reset" not in change:
        assert after["others"] == before["others"]
        assert (after["notes"].removals != before["notes"].removals) == removes


def test_token_of_a_view_comes_from_the_tables_below(office: Pair) -> None:
    office.source.execute("""
        CREATE TABLE parts (note_id int, org_id int) PARTITION BY LIST (org_id);
        CREATE TABLE part PARTITION OF parts FOR VALUES IN (1);
        CREATE VIEW inner_view AS SELECT * FROM parts;
        CREATE SCHEMA sync;
        CREATE VIEW sync.shown AS SELECT n.note_id, n.org_id FROM notes AS n JOIN inner_view USING (note_id)""")
    shown = spec("sync.shown", "note_id", office="org_id")
    seen = set()
    for change in ("SELECT", "UPDATE notes SET body = 'new'", "INSERT INTO part VALUES (1, 1)", "TRUNCATE parts"):
        desktop(office, change)
        token = tokens(office, shown)["sync.shown"]
        assert token.is_view
        assert not token.blind
        seen.add(token.text)
    assert len(seen) == 4
    desktop(office, "INSERT INTO others VALUES (9, 1)")
    assert tokens(office, shown)["sync.shown"].text in seen


def test_relations_that_cannot_be_followed_are_recognised(office: Pair) -> None:
    office.source.execute("""
        CREATE FUNCTION hidden() RETURNS TABLE (note_id int, org_id int) LANGUAGE sql
            AS 'SELECT note_id, org_id FROM notes';
        CREATE VIEW only_function AS SELECT * FROM hidden();
        CREATE VIEW both_kinds AS SELECT o.* FROM others AS o WHERE o.note_id IN (SELECT note_id FROM hidden());
        CREATE FOREIGN DATA WRAPPER nothing;
        CREATE SERVER elsewhere FOREIGN DATA WRAPPER nothing;
        CREATE FOREIGN TABLE remote (note_id int, org_id int) SERVER elsewhere""")
    names = ("only_function", "both_kinds", "remote", "missing")
    found = tokens(office, *(spec(name, "note_id", office="org_id") for name in names))
    assert {name: (bool(token.text), token.blind) for name, token in found.items()} == {
        "only_function": (False, NO_TABLE),
        "both_kinds": (True, READS_MORE),
        "remote": (False, NO_TABLE),
    }
    office.source.execute("DROP FOREIGN DATA WRAPPER nothing CASCADE")


def test_server_that_does_not_count_has_no_tokens(office: Pair) -> None:
    name = office.settings.desktop.name
    office.source.execute(f'ALTER DATABASE "{name}" SET track_counts = off')  # type: ignore[call-overload]
    try:
        assert [(token.text, token.blind) for token in tokens(office, NOTES).values()] == [("", UNCOUNTED)]
    finally:
        office.source.execute(f'ALTER DATABASE "{name}" RESET track_counts')  # type: ignore[call-overload]


def test_rows_of_reverse_sync_move_no_token(office: Pair) -> None:
    office.sync_all(ORGS, NOTES)
    office.source.execute("""
        CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            UPDATE public.notes SET body = body || '!' WHERE note_id = NEW.note_id;
            RETURN NULL;
        END $$;
        CREATE TRIGGER stamp AFTER INSERT ON notes FOR EACH ROW EXECUTE FUNCTION stamp();
        CREATE UNIQUE INDEX ON notes (body) WHERE body LIKE 'refused%'""")
    desktop(office, "INSERT INTO notes VALUES (50, 1, 'refused')")
    # The reverse run's table has to exist for a token to be comparable.
    office.pull(NOTES, ORGS)
    before = tokens(office, NOTES)
    office.target.execute("""
        INSERT INTO notes VALUES
            (100, 1, 'a', 'M'), (101, 1, 'b', 'M'), (102, 1, 'refused', 'M'), (103, 1, 'c', 'M')""")
    result = office.pull(NOTES, ORGS)
    assert result.pulled >= 3
    counted = "SELECT own_writes FROM powerca_sync.pulls WHERE table_name = 'notes'"
    assert office.one(counted, office.source) > result.pulled
    assert tokens(office, NOTES) == before
    desktop(office, "UPDATE notes SET body = 'edited' WHERE note_id = 100")
    assert tokens(office, NOTES) != before
