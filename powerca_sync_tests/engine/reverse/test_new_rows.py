"""New phone rows are read in pages of keys, so that a client needs little memory, with the same outcome."""

import pytest

from powerca_sync.engine.reverse import ledger_sql
from powerca_sync_tests.helpers import Pair, delete_insert, pulled, spec

DIARY = delete_insert("diary", "staff_id")
LEAVE = spec("leave", "leave_id")


@pytest.fixture(params=[1, 2, 50_000], autouse=True)
def page(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_sql, "PAGE", request.param)


@pytest.mark.parametrize("key", ["id bigserial PRIMARY KEY,", ""], ids=["keyed", "keyless"])
def test_each_new_row_is_pulled_once(pair: Pair, key: str) -> None:
    pair.source.execute("CREATE TABLE diary (staff_id int, note text)")
    pair.target.execute(f"CREATE TABLE diary ({key} staff_id int, note text, source char(1) DEFAULT 'M')")  # type: ignore[call-overload]
    expected: list[str] = []
    for notes in (["a", "a", "b", "c", "d"], ["a", "e", "e", "f", "g"]):
        for note in notes:
            pair.target.execute("INSERT INTO diary (staff_id, note) VALUES (1, %s)", [note])
        there = {"already_there": len(expected)} if expected else {}
        assert pulled(pair.pull(DIARY)) == there | {"pulled": 5}
        expected += notes
    assert pair.rows("SELECT note FROM diary ORDER BY 1", pair.source) == [(note,) for note in sorted(expected)]
    assert pulled(pair.pull(DIARY, again=True)) == {"already_there": 10}


def test_gone_rows_and_handed_over_rows_are_told_apart(pair: Pair) -> None:
    pair.source.execute("CREATE TABLE leave (leave_id int, days int)")
    pair.target.execute("CREATE TABLE leave (leave_id int PRIMARY KEY, days int, source char(1) DEFAULT 'M')")
    pair.target.execute("INSERT INTO leave SELECT n, n FROM generate_series(1, 7) AS n")
    pair.pull(LEAVE)
    pair.target.execute("DELETE FROM leave WHERE leave_id IN (1, 5); UPDATE leave SET source = 'D' WHERE leave_id > 5")
    assert pulled(pair.pull(LEAVE)) == {"already_there": 3, "gone": 4}
    ended = "SELECT mobile_key FROM powerca_sync.pulled WHERE gone_at = '-infinity' ORDER BY 1"
    assert pair.rows(ended, pair.source) == [("6",), ("7",)]


def test_desktop_owned_row_explains_one_row_of_the_desktop(pair: Pair) -> None:
    pair.source.execute("CREATE TABLE diary (staff_id int, note text, minutes int)")
    pair.target.execute(
        "CREATE TABLE diary (id serial PRIMARY KEY, staff_id int, note text, minutes int, source char(1) DEFAULT 'M')"
    )
    pair.source.execute("INSERT INTO diary VALUES (1, 'x', 5)")
    pair.sync(DIARY)
    # Where all phone rows are new, they are read at once.
    pair.target.execute("INSERT INTO diary (staff_id, note, minutes) VALUES (3, 'z', 1)")
    pair.pull(DIARY)
    # Of two rows of the desktop one has a copy on mobile; the other may be a copy of one of the phone rows.
    pair.source.execute("INSERT INTO diary VALUES (1, 'x', 7)")
    pair.target.execute("INSERT INTO diary (staff_id, note, minutes) VALUES (1, 'x', 8), (1, 'x', 9), (2, 'y', 9)")
    assert pulled(pair.pull(DIARY)) == {"already_there": 1, "pulled": 2, "lookalikes": 1}
