"""Phone rows of all offices in one statement: the digests are those of each office's own reverse run."""

import dataclasses

import pytest

from powerca_sync.engine.mapping import read_identity
from powerca_sync.engine.reverse import PhoneRowsByOffice, read_phone_rows_by_office
from powerca_sync.specs import Reference, in_order
from powerca_sync_tests.helpers import ORGS, Pair, delete_insert, spec

AUTHOR = Reference(column="staff_id", parent="staff")
STAFF = spec("staff", "staff_id", office="org_id", reverse=False)
DIARY = delete_insert("diary", "staff_id", office="org_id", made_by="staff_id", references=(AUTHOR,))
LEAVE = spec("leave", "leave_id", office="org_id")
DAYS = spec("days", "day_id", office="leave_id", references=(Reference(column="leave_id", parent="leave"),))
ALL = in_order((ORGS, STAFF, DIARY, LEAVE, DAYS))


@pytest.fixture
def office(pair: Pair) -> Pair:
    """Creates the desktop of organisation 1; phone rows of each kind are on mobile."""
    pair.source.execute("""
        CREATE TABLE orgs (org_id int); CREATE TABLE staff (staff_id int, org_id int);
        CREATE TABLE diary (org_id int, staff_id int, note text);
        CREATE TABLE leave (leave_id int, org_id int); CREATE TABLE days (day_id int, leave_id int);
        INSERT INTO orgs VALUES (1); INSERT INTO staff VALUES (11, 1)""")
    pair.target.execute("""
        CREATE TABLE orgs (org_id int PRIMARY KEY, source char(1) DEFAULT 'D');
        CREATE TABLE staff (staff_id int PRIMARY KEY, org_id int, source char(1) DEFAULT 'D');
        CREATE TABLE diary (id serial PRIMARY KEY, org_id int, staff_id int, note text, source char(1) DEFAULT 'M');
        CREATE TABLE leave (leave_id int PRIMARY KEY, org_id int, source char(1) DEFAULT 'M');
        CREATE TABLE days (day_id int PRIMARY KEY, leave_id int, source char(1) DEFAULT 'M')""")
    pair.sync_all(ORGS, STAFF)
    return pair


def share(pair: Pair) -> None:
    """Registers a second desktop, with staff on mobile, and inserts phone rows of everybody and nobody."""
    pair.target.execute("""
        INSERT INTO powerca_sync.office (org_id, office) VALUES ('2', 'elsewhere');
        INSERT INTO staff VALUES (22, 2), (33, 3);
        INSERT INTO diary (org_id, staff_id, note) VALUES
            (1, 11, 'own'), (1, 22, 'own, whoever made it'), (2, 11, 'theirs'), (3, 11, 'of nobody'),
            (NULL, 11, 'by own staff'), (NULL, 22, 'by their staff'), (NULL, 33, 'by staff of nobody'),
            (NULL, 99, 'by unknown staff'), (NULL, NULL, 'by unknown staff, too');
        INSERT INTO leave VALUES (100, 1), (200, 2), (300, 3), (400, NULL);
        INSERT INTO days VALUES (1, 100), (2, 100), (3, 200), (4, 300), (5, 400), (6, 500)""")


def read(pair: Pair) -> PhoneRowsByOffice:
    return read_phone_rows_by_office(pair.target, ALL, seconds=5)


def recorded(pair: Pair) -> dict[str, str]:
    """Returns the digests that reverse runs have recorded on the desktop."""
    return dict(
        pair.source.execute("SELECT table_name, digest FROM powerca_sync.pulls WHERE table_name <> 'staff'").fetchall()
    )


def digests(pair: Pair) -> dict[str, str]:
    identity, _ = read_identity(pair.source)
    return {table: found.digest for table, found in read(pair).offices[identity].items()}


def test_digests_are_those_of_the_only_office(office: Pair) -> None:
    assert office.pull_all(*ALL)
    assert digests(office) == recorded(office)
    office.target.execute("INSERT INTO diary (org_id, staff_id) VALUES (1, 11), (NULL, 99), (NULL, NULL)")
    assert digests(office) != recorded(office)
    office.pull_all(*ALL)
    assert digests(office) == recorded(office)
    assert read(office).unassigned == {}
    ((found, _),) = ((one["diary"], one) for one in read(office).offices.values())
    assert found.rows == 3


def test_digests_are_those_of_each_office_of_several(office: Pair) -> None:
    share(office)
    office.pull_all(*ALL)
    assert digests(office) == recorded(office)
    found = read(office)
    identity, _ = read_identity(office.source)
    rows = {name: {table: one.rows for table, one in tables.items()} for name, tables in found.offices.items()}
    assert rows == {
        identity: {"orgs": 0, "diary": 3, "leave": 1, "days": 2},
        "elsewhere": {"orgs": 0, "diary": 2, "leave": 1, "days": 1},
    }
    assert found.unassigned == {"diary": 2, "leave": 1, "days": 2}


@pytest.mark.parametrize(
    ("statement", "own", "theirs"),
    [
        ("INSERT INTO diary (org_id, staff_id) VALUES (1, 99)", True, False),
        ("INSERT INTO diary (org_id, staff_id) VALUES (NULL, 22)", False, True),
        ("INSERT INTO diary (org_id, staff_id) VALUES (NULL, 99)", True, True),
        ("INSERT INTO diary (org_id, staff_id) VALUES (3, 11)", False, False),
        ("UPDATE diary SET note = 'edited' WHERE note = 'theirs'", False, True),
        ("INSERT INTO days VALUES (7, 200)", False, True),
        ("DELETE FROM days WHERE day_id = 1", True, False),
        ("UPDATE leave SET org_id = 1 WHERE leave_id = 400", True, True),
        ("INSERT INTO leave VALUES (500, 1, 'D')", True, True),
    ],
)
def test_changes_concern_the_offices_of_the_rows_only(office: Pair, statement: str, own: bool, theirs: bool) -> None:
    share(office)
    before = read(office).offices
    office.target.execute(statement)  # type: ignore[call-overload]
    after = read(office).offices
    identity, _ = read_identity(office.source)
    assert [before[name] != after[name] for name in (identity, "elsewhere")] == [own, theirs]
    office.pull_all(*ALL)
    assert digests(office) == recorded(office)


def test_missing_tables_and_an_unprepared_mobile_database_are_left_out(pair: Pair) -> None:
    assert read(pair) == PhoneRowsByOffice(offices={}, unassigned={})
    pair.source.execute("CREATE TABLE orgs (org_id int); INSERT INTO orgs VALUES (1)")
    pair.target.execute("CREATE TABLE orgs (org_id int PRIMARY KEY, source char(1) DEFAULT 'D')")
    pair.sync_all(ORGS)
    ((tables),) = read(pair).offices.values()
    assert list(tables) == ["orgs"]


def test_rows_of_a_table_that_leads_to_no_office_belong_to_the_only_one(office: Pair) -> None:
    whole = dataclasses.replace(LEAVE, office=None)
    office.target.execute("INSERT INTO leave VALUES (100, 1), (200, NULL)")
    ((tables),) = read_phone_rows_by_office(office.target, (ORGS, whole), seconds=5).offices.values()
    assert tables["leave"].rows == 2
