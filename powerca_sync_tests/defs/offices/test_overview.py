"""The asset `offices`: who needs attention, for all offices of a mobile database at once."""

import time
from datetime import UTC
from typing import Any

import pytest

from powerca_sync.defs.offices import office_view
from powerca_sync.defs.offices.office_view import OfficeView
from powerca_sync.defs.offices.overview import LINES, SHOWN, _check, describe_offices
from powerca_sync.defs.retention import old_runs
from powerca_sync.operations import History
from powerca_sync_tests.defs.offices.conftest import DEAD, NUMBERS, Company, definitions_by_office

pytestmark = pytest.mark.long


class Overview:
    """A materialization of the asset."""

    def __init__(self, company: Company) -> None:
        job = definitions_by_office().resolve_job_def("overview")
        result = job.execute_in_process(instance=company.instance)
        (event,) = result.get_asset_materialization_events()
        self.metadata = {
            name: value.value for name, value in event.step_materialization_data.materialization.metadata.items()
        }
        self.checks = {one.check_name: one for one in result.get_asset_check_evaluations()}

    @property
    def verdict(self) -> str:
        return self.metadata["verdict"]

    @property
    def lines(self) -> dict[str, dict[str, Any]]:
        return {record.data["office"]: record.data for record in self.metadata["offices"].records}

    @property
    def attention(self) -> dict[str, str]:
        return {record.data["office"]: record.data["what"] for record in self.metadata["attention"].records}

    def offenders(self, check: str) -> dict[str, list[str]]:
        """Returns what a check says of each office; nothing if it passed."""
        found: dict[str, list[str]] = {}
        if not self.checks[check].passed:
            for record in self.checks[check].metadata["offices"].value.records:
                found.setdefault(record.data["office"], []).append(record.data["what"])
        return found


@pytest.fixture
def synced(company: Company) -> Company:
    """Returns the offices after a full and a reverse run, without the dead one."""
    text = company.file.read_text()
    company.file.write_text(
        text.replace(f'[office.{DEAD}]\nhost = "127.0.0.1"\nport = 1\npassword_file = "password"\n', "")
    )
    for office in NUMBERS:
        assert company.run(office).success
        assert company.run(office, "reverse").success
    return company


def test_offices_that_are_well_are_called_so(synced: Company) -> None:
    seen = Overview(synced)
    assert seen.verdict == "All 3 offices are well."
    assert all(check.passed for check in seen.checks.values()), [one.description for one in seen.checks.values()]
    assert list(seen.lines) == [*NUMBERS]
    line = seen.lines["south"]
    assert set(line) == {"office", "to mobile", "to desktop", "oldest table"}
    assert seen.metadata["all_offices"] == 3
    # A failure of one is its own.
    synced.edit("west", "ALTER TABLE staff RENAME TO gone")
    assert not synced.run("west").success
    seen = Overview(synced)
    assert seen.verdict == "1 of 3 offices needs attention: west."
    assert list(seen.lines) == ["west", "north", "south"]
    assert [(office, "staff: " in what) for office, what in seen.attention.items()] == [("west", True)]
    assert set(seen.offenders("well")) == {"west"}
    assert (seen.offenders("fresh"), seen.offenders("reachable")) == ({}, {})
    synced.edit("west", "ALTER TABLE gone RENAME TO staff")
    assert synced.run("west").success
    assert Overview(synced).verdict == "All 3 offices are well."


def test_failed_check_is_listed_until_that_office_is_well(synced: Company) -> None:
    synced.mobile.execute("INSERT INTO notices (notice_id, org_id, body, source) VALUES (101, 1, 'Whose?', NULL)")
    synced.mobile.execute("UPDATE notices SET body = 'Altered' WHERE notice_id = 2")
    assert synced.run("north", "checks").success
    assert synced.run("south", "checks").success
    seen = Overview(synced)
    assert seen.verdict.startswith("2 of 3 offices need attention: ")
    assert "notices unowned_rows" in seen.offenders("well")["north"][0]
    assert "notices parity" in seen.offenders("well")["south"][0]
    assert "unowned_rows" not in seen.offenders("well")["south"][0]
    synced.mobile.execute("UPDATE notices SET body = 'Closed on Friday' WHERE notice_id = 2")
    assert synced.run("south", "checks").success
    assert set(Overview(synced).offenders("well")) == {"north"}, "south's success is not north's"
    synced.mobile.execute("DELETE FROM notices WHERE notice_id = 101")
    assert synced.run("north", "checks").success
    assert Overview(synced).verdict == "All 3 offices are well."


def test_office_that_is_away_is_shown_with_what_is_known(synced: Company) -> None:
    Overview(synced)
    text = synced.file.read_text()
    before, mark, after = text.partition("[office.south]")
    synced.file.write_text(
        f"{before}{mark}{after.replace('host', 'port = 1 # host', 1)}".replace(
            "[office.south]", '[office.south]\nhost = "127.0.0.1"'
        )
    )
    synced.file.write_text(
        synced.file.read_text()
        + f'[office.{DEAD}]\nhost = "127.0.0.1"\nport = 1\nname = "other"\npassword_file = "password"\n[office.wrong]\n'
    )
    # Its failure is not that of the only registered office.
    synced.mobile.execute("DELETE FROM powerca_sync.office WHERE org_id <> '1'")
    assert not synced.run(DEAD).success
    assert synced.mobile.execute("SELECT * FROM powerca_sync.failure").fetchall() == []
    seen = Overview(synced)
    assert seen.verdict.startswith("3 of 5 offices need attention: ")
    assert set(list(seen.lines)[:3]) == {DEAD, "south", "wrong"}
    assert set(seen.offenders("reachable")) == {DEAD, "south", "wrong"}
    assert "connecting to desktop" in seen.offenders("reachable")["south"][0]
    assert (
        "has no `host`" in seen.offenders("reachable")["wrong"][0]
        or "neither" in seen.offenders("reachable")["wrong"][0]
    )
    assert seen.lines["south"]["to mobile"] == seen.lines["north"]["to mobile"]
    assert set(seen.offenders("fresh")) == {DEAD}
    assert (seen.lines["south"]["away"], seen.lines["north"]["away"]) == ("yes", "")


def test_mobile_database_that_is_away_is_named_at_its_offices(synced: Company) -> None:
    synced.file.write_text(synced.file.read_text().replace('[mobile.main]\nhost = "', '[mobile.main]\nhost = "/no'))
    seen = Overview(synced)
    assert seen.verdict == "3 of 3 offices need attention: north, south, west."
    assert all("connecting to mobile" in why[0] for why in seen.offenders("reachable").values())
    assert seen.offenders("fresh") == {}


def test_late_tables_quarantine_conflicts_and_pending_rows_are_those_of_the_office(
    synced: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced.mobile.execute("UPDATE powerca_sync.table_state SET synced_at = synced_at - interval '25 hours'")
    assert Overview(synced).offenders("fresh") == {}
    synced.mobile.execute(
        "UPDATE powerca_sync.table_state AS t SET synced_at = synced_at - interval '5 hours'"
        " FROM powerca_sync.office AS o WHERE o.office = t.office AND o.org_id = '2' AND t.table_name = 'staff'"
    )
    synced.mobile.execute(
        "INSERT INTO notices (notice_id, org_id, body, source) VALUES (201, 1, 'New', 'M'), (202, 1, 'New', 'M')"
    )
    synced.edit("west", "INSERT INTO staff VALUES (3, 99, 999, 'Nowhere', 'x')")
    assert synced.run("west").success
    seen = Overview(synced)
    assert seen.offenders("fresh") == {"south": ["staff: It was last synced 30 hours ago."]}
    assert seen.lines["south"]["oldest table"].startswith("staff ")
    assert [seen.lines[office].get("pending") for office in NUMBERS] == ["2", "0", "0"]
    assert [seen.lines[office].get("quarantined") for office in NUMBERS] == ["0", "0", "1"]
    assert set(seen.offenders("well")) == {"west"}
    assert synced.run("north", "reverse").success
    assert "pending" not in Overview(synced).lines["north"]


def test_mobile_is_asked_once_for_all_offices(synced: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    read = office_view.read_offices_on_mobile
    monkeypatch.setattr(
        office_view, "read_offices_on_mobile", lambda *args, **options: asked.append(1) or read(*args, **options)
    )
    assert Overview(synced).verdict == "All 3 offices are well."
    assert len(asked) == 1


def test_many_offices_make_a_short_table() -> None:
    views = [OfficeView(key=f"o{number}", away="x" * 1000) for number in range(600)]
    metadata = describe_offices(views, {}, zone=UTC)
    assert len(metadata["offices"].records) == SHOWN
    assert metadata["not_shown"] == "540 offices after these."
    assert metadata["verdict"].startswith("600 of 600 offices need attention: o0, o1, ")
    assert metadata["verdict"].endswith(", o9 and 590 others.")
    assert len(str(metadata["offices"])) < 50_000


def test_check_of_many_offices_has_a_short_table() -> None:
    result = _check("well", {f"o{number}": ["Reason."] * 3 for number in range(600)}, "Well.")
    assert len(result.metadata["offices"].records) == LINES  # type: ignore[union-attr]
    assert result.metadata["number_of_offices"].value == 600
    assert result.metadata["not_shown"].value == "1600 lines after these."
    assert (result.description or "").endswith("and 590 others.")


def test_history_is_read_of_offices_with_failures_only(synced: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    read, of = office_view.read_past_runs, []
    monkeypatch.setattr(
        office_view, "read_past_runs", lambda *args, **options: of.append(options["office"]) or read(*args, **options)
    )
    Overview(synced)
    assert of == []
    synced.edit("west", "ALTER TABLE staff RENAME TO gone")
    assert not synced.run("west").success
    Overview(synced)
    assert of == ["west"]


def test_retention_keeps_the_last_run_of_each_office(synced: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    for office in ("north", "south", "north"):
        assert synced.run(office).success
        assert synced.run(office, "checks").success
    last = {}
    for run in synced.instance.get_runs():
        last.setdefault((run.tags["dagster/partition"], run.job_name), run.run_id)
    later = time.time() + 40 * 86400
    monkeypatch.setattr(time, "time", lambda: later)
    checks = list(definitions_by_office().resolve_asset_graph().asset_check_keys)
    gone = {run.run_id for run in old_runs(synced.instance, History(days=30), checks)}
    assert gone == {run.run_id for run in synced.instance.get_runs()} - set(last.values())
    assert len(gone) == 2 + 1 + 1
