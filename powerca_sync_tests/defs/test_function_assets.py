"""The assets `desktop_refresh` and `desktop_booking`: what they stop, when they are called, and what is tried again."""

import dataclasses
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache

import dagster as dg
import pytest

from powerca_sync.defs import build_definitions
from powerca_sync.defs.alerts.problems import find_problems
from powerca_sync.defs.runs import directions_of, read_past_runs
from powerca_sync.settings import DesktopFunction
from powerca_sync_tests.defs.office import ONE_RETRY, QUICK, SPECS, Office, attempts, failure, figures, materialized
from powerca_sync_tests.defs.product import FUNCTIONS, PRODUCT, VIEWED

FAILING = "CREATE OR REPLACE FUNCTION office.{name}() RETURNS {returns} LANGUAGE plpgsql AS $$ BEGIN {body}; END $$"


@cache
def definitions() -> dg.Definitions:
    return build_definitions(SPECS, functions=FUNCTIONS, timeouts=QUICK, retries=ONE_RETRY)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """Yields an instance with a history for each test."""
    with dg.instance_for_test() as made:
        yield made


@pytest.fixture
def product(office: Office) -> Office:
    """Returns the office with its own functions."""
    office.pair.source.execute(PRODUCT)
    return office


def run(office: Office, job: str, *selected: str) -> dg.ExecuteInProcessResult:
    return (
        definitions()
        .resolve_job_def(job)
        .execute_in_process(
            instance=office.instance,
            asset_selection=[dg.AssetKey(name.split("/")) for name in selected] or None,
            raise_on_error=False,
        )
    )


def calls(office: Office) -> list[str]:
    return [name for (name,) in office.pair.rows("SELECT called FROM office.calls", office.pair.source)]


def break_function(office: Office, name: str, returns: str, body: str) -> None:
    office.pair.source.execute(FAILING.format(name=name, returns=returns, body=body))  # type: ignore[call-overload]


def test_assets_exist_only_if_their_functions_are_set() -> None:
    without = build_definitions(SPECS).resolve_asset_graph()
    graph = definitions().resolve_asset_graph()
    names = {"desktop_refresh", "desktop_booking"}
    assert {key.to_user_string() for key in graph.get_all_asset_keys() - without.get_all_asset_keys()} == names
    refresh, booking = dg.AssetKey("desktop_refresh"), dg.AssetKey("desktop_booking")
    below = {key.to_user_string() for key in graph.get(refresh).child_keys}
    assert below == {name for spec in SPECS for name in (spec.mobile, f"desktop/{spec.desktop}")}
    assert graph.get(booking).parent_keys == {dg.AssetKey(["reverse", spec.mobile]) for spec in SPECS}


def test_forward_run_reads_what_the_refresh_has_written(product: Office) -> None:
    product.pair.source.execute("INSERT INTO product_notices VALUES (2, 1, 'Open on Sunday')")
    result = run(product, "forward_full")
    assert result.success
    assert product.pair.one("SELECT body FROM notices WHERE notice_id = 2") == "Open on Sunday"
    found = figures(result, "desktop_refresh")
    assert (found["called"], found["returned"], found["rows"]) == ("office.refresh", "2", 1)
    assert found["seconds"] < 20  # type: ignore[operator]
    assert run(product, "forward_incremental").success
    assert calls(product) == ["refresh", "refresh"]
    assert run(product, "forward_full", "notices").success
    assert calls(product) == ["refresh", "refresh"], "a table that is selected alone is synced as it is"


def test_failed_refresh_stops_the_run_before_anything_is_read(product: Office) -> None:
    break_function(product, "refresh", "bigint", "RAISE 'the year is not closed'")
    result = run(product, "forward_full")
    assert not result.success
    assert "calling `office.refresh` on the desktop failed: the year is not closed" in failure(
        result, "desktop_refresh"
    )
    assert attempts(result, "desktop_refresh") == 1
    assert materialized(result) == set()
    assert {event.step_key for event in result.all_events if event.is_step_start} == {"desktop_refresh"}
    assert product.pair.one("SELECT count(*) FROM notices") == 0
    (record,) = product.instance.get_run_records(dg.RunsFilter(run_ids=[result.run_id]))
    problems = find_problems(product.instance, [record])
    (problem,) = (one for one in problems.outcomes.values() if one)
    assert (problem.subject, "the year is not closed" in problem.reason) == ("desktop_refresh", True)


def test_refresh_is_retried_only_while_nothing_was_committed(product: Office) -> None:
    break_function(product, "refresh", "bigint", "RAISE 'again' USING ERRCODE = 'deadlock_detected'")
    assert attempts(run(product, "forward_full"), "desktop_refresh") == 2, "the server has rolled it back"
    break_function(product, "refresh", "bigint", "PERFORM pg_sleep(30)")
    product.pair.source.execute("ALTER FUNCTION office.refresh() SET statement_timeout = 0")
    quick = dataclasses.replace(FUNCTIONS, before_forward=DesktopFunction(schema="office", name="refresh", timeout=1))
    result = (
        build_definitions(SPECS, functions=quick, timeouts=QUICK, retries=ONE_RETRY)
        .resolve_job_def("forward_full")
        .execute_in_process(instance=product.instance, raise_on_error=False)
    )
    assert "canceling statement due to statement timeout" in failure(result, "desktop_refresh")
    assert attempts(result, "desktop_refresh") == 1


def test_booking_is_called_only_after_rows_were_brought(product: Office) -> None:
    assert run(product, "forward_full").success
    result = run(product, "reverse")
    assert result.success
    assert "desktop_booking" not in materialized(result)
    product.phone_writes("Rain")
    found = figures(run(product, "reverse"), "desktop_booking")
    assert (found["returned"], found["booked"]) == ("booked=2, day=2026-02-01", 1)
    assert run(product, "reverse").success
    assert calls(product) == ["refresh", "book"]


def test_failed_booking_fails_its_step_alone_and_is_repeated_by_the_next_run(product: Office) -> None:
    assert run(product, "forward_full").success
    product.phone_writes("Rain")
    product.pair.source.execute("ALTER TABLE office.calls RENAME TO calls_away")
    result = run(product, "reverse")
    assert not result.success
    assert materialized(result) == {f"reverse/{spec.mobile}" for spec in SPECS}
    assert figures(result, "reverse/notices")["pulled"] == 1
    assert 'relation "office.calls" does not exist' in failure(result, "desktop_booking")
    product.pair.source.execute("ALTER TABLE office.calls_away RENAME TO calls")
    again = run(product, "reverse")
    assert again.success
    assert figures(again, "desktop_booking")["booked"] == 1
    assert figures(again, "reverse/notices")["pulled"] == 0
    assert run(product, "reverse").success
    assert calls(product) == ["refresh", "book"]


def test_runs_of_functions_alone_have_a_direction_and_no_tables(product: Office) -> None:
    run(product, "forward_full", "desktop_refresh")
    run(product, "reverse", "desktop_booking")
    booking, refresh = (record.dagster_run.with_tags({}) for record in product.instance.get_run_records(limit=2))
    assert directions_of(product.instance, refresh) == ("forward",)
    assert directions_of(product.instance, booking) == ("reverse",)
    assert [past.tables for past in read_past_runs(product.instance, most=2)] == [0, 0]


def evaluate(
    office: Office, sensor: str, defs: dg.Definitions, cursor: str | None = None
) -> tuple[set[str] | str, str]:
    """Returns what a tick requests, or why it is skipped; and the sensor's cursor."""
    found = defs.get_repository_def().get_sensor_def(sensor)
    with dg.build_sensor_context(instance=office.instance, definitions=defs, cursor=cursor) as context:
        data = found.evaluate_tick(context)
    if not data.run_requests:
        return str(data.skip_message), data.cursor or ""
    (request,) = data.run_requests
    return {key.to_user_string() for key in request.asset_selection or ()}, data.cursor or ""


def test_refresh_makes_the_sensor_request_no_run_and_views_are_watched(product: Office) -> None:
    defs = build_definitions(VIEWED, functions=FUNCTIONS, timeouts=QUICK, retries=ONE_RETRY)
    source, cursor = product.pair.source, None
    source.execute("SELECT pg_stat_force_next_flush()")
    assert defs.resolve_job_def("forward_full").execute_in_process(instance=product.instance).success
    said, cursor = evaluate(product, "desktop_rows", defs, cursor)
    assert said == {"departments"}, "without a cursor nothing is known"
    for body in ("Open", "Closed"):
        source.execute("UPDATE product_notices SET body = %s", [body])
        assert defs.resolve_job_def("forward_incremental").execute_in_process(instance=product.instance).success
        source.execute("SELECT pg_stat_force_next_flush()")
        said, cursor = evaluate(product, "desktop_rows", defs, cursor)
        assert isinstance(said, str)
        assert said.startswith("Nothing new: 1 table unchanged since the last run.")
        assert "`notices`" in said
        assert "(filled by `office.refresh`)" in said
    source.execute("UPDATE departments SET title = 'Law' WHERE dept_id = 10; SELECT pg_stat_force_next_flush()")
    said, cursor = evaluate(product, "desktop_rows", defs, cursor)
    assert said == {"departments"}, "the request leaves the refresh out"


def test_sensor_requests_a_booking_that_is_left_over_after_its_backoff(
    product: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(product, "forward_full").success
    assert run(product, "reverse").success
    product.phone_writes("Rain")
    assert evaluate(product, "mobile_rows", definitions())[0] == {"reverse/notices", "desktop_booking"}
    # A run of the table alone, which somebody started by hand.
    assert run(product, "reverse", "reverse/notices").success
    assert evaluate(product, "mobile_rows", definitions())[0] == {"desktop_booking"}
    product.pair.source.execute("ALTER TABLE office.calls RENAME TO calls_away")
    assert not run(product, "reverse", "desktop_booking").success
    said = evaluate(product, "mobile_rows", definitions())[0]
    assert said == "Not booked: 1 phone row, because the booking failed. Next attempt in 2 min."
    context = dg.build_schedule_context(product.instance, scheduled_execution_time=datetime.now(UTC))
    (request,) = definitions().resolve_schedule_def("reverse_schedule").evaluate_tick(context).run_requests or ()
    assert [key.to_user_string() for key in request.asset_selection or ()] == ["desktop_booking"]
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 150)
    assert evaluate(product, "mobile_rows", definitions())[0] == {"desktop_booking"}


def test_rows_of_other_tables_are_booked_although_one_fails(product: Office) -> None:
    assert run(product, "forward_full").success
    product.pair.target.execute("INSERT INTO departments (dept_id, org_id, source) VALUES (90, 1, 'M')")
    product.pair.source.execute("ALTER TABLE departments RENAME TO departments_away")
    product.phone_writes("Rain")
    result = run(product, "reverse")
    assert "reverse/notices" in materialized(result)
    assert calls(product) == ["refresh"], "Dagster skips what comes after a failed table"
    assert "desktop_booking" in evaluate(product, "mobile_rows", definitions())[0]
    assert run(product, "reverse", "desktop_booking").success
    assert calls(product) == ["refresh", "book"]
