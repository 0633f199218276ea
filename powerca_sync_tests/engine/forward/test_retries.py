"""Every run, incremental ones too, reads quarantined rows again, whatever the type of their key."""

import pytest

from powerca_sync.specs import Reference
from powerca_sync_tests.helpers import Pair, row_counts, spec

NOTES = spec("notes", "id", limit_share=1.0)


def read(pair: Pair) -> dict[str, int]:
    result = pair.sync(NOTES, mode="incremental")
    assert result.mode_reason == ""
    return row_counts(result)


def quarantined_keys(pair: Pair) -> list[str | None]:
    return [key for (key,) in pair.rows("SELECT key ->> 'id' FROM powerca_sync.quarantine ORDER BY 1")]


@pytest.fixture
def notes(pair: Pair) -> Pair:
    """Creates three rows, of which row 2 is too long for the target."""
    pair.source.execute("CREATE TABLE notes (id int PRIMARY KEY, note text)")
    pair.target.execute("CREATE TABLE notes (id int PRIMARY KEY, note varchar(5))")
    pair.source.execute("INSERT INTO notes VALUES (1, 'one'), (2, 'too long'), (3, 'three')")
    pair.sync(NOTES)
    return pair


def test_row_that_is_still_unfit_keeps_its_entry_unwritten(notes: Pair) -> None:
    before = notes.text("powerca_sync.quarantine")
    assert read(notes) == {"quarantined": 1}
    assert notes.text("powerca_sync.quarantine") == before


def test_row_lands_once_the_source_is_corrected(notes: Pair) -> None:
    notes.source.execute("UPDATE notes SET note = 'two' WHERE id = 2")
    assert read(notes) == {"inserted": 1}
    assert quarantined_keys(notes) == []
    assert read(notes) == {}


def test_row_lands_once_the_target_is_corrected(notes: Pair) -> None:
    notes.target.execute("ALTER TABLE notes ALTER note TYPE varchar(20)")
    assert row_counts(notes.sync(NOTES, mode="incremental")) == {"inserted": 1, "unchanged": 2}
    assert quarantined_keys(notes) == []


def test_entry_is_deleted_with_its_source_row(notes: Pair) -> None:
    notes.source.execute("DELETE FROM notes WHERE id = 2")
    assert read(notes) == {}
    assert quarantined_keys(notes) == []


def test_unfit_update_retains_the_last_good_version_until_corrected(notes: Pair) -> None:
    notes.source.execute("UPDATE notes SET note = 'no longer short' WHERE id = 1")
    assert read(notes) == {"quarantined": 2}
    assert notes.rows("SELECT note FROM notes WHERE id = 1") == [("one",)]
    assert row_counts(notes.sync(NOTES)) == {"unchanged": 1, "quarantined": 2, "held": 1}
    notes.source.execute("UPDATE notes SET note = 'uno' WHERE id = 1")
    assert read(notes) == {"updated": 1, "quarantined": 1}


def test_later_parent_lets_its_quarantined_child_land(pair: Pair) -> None:
    pair.both(
        "CREATE TABLE parents (parent_id int PRIMARY KEY); CREATE TABLE notes (id int PRIMARY KEY, parent_id int)"
    )
    pair.source.execute("INSERT INTO notes VALUES (1, 7), (2, NULL)")
    parents = spec("parents", "parent_id")
    notes = spec("notes", "id", references=(Reference(column="parent_id", parent="parents"),), limit_share=1.0)
    assert row_counts(pair.sync(notes, parents)) == {"inserted": 1, "quarantined": 1}
    pair.source.execute("INSERT INTO parents VALUES (7)")
    pair.sync(parents, mode="incremental")
    result = pair.sync(notes, parents, mode="incremental")
    assert (result.extracted, row_counts(result)) == (1, {"inserted": 1})


def test_rows_with_a_null_in_the_key_are_read_again(pair: Pair) -> None:
    pair.both("CREATE TABLE notes (org int, id int, note text)")
    pair.source.execute("INSERT INTO notes VALUES (1, NULL, 'a'), (NULL, 1, 'b'), (NULL, NULL, 'c'), (1, 1, 'd')")
    notes = spec("notes", "org", "id", limit_share=1.0)
    assert row_counts(pair.sync(notes)) == {"inserted": 1, "quarantined": 3}
    result = pair.sync(notes, mode="incremental")
    assert (result.mode_reason, row_counts(result)) == ("", {"quarantined": 3})
    pair.source.execute("UPDATE notes SET id = 2 WHERE note = 'a'; DELETE FROM notes WHERE note = 'c'")
    assert row_counts(pair.sync(notes, mode="incremental")) == {"inserted": 1, "quarantined": 1}


#: Key type of the source and of the target, and the keys of rows that are unfit at first.
KEYS = [
    ("numeric", "int", ["5.00", "6", "7.0"]),
    ("numeric(8,2)", "numeric", ["5.00", "6", "7.1"]),
    ("int", "text", ["5", "6", "7"]),
    ("bigint", "int", ["5", "6", "7"]),
    ("char(9)", "char(5)", ["'ab'", "'c'", "''"]),
    ("char(9)", "varchar(5)", ["'ab'", "'c'", "''"]),
    ("varchar", "text", [r"'a\b'", "E'tab\\tbed'", "'it''s \"%s\" {}'"]),
    ("date", "timestamp", ["'2025-11-30'", "'infinity'", "'0044-03-15 BC'"]),
    ("timestamptz", "timestamp", ["'2025-11-30'", "'2025-11-30 00:00:00.5+00'", "'infinity'"]),
    ("uuid", "uuid", ["gen_random_uuid()", "gen_random_uuid()", "gen_random_uuid()"]),
    ("float8", "numeric", ["0.1", "1e20", "'NaN'"]),
    ("bytea", "bytea", [r"'\x00'", r"'\x5c'", "''"]),
]


@pytest.mark.parametrize(("source", "target", "keys"), KEYS, ids=[f"{key[0]} to {key[1]}" for key in KEYS])
@pytest.mark.parametrize("found", ["by COPY", "in staging"])
def test_key_is_found_again_for_any_pair_of_key_types(
    pair: Pair, source: str, target: str, keys: list[str], found: str
) -> None:
    pair.source.execute(f"CREATE TABLE notes (id {source} PRIMARY KEY, note text)")  # type: ignore[call-overload]
    pair.target.execute("CREATE DOMAIN short AS text; CREATE TABLE notes (note short)")
    pair.target.execute(f"ALTER TABLE notes ADD id {target} PRIMARY KEY")  # type: ignore[call-overload]
    ruled = "DOMAIN short" if found == "by COPY" else "TABLE notes"
    value = "VALUE" if found == "by COPY" else "note"
    pair.target.execute(f"ALTER {ruled} ADD CONSTRAINT rule CHECK (length({value}) < 5)")  # type: ignore[call-overload]
    values = ", ".join(f"({key}, 'too long')" for key in keys)
    pair.source.execute(f"INSERT INTO notes VALUES {values}")  # type: ignore[call-overload]  # noqa: S608
    assert row_counts(pair.sync(NOTES)) == {"quarantined": 3}
    assert read(pair) == {"quarantined": 3}
    pair.target.execute(f"ALTER {ruled} DROP CONSTRAINT rule")  # type: ignore[call-overload]
    assert read(pair) == {"inserted": 3}
    assert quarantined_keys(pair) == []


def test_texts_of_the_same_number_are_always_quarantined(pair: Pair) -> None:
    pair.source.execute("CREATE TABLE notes (id text PRIMARY KEY, note text)")
    pair.target.execute("CREATE TABLE notes (id numeric PRIMARY KEY, note text)")
    pair.source.execute("INSERT INTO notes VALUES ('7', 'first'), ('08', 'eight')")
    pair.sync(NOTES)
    pair.source.execute("INSERT INTO notes VALUES ('007', 'second')")
    result = pair.sync(NOTES, mode="incremental")
    assert result.mode_reason.startswith("different keys of the source may be equal at the target")
    assert row_counts(result) == {"unchanged": 1, "quarantined": 2, "held": 1}
    assert pair.rows("SELECT id::text, note FROM notes ORDER BY id") == [("7", "first"), ("8", "eight")]
    pair.source.execute("DELETE FROM notes WHERE id = '7'")
    assert row_counts(pair.sync(NOTES, mode="incremental")) == {"updated": 1, "unchanged": 1}


@pytest.mark.parametrize(("type", "key"), [("bool", "true"), ("inet", "10.0.0.1")])
def test_key_formatted_differently_by_copy_and_cast_is_found_again(pair: Pair, type: str, key: str) -> None:
    pair.source.execute(f"CREATE TABLE notes (id {type}, note text)")  # type: ignore[call-overload]
    pair.target.execute(f"CREATE TABLE notes (id {type} PRIMARY KEY, note varchar(5))")  # type: ignore[call-overload]
    pair.source.execute("INSERT INTO notes VALUES (%s, 'too long')", [key])
    pair.sync(NOTES)
    for _ in range(2):
        assert read(pair) == {"quarantined": 1}
