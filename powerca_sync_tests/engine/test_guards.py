"""Guards on a merge plan: mass inserts and emptied columns."""

import pytest

from powerca_sync.engine.dry_run.forward_plan import Prospect
from powerca_sync.errors import UnsafeTargetError
from powerca_sync.specs import TableSpec
from powerca_sync_tests.helpers import Pair, delete_insert, row_counts, spec

JOBS = delete_insert("jobs", "job_id")
BY_KEY = spec("jobs", "job_id")


@pytest.fixture
def jobs(pair: Pair) -> Pair:
    """Creates two thousand jobs, synced once, each with a number for people."""
    pair.source.execute("CREATE TABLE jobs (job_id int, job_uid varchar(25), year_id int, note char(9))")
    pair.source.execute(
        "INSERT INTO jobs SELECT n, 'uid ' || n, CASE WHEN n <= 50 THEN 2026 END, 'note'"
        " FROM generate_series(1, 2000) AS n"
    )
    pair.target.execute(
        "CREATE TABLE jobs (job_id int, job_uid varchar(25), year_id int, note char(9), source char(1))"
    )
    pair.target.execute("CREATE INDEX ON jobs (job_id)")
    return pair


def assert_refused_once(pair: Pair, table: TableSpec, words: str, switch: str) -> dict[str, int]:
    """Asserts that the run is refused without a write until the option allows it; returns the counts."""
    before = pair.text("jobs")
    plan = pair.plan(table)["jobs"]
    assert (plan.prospect, len(plan.refusals)) == (Prospect.REFUSED, 1)
    with pytest.raises(UnsafeTargetError) as caught:
        pair.sync(table)
    assert str(caught.value) == plan.refusals[0]
    assert words in plan.refusals[0]
    assert f"To allow it once, run with `--{switch.replace('_', '-')}`." in plan.refusals[0]
    assert pair.text("jobs") == before
    assert pair.plan(table, **{switch: True})["jobs"].prospect is Prospect.READY
    return row_counts(pair.sync(table, **{switch: True}))


def test_rows_doubled_on_the_desktop_are_refused(jobs: Pair) -> None:
    jobs.sync(JOBS)
    jobs.source.execute("INSERT INTO jobs SELECT j.* FROM jobs AS j, generate_series(1, 4)")
    words = "8000 rows would be inserted beside the office's 2000; the limit is 1000."
    assert assert_refused_once(jobs, JOBS, words, "allow_mass_insert") == {"inserted": 8000, "unchanged": 2000}


def test_first_sync_and_growth_within_the_limit_pass(jobs: Pair) -> None:
    assert row_counts(jobs.sync(BY_KEY)) == {"inserted": 2000}
    jobs.source.execute("INSERT INTO jobs SELECT n, 'uid', 0, '' FROM generate_series(2001, 3000) n")
    assert row_counts(jobs.sync(BY_KEY)) == {"inserted": 1000, "unchanged": 2000}
    jobs.source.execute("INSERT INTO jobs SELECT n, 'uid', 0, '' FROM generate_series(3001, 4501) n")
    words = "1501 rows would be inserted beside the office's 3000; the limit is 1500."
    assert assert_refused_once(jobs, BY_KEY, words, "allow_mass_insert") == {"inserted": 1501, "unchanged": 3000}


def test_rows_deleted_on_mobile_are_inserted_again(jobs: Pair) -> None:
    jobs.sync(BY_KEY)
    jobs.target.execute("DELETE FROM jobs WHERE job_id > 500")
    assert row_counts(jobs.sync(BY_KEY)) == {"inserted": 1500, "unchanged": 500}


@pytest.mark.parametrize("table", [JOBS, BY_KEY], ids=["delete_insert", "upsert"])
@pytest.mark.parametrize("emptied", ["NULL", "''", "' '"])
def test_emptied_column_is_refused(jobs: Pair, table: TableSpec, emptied: str) -> None:
    jobs.sync(table)
    jobs.source.execute(f"UPDATE jobs SET job_uid = {emptied} WHERE job_id <= 401")  # noqa: S608
    words = "columns would be emptied: `job_uid` in 401 of 2000 rows; the limit is 20% and 20 values."
    assert assert_refused_once(jobs, table, words, "allow_emptied") == {"updated": 401, "unchanged": 1599}


def test_share_of_emptied_values_is_that_of_the_column(jobs: Pair) -> None:
    jobs.sync(JOBS)
    jobs.source.execute("UPDATE jobs SET job_uid = NULL WHERE job_id <= 400")
    jobs.source.execute("UPDATE jobs SET year_id = NULL WHERE job_id <= 20")
    assert row_counts(jobs.sync(JOBS)) == {"updated": 400, "unchanged": 1600}
    jobs.source.execute("UPDATE jobs SET year_id = NULL WHERE job_id <= 41")
    words = "columns would be emptied: `year_id` in 21 of 30 rows"
    assert assert_refused_once(jobs, JOBS, words, "allow_emptied") == {"updated": 21, "unchanged": 1979}
    # A value that moves to another row is not lost, and an unchanged one is not either.
    jobs.source.execute("UPDATE jobs SET job_uid = 'another', note = NULL WHERE job_id > 1700")
    assert row_counts(jobs.sync(JOBS)) == {"updated": 300, "unchanged": 1700}
