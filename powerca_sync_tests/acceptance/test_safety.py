"""Mistakes of an office, on the real tables: each is refused with its counts, and mobile is unchanged."""

from collections.abc import Iterator

import dagster as dg
import pytest

from powerca_sync.defs import build_definitions
from powerca_sync.demo import create_desktop
from powerca_sync.demo.proof import digests
from powerca_sync.engine.dry_run import Prospect
from powerca_sync.engine.postgres.database import Connection, connect
from powerca_sync.errors import SyncError, UnsafeTargetError
from powerca_sync.specs import TableSpec, spec_named
from powerca_sync.tables import TABLES
from powerca_sync_tests.acceptance.conftest import GeneratedOffice
from powerca_sync_tests.acceptance.real_tables import create_office
from powerca_sync_tests.defs.office import ONE_RETRY, attempts, failure, materialized
from powerca_sync_tests.defs.office import QUICK as QUICK_RUN
from powerca_sync_tests.helpers import Pair, everything, row_counts

pytestmark = pytest.mark.long

MOBILE_TABLES = tuple(spec.mobile for spec in TABLES)
JOBSHEAD, JOBTASKS = spec_named(TABLES, "jobshead"), spec_named(TABLES, "jobtasks")
#: The organisations, a table with their key, and one that reaches them through another table.
FIRST_AND_LAST = (spec_named(TABLES, "orgmaster"), JOBSHEAD, spec_named(TABLES, "remdetail"))
#: Organisation, clients, staff and jobs of the second office; ten of its clients have numbers of the first one's.
SECOND = 5


@pytest.fixture
def office(generated_office: GeneratedOffice) -> Iterator[Pair]:
    """Returns the generated office, whose mobile tables no test may change, and whose desktop is restored."""
    pair = generated_office.pair
    before = digests(pair.target, MOBILE_TABLES)
    yield pair
    pair.source.execute(
        "DO $$ BEGIN IF to_regnamespace('whole') IS NOT NULL THEN"
        " DROP SCHEMA public CASCADE; ALTER SCHEMA whole RENAME TO public; END IF; END $$"
    )
    assert digests(pair.target, MOBILE_TABLES) == before


def restore(pair: Pair, **where: str) -> None:
    """Replaces the public schema of the same desktop, with the rows of its tables for which a condition holds.

    To the sync this equals restoring an old or incomplete dump: the same database with other tables.
    """
    pair.source.execute("ALTER SCHEMA public RENAME TO whole; CREATE SCHEMA public")
    create_desktop(pair.source)
    for spec in TABLES:
        pair.source.execute(
            f"INSERT INTO public.{spec.desktop} SELECT * FROM whole.{spec.desktop} WHERE {where.get(spec.mobile, 'TRUE')}"  # type: ignore[call-overload]  # noqa: S608, E501
        )


def refusal(pair: Pair, table: TableSpec, **rest: object) -> str:
    """Returns the refusal of a run; asserts that the dry run has the same."""
    others = [spec for spec in TABLES if spec is not table]
    with pytest.raises(UnsafeTargetError) as caught:
        pair.sync(table, *others, **rest)  # type: ignore[arg-type]
    (plan,) = pair.plan(*TABLES, only=[table], watched=False, **rest).values()  # type: ignore[arg-type]
    assert plan.prospect is Prospect.REFUSED
    assert str(caught.value) in plan.refusals
    return str(caught.value)


def test_restored_desktop_with_one_job_deletes_no_other_jobs(office: Pair) -> None:
    restore(office, jobshead="ctid = (SELECT min(ctid) FROM whole.jobshead)")
    words = refusal(office, JOBSHEAD)
    assert "Table `jobshead`: 24560 of the office's 24561 rows would be deleted; the limit is 1228." in words
    assert "To allow it once, run with `--allow-mass-delete`" in words
    assert "24560 of" in refusal(office, JOBSHEAD, mode="incremental"), "no mode goes past the guard"


def test_half_empty_desktop_is_refused_for_each_table(office: Pair) -> None:
    restore(office, jobshead="job_id < 55000", jobtasks="job_id < 55000", climaster="client_id < 400")
    for table in (JOBSHEAD, JOBTASKS):
        assert f"Table `{table.mobile}`: " in refusal(office, table)
    clients = spec_named(TABLES, "climaster")
    (plan,) = office.plan(*TABLES, only=[clients], watched=False).values()
    assert plan.foreseen is not None
    assert (plan.foreseen.deleted, plan.foreseen.updated) == (0, 0)
    assert plan.foreseen.stale > 300, "what vanished from a master is kept"


@pytest.mark.parametrize("table", ["climaster", "jobshead", "jobtasks", "taskchecklist", "reminder"])
def test_table_during_its_refresh_is_not_taken_for_empty(office: Pair, table: str) -> None:
    restore(office, **{table: "FALSE"})
    words = refusal(office, spec_named(TABLES, table))
    assert "is empty at the source; the last run read " in words
    assert "`--allow-mass-delete`" in words


def test_desktop_without_organisations_is_refused_before_reading(office: Pair) -> None:
    restore(office, orgmaster="FALSE")
    for table in FIRST_AND_LAST:
        assert "(`orgmaster` has 0 rows with a key; the limit is 1)" in refusal(office, table, allow_mass_delete=True)


@pytest.fixture
def other_desktop(office: Pair) -> Iterator[Pair]:
    """Creates another, empty database as the desktop of the same mobile database."""
    name = f"{office.settings.desktop.name}_other"
    office.source.execute(f"CREATE DATABASE {name} TEMPLATE template0")  # type: ignore[call-overload]
    endpoint = {field: getattr(office.settings.desktop, field) for field in ("side", "host", "port", "user")}
    with Pair(type(office.settings.desktop)(**endpoint, name=name), office.settings.mobile) as other:
        yield other
    office.source.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[call-overload]


def test_demo_desktop_is_refused_for_organisations_of_another(office: Pair, other_desktop: Pair) -> None:
    create_office(other_desktop.source, office=1)
    before = everything(office.target)
    for table in FIRST_AND_LAST:
        words = refusal(other_desktop, table, allow_mass_delete=True)
        assert "Organisation 1 belongs to another desktop" in words
        assert "run `powerca-sync init --accept-source`" in words
    written = [name for name, state in everything(office.target).items() if state != before[name]]
    assert written == ["powerca_sync.failure", "public._sync_metadata"], "where the errors are"


def test_second_office_is_added_and_colliding_rows_are_quarantined(
    generated_office: GeneratedOffice, other_desktop: Pair
) -> None:
    mobile = generated_office.pair.target
    create_office(other_desktop.source, office=SECOND)
    other_desktop.source.execute("UPDATE climaster SET client_id = client_id - 5000 WHERE client_id <= 5004")
    other_desktop.source.execute("UPDATE mbstaff SET staff_id = 101 WHERE staff_id = 5008")
    # Jobs of the same number are two jobs.
    other_desktop.source.execute("UPDATE jobshead SET job_id = job_id + 43000")
    other_desktop.source.execute("UPDATE jobtasks SET job_id = job_id + 43000")
    before = contents(mobile)
    plans = other_desktop.plan(*TABLES)
    try:
        results = other_desktop.sync_all(*TABLES)
        assert contents(mobile) == before
        assert {table: row_counts(plan.foreseen) for table, plan in plans.items() if plan.foreseen} == {
            table: row_counts(result) for table, result in results.items()
        }
        assert row_counts(results["climaster"]) == {"inserted": 25, "quarantined": 5}
        assert {str(sample) for sample in results["climaster"].samples} >= {
            f"client_id={n} belongs to organisation 1" for n in (1, 2, 3, 4)
        }
        assert row_counts(results["mbstaff"]) == {"inserted": 7, "quarantined": 1}
        assert row_counts(results["jobshead"]) == {"inserted": 40}
        shared = "SELECT count(DISTINCT org_id) FROM jobshead WHERE job_id BETWEEN 48001 AND 48020 GROUP BY job_id"
        assert (2,) in generated_office.pair.rows(shared)
        again = other_desktop.sync_all(*TABLES)
        assert sum(result.written for result in again.values()) == 0
        assert contents(mobile) == before
    finally:
        remove_second_office(mobile)


def contents(mobile: Connection) -> dict[str, list[tuple[str]]]:
    """Returns every row of the first office, with its ctid and xmin."""
    ways = {"remdetail": "rem_id < 5000"}
    return {
        table: mobile.execute(
            f"SELECT ROW(t.ctid, t.xmin, t.*)::text FROM {table} AS t"  # type: ignore[call-overload]  # noqa: S608
            f" WHERE {ways.get(table, f'org_id IS DISTINCT FROM {SECOND}')} ORDER BY 1"
        ).fetchall()
        for table in MOBILE_TABLES
    }


def remove_second_office(mobile: Connection) -> None:
    for table in reversed(MOBILE_TABLES):
        way = "rem_id >= 5000" if table == "remdetail" else f"org_id = {SECOND}"
        mobile.execute(f"DELETE FROM {table} WHERE {way}")  # type: ignore[call-overload]  # noqa: S608
    mobile.execute("DELETE FROM powerca_sync.office WHERE org_id = %s", [str(SECOND)])


@pytest.fixture
def run_of_jobs(office: Pair, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """Yields an instance, with the environment of the generated office."""
    for side, endpoint in (("LOCAL", office.settings.desktop), ("SUPABASE", office.settings.mobile)):
        for name, value in (
            *(("HOST", endpoint.host), ("PORT", str(endpoint.port)), ("NAME", endpoint.name)),
            *(("USER", endpoint.user), ("PASSWORD", "unused")),
        ):
            monkeypatch.setenv(f"{side}_DB_{name}", value)
    monkeypatch.delenv("POWERCA_DEMO", raising=False)
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def run_job(instance: dg.DagsterInstance, *tables: str) -> dg.ExecuteInProcessResult:
    job = build_definitions(TABLES, timeouts=QUICK_RUN, retries=ONE_RETRY).resolve_job_def("forward_full")
    return job.execute_in_process(
        instance=instance, raise_on_error=False, asset_selection=[dg.AssetKey(table) for table in tables]
    )


def test_refused_dagster_run_fails_without_retry_or_materialization(
    office: Pair, run_of_jobs: dg.DagsterInstance
) -> None:
    restore(office, jobshead="job_id < 50000")
    result = run_job(run_of_jobs, "orgmaster", "jobshead", "jobtasks")
    assert not result.success
    assert materialized(result) == {"orgmaster"}
    assert attempts(result, "jobshead") == 1
    assert attempts(result, "jobtasks") == 0, "what comes after it is not tried"
    assert "UnsafeTargetError" in failure(result, "jobshead")
    assert "allow_mass_delete" in failure(result, "jobshead")
    assert "--allow-mass-delete" not in failure(result, "jobshead")
    assert run_of_jobs.get_latest_materialization_event(dg.AssetKey("jobshead")) is None


def test_limit_of_the_environment_overrides_the_spec_in_dagster(
    run_of_jobs: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_job(run_of_jobs, "climaster").success, "three clients without a place are within the spec's limit"
    monkeypatch.setenv("POWERCA_QUARANTINE_SHARE", "0.004")
    monkeypatch.setenv("POWERCA_QUARANTINE_ROWS", "2")
    result = run_job(run_of_jobs, "climaster")
    assert "3 of 729 rows (0.41%) would go to quarantine; the limit is 0.4% and more than 2 rows" in (
        failure(result, "climaster")
    )
    assert attempts(result, "climaster") == 1


def test_refusal_is_recorded_and_cleared_by_the_next_good_run(office: Pair) -> None:
    restore(office, jobshead="FALSE")
    others = [spec for spec in TABLES if spec is not JOBSHEAD]
    with pytest.raises(SyncError):
        office.sync(JOBSHEAD, *others)
    note = "SELECT error_message FROM _sync_metadata WHERE table_name = 'jobshead'"
    assert "is empty at the source" in office.one(note)
    office.source.execute("DROP SCHEMA public CASCADE; ALTER SCHEMA whole RENAME TO public")
    with connect(office.settings.desktop) as probe:
        assert probe.execute("SELECT count(*) > 24000 FROM jobshead").fetchone() == (True,)
    result = office.sync(JOBSHEAD, *others)
    assert (result.written, office.one(note)) == (0, None)
