"""Calls of the office's functions: returned values, failures in the database's words, and what is left to book."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import pytest

from powerca_sync.engine.functions import FunctionResult, call_booking, call_refresh
from powerca_sync.engine.postgres import Timeouts, connect
from powerca_sync.errors import ConfigurationError, ContentionError, DatabaseUnavailableError, SyncError
from powerca_sync.settings import DesktopFunction
from powerca_sync_tests.helpers import LOCK_AWAITED, Pair, spec, wait_until

TIMEOUTS = Timeouts(statement=30, lock=0.5, table=0.3)
REFRESH = DesktopFunction(schema="office", name="refresh", timeout=30)


def create(pair: Pair, returns: str, body: str, *, name: str = "refresh") -> None:
    """Creates a function in the schema `office`, which exists afterwards."""
    statement = (
        f'CREATE SCHEMA IF NOT EXISTS office; DROP FUNCTION IF EXISTS office."{name}"(); '
        f'CREATE FUNCTION office."{name}"() RETURNS {returns} LANGUAGE plpgsql AS $body$ {body} $body$'
    )
    pair.source.execute(statement)  # type: ignore[call-overload]


def refresh(pair: Pair, function: DesktopFunction = REFRESH) -> FunctionResult:
    return call_refresh(pair.source, function, timeouts=TIMEOUTS)


@pytest.mark.parametrize(
    ("returns", "body", "rows", "returned"),
    [
        ("int", "BEGIN RETURN 42; END", 1, "42"),
        ("int", "BEGIN RETURN NULL; END", 1, "NULL"),
        ("void", "BEGIN NULL; END", 1, "nothing"),
        ("date", "BEGIN RETURN '0044-03-15 BC'; END", 1, "0044-03-15 BC"),
        (
            "TABLE (name text, rows int)",
            "BEGIN RETURN QUERY VALUES ('a', 1), ('b', 2); END",
            2,
            "name=a, rows=1; name=b, rows=2",
        ),
        ("TABLE (name text, rows int)", "BEGIN RETURN; END", 0, "nothing"),
        (
            "SETOF int",
            "BEGIN RETURN QUERY SELECT generate_series(1, 1000); END",
            1000,
            "1; 2; 3; 4; 5; 6; 7; 8; 9; 10 ... (1000 rows)",
        ),
        ("text", "BEGIN RETURN repeat('x', 500); END", 1, "x" * 200 + " ..."),
    ],
)
def test_returned_rows_are_kept_as_text(pair: Pair, returns: str, body: str, rows: int, returned: str) -> None:
    create(pair, returns, body)
    result = refresh(pair)
    assert (result.function, result.rows, result.returned) == ("office.refresh", rows, returned)


def test_call_is_committed_and_runs_with_the_databases_settings(pair: Pair) -> None:
    pair.source.execute("CREATE TABLE copies (said text, at text)")
    pair.source.execute(f"ALTER DATABASE {pair.settings.desktop.name} SET DateStyle = 'SQL, DMY'")  # type: ignore[call-overload]
    create(pair, "void", "BEGIN INSERT INTO copies VALUES (current_setting('search_path'), date '2026-02-01'); END")
    with connect(pair.settings.desktop) as fresh:
        call_refresh(fresh, REFRESH, timeouts=TIMEOUTS)
    assert pair.rows("SELECT * FROM copies", pair.source) == [('"$user", public', "01/02/2026")]


def test_name_is_quoted_and_case_counts(pair: Pair) -> None:
    create(pair, "int", "BEGIN RETURN 1; END", name="Refresh")
    create(pair, "int", "BEGIN RETURN 2; END", name="a(); DROP SCHEMA office CASCADE; --")
    with pytest.raises(ConfigurationError, match=r"Function `office.refresh` does not exist on the desktop"):
        refresh(pair)
    assert refresh(pair, dataclasses.replace(REFRESH, name="Refresh")).returned == "1"
    # The settings refuse such a name; the statement would quote it.
    assert refresh(pair, dataclasses.replace(REFRESH, name="a(); DROP SCHEMA office CASCADE; --")).returned == "2"


def test_functions_of_the_path_do_not_replace_postgresqls(pair: Pair) -> None:
    pair.source.execute("CREATE FUNCTION public.count(bigint) RETURNS bigint LANGUAGE sql AS 'SELECT 666::bigint'")
    pair.source.execute("CREATE SCHEMA evil; CREATE FUNCTION evil.refresh() RETURNS int LANGUAGE sql AS 'SELECT 666'")
    pair.source.execute(f"ALTER DATABASE {pair.settings.desktop.name} SET search_path = evil, public, pg_catalog")  # type: ignore[call-overload]
    create(pair, "int", "BEGIN RETURN 1; END")
    with connect(pair.settings.desktop) as fresh:
        result = call_refresh(fresh, REFRESH, timeouts=TIMEOUTS)
    assert (result.rows, result.returned) == (1, "1")


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("", "the schema `office` does not exist on the desktop"),
        ("CREATE SCHEMA office", "does not exist on the desktop"),
        (
            "CREATE SCHEMA office; CREATE FUNCTION office.refresh(int) RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "takes arguments",
        ),
        ("CREATE SCHEMA office; CREATE PROCEDURE office.refresh() LANGUAGE sql AS 'SELECT 1'", "but a procedure"),
        (
            "CREATE SCHEMA office; CREATE FUNCTION office.refresh() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
            "a trigger's",
        ),
        (
            "CREATE SCHEMA office; CREATE FUNCTION office.refresh() RETURNS record LANGUAGE sql AS 'SELECT 1, 2'",
            "RETURNS TABLE",
        ),
    ],
)
def test_what_cannot_be_called_is_a_mistake_of_the_settings(pair: Pair, statement: str, words: str) -> None:
    pair.source.execute(statement)  # type: ignore[call-overload]
    with pytest.raises(ConfigurationError, match=words):
        refresh(pair)


def test_raised_error_is_told_and_rolls_the_call_back(pair: Pair) -> None:
    pair.source.execute("CREATE TABLE copies (n int)")
    create(pair, "void", "BEGIN INSERT INTO copies VALUES (1); RAISE 'the books are closed'; END")
    with pytest.raises(
        SyncError, match=r"^calling `office.refresh` on the desktop failed: the books are closed"
    ) as caught:
        refresh(pair)
    assert not caught.value.retryable
    assert pair.one("SELECT count(*) FROM copies", pair.source) == 0


def test_call_that_takes_too_long_is_cancelled(pair: Pair) -> None:
    create(pair, "void", "BEGIN PERFORM pg_sleep(30); END")
    with pytest.raises(SyncError, match="canceling statement due to statement timeout") as caught:
        refresh(pair, dataclasses.replace(REFRESH, timeout=1))
    assert not caught.value.retryable


def test_deferred_constraints_are_checked_at_commit(pair: Pair) -> None:
    pair.source.execute(
        "CREATE TABLE parents (n int PRIMARY KEY);"
        "CREATE TABLE children (n int REFERENCES parents DEFERRABLE INITIALLY DEFERRED)"
    )
    create(pair, "void", "BEGIN INSERT INTO children VALUES (1); INSERT INTO parents VALUES (1); END")
    refresh(pair)
    create(pair, "void", "BEGIN INSERT INTO children VALUES (2); END")
    with pytest.raises(SyncError, match="violates foreign key constraint"):
        refresh(pair)
    assert pair.one("SELECT count(*) FROM children", pair.source) == 1


def test_connection_lost_during_the_call_is_retryable_and_during_commit_is_not(pair: Pair) -> None:
    create(pair, "void", "BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); END")
    with connect(pair.settings.desktop) as lost, pytest.raises(DatabaseUnavailableError):
        call_refresh(lost, REFRESH, timeouts=TIMEOUTS)
    pair.source.execute("CREATE TABLE copies (n int)")
    create(pair, "trigger", "BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END", name="kill")
    pair.source.execute(
        "CREATE CONSTRAINT TRIGGER kill AFTER INSERT ON copies DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION office.kill()"
    )
    create(pair, "void", "BEGIN INSERT INTO copies VALUES (1); END")
    with connect(pair.settings.desktop) as lost, pytest.raises(SyncError) as caught:
        call_refresh(lost, REFRESH, timeouts=TIMEOUTS)
    assert "lost during COMMIT" in str(caught.value)
    assert not caught.value.retryable


def test_second_call_at_a_time_is_refused_and_retryable(pair: Pair) -> None:
    create(pair, "void", "BEGIN PERFORM pg_advisory_xact_lock(7); END")
    pair.source.execute("SELECT pg_advisory_lock(7)")
    with ThreadPoolExecutor() as pool, connect(pair.settings.desktop) as other, connect(pair.settings.desktop) as third:
        call = pool.submit(call_refresh, other, REFRESH, timeouts=dataclasses.replace(TIMEOUTS, lock=30))
        wait_until(pair.source, LOCK_AWAITED)
        with pytest.raises(ContentionError, match=r"`office.refresh` is being called"):
            call_refresh(third, REFRESH, timeouts=TIMEOUTS)
        pair.source.execute("SELECT pg_advisory_unlock(7)")
        assert call.result().returned == "nothing"


BOOKING = DesktopFunction(schema="office", name="book", timeout=30)
NOTES = spec("notes", "id", reverse=True)


@pytest.fixture
def office(pair: Pair) -> Pair:
    """Creates a table with phone rows, and a booking that notes how many rows it sees."""
    pair.source.execute("CREATE TABLE notes (id int, body text); CREATE TABLE books (rows bigint)")
    pair.target.execute("CREATE TABLE notes (id int PRIMARY KEY, body text, source char(1))")
    create(
        pair,
        "bigint",
        "BEGIN INSERT INTO books SELECT count(*) FROM notes; RETURN (SELECT count(*) FROM notes); END",
        name="book",
    )
    return pair


def write(office: Pair, *numbers: int) -> None:
    for number in numbers:
        office.target.execute("INSERT INTO notes VALUES (%s, 'Rain', 'M')", [number])


def book(office: Pair) -> FunctionResult | None:
    return call_booking(office.source, BOOKING, timeouts=TIMEOUTS)


def test_booking_is_called_once_for_the_rows_that_were_brought(office: Pair) -> None:
    assert book(office) is None, "there is no ledger yet"
    office.pull(NOTES)
    assert book(office) is None, "there are no phone rows"
    write(office, 1, 2)
    office.pull(NOTES)
    result = book(office)
    assert result
    assert (result.booked, result.returned) == (2, "2")
    office.pull(NOTES)
    assert book(office) is None
    assert office.rows("SELECT rows FROM books", office.source) == [(2,)]


def test_failed_booking_is_left_to_the_next_call(office: Pair) -> None:
    write(office, 1)
    office.pull(NOTES)
    office.source.execute("ALTER TABLE books RENAME TO books_away")
    with pytest.raises(SyncError, match='relation "books" does not exist'):
        book(office)
    office.source.execute("ALTER TABLE books_away RENAME TO books")
    write(office, 2)
    office.pull(NOTES)
    result = book(office)
    assert result
    assert result.booked == 2
    assert book(office) is None


def test_rows_brought_during_the_booking_are_booked_by_the_next_call(office: Pair) -> None:
    write(office, 1)
    office.pull(NOTES)
    create(office, "void", "BEGIN PERFORM pg_advisory_xact_lock(7); END", name="book")
    office.source.execute("SELECT pg_advisory_lock(7)")
    with ThreadPoolExecutor() as pool, connect(office.settings.desktop) as other:
        call = pool.submit(call_booking, other, BOOKING, timeouts=dataclasses.replace(TIMEOUTS, lock=30))
        wait_until(office.source, LOCK_AWAITED)
        write(office, 2, 3)
        assert office.pull(NOTES).pulled == 2, "the booking keeps no run waiting"
        office.source.execute("SELECT pg_advisory_unlock(7)")
        first = call.result()
    second = book(office)
    assert first
    assert second
    assert (first.booked, second.booked) == (1, 2)
    assert book(office) is None
