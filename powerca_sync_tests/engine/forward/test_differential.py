"""Over a slow connection only the difference is sent, with the same end state as a complete transfer."""

import dataclasses
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.link import simulate_link
from powerca_sync.engine.dry_run.forward_plan import plan_forward
from powerca_sync.engine.forward.forward import sync_forward
from powerca_sync.engine.postgres.database import connect
from powerca_sync.engine.requests import TableExtract
from powerca_sync.engine.result import ForwardResult, Transfer
from powerca_sync.specs import Lookup, Reference, TableSpec
from powerca_sync_tests.engine.random_offices import (
    FOLLOWED,
    ITEMS,
    KEYLESS,
    LINES,
    SEEDS,
    create_tables,
    draw,
    fill,
    sides,
    target_rows,
)
from powerca_sync_tests.helpers import ORGS, QUICK, Pair, delete_insert, row_counts, spec

pytestmark = pytest.mark.long

APART = dataclasses.replace(QUICK, transfer=Transfer.DIFFERENCES)

CLIENTS = spec("clients", "client_id")
JOBS = delete_insert(
    "jobs",
    "job_id",
    references=(Reference(column="client_id", parent="clients"),),
    lookups=(Lookup(column="client_name", table="clients", match="client_id", value="name"),),
)


@pytest.fixture
def jobs(pair: Pair) -> Pair:
    """Creates two tables with enough rows for digests, synced once."""
    pair.source.execute("""
        CREATE TABLE clients (client_id int PRIMARY KEY, name text);
        CREATE TABLE jobs (job_id int, client_id int, note text, source char(1));
        INSERT INTO clients SELECT n, 'Client ' || n FROM generate_series(1, 50) AS n;
        INSERT INTO jobs SELECT n / 2, 1 + n % 50, 'Note ' || n FROM generate_series(1, 6000) AS n""")
    pair.target.execute("""
        CREATE TABLE clients (client_id int PRIMARY KEY, name text, source char(1) DEFAULT 'D');
        CREATE TABLE jobs (id bigserial PRIMARY KEY, job_id int, client_id int, client_name text, note text,
            source char(1) DEFAULT 'D')""")
    pair.sync_all(CLIENTS, JOBS)
    return pair


def sync(pair: Pair, **rest: object) -> ForwardResult:
    return pair.sync(JOBS, CLIENTS, options=APART, **rest)  # type: ignore[arg-type]


def assert_complete_transfer_is_noop(pair: Pair) -> None:
    before = pair.text("jobs")
    result = pair.sync(JOBS, CLIENTS, options=QUICK)
    assert result.written == 0, row_counts(result)
    assert pair.text("jobs") == before


def test_unchanged_table_sends_and_stages_no_rows(jobs: Pair) -> None:
    before = jobs.text("jobs")
    result = sync(jobs)
    assert (result.extracted, result.bytes, row_counts(result)) == (6000, 0, {"unchanged": 6000})
    assert "stage" not in result.seconds
    assert jobs.text("jobs") == before


def test_changed_rows_are_sent_with_few_others(jobs: Pair) -> None:
    whole = jobs.sync(JOBS, CLIENTS, options=QUICK).bytes
    jobs.source.execute("""
        UPDATE jobs SET note = 'changed' WHERE job_id IN (7, 1000);
        DELETE FROM jobs WHERE job_id = 2000;
        INSERT INTO jobs VALUES (9000, 1, 'new')""")
    result = sync(jobs)
    assert row_counts(result) == {"inserted": 1, "updated": 4, "deleted": 2, "unchanged": 5994}
    assert result.extracted == 5999
    assert 0 < result.bytes < whole / 20
    assert_complete_transfer_is_noop(jobs)


def test_round_trips_of_unchanged_and_changed_tables(jobs: Pair) -> None:
    with simulate_link(jobs.settings.mobile, seconds=0.001) as line, connect(line.endpoint) as target:
        counts = []
        for change in (None, "UPDATE jobs SET note = 'changed' WHERE job_id = 7"):
            if change:
                jobs.source.execute(change)
            before = line.transferred()[1]
            with connect(jobs.settings.desktop) as source:
                sync_forward(
                    TableExtract(spec=JOBS), source=source, target=target, specs=[CLIENTS, JOBS], options=APART
                )
            counts.append(line.transferred()[1] - before)
    # Begin, state, lock of an unscoped table, digests, record and commit.
    assert counts[0] == 5
    # The messages of a COPY may be answered together.
    assert counts[1] <= 25


def test_servers_that_hash_differently_compare_by_sha256(jobs: Pair) -> None:
    rename = "ALTER FUNCTION pg_catalog.hash_record_extended(record, bigint) RENAME TO {}"
    jobs.target.execute(rename.format("powerca_moved"))  # type: ignore[arg-type]
    try:
        jobs.target.execute(
            "CREATE FUNCTION pg_catalog.hash_record_extended(record, bigint) RETURNS bigint LANGUAGE plpgsql"
            " AS 'BEGIN RETURN pg_catalog.powerca_moved($1, $2) # 1; END'"
        )
        result = sync(jobs)
        jobs.target.execute("DROP FUNCTION pg_catalog.hash_record_extended(record, bigint)")
    finally:
        restore = "ALTER FUNCTION pg_catalog.powerca_moved(record, bigint) RENAME TO hash_record_extended"
        jobs.target.execute(restore)
    assert (row_counts(result), result.bytes) == ({"unchanged": 6000}, 0)


def test_wide_table_is_compared_by_digests(pair: Pair) -> None:
    columns = ", ".join(f"c{n} bigint" for n in range(1000))
    pair.both(f"CREATE TABLE clients (client_id int PRIMARY KEY, {columns})")
    pair.target.execute("ALTER TABLE clients ADD source char(1) DEFAULT 'D'")
    pair.source.execute("INSERT INTO clients (client_id, c999) VALUES (1, 1), (2, 2)")
    pair.sync(CLIENTS, options=QUICK)
    assert pair.sync(CLIENTS, options=APART).bytes == 0
    pair.source.execute("UPDATE clients SET c999 = 3 WHERE client_id = 2")
    assert row_counts(pair.sync(CLIENTS, options=APART)) == {"updated": 1, "unchanged": 1}


@pytest.mark.parametrize("typed", [True, False], ids=["typed", "SHA-256"])
def test_key_with_a_control_character_is_quarantined_alone(pair: Pair, typed: bool) -> None:
    pair.both("CREATE TABLE clients (client_id text, name text CHECK (name <> 'bad'))")
    pair.source.execute("""
        ALTER TABLE clients DROP CONSTRAINT clients_name_check;
        INSERT INTO clients VALUES (E'a\x01b', 'bad'), (NULL, 'bad'), ('a', 'good'), ('b', 'good')""")
    pair.target.execute("ALTER TABLE clients ADD source char(1) DEFAULT 'D'")
    options = dataclasses.replace(APART, typed_hashes=typed)
    pair.sync(CLIENTS, options=options)
    for _ in range(2):
        assert row_counts(pair.sync(CLIENTS, options=options)) == {"quarantined": 2, "unchanged": 2}
    pair.source.execute("UPDATE clients SET name = 'better' WHERE client_id IS NULL OR client_id = 'b'")
    assert row_counts(pair.sync(CLIENTS, options=options)) == {"quarantined": 2, "updated": 1, "unchanged": 1}


def test_row_changed_on_mobile_is_repaired(jobs: Pair) -> None:
    jobs.target.execute("UPDATE jobs SET note = 'tampered with' WHERE id = 77; DELETE FROM jobs WHERE id = 99")
    assert row_counts(sync(jobs)) == {"inserted": 1, "updated": 1, "unchanged": 5998}


def test_exchanged_values_of_two_rows_are_detected(jobs: Pair) -> None:
    jobs.source.execute(
        "UPDATE jobs SET note = CASE note WHEN 'Note 10' THEN 'Note 20' ELSE 'Note 10' END"
        " WHERE note IN ('Note 10', 'Note 20')"
    )
    assert row_counts(sync(jobs)) == {"updated": 2, "unchanged": 5998}


def test_changed_lookup_value_is_filled_in_without_sending_rows(jobs: Pair) -> None:
    jobs.source.execute("UPDATE clients SET name = 'Renamed' WHERE client_id = 5")
    jobs.sync(CLIENTS)
    result = sync(jobs)
    assert (row_counts(result), result.bytes) == ({"updated": 120, "unchanged": 5880}, 0)
    assert jobs.one("SELECT count(*) FROM jobs WHERE client_name = 'Renamed'") == 120


def test_deleted_parent_is_detected_though_no_row_changed(jobs: Pair) -> None:
    jobs.target.execute("DELETE FROM clients WHERE client_id = 5")
    result = sync(jobs)
    assert row_counts(result) == {"unchanged": 5880, "quarantined": 120, "held": 120}
    jobs.sync(CLIENTS)
    assert row_counts(sync(jobs)) == {"unchanged": 6000}
    assert row_counts(sync(jobs)) == {"unchanged": 6000}


def test_quarantined_rows_are_sent_in_each_run_until_they_load(jobs: Pair) -> None:
    jobs.source.execute("INSERT INTO jobs VALUES (9001, 77, 'dangling'), (9001, 1, 'sibling')")
    for _ in range(2):
        result = sync(jobs)
        assert (result.quarantined, result.extracted) == (1, 6002)
        assert result.bytes < 4000
    jobs.both("INSERT INTO clients VALUES (77, 'Client 77')")
    assert row_counts(sync(jobs)) == {"inserted": 1, "unchanged": 6001}


def test_reverse_synced_rows_are_no_difference_with_or_without_source(jobs: Pair) -> None:
    jobs.source.execute("INSERT INTO jobs VALUES (1, 1, 'by phone', 'M')")
    jobs.target.execute("INSERT INTO jobs (job_id, client_id, note, source) VALUES (1, 1, 'by phone', 'M')")
    for _ in range(2):
        assert row_counts(sync(jobs)) == {"echo": 1, "unchanged": 6000}
    assert jobs.pull(JOBS, CLIENTS).adopted == 1
    assert row_counts(sync(jobs)) == {"echo": 1, "unchanged": 6000}
    assert sync(jobs).bytes == 0


def test_reverse_synced_rows_are_not_sent_again(jobs: Pair) -> None:
    jobs.source.execute("ALTER TABLE jobs DROP source")
    jobs.sync(JOBS, CLIENTS)
    jobs.target.execute(
        "INSERT INTO jobs (job_id, client_id, note, source) SELECT n, 1, 'by phone', 'M' FROM generate_series(1, 500) n"
    )
    jobs.pull(JOBS, CLIENTS)
    result = sync(jobs)
    assert (row_counts(result), result.bytes) == ({"echo": 500, "unchanged": 6000}, 0)


def test_office_row_equal_to_a_reverse_synced_row_is_sent(jobs: Pair) -> None:
    jobs.source.execute("ALTER TABLE jobs DROP source")
    jobs.sync(JOBS, CLIENTS)
    jobs.target.execute("INSERT INTO jobs (job_id, client_id, note, source) VALUES (1, 1, 'by phone', 'M')")
    jobs.pull(JOBS, CLIENTS)
    jobs.source.execute("INSERT INTO jobs VALUES (1, 1, 'by phone')")
    assert row_counts(sync(jobs)) == {"echo": 1, "inserted": 1, "unchanged": 6000}
    assert sync(jobs).bytes == 0
    assert jobs.one("SELECT count(*) FROM jobs WHERE note = 'by phone' AND source = 'D'") == 1


def test_office_edit_of_a_reverse_synced_row_is_skipped_and_reported(jobs: Pair) -> None:
    jobs.source.execute("ALTER TABLE jobs DROP source")
    jobs.sync(JOBS, CLIENTS)
    jobs.target.execute(
        "INSERT INTO jobs (job_id, client_id, note, source) VALUES (9001, 1, 'by phone', 'M'), (9002, 1, 'also', 'M')"
    )
    jobs.pull(JOBS, CLIENTS)
    jobs.source.execute("UPDATE jobs SET note = 'edited' WHERE job_id = 9001; DELETE FROM jobs WHERE job_id = 9002")
    for _ in range(2):
        result = sync(jobs)
        assert row_counts(result) == {"kept_mobile": 1, "unchanged": 6000}
        assert result.bytes < 4000


def test_office_edit_of_a_reverse_synced_row_with_source_is_reported(
    jobs: Pair,
) -> None:
    jobs.target.execute("INSERT INTO jobs (job_id, client_id, note, source) VALUES (9001, 1, 'by phone', 'M')")
    jobs.pull(JOBS, CLIENTS)
    jobs.source.execute("UPDATE jobs SET note = 'edited' WHERE job_id = 9001")
    for _ in range(2):
        assert row_counts(sync(jobs)) == row_counts(jobs.sync(JOBS, CLIENTS)) == {"kept_mobile": 1, "unchanged": 6000}


def test_row_handed_over_with_another_key_is_planned_and_left_alone(jobs: Pair) -> None:
    jobs.target.execute("INSERT INTO jobs (job_id, client_id, note, source) VALUES (9001, 1, 'by phone', 'M')")
    jobs.pull(JOBS, CLIENTS)
    jobs.sync(JOBS, CLIENTS)
    jobs.target.execute("UPDATE jobs SET job_id = 9100, source = 'D' WHERE job_id = 9001")
    plan = jobs.plan(CLIENTS, JOBS, only=[JOBS], options=APART)["jobs"]
    assert plan.foreseen is not None, plan
    assert row_counts(plan.foreseen) == row_counts(sync(jobs)) == {"echo": 1, "unchanged": 6000, "foreign": 1}


def test_emptied_source_is_refused_by_differential_transfer(jobs: Pair) -> None:
    jobs.source.execute("TRUNCATE jobs")
    with pytest.raises(Exception, match="is empty at the source"):
        sync(jobs)


def test_mass_delete_is_refused_by_differential_transfer(jobs: Pair) -> None:
    jobs.source.execute("DELETE FROM jobs WHERE job_id < 500")
    with pytest.raises(Exception, match="would be deleted"):
        sync(jobs)


@pytest.fixture(scope="module")
def office(shared_pair: Pair) -> Iterator[Pair]:
    create_tables(shared_pair)
    return shared_pair


@pytest.mark.parametrize("table", [LINES, KEYLESS, ITEMS, FOLLOWED], ids=["key", "no key", "upsert", "follows"])
@settings(max_examples=settings().max_examples // 2)
@given(**SEEDS, again=st.integers(0, 2**32), typed=st.booleans())
def test_differential_transfer_equals_complete_transfer(
    office: Pair, table: TableSpec, seed: int, size: int, again: int, typed: bool
) -> None:
    source, target = sides(draw(seed, size, 1, 1, 2, None))
    if table.mobile == "items":
        target = list({existing.row.k: existing for existing in target if existing.row.k is not None}.values())
    fill(office, table.mobile, source, target)
    office.sync(table, ORGS, allow_mass_delete=True, options=QUICK)
    changed, _ = sides(draw(again, size, 1, 1, 2, None))
    office.source.execute(f"DELETE FROM {table.mobile} WHERE ctid IN (SELECT ctid FROM {table.mobile} LIMIT 2)")  # noqa: S608
    with office.source.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {table.mobile} VALUES (%s, %s, %s, %s)", changed[:3])  # noqa: S608
    (foreseen,) = predict(office, table)
    options = dataclasses.replace(APART, typed_hashes=typed)
    result = office.sync(table, ORGS, allow_mass_delete=True, options=options)
    assert row_counts(result) == foreseen
    before = target_rows(office, table.mobile)
    assert office.sync(table, ORGS, allow_mass_delete=True, options=QUICK).written == 0
    assert target_rows(office, table.mobile) == before


def predict(pair: Pair, table: TableSpec) -> list[dict[str, int]]:
    """Returns the result that a complete transfer would have."""
    with pair.connected() as (source, target):
        plans = plan_forward(
            [TableExtract(spec=table, allow_mass_delete=True)],
            source=source,
            target=target,
            specs=[ORGS, table],
            options=QUICK,
        )
    return [row_counts(plan.foreseen) for plan in plans if plan.foreseen is not None]
