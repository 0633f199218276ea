"""The examples for the office's procedures: the views of the product's own tables, and the tables of reviews."""

import re
from collections.abc import Sequence

import pytest

from powerca_sync import tables
from powerca_sync.engine.changes import read_changes
from powerca_sync.specs import read_from, spec_named
from powerca_sync.tables import TABLES
from powerca_sync_tests.acceptance.real_tables import add_phone_rows, contents, create_empty_mobile, create_office
from powerca_sync_tests.helpers import Pair
from powerca_sync_tests.reference import PROJECT

FILE = (PROJECT / "docs" / "desktop-views.sql").read_text(encoding="utf-8")
#: Columns by table: name in the product's view, and name on mobile.
VIEWS = {
    table: [(name, alias or name) for name, alias in re.findall(r"\bv\.(\w+)(?: AS (\w+))?", body)]
    for table, body in re.findall(r"^CREATE OR REPLACE VIEW sync\.v_(\w+) AS\n(.*?);", FILE, re.MULTILINE | re.DOTALL)
}
SPECS = read_from(TABLES, {table: f"sync.v_{table}" for table in VIEWS})


def replace_copies(pair: Pair, copies: Sequence[str]) -> None:
    """Turns copies into a product's tables with the product's views over them, under the product's names of columns."""
    for table in copies:
        columns = ", ".join(f"{ours} AS {theirs}" for theirs, ours in VIEWS[table])
        statement = f"CREATE TABLE product_{table} AS SELECT {columns} FROM {table}"  # noqa: S608
        pair.source.execute(statement)  # type: ignore[call-overload]
        pair.source.execute(f"CREATE VIEW v_{table} AS TABLE product_{table}; DROP TABLE {table}")  # type: ignore[call-overload]


@pytest.fixture
def office(pair: Pair) -> Pair:
    """Creates an office that was synced from copies, and whose copies are then replaced by the views of the file."""
    create_office(pair.source)
    # What the views do not show, no copy has either.
    pair.source.execute("UPDATE taskchecklist SET applicable = 'Y'; UPDATE jobshead SET jctincharge = NULL")
    create_empty_mobile(pair.target)
    pair.sync_all(*TABLES)
    replace_copies(pair, list(VIEWS))
    pair.source.execute(FILE)  # type: ignore[call-overload]
    return pair


def test_product_is_read_through_the_views_of_the_example(office: Pair) -> None:
    before = contents(office.target)
    results = office.sync_all(*SPECS)
    assert contents(office.target) == before, "the same rows under the same ids: nothing is written"
    assert all(results[table].extracted for table in VIEWS)
    office.source.execute("SELECT pg_stat_force_next_flush()")
    tokens = {token.table: token for token in read_changes(office.source, SPECS, seconds=5).tokens}
    office.source.execute("UPDATE product_climaster SET client_name = 'Renamed' WHERE client_id = 1001")
    office.source.execute("DELETE FROM product_jobtasks WHERE job_det_n_seq = 7; SELECT pg_stat_force_next_flush()")
    moved = {
        token.table for token in read_changes(office.source, SPECS, seconds=5).tokens if token != tokens[token.table]
    }
    assert moved == {"climaster", "jobtasks"}
    results = office.sync_all(*SPECS, mode="incremental")
    written = {table: (result.inserted, result.updated, result.deleted) for table, result in results.items()}
    assert {table: counts for table, counts in written.items() if any(counts)} == {
        "climaster": (0, 1, 0),
        "jobtasks": (0, 0, 1),
    }


def test_phone_rows_still_go_to_tables_and_nowhere_else(office: Pair) -> None:
    office.sync_all(*SPECS)
    add_phone_rows(office.target)
    office.target.execute("INSERT INTO climaster (org_id, loc_id, client_id, source) VALUES (1, 1, 1900, 'M')")
    results = office.pull_all(*(spec for spec in SPECS if spec.reverse))
    assert results["workdiary"].pulled == 4
    assert results["climaster"].pulled == 0
    assert results["climaster"].remarks == (
        "phone rows are not reverse-synced, because the desktop's rows are read from `sync.v_climaster` and the "
        "desktop has no table `climaster` that could take them",
    )


def test_tables_of_the_page_are_synced_both_ways(pair: Pair) -> None:
    page = (PROJECT / "docs" / "office-procedures.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names = dict(vars(tables))
    exec(code, names)  # the page's own text
    specs = names["TABLES"]
    notes, responses = (spec_named(specs, name) for name in ("mbjobreviewnotes", "mbjobreviewresponse"))
    create_office(pair.source)
    create_empty_mobile(pair.target)
    for name, key in (("mbjobreviewnotes", "rn_id"), ("mbjobreviewresponse", "res_id, rn_id")):
        columns = ", ".join(f"{one} int" for one in key.split(", "))
        pair.source.execute(f"CREATE TABLE {name} (org_id numeric(3), {columns}, body text)")  # type: ignore[call-overload]
        pair.target.execute(f"CREATE TABLE {name} (org_id numeric(3), {columns}, body text, source char(1))")  # type: ignore[call-overload]
        pair.target.execute(f"ALTER TABLE {name} ADD PRIMARY KEY ({key.partition(',')[0]})")  # type: ignore[call-overload]
    pair.source.execute("INSERT INTO mbjobreviewnotes VALUES (1, 7, 'Late')")
    results = pair.sync_all(*specs)
    assert results["mbjobreviewnotes"].inserted == 1
    pair.target.execute("INSERT INTO mbjobreviewresponse VALUES (1, 70, 7, 'On Monday', 'M')")
    assert pair.pull(responses, *TABLES, notes).pulled == 1
    assert pair.rows("SELECT * FROM mbjobreviewresponse", pair.source) == [(1, 70, 7, "On Monday")]
