"""The campaign of faults detects lost and doubled rows, and a few faults, always the same, are survived."""

import dataclasses
import multiprocessing
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random

import pytest

from powerca_sync_tests.helpers import Pair
from powerca_sync_tests.histories.campaign import KINDS, Campaign, Tally, count, plan
from powerca_sync_tests.histories.office import Office
from powerca_sync_tests.histories.runs import Run
from powerca_sync_tests.histories.site import Kind, Site, make_site

pytestmark = pytest.mark.long

ROW = {"org_id": 1, "job_id": 1, "name": "a", "days": 1, "ticked": 0}
EVERY = tuple(KINDS.values())


def test_equal_seeds_choose_equal_faults() -> None:
    one, again, other = (list(islice(plan(seed, EVERY), 300)) for seed in ("a", "a", "b"))
    assert one == again != other


def test_thousand_faults_cover_every_kind_direction_and_mode() -> None:
    faults = list(islice(plan("any", EVERY), 1000))
    times = Counter(fault.kind for fault in faults)
    total = sum(kind.share for kind in EVERY)
    assert {name: abs(times[name] / 1000 - kind.share / total) < 0.02 for name, kind in KINDS.items()} == dict.fromkeys(
        KINDS, True
    )
    for name in ("killed", "cut", "server crashed"):
        ways = Counter((one.direction, one.mode, one.transfer) for one in faults if one.kind == name)
        assert len(ways) == 8, name


def test_lost_and_doubled_rows_are_counted_except_forgotten_ones(shared_pair: Pair) -> None:
    office = Office(shared_pair, "diary", "notes")
    try:
        for number in (1, 2, 3):
            office.insert("desktop", "diary", k=number, **ROW)
        office.insert("mobile", "notes", source="M", k=1, **ROW)
        office.settle()
        assert count(office) == (0, 0)
        shared_pair.target.execute("DELETE FROM diary WHERE k = 2")
        assert count(office) == (1, 0)
        office.copy("desktop", "notes", 0)
        assert count(office) == (1, 1)
        assert count(office, {("diary", 2)}) == (0, 1)
    finally:
        office.close()


def test_lost_or_doubled_row_is_in_the_table_and_fails_the_campaign() -> None:
    tally = Tally()
    assert tally.enter("killed", struck=True, lost=0, doubled=0)
    assert tally.enter("killed", struck=False, lost=0, doubled=0)
    assert tally.all_well
    other = Tally(missing={"clock jumped": "faketime is not installed"})
    assert not other.enter("killed", struck=True, lost=2, doubled=1)
    assert not other.enter("cut", struck=False, lost=0, doubled=0, complaint="a run ended with an error")
    tally.add(other)
    assert not tally.all_well
    lines = [line.split() for line in str(tally).splitlines()]
    assert ["killed", "2", "1", "2", "1"] in lines
    assert ["cut", "1", "0", "0", "0"] in lines
    assert ["all", "3", "1", "2", "1"] in lines
    assert "clock jumped        left out: faketime is not installed" in str(tally)
    assert str(tally).endswith("a run ended with an error")


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Yields two servers that may be crashed."""
    if sys.platform == "win32":
        pytest.skip("the processes of a campaign are killed as POSIX does it")
    multiprocessing.set_forkserver_preload([Run.__module__])
    with tempfile.TemporaryDirectory(prefix="powerca-faults-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)
        with make_site(Path(folder)) as made:
            made.open_office(Random("always the same"), "leave", "notes")
            yield made


@pytest.mark.parametrize(
    "name",
    ["lock timeout", "temp_file_limit", "killed", "cut", "server crashed", "server restored", "pooler restarted"],
)
def test_fault_is_survived(site: Site, name: str) -> None:
    kind = KINDS[name]
    if why := kind.missing(site):
        pytest.skip(why)
    campaign = Campaign(site, "always the same", (kind,))
    (planned,) = islice(plan("always the same", (kind,)), 1)
    campaign.hit(planned)
    assert campaign.tally.all_well, str(campaign.tally)
    if name == "lock timeout":
        assert campaign.tally.survived == {name: 1}, "it always strikes"


def steal_and_copy(site: Site, run: Run, dice: Random) -> bool:
    """Deletes one reverse-synced row from the desktop, and inserts another twice."""
    for number in (1, 2):
        site.office.insert("mobile", "notes", source="M", **ROW | {"k": 9000 + number})
    site.office.reverse()
    site.pair.source.execute("DELETE FROM notes WHERE k = 9001")
    site.office.insert("desktop", "notes", **ROW | {"k": 9002})
    return True


def test_fault_that_is_not_survived_is_detected(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    thief = Kind(name="thief", strike=steal_and_copy, watched=False)
    monkeypatch.setitem(KINDS, "thief", thief)
    campaign = Campaign(site, "always the same", (thief,))
    (planned,) = islice(plan("always the same", (thief,)), 1)
    assert not campaign.hit(planned)
    assert campaign.tally.lost.total() >= 1
    assert campaign.tally.doubled.total() >= 1
    assert not campaign.tally.all_well


def leave_stopped(site: Site, run: Run, dice: Random) -> bool:
    """Fails between the stop and the start of a server."""
    site.machines["mobile"].stop("immediate")
    raise AssertionError("the campaign itself is at fault")


def test_campaign_continues_after_a_fault_leaves_a_server_stopped(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Kind(name="broken", strike=leave_stopped, watched=False)
    monkeypatch.setitem(KINDS, "broken", broken)
    campaign = Campaign(site, "always the same", (broken,))
    (planned,) = islice(plan("always the same", (broken,)), 1)
    assert not campaign.hit(planned)
    assert "the campaign itself is at fault" in campaign.tally.complaints[-1]
    site.open_office(Random("always the same"), "leave", "notes")
    assert campaign.hit(dataclasses.replace(planned, kind="killed"))
