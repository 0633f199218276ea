"""Clocks decide nothing: rows arrive whatever their timestamps and however late they are committed."""

from powerca_sync.engine.postgres.database import connect
from powerca_sync_tests.helpers import Pair, delete_insert, pulled

DIARY = delete_insert("diary", "note")


def make_diary(pair: Pair) -> None:
    pair.source.execute("CREATE TABLE diary (note text, created_at timestamp, updated_at timestamp)")
    pair.target.execute("""CREATE TABLE diary (id bigserial PRIMARY KEY, note text, source char(1) DEFAULT 'M',
        created_at timestamptz, updated_at timestamptz)""")


def test_row_arrives_whatever_its_timestamps(pair: Pair) -> None:
    make_diary(pair)
    stamps = (
        *("now() + interval '5 hours 30 minutes'", "now() - interval '2 hours'", "NULL", "'infinity'", "'-infinity'"),
        *("'0044-03-15 BC'", "'1970-01-01'", "now()"),
    )
    for seen, stamp in enumerate(stamps):
        pair.target.execute(
            f"INSERT INTO diary (note, created_at, updated_at) VALUES (%s, {stamp}, {stamp})",  # noqa: S608
            [stamp],
        )
        expected = {"pulled": 1} | ({"already_there": seen} if seen else {})
        assert pulled(pair.pull(DIARY)) == expected
    assert pulled(pair.pull(DIARY)) == {"already_there": len(stamps)}


def test_changed_timestamp_is_not_an_edit(pair: Pair) -> None:
    make_diary(pair)
    pair.target.execute("INSERT INTO diary (note, created_at) VALUES ('a', now())")
    pair.pull(DIARY)
    pair.target.execute("UPDATE diary SET updated_at = now() + interval '6 hours'")
    assert pulled(pair.pull(DIARY)) == {"already_there": 1}


def test_late_commit_arrives_with_the_next_run(pair: Pair) -> None:
    make_diary(pair)
    with connect(pair.settings.mobile) as phone:
        phone.execute("BEGIN")
        phone.execute("INSERT INTO diary (note, created_at) VALUES ('begun first', now())")
        pair.target.execute("INSERT INTO diary (note, created_at) VALUES ('committed first', now())")
        assert pulled(pair.pull(DIARY)) == {"pulled": 1}
        phone.execute("COMMIT")
    assert pulled(pair.pull(DIARY)) == {"already_there": 1, "pulled": 1}
    assert pair.rows("SELECT note FROM diary ORDER BY 1", pair.source) == [("begun first",), ("committed first",)]


def test_row_uploaded_late_arrives(pair: Pair) -> None:
    make_diary(pair)
    pair.target.execute("INSERT INTO diary (note, created_at) VALUES ('today', now())")
    pair.pull(DIARY)
    pair.target.execute("INSERT INTO diary (id, note, created_at) VALUES (-7, 'two hours ago', now() - interval '2 h')")
    assert pulled(pair.pull(DIARY)) == {"already_there": 1, "pulled": 1}


def test_desktop_clock_set_back_does_not_stop_reverse_sync(pair: Pair) -> None:
    make_diary(pair)
    pair.target.execute("INSERT INTO diary (note) VALUES ('a')")
    pair.pull(DIARY)
    pair.source.execute("UPDATE powerca_sync.pulls SET pulled_at = '2099-01-01'")
    pair.source.execute("UPDATE powerca_sync.pulled SET pulled_at = '2099-01-01'")
    pair.source.execute("UPDATE sync_log SET last_sync_at = '2099-01-01', synced_at = '2099-01-01'")
    pair.target.execute("INSERT INTO diary (note) VALUES ('b')")
    assert pulled(pair.pull(DIARY)) == {"already_there": 1, "pulled": 1}
