"""Runs by partition: each office with its own desktop, history, checks and alerts."""

import dagster as dg
import pytest

from powerca_sync.defs.alerts.problems import find_problems
from powerca_sync.defs.partitions import latest_event
from powerca_sync.defs.runs import read_past_runs, recent_failures
from powerca_sync_tests.defs.offices.conftest import DEAD, NUMBERS, Company, definitions_by_office

pytestmark = pytest.mark.long

STAFF = dg.AssetKey("staff")


def test_each_office_is_synced_by_its_partition_and_a_dead_one_fails_alone(company: Company) -> None:
    assert not company.run(DEAD).success
    for office in NUMBERS:
        assert company.run(office).success
        assert company.mobile_rows(office) == company.desktop_rows(office)
    # Changes of one office, and a phone row of another.
    company.edit("south", "UPDATE staff SET full_name = 'Renamed' WHERE staff_no = 7")
    company.edit("south", "DELETE FROM staff WHERE staff_no = 9")
    assert company.run("south", "forward_incremental").success
    assert company.run("south").success
    for office in NUMBERS:
        assert company.mobile_rows(office) == company.desktop_rows(office)
    company.mobile.execute("INSERT INTO notices (notice_id, org_id, body, source) VALUES (300, 3, 'On the way', 'M')")
    assert company.run("north", "reverse").success
    assert company.run("west", "reverse").success
    assert company.desktops["west"].execute("SELECT body FROM notices WHERE notice_id = 300").fetchall() == [
        ("On the way",)
    ]
    assert company.desktop_rows("north")["notices"] == [(1, 1, "Closed on Friday")]
    # Checks that compare both databases, and the report.
    assert company.run("west", "checks").success
    report = company.run("west", "report")
    assert report.success
    (event,) = report.get_asset_materialization_events()
    assert event.partition == "west"
    metadata = event.step_materialization_data.materialization.metadata
    assert metadata["office"].value == "west"
    assert len(metadata["last_runs"].value.records) == 2, "a forward and a reverse run, those of the others left out"


def test_history_of_an_office_is_its_own(company: Company) -> None:
    assert company.run("north").success
    company.edit("south", "ALTER TABLE staff RENAME TO gone")
    failed = company.run("south")
    assert not failed.success
    assert [run.failed for run in read_past_runs(company.instance, office="south")] == [True]
    assert [run.failed for run in read_past_runs(company.instance, office="north")] == [False]
    assert len(read_past_runs(company.instance)) == 2
    assert latest_event(company.instance, STAFF, "south") is None
    event = latest_event(company.instance, STAFF, "north")
    assert event
    assert event.dagster_event
    assert event.dagster_event.partition == "north"
    # A later success of another office does not end a backoff.
    assert recent_failures(company.instance, "forward_full", [STAFF], office="south")[STAFF].count == 1
    assert recent_failures(company.instance, "forward_full", [STAFF], office="north") == {}
    assert company.run("north").success
    assert recent_failures(company.instance, "forward_full", [STAFF], office="south")[STAFF].count == 1


def test_failed_check_of_one_office_stays_failed_when_another_succeeds(company: Company) -> None:
    for number in (1, 2):
        company.mobile.execute(
            "INSERT INTO notices (notice_id, org_id, body, source) VALUES (%s, %s, 'Whose?', NULL)",
            [100 + number, number],
        )
    company.mobile.execute("UPDATE notices SET source = 'M' WHERE org_id = 2")
    key = dg.AssetCheckKey(dg.AssetKey("notices"), "unowned_rows")
    for office in ("north", "south"):
        assert company.run(office).success
        assert company.run(office, "checks").success
    found = {
        record.event.dagster_event.asset_check_evaluation_data.partition: record.event.dagster_event
        for record in company.instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
        if record.event and record.event.dagster_event
    }
    passed = {office: event.asset_check_evaluation_data.passed for office, event in found.items()}
    assert passed == {"north": False, "south": True}
    # And the alert of one does not end with the other's success.
    records = company.instance.get_run_records(order_by="create_timestamp", ascending=True)
    problems = find_problems(company.instance, records).outcomes
    assert problems["north: notices, check unowned_rows"]
    assert problems["south: notices, check unowned_rows"] is None
    assert problems["north: forward run"] is None


def test_all_assets_checks_and_jobs_are_partitioned() -> None:
    definitions = definitions_by_office()
    graph = definitions.resolve_asset_graph()
    overview = dg.AssetKey("offices")
    checks = [key for key in graph.asset_check_keys if key.asset_key != overview]
    keys = [*(graph.get_all_asset_keys() - {overview}), *checks]
    assert len(checks) == 4 * 5 + 4 * 2 + 2
    # Of an asset without partitions, so that its checks are those of all offices.
    assert len(graph.asset_check_keys) == len(checks) + 3
    assert {graph.get(key).partitions_def.name for key in keys if graph.get(key).partitions_def} == {"office"}
    assert [key for key in keys if not graph.get(key).partitions_def] == []
    assert all(node.freshness_policy is None for node in graph.asset_nodes)
    assert {sensor.name for sensor in definitions.get_repository_def().sensor_defs} == {
        "offices",
        "desktop_rows",
        "mobile_rows",
        "follow_up",
        "alerts",
    }
    assert [one.name for one in definitions.get_repository_def().schedule_defs] == [
        "overview_schedule",
        "retention_schedule",
    ]


def test_run_without_an_office_may_use_no_database(company: Company) -> None:
    @dg.asset
    def counts() -> None:
        """Needs no database."""

    @dg.asset
    def notices_of_whom() -> str:
        return "rows"

    for asset, succeeds in ((counts, True), (notices_of_whom, False)):
        definitions = dg.Definitions.merge(definitions_by_office(), dg.Definitions(assets=[asset]))
        job = definitions.resolve_implicit_global_asset_job_def()
        result = job.execute_in_process(instance=company.instance, asset_selection=[asset.key], raise_on_error=False)
        assert result.success == succeeds
    assert "has 4 offices. Name one" in str(result.get_step_failure_events()[0].event_specific_data)
