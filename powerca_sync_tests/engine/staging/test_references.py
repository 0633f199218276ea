"""Foreign keys: a row whose parent is missing on the target is quarantined until the parent lands."""

import dataclasses

import pytest

from powerca_sync.errors import UnsafeTargetError
from powerca_sync.specs import Category, Reference, TableSpec
from powerca_sync_tests.helpers import ORGS, Pair, assert_noop, delete_insert, row_counts, spec

JOBS = spec("jobs", "job_id")
JOB = Reference(column="job_id", parent="jobs")
TASKS = spec("tasks", "task_id", references=(JOB,), limit_share=1.0)


def make_tables(pair: Pair, job: str = "int", task_job: str = "int", *, on_target: str = "", key: str = "") -> None:
    """Creates jobs and their tasks; takes the type of `job_id` on the source, and on the target if it differs."""
    pair.source.execute(f"CREATE TABLE jobs (job_id {job}); CREATE TABLE tasks (task_id int, job_id {task_job})")
    pair.target.execute(f"""
        CREATE TABLE jobs (job_id {on_target or job} PRIMARY KEY, source char(1) DEFAULT 'D');
        CREATE TABLE tasks (task_id int PRIMARY KEY, job_id {on_target or task_job} {key}, source char(1))""")


def reasons(pair: Pair) -> list[tuple[object, ...]]:
    return pair.rows(
        "SELECT key ->> 'task_id', reason, column_name, value, parent FROM powerca_sync.quarantine"
        " WHERE table_name = 'tasks' ORDER BY 1"
    )


def test_row_without_its_parent_is_quarantined_naming_the_parent(pair: Pair) -> None:
    make_tables(pair)
    pair.source.execute("INSERT INTO jobs VALUES (1); INSERT INTO tasks VALUES (10, 1), (11, 7), (12, NULL)")
    results = pair.sync_all(JOBS, TASKS)
    assert row_counts(results["tasks"]) == {"inserted": 2, "quarantined": 1}
    assert results["tasks"].filtered == 1
    assert str(results["tasks"].samples[0]) == "job_id=7 has no matching row in jobs"
    assert reasons(pair) == [("11", "reference", "job_id", "7", "jobs")]


def test_rows_of_quarantined_parents_have_a_reason_of_their_own(pair: Pair) -> None:
    make_tables(pair)
    pair.both("ALTER TABLE jobs ADD days int")
    pair.target.execute("ALTER TABLE jobs ADD CHECK (days > 0)")
    pair.source.execute("INSERT INTO jobs VALUES (1, 1), (2, -1); INSERT INTO tasks VALUES (10, 1), (11, 2), (12, 7)")
    lenient = dataclasses.replace(JOBS, limit_share=1.0)
    missing, quarantined = (
        "job_id has no matching row in jobs",
        "job_id references a row of jobs that is itself quarantined",
    )
    assert planned_reasons(pair, lenient) == {missing: 1, quarantined: 1}
    result = pair.sync_all(lenient, TASKS)["tasks"]
    assert {entry.why: entry.rows for entry in result.rejections} == {missing: 1, quarantined: 1}
    assert (result.filtered, row_counts(result)) == (2, {"inserted": 1, "quarantined": 2})
    assert reasons(pair) == [
        ("11", "quarantined_parent", "job_id", "2", "jobs"),
        ("12", "reference", "job_id", "7", "jobs"),
    ]
    assert planned_reasons(pair, lenient, only=[TASKS]) == {missing: 1, quarantined: 1}
    pair.source.execute("UPDATE jobs SET days = 1")
    assert planned_reasons(pair, lenient) == {missing: 1}
    assert row_counts(pair.sync_all(lenient, TASKS)["tasks"]) == {"inserted": 1, "unchanged": 1, "quarantined": 1}


def planned_reasons(pair: Pair, jobs: TableSpec, only: list[TableSpec] | None = None) -> dict[str, int]:
    foreseen = pair.plan(jobs, TASKS, only=only)["tasks"].foreseen
    assert foreseen is not None
    return {entry.why: entry.rows for entry in foreseen.rejections}


@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_parent_that_lands_a_run_later_lands_its_child(pair: Pair, mode: str) -> None:
    make_tables(pair)
    pair.source.execute("INSERT INTO tasks VALUES (10, 1), (11, 1), (12, 2)")
    pair.sync_all(JOBS, TASKS)
    assert len(reasons(pair)) == 3
    pair.source.execute("INSERT INTO jobs VALUES (1)")
    pair.sync(JOBS)
    result = pair.sync(TASKS, JOBS, mode=mode)
    assert result.mode_effective == mode
    assert row_counts(result) == {"inserted": 2, "quarantined": 1}
    assert reasons(pair) == [("12", "reference", "job_id", "2", "jobs")]


@pytest.mark.parametrize(("kind", "zero"), [("int", "0"), ("numeric(8,2)", "0.00"), ("text", "0")])
def test_zero_is_no_reference_only_if_the_spec_says_so(pair: Pair, kind: str, zero: str) -> None:
    make_tables(pair, job=kind, task_job=kind)
    pair.source.execute("INSERT INTO tasks VALUES (10, %s)", [zero])
    assert row_counts(pair.sync_all(JOBS, TASKS)["tasks"]) == {"quarantined": 1}
    lenient = spec("tasks", "task_id", references=(dataclasses.replace(JOB, zero_is_none=True),), limit_share=1.0)
    assert row_counts(pair.sync(lenient, JOBS)) == {"inserted": 1}


def test_zero_is_a_reference_if_a_parent_has_that_key(pair: Pair) -> None:
    make_tables(pair)
    pair.source.execute("INSERT INTO jobs VALUES (0); INSERT INTO tasks VALUES (10, 0)")
    assert row_counts(pair.sync_all(JOBS, TASKS)["tasks"]) == {"inserted": 1}


def test_order_only_dependency_quarantines_no_row(pair: Pair) -> None:
    make_tables(pair)
    ordered = spec("tasks", "task_id", references=(dataclasses.replace(JOB, order_only=True),), limit_share=1.0)
    pair.source.execute("INSERT INTO tasks VALUES (10, 7)")
    assert row_counts(pair.sync(ordered, JOBS)) == {"inserted": 1}


@pytest.mark.parametrize(
    "reference",
    [None, dataclasses.replace(JOB, order_only=True), dataclasses.replace(JOB, zero_is_none=True)],
    ids=["not declared", "order-only", "zero is no reference"],
)
def test_enforced_foreign_key_is_checked_whatever_the_spec_says(pair: Pair, reference: Reference | None) -> None:
    make_tables(pair, key="REFERENCES jobs DEFERRABLE INITIALLY DEFERRED")
    table = spec("tasks", "task_id", references=(reference,) if reference else (), limit_share=1.0)
    pair.source.execute("INSERT INTO jobs VALUES (1); INSERT INTO tasks VALUES (10, 1), (11, 0), (12, 7), (13, NULL)")
    pair.sync(JOBS)
    assert row_counts(pair.sync(table, JOBS)) == {"inserted": 2, "quarantined": 2}
    assert [reason[1:] for reason in reasons(pair)] == [
        ("reference", "job_id", "0", "jobs"),
        ("reference", "job_id", "7", "jobs"),
    ]


def test_foreign_key_that_is_not_enforced_quarantines_no_row(pair: Pair) -> None:
    make_tables(pair)
    if pair.target.info.server_version < 180000:
        pytest.skip("NOT ENFORCED is there since PostgreSQL 18")
    pair.target.execute("""
        ALTER TABLE tasks ADD FOREIGN KEY (job_id) REFERENCES jobs NOT ENFORCED, ADD CHECK (job_id < 5) NOT ENFORCED""")
    pair.source.execute("INSERT INTO tasks VALUES (10, 7)")
    assert row_counts(pair.sync(spec("tasks", "task_id"))) == {"inserted": 1}


def test_composite_foreign_key_is_checked_as_a_whole(pair: Pair) -> None:
    pair.both("""
        CREATE TABLE jobs (org int, job int, PRIMARY KEY (org, job));
        CREATE TABLE tasks (task_id int PRIMARY KEY, org int, job int)""")
    pair.target.execute("ALTER TABLE tasks ADD FOREIGN KEY (org, job) REFERENCES jobs")
    pair.source.execute("""
        INSERT INTO jobs VALUES (1, 1), (2, 2);
        INSERT INTO tasks VALUES (10, 1, 1), (11, 1, 2), (12, NULL, 9)""")
    pair.sync(spec("jobs", "org", "job"))
    assert row_counts(pair.sync(spec("tasks", "task_id"))) == {"inserted": 2, "quarantined": 1}
    assert reasons(pair) == [("11", "reference", "org, job", "1, 2", "jobs")]


TREE = spec("tree", "node", references=(Reference(column="parent", parent="tree", parent_column="node"),))


def make_tree(pair: Pair, key: str = "") -> None:
    pair.source.execute("CREATE TABLE tree (node int, parent int, name text)")
    pair.target.execute(
        f"CREATE TABLE tree (node int PRIMARY KEY, parent int {key}, name text CHECK (name <> 'bad'), source char(1))"
    )


@pytest.mark.parametrize("key", ["", "REFERENCES tree"])
def test_row_may_reference_an_accepted_row_of_the_same_run(pair: Pair, key: str) -> None:
    make_tree(pair, key)
    pair.source.execute("""
        INSERT INTO tree VALUES (3, 2, 'c'), (2, 1, 'b'), (1, NULL, 'a'), (6, 6, 'itself'),
            (13, 12, 'x'), (12, 11, 'y'), (11, NULL, 'bad')""")
    result = pair.sync(TREE)
    assert row_counts(result) == {"inserted": 4, "quarantined": 3}
    assert {entry.reason: entry.rows for entry in result.rejections} == {"check": 1, "quarantined_parent": 2}
    assert_noop(pair, TREE)


def test_children_before_their_parents_land_beside_a_refused_row(pair: Pair) -> None:
    make_tree(pair, "REFERENCES tree")
    refuse(pair, "tree", "NEW.node = 50")
    pair.source.execute("INSERT INTO tree SELECT n, nullif(n + 1, 101), 'n' FROM generate_series(1, 100) AS n")
    pair.source.execute("UPDATE tree SET parent = NULL WHERE parent = 50")
    result = pair.sync(TREE)
    assert row_counts(result) == {"inserted": 99, "quarantined": 1}
    assert str(result.samples[0]) == "not this one"


def refuse(pair: Pair, table: str, condition: str) -> None:
    pair.target.execute(f"""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN IF {condition} THEN RAISE EXCEPTION 'not this one'; END IF; RETURN NEW; END $$;
        CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION refuse()""")


def test_row_of_another_office_is_not_a_parent(pair: Pair) -> None:
    pair.both("CREATE TABLE orgs (org_id int); CREATE TABLE jobs (job_id int, org_id int)")
    pair.both("CREATE TABLE tasks (task_id int, job_id int, org_id int)")
    pair.target.execute("ALTER TABLE orgs ADD source char(1); INSERT INTO jobs VALUES (1, 2), (3, NULL)")
    jobs = spec("jobs", "job_id", office="org_id")
    tasks = spec("tasks", "task_id", office="org_id", references=(JOB,))
    pair.source.execute("INSERT INTO orgs VALUES (1); INSERT INTO jobs VALUES (2, 1)")
    pair.source.execute("INSERT INTO tasks VALUES (10, 1, 1), (11, 2, 1), (12, 3, 1)")
    assert row_counts(pair.sync_all(ORGS, jobs, tasks)["tasks"]) == {"inserted": 1, "quarantined": 2}
    assert pair.rows("SELECT task_id FROM tasks") == [(11,)]


@pytest.mark.parametrize(
    ("source", "target"),
    [("numeric(10,0)", "bigint"), ("text", "int"), ("int", "text"), ("bigint", "numeric(12,2)"), ("char(5)", "text")],
)
def test_keys_of_different_types_are_matched_and_referenced(pair: Pair, source: str, target: str) -> None:
    make_tables(pair, job=source, task_job=source, on_target=target)
    pair.source.execute("INSERT INTO jobs VALUES ('1'), ('2'); INSERT INTO tasks VALUES (10, '1'), (11, '7')")
    assert row_counts(pair.sync_all(JOBS, TASKS)["tasks"]) == {"inserted": 1, "quarantined": 1}
    pair.source.execute("INSERT INTO jobs VALUES ('7')")
    assert row_counts(pair.sync(JOBS, mode="incremental"))["inserted"] == 1
    assert row_counts(pair.sync(TASKS, JOBS, mode="incremental"))["inserted"] == 1
    assert_noop(pair, JOBS, TASKS)


def test_parent_and_child_keys_of_different_types_match(pair: Pair) -> None:
    make_tables(pair, job="numeric(10,2)", task_job="text")
    pair.source.execute("INSERT INTO jobs VALUES (1), (2); INSERT INTO tasks VALUES (10, '1.00'), (11, 'x')")
    assert row_counts(pair.sync_all(JOBS, TASKS)["tasks"]) == {"inserted": 1, "quarantined": 1}


def test_unfit_update_of_delete_insert_retains_the_last_good_row(pair: Pair) -> None:
    make_tables(pair)
    pair.target.execute("ALTER TABLE tasks DROP CONSTRAINT tasks_pkey")
    table = delete_insert("tasks", "task_id", references=(JOB,))
    pair.source.execute("INSERT INTO jobs VALUES (1); INSERT INTO tasks VALUES (10, 1), (11, 1)")
    pair.sync_all(JOBS, table)
    before = pair.text("tasks")
    pair.source.execute("UPDATE tasks SET job_id = 9 WHERE task_id = 10")
    assert row_counts(pair.sync(table, JOBS)) == {"unchanged": 1, "quarantined": 1, "held": 1}
    assert pair.text("tasks") == before


def test_too_many_dangling_rows_roll_the_table_back_with_counts(pair: Pair) -> None:
    make_tables(pair)
    pair.source.execute("INSERT INTO jobs VALUES (1); INSERT INTO tasks SELECT n, 1 FROM generate_series(1, 80) AS n")
    pair.source.execute("INSERT INTO tasks VALUES (0, 9)")
    limited = dataclasses.replace(TASKS, limit_share=0.2)
    pair.sync_all(JOBS, limited)
    everything = "SELECT s.* FROM powerca_sync.table_state AS s", "SELECT q.* FROM powerca_sync.quarantine AS q"
    before = [pair.text("tasks"), *map(pair.rows, everything)]
    pair.source.execute("UPDATE tasks SET job_id = 7 WHERE task_id <= 21")
    with pytest.raises(UnsafeTargetError, match=r"22 of 81 rows \(27%\) would go to quarantine.*job_id=7 has no match"):
        pair.sync(limited, JOBS)
    assert [pair.text("tasks"), *map(pair.rows, everything)] == before
    message = pair.one("SELECT error_message FROM _sync_metadata WHERE table_name = 'tasks'")
    assert message.startswith("Table `tasks`: 22 of 81 rows (27%)")
    pair.source.execute("UPDATE tasks SET job_id = 1 WHERE task_id BETWEEN 10 AND 21")
    assert row_counts(pair.sync(TASKS, JOBS))["quarantined"] == 10


def test_master_tables_are_read_in_full_to_complete_their_quarantine(pair: Pair) -> None:
    make_tables(pair)
    master = spec("tasks", "task_id", references=(JOB,), category=Category.MASTERS, limit_share=1.0)
    pair.source.execute("INSERT INTO tasks VALUES (10, 1)")
    pair.sync_all(JOBS, master)
    pair.source.execute("INSERT INTO jobs VALUES (1)")
    pair.sync(JOBS)
    assert row_counts(pair.sync(master, JOBS, mode="incremental")) == {"inserted": 1}
    assert reasons(pair) == []


def test_period_reference_is_left_to_the_target(pair: Pair) -> None:
    pair.both("""
        CREATE TABLE rates (id int4range, during daterange, rate int);
        CREATE TABLE uses (id int, rate_id int4range, during daterange)""")
    pair.target.execute("""
        ALTER TABLE rates ADD source text, ADD PRIMARY KEY (id, during WITHOUT OVERLAPS);
        ALTER TABLE uses ADD source text, ADD PRIMARY KEY (id),
            ADD FOREIGN KEY (rate_id, PERIOD during) REFERENCES rates (id, PERIOD during)""")
    pair.source.execute("""
        INSERT INTO rates VALUES ('[1,2)', '[2025-01-01,2025-06-01)', 5), ('[1,2)', '[2025-06-01,2026-01-01)', 6);
        INSERT INTO uses VALUES (1, '[1,2)', '[2025-02-01,2025-03-01)'), (2, '[1,2)', '[2025-05-01,2025-07-01)'),
            (3, '[1,2)', '[2027-01-01,2027-02-01)')""")
    rates, uses = spec("rates", "id", "during"), spec("uses", "id")
    pair.sync(rates, uses)
    result = pair.sync(uses, rates)
    assert row_counts(result) == {"inserted": 2, "quarantined": 1}
    assert "violates foreign key constraint" in str(result.samples[0])
