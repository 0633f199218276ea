"""The machine's own PostgreSQL as source or target, with features of a full installation: XML, citext, foreign tables.

The embedded servers are 16 and 18; an office may have 15, and so may Supabase.
"""

from collections.abc import Iterator

import pytest

from powerca_sync.settings import Endpoint
from powerca_sync_tests.engine.state.own_server import create_database, own_server
from powerca_sync_tests.helpers import Pair, assert_noop, delete_insert, row_counts, spec

#: Registers the fixture in this module.
_ = own_server

JOBS = spec("jobs", "id")
LINES = delete_insert("lines", "job_id")


@pytest.fixture(params=["desktop", "mobile", "both"])
def pair_of_versions(request: pytest.FixtureRequest, own_server: Endpoint, pair: Pair) -> Iterator[Pair]:
    """Creates a pair with the machine's own server as source, target or both."""
    source = pair.settings.desktop if request.param == "mobile" else create_database(own_server, "source")
    target = pair.settings.mobile if request.param == "desktop" else create_database(own_server, "target")
    with Pair(source, target) as both:
        yield both


def test_both_strategies_work_with_any_server_version(pair_of_versions: Pair) -> None:
    pair = pair_of_versions
    pair.source.execute("CREATE TABLE jobs (id numeric, name text, price numeric, at timestamp, updated_at timestamp)")
    pair.target.execute(
        "CREATE TABLE jobs (id int PRIMARY KEY, name varchar(9) CHECK (name <> ''), price numeric(8,2), at timestamptz,"
        " source char(1), created_at timestamptz, updated_at timestamptz)"
    )
    pair.source.execute("CREATE TABLE lines (job_id int, line text)")
    pair.target.execute("CREATE TABLE lines (id serial PRIMARY KEY, job_id int, line text, source char(1))")
    pair.source.execute(
        "INSERT INTO jobs SELECT g, 'job ' || g, g / 8.0, '2025-11-30' FROM generate_series(1, 99) AS g"
    )
    pair.source.execute("UPDATE jobs SET name = 'far too long' WHERE id = 7; UPDATE jobs SET name = '' WHERE id = 8")
    pair.source.execute("INSERT INTO lines SELECT g % 20, 'line' FROM generate_series(1, 100) AS g")
    jobs = spec("jobs", "id", limit_share=1.0)
    # Every other price has three decimals, of which the target holds two.
    assert row_counts(pair.sync(jobs)) == {"inserted": 48, "quarantined": 51}
    assert row_counts(pair.sync(LINES)) == {"inserted": 100}
    pair.source.execute("UPDATE jobs SET name = 'new' WHERE id = 16; UPDATE jobs SET price = 1 WHERE id = 9")
    pair.source.execute("UPDATE lines SET line = 'changed' WHERE job_id = 3; DELETE FROM lines WHERE job_id = 4")
    assert row_counts(pair.sync(jobs, mode="incremental")) == {"inserted": 1, "updated": 1, "quarantined": 50}
    assert row_counts(pair.sync(LINES)) == {"updated": 5, "unchanged": 90, "deleted": 5}
    assert_noop(pair, jobs, LINES)


def test_types_of_extensions_and_xml_arrive(own_server: Endpoint) -> None:
    with Pair(create_database(own_server, "source"), create_database(own_server, "target")) as pair:
        pair.both("CREATE EXTENSION citext; CREATE EXTENSION hstore")
        pair.source.execute("CREATE TABLE jobs (id citext PRIMARY KEY, tags hstore, document xml, note text)")
        pair.target.execute("CREATE TABLE jobs (id citext PRIMARY KEY, tags hstore, document xml, note xml)")
        pair.source.execute("""
            INSERT INTO jobs VALUES ('Ab', 'a=>1, "b c"=>NULL', '<a>x &amp; y</a>', '<b/>'), ('C', '', NULL, '<oops')
        """)
        result = pair.sync(JOBS)
        assert row_counts(result) == {"inserted": 1, "quarantined": 1}
        assert str(result.samples[0]) == "invalid XML content (column note)"
        assert pair.rows("SELECT id::text, tags::text, document::text, note::text FROM jobs") == [
            ("Ab", '"a"=>"1", "b c"=>NULL', "<a>x &amp; y</a>", "<b/>")
        ]
        pair.source.execute("UPDATE jobs SET note = '<c/>', tags = tags || 'd=>e'")
        assert row_counts(pair.sync(JOBS)) == {"inserted": 1, "updated": 1}
        pair.source.execute("UPDATE jobs SET id = 'AB' WHERE id = 'ab'")
        assert row_counts(pair.sync(JOBS)) == {"updated": 1, "unchanged": 1}
        assert pair.rows("SELECT id::text FROM jobs ORDER BY 1") == [("AB",), ("C",)]


def test_foreign_table_is_a_source_and_runs_full(own_server: Endpoint) -> None:
    with Pair(create_database(own_server, "source"), create_database(own_server, "target")) as pair:
        pair.source.execute("""
            CREATE EXTENSION file_fdw;
            CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
            CREATE FOREIGN TABLE jobs (id int, name text) SERVER files OPTIONS (program 'printf "1\\tone\\n2\\ttwo"');
        """)
        pair.target.execute("CREATE TABLE jobs (id int PRIMARY KEY, name text)")
        assert row_counts(pair.sync(JOBS)) == {"inserted": 2}
        result = pair.sync(JOBS, mode="incremental")
        assert result.mode_reason.startswith("`jobs` is not a plain table at the source")
        assert row_counts(result) == {"unchanged": 2}
        pair.source.execute("DROP EXTENSION file_fdw CASCADE")
