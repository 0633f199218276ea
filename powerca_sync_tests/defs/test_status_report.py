"""The report shows the state of both databases and the history, as numbers and as tables."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from powerca_sync.definitions import defs
from powerca_sync.defs import build_definitions
from powerca_sync.defs.runs import REPORT, directions_of, read_past_runs
from powerca_sync.engine.status import read_status
from powerca_sync.operations import Schedules
from powerca_sync.specs import Reference, in_order
from powerca_sync.tables import TABLES
from powerca_sync_tests.defs.office import ORG, SECRETS, SPECS, Office
from powerca_sync_tests.helpers import spec


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """Yields an instance with a history for each test: the report lists the last runs."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def run_report(office: Office) -> dg.ExecuteInProcessResult:
    """A new report."""
    return build_definitions(SPECS).resolve_job_def("report").execute_in_process(instance=office.instance)


def report(office: Office) -> dict[str, object]:
    """The metadata of a new report, as plain values."""
    (event,) = run_report(office).get_asset_materialization_events()
    return {name: value.value for name, value in event.step_materialization_data.materialization.metadata.items()}


def red_checks(office: Office) -> set[str]:
    """The checks of a new report that fail as errors."""
    return {
        check.check_name
        for check in run_report(office).get_asset_check_evaluations()
        if not check.passed and check.severity is dg.AssetCheckSeverity.ERROR
    }


def lines(table: object) -> list[list[str]]:
    """Returns the cells of a table."""
    assert isinstance(table, dg.TableMetadataValue)
    return [[str(cell) for cell in record.data.values()] for record in table.records]


def least_width(table: object) -> float:
    """Returns the pixels below which Dagster's page does not shrink a table: headers and words are not wrapped."""
    assert isinstance(table, dg.TableMetadataValue)
    longest = max(len(spec.mobile) for spec in TABLES)
    width = 0.0
    for name in table.records[0].data:
        words = [word for record in table.records for word in re.split("[ -]", str(record.data[name]))]
        characters = longest if name == "table" else max(map(len, words))
        width += max(7.2 * len(name), 8.4 * characters) + 16
    return width


def test_report_has_a_job_and_schedule_of_its_own() -> None:
    for name in ("forward_full", "forward_incremental", "reverse"):
        assert REPORT not in defs.resolve_job_def(name).asset_layer.executable_asset_keys
    assert defs.resolve_job_def("report").asset_layer.executable_asset_keys == {REPORT}
    schedule = defs.resolve_schedule_def("report_schedule")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("10 * * * *", "Asia/Kolkata")
    off = Schedules(crons={**Schedules().crons, "POWERCA_STATUS_CRON": ""})
    assert not build_definitions(SPECS, schedules=off).get_repository_def().has_schedule_def("report_schedule")


def test_first_report_is_requested_without_waiting_for_the_schedule(office: Office) -> None:
    definitions = build_definitions(SPECS)
    sensor = definitions.get_repository_def().get_sensor_def("first_report")

    def tick() -> str | None:
        """Returns the reason of the tick; None if it requests the report."""
        with dg.build_sensor_context(instance=office.instance) as context:
            data = sensor.evaluate_tick(context)
        assert bool(data.run_requests) is (data.skip_message is None)
        return data.skip_message

    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert tick() is None
    with pytest.MonkeyPatch.context() as unreachable:
        unreachable.setenv("SUPABASE_DB_PORT", "1")
        job = definitions.resolve_job_def("report")
        assert not job.execute_in_process(instance=office.instance, raise_on_error=False).success
    assert tick() == "The last attempt failed. Next attempt in 2 min."
    run_report(office)
    assert tick() == "There is a report; the schedule renews it."
    off = Schedules(crons={**Schedules().crons, "POWERCA_STATUS_CRON": ""})
    assert not build_definitions(SPECS, schedules=off).get_repository_def().has_sensor_def("first_report")


def test_report_before_any_sync_says_what_to_do(office: Office) -> None:
    shown = report(office)
    assert (shown["tables"], shown["desktop_rows"], shown["failed_of_last_30_runs"]) == (0, 0, 0)
    assert shown["verdict"] == "1 thing needs attention."
    assert "Run the job `forward_full`" in lines(shown["attention"])[0][1]
    assert not {"last_runs", "by_table", "office"} & set(shown)


def test_report_begins_with_all_well_in_the_offices_time(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POWERCA_OFFICE", "Rao & Co")
    office.run()
    active = office.instance.create_run_for_job(build_definitions(SPECS).resolve_job_def("forward_full"))
    assert active.status is dg.DagsterRunStatus.NOT_STARTED
    shown = report(office)
    assert list(shown)[:2] == ["verdict", "office"]
    assert (shown["verdict"], shown["office"], shown["failed_of_last_30_runs"]) == ("All well.", "Rao & Co", 0)
    assert "attention" not in shown
    assert red_checks(office) == set()
    now = datetime.now(ZoneInfo("Asia/Kolkata"))
    times = {(now - timedelta(minutes=minutes)).strftime("%d\xa0%b\xa0%H:%M") for minutes in range(5)}
    assert {line[1] for line in lines(shown["by_table"])} <= times


def test_report_has_rows_freshness_and_quarantine_of_each_table(office: Office) -> None:
    office.pair.source.execute("UPDATE staff SET dept_id = 99 WHERE staff_no = 7")
    office.run()
    office.pair.target.execute("INSERT INTO staff (org_id, staff_no, dept_id, source) VALUES (1, 500, 10, 'M')")
    shown = report(office)
    counts = ("tables", "tables_with_errors", "tables_never_synced", "desktop_rows", "phone_rows", "quarantined_rows")
    assert [shown[name] for name in counts] == [4, 0, 0, 43, 1, 1]
    assert 0 <= float(str(shown["hours_since_oldest_sync"])) <= 0.1
    (staff,) = (line for line in lines(shown["by_table"]) if line[0] == "staff")
    assert staff[2:] == ["39", "1"]
    assert lines(shown["quarantine_by_reason"]) == [
        ["staff", "mobile", "1", "dept_id has no matching row in departments"]
    ]
    assert lines(shown["attention"]) == [["staff", "1 row quarantined: dept_id has no matching row in departments."]]
    assert red_checks(office) == {"rows_in_order"}


def test_unowned_rows_of_no_office_need_attention(office: Office) -> None:
    office.run()
    office.pair.target.execute("ALTER TABLE staff ALTER org_id DROP NOT NULL")
    office.pair.target.execute("INSERT INTO staff (org_id, staff_no, source) VALUES (NULL, 501, 'x'), (NULL, 502, 'S')")
    shown = report(office)
    assert lines(shown["attention"]) == [["staff", "1 row without an owner."]]
    assert lines(shown["remarks"]) == [["staff", "1 row of an administrator"]]
    assert shown["other_rows"] == 2


def test_phone_rows_without_organisation_count_by_who_made_them(office: Office) -> None:
    notes = spec(
        *("notes", "note_id"),
        office="org_id",
        made_by="dept_id",
        references=(ORG, Reference(column="dept_id", parent="departments", order_only=True)),
    )
    office.pair.source.execute("CREATE TABLE notes (note_id int, org_id int, dept_id int)")
    office.pair.target.execute("CREATE TABLE notes (note_id int PRIMARY KEY, org_id int, dept_id int, source char(1))")
    specs = in_order((*SPECS, notes))
    office.pair.source.execute("INSERT INTO notes VALUES (1, 1, 99)")
    office.run(specs=specs)
    office.pair.target.execute("INSERT INTO notes VALUES (2, NULL, 10, 'M')")
    status = read_status(office.pair.settings, specs)
    (table,) = (table for table in status.tables or () if table.table == "notes")
    (phones,) = (table for table in status.phones or () if table.table == "notes")
    assert table.contents is not None
    assert (table.contents.desktop, table.contents.phone, phones.phone_rows) == (1, 1, 1)
    assert table.contents.orphans == (), "an order-only reference may dangle"


def test_report_counts_pending_and_reverse_synced_phone_rows(office: Office) -> None:
    office.run()
    office.pair.target.execute("INSERT INTO staff (org_id, staff_no, dept_id, source) VALUES (1, 500, 10, 'M')")
    assert (report(office)["phone_rows_waiting"], report(office)["phone_rows_pulled"]) == (1, 0)
    job = build_definitions(SPECS).resolve_job_def("reverse")
    assert job.execute_in_process(instance=office.instance).success
    shown = report(office)
    assert (shown["phone_rows_waiting"], shown["phone_rows_pulled"]) == (0, 1)
    (staff,) = (line for line in lines(shown["phone_rows_by_table"]) if line[0] == "staff")
    assert staff == ["staff", "1", "1"]


def test_report_lists_the_last_runs_newest_first(office: Office) -> None:
    office.run()
    office.pair.source.execute("UPDATE departments SET title = 'Taxes' WHERE dept_id = 20")
    report(office)
    office.run("incremental")
    office.pair.target.execute("DROP TABLE notices")
    office.run()
    shown = report(office)
    listed = lines(shown["last_runs"])
    assert [(line[1], line[2]) for line in listed] == [
        ("forward_full", "FAILURE"),
        ("forward_incremental", "SUCCESS"),
        ("forward_full", "SUCCESS"),
    ]
    assert listed[-1][3] == "44"
    # A window of 1600 pixels has so many for a value.
    assert {name: width for name in ("by_table", "last_runs") if (width := least_width(shown[name])) > 435} == {}
    assert (shown["failed_of_last_30_runs"], shown["tables_with_errors"]) == (1, 1)
    assert float(str(shown["mean_seconds_per_forward_run"])) > 0
    assert [line[0] for line in lines(shown["attention"])] == ["notices"]
    assert red_checks(office) == {"sync_works"}


def test_report_without_the_desktop_has_the_state_of_mobile(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    office.run()
    office.pair.target.execute("INSERT INTO staff (org_id, staff_no, dept_id, source) VALUES (1, 500, 10, 'M')")
    monkeypatch.setenv("LOCAL_DB_PORT", "1")
    shown = report(office)
    assert "connecting to desktop" in lines(shown["attention"])[0][1]
    assert shown["desktop_rows"] == 44
    assert "phone_rows_by_table" not in shown
    assert shown["by_table"].records[0].data.keys() == {"table", "last sync", "desktop", "phones"}  # type: ignore[attr-defined]


def test_report_has_no_password_and_no_sensitive_value(office: Office) -> None:
    office.pair.target.execute("ALTER TABLE staff ADD CHECK (login <> 'pw-9')")
    office.run()
    shown = str(report(office))
    for secret in (*SECRETS, "pw-9"):
        assert secret not in shown


def test_manual_run_of_single_tables_has_a_direction(office: Office) -> None:
    definitions = build_definitions(SPECS)
    for key in (dg.AssetKey("orgs"), dg.AssetKey(["reverse", "orgs"]), REPORT):
        by_hand = definitions.resolve_implicit_job_def_def_for_assets([key])
        assert by_hand is not None
        run = office.instance.create_run_for_job(by_hand, asset_selection=frozenset({key}))
        wanted = {"orgs": ("forward",), "reverse": ("reverse",), "status_report": ()}
        assert directions_of(office.instance, run) == wanted[key.path[0]]
    assert [(run.job, run.direction, run.seconds) for run in read_past_runs(office.instance)] == [
        ("by hand", "reverse", None),
        ("by hand", "forward", None),
    ]
