"""What a dry run of reverse sync predicts, and that it leaves no trace in either database."""

import dataclasses

import psycopg
import pytest

from powerca_sync.engine.dry_run.forward_plan import Prospect
from powerca_sync.engine.dry_run.reverse_plan import PullPlan, plan_reverse
from powerca_sync.engine.requests import TablePull
from powerca_sync.engine.result import ReverseResult
from powerca_sync.errors import DatabaseUnavailableError
from powerca_sync.specs import TableSpec, in_order
from powerca_sync_tests.helpers import QUICK, Pair, delete_insert, everything, pulled, spec

DIARY = delete_insert("diary", "staff_id", "day", sensitive=frozenset({"pin"}))
LEAVE = spec("leave", "leave_id")
DAYS = spec("days", "day_id")


@pytest.fixture
def office(pair: Pair) -> Pair:
    """Creates phone rows of three tables; the desktop's days of leave reference their leave."""
    pair.source.execute("""
        CREATE TABLE diary (id bigserial, staff_id int, day date, note varchar(8), pin text);
        CREATE TABLE leave (leave_id int PRIMARY KEY, status text DEFAULT 'none');
        CREATE TABLE days (day_id serial PRIMARY KEY, leave_id int REFERENCES leave)""")
    pair.target.execute("""
        CREATE TABLE diary (id bigserial PRIMARY KEY, staff_id int, day date, note text, pin text, source char(1));
        CREATE TABLE leave (leave_id int PRIMARY KEY, status text, source char(1));
        CREATE TABLE days (day_id int PRIMARY KEY, leave_id int, source char(1));
        INSERT INTO diary (staff_id, note, pin, source)
        SELECT n, 'note ' || n, 'pin-' || n, 'M' FROM generate_series(1, 7) AS n;
        INSERT INTO leave SELECT n, 'asked', 'M' FROM generate_series(1, 4) AS n;
        INSERT INTO days VALUES (1, 1, 'M'), (2, 2, 'M'), (3, 77, 'M')""")
    return pair


def plan(pair: Pair, *tables: TableSpec) -> dict[str, PullPlan]:
    """Runs the dry run of the tables and asserts that nothing is changed by it."""
    before = everything(pair.source), everything(pair.target)
    with pair.connected() as (target, source):
        plans = plan_reverse(
            [TablePull(spec=table) for table in tables],
            source=source,
            target=target,
            specs=in_order(tables),
            options=QUICK,
        )
        assert pair.one("SELECT count(*) FROM pg_class WHERE relpersistence = 't'", target) == 0
    assert (everything(pair.source), everything(pair.target)) == before
    return {one.table: one for one in plans}


def predicted(plan: PullPlan) -> ReverseResult:
    assert plan.foreseen is not None, plan
    return plan.foreseen


def assert_run_equals_dry_run(pair: Pair, *tables: TableSpec) -> dict[str, dict[str, int]]:
    """Asserts that a reverse run right after the dry run has the predicted counts."""
    plans = plan(pair, *tables)
    results = pair.pull_all(*tables)
    for table, result in results.items():
        left_out = {"seconds": {}}
        assert dataclasses.replace(predicted(plans[table]), **left_out) == dataclasses.replace(result, **left_out)
    return {table: pulled(result) for table, result in results.items()}


def test_first_reverse_run_is_predicted_without_creating_a_ledger(office: Pair) -> None:
    plan(office, DIARY)
    assert office.one("SELECT to_regnamespace('powerca_sync') IS NULL", office.source)
    assert assert_run_equals_dry_run(office, LEAVE, DAYS, DIARY) == {
        "leave": {"pulled": 4},
        "days": {"pulled": 2, "quarantined": 1},
        "diary": {"pulled": 7},
    }


def test_referenced_rows_resolve_against_planned_rows(office: Pair) -> None:
    plans = plan(office, LEAVE, DAYS)
    assert pulled(predicted(plans["days"])) == {"pulled": 2, "quarantined": 1}
    assert pulled(predicted(plan(office, DAYS)["days"])) == {"quarantined": 3}, "without the leave they name"


def test_later_reverse_runs_are_predicted_with_all_counts(office: Pair) -> None:
    office.pull_all(LEAVE, DIARY)
    office.source.execute("""
        INSERT INTO leave VALUES (5, 'asked'), (6, 'of the office');
        DELETE FROM diary WHERE staff_id = 1""")
    office.target.execute("""
        INSERT INTO leave VALUES (5, 'asked', 'M'), (6, 'of a phone', 'M'), (7, 'new', 'M');
        UPDATE diary SET note = 'edited' WHERE staff_id = 2;
        DELETE FROM diary WHERE staff_id = 3;
        INSERT INTO diary (staff_id, note, source) VALUES (8, 'much too long', 'M'), (9, 'fits', 'M')""")
    conflict = predicted(plan(office, LEAVE)["leave"]).conflict_samples[0]
    assert (conflict.phone["status"], conflict.desktop["status"]) == ("of a phone", "of the office")
    assert assert_run_equals_dry_run(office, LEAVE, DIARY) == {
        "leave": {"pulled": 1, "already_there": 4, "adopted": 1, "conflicts": 1},
        "diary": {
            **{"pulled": 1, "already_there": 6, "quarantined": 1},
            **{"changed_after_pull": 1, "missing_after_pull": 1, "gone": 1},
        },
    }
    assert assert_run_equals_dry_run(office, LEAVE, DIARY)["leave"] == {"already_there": 6, "conflicts": 1}


def test_no_default_is_evaluated_and_no_trigger_fires(office: Pair) -> None:
    office.source.execute("""
        CREATE FUNCTION forbid() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'written'; END $$;
        CREATE TRIGGER forbid BEFORE INSERT ON diary FOR EACH STATEMENT EXECUTE FUNCTION forbid()""")
    planned = plan(office, DIARY)["diary"]
    assert (planned.prospect, predicted(planned).pulled) == (Prospect.READY, 7)
    assert len(planned.inserts) == 5
    assert "pin-" not in str(planned)
    assert planned.inserts[0].before is None
    assert planned.inserts[0].after is not None
    assert planned.inserts[0].after["note"] == "note 1"
    assert office.rows("SELECT last_value, is_called FROM diary_id_seq", office.source) == [(1, False)]


def test_table_that_cannot_be_planned_is_an_error(office: Pair) -> None:
    office.source.execute("DROP TABLE diary")
    plans = plan(office, DIARY, LEAVE)
    assert (plans["diary"].prospect, plans["diary"].foreseen) == (Prospect.FAILED, None)
    assert "`diary` does not exist" in str(plans["diary"].error)
    assert pulled(predicted(plans["leave"])) == {"pulled": 4}


def test_lost_connection_fails_the_dry_run_instead_of_a_table(office: Pair) -> None:
    with office.connected() as (target, source):
        pid = target.info.backend_pid

        class BrokenConnection(psycopg.Cursor):  # type: ignore[type-arg]
            def execute(self, query, *args, **rest):  # type: ignore[no-untyped-def]
                if "powerca_phones" in str(getattr(query, "as_string", str)()):
                    office.source.execute("SELECT pg_terminate_backend(%s)", [pid])
                return super().execute(query, *args, **rest)

        target.cursor_factory = BrokenConnection
        with pytest.raises(DatabaseUnavailableError):
            plan_reverse([TablePull(spec=DIARY)], source=source, target=target, specs=[DIARY], options=QUICK)
