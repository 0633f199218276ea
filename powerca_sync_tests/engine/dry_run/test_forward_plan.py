"""What a dry run predicts, what it leaves untouched, and what it reports where it cannot predict."""

import dataclasses
from collections.abc import Iterator

import psycopg
import pytest

from powerca_sync.engine.dry_run.forward_plan import Change, Prospect, TablePlan, plan_forward
from powerca_sync.engine.postgres.database import connect
from powerca_sync.engine.requests import TableExtract
from powerca_sync.engine.result import ForwardResult, Transfer
from powerca_sync.errors import DatabaseUnavailableError
from powerca_sync.specs import Deletes, Lookup, Reference
from powerca_sync_tests.helpers import ORGS, QUICK, Pair, delete_insert, row_counts, spec

ORG = Reference(column="org_id", parent="orgs")
CLIENTS = spec("clients", "client_id", office="org_id", references=(ORG,), deletes=Deletes.PROPAGATE)
JOBS = delete_insert(
    "jobs",
    "job_id",
    office="org_id",
    references=(ORG, Reference(column="client_id", parent="clients")),
    lookups=(Lookup(column="client_name", table="clients", match="client_id", value="name"),),
    sensitive=frozenset({"secret"}),
)
#: Has no org_id: its office is that of its client.
NOTES = spec(
    "notes", "note_id", office="client_id", references=(Reference(column="client_id", parent="clients"),), sensitive=()
)
TABLES = (ORGS, CLIENTS, JOBS, NOTES)


@pytest.fixture
def office(pair: Pair) -> Iterator[Pair]:
    """Creates clients of one organisation, their jobs and notes, never synced."""
    pair.source.execute("""
        CREATE TABLE orgs (org_id int);
        CREATE TABLE clients (client_id int, org_id int, name text);
        CREATE TABLE jobs (job_id int, org_id int, client_id int, line text, secret text);
        CREATE TABLE notes (note_id int, client_id int, note text);
        INSERT INTO orgs VALUES (1);
        INSERT INTO clients SELECT n, 1, 'client ' || n FROM generate_series(1, 30) AS n;
        INSERT INTO jobs SELECT n, 1, n, 'line', 'secret ' || n FROM generate_series(1, 31) AS n;
        INSERT INTO notes SELECT n, n, 'note' FROM generate_series(1, 31) AS n""")
    pair.target.execute("""
        CREATE TABLE orgs (org_id int PRIMARY KEY, source char(1) DEFAULT 'D');
        CREATE TABLE clients (client_id int PRIMARY KEY, org_id int REFERENCES orgs, name text, source char(1),
            number serial, updated_at timestamptz DEFAULT now());
        CREATE TABLE jobs (id bigserial PRIMARY KEY, job_id int, org_id int, client_id int REFERENCES clients,
            client_name text, line varchar(20), secret text, source char(1));
        CREATE TABLE notes (note_id int PRIMARY KEY, client_id int REFERENCES clients, note text, source char(1));
        CREATE FUNCTION forbid() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'written'; END $$""")
    yield pair
    pair.target.execute("DROP OWNED BY reader; DROP ROLE reader" if has_reader(pair) else "")


def has_reader(pair: Pair) -> bool:
    return bool(pair.one("SELECT count(*) FROM pg_roles WHERE rolname = 'reader'"))


def dry_run(plan: TablePlan) -> ForwardResult:
    assert plan.foreseen is not None, plan
    return plan.foreseen


def assert_run_equals_dry_run(office: Pair, **rest: object) -> dict[str, TablePlan]:
    """Asserts that a run right after the dry run has the predicted counts."""
    plans = office.plan(*TABLES, options=QUICK, **rest)  # type: ignore[arg-type]
    for table, result in office.sync_all(*TABLES, options=QUICK, **rest).items():
        assert dataclasses.replace(dry_run(plans[table]), seconds={}, snapshot=None) == dataclasses.replace(
            result, seconds={}, snapshot=None
        )
    return plans


def change_everything(office: Pair) -> None:
    """Inserts, updates and deletes rows in each table, some of which depend on each other."""
    office.source.execute("""
        INSERT INTO clients VALUES (50, 1, 'new client'), (51, 1, 'another');
        UPDATE clients SET name = 'renamed' WHERE client_id IN (2, 3);
        DELETE FROM clients WHERE client_id = 30;
        INSERT INTO jobs VALUES (50, 1, 50, 'job of a new client', 's'), (52, 1, 52, 'job of nobody', 's');
        UPDATE jobs SET secret = 'changed' WHERE job_id = 5;
        DELETE FROM jobs WHERE job_id = 6 OR client_id = 30;
        INSERT INTO notes VALUES (50, 50, 'note of a new client'), (52, 52, 'note of nobody')""")
    office.target.execute("""
        UPDATE notes SET source = 'M', note = 'by phone' WHERE note_id = 7;
        UPDATE clients SET source = NULL WHERE client_id = 4;
        INSERT INTO jobs (job_id, org_id, source) VALUES (99, 1, 'M'), (98, 1, 'S')""")


def test_parents_and_lookups_resolve_against_planned_rows(office: Pair) -> None:
    plans = assert_run_equals_dry_run(office)
    assert {table: row_counts(dry_run(plan)) for table, plan in plans.items()} == {
        "orgs": {"inserted": 1},
        "clients": {"inserted": 30},
        "jobs": {"inserted": 30, "quarantined": 1},
        "notes": {"inserted": 30, "quarantined": 1},
    }
    assert [lookup.filled for lookup in dry_run(plans["jobs"]).lookups] == [30]
    assert dry_run(plans["jobs"]).lookups[0].missed == 0


@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_run_after_a_dry_run_has_its_counts(office: Pair, mode: str) -> None:
    office.sync_all(*TABLES)
    change_everything(office)
    plans = assert_run_equals_dry_run(office, mode=mode)
    assert row_counts(dry_run(plans["clients"])) == (
        {"inserted": 2, "updated": 3, "unchanged": 26, "kept_referenced": 1}
        if mode == "full"
        else {"inserted": 2, "updated": 2}
    )
    assert row_counts(dry_run(plans["jobs"])) == {
        **{"inserted": 1, "updated": 3, "unchanged": 25, "deleted": 2, "quarantined": 2, "kept_other": 1}
    }
    again = office.plan(*TABLES, mode=mode)
    assert all(dry_run(plan).written == 0 for plan in again.values())
    assert assert_run_equals_dry_run(office, mode=mode) is not None


def test_differential_run_after_a_dry_run_has_its_counts(office: Pair) -> None:
    options = dataclasses.replace(QUICK, transfer=Transfer.DIFFERENCES)
    office.sync_all(*TABLES)
    change_everything(office)
    for _ in range(2):
        plans = office.plan(*TABLES, options=options)
        results = office.sync_all(*TABLES, options=options)
        assert {table: row_counts(dry_run(plan)) for table, plan in plans.items()} == {
            table: row_counts(result) for table, result in results.items()
        }


def test_planned_change_of_a_lookup_table_makes_the_run_full(pair: Pair) -> None:
    lookup = Lookup(column="name", table="clients", match="client_id")
    clients, jobs = spec("clients", "client_id"), spec("jobs", "job_id", lookups=(lookup,))
    pair.both("CREATE TABLE clients (client_id int PRIMARY KEY, name text)")
    pair.source.execute("CREATE TABLE jobs (job_id int PRIMARY KEY, client_id int)")
    pair.target.execute("CREATE TABLE jobs (job_id int PRIMARY KEY, client_id int, name text, source char(1))")
    pair.source.execute("INSERT INTO clients VALUES (1, 'old'); INSERT INTO jobs VALUES (1, 1), (2, 1)")
    pair.sync_all(clients, jobs)
    assert dry_run(pair.plan(clients, jobs, mode="incremental")["jobs"]).extracted == 0
    pair.source.execute("UPDATE clients SET name = 'new'")
    plan = dry_run(pair.plan(clients, jobs, mode="incremental")["jobs"])
    assert (plan.mode_reason, plan.updated) == ("a lookup table has changed", 2)
    assert dry_run(pair.plan(clients, jobs, mode="incremental", only=[jobs])["jobs"]).extracted == 0
    assert row_counts(pair.sync_all(clients, jobs, mode="incremental")["jobs"]) == {"updated": 2}


def test_changes_show_old_and_new_values_with_sensitive_ones_masked(office: Pair) -> None:
    office.sync_all(*TABLES)
    change_everything(office)
    plans = office.plan(*TABLES)
    assert plans["clients"].changes == {"name": 2, "source": 1}
    assert Change(key={"client_id": "2"}, before={"name": "client 2"}, after={"name": "renamed"}) in (
        plans["clients"].updates
    )
    assert Change(key={"client_id": "4"}, before={"source": None}, after={"source": "D"}) in plans["clients"].updates
    jobs = plans["jobs"]
    assert jobs.changes == {"client_name": 2, "secret": 1}
    assert Change(key={"id": "5", "job_id": "5"}, before={"secret": "***"}, after={"secret": "***"}) in jobs.updates
    (insert,) = jobs.inserts
    assert insert.after == {
        **{"job_id": "50", "org_id": "1", "client_id": "50", "client_name": "new client"},
        **{"line": "job of a new client", "secret": "***"},
    }
    assert {delete.key["job_id"] for delete in jobs.deletes} == {"6", "30"}
    assert all(delete.before is not None and delete.before["secret"] == "***" for delete in jobs.deletes)
    assert not any(word in str(plans) for word in ("secret 5", "secret 6", "'changed'"))


def test_no_default_is_evaluated_and_no_trigger_fires(office: Pair) -> None:
    for table in ("orgs", "clients", "jobs", "notes"):
        office.target.execute(
            f"CREATE TRIGGER forbid BEFORE INSERT OR UPDATE OR DELETE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION forbid()"
        )
    plans = office.plan(*TABLES)
    assert {plan.prospect for plan in plans.values()} == {Prospect.READY}
    assert office.rows("SELECT last_value, is_called FROM jobs_id_seq") == [(1, False)]


def test_dry_run_before_first_contact_registers_and_creates_nothing(office: Pair) -> None:
    assert {plan.prospect for plan in office.plan(*TABLES).values()} == {Prospect.READY}
    assert office.one("SELECT to_regclass('_sync_metadata') IS NULL AND to_regnamespace('powerca_sync') IS NULL")


@pytest.mark.parametrize("synced_before", [False, True])
def test_select_and_temporary_privileges_are_sufficient(office: Pair, synced_before: bool) -> None:
    if synced_before:
        office.sync_all(*TABLES)
        change_everything(office)
    expected = office.plan(*TABLES)
    office.target.execute("CREATE ROLE reader LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    if synced_before:
        office.target.execute(
            "GRANT USAGE ON SCHEMA powerca_sync TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA powerca_sync TO reader"
        )
    reader = dataclasses.replace(office.settings.mobile, user="reader")
    with connect(office.settings.desktop) as source, connect(reader) as target:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            target.execute("DELETE FROM clients")
        plans = plan_forward(
            [TableExtract(spec=table) for table in TABLES], source=source, target=target, specs=TABLES, options=QUICK
        )
    assert {plan.table: row_counts(dry_run(plan)) for plan in plans} == {
        table: row_counts(dry_run(plan)) for table, plan in expected.items()
    }


def test_guard_refusal_is_predicted_with_counts_and_skips_dependents(office: Pair) -> None:
    office.sync_all(*TABLES)
    office.source.execute("DELETE FROM notes; DELETE FROM jobs; DELETE FROM clients WHERE client_id > 3")
    office.target.execute("DELETE FROM notes; DELETE FROM jobs")
    plans = office.plan(*TABLES)
    clients = plans["clients"]
    assert (clients.prospect, row_counts(dry_run(clients))) == (Prospect.REFUSED, {"unchanged": 3, "deleted": 27})
    (refusal,) = clients.refusals
    assert "27 of the office's 30 rows would be deleted; the limit is 20" in refusal
    assert "--allow-mass-delete" in refusal
    for table in ("jobs", "notes"):
        assert (plans[table].prospect, plans[table].error) == (Prospect.SKIPPED, "it needs the rows of clients")
        assert plans[table].foreseen is None
    allowed = office.plan(*TABLES, allow_mass_delete=True)
    assert {plan.prospect for plan in allowed.values()} == {Prospect.READY}
    assert dry_run(allowed["clients"]).deleted == 27


def test_emptied_table_and_too_large_quarantine_are_refused(office: Pair) -> None:
    office.sync_all(*TABLES)
    office.source.execute("DELETE FROM jobs; UPDATE notes SET client_id = 77")
    plans = office.plan(*TABLES)
    assert "`jobs` is empty at the source; the last run read 31 rows" in plans["jobs"].refusals[0]
    assert dry_run(plans["jobs"]).deleted == 0
    assert "31 of 31 rows (100%) would go to quarantine" in plans["notes"].refusals[0]


def test_desktop_with_foreign_or_no_organisations_is_refused(office: Pair) -> None:
    office.sync_all(*TABLES)
    office.target.execute("UPDATE powerca_sync.office SET office = 'another/desktop'")
    plans = office.plan(*TABLES)
    assert "Organisation 1 belongs to another desktop" in plans["orgs"].refusals[0]
    assert {plan.prospect for plan in plans.values()} == {Prospect.REFUSED, Prospect.SKIPPED}
    office.source.execute("DELETE FROM orgs")
    (plan,) = office.plan(*TABLES, only=[JOBS]).values()
    assert (plan.prospect, plan.foreseen) == (Prospect.REFUSED, None)
    assert "`orgs` has 0 rows with a key" in plan.refusals[0]


def test_table_that_cannot_be_planned_is_an_error(office: Pair) -> None:
    office.target.execute("DROP TABLE jobs; ALTER TABLE notes DROP COLUMN note_id")
    plans = office.plan(*TABLES)
    for table, words in (("jobs", "does not exist on mobile"), ("notes", "note_id")):
        assert (plans[table].prospect, plans[table].foreseen) == (Prospect.FAILED, None)
        assert words in str(plans[table].error)
        assert plans[table].kind == "SchemaMismatchError"
    assert plans["clients"].prospect is Prospect.READY


def test_table_that_the_source_refuses_does_not_stop_the_others(office: Pair) -> None:
    office.source.execute("ALTER TABLE clients RENAME TO gone; CREATE VIEW clients AS SELECT *, 1 / 0 AS x FROM gone")
    office.source.execute("CREATE TABLE others (id int); INSERT INTO others VALUES (1)")
    office.target.execute("CREATE TABLE others (id int PRIMARY KEY, source char(1)); ALTER TABLE clients ADD x int")
    others = spec("others", "id", references=())
    plans = office.plan(*TABLES, others)
    assert plans["clients"].prospect is Prospect.FAILED
    assert "planning table `clients`: reading the source failed: division by zero" in str(plans["clients"].error)
    assert plans["jobs"].prospect is Prospect.SKIPPED
    assert row_counts(dry_run(plans["others"])) == {"inserted": 1}


def test_table_that_depends_on_generated_values_is_not_predicted(office: Pair) -> None:
    office.source.execute("CREATE TABLE extras (id int, client_id int); INSERT INTO extras VALUES (1, 1)")
    office.target.execute("CREATE TABLE extras (id int PRIMARY KEY, client_id int, number int, source char(1))")
    extras = spec("extras", "id", lookups=(Lookup(column="number", table="clients", match="client_id"),))
    plan = office.plan(*TABLES, extras)["extras"]
    assert plan.prospect is Prospect.FAILED
    assert "depends on the column `public.clients.number`, which the target makes itself" in str(plan.error)
    office.sync_all(ORGS, CLIENTS)
    assert row_counts(dry_run(office.plan(*TABLES, extras)["extras"])) == {"inserted": 1}, "the clients are there now"


def test_only_selected_tables_are_planned(office: Pair) -> None:
    plans = office.plan(*TABLES, only=[NOTES, ORGS])
    assert list(plans) == ["orgs", "notes"]
    assert row_counts(dry_run(plans["notes"])) == {"quarantined": 31}
    assert plans["notes"].prospect is Prospect.REFUSED


def test_planned_child_deletion_and_insertion_decide_on_the_parent(pair: Pair) -> None:
    """The target has a reference that no spec declares, so that the child is synced first."""
    children, parents = delete_insert("children", "id"), delete_insert("parents", "id")
    pair.source.execute("CREATE TABLE children (id int, parent int); CREATE TABLE parents (id int)")
    pair.target.execute("""
        CREATE TABLE parents (id int PRIMARY KEY, source char(1));
        CREATE TABLE children (id int, parent int REFERENCES parents, source char(1))""")
    pair.source.execute("INSERT INTO parents VALUES (1), (2), (3); INSERT INTO children VALUES (7, 1), (8, 2)")
    pair.sync(parents)
    pair.sync(children)
    pair.source.execute("DELETE FROM parents WHERE id < 3; DELETE FROM children WHERE id = 7")
    plans = pair.plan(children, parents)
    assert list(plans) == ["children", "parents"]
    results = pair.sync_all(children, parents)
    assert {table: row_counts(dry_run(plan)) for table, plan in plans.items()} == {
        table: row_counts(result) for table, result in results.items()
    }
    assert row_counts(results["parents"]) == {"unchanged": 1, "deleted": 1, "kept_referenced": 1}


def test_lost_connection_fails_the_dry_run_instead_of_a_table(office: Pair) -> None:
    with office.connected() as (source, target):
        pid = target.info.backend_pid

        class BrokenConnection(psycopg.Cursor):  # type: ignore[type-arg]
            def execute(self, query, *args, **rest):  # type: ignore[no-untyped-def]
                if "powerca_actions" in str(getattr(query, "as_string", str)()):
                    office.target.execute("SELECT pg_terminate_backend(%s)", [pid])
                return super().execute(query, *args, **rest)

        target.cursor_factory = BrokenConnection
        with pytest.raises(DatabaseUnavailableError):
            plan_forward([TableExtract(spec=table) for table in TABLES], source=source, target=target, specs=TABLES)


def test_connection_settings_are_restored(office: Pair) -> None:
    with office.connected() as (source, target):
        before = target.info.transaction_status, target.execute("SHOW TimeZone").fetchone()
        plan_forward([TableExtract(spec=ORGS)], source=source, target=target, specs=TABLES, options=QUICK)
        assert (target.info.transaction_status, target.execute("SHOW TimeZone").fetchone()) == before
        target.execute("INSERT INTO orgs VALUES (9)")
    assert office.one("SELECT count(*) FROM orgs") == 1
