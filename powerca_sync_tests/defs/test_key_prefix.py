"""A prefix of a spec stands in the keys of all three assets of the table, and changes nothing else."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import dagster as dg
import pytest

from powerca_sync.defs import build_definitions
from powerca_sync.defs.desktop_sensor import build_desktop_sensor
from powerca_sync.defs.follow_up import FOLLOWS
from powerca_sync.defs.keys import desktop_key, mobile_key, reverse_key
from powerca_sync.defs.runs import read_past_runs
from powerca_sync.defs.runs.in_process import run_forward, run_reverse
from powerca_sync.defs.runs.outcome import RunOutcome
from powerca_sync.defs.sensors import build_sensors
from powerca_sync.engine.requests import Allowances, Choice, Mode
from powerca_sync.errors import ConfigurationError
from powerca_sync.settings import DesktopFunctions
from powerca_sync.specs import TableSpec
from powerca_sync_tests.defs.office import DEPARTMENT, ONE_RETRY, ORG, QUICK, SPECS, Office

#: One table keeps its key.
PREFIXED = tuple(
    dataclasses.replace(spec, key_prefix=("rao", "books")) if spec.mobile != "notices" else spec for spec in SPECS
)
STAFF = next(spec for spec in PREFIXED if spec.mobile == "staff")
NO_FUNCTIONS = DesktopFunctions()


@pytest.fixture
def fresh(office: Office) -> Iterator[Office]:
    """Yields the office with a history of its own."""
    with dg.DagsterInstance.ephemeral() as instance:
        office.instance = instance
        yield office


def command(office: Office, mode: Mode, specs: Sequence[TableSpec] = PREFIXED) -> RunOutcome:
    """Syncs all tables forward as the command does."""
    return run_forward(
        specs,
        mode=mode,
        only=specs,
        allowances=Allowances(),
        instance=office.instance,
        say=lambda _: None,
        detail=lambda _: None,
        moving=lambda _: None,
    )


def job(office: Office, name: str) -> dg.ExecuteInProcessResult:
    """Executes a job as Dagster's daemon does."""
    definitions = build_definitions(PREFIXED, timeouts=QUICK, retries=ONE_RETRY)
    return definitions.resolve_job_def(name).execute_in_process(instance=office.instance, raise_on_error=False)


def requested(sensor: dg.SensorDefinition, office: Office, cursor: str | None = None) -> tuple[set[str] | str, str]:
    """Returns the keys that a tick requests, or why it skips; and the cursor."""
    with dg.build_sensor_context(instance=office.instance, cursor=cursor) as context:
        data = sensor.evaluate_tick(context)
    keys = {key.to_user_string() for request in data.run_requests or () for key in request.asset_selection or ()}
    return keys or str(data.skip_message), data.cursor or ""


def test_prefix_is_in_the_keys_and_in_the_lineage() -> None:
    graph = build_definitions(PREFIXED).resolve_asset_graph()
    keys: dict[Callable[[TableSpec], dg.AssetKey], str] = {
        mobile_key: "rao/books/staff",
        desktop_key: "desktop/rao/books/staff",
        reverse_key: "reverse/rao/books/staff",
    }
    assert {key(STAFF).to_user_string() for key in keys} == set(keys.values())
    parents = {key.to_user_string() for key in graph.get(mobile_key(STAFF)).parent_keys}
    assert parents == {"desktop/rao/books/staff", "rao/books/orgs", "rao/books/departments"}
    parents = {key.to_user_string() for key in graph.get(reverse_key(STAFF)).parent_keys}
    assert parents == {"rao/books/staff", "reverse/rao/books/orgs", "reverse/rao/books/departments"}
    assert {key.path[0] for key in graph.external_asset_keys} == {"desktop"}, "every key that is named exists"


def test_history_of_command_and_daemon_is_one(fresh: Office) -> None:
    assert {table.verdict.value for table in command(fresh, Mode.FULL).tables} == {"ok"}
    assert job(fresh, "forward_incremental").success
    event = fresh.instance.get_latest_materialization_event(mobile_key(STAFF))
    assert event is not None
    assert event.asset_materialization is not None
    assert event.asset_materialization.metadata["dagster/row_count"].value == 40
    assert job(fresh, "reverse").success
    runs = read_past_runs(fresh.instance)
    assert [(run.direction, run.tables) for run in runs] == [("reverse", 4), ("forward", 4), ("forward", 4)]


def test_sensors_request_prefixed_tables_and_name_them_plainly(fresh: Office) -> None:
    pulled = [spec for spec in PREFIXED if spec.reverse]
    outcome = run_reverse(
        PREFIXED,
        only=pulled,
        again=False,
        lookalikes=Choice.HOLD,
        instance=fresh.instance,
        say=lambda _: None,
        detail=lambda _: None,
        moving=lambda _: None,
    )
    assert {table.verdict.value for table in outcome.tables} == {"ok"}
    fresh.pair.target.execute("INSERT INTO staff (org_id, staff_no, source) VALUES (1, 900, 'M')")
    (mobile_rows,) = build_sensors(PREFIXED, NO_FUNCTIONS)
    assert requested(mobile_rows, fresh)[0] == {"reverse/rao/books/staff"}

    desktop_rows = build_desktop_sensor(PREFIXED, NO_FUNCTIONS)
    fresh.pair.source.execute("SELECT pg_stat_force_next_flush()")
    command(fresh, Mode.FULL)
    _, cursor = requested(desktop_rows, fresh)
    command(fresh, Mode.FULL)
    found, cursor = requested(desktop_rows, fresh, cursor)
    assert "Nothing new" in found
    fresh.pair.source.execute("UPDATE departments SET title = 'Taxes' WHERE dept_id = 20")
    fresh.pair.source.execute("SELECT pg_stat_force_next_flush()")
    fresh.pair.target.execute("ALTER TABLE departments RENAME TO away")
    found, cursor = requested(desktop_rows, fresh, cursor)
    assert found == {"rao/books/departments"}
    assert not job(fresh, "forward_incremental").success
    assert "Next attempt: `departments` in 2 min." in requested(desktop_rows, fresh, cursor)[0]


def test_command_follows_up_prefixed_tables(fresh: Office) -> None:
    specs = tuple(
        dataclasses.replace(STAFF, references=(ORG, dataclasses.replace(DEPARTMENT, order_only=True)), lookups=())
        if spec is STAFF
        else spec
        for spec in PREFIXED
    )
    fresh.pair.target.execute("ALTER TABLE departments RENAME TO away")
    verdicts = {table.table: table.verdict.value for table in command(fresh, Mode.FULL, specs).tables}
    assert verdicts == {"orgs": "ok", "departments": "failed", "staff": "ok", "notices": "ok"}
    (follow_up,) = (run for run in fresh.instance.get_runs() if FOLLOWS in run.tags)
    assert follow_up.asset_selection == {mobile_key(STAFF)}


@pytest.mark.parametrize("prefix", [("desktop",), ("reverse", "books"), ("a/b",), ("",), ("a.b",)])
def test_invalid_prefix_is_refused(prefix: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match=r"`key_prefix` is .*Use letters, digits and `_`"):
        dataclasses.replace(STAFF, key_prefix=prefix)
