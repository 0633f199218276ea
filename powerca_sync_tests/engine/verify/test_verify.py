"""Verify finds every true difference, reports known ones separately, and transfers only digests."""

import dataclasses
from collections.abc import Callable, Mapping

import pytest

from powerca_sync.errors import MergeError, UnsafeTargetError
from powerca_sync.specs import Category, Deletes, Expression, Lookup, Reference, TableSpec
from powerca_sync_tests.engine.staging.diary import DIARY, desktop_writes, entry, make_diary, phone_writes
from powerca_sync_tests.engine.verify.checking import difference_counts, verify_table
from powerca_sync_tests.helpers import ORGS, QUICK, Pair, assert_noop, delete_insert, spec

#: Verifies what was written before the commit.
LOOKING = dataclasses.replace(QUICK, verify_on_commit=True)
CLIENTS = spec("clients", "client_id", sensitive=frozenset({"secret"}))
OWNED = "source char(1) DEFAULT 'D', created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now()"
TASKS = delete_insert("tasks", "job_id", "task_id", mobile_owned=frozenset({"done"}))


def make_clients(pair: Pair, rows: int = 100) -> None:
    """Creates clients 1 to `rows` in both databases, in sync."""
    pair.source.execute("CREATE TABLE clients (client_id int, name text, city varchar(20), fee numeric, secret text)")
    pair.target.execute(
        "CREATE TABLE clients (client_id int PRIMARY KEY, name text, city varchar(20), fee numeric(10,2), secret text,"
        f" {OWNED})"
    )
    pair.source.execute(
        "INSERT INTO clients SELECT n, 'Client ' || n, '', n + 0.5, 'pw-' || n FROM generate_series(1, %s) AS n", [rows]
    )
    pair.sync(CLIENTS)


def make_tasks(pair: Pair) -> None:
    """Creates tasks with a duplicate and partly NULL key in both databases, in sync."""
    pair.source.execute("CREATE TABLE tasks (job_id int, task_id int, title text, done int)")
    pair.target.execute(
        f"CREATE TABLE tasks (id bigserial PRIMARY KEY, job_id int, task_id int, title text, done int, {OWNED})"
    )
    pair.source.execute("""
        INSERT INTO tasks SELECT n / 3, n % 7, 'task ' || n % 5, 0 FROM generate_series(1, 60) AS n;
        INSERT INTO tasks VALUES (1, NULL, 'same', 0), (1, NULL, 'same', 0), (1, NULL, 'same', 0), (2, 2, NULL, 0)""")
    pair.sync(TASKS)


def test_databases_agree_after_a_run_by_digests_alone(pair: Pair) -> None:
    make_clients(pair)
    found = verify_table(pair, CLIENTS)
    assert found.agrees
    assert found.outcome is not None
    assert (found.outcome.desktop, found.outcome.mobile, found.outcome.agreeing) == (100, 100, 100)
    assert (found.outcome.read, found.notes, difference_counts(found)) == (0, (), {})


def test_read_only_role_is_sufficient(pair: Pair) -> None:
    make_clients(pair)
    pair.target.execute("UPDATE clients SET name = left(name, 8) WHERE client_id = 77")
    for connection in (pair.source, pair.target):
        connection.execute("DROP ROLE IF EXISTS reader")
        connection.execute("CREATE ROLE reader LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    pair.target.execute("GRANT USAGE ON SCHEMA powerca_sync TO reader")
    pair.target.execute("GRANT SELECT ON ALL TABLES IN SCHEMA powerca_sync TO reader")

    def contents() -> tuple[str, ...]:
        return pair.text("clients"), pair.text("powerca_sync.table_state"), pair.text("clients", on=pair.source)

    before = contents()
    as_reader = Pair(
        dataclasses.replace(pair.settings.desktop, user="reader"),
        dataclasses.replace(pair.settings.mobile, user="reader"),
    )
    with as_reader:
        assert difference_counts(verify_table(as_reader, CLIENTS)) == {"different": 1}
    assert before == contents()
    for connection in (pair.source, pair.target):
        connection.execute("DROP OWNED BY reader; DROP ROLE reader")


def test_agreeing_tables_can_be_verified_on_a_read_only_server(pair: Pair) -> None:
    make_clients(pair)
    database = pair.target.info.dbname
    pair.target.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")  # type: ignore[call-overload]
    assert difference_counts(verify_table(pair, CLIENTS)) == {}


@pytest.mark.parametrize(
    ("breakage", "expected", "columns"),
    [
        ("UPDATE clients SET name = left(name, 8) WHERE client_id = 77", {"different": 1}, {"name": 1}),
        ("UPDATE clients SET city = NULL WHERE client_id = 3", {"different": 1}, {"city": 1}),
        ("UPDATE clients SET name = '' WHERE client_id = 3", {"different": 1}, {"name": 1}),
        ("UPDATE clients SET fee = fee + 0.01 WHERE client_id < 3", {"different": 2}, {"fee": 2}),
        ("UPDATE clients SET secret = 'pw' WHERE client_id = 3", {"different": 1}, {"secret": 1}),
        ("DELETE FROM clients WHERE client_id IN (5, 6)", {"missing": 2}, {}),
        ("UPDATE clients SET client_id = 500 WHERE client_id = 5", {"missing": 1, "stale": 1}, {}),
        ("INSERT INTO clients VALUES (500, 'new')", {"stale": 1}, {}),
        # Exchanged values of two rows: a checksum of each column alone would miss them.
        (
            "UPDATE clients SET name = CASE client_id WHEN 1 THEN 'Client 2' ELSE 'Client 1' END WHERE client_id < 3",
            {"different": 2},
            {"name": 2},
        ),
        ("TRUNCATE clients", {"missing": 100}, {}),
        ("UPDATE clients SET fee = 7.50, city = '', updated_at = '2001-01-01' WHERE client_id = 7", {}, {}),
    ],
)
def test_each_kind_of_difference_is_found(
    pair: Pair, breakage: str, expected: Mapping[str, int], columns: Mapping[str, int]
) -> None:
    make_clients(pair)
    pair.target.execute(breakage)  # type: ignore[call-overload]
    found = verify_table(pair, CLIENTS)
    assert difference_counts(found) == expected
    assert found.agrees is not bool({"missing", "different", "extra"} & expected.keys())
    assert found.outcome is not None
    assert found.outcome.columns == columns


def test_sample_shows_key_and_both_values_without_secrets(pair: Pair) -> None:
    make_clients(pair)
    pair.target.execute("UPDATE clients SET name = 'Client', secret = 'other' WHERE client_id = 77")
    pair.target.execute("DELETE FROM clients WHERE client_id = 5")
    outcome = verify_table(pair, CLIENTS).outcome
    assert outcome is not None
    missing, different = outcome.samples
    assert (missing.kind, missing.key, missing.mobile) == ("missing", {"client_id": "5"}, None)
    assert (different.key, different.columns) == ({"client_id": "77"}, ("name", "secret"))
    assert missing.desktop == {"client_id": "5", "name": "Client 5", "city": "", "fee": "5.50", "secret": "***"}
    assert different.desktop == {"name": "Client 77", "secret": "***"}
    assert different.mobile == {"name": "Client", "secret": "***"}


def test_rows_are_multisets_and_null_keys_pair(pair: Pair) -> None:
    make_tasks(pair)
    assert difference_counts(verify_table(pair, TASKS)) == {}
    pair.target.execute("DELETE FROM tasks WHERE id = (SELECT min(id) FROM tasks WHERE title = 'same')")
    found = verify_table(pair, TASKS)
    assert difference_counts(found) == {"missing": 1}
    assert found.outcome is not None
    assert found.outcome.samples[0].key == {"job_id": "1", "task_id": None}
    pair.target.execute("INSERT INTO tasks (job_id, title, done) VALUES (1, 'same', 0), (1, 'same', 0)")
    assert difference_counts(verify_table(pair, TASKS)) == {"extra": 1}
    pair.target.execute("UPDATE tasks SET title = '' WHERE title IS NULL")
    assert difference_counts(verify_table(pair, TASKS)) == {"extra": 1, "different": 1}


def test_deleted_desktop_row_is_extra_or_stale_by_the_spec(pair: Pair) -> None:
    make_tasks(pair)
    pair.source.execute("DELETE FROM tasks WHERE title = 'same'")
    assert difference_counts(verify_table(pair, TASKS)) == {"extra": 3}
    make_clients(pair)
    pair.source.execute("DELETE FROM clients WHERE client_id < 4")
    assert difference_counts(verify_table(pair, CLIENTS)) == {"stale": 3}
    assert difference_counts(verify_table(pair, dataclasses.replace(CLIENTS, deletes=Deletes.PROPAGATE))) == {
        "extra": 3
    }


def test_mobile_owned_columns_are_counted_as_no_difference(pair: Pair) -> None:
    make_tasks(pair)
    pair.target.execute("UPDATE tasks SET done = 1 WHERE id IN (1, 2)")
    pair.target.execute("UPDATE tasks SET done = 1 WHERE id = (SELECT max(id) FROM tasks WHERE title = 'same')")
    found = verify_table(pair, TASKS)
    assert (difference_counts(found), found.agrees) == ({"mobile_owned": 3}, True)


def test_row_retained_because_of_dependents_is_known(pair: Pair) -> None:
    make_tasks(pair)
    pair.target.execute("CREATE TABLE ticks (task bigint REFERENCES tasks (id))")
    pair.target.execute("INSERT INTO ticks SELECT id FROM tasks WHERE title = 'same' ORDER BY id LIMIT 1")
    pair.source.execute("DELETE FROM tasks WHERE title = 'same'")
    assert difference_counts(verify_table(pair, TASKS)) == {"extra": 2, "kept_referenced": 1}
    assert pair.sync(TASKS).kept_referenced == 1
    assert difference_counts(verify_table(pair, TASKS)) == {"kept_referenced": 1}


def test_desktop_changes_since_the_last_run_are_known(pair: Pair) -> None:
    make_clients(pair)
    make_tasks(pair)
    pair.source.execute(
        "UPDATE clients SET name = 'renamed' WHERE client_id = 5; INSERT INTO clients VALUES (500, 'x')"
    )
    pair.source.execute("UPDATE tasks SET title = 'renamed' WHERE title IS NULL")
    assert difference_counts(verify_table(pair, CLIENTS)) == {"changed": 2}
    assert difference_counts(verify_table(pair, TASKS)) == {"changed": 1}
    pair.target.execute("UPDATE clients SET name = 'broken' WHERE client_id = 6")
    assert difference_counts(verify_table(pair, CLIENTS)) == {"changed": 2, "different": 1}


def test_before_the_first_run_every_row_is_missing_with_a_warning(pair: Pair) -> None:
    pair.source.execute("CREATE TABLE t (id int, x text); INSERT INTO t VALUES (1, 'a')")
    pair.target.execute(f"CREATE TABLE t (id int PRIMARY KEY, x text, {OWNED})")
    found = verify_table(pair, spec("t", "id"))
    assert (difference_counts(found), len(found.warnings)) == ({"missing": 1}, 1)


def test_phone_row_that_matches_a_desktop_row_is_kept(pair: Pair) -> None:
    make_clients(pair)
    pair.target.execute("UPDATE clients SET source = 'M', name = 'by phone' WHERE client_id = 5")
    pair.target.execute("UPDATE clients SET source = 'S' WHERE client_id = 6")
    assert difference_counts(verify_table(pair, CLIENTS)) == {"kept": 2, "kept_other": 1}
    make_tasks(pair)
    pair.target.execute("UPDATE tasks SET source = 'M' WHERE title = 'same'")
    assert difference_counts(verify_table(pair, TASKS)) == {"kept": 3}
    # There it matches equal content only.
    pair.target.execute("UPDATE tasks SET title = 'by phone' WHERE title = 'same'")
    assert difference_counts(verify_table(pair, TASKS)) == {"missing": 3}


def test_unowned_row_that_pairs_counts_as_a_desktop_row(pair: Pair) -> None:
    make_clients(pair)
    pair.target.execute("UPDATE clients SET source = NULL WHERE client_id < 4")
    pair.target.execute("INSERT INTO clients (client_id, source) VALUES (500, NULL)")
    assert difference_counts(verify_table(pair, CLIENTS)) == {"kept_other": 1}
    pair.target.execute("UPDATE clients SET name = 'other' WHERE client_id = 3")
    assert difference_counts(verify_table(pair, CLIENTS)) == {"different": 1, "kept_other": 1}


def test_echo_by_ledger_and_by_source_is_known(pair: Pair) -> None:
    make_diary(pair)
    phone_writes(pair, "diary", entry("1", "visit"), entry("1", "visit"), entry("2", "call"))
    desktop_writes(pair, 1, "visit")
    pair.sync(DIARY)
    assert difference_counts(verify_table(pair, DIARY)) == {"echo": 3}
    pair.source.execute("UPDATE diary SET note = 'long call' WHERE note = 'call'")
    assert difference_counts(verify_table(pair, DIARY)) == {"echo": 2, "kept": 1}
    pair.target.execute("DELETE FROM diary WHERE source = 'D'")
    assert difference_counts(verify_table(pair, DIARY)) == {"echo": 2, "kept": 1, "missing": 1}


def test_phone_row_handed_over_with_another_key_is_left_alone(pair: Pair) -> None:
    make_diary(pair)
    phone_writes(pair, "diary", entry("1", "visit"), entry("2", "call"))
    pair.sync(DIARY)
    pair.target.execute("UPDATE diary SET staff_id = 5, source = 'D' WHERE note = 'visit'")
    found = verify_table(pair, DIARY)
    assert difference_counts(found) == {"echo": 2}
    assert found.outcome is not None
    assert found.outcome.read == 2, "the table is read whole"


def test_mobile_copy_of_a_phone_row_is_a_difference(pair: Pair) -> None:
    make_diary(pair)
    phone_writes(pair, "diary", entry("1", "visit"))
    pair.target.execute("INSERT INTO diary (staff_id, day, note) SELECT staff_id, day, note FROM diary")
    assert difference_counts(verify_table(pair, DIARY)) == {"echo": 1, "extra": 1}


def test_rows_with_mobile_source_are_desktop_rows_without_phone_rows(pair: Pair) -> None:
    make_diary(pair, ", source char(1)")
    pair.source.execute(
        "INSERT INTO diary VALUES (1, NULL, 'phone', 'M'), (1, NULL, 'office', 'D'), (2, NULL, 'x', NULL)"
    )
    pair.sync(DIARY)
    assert difference_counts(verify_table(pair, DIARY)) == {}
    pair.target.execute("DELETE FROM diary WHERE note = 'phone'")
    assert difference_counts(verify_table(pair, DIARY)) == {"missing": 1}
    pair.target.execute("INSERT INTO diary (staff_id, note, source) VALUES (1, 'phone', 'M')")
    assert difference_counts(verify_table(pair, DIARY)) == {"echo": 1}


def test_exact_duplicates_of_a_unique_key_are_superseded(pair: Pair) -> None:
    make_clients(pair)
    pair.source.execute("INSERT INTO clients SELECT * FROM clients WHERE client_id < 3")
    pair.sync(CLIENTS)
    assert difference_counts(verify_table(pair, CLIENTS)) == {"superseded": 2}
    pair.target.execute("DELETE FROM clients WHERE client_id = 1")
    assert difference_counts(verify_table(pair, CLIENTS)) == {"superseded": 2, "missing": 1}


def test_quarantined_rows_and_their_last_good_versions_are_known(pair: Pair) -> None:
    make_clients(pair)
    pair.source.execute("UPDATE clients SET fee = 1.005 WHERE client_id = 5; INSERT INTO clients VALUES (6, 'again')")
    pair.source.execute("INSERT INTO clients VALUES (NULL, 'no key')")
    # The run would quarantine both rows of key 6.
    assert difference_counts(verify_table(pair, CLIENTS)) == {"changed": 4, "held": 2}
    pair.sync(CLIENTS)
    # 1.005 would be rounded, two rows have the key 6, and one row has no key.
    assert difference_counts(verify_table(pair, CLIENTS)) == {"quarantined": 4, "held": 2}
    pair.target.execute("UPDATE clients SET name = 'broken' WHERE client_id = 7")
    assert difference_counts(verify_table(pair, CLIENTS)) == {"quarantined": 4, "held": 2, "different": 1}


def test_rows_that_only_writing_refuses_are_known_once_quarantined(pair: Pair) -> None:
    make_clients(pair)
    pair.target.execute("""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON clients FOR EACH ROW WHEN (NEW.name = 'bad')
            EXECUTE FUNCTION refuse()""")
    pair.source.execute("UPDATE clients SET name = 'bad' WHERE client_id = 5; INSERT INTO clients VALUES (500, 'bad')")
    assert difference_counts(verify_table(pair, CLIENTS)) == {"changed": 2}
    assert pair.sync(CLIENTS).quarantined == 2
    assert difference_counts(verify_table(pair, CLIENTS)) == {"quarantined": 2, "held": 1}


def test_row_that_a_run_would_quarantine_anew_is_missing(pair: Pair) -> None:
    make_clients(pair)
    jobs = spec("jobs", "job_id", references=(Reference(column="client_id", parent="clients"),))
    pair.source.execute("CREATE TABLE jobs (job_id int, client_id int)")
    pair.target.execute("CREATE TABLE jobs (job_id int PRIMARY KEY, client_id int, source char(1))")
    pair.source.execute("INSERT INTO jobs SELECT n, n FROM generate_series(1, 9) AS n")
    pair.sync(jobs, CLIENTS)
    pair.target.execute("DELETE FROM clients WHERE client_id IN (5, 6)")
    assert difference_counts(verify_table(pair, jobs, CLIENTS)) == {}, (
        "equal rows agree, although a run would quarantine them"
    )
    pair.target.execute("DELETE FROM jobs WHERE job_id = 5")
    found = verify_table(pair, jobs, CLIENTS)
    assert difference_counts(found) == {"missing": 1}
    assert found.outcome is not None
    assert [(sample.kind, sample.key) for sample in found.outcome.samples] == [("missing", {"job_id": "5"})]
    assert [rejection.reason for rejection in found.outcome.rejections] == ["reference"]


def test_only_as_many_rows_of_a_key_are_excused_as_are_quarantined(pair: Pair) -> None:
    make_tasks(pair)
    pair.target.execute("ALTER TABLE tasks ADD CHECK (title <> 'bad')")
    pair.source.execute("INSERT INTO tasks VALUES (1, NULL, 'bad', 0)")
    pair.sync(TASKS)
    assert difference_counts(verify_table(pair, TASKS)) == {"quarantined": 1}
    pair.target.execute("DELETE FROM tasks WHERE id = (SELECT min(id) FROM tasks WHERE title = 'same')")
    assert difference_counts(verify_table(pair, TASKS)) == {"quarantined": 1, "missing": 1}


def test_equal_values_of_different_types_are_no_difference(pair: Pair) -> None:
    pair.source.execute("SET TimeZone = 'Asia/Kolkata'")
    pair.source.execute(
        "CREATE TABLE kinds (id numeric(8), a numeric, b char(5), c timestamp, d date, e real, f bool, g smallint,"
        " h varchar(9), i money, j json, k timestamptz, l char(3), m text, n float8, o bytea, p int[], q interval)"
    )
    pair.target.execute(
        "CREATE TABLE kinds (id int PRIMARY KEY, a numeric(12,4), b text, c timestamptz, d timestamp, e float8, f text,"
        f" g bigint, h char(9), i numeric, j jsonb, k timestamptz, l varchar(3), m text, n numeric, o bytea, p int[],"
        f" q interval, {OWNED})"
    )
    pair.source.execute(
        "INSERT INTO kinds VALUES (1, 1.50, 'ab', '2025-06-01 10:00', '2025-06-01', 0.1, true, 7, 'x ', 12.5,"
        """ '{"b": 1, "a": [1, 2]}', '2025-06-01 10:00+00', 'a', E'tab\t \\x01 "q", (\u00a0) \u20b9', 1e20,"""
        " '\\xdead',"
        " '{1,NULL}', '36:00'), (2, NULL, '', 'infinity', '-infinity', 'NaN', false, NULL, '', 0, 'null', NULL, '',"
        " '', '-0', '', '{}', '-1 mon')"
    )
    kinds = spec("kinds", "id")
    options = dataclasses.replace(QUICK, timezone="Asia/Kolkata")
    assert pair.sync(kinds, options=options).inserted == 2
    found = verify_table(pair, kinds, options=options)
    assert difference_counts(found) == {}
    every = ", ".join(f"{column} = NULL" for column in "abcdefghijklmnopq")
    pair.target.execute(f"UPDATE kinds SET {every} WHERE id = 1")  # type: ignore[call-overload]  # noqa: S608
    outcome = verify_table(pair, kinds, options=options).outcome
    assert outcome is not None
    assert sorted(outcome.columns) == list("abcdefghijklmnopq")


def test_short_hardware_address_agrees_with_its_long_form(pair: Pair) -> None:
    pair.source.execute("CREATE TABLE cards (id int, card macaddr); INSERT INTO cards VALUES (1, '08:00:2b:01:02:03')")
    pair.target.execute("CREATE TABLE cards (id int, card macaddr8, source text)")
    cards = spec("cards", "id")
    pair.sync(cards)
    assert difference_counts(verify_table(pair, cards)) == {}


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("float8", "0", "-0"),
        ("interval", "1 day", "24:00:00"),
        ("numeric[]", "{1.0}", "{1.00}"),
        ("jsonb", "1.0", "1.00"),
        ("numeric", "1.0", "1.00"),
        ("char(5)", "a", "a "),
    ],
)
@pytest.mark.parametrize("make", [spec, delete_insert], ids=["upsert", "delete-insert"])
def test_rewritten_key_is_synced_and_agrees(
    pair: Pair, make: Callable[..., TableSpec], kind: str, before: str, after: str
) -> None:
    pair.both(f"CREATE TABLE items (k {kind} PRIMARY KEY, name text)")
    pair.target.execute("ALTER TABLE items ADD source text")
    pair.source.execute("INSERT INTO items VALUES (%s, 'x')", [before])
    items = make("items", "k")
    pair.sync(items)
    pair.source.execute("UPDATE items SET k = %s", [after])
    for mode in ("incremental", "full"):
        result = pair.sync(items, mode=mode)
        assert result.quarantined == result.stale == 0
        assert difference_counts(verify_table(pair, items)) == {}
    # 1.0 and 1.00, and padding, are equal.
    same = pair.one("SELECT k::text FROM items") == pair.one("SELECT k::text FROM items", pair.source)
    assert same or kind.startswith("numeric")
    assert_noop(pair, items)


def test_expressions_and_lookups_are_evaluated(pair: Pair) -> None:
    jobs = spec("jobs", "job_id")
    diary = delete_insert(
        "work",
        "job_id",
        expressions=(Expression(column="begun", forward='"begun"::time', reverse='"day" + "begun"'),),
        references=(Reference(column="job_id", parent="jobs", order_only=True),),
        lookups=(Lookup(column="client_id", table="jobs", match="job_id"),),
    )
    pair.source.execute(
        "CREATE TABLE jobs (job_id int, client_id int); CREATE TABLE work (job_id int, begun timestamp)"
    )
    pair.target.execute(
        f"CREATE TABLE jobs (job_id int PRIMARY KEY, client_id int, {OWNED});"  # type: ignore[call-overload]
        f"CREATE TABLE work (id bigserial PRIMARY KEY, job_id int, begun time, client_id int, {OWNED})"
    )
    pair.source.execute("INSERT INTO jobs SELECT n, n * 10 FROM generate_series(1, 9) AS n")
    pair.source.execute("INSERT INTO work SELECT n, timestamp '2025-06-01 10:00' FROM generate_series(1, 12) AS n")
    pair.sync_all(jobs, diary)
    assert difference_counts(verify_table(pair, diary, jobs)) == {}
    pair.target.execute(
        "UPDATE work SET begun = '10:01' WHERE job_id = 3; UPDATE work SET client_id = 7 WHERE job_id = 4"
    )
    found = verify_table(pair, diary, jobs)
    assert difference_counts(found) == {"different": 2}
    assert found.outcome is not None
    assert found.outcome.columns == {"begun": 1, "client_id": 1}
    assert (found.outcome.samples[1].desktop, found.outcome.samples[1].mobile) == (
        {"client_id": "40"},
        {"client_id": "7"},
    )
    pair.sync_all(jobs, diary)
    # The jobs have been synced since, the work has not.
    pair.source.execute("UPDATE jobs SET client_id = 99 WHERE job_id = 5")
    pair.sync(jobs)
    assert difference_counts(verify_table(pair, diary, jobs)) == {"changed": 1}


def test_only_rows_of_the_office_are_verified(pair: Pair) -> None:
    staff = spec("staff", "staff_id", office="org_id", references=(Reference(column="org_id", parent="orgs"),))
    pair.source.execute("CREATE TABLE orgs (org_id int); CREATE TABLE staff (staff_id int, org_id int, name text)")
    pair.target.execute(
        f"CREATE TABLE orgs (org_id int PRIMARY KEY, {OWNED});"  # type: ignore[call-overload]
        f"CREATE TABLE staff (staff_id int PRIMARY KEY, org_id int, name text, {OWNED})"
    )
    pair.source.execute(
        "INSERT INTO orgs VALUES (1); INSERT INTO staff VALUES (1, 1, 'A'), (2, 1, 'B'), (3, 5, 'lost')"
    )
    pair.sync_all(ORGS, staff)
    pair.target.execute("INSERT INTO orgs VALUES (2); INSERT INTO staff VALUES (7, 2, 'theirs')")
    assert difference_counts(verify_table(pair, staff, ORGS)) == {"quarantined": 1}
    assert difference_counts(verify_table(pair, ORGS, staff)) == {}
    pair.target.execute("UPDATE powerca_sync.office SET office = 'another/desktop'")
    with pytest.raises(UnsafeTargetError, match="belongs to another desktop"):
        verify_table(pair, staff, ORGS)


def test_table_that_cannot_be_compared_is_an_error(pair: Pair) -> None:
    make_clients(pair)
    pair.target.execute("DROP TABLE clients")
    found = verify_table(pair, CLIENTS)
    assert (found.agrees, found.outcome) == (False, None)
    assert "does not exist on mobile" in str(found.error)


def test_text_read_as_another_type_is_compared_on_the_target(pair: Pair) -> None:
    days = spec("days", "id")
    pair.source.execute("CREATE TABLE days (id text, day text, n text)")
    pair.target.execute(f"CREATE TABLE days (id int PRIMARY KEY, day date, n numeric(6,2), {OWNED})")
    pair.source.execute(
        "INSERT INTO days VALUES ('01', '2025-06-01', '1.5'), ('2', '2025-06-02', '2.00'), ('3', NULL, '3')"
    )
    pair.sync(days)
    found = verify_table(pair, days)
    assert difference_counts(found) == {}
    pair.source.execute("INSERT INTO days VALUES ('4', 'someday', '4'), ('x', NULL, NULL)")
    assert difference_counts(verify_table(pair, days)) == {"changed": 2}
    pair.sync(days)
    pair.target.execute("UPDATE days SET n = 1 WHERE id = 1; DELETE FROM days WHERE id = 3")
    found = verify_table(pair, days)
    assert difference_counts(found) == {"quarantined": 2, "different": 1, "missing": 1}


def test_table_that_differs_everywhere_is_read_once(pair: Pair) -> None:
    make_clients(pair, 300)
    pair.target.execute(
        "UPDATE clients SET name = 'x' WHERE client_id <= 250; DELETE FROM clients WHERE client_id > 290"
    )
    found = verify_table(pair, CLIENTS)
    assert difference_counts(found) == {"different": 250, "missing": 10}
    assert found.outcome is not None
    assert (len(found.outcome.samples), found.outcome.columns) == (30, {"name": 250})


def test_unusual_names_are_quoted(pair: Pair) -> None:
    odd = delete_insert("Odd %s table", "the %(key)s", 'a"b')
    columns = '"the %(key)s" int, "a""b" text, "100%" text'
    pair.source.execute(f'CREATE TABLE "Odd %s table" ({columns})')  # type: ignore[call-overload]
    pair.target.execute(f'CREATE TABLE "Odd %s table" (id bigserial PRIMARY KEY, {columns}, {OWNED})')  # type: ignore[call-overload]
    pair.source.execute("""INSERT INTO "Odd %s table" VALUES (1, '%s', 'x'), (NULL, NULL, '')""")
    pair.sync(odd)
    assert difference_counts(verify_table(pair, odd)) == {}
    pair.target.execute("""UPDATE "Odd %s table" SET "100%" = NULL""")
    outcome = verify_table(pair, odd).outcome
    assert outcome is not None
    assert (outcome.columns, outcome.samples[0].kind) == ({"100%": 2}, "different")


def test_masters_without_a_source_column_are_compared(pair: Pair) -> None:
    units = spec("units", "id", category=Category.MASTERS)
    pair.both("CREATE TABLE units (id int, name text)")
    pair.source.execute("INSERT INTO units VALUES (1, 'a'), (2, 'b')")
    pair.sync(units)
    assert difference_counts(verify_table(pair, units)) == {}
    pair.target.execute("UPDATE units SET name = 'c' WHERE id = 1; INSERT INTO units VALUES (1, 'a')")
    assert difference_counts(verify_table(pair, units)) == {"different": 1, "extra": 1}


SHORTENING = """
CREATE FUNCTION shorten() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN NEW.name := left(NEW.name, 8); RETURN NEW; END $$;
CREATE TRIGGER shorten BEFORE INSERT OR UPDATE ON clients FOR EACH ROW EXECUTE FUNCTION shorten()"""


def test_commit_check_finds_a_trigger_that_cuts_a_name(pair: Pair) -> None:
    make_clients(pair)
    pair.target.execute(SHORTENING)
    pair.source.execute("UPDATE clients SET name = 'A rather long name' WHERE client_id = 5")
    before = pair.text("clients"), pair.text("powerca_sync.table_state")
    with pytest.raises(MergeError, match=r"1 row at the target unlike the rows written.*client_id=5"):
        pair.sync(CLIENTS, options=LOOKING)
    assert (pair.text("clients"), pair.text("powerca_sync.table_state")) == before
    # Without the commit check the run commits, and verify reports the difference afterwards.
    assert pair.sync(CLIENTS).updated == 1
    assert difference_counts(verify_table(pair, CLIENTS)) == {"different": 1}


def test_commit_check_accepts_known_differences(pair: Pair) -> None:
    make_clients(pair)
    make_tasks(pair)
    pair.target.execute("UPDATE clients SET source = 'M', name = 'by phone' WHERE client_id = 5")
    pair.target.execute("UPDATE tasks SET done = 1 WHERE id = 3; UPDATE tasks SET source = 'M' WHERE title = 'same'")
    pair.source.execute("UPDATE clients SET fee = 1.005 WHERE client_id = 6; DELETE FROM clients WHERE client_id = 7")
    pair.source.execute("INSERT INTO clients SELECT * FROM clients WHERE client_id = 8")
    pair.source.execute("UPDATE clients SET name = 'changed', fee = 9.50 WHERE client_id = 9")
    pair.source.execute("INSERT INTO tasks VALUES (9, 9, 'new', 0), (9, 9, 'new', 0)")
    assert pair.sync(CLIENTS, options=LOOKING).quarantined == 1
    assert pair.sync(CLIENTS, mode="incremental", options=LOOKING).quarantined == 1
    assert pair.sync(TASKS, options=LOOKING).inserted == 2


def test_commit_check_finds_a_trigger_that_alters_keyless_rows(pair: Pair) -> None:
    notes = delete_insert("clients")
    pair.source.execute("CREATE TABLE clients (name text); INSERT INTO clients VALUES ('A rather long name'), (NULL)")
    pair.target.execute(f"CREATE TABLE clients (id bigserial PRIMARY KEY, name text, {OWNED})")
    pair.target.execute(SHORTENING)
    with pytest.raises(MergeError, match=r"1 row at the target unlike the rows written\. "):
        pair.sync(notes, options=LOOKING)
    pair.sync(notes)
    assert difference_counts(verify_table(pair, notes)) == {"missing": 1, "extra": 1}
