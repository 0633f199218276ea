"""Alternating forward and reverse runs converge: after the first cycle they are no-ops for every table.

After random histories of both databases no phone row is reverse-synced twice, left out, overwritten by forward sync, or
synced back to mobile as a desktop row.
"""

import random
from collections import Counter
from typing import NamedTuple

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from powerca_sync.engine.postgres import load
from powerca_sync.specs import TableSpec
from powerca_sync.tables import TABLES
from powerca_sync_tests.acceptance.real_tables import add_phone_rows, contents, create_empty_mobile, create_office
from powerca_sync_tests.helpers import Pair, delete_insert, pulled, spec

pytestmark = pytest.mark.long

#: Phone rows of tables that phones do not write today, under keys that the office does not use; some equal each other
#: or a row of the office, or have a NULL key.
MORE_PHONE_ROWS = """
INSERT INTO locmaster (org_id, loc_id, locname, source) VALUES (1, 77, 'By phone', 'M');
INSERT INTO conmaster (org_id, con_id, conname, source) VALUES (1, 77, 'By phone', 'M');
INSERT INTO climaster (org_id, con_id, loc_id, client_id, clientname, source) VALUES (1, 77, 77, 1777, 'By phone', 'M');
INSERT INTO cliunimaster (org_id, con_id, loc_id, client_id, cliunit_id, source) VALUES (1, 77, 77, 1777, 1777, 'M');
INSERT INTO taskmaster (org_id, con_id, loc_id, task_id, source) VALUES (1, 77, 77, 1777, 'M');
INSERT INTO jobmaster (org_id, con_id, loc_id, job_id, source) VALUES (1, 77, 77, 1777, 'M');
INSERT INTO mbstaff (org_id, con_id, loc_id, staff_id, name, active_status, source)
VALUES (1, 77, 77, 1777, 'By phone', 1, 'M');
INSERT INTO jobshead (org_id, con_id, loc_id, job_id, client_id, work_desc, source)
SELECT 1, 1, 1, 1777, 1777, 'By phone', 'M' FROM generate_series(1, 2);
INSERT INTO jobshead (org_id, con_id, loc_id, job_id, year_id, client_id, jobdate, work_desc, job_status, sporg_id,
    source)
SELECT org_id, con_id, loc_id, job_id, year_id, client_id, jobdate, work_desc, job_status, sporg_id, 'M'
FROM jobshead WHERE source = 'D' LIMIT 3;
INSERT INTO jobtasks (org_id, con_id, loc_id, job_id, task_id, task_desc, source)
VALUES (1, 1, 1, 1001, NULL, 'By phone', 'M'), (1, 1, 1, NULL, NULL, 'By phone', 'M'),
    (1, 1, 1, NULL, NULL, 'By phone', 'M');
INSERT INTO taskchecklist (org_id, loc_id, task_id, checklistdesc, checkliststatus, source)
VALUES (1, 1, 1002, 'Line 1', 1, 'M'), (1, 1, NULL, NULL, 0, 'M'), (1, 1, NULL, NULL, 0, 'M');
INSERT INTO workdiary (org_id, staff_id, date, timefrom, tasknotes, source)
VALUES (NULL, NULL, NULL, NULL, 'nothing known', 'M'), (NULL, NULL, NULL, NULL, 'nothing known', 'M'),
    (1, 1001, '2025-10-02', '24:00', 'until midnight', 'M'), (1, 1001, NULL, '10:00', 'when?', 'M');
INSERT INTO learequest (org_id, con_id, loc_id, learequest_id, staff_id, leavetype, source)
VALUES (1, 1, 1, 1001, 1001, 'XX', 'M') ON CONFLICT DO NOTHING;
"""

#: Phone rows that are quarantined for a clock time without a date.
QUARANTINED = {"workdiary": 1}


def desktop_contents(pair: Pair) -> dict[str, list[str]]:
    return {one.mobile: pair.text(one.desktop, on=pair.source) for one in TABLES}


def test_second_cycle_writes_nothing_in_any_table(pair: Pair) -> None:
    create_office(pair.source)
    create_empty_mobile(pair.target)
    pair.sync_all(*TABLES)
    pair.pull_all(*TABLES)
    add_phone_rows(pair.target)
    pair.target.execute(MORE_PHONE_ROWS)
    on_phones = contents(pair.target, where="source = 'M'")
    on_mobile, on_desktop = contents(pair.target), desktop_contents(pair)
    synced = {table: len(rows) - QUARANTINED.get(table, 0) for table, rows in on_phones.items()}
    assert sum(synced.values()) > 25
    for result in pair.pull_all(*TABLES).values():
        expected = {"pulled": synced[result.table], "quarantined": QUARANTINED.get(result.table, 0)}
        assert pulled(result) == {fate: rows for fate, rows in expected.items() if rows}, result.table
    assert contents(pair.target) == on_mobile
    for name, before in on_desktop.items():
        assert set(before) < set(desktop_contents(pair)[name]) or not synced[name]
    for forward in pair.sync_all(*TABLES).values():
        assert (forward.written, forward.echo) == (0, synced[forward.table])
    on_desktop = desktop_contents(pair)
    assert {result.pulled + result.adopted + result.gone for result in pair.pull_all(*TABLES).values()} == {0}
    assert {result.written for result in pair.sync_all(*TABLES, mode="incremental").values()} == {0}
    assert contents(pair.target) == on_mobile
    assert contents(pair.target, where="source = 'M'") == on_phones
    assert desktop_contents(pair) == on_desktop


class Row(NamedTuple):
    k: int | None
    note: str | None


#: Both strategies, each with and without a mobile primary key.
SPECS = (
    delete_insert("lines", "k", limit_share=1.0),
    delete_insert("lines_with_id", "k", limit_share=1.0),
    spec("items", "k", limit_share=1.0),
    spec("items_with_key", "k", limit_share=1.0),
)


@pytest.fixture(scope="module")
def office(shared_pair: Pair) -> Pair:
    shared_pair.source.execute(load("powerca_sync.engine.reverse", "source_state.sql"))
    for table in SPECS:
        shared_pair.source.execute(f"CREATE TABLE {table.desktop} (k int, note text CHECK (note <> 'bad'), own int)")
        keys = {"lines_with_id": ", id serial PRIMARY KEY", "items_with_key": ", PRIMARY KEY (k)"}
        shared_pair.target.execute(
            f"CREATE TABLE {table.mobile} (k int, note text, source char(1) {keys.get(table.mobile, '')})"
        )
    # After this first reverse sync the ledger covers every phone row.
    shared_pair.sync_all(*SPECS)
    shared_pair.pull_all(*SPECS)
    return shared_pair


class History:
    """Random writes to one table in both databases, and the invariants that hold after each."""

    def __init__(self, pair: Pair, table: TableSpec, seed: int) -> None:
        self.pair = pair
        self.table = table
        self.pick = random.Random(seed)
        self.has_id = table.mobile == "lines_with_id"
        self.needs_key = table.mobile == "items_with_key"
        self.keys = range(1, 6) if self.needs_key else (1, 2, None)
        for connection in (pair.source, pair.target):
            connection.execute(f"TRUNCATE {table.mobile}")
        pair.source.execute("TRUNCATE powerca_sync.pulled, powerca_sync.quarantine")
        pair.source.execute("UPDATE powerca_sync.pulls SET digest = '0:0'")
        pair.target.execute("TRUNCATE powerca_sync.table_state, powerca_sync.quarantine")

    def rows(self, where: str, *, on_desktop: bool = False) -> Counter[Row]:
        query = f"SELECT k, note FROM {self.table.mobile} WHERE {where}"  # noqa: S608
        return Counter(Row(*row) for row in self.pair.rows(query, self.pair.source if on_desktop else None))

    def write_random_row(self) -> None:
        """Inserts, updates or deletes a random row of the office in one of the databases."""
        on_desktop, what = self.pick.random() < 0.4, self.pick.choice(("insert", "insert", "update", "delete"))
        connection = self.pair.source if on_desktop else self.pair.target
        k = self.pick.choice(self.keys)
        text = self.pick.choice(("a", "b", None) if on_desktop else ("a", "b", None, "bad"))
        table, mine = self.table.mobile, "own = 1" if on_desktop else "source = 'M'"
        note(f"{'desktop' if on_desktop else 'phone'}: {what} {k} {text}")
        one = f"ctid = (SELECT ctid FROM {table} WHERE {mine} ORDER BY k, note LIMIT 1)"  # noqa: S608
        match what:
            case "insert" if on_desktop:
                connection.execute(f"INSERT INTO {table} VALUES (%s, %s, 1)", [k, text])  # noqa: S608
            case "insert":
                connection.execute(
                    f"INSERT INTO {table} VALUES (%s, %s, 'M') ON CONFLICT DO NOTHING",  # noqa: S608
                    [k, text],
                )
            case "update":
                connection.execute(f"UPDATE {table} SET note = %s WHERE {one}", [text])  # noqa: S608
            case "delete":
                connection.execute(f"DELETE FROM {table} WHERE {one}")  # noqa: S608

    def pull(self) -> None:
        own, copies = self.rows("own = 1", on_desktop=True), self.rows("own IS NULL", on_desktop=True)
        on_mobile, phones = self.pair.text(self.table.mobile), self.rows("source = 'M'")
        result = self.pair.pull(self.table)
        note(f"pull: {pulled(result)}")
        assert self.pair.text(self.table.mobile) == on_mobile
        assert self.rows("own = 1", on_desktop=True) == own
        arrived = self.rows("own IS NULL", on_desktop=True) - copies
        assert copies <= self.rows("own IS NULL", on_desktop=True)
        assert arrived.total() == result.pulled
        assert arrived <= phones
        self.check_ledger(phones)

    def check_ledger(self, phones: Counter[Row]) -> None:
        """Each phone row is in the ledger or in quarantine, and each desktop copy has one ledger entry."""
        live, entries, keys, waiting = self.pair.rows(
            """SELECT count(*) FILTER (WHERE gone_at IS NULL), count(*), count(DISTINCT mobile_key),
                (SELECT count(*) FROM powerca_sync.quarantine) FROM powerca_sync.pulled""",
            self.pair.source,
        )[0]
        assert live + waiting == phones.total()
        copies = self.rows("own IS NULL", on_desktop=True)
        if self.table in SPECS[:2]:
            assert entries == copies.total(), "nothing is adopted in a table without a key of the desktop's own"
        if self.has_id:
            assert keys == entries, "no phone row came twice"
        if not self.has_id and not self.needs_key:
            assert phones <= copies + self.rows("own = 1", on_desktop=True) + self.quarantined()

    def quarantined(self) -> Counter[Row]:
        query = "SELECT (image ->> 'k')::int, image ->> 'note' FROM powerca_sync.quarantine"
        return Counter(Row(*row) for row in self.pair.rows(query, self.pair.source))

    def forward(self, *, after_pull: bool = False) -> None:
        phones = self.pair.text(self.table.mobile, where="source = 'M'")
        before = self.rows("source = 'D'")
        result = self.pair.sync(self.table, allow_mass_delete=True)
        note(f"forward: {result.inserted=} {result.updated=} {result.deleted=} {result.echo=}")
        assert self.pair.text(self.table.mobile, where="source = 'M'") == phones
        own = self.rows("own = 1", on_desktop=True)
        assert self.rows("source = 'D'") - before <= own
        # An empty source never deletes rows.
        if after_pull and self.table in SPECS[:2] and self.rows("TRUE", on_desktop=True):
            waiting = self.quarantined()
            assert self.rows("source = 'D'") <= own
            assert own - self.rows("source = 'D'") <= waiting, "a phone row that waits may stand in for an equal one"

    def converge(self) -> None:
        self.pull()
        self.forward(after_pull=True)
        desktop, mobile = self.pair.text(self.table.desktop, on=self.pair.source), self.pair.text(self.table.mobile)
        assert pulled(self.pair.pull(self.table)).keys().isdisjoint({"pulled", "adopted", "gone"})
        assert self.pair.sync(self.table).written == 0
        assert self.pair.text(self.table.desktop, on=self.pair.source) == desktop
        assert self.pair.text(self.table.mobile) == mobile


@settings(max_examples=settings.default.max_examples // 4 if settings.default else 15)
@given(seed=st.integers(0, 2**32), rounds=st.integers(1, 4), place=st.integers(0, len(SPECS) - 1))
def test_no_phone_row_is_lost_or_doubled_in_any_history(office: Pair, seed: int, rounds: int, place: int) -> None:
    history = History(office, SPECS[place], seed)
    for _ in range(rounds):
        for _ in range(history.pick.randrange(1, 6)):
            history.write_random_row()
        history.pick.choice((history.pull, history.forward, history.pull, history.converge))()
    history.converge()
