"""A phone row that the desktop refuses is quarantined with a reason, all others land, and it lands once accepted."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import psycopg
import pytest
from psycopg import sql

from powerca_sync.demo import Server
from powerca_sync.engine.result import Options
from powerca_sync.engine.staging import staging
from powerca_sync.specs import Lookup, TableSpec
from powerca_sync_tests.helpers import QUICK, Pair, delete_insert, pulled, row_counts, spec

NOTES = spec("notes", "id")
LONG = "x" * 200


@pytest.fixture
def notes(pair: Pair) -> Pair:
    pair.source.execute("CREATE TABLE notes (id int, note varchar(50), amount numeric(6,2), boss int)")
    pair.target.execute("CREATE TABLE notes (id int PRIMARY KEY, note text, amount numeric, boss int, source char(1))")
    return pair


def phones_write(pair: Pair, *rows: tuple[object, ...]) -> None:
    """Inserts phone rows of (id, note), or of all columns."""
    for row in rows:
        padded = (*row, None, None)[:4]
        pair.target.execute("INSERT INTO notes VALUES (%s, %s, %s, %s, 'M')", padded)


def desktop(pair: Pair) -> list[int]:
    return [id for (id,) in pair.rows("SELECT id FROM notes ORDER BY 1", pair.source)]


def entries(pair: Pair) -> list[tuple[object, ...]]:
    return pair.rows("SELECT reason, key ->> 'id' FROM powerca_sync.quarantine ORDER BY 2", pair.source)


def assert_quarantined_alone(pair: Pair, *, reason: str, words: str) -> None:
    """Asserts that, in each run, of the rows 1 to 5 only the third is quarantined and the others are inserted."""
    for fate in ("pulled", "already_there"):
        result = pair.pull(NOTES)
        assert pulled(result) == {fate: 4, "quarantined": 1}
        (sample,) = result.samples
        assert (sample.reason, sample.key) == (reason, {"id": "3", "mobile key": "3"})
        assert words in str(sample)
        assert desktop(pair) == [1, 2, 4, 5]
        assert entries(pair) == [(reason, "3")]


def assert_lands(pair: Pair) -> None:
    assert pulled(pair.pull(NOTES)) == {"already_there": 4, "pulled": 1}
    assert desktop(pair) == [1, 2, 3, 4, 5]
    assert entries(pair) == []
    assert pulled(pair.pull(NOTES)) == {"already_there": 5}
    assert row_counts(pair.sync(NOTES)) == {"echo": 5}


TRIGGER = """
CREATE FUNCTION judge() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {} RETURN NEW; END $$;
CREATE TRIGGER judge {} INSERT ON notes FOR EACH ROW EXECUTE FUNCTION judge()"""
RAISE = "IF NEW.note = 'bad' THEN RAISE EXCEPTION 'no week for this date'; END IF;"


class Fault(NamedTuple):
    """Why the third row is refused: the row, the desktop's constraint, the expected reason, and the correction."""

    row: tuple[object, ...]
    reason: str
    words: str
    cure: str
    forbidden: str = ""


BAD = (3, "bad")
NO_TRIGGER = "DROP TRIGGER judge ON notes"
DEFERRED = TRIGGER.replace(
    "CREATE TRIGGER judge {} INSERT ON notes", "CREATE CONSTRAINT TRIGGER judge AFTER INSERT ON notes {}"
)
FAULTS = {
    "too long": Fault(
        (3, LONG),
        "refused",
        "value too long for type character varying(50) (column note)",
        "ALTER TABLE notes ALTER note TYPE text",
    ),
    "too many spaces": Fault((3, "a" + 60 * " "), "altered", "cut", "ALTER TABLE notes ALTER note TYPE text"),
    "too large": Fault((3, "a", 123456), "refused", "overflow", "ALTER TABLE notes ALTER amount TYPE numeric"),
    "too exact": Fault((3, "a", "1.005"), "altered", "rounded", "ALTER TABLE notes ALTER amount TYPE numeric"),
    "not null": Fault(
        (3, None),
        "not_null",
        "note is empty",
        "ALTER TABLE notes ALTER note DROP NOT NULL",
        "ALTER TABLE notes ALTER note SET NOT NULL",
    ),
    "a domain": Fault(
        (3, LONG),
        "refused",
        "domain public.short",
        "ALTER DOMAIN short DROP CONSTRAINT short_check",
        "CREATE DOMAIN short AS text CHECK (length(VALUE) < 9); ALTER TABLE notes ALTER note TYPE short",
    ),
    "a check": Fault(
        BAD,
        "check",
        "good",
        "ALTER TABLE notes DROP CONSTRAINT good",
        "ALTER TABLE notes ADD CONSTRAINT good CHECK (note <> 'bad')",
    ),
    "a parent": Fault(
        (3, "a", 1, 99),
        "reference",
        "boss=99 has no matching row in people",
        "INSERT INTO people VALUES (99)",
        "CREATE TABLE people (id int PRIMARY KEY); ALTER TABLE notes ADD FOREIGN KEY (boss) REFERENCES people",
    ),
    "a trigger": Fault(BAD, "refused", "no week for this date", NO_TRIGGER, TRIGGER.format(RAISE, "BEFORE")),
    "a late trigger": Fault(BAD, "refused", "no week for this date", NO_TRIGGER, TRIGGER.format(RAISE, "AFTER")),
    "a deferred trigger": Fault(
        BAD, "refused", "no week for this date", NO_TRIGGER, DEFERRED.format(RAISE, "DEFERRABLE INITIALLY DEFERRED")
    ),
    "a swallowing trigger": Fault(
        BAD,
        "refused",
        "swallowed the row",
        NO_TRIGGER,
        TRIGGER.format("IF NEW.note = 'bad' THEN RETURN NULL; END IF;", "BEFORE"),
    ),
    "unique": Fault(
        (3, "A1"),
        "refused",
        'unique constraint "once"',
        "DROP INDEX once",
        "CREATE UNIQUE INDEX once ON notes (lower(note))",
    ),
    "excluded": Fault(
        (3, "a1"),
        "refused",
        "apart",
        "ALTER TABLE notes DROP CONSTRAINT apart",
        "ALTER TABLE notes ADD CONSTRAINT apart EXCLUDE (note WITH =)",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_refused_row_is_quarantined_alone_until_accepted(notes: Pair, fault: str) -> None:
    row, reason, words, cure, forbidden = FAULTS[fault]
    notes.source.execute(forbidden)
    phones_write(notes, (1, "a1"), (2, "a2"), row, (4, "a4"), (5, "a5"))
    assert_quarantined_alone(notes, reason=reason, words=words)
    notes.source.execute(cure)
    assert_lands(notes)


def test_refused_row_lands_once_its_phone_corrects_it(notes: Pair) -> None:
    phones_write(notes, (1, "a"), (2, "a"), (3, LONG), (4, "a"), (5, "a"))
    assert_quarantined_alone(notes, reason="refused", words="too long")
    notes.target.execute("UPDATE notes SET note = 'short' WHERE id = 3")
    assert_lands(notes)


def test_entry_is_deleted_with_its_phone_row(notes: Pair) -> None:
    phones_write(notes, (1, "a"), (2, "a"), (3, LONG), (4, "a"), (5, "a"))
    assert_quarantined_alone(notes, reason="refused", words="too long")
    notes.target.execute("DELETE FROM notes WHERE id = 3")
    assert pulled(notes.pull(NOTES)) == {"already_there": 4}
    assert entries(notes) == []


def test_entry_keeps_its_first_time_and_whole_content(notes: Pair) -> None:
    phones_write(notes, (3, LONG))
    notes.pull(NOTES)
    query = "SELECT since, image ->> 'note', message FROM powerca_sync.quarantine"
    before = notes.rows(query, notes.source)
    assert before[0][1] == LONG
    notes.pull(NOTES)
    assert notes.rows(query, notes.source) == before


def test_equal_rows_without_a_key_are_quarantined_separately(pair: Pair) -> None:
    pair.source.execute("CREATE TABLE lines (note varchar(5))")
    pair.target.execute("CREATE TABLE lines (note text, source char(1))")
    lines = delete_insert("lines", "note")
    pair.target.execute("INSERT INTO lines VALUES ('too long', 'M'), ('too long', 'M'), ('ok', 'M'), ('ok', 'M')")
    assert pulled(pair.pull(lines)) == {"pulled": 2, "quarantined": 2}
    pair.target.execute("INSERT INTO lines VALUES ('too long', 'M')")
    assert pulled(pair.pull(lines)) == {"already_there": 2, "quarantined": 3}
    pair.source.execute("ALTER TABLE lines ALTER note TYPE text")
    assert pulled(pair.pull(lines)) == {"already_there": 2, "pulled": 3}
    assert pair.one("SELECT count(*) FROM powerca_sync.quarantine", pair.source) == 0


SELF = "ALTER TABLE notes ADD PRIMARY KEY (id), ADD CONSTRAINT boss FOREIGN KEY (boss) REFERENCES notes"


def test_rows_that_reference_each_other_land_together(notes: Pair) -> None:
    notes.source.execute(SELF)
    phones_write(notes, (1, "a", 1, 4), (2, "a", 1, 1), (3, "a", 1, 99), (4, "a", 1, 5), (5, "a", 1, 4))
    assert_quarantined_alone(notes, reason="reference", words="boss=99 has no matching row in notes")
    phones_write(notes, (99, "a"))
    assert pulled(notes.pull(NOTES)) == {"already_there": 4, "pulled": 2}


def test_row_with_a_refused_parent_is_quarantined_with_it(notes: Pair) -> None:
    notes.source.execute(SELF)
    notes.source.execute(TRIGGER.format(RAISE, "BEFORE"))
    # Each references the next; the sixth is refused, so that the fifth has no parent.
    phones_write(notes, (1, "a", 1, 2), (2, "a", 1, 3), (3, "a", 1, 4), (4, "a"), (5, "a", 1, 6), (6, "bad"), (7, "a"))
    result = notes.pull(NOTES)
    assert pulled(result) == {"pulled": 5, "quarantined": 2}
    assert {(s.key["id"], str(s)) for s in result.samples} == {
        ("5", 'insert or update on table "notes" violates foreign key constraint "boss"'),
        ("6", "no week for this date"),
    }
    notes.target.execute("UPDATE notes SET note = 'good' WHERE id = 6")
    assert pulled(notes.pull(NOTES)) == {"already_there": 5, "pulled": 2}


@pytest.mark.parametrize("when", ["BEFORE", "AFTER"])
def test_row_altered_by_a_trigger_is_reverse_synced_once(notes: Pair, when: str) -> None:
    change = (
        "NEW.note := upper(NEW.note);" if when == "BEFORE" else "UPDATE notes SET note = upper(note) WHERE id = NEW.id;"
    )
    notes.source.execute(TRIGGER.format(change, when))
    phones_write(notes, (1, "a"), (2, "b"), (3, "C"))
    result = notes.pull(NOTES)
    assert (result.pulled, result.altered) == (3, 2)
    assert any("a trigger of the desktop changed 2 rows" in warning for warning in result.warnings)
    assert notes.rows("SELECT note FROM notes ORDER BY 1", notes.source) == [("A",), ("B",), ("C",)]
    before = notes.text("notes")
    assert pulled(notes.pull(NOTES)) == {"already_there": 3}
    assert notes.sync(NOTES).written == 0
    assert notes.text("notes") == before


def test_keyless_row_altered_by_a_trigger_on_update_is_an_echo(pair: Pair) -> None:
    pair.source.execute("CREATE TABLE diary (staff_id int, note text)")
    pair.target.execute("CREATE TABLE diary (staff_id int, note text, source char(1) DEFAULT 'M')")
    # Numbers the lines, as an accounting program does: the copy of a row is written more than once.
    pair.source.execute("""
        CREATE FUNCTION number() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            UPDATE diary SET note = note || '!' WHERE staff_id % 2 = 0 AND note NOT LIKE '%!%';
            UPDATE diary SET note = note || '!' WHERE staff_id % 2 = 0 AND note NOT LIKE '%!!%';
            RETURN NULL;
        END $$;
        CREATE TRIGGER number AFTER INSERT ON diary FOR EACH STATEMENT EXECUTE FUNCTION number();
        INSERT INTO diary VALUES (7, 'own')""")
    pair.target.execute("INSERT INTO diary SELECT n % 4, 'visit' FROM generate_series(1, 8) AS n")
    diary = delete_insert("diary")
    result = pair.pull(diary)
    assert (result.pulled, result.altered) == (8, 4)
    assert row_counts(pair.sync(diary)) == {"inserted": 1, "echo": 8}
    assert pulled(pair.pull(diary)) == {"already_there": 8}
    assert row_counts(pair.sync(diary)) == {"unchanged": 1, "echo": 8}
    assert pair.one("SELECT count(*) FROM diary") == 9


#: Counts the statements that insert rows, also those that are rolled back.
STATEMENT_COUNTER = """
CREATE SEQUENCE statements;
CREATE FUNCTION count_statement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM nextval('statements'); RETURN NULL; END $$;
CREATE TRIGGER count_statement BEFORE INSERT ON notes FOR EACH STATEMENT EXECUTE FUNCTION count_statement()"""


def test_many_refused_rows_are_isolated_by_bisection(notes: Pair) -> None:
    notes.source.execute(TRIGGER.format(RAISE, "BEFORE"))
    notes.source.execute(STATEMENT_COUNTER)
    notes.target.execute("""INSERT INTO notes
        SELECT n, CASE WHEN n % 100 = 0 THEN 'bad' WHEN n % 100 = 1 THEN repeat('x', 99) ELSE 'ok' END, 1, 1, 'M'
        FROM generate_series(1, 1000) AS n""")
    result = notes.pull(NOTES)
    assert pulled(result) == {"pulled": 980, "quarantined": 20}
    statements = notes.one("SELECT last_value FROM statements", notes.source)
    assert 20 < statements < 200, "one statement for each row takes 1000"


@pytest.fixture
def encoded(servers: tuple[Server, Server], pair: Pair) -> Iterator[Callable[[str], Pair]]:
    """Yields a function that creates a pair whose desktop has the given encoding."""
    address = {"host": servers[0].host, "port": servers[0].port, "user": "postgres", "autocommit": True}
    made = []

    def make(encoding: str) -> Pair:
        create = sql.SQL("CREATE DATABASE encoded ENCODING {} LOCALE 'C' TEMPLATE template0").format(encoding)
        with psycopg.connect(dbname="postgres", **address) as server:  # type: ignore[arg-type]
            server.execute(create)
        made.append(Pair(servers[0].endpoint("desktop", "encoded"), pair.settings.mobile))
        made[0].source.execute("CREATE TABLE notes (id varchar(20), note varchar(50), word text)")
        made[0].target.execute("CREATE TABLE notes (id text PRIMARY KEY, note text, word text, source char(1))")
        return made[0]

    yield make
    for one in made:
        one.close()
    with psycopg.connect(dbname="postgres", **address) as server:  # type: ignore[arg-type]
        server.execute("DROP DATABASE IF EXISTS encoded WITH (FORCE)")


TEXTS = ["Zoë €", "₹ 500", "🙂", "नमस्ते", "tab\tand \\ and ÿ"]


def stored_as(column: str) -> str:
    return f"convert_to({column}, (SELECT getdatabaseencoding()))"


@pytest.mark.parametrize(
    ("encoding", "declared"), [("WIN1252", None), ("SQL_ASCII", "WIN1252"), ("SQL_ASCII", "UTF8"), ("SQL_ASCII", None)]
)
def test_text_is_encoded_for_the_desktop_or_quarantined(
    encoded: Callable[[str], Pair], encoding: str, declared: str | None
) -> None:
    pair = encoded(encoding)
    options = Options(timeouts=QUICK.timeouts, encoding=declared)
    codec = "cp1252" if "WIN1252" in (encoding, declared) else "utf-8"
    possible = [text for text in TEXTS if text.encode(codec, "replace").decode(codec) == text]
    for text in TEXTS:
        pair.target.execute("INSERT INTO notes VALUES (%s, %s, 'é', 'M')", [text, text])
    pair.target.execute("INSERT INTO notes VALUES ('é', %s, 'é', 'M')", ["é" * 51])
    for fate in ("pulled", "already_there"):
        result = pair.pull(NOTES, options=options)
        assert pulled(result) == {fate: len(possible), "quarantined": len(TEXTS) - len(possible) + 1}
    columns = ", ".join(map(stored_as, ("id", "note", "word")))
    stored = pair.rows(f"SELECT {columns} FROM notes", pair.source)  # noqa: S608
    assert sorted(stored) == sorted((*2 * (text.encode(codec),), "é".encode(codec)) for text in possible)
    if codec == "cp1252":
        images = "SELECT image ->> 'note' FROM powerca_sync.quarantine WHERE image ->> 'note' LIKE '%500'"
        assert pair.rows(images, pair.source) == [(r"\u20b9 500",)]
    assert row_counts(pair.sync(NOTES, options=options)) == {"echo": len(possible)}
    pair.target.execute("UPDATE notes SET id = id || 'x', note = 'plain'")
    result = pair.pull(NOTES, options=options)
    assert (result.pulled, result.gone) == (len(possible) + 1, len(possible))
    assert result.quarantined == len(TEXTS) - len(possible)


def test_conflict_shows_the_text_of_a_desktop_without_an_encoding(encoded: Callable[[str], Pair]) -> None:
    pair = encoded("SQL_ASCII")
    pair.source.execute("INSERT INTO notes VALUES ('1', convert_from('\\x636166e9'::bytea, 'SQL_ASCII'))")
    pair.target.execute("INSERT INTO notes VALUES ('1', 'other', 'é', 'M')")
    options = Options(timeouts=QUICK.timeouts, encoding="WIN1252")
    (conflict,) = pair.pull(NOTES, options=options).conflict_samples
    assert (conflict.desktop["note"], conflict.phone["word"]) == ("café", "é")


def moved(pair: Pair) -> tuple[int, int]:
    """Runs reverse sync; returns the bytes read from mobile and the number of quarantined rows."""
    result = pair.pull(NOTES)
    return result.bytes, result.quarantined


def test_refused_rows_are_resent_only_when_they_or_a_column_change(notes: Pair) -> None:
    phones_write(notes, (1, "a"), (2, LONG), (3, LONG), (4, "a", "1.005"))
    bytes_first, quarantined = moved(notes)
    assert (bytes_first > 700, quarantined) == (True, 3)
    since = notes.rows("SELECT * FROM powerca_sync.quarantine ORDER BY mobile_key", notes.source)
    assert moved(notes) == (0, 3)
    assert notes.rows("SELECT * FROM powerca_sync.quarantine ORDER BY mobile_key", notes.source) == since
    # A changed row is sent alone, and so is a new one.
    notes.target.execute("UPDATE notes SET note = 'short' WHERE id = 2")
    phones_write(notes, (5, LONG))
    result = notes.pull(NOTES)
    assert pulled(result) == {"already_there": 1, "pulled": 1, "quarantined": 3}
    assert 200 < result.bytes < 600
    # A changed column has all of them sent, though it is not the one at fault.
    notes.source.execute("ALTER TABLE notes ALTER boss TYPE bigint")
    assert moved(notes)[0] > 600
    notes.source.execute("ALTER TABLE notes ALTER note TYPE text")
    assert pulled(notes.pull(NOTES)) == {"already_there": 2, "pulled": 2, "quarantined": 1}


def test_rows_refused_by_a_trigger_or_enum_are_resent_in_each_run(notes: Pair) -> None:
    notes.source.execute(TRIGGER.format(RAISE, "BEFORE"))
    phones_write(notes, (1, "a"), (2, "bad"))
    moved(notes)
    assert moved(notes)[0] > 0
    notes.source.execute(NO_TRIGGER)
    assert pulled(notes.pull(NOTES)) == {"already_there": 1, "pulled": 1}
    notes.source.execute("CREATE TYPE mood AS ENUM ('a', 'bad'); ALTER TABLE notes ALTER note TYPE mood USING 'a'")
    phones_write(notes, (3, "new"))
    assert moved(notes)[1] == 1
    notes.source.execute("ALTER TYPE mood ADD VALUE 'new'")
    assert pulled(notes.pull(NOTES)) == {"already_there": 2, "pulled": 1}


def test_refused_rows_beyond_the_limit_do_not_delay_others(notes: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "MOST_REFUSED", 300)
    notes.target.execute("""
        INSERT INTO notes
        SELECT n, CASE WHEN n % 3 > 0 OR n::text LIKE '9%' THEN 'fits' ELSE repeat('x', 60) END, 1, 1, 'M'
        FROM generate_series(1, 3000) AS n""")
    first = notes.pull(NOTES)
    (untried,) = (entry.rows for entry in first.rejections if entry.reason == "untried")
    (refused,) = (entry.rows for entry in first.rejections if entry.reason == "refused")
    assert 300 <= refused < 400
    # Groups without an unfit row land at once, however many were refused before: rows arrive in key order.
    assert first.pulled + refused + untried == 3000
    assert notes.one("SELECT count(*) FROM notes WHERE id > 900 AND id < 1000", notes.source) > 80
    assert "the next run tries it" in " ".join(str(entry) for entry in first.rejections)
    assert "notes" in notes.pending(NOTES)
    for _ in range(4):
        result = notes.pull(NOTES)
    assert [(entry.reason, entry.rows) for entry in result.rejections] == [("refused", 961)]
    assert pulled(result) == {"already_there": 2039, "quarantined": 961}
    assert (result.bytes, notes.pending(NOTES)) == (0, ())


@pytest.mark.parametrize(
    "notes_spec",
    [
        spec("notes", "id", mobile_owned=frozenset({"boss"})),
        spec("notes", "id", lookups=(Lookup(column="boss", table="people", match="amount", value="id"),)),
    ],
    ids=["mobile_owned", "lookups"],
)
def test_null_for_the_desktop_is_named_whatever_fills_the_column_on_mobile(notes: Pair, notes_spec: TableSpec) -> None:
    notes.target.execute("CREATE TABLE people (id int, amount numeric, source char(1))")
    notes.source.execute("ALTER TABLE notes ALTER boss SET NOT NULL")
    phones_write(notes, (1, "a", 1, 5), (2, "b", 1, None))
    result = notes.pull(notes_spec, spec("people", "id"))
    assert [(one.reason, one.key["id"]) for one in result.samples] == [("not_null", "2")]
    assert desktop(notes) == [1]
