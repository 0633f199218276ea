"""Which tables have phone rows that are not yet reverse-synced."""

import dataclasses
from collections.abc import Callable

import pytest

from powerca_sync.engine.reverse.pending import PendingTables, find_pending_tables
from powerca_sync.errors import SyncError, UnsafeTargetError
from powerca_sync.specs import BY_HAND, Reference, TableSpec, in_order
from powerca_sync_tests.helpers import ORGS, Pair, delete_insert, everything, pulled, spec

DIARY = delete_insert(
    "diary", "staff_id", office="org_id", made_by="staff_id", references=(Reference(column="staff_id", parent="staff"),)
)
LEAVE = spec("leave", "leave_id", office="org_id")
STAFF = spec("staff", "staff_id", office="org_id", reverse=False)
ALL = (ORGS, STAFF, DIARY, LEAVE)


@pytest.fixture
def office(pair: Pair) -> Pair:
    """Creates the desktop of organisation 1, on a mobile database that another desktop uses as well."""
    pair.source.execute("""
        CREATE TABLE orgs (org_id int); CREATE TABLE staff (staff_id int, org_id int);
        CREATE TABLE diary (org_id int, staff_id int, note text);
        CREATE TABLE leave (leave_id int, org_id int, at timestamptz);
        INSERT INTO orgs VALUES (1); INSERT INTO staff VALUES (11, 1)""")
    pair.target.execute("""
        CREATE TABLE orgs (org_id int PRIMARY KEY, source char(1) DEFAULT 'D');
        CREATE TABLE staff (staff_id int PRIMARY KEY, org_id int, source char(1) DEFAULT 'D');
        CREATE TABLE diary (id serial PRIMARY KEY, org_id int, staff_id int, note text, source char(1) DEFAULT 'M');
        CREATE TABLE leave (leave_id int PRIMARY KEY, org_id int, at timestamptz, source char(1) DEFAULT 'M')""")
    pair.sync_all(ORGS, STAFF)
    pair.target.execute("INSERT INTO powerca_sync.office (org_id, office) VALUES ('2', 'elsewhere')")
    return pair


def look(pair: Pair, *tables: TableSpec) -> PendingTables:
    with pair.connected() as (target, source):
        found = find_pending_tables(source=source, target=target, specs=in_order(tables or ALL))
    # This office books nothing, and each test has a desktop of its own.
    return dataclasses.replace(found, unbooked=0, identity="")


def test_before_the_first_run_every_reverse_table_is_pending(office: Pair) -> None:
    assert look(office) == PendingTables(pending=("orgs", "leave", "diary"), rows={})
    office.pull(DIARY, ORGS, STAFF)
    assert look(office).pending == ("orgs", "leave")
    assert look(office).rows == {"diary": 0}


def test_tables_reverse_synced_by_hand_are_listed_separately(office: Pair) -> None:
    by_hand = dataclasses.replace(LEAVE, reverse=BY_HAND)
    tables = (ORGS, STAFF, DIARY, by_hand)
    office.pull_all(ORGS, STAFF, DIARY)
    assert look(office, *tables) == PendingTables(pending=(), rows={"orgs": 0, "diary": 0})
    office.target.execute("INSERT INTO leave VALUES (5, 1)")
    found = look(office, *tables)
    assert (found.pending, found.by_hand) == ((), ("leave",))
    office.pull(by_hand, ORGS)
    assert look(office, *tables) == PendingTables(pending=(), rows={"orgs": 0, "diary": 0, "leave": 1})


WRITES: dict[str, tuple[str, Callable[[Pair], object]]] = {
    "insert": ("diary", lambda pair: pair.target.execute("INSERT INTO diary (org_id) VALUES (1)")),
    "edit": ("diary", lambda pair: pair.target.execute("UPDATE diary SET note = 'edited' WHERE id = 1")),
    "delete": ("diary", lambda pair: pair.target.execute("DELETE FROM diary WHERE id = 1")),
    "a stamp": ("leave", lambda pair: pair.target.execute("UPDATE leave SET at = at + interval '1 us'")),
    "a row of our staff": ("diary", lambda pair: pair.target.execute("INSERT INTO diary (staff_id) VALUES (11)")),
    "a row of nobody": ("diary", lambda pair: pair.target.execute("INSERT INTO diary (staff_id) VALUES (99)")),
    "a new column": ("leave", lambda pair: pair.target.execute("ALTER TABLE leave ADD remark text")),
    "another office's row": ("", lambda pair: pair.target.execute("INSERT INTO diary (org_id) VALUES (2)")),
    "the office's own row": (
        "",
        lambda pair: pair.target.execute("INSERT INTO diary (org_id, source) VALUES (1, 'D'), (1, NULL)"),
    ),
    # Versions are compared, not values; the next run finds that nothing has changed.
    "a row rewritten as it was": ("diary", lambda pair: pair.target.execute("UPDATE diary SET note = note")),
    "another time zone": ("", lambda pair: pair.target.execute("SET TimeZone = 'Asia/Kolkata'")),
    "another text form": (
        "",
        lambda pair: pair.target.execute(
            f"ALTER DATABASE {pair.settings.mobile.name} SET DateStyle = 'German';"
            f"ALTER DATABASE {pair.settings.mobile.name} SET TimeZone = 'Asia/Kolkata'"
        ),
    ),
}


@pytest.mark.parametrize("write", WRITES)
def test_table_is_pending_from_a_phone_write_until_the_next_run(office: Pair, write: str) -> None:
    office.target.execute("""
        INSERT INTO diary (org_id, note) VALUES (1, 'a'), (1, 'a'), (2, 'b');
        INSERT INTO leave VALUES (5, 1, '2025-10-01 10:00+05:30')""")
    office.pull_all(*ALL)
    assert look(office) == PendingTables(pending=(), rows={"orgs": 0, "diary": 2, "leave": 1})
    table, happens = WRITES[write]
    happens(office)
    assert look(office).pending == ((table,) if table else ())
    office.pull_all(*ALL)
    assert look(office).pending == ()


def test_table_is_pending_when_the_office_of_a_row_becomes_known(office: Pair) -> None:
    office.target.execute("INSERT INTO diary (staff_id) VALUES (99)")
    office.pull_all(*ALL)
    assert look(office).pending == ()
    office.target.execute("INSERT INTO staff VALUES (99, 1, 'D')")
    assert look(office).pending == ("diary",)


def test_quarantined_row_does_not_keep_its_table_pending(office: Pair) -> None:
    office.source.execute("ALTER TABLE diary ADD CHECK (note <> 'bad')")
    office.target.execute("INSERT INTO diary (org_id, note) VALUES (1, 'bad')")
    assert pulled(office.pull(DIARY, ORGS, STAFF)) == {"quarantined": 1}
    assert "diary" not in look(office).pending
    office.target.execute("UPDATE diary SET note = 'good'")
    assert "diary" in look(office).pending


def test_failed_reverse_run_leaves_its_table_pending(office: Pair) -> None:
    office.pull_all(*ALL)
    office.target.execute("INSERT INTO diary (org_id) VALUES (1)")
    office.source.execute("ALTER TABLE diary RENAME TO elsewhere")
    with pytest.raises(SyncError):
        office.pull(DIARY, ORGS, STAFF)
    assert look(office).pending == ("diary",)


@pytest.mark.parametrize(
    ("broken", "pending"),
    [
        ("DROP TABLE leave", ("leave",)),
        ("ALTER TABLE leave DROP COLUMN source", ()),
    ],
)
def test_missing_table_is_pending_and_does_not_delay_others(
    office: Pair, broken: str, pending: tuple[str, ...]
) -> None:
    office.pull_all(*ALL)
    office.target.execute(broken)  # type: ignore[call-overload]
    assert look(office).pending == pending
    office.target.execute("INSERT INTO diary (org_id, note) VALUES (1, 'a')")
    assert set(look(office).pending) == {"diary", *pending}


def test_desktop_without_organisations_is_refused(office: Pair) -> None:
    office.target.execute("INSERT INTO diary (org_id, note) VALUES (1, 'a')")
    office.pull_all(*ALL)
    office.source.execute("DELETE FROM orgs")
    with pytest.raises(UnsafeTargetError, match="table of organisations is empty"):
        look(office)
    with pytest.raises(UnsafeTargetError, match="table of organisations is empty"):
        office.pull(DIARY, ORGS, STAFF)


def test_search_for_pending_tables_writes_nothing(office: Pair) -> None:
    office.pull_all(*ALL)
    before = [everything(connection) for connection in (office.source, office.target)]
    look(office)
    assert [everything(connection) for connection in (office.source, office.target)] == before
