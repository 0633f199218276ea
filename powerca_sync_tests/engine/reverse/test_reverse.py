"""Which phone rows and columns reverse sync writes to the desktop, under which names and with which values."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any, Self

import pytest
from psycopg import Cursor

from powerca_sync.engine.requests import TablePull
from powerca_sync.engine.result import Options
from powerca_sync.engine.reverse.reverse import sync_reverse
from powerca_sync.errors import SchemaMismatchError, SyncError, UnsafeTargetError
from powerca_sync.specs import Expression, Reference
from powerca_sync_tests.helpers import ORGS, QUICK, Pair, delete_insert, pulled, row_counts, spec

DIARY = delete_insert("diary", "staff_id", "day")
LEAVE = spec("leave", "leave_id")


def make_diary(pair: Pair, *, desktop: str = "", mobile: str = "", key: str = "id bigserial PRIMARY KEY,") -> None:
    columns = "staff_id int, day date, note text"
    pair.source.execute(f"CREATE TABLE diary ({columns} {desktop})")
    pair.target.execute(f"CREATE TABLE diary ({key} {columns}, source char(1) DEFAULT 'D' {mobile})")


def make_leave(pair: Pair) -> None:
    columns = "leave_id int, days numeric(5,2), status text"
    pair.source.execute(f"CREATE TABLE leave ({columns})")
    pair.target.execute(f"CREATE TABLE leave ({columns}, source char(1) DEFAULT 'D', PRIMARY KEY (leave_id))")


def desktop(pair: Pair, query: str) -> list[tuple[object, ...]]:
    return pair.rows(query, pair.source)


def test_only_phone_rows_arrive(pair: Pair) -> None:
    make_diary(pair)
    pair.target.execute("""INSERT INTO diary (staff_id, note, source) VALUES
        (1, 'phone', 'M'), (2, 'office', 'D'), (3, 'system', 'S'), (4, 'nobody', NULL), (5, 'phone too', 'M')""")
    before = pair.text("diary")
    result = pair.pull(DIARY)
    assert (result.seen, pulled(result)) == (2, {"pulled": 2})
    assert desktop(pair, "SELECT staff_id, note FROM diary ORDER BY 1") == [(1, "phone"), (5, "phone too")]
    assert pair.text("diary") == before, "mobile is only read"


def test_columns_of_one_database_only_get_their_defaults(pair: Pair) -> None:
    make_diary(
        pair,
        desktop=", minutes int DEFAULT 30, book text, again int GENERATED ALWAYS AS (minutes * 2) STORED",
        mobile=", recper_id int DEFAULT 9, colour text DEFAULT 'red'",
    )
    pair.target.execute("INSERT INTO diary (staff_id, note, source) VALUES (1, 'visit', 'M')")
    result = pair.pull(DIARY)
    assert [column.name for column in result.columns] == ["staff_id", "day", "note"]
    assert desktop(pair, "SELECT * FROM diary") == [(1, None, "visit", 30, None, 60)]


def test_mobile_primary_key_is_written_only_if_the_desktop_has_it(pair: Pair) -> None:
    make_diary(pair)
    pair.source.execute("CREATE TABLE other (staff_id int, id bigint)")
    pair.target.execute("CREATE TABLE other (id bigserial PRIMARY KEY, staff_id int, source char(1))")
    pair.target.execute("INSERT INTO diary (id, staff_id, source) VALUES (77, 1, 'M')")
    pair.target.execute("INSERT INTO other (id, staff_id, source) VALUES (77, 1, 'M')")
    pair.pull(DIARY)
    pair.pull(delete_insert("other", "staff_id"))
    assert desktop(pair, "SELECT * FROM diary") == [(1, None, None)]
    assert desktop(pair, "SELECT * FROM other") == [(1, 77)]


def test_source_and_timestamps_are_written_in_the_office_time_zone(pair: Pair) -> None:
    stamps = "created_at {0}, updated_at {0}"
    make_diary(
        pair,
        desktop=f", source char(1), {stamps.format('timestamp')}",
        mobile=f", {stamps.format('timestamptz')}",
    )
    pair.target.execute("""INSERT INTO diary (staff_id, source, created_at, updated_at)
        VALUES (1, 'M', '2025-10-01 04:30Z', NULL)""")
    pair.pull(DIARY, options=Options(timezone="Asia/Kolkata", timeouts=QUICK.timeouts))
    assert desktop(pair, "SELECT staff_id, source, created_at, updated_at FROM diary") == [
        (1, "M", datetime(2025, 10, 1, 10, 0), None)  # noqa: DTZ001
    ]


def test_missing_timestamp_is_filled_if_the_desktop_requires_it(pair: Pair) -> None:
    make_diary(pair, desktop=", created_at timestamp NOT NULL DEFAULT now()", mobile=", created_at timestamptz")
    pair.target.execute("INSERT INTO diary (staff_id, source) VALUES (1, 'M')")
    assert pulled(pair.pull(DIARY)) == {"pulled": 1}
    assert pair.one("SELECT created_at IS NOT NULL FROM diary", pair.source)


def test_ledger_uses_desktop_names_of_renamed_columns(pair: Pair) -> None:
    pair.source.execute("CREATE SCHEMA acct; CREATE TABLE acct.mbreminder (rem_id int, title text)")
    pair.target.execute(
        "CREATE SCHEMA app; CREATE TABLE app.reminder (rem_id int PRIMARY KEY, title text, source text)"
    )
    pair.target.execute("INSERT INTO app.reminder VALUES (5, 'Call', 'M')")
    reminders = spec("acct.mbreminder", "rem_id", mobile="app.reminder")
    assert (pair.pull(reminders).table, pulled(pair.pull(reminders))) == ("app.reminder", {"already_there": 1})
    assert desktop(pair, "SELECT * FROM acct.mbreminder") == [(5, "Call")]
    assert desktop(pair, "SELECT table_name FROM powerca_sync.pulled") == [("acct.mbreminder",)]
    assert row_counts(pair.sync(reminders)) == {"echo": 1}


def test_names_that_need_quotes_are_quoted(pair: Pair) -> None:
    for connection, more in ((pair.source, ""), (pair.target, ", source char(1)")):
        connection.execute(f'CREATE TABLE "Order" ("select" int, "a ""b""" text, "größe %s" text, "it\'s" text {more})')
    pair.target.execute("INSERT INTO \"Order\" VALUES (1, E'a\\tb\\\\', '100%', '{x}', 'M')")
    orders = spec("Order", "select")
    assert pulled(pair.pull(orders)) == {"pulled": 1}
    assert desktop(pair, 'SELECT * FROM "Order"') == [(1, "a\tb\\", "100%", "{x}")]
    pair.source.execute("INSERT INTO \"Order\" VALUES (2, 'of the office', '', '')")
    pair.target.execute("INSERT INTO \"Order\" VALUES (2, 'of a phone', '', '', 'M'), (3, 'more', '', '', 'M')")
    result = pair.pull(orders)
    assert pulled(result) == {"pulled": 1, "already_there": 1, "conflicts": 1}
    assert result.conflict_samples[0].desktop == {"select": "2", 'a "b"': "of the office", "größe %s": "", "it's": ""}


CLOCKS = delete_insert(
    "clocks",
    "day",
    expressions=(Expression(column="begun", forward='"begun"::time', reverse='"day" + "begun"'),),
)


def make_clocks(pair: Pair) -> None:
    pair.source.execute("CREATE TABLE clocks (day date, begun timestamp, note text)")
    pair.target.execute("CREATE TABLE clocks (id serial PRIMARY KEY, day date, begun time, note text, source char(1))")


def test_clock_time_arrives_on_the_date_of_its_row(pair: Pair) -> None:
    make_clocks(pair)
    pair.target.execute("""INSERT INTO clocks (day, begun, source) VALUES
        ('2025-10-01', '10:05', 'M'), ('2024-02-29', '23:59:59.5', 'M'), ('2025-10-02', NULL, 'M'),
        (NULL, NULL, 'M')""")
    pair.pull(CLOCKS, options=Options(timezone="Asia/Kolkata", timeouts=QUICK.timeouts))
    assert desktop(pair, "SELECT day, begun FROM clocks ORDER BY day") == [
        (date(2024, 2, 29), datetime(2024, 2, 29, 23, 59, 59, 500_000)),  # noqa: DTZ001
        (date(2025, 10, 1), datetime(2025, 10, 1, 10, 5)),  # noqa: DTZ001
        (date(2025, 10, 2), None),
        (None, None),
    ]
    assert row_counts(pair.sync(CLOCKS)) == {"echo": 4}


def test_clock_time_without_a_date_is_quarantined_until_it_has_one(pair: Pair) -> None:
    make_clocks(pair)
    pair.target.execute("INSERT INTO clocks (day, begun, note, source) VALUES (NULL, '10:05', 'when?', 'M')")
    result = pair.pull(CLOCKS)
    assert (pulled(result), result.samples[0].column) == ({"quarantined": 1}, "begun")
    pair.target.execute("UPDATE clocks SET day = '2025-10-01'")
    assert pulled(pair.pull(CLOCKS)) == {"pulled": 1}


TASKS = delete_insert("tasks", "org_id", "job_id", "task_id")


@pytest.mark.parametrize("primary_key", ["", ", PRIMARY KEY (org_id, job_id, task_id)", ", id serial PRIMARY KEY"])
@pytest.mark.parametrize("strategy", [spec, delete_insert])
def test_composite_keys_work_with_each_strategy_and_primary_key(pair: Pair, strategy: type, primary_key: str) -> None:
    tasks = strategy("tasks", "org_id", "job_id", "task_id")
    columns = "org_id numeric(3), job_id numeric(10), task_id int, note varchar(20)"
    pair.source.execute(f"CREATE TABLE tasks ({columns})")
    pair.target.execute(f"CREATE TABLE tasks ({columns}, source char(1) {primary_key})")
    rows = "(1, 1, 1, 'a', 'M'), (1, 1, 2, 'a', 'M'), (1, 2, 1, NULL, 'M')"
    pair.target.execute(f"INSERT INTO tasks (org_id, job_id, task_id, note, source) VALUES {rows}")  # noqa: S608
    assert pulled(pair.pull(tasks)) == {"pulled": 3}
    assert pulled(pair.pull(tasks)) == {"already_there": 3}
    pair.target.execute("INSERT INTO tasks (org_id, job_id, task_id, source) VALUES (1, 2, 2, 'M')")
    assert pulled(pair.pull(tasks)) == {"pulled": 1, "already_there": 3}
    assert desktop(pair, "SELECT * FROM tasks ORDER BY 1, 2, 3") == [
        (1, 1, 1, "a"),
        (1, 1, 2, "a"),
        (1, 2, 1, None),
        (1, 2, 2, None),
    ]
    assert row_counts(pair.sync(tasks)) == {"echo": 4}


@pytest.mark.parametrize("key", ["", "id serial PRIMARY KEY,"])
@pytest.mark.parametrize("strategy", [spec, delete_insert])
def test_equal_and_keyless_rows_arrive_as_often_as_they_exist(pair: Pair, strategy: type, key: str) -> None:
    diary = strategy("diary", "staff_id", "day")
    make_diary(pair, key=key)
    pair.target.execute("""INSERT INTO diary (staff_id, day, note, source) VALUES
        (NULL, NULL, NULL, 'M'), (NULL, NULL, NULL, 'M'), (1, NULL, 'visit', 'M'), (1, NULL, 'visit', 'M'),
        (1, '2025-10-01', 'call', 'M'), (1, '2025-10-01', 'call', 'M'), (1, '2025-10-01', 'other', 'M')""")
    assert pulled(pair.pull(diary)) == {"pulled": 7}
    pair.target.execute("INSERT INTO diary (staff_id, note, source) VALUES (1, 'visit', 'M'), (NULL, NULL, 'M')")
    assert pulled(pair.pull(diary)) == {"already_there": 7, "pulled": 2}
    assert desktop(pair, "SELECT staff_id, note, count(*) FROM diary GROUP BY 1, 2 ORDER BY 1, 2") == [
        (1, "call", 2),
        (1, "other", 1),
        (1, "visit", 3),
        (None, None, 3),
    ]
    assert row_counts(pair.sync(diary)) == {"echo": 9}


def test_key_generated_by_the_desktop_is_left_to_it(pair: Pair) -> None:
    pair.source.execute("CREATE TABLE leave (leave_id int GENERATED ALWAYS AS IDENTITY, days int)")
    pair.target.execute("CREATE TABLE leave (leave_id int PRIMARY KEY, days int, source char(1))")
    pair.target.execute("INSERT INTO leave VALUES (700, 1, 'M'), (800, 2, 'M')")
    assert pulled(pair.pull(LEAVE)) == {"pulled": 2}
    assert pulled(pair.pull(LEAVE)) == {"already_there": 2}
    assert desktop(pair, "SELECT leave_id, days FROM leave ORDER BY 1") == [(1, 1), (2, 2)]


def test_values_of_many_types_arrive_unchanged(pair: Pair) -> None:
    columns = """id int, n numeric, f float8, b bytea, j jsonb, a text[], c char(4), t time, z timestamptz, i interval,
        u uuid, r tstzrange, s timestamptz[], flag bool"""
    pair.source.execute(f"CREATE TABLE things ({columns})")
    pair.target.execute(f"CREATE TABLE things ({columns}, source char(1))")
    pair.target.execute("""INSERT INTO things VALUES (1, 1.50, 'NaN', '\\xdeadbeef', '{"a": [1, "x"]}', '{"a,b",NULL}',
        'ab', '24:00', '2025-10-01 10:00+02', '1 mon 2 days', gen_random_uuid(), '[2025-01-01, 2025-02-01)',
        '{2025-10-01 10:00+02}', true, 'M')""")
    things = spec("things", "id")
    kolkata = Options(timezone="Asia/Kolkata", timeouts=QUICK.timeouts)
    assert pulled(pair.pull(things, options=kolkata)) == {"pulled": 1}
    assert pulled(pair.pull(things, options=kolkata)) == {"already_there": 1}
    query = "SELECT (to_jsonb(row) - 'source')::text FROM things AS row"
    assert pair.one(query, pair.source) == pair.one(query)
    assert row_counts(pair.sync(things)) == {"echo": 1}


def test_primary_key_may_be_a_long_text_of_any_characters(pair: Pair) -> None:
    pair.source.execute("CREATE TABLE things (name text, n int)")
    pair.target.execute("CREATE TABLE things (name text PRIMARY KEY, n int, source char(1))")
    names = ["a", "ä", "नमस्ते", "x" * 99, "y" * 101, "z\t'\\"]
    # Too long for an index entry.
    names.append(pair.one("SELECT string_agg(md5(n::text), '') FROM generate_series(1, 70) AS n"))
    for name in names:
        pair.target.execute("INSERT INTO things VALUES (%s, 1, 'M')", [name])
    things = delete_insert("things", "name")
    assert pulled(pair.pull(things)) == {"pulled": 7}
    pair.target.execute("UPDATE things SET n = 2")
    assert pulled(pair.pull(things)) == {"already_there": 7, "changed_after_pull": 7}
    assert {name for (name,) in desktop(pair, "SELECT name FROM things")} == set(names)


ORG = Reference(column="org_id", parent="orgs")
STAFF = spec("staff", "staff_id", office="org_id", references=(ORG,))
WORK = delete_insert(
    "work",
    "staff_id",
    office="org_id",
    references=(ORG, Reference(column="staff_id", parent="staff")),
    made_by="staff_id",
)
NOTES = spec(
    "notes",
    "note_id",
    office="work_id",
    references=(
        Reference(column="work_id", parent="work", parent_column="id"),
        Reference(column="staff_id", parent="staff"),
    ),
    made_by="staff_id",
)
OFFICE = (ORGS, STAFF)


@pytest.fixture
def work(pair: Pair) -> Pair:
    """Creates the desktop of organisation 1, on a mobile database that the desktop of organisation 2 uses as well."""
    pair.source.execute("""
        CREATE TABLE orgs (org_id int); CREATE TABLE staff (staff_id int, org_id int);
        CREATE TABLE work (org_id int, staff_id int, note text, id int);
        CREATE TABLE notes (note_id int, work_id int, staff_id int);
        INSERT INTO orgs VALUES (1); INSERT INTO staff VALUES (11, 1)""")
    pair.target.execute("""
        CREATE TABLE orgs (org_id int PRIMARY KEY, source char(1) DEFAULT 'D');
        CREATE TABLE staff (staff_id int PRIMARY KEY, org_id int, source char(1) DEFAULT 'D');
        CREATE TABLE work (id serial PRIMARY KEY, org_id int, staff_id numeric(8), note text, source char(1));
        CREATE TABLE notes (note_id int PRIMARY KEY, work_id int, staff_id int, source char(1));
        INSERT INTO orgs VALUES (2); INSERT INTO staff VALUES (22, 2)""")
    pair.sync_all(ORGS, STAFF)
    return pair


def add_other_office(pair: Pair) -> None:
    pair.target.execute("INSERT INTO powerca_sync.office (org_id, office) VALUES ('2', 'elsewhere')")


def phones_work(pair: Pair) -> None:
    pair.target.execute("""INSERT INTO work (org_id, staff_id, note, source) VALUES
        (1, 11, 'ours', 'M'), (2, 22, 'theirs', 'M'), (NULL, 11, 'by our staff', 'M'), (NULL, 22, 'by theirs', 'M'),
        (1, 22, 'ours, by theirs', 'M'), (2, 11, 'theirs, by ours', 'M'), (NULL, 99, 'whose?', 'M'),
        (NULL, NULL, 'who?', 'M'), (7, 11, 'of an organisation that is nobody''s', 'M')""")


def test_only_rows_of_the_office_arrive_and_unowned_ones_are_reported(work: Pair) -> None:
    add_other_office(work)
    phones_work(work)
    result = work.pull(WORK, *OFFICE)
    assert pulled(result) == {"pulled": 3, "unassigned": 2}
    assert any("2 phone rows of unknown office" in warning for warning in result.warnings)
    assert desktop(work, "SELECT org_id, note FROM work ORDER BY id") == [
        (1, "ours"),
        (None, "by our staff"),
        (1, "ours, by theirs"),
    ]
    work.target.execute("UPDATE work SET org_id = 1 WHERE note = 'whose?'")
    assert pulled(work.pull(WORK, *OFFICE)) == {"pulled": 1, "already_there": 3, "unassigned": 1}


def test_only_office_gets_the_unowned_rows(work: Pair) -> None:
    phones_work(work)
    assert pulled(work.pull(WORK, *OFFICE)) == {"pulled": 5}
    add_other_office(work)
    assert pulled(work.pull(WORK, *OFFICE)) == {"already_there": 3, "unassigned": 2, "gone": 2}
    work.target.execute("""UPDATE work SET note = note || ', edited' WHERE org_id IS NULL""")
    work.target.execute("DELETE FROM powerca_sync.office WHERE org_id = '2'")
    result = work.pull(WORK, *OFFICE)
    assert result.seen == 5
    assert work.one("SELECT count(*) FROM work WHERE note LIKE 'ours%'", work.source) == 2


def test_row_without_an_organisation_belongs_to_its_parents_office(work: Pair) -> None:
    add_other_office(work)
    phones_work(work)
    work.target.execute("""INSERT INTO notes VALUES
        (1, 1, 11, 'M'), (2, 2, 11, 'M'), (3, NULL, 11, 'M'), (4, 99, 11, 'M'), (5, 99, 22, 'M'),
        (6, NULL, NULL, 'M')""")
    result = work.pull(NOTES, WORK, *OFFICE)
    assert pulled(result) == {"pulled": 3, "unassigned": 1}
    assert desktop(work, "SELECT note_id FROM notes ORDER BY 1") == [(1,), (3,), (4,)]


def test_desktop_with_an_organisation_of_another_is_refused(work: Pair) -> None:
    work.target.execute("UPDATE powerca_sync.office SET office = 'elsewhere'")
    phones_work(work)
    with pytest.raises(UnsafeTargetError, match=r"Organisation 1 belongs to another desktop .*init --accept-source"):
        work.pull(WORK, *OFFICE)
    work.source.execute("DELETE FROM orgs")
    with pytest.raises(UnsafeTargetError, match="table of organisations is empty"):
        work.pull(WORK, *OFFICE)
    assert desktop(work, "SELECT * FROM work") == []


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("DROP TABLE leave", "`leave` does not exist on mobile"),
        ("ALTER TABLE leave DROP COLUMN leave_id", "mobile lacks `leave_id`"),
        ("ALTER TABLE leave ALTER days TYPE time USING NULL", "failed: column|no value would arrive|days"),
    ],
)
def test_table_that_cannot_be_reverse_synced_names_the_reason(pair: Pair, broken: str, words: str) -> None:
    make_leave(pair)
    pair.source.execute("ALTER TABLE leave ALTER days TYPE date USING NULL" if "time" in broken else "")
    pair.target.execute(broken)
    with pytest.raises(SchemaMismatchError, match=words):
        pair.pull(LEAVE)
    assert desktop(pair, "SELECT * FROM leave") == []


def test_mobile_table_without_source_has_no_phone_rows(pair: Pair) -> None:
    make_leave(pair)
    pair.target.execute("ALTER TABLE leave DROP COLUMN source")
    result = pair.pull(LEAVE)
    assert pulled(result) == {}
    assert result.notes == ("mobile's `leave` has no column `source`: no row is a phone's",)


def test_missing_desktop_table_is_named(pair: Pair) -> None:
    make_leave(pair)
    pair.source.execute("DROP TABLE leave")
    with pytest.raises(SchemaMismatchError, match="`leave` does not exist on the desktop"):
        pair.pull(LEAVE)


def test_view_on_the_desktop_is_refused(pair: Pair) -> None:
    make_leave(pair)
    pair.source.execute("ALTER TABLE leave RENAME TO stored; CREATE VIEW leave AS SELECT * FROM stored")
    with pytest.raises(SyncError, match="is not a table at the target"):
        pair.pull(LEAVE)


def test_partitioned_desktop_table_receives_rows(pair: Pair) -> None:
    make_leave(pair)
    pair.source.execute("""DROP TABLE leave;
        CREATE TABLE leave (leave_id int, days numeric(5,2), status text) PARTITION BY RANGE (leave_id);
        CREATE TABLE leave_low PARTITION OF leave FOR VALUES FROM (0) TO (100);
        CREATE TABLE leave_high PARTITION OF leave FOR VALUES FROM (100) TO (200)""")
    pair.target.execute("INSERT INTO leave VALUES (5, 1, 'P', 'M'), (105, 1, 'P', 'M'), (205, 1, 'P', 'M')")
    assert pulled(pair.pull(LEAVE)) == {"pulled": 2, "quarantined": 1}
    assert pulled(pair.pull(LEAVE)) == {"already_there": 2, "quarantined": 1}
    assert desktop(pair, "SELECT leave_id, days FROM leave ORDER BY 1") == [(5, Decimal(1)), (105, Decimal(1))]


class CountingConnection(Cursor[Any]):
    """Counts the executed statements."""

    count = 0

    def execute(self, *args: Any, **rest: Any) -> Self:
        CountingConnection.count += 1
        return super().execute(*args, **rest)


def test_thousand_rows_take_a_few_statements(pair: Pair) -> None:
    make_leave(pair)

    def statements(rows: int) -> int:
        pair.target.execute(
            "INSERT INTO leave SELECT g, 1, 'P', 'M' FROM generate_series(%s::int + 1, %s::int + %s::int) AS g",
            [*2 * [pair.one("SELECT count(*) FROM leave")], rows],
        )
        with pair.connected() as (target, source):
            for connection in (source, target):
                connection.cursor_factory = CountingConnection
            CountingConnection.count = 0
            result = sync_reverse(TablePull(spec=LEAVE), source=source, target=target, specs=[LEAVE], options=QUICK)
        assert result.pulled == rows
        return CountingConnection.count

    statements(1)
    assert abs(statements(1000) - statements(100)) <= 3
    assert CountingConnection.count < 49
