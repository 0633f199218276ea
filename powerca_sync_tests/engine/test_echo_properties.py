"""Echo against a model of it: whatever was pulled, the desktop's own rows arrive, once, and the phones' stay."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powerca_sync.engine.sql import load
from powerca_sync.engine.state import prepare_target
from powerca_sync_tests.helpers import Pair, delete_insert

DIARY = delete_insert("diary", "staff_id")


class Entry(NamedTuple):
    staff_id: int | None
    note: str | None


class PhoneEntry(NamedTuple):
    entry: Entry
    pulled: bool
    deleted: bool


ENTRIES = st.builds(Entry, staff_id=st.sampled_from((1, 1, 2, None)), note=st.sampled_from(("a", "b", None)))
PHONE_ENTRIES = st.builds(PhoneEntry, entry=ENTRIES, pulled=st.booleans(), deleted=st.booleans())


@pytest.fixture(scope="module")
def office(shared_pair: Pair) -> Iterator[Pair]:
    """An office with a diary, and a ledger of what it pulled."""
    shared_pair.both("CREATE TABLE diary (staff_id int, note text)")
    shared_pair.target.execute("ALTER TABLE diary ADD id bigserial PRIMARY KEY, ADD source char(1) DEFAULT 'D'")
    shared_pair.source.execute(load("source_state.sql"))
    prepare_target(shared_pair.target)
    return shared_pair


def fill(pair: Pair, own: list[Entry], before: list[Entry], phones: list[PhoneEntry]) -> None:
    pair.source.execute("TRUNCATE diary, powerca_sync.pulled")
    pair.target.execute("TRUNCATE diary, powerca_sync.table_state RESTART IDENTITY")
    pulled = [entry for entry, pulled, _ in phones if pulled]
    with pair.source.cursor() as source, pair.target.cursor() as target:
        source.executemany("INSERT INTO diary VALUES (%s, %s)", [*own, *pulled])
        source.executemany(
            "INSERT INTO powerca_sync.pulled (table_name, mobile_key, image, content_hash)"
            " VALUES ('diary', %s, %s, 'hash')",
            [(str(n), json.dumps(entry._asdict())) for n, entry in enumerate(pulled)],
        )
        target.executemany(
            "INSERT INTO diary (staff_id, note, source) VALUES (%s, %s, %s)",
            [(*entry, "D") for entry in before] + [(*entry, "M") for entry, _, deleted in phones if not deleted],
        )


def owned(pair: Pair) -> Counter[Entry]:
    return Counter(Entry(*row) for row in pair.rows("SELECT staff_id, note FROM diary WHERE source = 'D'"))


@given(
    own=st.lists(ENTRIES, max_size=6), before=st.lists(ENTRIES, max_size=6), phones=st.lists(PHONE_ENTRIES, max_size=6)
)
def test_own_rows_arrive_once_and_phone_rows_neither_change_nor_come_back(
    office: Pair, own: list[Entry], before: list[Entry], phones: list[PhoneEntry]
) -> None:
    fill(office, own, before, phones)
    on_phones = office.text("diary", where="source = 'M'")
    pulled = Counter(entry for entry, pulled, _ in phones if pulled)
    not_pulled = Counter(entry for entry, _, deleted in phones if not deleted) - pulled
    stand_ins = (Counter(own) - Counter(before)) & not_pulled
    result = office.sync(DIARY, allow_mass_delete=True)
    if own or pulled:
        assert (result.echo, result.kept_mobile) == (pulled.total(), stand_ins.total())
        assert owned(office) == Counter(own) - stand_ins
    assert office.text("diary", where="source = 'M'") == on_phones
    everything = office.text("diary")
    assert office.sync(DIARY).written == 0
    assert office.text("diary") == everything
