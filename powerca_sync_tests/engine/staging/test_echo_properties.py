"""Compare echo detection with a model: after random histories each desktop row lands once and phone rows stay
unchanged.

A reverse-synced row may be handed over to the desktop on mobile, by its `source`, and back. A row that the ledger knows
by its primary key is not touched then; without a primary key, the copy is a desktop row.
"""

import enum
import json
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powerca_sync.engine.postgres import load
from powerca_sync.engine.state.preparation import prepare_target
from powerca_sync.specs import TableSpec
from powerca_sync_tests.helpers import Pair, delete_insert

pytestmark = pytest.mark.long

#: With and without a spec key, each with and without a primary key on mobile.
TABLES = (delete_insert("diary", "staff_id"), delete_insert("notes"), delete_insert("bare", "staff_id"))


class Entry(NamedTuple):
    staff_id: int | None
    note: str | None


class Fate(enum.StrEnum):
    """What happened on mobile to a row that a phone created."""

    KEPT = "M"
    HANDED_OVER = "D"
    DELETED = ""


class PhoneEntry(NamedTuple):
    entry: Entry
    pulled: bool
    fate: Fate


ENTRIES = st.builds(Entry, staff_id=st.sampled_from((1, 1, 2, None)), note=st.sampled_from(("a", "b", None)))
PHONE_ENTRIES = st.builds(PhoneEntry, entry=ENTRIES, pulled=st.booleans(), fate=st.sampled_from(Fate))


@pytest.fixture(scope="module")
def office(shared_pair: Pair) -> Iterator[Pair]:
    """Creates an office with its tables, and a ledger of reverse-synced rows."""
    for table in TABLES:
        # The desktop tables with and without a `source` column.
        owner = ", source char(1)" if table.mobile == "bare" else ""
        shared_pair.source.execute(f"CREATE TABLE {table.mobile} (staff_id int, note text{owner})")
        key = "" if table.mobile == "bare" else "PRIMARY KEY"
        shared_pair.target.execute(
            f"CREATE TABLE {table.mobile} (staff_id int, note text, id bigserial {key}, source char(1) DEFAULT 'D')"
        )
    shared_pair.source.execute(load("powerca_sync.engine.reverse", "source_state.sql"))
    prepare_target(shared_pair.target)
    return shared_pair


def fill(pair: Pair, table: str, own: list[Entry], before: list[Entry], phones: list[PhoneEntry]) -> None:
    pair.source.execute(f"TRUNCATE {table}, powerca_sync.pulled")
    pair.target.execute(f"TRUNCATE {table}, powerca_sync.table_state RESTART IDENTITY")
    # On mobile the phone rows have the numbers that follow those of the office rows.
    pulled = [(str(len(before) + n), entry) for n, (entry, pulled, _) in enumerate(phones, 1) if pulled]
    with pair.source.cursor() as source, pair.target.cursor() as target:
        source.executemany(f"INSERT INTO {table} (staff_id, note) VALUES (%s, %s)", own)  # noqa: S608
        phone = ", 'M'" if table == "bare" else ""
        source.executemany(f"INSERT INTO {table} VALUES (%s, %s{phone})", [entry for _, entry in pulled])  # noqa: S608
        source.executemany(
            "INSERT INTO powerca_sync.pulled (table_name, mobile_key, image, content_hash) VALUES (%s, %s, %s, 'hash')",
            [(table, key, json.dumps(entry._asdict())) for key, entry in pulled],
        )
        target.executemany(
            f"INSERT INTO {table} (staff_id, note, source) VALUES (%s, %s, %s)",  # noqa: S608
            [(*entry, "D") for entry in before] + [(*entry, fate) for entry, _, fate in phones],
        )
        target.execute(f"DELETE FROM {table} WHERE source = ''")  # noqa: S608


def counted(pair: Pair, table: str, where: str) -> Counter[Entry]:
    rows = pair.rows(f"SELECT staff_id, note FROM {table} WHERE {where}")  # noqa: S608
    return Counter(Entry(*row) for row in rows)


@given(
    table=st.sampled_from(TABLES),
    own=st.lists(ENTRIES, max_size=6),
    before=st.lists(ENTRIES, max_size=6),
    phones=st.lists(PHONE_ENTRIES, max_size=6),
)
def test_desktop_rows_land_once_and_phone_rows_stay_unchanged(
    office: Pair, table: TableSpec, own: list[Entry], before: list[Entry], phones: list[PhoneEntry]
) -> None:
    name = table.mobile
    fill(office, name, own, before, phones)
    pulled = Counter(entry for entry, pulled, _ in phones if pulled)
    _check_run(office, table, Counter(own), pulled)
    everything = office.text(name)
    assert office.sync(table).written == 0
    assert office.text(name) == everything

    # The handover is undone.
    office.target.execute(f"UPDATE {name} SET source = 'M' WHERE source = 'D' AND note = 'a'")  # noqa: S608
    _check_run(office, table, Counter(own), pulled)
    everything = office.text(name)
    assert office.sync(table).written == 0
    assert office.text(name) == everything


def _check_run(pair: Pair, table: TableSpec, own: Counter[Entry], pulled: Counter[Entry]) -> None:
    """Runs forward sync and compares the result with the model."""
    name = table.mobile
    # The ledger matches a row by its primary key, whatever its `source` is.
    known = "FALSE"
    if name != "bare":
        keys = [key for (key,) in pair.rows("SELECT mobile_key FROM powerca_sync.pulled", pair.source)]
        known = f"id::text = ANY ('{{{', '.join(keys)}}}')"
    untouched = f"source = 'M' OR {known}"
    on_phones, before = counted(pair, name, "source = 'M'"), counted(pair, name, f"source = 'D' AND NOT {known}")
    handed = Counter[Entry]()
    if name == "bare":
        # Copies without a phone row, and desktop rows that no other owner has.
        handed = (pulled - on_phones) & (before - own)
    kept = pair.text(name, where=untouched)
    stand_ins = (own + handed - before) & (on_phones - (pulled - handed))
    result = pair.sync(table, allow_mass_delete=True)
    if own or pulled:
        assert (result.echo, result.kept_mobile) == ((pulled - handed).total(), stand_ins.total())
        assert counted(pair, name, f"source = 'D' AND NOT {known}") == own + handed - stand_ins
    assert pair.text(name, where=untouched) == kept
