"""Reverse sync needs no more privileges than documented: read and insert rows, move sequences, and its own schema."""

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
    """Creates a pair whose desktop role has only the privileges in `RIGHTS`."""
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


def test_own_schema_is_sufficient(limited: Pair) -> None:
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


def test_unused_sequence_is_moved_without_select_privilege(limited: Pair) -> None:
    limited.source.execute(SCHEMA)
    limited.source.execute("ALTER SEQUENCE leave_leave_id_seq RESTART 300")
    limited.pull(LEAVE)
    assert limited.one("INSERT INTO leave (days) VALUES (1) RETURNING leave_id", limited.source) == 301


def test_missing_schema_names_the_statements_for_an_administrator(limited: Pair) -> None:
    with pytest.raises(ConfigurationError, match="Ask an administrator") as caught:
        limited.pull(LEAVE)
    assert limited.one("SELECT count(*) FROM leave", limited.source) == 0
    statements = str(caught.value).partition("to run:")[2]
    # Sent one by one, as an administrator's tool sends them.
    for statement in filter(str.strip, statements.split(";")):
        limited.source.execute(sql.SQL(statement))
    assert limited.pull(LEAVE).pulled == 2


def test_schema_of_another_owner_is_refused(limited: Pair) -> None:
    limited.source.execute("CREATE SCHEMA powerca_sync")
    with pytest.raises(ConfigurationError, match=f'ALTER SCHEMA powerca_sync OWNER TO "{ROLE}"'):
        limited.pull(LEAVE)


def test_guides_log_without_insert_privilege_is_not_used(limited: Pair) -> None:
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
def test_missing_privilege_is_named_and_nothing_is_written(limited: Pair, missing: str, words: str) -> None:
    limited.source.execute(SCHEMA)
    limited.source.execute(missing)
    with pytest.raises(ConfigurationError, match=f"{words}.* Grant the missing right"):
        limited.pull(LEAVE)
    assert limited.one("SELECT count(*) FROM leave", limited.source) == 0


def test_prepared_ledger_is_not_prepared_again(limited: Pair) -> None:
    limited.source.execute(SCHEMA)
    with connect(limited.settings.desktop) as desktop:
        assert (prepare_ledger(desktop), prepare_ledger(desktop)) == (True, False)
