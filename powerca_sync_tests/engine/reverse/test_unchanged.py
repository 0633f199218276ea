"""A reverse run that reads what the last one read stops before it matches rows, and misses nothing by that."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from powerca_sync.engine.requests import Choice
from powerca_sync.engine.result import ReverseResult
from powerca_sync.specs import Reference, TableSpec
from powerca_sync_tests.helpers import ORGS, QUICK, Pair, delete_insert, pulled, spec

STAFF = spec("staff", "staff_id", office="org_id", reverse=False)
DIARY = delete_insert(
    "diary", "staff_id", office="org_id", made_by="staff_id", references=(Reference(column="staff_id", parent="staff"),)
)
SETTLED = {"already_there": 4, "changed_after_pull": 1, "missing_after_pull": 1, "unassigned": 1}


@pytest.fixture
def office(pair: Pair) -> Pair:
    """Creates five phone rows, of which one is edited after its pull, one lacks a copy, and one has no office."""
    pair.source.execute("""
        CREATE TABLE orgs (org_id int); CREATE TABLE staff (staff_id int, org_id int);
        CREATE TABLE diary (org_id int, staff_id int, note text);
        INSERT INTO orgs VALUES (1); INSERT INTO staff VALUES (11, 1)""")
    pair.target.execute("""
        CREATE TYPE mood AS ENUM ('good', 'bad');
        CREATE TABLE orgs (org_id int PRIMARY KEY, source char(1) DEFAULT 'D');
        CREATE TABLE staff (staff_id int PRIMARY KEY, org_id int, source char(1) DEFAULT 'D');
        CREATE TABLE diary (
            id serial PRIMARY KEY, org_id int, staff_id int, note text, mood mood DEFAULT 'good',
            source char(1) DEFAULT 'M'
        )""")
    pair.sync_all(ORGS, STAFF)
    pair.target.execute("INSERT INTO powerca_sync.office (org_id, office) VALUES ('2', 'elsewhere')")
    pair.target.execute("""
        INSERT INTO diary (org_id, staff_id, note) VALUES (1, 11, 'a'), (1, 11, 'b'), (1, 11, 'c'), (1, 11, 'd'),
            (NULL, 12, 'e')""")
    pair.pull(DIARY, ORGS, STAFF)
    pair.target.execute("UPDATE diary SET note = 'edited' WHERE note = 'b'")
    pair.source.execute("DELETE FROM diary WHERE note = 'c'")
    assert pulled(pair.pull(DIARY, ORGS, STAFF)) == SETTLED
    return pair


class Runs:
    """Runs the diary's reverse sync, and tells whether it stopped before it matched rows."""

    def __init__(self, pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
        self.pair, self.caplog = pair, caplog

    def __call__(self, table: TableSpec = DIARY, **rest: Any) -> tuple[bool, ReverseResult]:
        self.caplog.clear()
        with self.caplog.at_level("INFO"):
            result = self.pair.pull(table, ORGS, STAFF, **rest)
        has_stopped = "diary: nothing has changed since the last run." in self.caplog.messages
        return has_stopped, dataclasses.replace(result, seconds={})


@pytest.fixture
def run(office: Pair, caplog: pytest.LogCaptureFixture) -> Runs:
    return Runs(office, caplog)


def test_run_without_changes_repeats_the_findings(office: Pair, run: Runs) -> None:
    kept = ("diary", "powerca_sync.pulled", "powerca_sync.quarantine")
    before = [office.text(table, on=office.source) for table in kept]
    pulls = "SELECT pulled_at, (SELECT count(*) FROM sync_log) FROM powerca_sync.pulls"
    office.source.execute("UPDATE powerca_sync.pulls SET state = NULL")
    has_stopped, whole = run()
    assert not has_stopped
    assert (whole.changed_keys, whole.missing_keys, len(whole.warnings)) == (("2",), ("3",), 1)
    ((at, lines),) = office.rows(pulls, office.source)
    assert run() == (True, whole)
    ((later, more),) = office.rows(pulls, office.source)
    assert (later > at, more - lines) == (True, 1)
    assert [office.text(table, on=office.source) for table in kept] == before


def at_source(statement: str) -> Callable[[Pair], object]:
    return lambda pair: pair.source.execute(statement)  # type: ignore[call-overload]


def at_target(statement: str) -> Callable[[Pair], object]:
    return lambda pair: pair.target.execute(statement)  # type: ignore[call-overload]


CHANGES: dict[str, tuple[Callable[[Pair], object], dict[str, int]]] = {
    "a new phone row": (at_target("INSERT INTO diary (org_id, note) VALUES (1, 'new')"), {"pulled": 1}),
    "a phone row that is a desktop row now": (
        at_target("UPDATE diary SET source = 'D' WHERE note = 'd'"),
        {"gone": 1, "already_there": -1},
    ),
    "the office of a row": (
        at_target("INSERT INTO staff (staff_id, org_id, source) VALUES (12, 1, 'D')"),
        {"pulled": 1, "unassigned": -1},
    ),
    "another office of a row": (
        at_target("INSERT INTO staff (staff_id, org_id, source) VALUES (12, 2, 'D')"),
        {"unassigned": -1},
    ),
    "an edit that is undone": (at_target("UPDATE diary SET note = 'b' WHERE id = 2"), {"changed_after_pull": -1}),
    "a label": (at_target("ALTER TYPE mood RENAME VALUE 'good' TO 'fine'"), {}),
    "a deleted copy": (at_source("DELETE FROM diary WHERE note = 'a'"), {"missing_after_pull": 1}),
    "a copy that is replaced": (
        at_source("DELETE FROM diary WHERE note = 'a'; INSERT INTO diary VALUES (1, 12, 'office')"),
        {"missing_after_pull": 1},
    ),
    "a copy that returns": (at_source("INSERT INTO diary VALUES (1, 11, 'c')"), {"missing_after_pull": -1}),
    "a column of the desktop": (at_source("ALTER TABLE diary ADD mood text DEFAULT 'fine'"), {"changed_after_pull": 0}),
    "a ledger entry that is deleted": (
        at_source("DELETE FROM powerca_sync.pulled WHERE mobile_key = '3'"),
        {"pulled": 1, "missing_after_pull": -1, "already_there": -1},
    ),
    "a ledger entry that is edited": (
        at_source("""UPDATE powerca_sync.pulled SET image = image || '{"note": "x"}' WHERE mobile_key = '1'"""),
        {},
    ),
    "the record of the last run": (at_source("DELETE FROM powerca_sync.pulls"), {}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_any_change_is_looked_at(office: Pair, run: Runs, change: str) -> None:
    run()
    assert run()[0]
    happens, differences = CHANGES[change]
    happens(office)
    has_stopped, result = run()
    expected = {name: SETTLED.get(name, 0) + differences.get(name, 0) for name in SETTLED | differences}
    assert (has_stopped, pulled(result)) == (False, {name: rows for name, rows in expected.items() if rows})
    # The runs that follow only read.
    assert [run()[0] for _ in range(3)][-1]


def test_run_that_wrote_is_followed_by_one_that_looks(office: Pair, run: Runs) -> None:
    office.target.execute("INSERT INTO diary (org_id, staff_id, note) VALUES (1, 11, 'f')")
    assert pulled(run()[1]) == SETTLED | {"pulled": 1}
    assert [run()[0] for _ in range(2)] == [False, True]


@pytest.mark.parametrize(
    ("table", "rest"),
    [
        (dataclasses.replace(DIARY, max_row_bytes=3_000_000), {}),
        (dataclasses.replace(DIARY, skip=frozenset({"staff_id"})), {}),
        (DIARY, {"again": True}),
        (DIARY, {"lookalikes": Choice.ADOPT}),
        (DIARY, {"options": dataclasses.replace(QUICK, timezone="Asia/Kolkata")}),
    ],
    ids=["limit", "columns", "again", "choice", "time zone"],
)
def test_other_request_is_not_a_repetition(run: Runs, table: TableSpec, rest: dict[str, Any]) -> None:
    run()
    assert run()[0]
    assert not run(table, **rest)[0]


def test_quarantined_row_is_retried_in_every_run(office: Pair, run: Runs) -> None:
    office.source.execute("""
        CREATE TABLE notes (note text PRIMARY KEY); INSERT INTO notes VALUES ('a'), ('b'), ('d');
        ALTER TABLE diary ADD FOREIGN KEY (note) REFERENCES notes""")
    office.target.execute("INSERT INTO diary (org_id, staff_id, note) VALUES (1, 11, 'refused')")
    for _ in range(3):
        has_stopped, result = run()
        assert (has_stopped, pulled(result)) == (False, SETTLED | {"quarantined": 1})
    # Neither mobile nor the table itself changes.
    office.source.execute("INSERT INTO notes VALUES ('refused')")
    assert pulled(run()[1]) == SETTLED | {"pulled": 1}


def test_partitioned_table_is_always_looked_at(office: Pair, run: Runs) -> None:
    office.source.execute("""
        ALTER TABLE diary RENAME TO kept;
        CREATE TABLE diary (LIKE kept) PARTITION BY LIST (org_id); ALTER TABLE diary ATTACH PARTITION kept DEFAULT""")
    assert not any(run()[0] for _ in range(3))
