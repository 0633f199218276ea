"""The way back needs no more than it says: to read and add rows, to move sequences, and a schema of its own."""

import dataclasses
from collections.abc import Iterator

import pytest
from psycopg import sql

from powerca_sync.engine.postgres.database import connect
from powerca_sync.engine.reverse.ledger import prepare_ledger
from powerca_sync.errors import ConfigurationError
from powerca_sync_tests.helpers import Pair, delete_insert, pulled, spec

LEAVE, DIARY = spec("leave", "leave_id"), delete_insert("diary", "note")
ROLE = "reverse_role"
RIGHTS = f"""
GRANT SELECT, INSERT ON leave, diary TO {ROLE};
GRANT USAGE, UPDATE ON SEQUENCE leave_leave_id_seq TO {ROLE}"""
SCHEMA = f"CREATE SCHEMA powerca_sync AUTHORIZATION {ROLE}"


@pytest.fixture
def limited(pair: Pair) -> Iterator[Pair]:
    """A pair whose desktop is used by a role that may do nothing but what `RIGHTS` says."""
    pair.source.execute(f"""
        CREATE TABLE leave (leave_id serial, days int CHECK (days < 9));
        CREATE TABLE diary (note varchar(9), of int);
        CREATE ROLE {ROLE} LOGIN;
        REVOKE ALL ON SCHEMA public FROM PUBLIC;
        GRANT USAGE ON SCHEMA public TO {ROLE};
        {RIGHTS}""")
    pair.target.execute("""
        CREATE TABLE leave (leave_id int PRIMARY KEY, days int, source char(1) DEFAULT 'M');
        CREATE TABLE diary (note text, source char(1) DEFAULT 'M');
        INSERT INTO leave VALUES (5, 1), (6, 99), (7, 1); INSERT INTO diary VALUES ('a'), ('a'), ('far too long')""")
    everything = pair.settings
    pair.settings = dataclasses.replace(everything, desktop=dataclasses.replace(everything.desktop, user=ROLE))
    yield pair
    pair.settings = everything
    pair.source.execute(f"DROP OWNED BY {ROLE} CASCADE; DROP ROLE {ROLE}")


def test_with_a_schema_of_its_own_it_needs_nothing_else(limited: Pair) -> None:
    limited.source.execute(SCHEMA)
    limited.source.execute("INSERT INTO leave (leave_id, days) VALUES (7, 2)")
    assert pulled(limited.pull(LEAVE)) == {"pulled": 1, "conflicts": 1, "quarantined": 1}
    assert pulled(limited.pull(DIARY)) == {"pulled": 2, "quarantined": 1}
    assert limited.one("INSERT INTO leave (days) VALUES (1) RETURNING leave_id", limited.source) == 6
    limited.target.execute("UPDATE diary SET note = 'short' WHERE note = 'far too long'")
    limited.source.execute("DELETE FROM diary WHERE ctid IN (SELECT min(ctid) FROM diary)")
    assert pulled(limited.pull(DIARY, again=True)) == {"already_there": 1, "pulled": 2}
    assert limited.one("SELECT count(*) FROM powerca_sync.sync_log", limited.source) == 3
    assert limited.one("SELECT to_regclass('public.sync_log')", limited.source) is None


def test_a_sequence_that_gave_no_value_yet_is_moved_without_being_read(limited: Pair) -> None:
    limited.source.execute(SCHEMA)
    limited.source.execute("ALTER SEQUENCE leave_leave_id_seq RESTART 300")
    limited.pull(LEAVE)
    assert limited.one("INSERT INTO leave (days) VALUES (1) RETURNING leave_id", limited.source) == 301


def test_without_the_schema_it_says_what_an_administrator_has_to_run(limited: Pair) -> None:
    with pytest.raises(ConfigurationError, match="Ask an administrator") as caught:
        limited.pull(LEAVE)
    assert limited.one("SELECT count(*) FROM leave", limited.source) == 0
    statements = str(caught.value).partition("to run:")[2]
    # As an administrator's tool sends them, each by itself.
    for statement in filter(str.strip, statements.split(";")):
        limited.source.execute(sql.SQL(statement))
    assert limited.pull(LEAVE).pulled == 2


def test_a_schema_that_somebody_else_owns_is_as_good_as_none(limited: Pair) -> None:
    limited.source.execute("CREATE SCHEMA powerca_sync")
    with pytest.raises(ConfigurationError, match=f'ALTER SCHEMA powerca_sync OWNER TO "{ROLE}"'):
        limited.pull(LEAVE)


def test_a_guides_log_that_may_not_be_written_is_left_alone(limited: Pair) -> None:
    limited.source.execute(SCHEMA)
    limited.source.execute("CREATE TABLE public.sync_log (table_name text, records_synced int)")
    assert limited.pull(LEAVE).pulled == 2
    assert limited.pull(LEAVE).already_there == 2
    assert limited.one("SELECT count(*) FROM powerca_sync.sync_log", limited.source) == 2


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("REVOKE INSERT ON leave FROM reverse_role", "permission denied for table leave"),
        ("REVOKE SELECT ON leave FROM reverse_role", "permission denied for table leave"),
        (
            "REVOKE UPDATE ON SEQUENCE leave_leave_id_seq FROM reverse_role",
            "permission denied for sequence leave_leave_id_seq",
        ),
    ],
)
def test_a_right_that_is_missing_is_named_and_nothing_is_written(limited: Pair, missing: str, words: str) -> None:
    limited.source.execute(SCHEMA)
    limited.source.execute(missing)
    with pytest.raises(ConfigurationError, match=f"{words}.* Grant the missing right"):
        limited.pull(LEAVE)
    assert limited.one("SELECT count(*) FROM leave", limited.source) == 0


def test_what_is_prepared_once_is_found_prepared(limited: Pair) -> None:
    limited.source.execute(SCHEMA)
    with connect(limited.settings.desktop) as desktop:
        assert (prepare_ledger(desktop), prepare_ledger(desktop)) == (True, False)
