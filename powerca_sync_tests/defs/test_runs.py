"""Runs of the jobs on real servers: the rows written, what Dagster shows, and the effects of a failure."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psycopg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from powerca_sync.defs.keys import DESKTOP
from powerca_sync.defs.metadata import figures_of
from powerca_sync.defs.output_handle import OutputHandle
from powerca_sync.defs.runs import REPORT, words_of
from powerca_sync.engine.requests import TableExtract, TextRows
from powerca_sync.specs import in_order
from powerca_sync_tests.defs.office import (
    DEPARTMENT,
    DEPARTMENTS,
    NOTICES,
    ORG,
    SECRETS,
    Office,
    attempts,
    failure,
    figures,
    materialized,
    office_definitions,
)
from powerca_sync_tests.helpers import ORGS, spec

TABLES = {"orgs", "departments", "staff", "notices"}


@pytest.fixture
def table_lock(office: Office) -> Iterator[psycopg.Connection]:
    """Holds the lock of the table `staff`, as another run does, until this connection ends its transaction."""
    with office.pair.target.__class__.connect(office.pair.target.info.dsn) as other:
        other.execute("SELECT pg_advisory_xact_lock(hashtextextended('powerca_sync:staff', 0))")
        yield other


def checks(result: dg.ExecuteInProcessResult, table: str, name: str = "foreign_keys") -> dg.AssetCheckEvaluation:
    wanted = (dg.AssetKey(table), name)
    (check,) = (
        check for check in result.get_asset_check_evaluations() if (check.asset_key, check.check_name) == wanted
    )
    return check


def test_full_run_syncs_every_table_parents_first(office: Office) -> None:
    result = office.run()
    assert result.success
    assert materialized(result) == TABLES
    assert office.pair.rows("SELECT count(*), count(DISTINCT title) FROM staff WHERE source = 'D'") == [(40, 2)]
    counts = {name: figures(result, "staff")[name] for name in ("extracted", "staged", "inserted", "dagster/row_count")}
    assert counts == {"extracted": 40, "staged": 40, "inserted": 40, "dagster/row_count": 40}


def test_second_run_writes_nothing(office: Office) -> None:
    office.run()
    before = {table: office.pair.text(table) for table in TABLES}
    result = office.run()
    assert result.success
    assert {table: office.pair.text(table) for table in TABLES} == before
    assert figures(result, "staff")["unchanged"] == 40


def unsynced(instance: dg.DagsterInstance) -> dict[str, list[str]]:
    """Returns the reasons for which the UI calls assets unsynced. All of them have been materialized."""
    graph = office_definitions().resolve_asset_graph()
    status = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
    keys = graph.get_all_asset_keys() - {REPORT}
    assert not [key for key in keys if status.get_status(key) is StaleStatus.MISSING]
    causes = {key.to_user_string(): status.get_stale_causes(key) for key in keys}
    return {name: [cause.reason for cause in found] for name, found in causes.items() if found}


def test_nothing_is_unsynced_after_runs_in_any_order(office: Office) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        office.instance = instance
        office.pull("notices")
        office.run()
        office.pull("departments", "staff", "orgs")
        assert unsynced(instance) == {}
        office.pair.source.execute("UPDATE notices SET body = 'Open on Friday'")
        office.pair.source.execute("UPDATE departments SET title = 'Taxes' WHERE dept_id = 20")
        office.phone_writes("Closed on Monday")
        office.run("incremental")
        assert unsynced(instance) == {}
        office.pull("notices")
        assert unsynced(instance) == {}


def test_run_leaves_no_connection_open(office: Office) -> None:
    def connected() -> list[tuple[object, ...]]:
        query = (
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
        )
        return [*office.pair.rows(query), *office.pair.rows(query, office.pair.source)]

    before = connected()
    office.run()
    assert connected() == before


def test_incremental_run_names_the_tables_read_in_full(office: Office) -> None:
    office.run()
    office.pair.source.execute("UPDATE departments SET title = 'Taxes' WHERE dept_id = 20")
    result = office.run("incremental")
    assert result.success
    departments, staff = figures(result, "departments"), figures(result, "staff")
    assert (departments["mode_effective"], departments["extracted"], departments["updated"]) == ("incremental", 1, 1)
    assert "mode_reason" not in departments
    assert (staff["mode_requested"], staff["mode_effective"]) == ("incremental", "full")
    assert "mobile generates the primary key" in str(staff["mode_reason"])


def test_full_run_records_the_state_of_the_desktops_tables(office: Office) -> None:
    def recorded(result: dg.ExecuteInProcessResult) -> dict[str, object]:
        keys = {one.asset_key for one in result.get_asset_materialization_events() if one.asset_key}
        names = [key.to_user_string() for key in keys if key.path[0] == DESKTOP]
        return {name: figures(result, name)["dagster/row_count"] for name in names}

    assert recorded(office.run()) == {
        **{"desktop/orgs": 1, "desktop/departments": 2},
        **{"desktop/staff": 40, "desktop/notices": 1},
    }
    assert recorded(office.run("incremental")) == {}


def test_refusal_names_the_launchpads_setting_and_has_one_stack_trace(office: Office) -> None:
    office.run()
    office.pair.source.execute("DELETE FROM staff WHERE staff_no > 5")
    (event,) = (event for event in office.run().get_step_failure_events() if event.step_key == "staff")
    assert "`allow_mass_delete: true` of the resource `sync` in the launchpad" in words_of(event)
    assert "--allow" not in str(event.event_specific_data)
    error = event.step_failure_data.error
    assert error is not None
    assert error.cause is None
    assert error.context is None


def test_checks_of_a_table_that_is_in_order_say_so(office: Office) -> None:
    result = office.run()
    told = {name: checks(result, "staff", name).description for name in ("foreign_keys", "rows")}
    assert told == {
        "foreign_keys": "No row has a dangling foreign key.",
        "rows": "No row is quarantined for its values, stale or foreign; the run wrote no phone row.",
    }


def test_metadata_has_the_counts_as_numbers(office: Office) -> None:
    shown = figures(office.run(), "staff")
    for name in ("updated", "unchanged", "deleted", "kept_mobile", "echo", "quarantined", "superseded", "stale"):
        assert shown[name] == 0
    assert isinstance(shown["bytes"], int)
    phases = [name for name in shown if name.startswith("seconds_")]
    assert sum(float(str(shown[name])) for name in phases) == pytest.approx(shown["seconds"])
    schema = shown["dagster/column_schema"]
    assert isinstance(schema, dg.TableSchema)
    assert [(column.name, column.type) for column in schema.columns] == [
        ("org_id", "integer"),
        ("staff_no", "integer"),
        ("dept_id", "integer"),
        ("title", "text"),
        ("full_name", "character varying(40)"),
        ("login", "text"),
    ]


def test_metadata_is_stored_once_and_without_figures_of_zero_unless_plotted(office: Office) -> None:
    result = office.run()
    handled = [event for event in result.all_events if event.event_type is dg.DagsterEventType.HANDLED_OUTPUT]
    assert [event.event_specific_data.metadata for event in handled] == [{}] * len(TABLES)
    (event,) = (event for event in result.get_asset_materialization_events() if event.asset_key == dg.AssetKey("staff"))
    shown = event.step_materialization_data.materialization.metadata
    assert {"updated", "deleted", "quarantined"} <= set(shown)
    assert not {"kept_mobile", "stale", "echo", "dagster/column_lineage"} & set(shown)
    assert figures_of(shown)["kept_mobile"] == 0


def test_row_count_goes_on_in_an_incremental_run(office: Office) -> None:
    office.run()
    office.pair.source.execute("INSERT INTO departments VALUES (30, 1, 'Law')")
    for _ in range(2):
        shown = figures(office.run("incremental"), "departments")
        assert (shown["mode_effective"], shown["dagster/row_count"]) == ("incremental", 3)


def test_quarantined_rows_are_listed_with_reason_and_key(office: Office) -> None:
    office.pair.source.execute("UPDATE staff SET dept_id = 99 WHERE staff_no = 7")
    shown = figures(office.run(), "staff")
    assert (shown["quarantined"], shown["filtered"]) == (1, 1)
    samples = shown["quarantine_samples"]
    assert isinstance(samples, dg.TableMetadataValue)
    assert [record.data for record in samples.records] == [
        {"reason": "reference", "why": "dept_id=99 has no matching row in departments", "org_id": "1", "staff_no": "7"}
    ]
    reasons = shown["quarantine_reasons"]
    assert isinstance(reasons, dg.TableMetadataValue)
    assert [record.data for record in reasons.records] == [
        {
            "rows": 1,
            "why": "dept_id has no matching row in departments",
            "reason": "reference",
            "column": "dept_id",
            "parent": "departments",
        }
    ]


def test_few_rows_without_their_parent_pass_the_check(office: Office) -> None:
    office.pair.source.execute("INSERT INTO staff SELECT 1, n, 10 FROM generate_series(100, 300) AS n")
    office.pair.source.execute("UPDATE staff SET dept_id = 99 WHERE staff_no = 7")
    check = checks(office.run(), "staff")
    assert check.passed
    assert check.metadata["dept_id without departments"].value == 1
    assert check.metadata["share"].value == 0.0041, "of 241 rows"


def test_many_rows_without_their_parent_warn_without_failing(office: Office) -> None:
    office.pair.source.execute("UPDATE staff SET dept_id = 99 WHERE staff_no <= 3")
    result = office.run()
    assert result.success
    check = checks(result, "staff")
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert check.metadata["rows_filtered"].value == 3
    assert check.metadata["dept_id without departments"].value == 3
    assert check.metadata["share"].value == pytest.approx(3 / 40)


def test_incremental_run_of_quarantined_rows_alone_does_not_warn(office: Office) -> None:
    memos = spec("memos", "memo_id", office="org_id", references=(ORG, DEPARTMENT))
    office.pair.source.execute(
        "CREATE TABLE memos AS SELECT n AS memo_id, 1 AS org_id, 10 AS dept_id FROM generate_series(1, 200) AS n;"
        "UPDATE memos SET dept_id = 99 WHERE memo_id = 1"
    )
    office.pair.target.execute("CREATE TABLE memos (memo_id int PRIMARY KEY, org_id int, dept_id int, source char(1))")
    specs = in_order((ORGS, DEPARTMENTS, memos))
    office.run(specs=specs)
    result = office.run("incremental", specs=specs)
    assert (figures(result, "memos")["extracted"], figures(result, "memos")["filtered"]) == (1, 1)
    assert checks(result, "memos").passed


def test_failed_table_stops_only_its_dependents(office: Office) -> None:
    office.pair.target.execute("DROP TABLE departments")
    result = office.run()
    assert not result.success
    assert materialized(result) == {"orgs", "notices"}
    assert attempts(result, "staff") == 0
    assert office.pair.one("SELECT count(*) FROM staff") == 0


def test_missing_table_is_not_retried(office: Office) -> None:
    office.pair.target.execute("DROP TABLE notices")
    result = office.run()
    assert attempts(result, "notices") == 1
    assert "Table `notices` does not exist on mobile" in failure(result, "notices")
    assert "SchemaMismatchError" in failure(result, "notices")


def test_table_locked_by_another_run_is_retried(office: Office, table_lock: psycopg.Connection) -> None:
    result = office.run()
    assert attempts(result, "staff") == 2
    assert "is being synced by another run" in failure(result, "staff")
    assert materialized(result) == TABLES - {"staff"}
    table_lock.rollback()
    assert office.run().success


def test_operator_configures_retries_of_the_io_manager(office: Office, table_lock: psycopg.Connection) -> None:
    result = (
        office_definitions()
        .resolve_job_def("forward_full")
        .execute_in_process(
            run_config={"resources": {"io_manager": {"config": {"retries": 0, "table": 0.2}}}},
            asset_selection=[dg.AssetKey(name) for name in ("orgs", "departments", "staff")],
            instance=office.instance,
            raise_on_error=False,
        )
    )
    assert attempts(result, "staff") == 1
    table_lock.rollback()


def test_programming_error_is_not_retried(office: Office) -> None:
    @dg.asset(key="notices", deps=["orgs"])
    def notices() -> TextRows:
        return TextRows(spec=NOTICES, columns=("notice_id", "org_id"), rows=lambda wanted: iter([1 / 0]))

    result = office.run(written=[notices])
    assert attempts(result, "notices") == 1
    assert "ZeroDivisionError" in failure(result, "notices")


def test_unreachable_desktop_is_recorded_for_the_table(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    office.run()
    monkeypatch.setenv("LOCAL_DB_PORT", "1")
    result = office.run()
    assert attempts(result, "orgs") == 2
    assert "connecting to desktop" in office.pair.one(
        "SELECT error_message FROM _sync_metadata WHERE table_name = 'orgs'"
    )


def test_run_without_configuration_names_the_missing_variables(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUPABASE_DB_HOST")
    result = office.run()
    assert not result.success
    (ended,) = (event for event in result.all_events if event.event_type is dg.DagsterEventType.RUN_FAILURE)
    assert words_of(ended).startswith("Not configured: SUPABASE_DB_HOST.")


def test_no_password_or_sensitive_value_reaches_the_history(office: Office) -> None:
    office.pair.source.execute("UPDATE staff SET dept_id = 99 WHERE staff_no = 7")
    office.pair.target.execute("ALTER TABLE staff ADD CHECK (login <> 'pw-9'); DROP TABLE notices")
    result = office.run()
    assert figures(result, "staff")["quarantined"] == 2
    history = "\n".join(map(str, result.all_events)) + str(result.dagster_run)
    for secret in (*SECRETS, "pw-7", "pw-9"):
        assert secret not in history


def test_unloaded_output_handle_has_no_result() -> None:
    with pytest.raises(RuntimeError, match="rows were not loaded"):
        _ = OutputHandle(TableExtract(spec=NOTICES), dg.build_asset_context()).result


def test_nothing_is_written_without_a_dagster_run(office: Office) -> None:
    office.run()
    assert list(Path.cwd().iterdir()) == []
