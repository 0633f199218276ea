"""Alerts where one instance serves several offices: to their own addresses, and a digest to the vendor."""

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from powerca_sync.defs.alerts.problems import find_problems
from powerca_sync.defs.alerts.sensor import DIGEST
from powerca_sync.errors import ConfigurationError
from powerca_sync_tests.defs.alerts.mailbox import WebHook
from powerca_sync_tests.defs.offices.conftest import DEAD, NUMBERS, Company, definitions_by_office

pytestmark = pytest.mark.long


@dataclasses.dataclass(frozen=True, kw_only=True)
class Post:
    """The offices, and the hooks of the vendor and of two of the offices."""

    company: Company
    vendor: WebHook
    north: WebHook
    south: WebHook
    monkeypatch: pytest.MonkeyPatch

    def tick(self, *, after: float = 0.0) -> str:
        """Evaluates the sensor, so many seconds later."""
        later = time.time() + after
        with self.monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda: later)
            return str(self.company.tick("alerts").skip_message)

    def write_alert(self, office: str, addresses: str) -> None:
        """Writes the key into the office's entry."""
        file = self.company.file
        file.write_text(file.read_text().replace(f"[office.{office}]\n", f"[office.{office}]\nalert = {addresses}\n"))


@pytest.fixture
def post(company: Company, monkeypatch: pytest.MonkeyPatch) -> Iterator[Post]:
    with WebHook() as vendor, WebHook() as north, WebHook() as south:
        monkeypatch.setenv("POWERCA_ALERT_URLS", vendor.url)
        made = Post(company=company, vendor=vendor, north=north, south=south, monkeypatch=monkeypatch)
        made.write_alert("north", f'["{north.url}"]')
        made.write_alert("south", f'["{south.url}"]')
        yield made


def body(message: dict[str, Any]) -> str:
    return str(message["message"])


def test_office_is_told_of_its_own_problems_and_the_vendor_of_all(post: Post) -> None:
    company = post.company
    for office in NUMBERS:
        assert company.run(office).success
    post.tick(after=DIGEST + 1)
    assert (post.vendor.messages, post.north.messages) == ([], [])
    for office in ("north", "west"):
        company.edit(office, "ALTER TABLE staff RENAME TO gone")
        assert not company.run(office).success
    assert post.tick() == "Runs that ended: 2. New messages: 1. Unsent: 0.", "the digest waits"
    assert [message["title"] for message in post.north.messages] == ["[X] north: forward_full: 1 problem"]
    assert "north: staff failed" in body(post.north.messages[0])
    assert "west" not in body(post.north.messages[0])
    assert post.vendor.messages == []
    post.tick(after=DIGEST + 1)
    (digest,) = post.vendor.messages
    assert digest["title"] == "[X] powerca_sync: forward_full: 2 problems in 2 offices"
    assert "[X] 2 offices (north, west): staff failed: " in body(digest)
    assert post.south.messages == []
    # The alert of one ends when that one is well, whoever else succeeds.
    assert company.run("south").success
    post.tick(after=DIGEST + 1)
    assert (len(post.vendor.messages), len(post.north.messages)) == (1, 1)
    company.edit("north", "ALTER TABLE gone RENAME TO staff")
    assert company.run("north").success
    post.tick(after=2 * DIGEST + 2)
    assert "[OK] Solved: north: staff." in body(post.north.messages[1])
    assert "Not solved yet" not in body(post.north.messages[1])
    assert "[OK] Solved: north: staff." in body(post.vendor.messages[1])
    assert "Not solved yet: west: staff." in body(post.vendor.messages[1])


def test_storm_is_one_message(post: Post) -> None:
    offices = [f"o{number}" for number in range(20)]
    entries = "".join(
        f'[office.{key}]\nhost = "127.0.0.1"\nport = {number + 1}\npassword_file = "password"\nname = "of_{key}"\n'
        for number, key in enumerate(offices)
    )
    post.company.file.write_text(post.company.file.read_text() + entries)
    post.company.instance.add_dynamic_partitions("office", offices)
    for place, office in enumerate(offices):
        assert not post.company.run(office, asset_selection=[dg.AssetKey("orgs")]).success
        if place % 7 == 0:
            post.tick()
    assert post.vendor.messages == []
    post.tick(after=DIGEST + 1)
    (digest,) = post.vendor.messages
    assert digest["title"].endswith(": 20 problems in 20 offices")
    lines = [line for line in body(digest).splitlines() if line.startswith("[X]")]
    assert len(lines) == 1
    assert lines[0].startswith("[X] 20 offices (o0, o1, o2, ")
    assert "): orgs failed: " in lines[0]
    assert "127.0.0.1:1/of_o0" in lines[0]
    assert lines[0].endswith(" (and 19 other reasons of this kind)")
    assert len(body(digest)) < 4000


def test_offices_are_told_without_an_address_of_the_vendor(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POWERCA_ALERT_URLS", "")
    post.company.edit("south", "ALTER TABLE staff RENAME TO gone")
    assert not post.company.run("south").success
    assert not post.company.run(DEAD).success
    assert post.tick() == "Runs that ended: 2. New messages: 1. Unsent: 0."
    assert (len(post.south.messages), post.north.messages) == (1, [])
    post.company.file.write_text(post.company.file.read_text().replace("alert = ", "# "))
    assert "Nobody is told" in post.tick()


def test_unknown_address_of_an_office_is_named_and_never_shown(post: Post) -> None:
    post.write_alert("west", '["pigeon://west-secret"]')
    with pytest.raises(ConfigurationError, match="recipient 1 of office west") as caught:
        post.tick()
    assert "west-secret" not in str(caught.value)


def test_vendor_is_told_of_offices_where_nothing_runs(company: Company) -> None:
    assert company.run("north").success
    company.mobile.execute("UPDATE powerca_sync.table_state SET synced_at = synced_at - interval '30 hours'")
    job = definitions_by_office().resolve_job_def("overview")
    assert job.execute_in_process(instance=company.instance).success
    records = company.instance.get_run_records(order_by="create_timestamp", ascending=True)
    found = find_problems(company.instance, records).outcomes
    assert {key for key, problem in found.items() if problem} == {"offices, check fresh"}
    assert "north: orgs: It was last synced 30 hours ago." in str(found["offices, check fresh"])
