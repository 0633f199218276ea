"""Several offices on one mobile database: each reads and writes its own rows only."""

import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from powerca_sync.engine.context import open_context
from powerca_sync.engine.doctor import Severity, examine_sharing
from powerca_sync.engine.load import load_rows
from powerca_sync.engine.postgres.database import connect
from powerca_sync.engine.result import Transfer
from powerca_sync.engine.setup import introduce
from powerca_sync.engine.state.locks import acquire_table
from powerca_sync.engine.status import TableStatus, read_table_status
from powerca_sync.engine.verify import verify
from powerca_sync.errors import ContentionError, SchemaMismatchError, SyncError, UnsafeTargetError
from powerca_sync.settings import Endpoint
from powerca_sync.specs import Deletes, Reference, in_order
from powerca_sync_tests.engine.clinic import examined
from powerca_sync_tests.helpers import ORGS, QUICK, Pair, delete_insert, pulled, row_counts, spec, wait_until

ORG = Reference(column="org_id", parent="orgs")
CLIENTS = spec("clients", "client_id", office="org_id", deletes=Deletes.PROPAGATE)
LINES = delete_insert("lines", "job_id", office="org_id")
NOTES = spec("notes", "note_id", office="rem_id", references=(Reference(column="rem_id", parent="reminders"),))
REMINDERS = spec("reminders", "rem_id", office="org_id", references=(ORG,))


@pytest.fixture
def offices(pair: Pair) -> Iterator[tuple[Pair, Pair]]:
    """Creates two desktops, with organisations 1 and 2, and their mobile database."""
    pair.source.execute("CREATE DATABASE other TEMPLATE template0")
    other = Endpoint(**{**endpoint_fields(pair.settings.desktop), "name": "other"})
    pair.target.execute("""
        CREATE TABLE orgs (org_id int PRIMARY KEY, source char(1) DEFAULT 'D');
        CREATE TABLE clients (client_id int PRIMARY KEY, org_id int, name text, source char(1) DEFAULT 'D');
        CREATE TABLE lines (id bigserial PRIMARY KEY, org_id int, job_id int, line text, source char(1) DEFAULT 'D');
        CREATE TABLE reminders (rem_id int PRIMARY KEY, org_id int, source char(1) DEFAULT 'D');
        CREATE TABLE notes (note_id int PRIMARY KEY, rem_id int, note text, source char(1) DEFAULT 'D')""")
    with Pair(other, pair.settings.mobile) as second:
        for org, desktop in enumerate((pair, second), start=1):
            desktop.source.execute("""
                CREATE TABLE orgs (org_id int);
                CREATE TABLE clients (client_id int, org_id int, name text);
                CREATE TABLE lines (org_id int, job_id int, line text);
                CREATE TABLE reminders (rem_id int, org_id int);
                CREATE TABLE notes (note_id int, rem_id int, note text)""")
            desktop.source.execute("INSERT INTO orgs VALUES (%s)", [org])
        yield pair, second
    pair.source.execute("DROP DATABASE other WITH (FORCE)")


def endpoint_fields(endpoint: Endpoint) -> dict[str, object]:
    return {"side": endpoint.side, "host": endpoint.host, "port": endpoint.port, "user": endpoint.user}


def test_key_used_by_another_office_is_quarantined(
    offices: tuple[Pair, Pair],
) -> None:
    first, second = offices
    first.source.execute("INSERT INTO clients VALUES (1, 1, 'Asha'), (2, 1, 'Bala')")
    second.source.execute("INSERT INTO clients VALUES (2, 2, 'Other'), (3, 2, 'Chitra')")
    assert row_counts(first.sync(CLIENTS, ORGS)) == {"inserted": 2}
    before = first.text("clients")
    result = second.sync(CLIENTS, ORGS)
    assert row_counts(result) == {"inserted": 1, "quarantined": 1}
    assert str(result.samples[0]) == "client_id=2 belongs to organisation 1"
    assert first.text("clients", where="org_id = 1") == before
    first.source.execute("DELETE FROM clients WHERE client_id = 2")
    assert row_counts(first.sync(CLIENTS, ORGS)) == {"unchanged": 1, "deleted": 1}
    assert row_counts(second.sync(CLIENTS, ORGS)) == {"inserted": 1, "unchanged": 1}, "the key is free now"


def test_row_without_an_office_is_not_overwritten(offices: tuple[Pair, Pair]) -> None:
    first, _ = offices
    first.target.execute("INSERT INTO clients VALUES (1, NULL, 'Whose?')")
    before = first.text("clients")
    first.source.execute("INSERT INTO clients VALUES (1, 1, 'Asha')")
    assert row_counts(first.sync(dataclasses.replace(CLIENTS, limit_share=1.0), ORGS)) == {"quarantined": 1}
    assert first.text("clients") == before


def test_lines_of_two_offices_with_equal_keys_coexist(offices: tuple[Pair, Pair]) -> None:
    first, second = offices
    first.source.execute("INSERT INTO lines VALUES (1, 7, 'a'), (1, 7, 'a'), (1, 8, 'b')")
    second.source.execute("INSERT INTO lines VALUES (2, 7, 'a')")
    assert row_counts(first.sync(LINES, ORGS)) == {"inserted": 3}
    assert row_counts(second.sync(LINES, ORGS)) == {"inserted": 1}
    others = first.text("lines", where="org_id = 2")
    first.source.execute("DELETE FROM lines WHERE job_id = 7")
    assert row_counts(first.sync(LINES, ORGS)) == {"unchanged": 1, "deleted": 2}
    assert first.text("lines", where="org_id = 2") == others


def test_natural_key_of_another_offices_line_is_quarantined(offices: tuple[Pair, Pair]) -> None:
    first, second = offices
    first.target.execute("ALTER TABLE lines DROP COLUMN id, ADD PRIMARY KEY (job_id)")
    first.source.execute("INSERT INTO lines VALUES (1, 7, 'a')")
    second.source.execute("INSERT INTO lines VALUES (2, 7, 'other'), (2, 8, 'b')")
    first.sync(LINES, ORGS)
    before = first.text("lines")
    result = second.sync(LINES, ORGS)
    assert row_counts(result) == {"inserted": 1, "quarantined": 1}
    assert "duplicate key" in str(result.samples[0])
    assert first.text("lines", where="org_id = 1") == before


def test_rows_of_other_or_no_organisation_are_not_synced(offices: tuple[Pair, Pair]) -> None:
    first, _ = offices
    first.source.execute("INSERT INTO lines VALUES (1, 7, 'ours'), (2, 7, 'not ours'), (NULL, 7, 'whose?')")
    result = first.sync(LINES, ORGS)
    assert row_counts(result) == {"inserted": 1, "quarantined": 2}
    assert {str(sample) for sample in result.samples} == {
        "org_id=2 does not reference an organisation of this office",
        "org_id does not reference an organisation of this office",
    }


def test_detail_row_belongs_to_the_office_of_its_parent(offices: tuple[Pair, Pair]) -> None:
    first, second = offices
    first.source.execute("INSERT INTO reminders VALUES (1, 1); INSERT INTO notes VALUES (1, 1, 'a'), (2, 9, 'b')")
    second.source.execute("INSERT INTO reminders VALUES (2, 2); INSERT INTO notes VALUES (1, 2, 'c'), (3, 1, 'd')")
    for desktop in offices:
        desktop.sync_all(REMINDERS, ORGS)
    result = first.sync(NOTES, REMINDERS, ORGS)
    assert row_counts(result) == {"inserted": 1, "quarantined": 1}
    assert str(result.samples[0]) == "rem_id=9 has no matching row in reminders"
    before = first.text("notes")
    result = second.sync(dataclasses.replace(NOTES, limit_share=1.0), REMINDERS, ORGS)
    assert row_counts(result) == {"quarantined": 2}
    assert {str(sample) for sample in result.samples} == {
        "note_id=1 belongs to organisation 1",
        "rem_id=1 is a row of reminders that belongs to another office",
    }
    assert first.text("notes") == before


def test_organisation_of_another_desktop_is_refused_before_reading(
    offices: tuple[Pair, Pair],
) -> None:
    first, second = offices
    first.sync(ORGS)
    second.source.execute("INSERT INTO orgs VALUES (1); DROP TABLE clients")
    with pytest.raises(UnsafeTargetError, match=r"Organisation 1 belongs to another desktop .*init --accept-source"):
        second.sync(CLIENTS, ORGS)
    assert first.rows("SELECT org_id FROM powerca_sync.office") == [("1",)]


def test_accepted_replacement_desktop_excludes_the_old_one(
    offices: tuple[Pair, Pair],
) -> None:
    first, second = offices
    first.source.execute("INSERT INTO lines VALUES (1, 7, 'a'), (9, 9, 'in quarantine')")
    first.sync(LINES, ORGS)
    second.source.execute("UPDATE orgs SET org_id = 1; INSERT INTO lines VALUES (1, 7, 'a'), (1, 8, 'b')")
    accept_desktop(second)
    assert row_counts(second.sync(LINES, ORGS)) == {"inserted": 1, "unchanged": 1}
    assert first.rows("SELECT count(DISTINCT office), count(*) FROM powerca_sync.office") == [(1, 1)]
    assert first.one("SELECT count(*) FROM powerca_sync.quarantine") == 0
    with pytest.raises(UnsafeTargetError, match="belongs to another desktop"):
        first.sync(LINES, ORGS)


def accept_desktop(pair: Pair) -> None:
    with pair.connected() as (source, target):
        introduce(source=source, target=target, specs=[ORGS], accept=True)


@pytest.mark.parametrize("broken", ["DELETE FROM orgs", "UPDATE orgs SET org_id = NULL"])
def test_desktop_without_organisations_is_refused(offices: tuple[Pair, Pair], broken: str) -> None:
    first, _ = offices
    first.source.execute(broken)
    with pytest.raises(UnsafeTargetError, match="table of organisations is empty"):
        first.sync(CLIENTS, ORGS)


def test_desktop_without_a_table_of_organisations_is_refused(offices: tuple[Pair, Pair]) -> None:
    first, _ = offices
    first.source.execute("DROP TABLE orgs")
    with pytest.raises(SyncError, match="`orgs`, or its key, does not exist on the desktop"):
        first.sync(CLIENTS, ORGS)


def test_organisation_added_later_is_registered(offices: tuple[Pair, Pair]) -> None:
    first, _ = offices
    first.sync(ORGS)
    first.source.execute("INSERT INTO orgs VALUES (5); INSERT INTO lines VALUES (5, 1, 'new')")
    assert row_counts(first.sync(ORGS)) == {"inserted": 1, "unchanged": 1}
    assert row_counts(first.sync(LINES, ORGS)) == {"inserted": 1}
    assert first.rows("SELECT org_id FROM powerca_sync.office ORDER BY 1") == [("1",), ("5",)]


def test_two_tables_of_a_new_office_may_be_synced_concurrently(offices: tuple[Pair, Pair]) -> None:
    first, _ = offices
    first.source.execute("INSERT INTO lines VALUES (1, 7, 'a')")
    first.sync(LINES, ORGS)
    (claim,) = first.rows("DELETE FROM powerca_sync.office RETURNING org_id, office")
    with connect(first.settings.mobile) as other_run:
        other_run.execute("BEGIN")
        other_run.execute("INSERT INTO powerca_sync.office (org_id, office) VALUES (%s, %s)", claim)
        with first.sync_that_waits(LINES, ORGS) as run:
            other_run.execute("COMMIT")
        assert row_counts(run.result()) == {"unchanged": 1}


def test_one_of_two_concurrent_claims_of_an_organisation_is_refused(offices: tuple[Pair, Pair]) -> None:
    first, _ = offices
    first.sync(LINES, ORGS)
    first.target.execute("DELETE FROM powerca_sync.office")
    with connect(first.settings.mobile) as other_desktop:
        other_desktop.execute("BEGIN; INSERT INTO powerca_sync.office (org_id, office) VALUES ('1', 'elsewhere')")
        with first.sync_that_waits(LINES, ORGS) as run:
            other_desktop.execute("COMMIT")
        with pytest.raises(UnsafeTargetError, match="belongs to another desktop"):
            run.result()


def test_organisation_is_the_same_in_any_notation(offices: tuple[Pair, Pair]) -> None:
    first, second = offices
    first.sync(ORGS)
    second.source.execute("ALTER TABLE orgs ALTER org_id TYPE text; UPDATE orgs SET org_id = '01'")
    with pytest.raises(UnsafeTargetError, match="Organisation 1 belongs to another desktop"):
        second.sync(ORGS)


def test_organisation_id_with_a_scale_equals_the_integer(offices: tuple[Pair, Pair]) -> None:
    first, _ = offices
    first.source.execute("ALTER TABLE orgs ALTER org_id TYPE numeric(5,2); INSERT INTO lines VALUES (1, 7, 'ours')")
    first.sync(ORGS)
    assert row_counts(first.sync(LINES, ORGS)) == {"inserted": 1}


def test_organisation_id_that_does_not_fit_the_target_is_named(offices: tuple[Pair, Pair]) -> None:
    first, _ = offices
    first.source.execute("ALTER TABLE orgs ALTER org_id TYPE text; INSERT INTO orgs VALUES ('head office')")
    with pytest.raises(SchemaMismatchError, match=r"does not fit `orgs\.org_id` at the target: .*head office"):
        first.sync(LINES, ORGS)


def test_forged_rows_of_one_office_do_not_concern_the_other(offices: tuple[Pair, Pair]) -> None:
    first, second = offices
    for org, office in enumerate((first, second), start=1):
        office.source.execute("INSERT INTO lines SELECT %s, n, 'line' FROM generate_series(1, 30) AS n", [org])
        assert row_counts(office.sync(LINES, ORGS)) == {"inserted": 30}
    for n in range(25):
        first.target.execute("INSERT INTO lines (org_id, job_id, line) VALUES (1, %s, 'forged')", [n])
    for _ in range(2):
        second.source.execute("INSERT INTO lines VALUES (2, 99, 'new')")
        assert row_counts(second.sync(LINES, ORGS))["inserted"] == 1
        assert row_counts(first.sync(LINES, ORGS)) == {"unchanged": 30, "foreign": 25}
    second.source.execute("DELETE FROM lines WHERE job_id <= 5 OR job_id = 99")
    assert row_counts(second.sync(LINES, ORGS, delete_foreign=True)) == {"unchanged": 25, "deleted": 7}
    assert row_counts(first.sync(LINES, ORGS)) == {"unchanged": 30, "foreign": 25}


def test_each_office_sees_its_own_times_and_errors(offices: tuple[Pair, Pair]) -> None:
    first, second = offices
    for org, office in enumerate(offices, start=1):
        office.source.execute("INSERT INTO lines SELECT %s, n, 'line' FROM generate_series(1, %s) AS n", [org, org])
        office.sync(LINES, ORGS)
    # The first office's last run was long ago, and the second's next one fails.
    first.target.execute("""
        UPDATE powerca_sync.table_state AS t SET synced_at = '2026-01-01 10:00+00', milliseconds = 1234
        FROM powerca_sync.office AS o WHERE t.office = o.office AND o.org_id = '1'""")
    second.source.execute("ALTER TABLE lines RENAME TO mislaid")
    with pytest.raises(SyncError):
        second.sync(LINES, ORGS)
    assert first.one("SELECT error_message IS NOT NULL FROM _sync_metadata"), "the guide's table has one line for all"

    mine, theirs = (read_lines(office) for office in offices)
    assert (mine.error, mine.records, mine.seconds) == (None, 1, 1.234)
    assert mine.last_sync == datetime(2026, 1, 1, 10, tzinfo=UTC)
    assert theirs.error
    assert "`lines` does not exist on the desktop" in theirs.error
    assert theirs.records == 2
    assert theirs.last_sync
    assert theirs.last_sync > mine.last_sync

    # A good run of one office hides no error of the other.
    first.sync(LINES, ORGS)
    assert first.one("SELECT error_message FROM _sync_metadata") is None
    assert read_lines(second).error == theirs.error
    assert read_lines(first, desktop_is_known=False).last_sync == theirs.last_sync, "the oldest of all offices"


def read_lines(pair: Pair, *, desktop_is_known: bool = True) -> TableStatus:
    """Returns the status of the table of lines, as the office sees it."""
    specs = in_order([LINES, ORGS])
    with pair.connected() as (source, target):
        context = open_context(source, target, specs) if desktop_is_known else None
        tables = read_table_status(target, specs, context, only=[LINES])
    assert tables is not None
    return tables[0]


#: True while a session asks again for the lock of a table.
ASKS_FOR_THE_LOCK = """EXISTS (
    SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND state = 'idle in transaction'
        AND query LIKE 'SELECT pg_try_advisory_xact_lock%'
)"""


def test_offices_do_not_wait_for_each_others_tables(offices: tuple[Pair, Pair]) -> None:
    first, second = offices
    for org, office in enumerate(offices, start=1):
        office.source.execute("INSERT INTO lines VALUES (%s, 7, 'a')", [org])
        office.sync(ORGS)
    (identity,) = first.rows("SELECT office FROM powerca_sync.office WHERE org_id = '1'")[0]
    with connect(first.settings.mobile) as run, run.transaction():
        # A long run of the first office, which has written the guide's line.
        with run.cursor() as cursor:
            acquire_table(cursor, LINES, [LINES, ORGS], identity, wait=1)
        run.execute("INSERT INTO lines (org_id, job_id) SELECT 1, n FROM generate_series(1, 30) AS n")
        assert row_counts(second.sync(LINES, ORGS)) == {"inserted": 1}
        with pytest.raises(ContentionError, match="`lines` is being synced by another run, which did not end within 1"):
            first.sync(LINES, ORGS)
        assert read_lines(second).error is None
        # A table whose rows have no office is locked for all.
        with pytest.raises(ContentionError):
            second.sync(dataclasses.replace(LINES, office=None), ORGS)


def test_replacement_waits_for_the_runs_of_the_replaced_desktop(offices: tuple[Pair, Pair]) -> None:
    first, second = offices
    first.sync(ORGS)
    second.source.execute("UPDATE orgs SET org_id = 1")
    (identity,) = first.rows("SELECT office FROM powerca_sync.office")[0]
    with (
        connect(first.settings.mobile) as run,
        connect(first.settings.mobile) as watch,
        ThreadPoolExecutor() as threads,
    ):
        with run.transaction():
            with run.cursor() as cursor:
                acquire_table(cursor, ORGS, [ORGS], identity, wait=1)
            run.execute("SELECT 'not asking'")
            replacement = threads.submit(accept_desktop, second)
            wait_until(watch, ASKS_FOR_THE_LOCK, unless=replacement.done)
            assert not replacement.done()
        replacement.result(timeout=30)
    with pytest.raises(UnsafeTargetError, match="belongs to another desktop"):
        first.sync(ORGS)


def test_two_offices_insert_the_guides_line_at_once(
    offices: tuple[Pair, Pair], caplog: pytest.LogCaptureFixture
) -> None:
    first, second = offices
    for org, office in enumerate(offices, start=1):
        office.sync(ORGS)
        office.source.execute("INSERT INTO lines VALUES (%s, 7, 'a')", [org])
    with connect(first.settings.mobile) as run:
        run.execute("BEGIN; INSERT INTO _sync_metadata (table_name) VALUES ('lines')")
        with second.sync_that_waits(LINES, ORGS) as waiting:
            run.execute("COMMIT")
        assert row_counts(waiting.result()) == {"inserted": 1}
    assert "_sync_metadata" not in caplog.text


def test_second_office_with_the_same_numbers_is_told_whose_they_are(offices: tuple[Pair, Pair]) -> None:
    first, second = offices
    specs = (ORGS, CLIENTS, REMINDERS, NOTES)
    for org, office in enumerate(offices, start=1):
        office.source.execute(f"""
            INSERT INTO clients SELECT n, {org}, 'Client ' || n FROM generate_series(1, 30) AS n;
            INSERT INTO reminders SELECT n, {org} FROM generate_series(1, 30) AS n;
            INSERT INTO notes SELECT n, n, 'Note ' || n FROM generate_series(1, 30) AS n""")  # type: ignore[call-overload]  # noqa: S608
    first.sync_all(*specs)
    second.sync(ORGS)
    before = [first.text(table.mobile) for table in specs]
    messages = {}
    for table in specs[1:]:
        with pytest.raises(UnsafeTargetError) as caught:
            second.sync(table, *(one for one in specs if one is not table))
        messages[table.mobile] = str(caught.value)
    assert "For example: client_id=1 belongs to organisation 1;" in messages["clients"]
    assert "rem_id=1 belongs to organisation 1" in messages["reminders"]
    assert "rem_id=1 is a row of reminders that belongs to another office" in messages["notes"]
    for message in messages.values():
        assert message.endswith("Several offices use the same keys; `docs/offices.md` shows the ways out.")
    assert [first.text(table.mobile) for table in specs] == before

    (finding,) = (one for one in examined(second, *specs) if "has keys of this one" in one.what)
    assert finding.what == (
        "Another office has keys of this one: client_id=1 of clients belongs to organisation 1; "
        "rem_id=1 of reminders belongs to organisation 1; note_id=1 of notes belongs to organisation 1."
    )
    with second.connected() as (source, target):
        introduce(source=source, target=target, specs=specs)
        assert finding in examine_sharing(second.settings, source, target, in_order(specs))
    second.source.execute("UPDATE clients SET client_id = client_id + 100 WHERE client_id > 1")
    result = second.sync(CLIENTS, ORGS)
    assert [str(entry) for entry in result.rejections] == ["1 row quarantined: client_id belongs to organisation 1"]


def test_rows_whose_parent_two_offices_have_are_refused(offices: tuple[Pair, Pair]) -> None:
    """With keys that include the organisation, the number of a parent does not tell its office."""
    first, second = offices
    reminders = dataclasses.replace(REMINDERS, key=("org_id", "rem_id"))
    specs = (ORGS, reminders, NOTES)
    for org, office in enumerate(offices, start=1):
        office.source.execute(f"""
            INSERT INTO reminders SELECT n, {org} FROM generate_series(1, 30) AS n;
            INSERT INTO notes SELECT n, n, 'Note of {org}' FROM generate_series(1, 30) AS n""")  # type: ignore[call-overload]  # noqa: S608
    first.sync_all(*specs)
    second.sync(ORGS)
    first.target.execute("ALTER TABLE reminders DROP CONSTRAINT reminders_pkey, ADD PRIMARY KEY (org_id, rem_id)")
    first.target.execute("INSERT INTO notes VALUES (99, 1, 'From a phone', 'M')")
    assert row_counts(second.sync(reminders, ORGS, NOTES)) == {"inserted": 30}
    everywhere = (first.target, first.source, second.source)
    before = [first.text("notes", on=connection) for connection in everywhere]
    words = "`notes`: no column leads to exactly one organisation, and another desktop is registered"
    for office in offices:
        for run in (office.sync, office.pull):
            with pytest.raises(UnsafeTargetError, match=words):
                run(NOTES, ORGS, reminders)
        assert words in office.plan(*specs)["notes"].refusals[0]
        with office.connected() as (source, target):
            (verified,) = verify(source=source, target=target, specs=in_order(specs), options=QUICK, only=[NOTES])
            with pytest.raises(UnsafeTargetError, match=words):
                load_rows(NOTES, source=source, target=target, specs=in_order(specs))
        assert words in (verified.error or "")
        (finding,) = (one for one in examined(office, *specs) if words in one.what)
        assert finding.severity is Severity.WRONG
        assert row_counts(office.sync(reminders, ORGS, NOTES)) == {"unchanged": 30}
    assert before == [first.text("notes", on=connection) for connection in everywhere]

    # Notes that name their organisation.
    for connection in everywhere:
        connection.execute("ALTER TABLE notes ADD org_id int")
    first.target.execute("UPDATE notes SET org_id = 1")
    second.source.execute("UPDATE notes SET org_id = 2, note_id = note_id + 100")
    notes = dataclasses.replace(NOTES, office="org_id", references=(ORG,))
    assert row_counts(second.sync(notes, ORGS, reminders)) == {"inserted": 30}


def test_phone_row_of_an_author_whom_two_offices_have_is_unassigned(offices: tuple[Pair, Pair]) -> None:
    first, second = offices
    staff = spec("staff", "org_id", "staff_id", office="org_id", references=(ORG,))
    author = Reference(column="staff_id", parent="staff")
    diary = delete_insert("diary", "job_id", office="org_id", references=(ORG, author), made_by="staff_id")
    first.target.execute("""
        CREATE TABLE staff (org_id int, staff_id int, source char(1) DEFAULT 'D', PRIMARY KEY (org_id, staff_id));
        CREATE TABLE diary (id bigserial PRIMARY KEY, org_id int, job_id int, staff_id int, source char(1))""")
    for org, office in enumerate(offices, start=1):
        office.source.execute(f"""
            CREATE TABLE staff (org_id int, staff_id int);
            CREATE TABLE diary (org_id int, job_id int, staff_id int);
            INSERT INTO staff VALUES ({org}, 1), ({org}, {org + 10})""")  # type: ignore[call-overload]  # noqa: S608
        office.sync_all(ORGS, staff)
    first.target.execute("INSERT INTO diary (job_id, staff_id, source) VALUES (7, 1, 'M'), (8, 11, 'M'), (9, 12, 'M')")
    for office in offices:
        assert pulled(office.pull(diary, ORGS, staff)) == {"pulled": 1, "unassigned": 1}
    assert first.rows("SELECT job_id FROM diary", first.source) == [(8,)]
    assert first.rows("SELECT job_id FROM diary", second.source) == [(9,)]
    # Forward runs, the status and assets that load the table count them by the same rule.
    for office, number in zip(offices, (8, 9), strict=True):
        for transfer in (Transfer.EVERYTHING, Transfer.DIFFERENCES):
            result = office.sync(diary, ORGS, staff, options=dataclasses.replace(QUICK, transfer=transfer))
            assert (result.rows_at_target, result.phone_rows) == (1, 1)
        specs = in_order((ORGS, staff, diary))
        with office.connected() as (source, target):
            (status,) = read_table_status(target, specs, open_context(source, target, specs), only=[diary]) or ()
            loaded = load_rows(diary, source=source, target=target, specs=specs)
        assert status.contents is not None
        assert (status.contents.phone, status.contents.desktop) == (1, 0)
        assert [row[2] for row in loaded.rows] == [number]
