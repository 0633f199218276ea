"""The checks of a table: in the step that loads it, and run by hand."""

import dagster as dg
import pytest

from powerca_sync.defs import build_definitions
from powerca_sync.defs.keys import mobile_key
from powerca_sync_tests.defs.office import ONE_RETRY, QUICK, SPECS, STAFF, Office


def in_step(office: Office, name: str, mode: str = "full") -> dg.AssetCheckEvaluation:
    """Returns the check of that name on `staff`, after a run."""
    found = [
        check
        for check in office.run(mode).get_asset_check_evaluations()
        if (check.asset_key, check.check_name) == (mobile_key(STAFF), name)
    ]
    (check,) = found
    return check


def by_hand(office: Office, name: str) -> dg.AssetCheckEvaluation:
    """Returns the check of that name on `staff`, run as the UI does."""
    definitions = build_definitions(SPECS, timeouts=QUICK, retries=ONE_RETRY)
    job = definitions.resolve_implicit_global_asset_job_def()
    wanted = {dg.AssetCheckKey(mobile_key(STAFF), name)}
    result = job.get_subset(asset_selection=set(), asset_check_selection=wanted).execute_in_process(
        instance=office.instance
    )
    (found,) = result.get_asset_check_evaluations()
    return found


def words(check: dg.AssetCheckEvaluation) -> str:
    assert check.description is not None
    return check.description


def test_every_mobile_table_has_every_check(office: Office) -> None:
    graph = build_definitions(SPECS).resolve_asset_graph()
    in_steps = {"foreign_keys", "rows"}
    for spec in SPECS:
        names = {key.name for key in graph.get_check_keys_for_assets({mobile_key(spec)})}
        assert names == in_steps | {"parity", "schema_drift", "unowned_rows"}
    assert {check.check_name for check in office.run().get_asset_check_evaluations()} == in_steps


def test_quarantine_warns_above_the_share_of_the_spec(office: Office) -> None:
    assert in_step(office, "rows").passed
    office.pair.source.execute("ALTER TABLE staff ALTER full_name TYPE text")
    office.pair.source.execute("UPDATE staff SET full_name = repeat('long ', 20) WHERE staff_no = 7")
    check = in_step(office, "rows")
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert check.metadata["quarantined"].value == 1
    assert "value too long" in str(check.metadata["quarantine_reasons"].value)


def test_trigger_that_writes_phone_rows_warns(office: Office) -> None:
    office.pair.target.execute("INSERT INTO staff (org_id, staff_no, full_name, source) VALUES (1, 900, 'Phone', 'M')")
    check = in_step(office, "rows")
    assert (check.passed, check.metadata["phone_rows"].value) == (True, 1)
    office.pair.target.execute("""
        CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN UPDATE staff SET login = 'meddled' WHERE source = 'M'; RETURN NULL; END $$;
        CREATE TRIGGER meddle AFTER UPDATE ON staff FOR EACH ROW WHEN (NEW.source = 'D') EXECUTE FUNCTION meddle()""")
    assert in_step(office, "rows").passed
    office.pair.source.execute("UPDATE staff SET full_name = 'Renamed' WHERE staff_no = 7")
    check = in_step(office, "rows")
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert words(check).startswith("This run's transaction wrote 1 of 1 phone row.")


def test_concurrent_phone_writes_are_not_attributed_to_the_run(office: Office) -> None:
    office.run()
    office.pair.target.execute("INSERT INTO staff (org_id, staff_no, full_name, source) VALUES (1, 900, 'Phone', 'M')")
    office.pair.source.execute("UPDATE staff SET full_name = 'Renamed' WHERE staff_no = 7")
    assert in_step(office, "rows").passed


def test_stale_rows_warn_after_a_full_run_only(office: Office) -> None:
    assert in_step(office, "rows").passed
    office.pair.target.execute("CREATE TABLE badges (staff_id bigint REFERENCES staff (id))")
    office.pair.target.execute("INSERT INTO badges SELECT id FROM staff WHERE staff_no = 7")
    office.pair.source.execute("DELETE FROM staff WHERE staff_no = 7")
    check = in_step(office, "rows")
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert check.metadata["kept_referenced"].value == 1


def test_rows_that_others_inserted_on_mobile_warn(office: Office) -> None:
    office.run()
    office.pair.target.execute("INSERT INTO staff (org_id, staff_no, source) VALUES (1, 901, 'D'), (1, 902, 'D')")
    check = in_step(office, "rows")
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert check.metadata["foreign"].value == 2
    assert "`delete_foreign` of the job deletes them" in words(check)


@pytest.mark.parametrize(
    ("change", "severity", "said"),
    [
        ("ALTER TABLE staff ADD nickname text", dg.AssetCheckSeverity.WARN, "only the desktop has nickname"),
        ("ALTER TABLE staff DROP dept_id", dg.AssetCheckSeverity.WARN, "which only one database has"),
        ("ALTER TABLE staff RENAME TO gone", dg.AssetCheckSeverity.ERROR, "There is no table staff on the desktop"),
    ],
)
def test_schema_drift_is_reported_with_its_severity(
    office: Office, change: str, severity: dg.AssetCheckSeverity, said: str
) -> None:
    assert by_hand(office, "schema_drift").passed
    office.pair.source.execute(change)  # type: ignore[call-overload]
    check = by_hand(office, "schema_drift")
    assert (check.passed, check.severity) == (False, severity)
    assert said in words(check)


@pytest.mark.parametrize("owner", [None, "x"])
def test_unowned_rows_warn(office: Office, owner: str | None) -> None:
    office.run()
    office.pair.target.execute("INSERT INTO staff (org_id, staff_no, source) VALUES (1, 900, 'S')")
    assert by_hand(office, "unowned_rows").passed, "an administrator's row has an owner"
    office.pair.target.execute("INSERT INTO staff (org_id, staff_no, source) VALUES (1, 901, %s)", [owner])
    check = by_hand(office, "unowned_rows")
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert check.metadata["unowned_rows"].value == 1
