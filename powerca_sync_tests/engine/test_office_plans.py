"""With the indexes that `doctor` recommends, no statement reads the rows of other offices."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest
from psycopg import sql

from powerca_sync.engine.dry_run import plan_reverse
from powerca_sync.engine.requests import TablePull
from powerca_sync.engine.result import Transfer
from powerca_sync.engine.verify import verify
from powerca_sync.specs import Reference
from powerca_sync_tests.engine.clinic import examined, problems
from powerca_sync_tests.engine.test_query_plans import ExplainingCursor, nodes, plans
from powerca_sync_tests.helpers import ORGS, QUICK, Pair, delete_insert, pulled, row_counts, spec

__all__ = ["plans"]

OWN = """
CREATE TABLE orgs (org_id int);
CREATE TABLE mbdiary (org_id int, job_id int, line text);
CREATE TABLE mbvisits (no int, org_id int, name text);
CREATE TABLE mbdetails (detail_id int, no int, note text);
INSERT INTO orgs VALUES (1);
INSERT INTO mbdiary SELECT 1, n, 'Line ' || n FROM generate_series(1, 1000) AS n;
INSERT INTO mbvisits SELECT 10000 + n, 1, 'Visit ' || n FROM generate_series(1, 1000) AS n;
INSERT INTO mbdetails SELECT 10000 + n, 10000 + n FROM generate_series(1, 1000) AS n;
"""
TARGET = """
CREATE TABLE orgs (org_id int PRIMARY KEY, source char(1) DEFAULT 'D');
CREATE TABLE diary (id bigserial PRIMARY KEY, org_id int, job_id int, line text, source char(1) DEFAULT 'D');
CREATE TABLE visits (no int PRIMARY KEY, org_id int, name text, source char(1) DEFAULT 'D');
CREATE TABLE details (detail_id int PRIMARY KEY, no int, note text, source char(1) DEFAULT 'D');
"""
#: A hundred offices with a thousand rows each in each table, and twenty phone rows, also of the office itself.
OTHERS = """
INSERT INTO powerca_sync.office SELECT n::text, 'desktop ' || n FROM generate_series(2, 101) AS n;
CREATE VIEW others AS
    SELECT org, org * 10000 + n AS n, 'D' AS source FROM generate_series(2, 101) AS org, generate_series(1, 1000) AS n
    UNION ALL
    SELECT org, 9000000 + org * 100 + n, 'M' FROM generate_series(1, 101) AS org, generate_series(1, 20) AS n;
INSERT INTO diary (org_id, job_id, line, source) SELECT org, n, 'Line ' || n, source FROM others;
INSERT INTO visits (no, org_id, name, source) SELECT n, org, 'Visit ' || n, source FROM others;
INSERT INTO details (detail_id, no, source) SELECT n, n, source FROM others;
"""
PHONES = 20
ORG = Reference(column="org_id", parent="orgs")
#: Desktop names differ, so that a plan says which database it is of.
DIARY = delete_insert("mbdiary", "job_id", mobile="diary", office="org_id", references=(ORG,))
VISITS = spec("mbvisits", "no", mobile="visits", office="org_id", references=(ORG,))
DETAILS = spec(
    *("mbdetails", "detail_id"),
    mobile="details",
    office="no",
    references=(Reference(column="no", parent="visits"),),
)
TABLES = (DIARY, VISITS, DETAILS)
Plans = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def office(pair: Pair) -> Pair:
    """Creates an office with its own rows on both databases, and the rows of many others on mobile."""
    pair.source.execute(OWN)
    pair.target.execute(TARGET)
    pair.sync_all(ORGS, *TABLES)
    pair.target.execute(OTHERS)
    # For SSDs, as hosted servers have it.
    name = sql.Identifier(pair.settings.mobile.name)
    pair.target.execute(sql.SQL("ALTER DATABASE {} SET random_page_cost = 1.1").format(name))
    pair.both("ANALYZE")
    return pair


def recommended(pair: Pair) -> tuple[str, ...]:
    """Returns the statements that `doctor` recommends."""
    (finding,) = (finding for finding in problems(examined(pair, ORGS, *TABLES)) if "index" in finding.what)
    assert finding.what == "3 tables without an index on the column of the office: diary, visits and details."
    return finding.statements


def create(pair: Pair, statements: Sequence[str]) -> None:
    for statement in statements:
        pair.target.execute(statement)  # type: ignore[call-overload]
    pair.target.execute("ANALYZE")


def scanned(found: Plans) -> dict[str, str]:
    """Returns table to statement for each mobile table that a statement reads in whole."""
    names = {table.mobile for table in TABLES}
    return {
        node["Relation Name"]: statement
        for statement, plan in found
        for node in nodes(plan["Plan"])
        if not statement.endswith("WITH NO DATA")
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] in names
    }


def look_for_phone_rows(pair: Pair) -> Plans:
    """Returns the plans of a probe, and of reverse runs that have nothing to do."""
    ExplainingCursor.plans.clear()
    assert pair.pending(ORGS, *TABLES) == ()
    for table in TABLES:
        others = [one for one in (ORGS, *TABLES) if one is not table]
        assert pulled(pair.pull(table, *others)) == {"already_there": PHONES}
    return ExplainingCursor.plans


@pytest.mark.parametrize("indexes", ["recommended", "spelled as text", "for any row"])
def test_looks_for_phone_rows_do_not_read_the_rows_of_others(office: Pair, plans: Plans, indexes: str) -> None:
    for result in office.pull_all(ORGS, *TABLES).values():
        assert pulled(result) in ({"pulled": PHONES}, {})
    office.source.execute("ANALYZE")
    assert scanned(look_for_phone_rows(office)).keys() == {table.mobile for table in TABLES}
    statements = recommended(office)
    if indexes == "recommended":
        create(office, [one for one in statements if "WHERE" in one])
    elif indexes == "spelled as text":
        create(office, [one.replace('"source" =', "source::text =") for one in statements if "WHERE" in one])
    else:
        create(office, [one for one in statements if "WHERE" not in one])
    found = scanned(look_for_phone_rows(office))
    # Rows that have their office from a parent are found by who made them only.
    assert found.keys() == ({"details"} if indexes == "for any row" else set()), found


@pytest.mark.parametrize("transfer", [Transfer.EVERYTHING, Transfer.DIFFERENCES])
def test_forward_runs_do_not_read_the_rows_of_others(office: Pair, plans: Plans, transfer: Transfer) -> None:
    create(office, recommended(office))
    office.source.execute("""
        UPDATE mbvisits SET name = 'Moved' WHERE no % 100 = 0;
        DELETE FROM mbdiary WHERE job_id <= 10;
        INSERT INTO mbdiary SELECT 1, n, 'New' FROM generate_series(2001, 2010) AS n;
        INSERT INTO mbvisits VALUES (1, 1, 'New'), (20001, 1, 'Of office 2');
        INSERT INTO mbdetails VALUES (1, 1), (20001, 20001)""")
    plans.clear()
    found = office.sync_all(ORGS, *TABLES, options=dataclasses.replace(QUICK, transfer=transfer))
    assert row_counts(found["diary"]) == {"inserted": 10, "deleted": 10, "unchanged": 990}
    assert row_counts(found["visits"]) == {"inserted": 1, "updated": 10, "unchanged": 990, "quarantined": 1}
    assert row_counts(found["details"]) == {"inserted": 1, "unchanged": 1000, "quarantined": 1}
    assert scanned(plans) == {}
    plans.clear()
    office.plan(ORGS, *TABLES, watched=False)
    assert scanned(plans) == {}


def test_verifying_does_not_read_the_rows_of_others(office: Pair, plans: Plans) -> None:
    everything = (ORGS, *TABLES)

    def differences() -> dict[str, int]:
        plans.clear()
        with office.connected() as (source, target):
            found = verify(source=source, target=target, specs=everything, options=QUICK)
        assert [one.error for one in found] == [None] * len(everything)
        counts = {one.table: sum(one.outcome.differences.values()) for one in found if one.outcome}
        return {table: count for table, count in counts.items() if count}

    # A digest is compared first; the rows are read only where it differs.
    assert differences() == {}
    assert scanned(plans).keys() == {table.mobile for table in TABLES}, "without an index there is no other way"
    create(office, recommended(office))
    assert differences() == {}
    assert scanned(plans) == {}
    office.source.execute("""
        UPDATE mbvisits SET name = 'Moved' WHERE no % 100 = 0;
        UPDATE mbdetails SET note = 'Moved' WHERE detail_id % 100 = 0;
        DELETE FROM mbdiary WHERE job_id <= 10""")
    office.target.execute("UPDATE diary SET line = 'Broken' WHERE org_id = 1 AND job_id = 500")
    assert differences() == {"diary": 11}, "what has changed on the desktop since is expected, but for deleted rows"
    assert scanned(plans) == {}


def test_reverse_runs_and_their_dry_run_do_not_read_the_rows_of_others(office: Pair, plans: Plans) -> None:
    create(office, recommended(office))
    plans.clear()
    pulls = [TablePull(spec=table) for table in TABLES]
    with office.connected() as (target, source):
        found = plan_reverse(pulls, source=source, target=target, specs=[ORGS, *TABLES], options=QUICK)
    assert [one.foreseen and one.foreseen.pulled for one in found] == [PHONES] * len(TABLES)
    assert plans
    assert scanned(plans) == {}

    def pull() -> dict[str, int]:
        plans.clear()
        return {name: result.pulled for name, result in office.pull_all(ORGS, *TABLES).items() if result.pulled}

    names = [table.mobile for table in TABLES]
    assert pull() == dict.fromkeys(names, PHONES)
    assert scanned(plans) == {}
    office.target.execute("""
        INSERT INTO diary (org_id, job_id, line, source) SELECT 1, n, 'New', 'M' FROM generate_series(1, 10) AS n;
        INSERT INTO visits (no, org_id, name, source) SELECT n, 1, 'New', 'M' FROM generate_series(1, 10) AS n;
        INSERT INTO details (detail_id, no, source) SELECT n, n, 'M' FROM generate_series(1, 10) AS n""")
    assert pull() == dict.fromkeys(names, 10)
    assert scanned(plans) == {}


def test_foreign_keys_that_only_mobile_has_are_checked_without_the_rows_of_others(office: Pair, plans: Plans) -> None:
    create(office, recommended(office))
    office.target.execute("ALTER TABLE diary ADD COLUMN no int REFERENCES visits")
    office.source.execute("ALTER TABLE mbdiary ADD COLUMN no int")
    office.source.execute("UPDATE mbdiary SET no = CASE WHEN job_id = 1 THEN 20001 ELSE 10000 + job_id END")
    plans.clear()
    found = office.sync(DIARY, ORGS, VISITS, DETAILS)
    assert row_counts(found) == {"updated": 999, "quarantined": 1, "held": 1}
    assert str(found.samples[0]) == "no=20001 is a row of visits that belongs to another office"
    assert scanned(plans) == {}
