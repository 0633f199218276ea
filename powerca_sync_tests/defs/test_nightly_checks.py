"""The job that evaluates at night the checks that no sync evaluates."""

import dagster as dg

from powerca_sync.defs import build_definitions
from powerca_sync.defs.keys import mobile_key
from powerca_sync.operations import CHECKS_CRON, Schedules
from powerca_sync_tests.defs.office import SPECS, Office, office_definitions

MOBILE = {mobile_key(spec) for spec in SPECS}


def evaluate(office: Office) -> list[dg.AssetCheckEvaluation]:
    job = office_definitions().resolve_job_def("checks")
    result = job.execute_in_process(instance=office.instance)
    assert not result.get_asset_materialization_events()
    return result.get_asset_check_evaluations()


def test_sync_and_nightly_job_together_evaluate_every_check_once(office: Office) -> None:
    in_step = [check.asset_check_key for check in office.run().get_asset_check_evaluations()]
    nightly = evaluate(office)
    declared = office_definitions().resolve_asset_graph().get_check_keys_for_assets(MOBILE)
    assert sorted([*in_step, *(check.asset_check_key for check in nightly)]) == sorted(declared)
    assert all(check.passed for check in nightly)


def test_nightly_job_finds_rows_that_differ(office: Office) -> None:
    office.run()
    office.pair.target.execute("UPDATE staff SET full_name = 'Other' WHERE staff_no = 7")
    failed = [check.asset_check_key.to_user_string() for check in evaluate(office) if not check.passed]
    assert failed == ["staff:parity"]


def test_nightly_job_is_queued_behind_a_forward_run() -> None:
    definitions = office_definitions()
    nightly, forward = (definitions.resolve_job_def(name) for name in ("checks", "forward_full"))
    assert {node.definition.pool for node in nightly.nodes} == {node.definition.pool for node in forward.nodes}


def test_empty_cron_string_leaves_the_job_without_its_schedule() -> None:
    schedule = office_definitions().resolve_schedule_def("checks_schedule")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 3 * * *", "Asia/Kolkata")
    off = Schedules(crons={**Schedules().crons, CHECKS_CRON: ""})
    repository = build_definitions(SPECS, schedules=off).get_repository_def()
    assert repository.has_job("checks")
    assert not repository.has_schedule_def("checks_schedule")
