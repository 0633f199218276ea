"""The sensor `desktop_rows`: the decisions of a tick, and what its runs do with rebuilt tables."""

import time
from collections.abc import Iterator

import dagster as dg
import pytest

from powerca_sync.errors import DatabaseUnavailableError
from powerca_sync_tests.defs.office import SPECS, Office, figures, materialized, office_definitions

pytestmark = pytest.mark.long

#: A rebuild as the desktop's tools do it: every row vanishes and comes back, here in another order.
DELETE = "DELETE FROM staff"
INSERT = "INSERT INTO staff SELECT * FROM staff_before ORDER BY staff_no DESC"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """Yields an instance with a history for each test."""
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


class Ticks:
    """Evaluates the sensor tick by tick, and remembers its cursor."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.cursor: str | None = None

    def __call__(self) -> set[str] | str:
        """Returns the tables that the tick requests, or the reason of the skipped tick."""
        sensor = office_definitions().get_repository_def().get_sensor_def("desktop_rows")
        with dg.build_sensor_context(
            instance=self.office.instance, definitions=office_definitions(), cursor=self.cursor
        ) as context:
            data = sensor.evaluate_tick(context)
        self.cursor = data.cursor
        if not data.run_requests:
            assert data.skip_message
            return data.skip_message
        (request,) = data.run_requests
        assert request.run_key is None
        assert request.run_config == {}
        checks = {(check.asset_key, check.name) for check in request.asset_check_keys or ()}
        keys = request.asset_selection or ()
        assert checks == {(key, name) for key in keys for name in ("foreign_keys", "rows")}, "no nightly check"
        return {key.to_user_string() for key in request.asset_selection or ()}

    def run(self, tables: set[str] | str) -> dg.ExecuteInProcessResult:
        """Executes what a tick requested."""
        assert isinstance(tables, set)
        result = (
            office_definitions()
            .resolve_job_def("forward_incremental")
            .execute_in_process(
                instance=self.office.instance,
                asset_selection=[dg.AssetKey(table) for table in tables],
                raise_on_error=False,
            )
        )
        assert materialized(result) <= tables
        return result


def edit(office: Office, *statements: str) -> None:
    """Executes each statement in a transaction of its own; returns when the statistics have them."""
    for statement in statements:
        office.pair.source.execute(statement)  # type: ignore[call-overload]
    office.pair.source.execute("SELECT pg_stat_force_next_flush()")


@pytest.fixture
def tick(office: Office) -> Ticks:
    """Returns the ticks of an office after a first run, with a cursor that knows its tables."""
    edit(office, "SELECT")
    assert office.run().success
    ticks = Ticks(office)
    assert ticks() == {spec.mobile for spec in SPECS}, "without a cursor nothing is known"
    assert office.run().success
    assert ticks() == "Nothing new: 4 tables unchanged since the last run."
    return ticks


def test_first_loads_are_left_to_the_schedule(office: Office) -> None:
    edit(office, "SELECT")
    ticks = Ticks(office)
    assert "Nothing new" in ticks()
    assert office.run().success
    assert "Nothing new" in ticks()
    edit(office, "UPDATE notices SET body = 'Open'")
    assert ticks() == {"notices"}


def test_changed_table_is_requested_until_a_later_run_has_synced_it(tick: Ticks) -> None:
    edit(tick.office, "UPDATE staff SET full_name = 'Asha' WHERE staff_no = 7")
    assert tick() == {"staff"}
    assert tick() == {"staff"}, "a request that got lost is made again"
    tick.run({"staff"})
    assert tick.office.pair.one("SELECT full_name FROM staff WHERE staff_no = 7") == "Asha"
    assert "Nothing new" in tick()
    edit(tick.office, "UPDATE staff SET full_name = 'Usha' WHERE staff_no = 7")
    assert tick() == {"staff"}
    assert tick.office.run().success
    assert "Nothing new" in tick(), "any run counts, whoever started it"


def test_run_that_began_before_the_token_was_read_settles_nothing(tick: Ticks, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(tick.office, "UPDATE notices SET body = 'Open'")
    now = time.time()
    with monkeypatch.context() as later:
        # The token is read after the start of the run that ends next.
        later.setattr("powerca_sync.defs.desktop_sensor.time.time", lambda: now + 60)
        assert tick() == {"notices"}
    tick.run({"notices"})
    assert tick() == {"notices"}


def test_edit_counted_after_the_tick_is_requested_by_a_later_one(tick: Ticks) -> None:
    # The session has reported a moment ago, and does not do so again at once.
    edit(tick.office, "UPDATE notices SET body = 'One'")
    tick.office.pair.source.execute("UPDATE notices SET body = 'Two'")
    assert tick() == {"notices"}
    tick.run({"notices"})
    tick.office.pair.source.execute("UPDATE notices SET body = 'Three'")
    first = tick()
    tick.office.pair.source.execute("SELECT pg_stat_force_next_flush()")
    second = tick()
    assert {"notices"} in (first, second)
    tick.run({"notices"})
    assert tick.office.pair.one("SELECT body FROM notices WHERE notice_id = 1") == "Three"


def test_tables_whose_quarantined_rows_reference_the_changed_one_come_along(tick: Ticks) -> None:
    edit(tick.office, "INSERT INTO staff VALUES (1, 90, 30, 'Asha', 'pw')")
    tick.run(tick())
    edit(tick.office, "UPDATE departments SET title = 'Taxes' WHERE dept_id = 20")
    assert tick() == {"departments", "staff"}, "one row of staff references a department that is missing"
    edit(tick.office, "INSERT INTO departments VALUES (30, 1, 'Law')")
    result = tick.run(tick())
    assert figures(result, "staff")["quarantined"] == 0
    assert tick.office.pair.one("SELECT count(*) FROM staff WHERE staff_no = 90") == 1
    edit(tick.office, "UPDATE departments SET title = 'Laws' WHERE dept_id = 30")
    assert tick() == {"departments"}


def test_failed_table_is_requested_again_after_its_backoff(tick: Ticks, monkeypatch: pytest.MonkeyPatch) -> None:
    tick.office.pair.target.execute("ALTER TABLE notices RENAME TO notices_away")
    edit(tick.office, "UPDATE notices SET body = 'Open'")
    now = time.time()
    assert not tick.run(tick()).success
    assert tick() == "Tables changed, but the last attempts failed. Next attempt: `notices` in 2 min."
    edit(tick.office, "UPDATE staff SET full_name = 'Asha' WHERE staff_no = 7")
    assert tick() == {"staff"}
    monkeypatch.setattr("powerca_sync.defs.runs.history.time.time", lambda: now + 5 * 60)
    assert tick() == {"staff", "notices"}


def test_unreachable_desktop_fails_the_tick_and_loses_nothing(tick: Ticks, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(tick.office, "UPDATE notices SET body = 'Open'")
    with monkeypatch.context() as broken:
        broken.setenv("LOCAL_DB_PORT", "1")
        with pytest.raises(DatabaseUnavailableError, match=r"^connecting to desktop"):
            tick()
    monkeypatch.setenv("SUPABASE_DB_PORT", "1")
    assert tick() == {"notices"}, "mobile is not asked"


@pytest.mark.parametrize("job", ["forward_full", "forward_incremental"])
def test_tick_during_a_forward_run_asks_no_database(tick: Ticks, job: str, monkeypatch: pytest.MonkeyPatch) -> None:
    definition = office_definitions().resolve_job_def(job)
    run = tick.office.instance.create_run_for_job(definition, status=dg.DagsterRunStatus.STARTED)
    monkeypatch.setenv("LOCAL_DB_PORT", "1")
    assert tick() == f"Run {run.run_id} is active (started)."


def test_reverse_synced_rows_request_no_run(tick: Ticks) -> None:
    assert tick.office.pull().success
    assert "Nothing new" in tick()
    tick.office.phone_writes("Rain", "Sun")
    assert tick.office.pull().success
    assert "Nothing new" in tick()


def test_server_without_statistics_is_named_in_the_reason(tick: Ticks) -> None:
    name = tick.office.pair.settings.desktop.name
    tick.office.pair.source.execute(f'ALTER DATABASE "{name}" SET track_counts = off')  # type: ignore[call-overload]
    try:
        said = str(tick())
    finally:
        tick.office.pair.source.execute(f'ALTER DATABASE "{name}" RESET track_counts')  # type: ignore[call-overload]
    assert "rely on the schedule: `orgs`" in said
    assert "(the desktop does not count changes (`track_counts` is off))" in said


def test_rebuild_in_one_transaction_writes_nothing(tick: Ticks) -> None:
    source = tick.office.pair.source
    source.execute("CREATE TABLE staff_before AS TABLE staff")
    before = tick.office.pair.text("staff")
    with source.transaction():
        source.execute(DELETE)
        source.execute(INSERT)
    edit(tick.office, "SELECT")
    assert tick() == "Rows vanished from `staff`; the next tick sees whether they come back."
    result = tick.run(tick())
    assert figures(result, "staff")["unchanged"] == 40
    assert tick.office.pair.text("staff") == before
    assert "Nothing new" in tick()


def test_rebuild_in_several_transactions_is_awaited(tick: Ticks) -> None:
    tick.office.pair.source.execute("CREATE TABLE staff_before AS TABLE staff")
    before = tick.office.pair.text("staff")
    waiting = "Rows vanished from `staff`; the next tick sees whether they come back."
    # Few enough rows are missing at the third tick for the guard to let their deletion pass.
    half = INSERT.replace("ORDER", "WHERE staff_no > 10 ORDER")
    for step in (DELETE, half, INSERT.replace("ORDER", "WHERE staff_no BETWEEN 6 AND 10 ORDER")):
        edit(tick.office, step)
        assert tick() == waiting
    edit(tick.office, INSERT.replace("ORDER", "WHERE staff_no <= 5 ORDER"))
    assert tick() == waiting
    result = tick.run(tick())
    assert figures(result, "staff")["deleted"] == 0
    assert tick.office.pair.text("staff") == before


def test_table_that_loses_rows_all_the_time_is_awaited_for_minutes_only(
    tick: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(tick.office, "DELETE FROM staff WHERE staff_no = 1")
    assert "Rows vanished" in tick()
    now = time.time()
    for minutes, awaited in ((4, True), (6, False)):
        edit(tick.office, "DELETE FROM staff WHERE staff_no = (SELECT min(staff_no) FROM staff)")
        monkeypatch.setattr("powerca_sync.defs.desktop_sensor.time.time", lambda at=now + minutes * 60: at)
        assert (tick() == {"staff"}) != awaited
