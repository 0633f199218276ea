"""Runs of the job `reverse` on real servers: the rows on the desktop, and what Dagster shows."""

import dataclasses
from pathlib import Path

import dagster as dg
import pytest

from powerca_sync.defs import build_definitions
from powerca_sync.defs.metadata import conflict_table, conflicts_of
from powerca_sync.engine.result import Conflict
from powerca_sync_tests.defs.office import (
    ONE_RETRY,
    QUICK,
    SECRETS,
    SPECS,
    Office,
    attempts,
    failure,
    figures,
    materialized,
    office_definitions,
)

ALL = {"reverse/orgs", "reverse/departments", "reverse/staff", "reverse/notices"}
#: Shorter than what phones send.
TOO_LONG = "ALTER TABLE notices ALTER body TYPE varchar(20)"


def check(result: dg.ExecuteInProcessResult, table: str, name: str) -> dg.AssetCheckEvaluation:
    key = dg.AssetKey(["reverse", table])
    (found,) = (
        found for found in result.get_asset_check_evaluations() if (found.asset_key, found.check_name) == (key, name)
    )
    return found


def on_desktop(office: Office) -> list[tuple[object, ...]]:
    return office.pair.rows("SELECT notice_id, body FROM notices ORDER BY 1", office.pair.source)


@pytest.fixture
def synced(office: Office) -> Office:
    """Returns the office after a first forward run."""
    assert office.run().success
    return office


def test_phone_rows_are_reverse_synced_once_and_skipped_by_forward(synced: Office) -> None:
    synced.phone_writes("Rain", "Sun")
    first = synced.pull()
    assert first.success
    assert materialized(first) == ALL
    assert on_desktop(synced) == [(1, "Closed on Friday"), (100, "Rain"), (101, "Sun")]
    assert (figures(first, "reverse/notices")["seen"], figures(first, "reverse/notices")["pulled"]) == (2, 2)

    second = figures(synced.pull(), "reverse/notices")
    assert (second["seen"], second["pulled"], second["already_there"]) == (2, 0, 2)
    before = synced.pair.text("notices")
    assert figures(synced.run(), "notices")["echo"] == 2
    assert synced.pair.text("notices") == before
    assert len(on_desktop(synced)) == 3


def test_materialize_all_syncs_each_table_forward_before_reverse(office: Office) -> None:
    office.phone_writes("Rain")
    everything = office_definitions().resolve_implicit_global_asset_job_def()
    result = everything.execute_in_process(instance=office.instance, raise_on_error=False)
    assert result.success
    order = [event.asset_key.to_user_string() for event in result.get_asset_materialization_events() if event.asset_key]
    for table in ALL:
        assert order.index(table.removeprefix("reverse/")) < order.index(table)
    assert on_desktop(office) == [(1, "Closed on Friday"), (100, "Rain")]


def test_only_selected_tables_are_reverse_synced(synced: Office) -> None:
    synced.phone_writes("Rain")
    assert materialized(synced.pull("orgs", "staff")) == {"reverse/orgs", "reverse/staff"}
    assert len(on_desktop(synced)) == 1


def test_metadata_has_the_counts_as_numbers(synced: Office) -> None:
    synced.phone_writes("Rain")
    shown = figures(synced.pull(), "reverse/notices")
    for name in ("adopted", "conflicts", "quarantined", "changed_after_pull", "missing_after_pull", "unassigned"):
        assert shown[name] == 0
    assert isinstance(shown["bytes"], int)
    assert shown["bytes"] > 0
    phases = [name for name in shown if name.startswith("seconds_")]
    assert sum(float(str(shown[name])) for name in phases) == pytest.approx(shown["seconds"])
    schema = shown["dagster/column_schema"]
    assert isinstance(schema, dg.TableSchema)
    assert [column.name for column in schema.columns] == ["notice_id", "org_id", "body"]


def test_refused_row_is_quarantined_with_its_reason_until_it_fits(synced: Office) -> None:
    synced.pair.source.execute(TOO_LONG)
    synced.phone_writes("Rain", "Rain and wind in the afternoon")
    result = synced.pull()
    assert result.success
    shown = figures(result, "reverse/notices")
    assert (shown["pulled"], shown["quarantined"]) == (1, 1)
    samples = shown["quarantine_samples"]
    assert isinstance(samples, dg.TableMetadataValue)
    (sample,) = samples.records
    assert sample.data["notice_id"] == "101"
    assert "too long" in str(sample.data["why"])

    found = check(result, "notices", "quarantine")
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert found.metadata["quarantined"].value == 1
    assert "quarantine_samples" in found.metadata
    assert check(result, "notices", "conflicts").passed

    synced.pair.source.execute("ALTER TABLE notices ALTER body TYPE text")
    again = synced.pull()
    assert figures(again, "reverse/notices")["pulled"] == 1
    assert check(again, "notices", "quarantine").passed


def test_conflict_of_two_records_shows_both_contents(synced: Office) -> None:
    synced.phone_writes("The phone's")
    synced.pair.source.execute("INSERT INTO notices VALUES (100, 1, 'The office''s')")
    result = synced.pull()
    assert result.success
    assert figures(result, "reverse/notices")["conflicts"] == 1
    found = check(result, "notices", "conflicts")
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    (conflict,) = conflicts_of(found.metadata)
    assert conflict.key == {"notice_id": "100"}
    assert (conflict.phone["body"], conflict.desktop["body"]) == ("The phone's", "The office's")
    assert on_desktop(synced)[-1] == (100, "The office's")


def test_conflicts_survive_serialization_in_the_metadata() -> None:
    conflicts = tuple(
        Conflict(
            key={"a": "1", "b": None}, phone={"a": "1", "b": None, "c": text}, desktop={"a": "1", "b": None, "c": "|"}
        )
        for text in ("", None, "x\ny")
    )
    assert conflicts_of(conflict_table(conflicts)) == conflicts
    assert conflicts_of(conflict_table(())) == ()


def test_rows_changed_or_deleted_after_their_reverse_sync_are_listed(synced: Office) -> None:
    synced.phone_writes("Rain", "Sun")
    synced.pull()
    synced.pair.target.execute("UPDATE notices SET body = 'Snow' WHERE notice_id = 100")
    synced.pair.source.execute("DELETE FROM notices WHERE notice_id = 101")
    shown = figures(synced.pull(), "reverse/notices")
    assert (shown["changed_after_pull"], shown["missing_after_pull"], shown["pulled"]) == (1, 1, 0)
    assert "100" in str(shown["changed_after_pull_keys"])
    assert "101" in str(shown["missing_after_pull_keys"])
    assert str(shown["remarks"]).count("\n") == 1


def test_again_restores_only_rows_missing_on_the_desktop(synced: Office) -> None:
    synced.phone_writes("Rain", "Sun")
    synced.pull()
    synced.pair.source.execute("DELETE FROM notices WHERE notice_id = 101")
    assert figures(synced.pull(again=True), "reverse/notices")["pulled"] == 1
    assert on_desktop(synced) == [(1, "Closed on Friday"), (100, "Rain"), (101, "Sun")]


def test_failed_table_stops_only_its_dependents(synced: Office) -> None:
    synced.phone_writes("Rain")
    synced.pair.source.execute("DROP TABLE departments")
    result = synced.pull()
    assert not result.success
    assert materialized(result) == {"reverse/orgs", "reverse/notices"}
    assert attempts(result, "reverse__departments") == 1
    assert "SchemaMismatchError" in failure(result, "reverse__departments")
    assert attempts(result, "reverse__staff") == 0


def test_unreachable_database_is_retried(synced: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_DB_PORT", "1")
    result = synced.pull("orgs")
    assert attempts(result, "reverse__orgs") == 2
    assert "connecting to mobile" in failure(result, "reverse__orgs")


def test_no_password_or_sensitive_value_reaches_the_history(synced: Office) -> None:
    synced.pair.target.execute("INSERT INTO staff (org_id, staff_no, login, source) VALUES (1, 900, 'pw-phone', 'M')")
    synced.pair.source.execute("ALTER TABLE staff ADD CHECK (login <> 'pw-phone')")
    result = synced.pull()
    assert figures(result, "reverse/staff")["quarantined"] == 1
    history = "\n".join(map(str, result.all_events)) + str(result.dagster_run)
    for secret in (*SECRETS, "pw-phone"):
        assert secret not in history


def test_ledger_names_the_run(synced: Office) -> None:
    synced.phone_writes("Rain")
    result = synced.pull()
    assert synced.pair.rows("SELECT DISTINCT run_id::text FROM powerca_sync.pulled", synced.pair.source) == [
        (result.run_id,)
    ]


def test_reverse_asset_as_an_input_is_an_error_with_advice(synced: Office) -> None:
    @dg.asset(ins={"rows": dg.AssetIn(dg.AssetKey(["reverse", "notices"]))})
    def summary(rows: object) -> None: ...

    definitions = dg.Definitions.merge(
        build_definitions(SPECS, timeouts=QUICK, retries=ONE_RETRY),
        dg.Definitions(assets=[summary], jobs=[dg.define_asset_job("summary_job", selection="summary")]),
    )
    result = definitions.resolve_job_def("summary_job").execute_in_process(
        instance=synced.instance, raise_on_error=False
    )
    assert "Load the mobile table's asset" in failure(result, "summary")


def test_asset_that_returns_rows_for_the_desktop_is_refused(synced: Office) -> None:
    @dg.asset(key=["reverse", "notices"], io_manager_key="desktop_io_manager")
    def notices() -> list[int]:
        return [1]

    specs = [dataclasses.replace(spec, reverse=spec.mobile != "notices") for spec in SPECS]
    definitions = dg.Definitions.merge(
        build_definitions(specs, timeouts=QUICK, retries=ONE_RETRY),
        dg.Definitions(assets=[notices], jobs=[dg.define_asset_job("notices_job", selection="reverse/notices")]),
    )
    result = definitions.resolve_job_def("notices_job").execute_in_process(
        instance=synced.instance, raise_on_error=False
    )
    assert "Only phone rows" in failure(result, "reverse__notices")
    assert len(on_desktop(synced)) == 1


def test_nothing_is_written_without_a_dagster_run(synced: Office) -> None:
    synced.pull()
    assert list(Path.cwd().iterdir()) == []
