"""The checks `parity` run on their own, never in a run that loads."""

from collections.abc import Iterator

import dagster as dg
import pytest

from powerca_sync.defs import build_definitions
from powerca_sync.defs.checks import PARITY, parity_key
from powerca_sync_tests.defs.office import ONE_RETRY, QUICK, SPECS, STAFF, Office, failure, figures


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """Yields an instance with a history for each test."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def check_by_hand(office: Office, *tables: str) -> dict[str, dg.AssetCheckEvaluation]:
    """Runs the checks of these tables as the UI does; returns the evaluations by table."""
    definitions = build_definitions(SPECS, timeouts=QUICK, retries=ONE_RETRY)
    wanted = {parity_key(spec) for spec in SPECS if spec.mobile in tables}
    job = definitions.resolve_implicit_global_asset_job_def()
    result = job.get_subset(asset_selection=set(), asset_check_selection=wanted).execute_in_process(
        instance=office.instance
    )
    assert not result.get_asset_materialization_events()
    return {found.asset_key.to_user_string(): found for found in result.get_asset_check_evaluations()}


def test_check_passes_after_a_run_with_the_number_of_agreeing_rows(office: Office) -> None:
    office.run()
    found = check_by_hand(office, "staff", "orgs")
    assert set(found) == {"staff", "orgs"}
    assert found["staff"].passed
    counts = {name: found["staff"].metadata[name].value for name in ("desktop", "mobile", "agreeing")}
    assert counts == {"desktop": 40, "mobile": 40, "agreeing": 40}
    assert "different" not in found["staff"].metadata


def test_failed_check_shows_differing_rows_without_secrets(office: Office) -> None:
    office.run()
    office.pair.target.execute("UPDATE staff SET full_name = 'P', login = 'x' WHERE staff_no = 7")
    found = check_by_hand(office, "staff")["staff"]
    assert (found.passed, found.severity, found.blocking) == (False, dg.AssetCheckSeverity.ERROR, False)
    shown = found.metadata["samples"]
    assert isinstance(shown, dg.TableMetadataValue)
    rows = [tuple(record.data.values()) for record in shown.records]
    assert ("1", "7", "different", "full_name", "Person 7", "P") in rows
    assert ("1", "7", "different", "login", "***", "***") in rows
    assert "pw-7" not in str(found)


@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_loading_run_does_not_verify(office: Office, mode: str) -> None:
    names = {found.check_name for found in office.run(mode).get_asset_check_evaluations()}
    assert PARITY not in names
    assert "foreign_keys" in names


def test_run_may_verify_before_its_commit(office: Office) -> None:
    office.pair.target.execute("""
        CREATE FUNCTION shorten() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.full_name := left(NEW.full_name, 8); RETURN NEW; END $$;
        CREATE TRIGGER shorten BEFORE INSERT ON staff FOR EACH ROW EXECUTE FUNCTION shorten()""")
    job = build_definitions(SPECS, timeouts=QUICK, retries=ONE_RETRY).resolve_job_def("forward_full")
    config = {"resources": {"sync": {"config": {"mode": "full", "verify_on_commit": True}}}}
    result = job.execute_in_process(instance=office.instance, run_config=config, raise_on_error=False)
    assert "31 rows at the target unlike the rows written" in failure(result, STAFF.mobile)
    assert office.pair.one("SELECT count(*) FROM staff") == 0
    assert figures(result, "departments")["inserted"] == 2
