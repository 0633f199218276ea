"""Findings on tables, columns, keys, references and unfit rows."""

import time

import pytest

from powerca_sync.engine.doctor import Severity
from powerca_sync.engine.postgres.database import Connection
from powerca_sync.settings import Limits
from powerca_sync.specs import Reference
from powerca_sync_tests.engine.clinic import CLIENTS, NOTES, SPECS, change, examined, only_problem, problems, settle
from powerca_sync_tests.helpers import Pair, row_counts, spec


@pytest.fixture
def office(pair: Pair) -> Pair:
    return settle(pair)


def run(connection: Connection, statement: str) -> None:
    connection.execute(statement)  # type: ignore[call-overload]


def test_databases_without_any_table_are_taken_for_the_wrong_ones(pair: Pair) -> None:
    desktop, mobile = problems(examined(pair))
    assert (desktop.side, mobile.side) == ("desktop", "mobile")
    assert desktop.what.startswith("There are no tables orgs, clients and notes on the desktop")
    assert "`LOCAL_DB_NAME` name the right database" in desktop.do
    assert "`SUPABASE_DB_HOST` name the right database" in mobile.do


def test_missing_table_is_named_with_its_database(office: Pair) -> None:
    office.target.execute("DROP TABLE notes")
    finding = only_problem(office)
    assert (finding.severity, finding.side) == (Severity.WRONG, "mobile")
    assert finding.what.startswith("There is no table notes on the mobile")


def test_missing_column_that_the_spec_needs_blocks_its_table(office: Pair) -> None:
    office.source.execute("ALTER TABLE clients DROP COLUMN client_id")
    finding = only_problem(office)
    assert (finding.severity, finding.table) == (Severity.WRONG, "clients")
    assert "the spec names client_id (the desktop lacks `client_id`)" in finding.what


def test_types_without_a_lossless_conversion_block_their_table(office: Pair) -> None:
    office.source.execute("ALTER TABLE notes ADD COLUMN begun timestamp")
    office.target.execute("ALTER TABLE notes ADD COLUMN begun time")
    finding = only_problem(office)
    assert (finding.severity, finding.table) == (Severity.WRONG, "notes")
    assert "`begun` is `timestamp without time zone` at the source" in finding.what


def test_desktop_only_column_is_reported_as_not_synced(office: Pair) -> None:
    office.source.execute("ALTER TABLE clients ADD COLUMN vat text, ADD COLUMN grade text")
    finding = only_problem(office)
    assert (finding.severity, finding.side, finding.table) == (Severity.WARNING, "mobile", "clients")
    assert finding.what == "clients: only the desktop has vat and grade."
    assert problems(examined(office, *change(CLIENTS, skip=frozenset({"vat", "grade"})))) == []


def test_required_mobile_column_without_a_value_refuses_every_row(office: Pair) -> None:
    office.target.execute("ALTER TABLE clients ADD COLUMN rank int NOT NULL")
    finding = only_problem(office)
    assert (finding.severity, finding.table) == (Severity.WRONG, "clients")
    assert "rank may not be NULL on mobile" in finding.what
    office.target.execute("ALTER TABLE clients ALTER COLUMN rank SET DEFAULT 0")
    assert problems(examined(office)) == []


def test_table_without_source_has_no_reverse_sync(office: Pair) -> None:
    office.target.execute("ALTER TABLE clients DROP COLUMN source")
    finding = only_problem(office)
    assert finding.what == "clients has no column `source` on mobile."
    assert problems(examined(office, *change(CLIENTS, reverse=False))) == []


def test_protected_column_that_does_not_exist_is_reported(office: Pair) -> None:
    finding = only_problem(office, *change(NOTES, sensitive=frozenset({"secrt"})))
    assert "the spec protects secrt (`sensitive` or `mobile_owned`), but neither database has" in finding.what
    assert finding.what.endswith("similar: secret.")


def test_table_missing_in_both_databases_is_no_finding(office: Pair) -> None:
    for connection in (office.source, office.target):
        connection.execute("DROP TABLE notes")
    found = examined(office)
    assert problems(found) == []
    assert "notes: neither database has the table, so that nothing is synced." in [finding.what for finding in found]


def test_missing_optional_columns_are_explained_once(office: Pair) -> None:
    for connection in (office.source, office.target):
        connection.execute("ALTER TABLE notes DROP COLUMN org_id")
    found = examined(office)
    assert problems(found) == []
    (note,) = [finding.what for finding in found if finding.table == "notes"]
    assert note == (
        "notes: left out, because neither database has the column: org_id (key, references, office); key: client_id "
        "(the declared columns that both databases have); office: by client_id."
    )


@pytest.mark.parametrize(
    ("at_source", "at_target", "values", "words"),
    [
        (
            "varchar(60)",
            "varchar(5)",
            "('123456'), ('12345')",
            "value too long for type character varying(5) (column extra)",
        ),
        ("text", "char(3)", "('abcd'), ('abc  ')", "value too long for type character(3) (column extra)"),
        ("numeric", "numeric(4,1)", "(1000), (999.9)", "numeric field overflow (column extra)"),
        ("numeric", "numeric(4,1)", "(1.25), (999.9)", "extra would be rounded, cut or shifted"),
        (
            "numeric(10)",
            "int",
            "(9999999999), (5)",
            'value "9999999999" is out of range for type integer (column extra)',
        ),
        ("numeric", "smallint", "(5.5), (5.0)", 'invalid input syntax for type smallint: "5.5" (column extra)'),
        (
            "text",
            "date",
            "('2025-02-30'), ('2025-02-28')",
            'date/time field value out of range: "2025-02-30" (column extra)',
        ),
        ("text", "text NOT NULL DEFAULT ''", "('a'), (NULL)", "extra is empty, which the target forbids"),
    ],
)
def test_unfit_rows_are_counted_as_the_run_counts_them(
    pair: Pair, at_source: str, at_target: str, values: str, words: str
) -> None:
    fitting = spec("fitting", "id", reverse=False)
    run(pair.source, f"CREATE TABLE fitting (id serial, extra {at_source})")
    run(pair.source, f"INSERT INTO fitting (extra) VALUES {values}")  # noqa: S608
    run(pair.target, f"CREATE TABLE fitting (id int PRIMARY KEY, extra {at_target})")
    finding = only_problem(pair, fitting)
    assert (finding.severity, finding.side, finding.table) == (Severity.WARNING, "desktop", "fitting")
    assert words in finding.what
    counted = int(finding.what.removeprefix("fitting: ").split()[0])
    assert row_counts(pair.sync(fitting))["quarantined"] == counted


def test_columns_of_wider_types_are_no_finding(pair: Pair) -> None:
    wide = spec("wide", "id", reverse=False)
    pair.source.execute("CREATE TABLE wide (id int, a varchar(5), b numeric(4,1), c smallint, d char(4), e numeric)")
    pair.source.execute("INSERT INTO wide VALUES (1, '12345', 999.9, 5, 'ab', 10.5), (2, NULL, NULL, NULL, NULL, NULL)")
    pair.target.execute(
        "CREATE TABLE wide (id int PRIMARY KEY, a text, b numeric(6,2), c int, d varchar(2), e numeric(3,1))"
    )
    assert problems(examined(pair, wide)) == []


def test_null_key_in_a_not_null_column_is_an_unfit_row(office: Pair) -> None:
    office.source.execute("UPDATE notes SET org_id = NULL WHERE client_id = 4")
    finding = only_problem(office)
    assert finding.what == "notes: 1 row would be quarantined: org_id is empty, which the target forbids."


def test_reverse_synced_rows_are_no_finding(office: Pair) -> None:
    office.source.execute("ALTER TABLE notes ADD COLUMN source char(1)")
    office.target.execute("INSERT INTO notes (org_id, client_id, body, source) VALUES (1, 99, 'by phone', 'M')")
    office.pull_all(*SPECS)
    assert problems(examined(office)) == []
    office.source.execute("INSERT INTO notes (org_id, client_id, body, source) VALUES (1, 99, 'by the office', 'D')")
    expected = "notes: 1 row would be quarantined: client_id has no matching row in clients."
    assert only_problem(office).what == expected


def test_unfit_rows_beyond_the_limit_are_an_error(office: Pair) -> None:
    office.source.execute("ALTER TABLE clients ALTER COLUMN client_name TYPE varchar(60)")
    office.source.execute("UPDATE clients SET client_name = repeat('x', 30) WHERE client_id <= 30")
    words = [
        "value too long for type character varying(20) (column client_name)",
        "client_id references a row of clients that is itself quarantined",
    ]
    for limits, severity in (Limits(), Severity.WRONG), (Limits(quarantine_share=0.9), Severity.WARNING):
        found = problems(examined(office, limits=limits))
        assert [finding.what for finding in found] == [
            f"{table}: 30 rows would be quarantined: {reason}."
            for table, reason in zip(("clients", "notes"), words, strict=True)
        ]
        assert {finding.severity for finding in found} == {severity}


def test_phone_rows_that_the_desktop_refuses_are_counted(office: Pair) -> None:
    office.target.execute("ALTER TABLE notes ALTER COLUMN body TYPE varchar(200)")
    office.target.execute(
        "INSERT INTO notes (org_id, body, source) VALUES (1, repeat('x', 50), 'M'), (1, 'short', 'M')"
    )
    office.target.execute("INSERT INTO notes (org_id, body, source) VALUES (1, repeat('x', 60), 'D')")
    finding = only_problem(office)
    assert (finding.severity, finding.side, finding.table) == (Severity.WARNING, "mobile", "notes")
    assert (
        finding.what
        == "notes: 1 phone row would be quarantined: value too long for type character varying(40) (column body)."
    )


def test_null_keys_and_duplicate_keys_are_told_apart(office: Pair) -> None:
    office.source.execute("INSERT INTO clients VALUES (NULL, 1, 'nobody'), (7, 1, 'another 7'), (8, 1, 'Client 8')")
    findings = examined(office)
    assert {(finding.what, finding.severity) for finding in problems(findings)} == {
        ("clients: 2 rows would be quarantined: several different rows have the same client_id.", Severity.WARNING),
        ("clients: 1 row would be quarantined: the key column client_id is empty.", Severity.WARNING),
        (
            "notes: 1 row would be quarantined: client_id references a row of clients that is itself quarantined.",
            Severity.WARNING,
        ),
    }
    copies = next(finding for finding in findings if "exactly like" in finding.what)
    assert copies.what == "clients: 1 row exactly like another with the same client_id; one is synced."
    office.sync_all(*SPECS[:1])
    assert row_counts(office.sync(CLIENTS, *SPECS[:1])) == {"inserted": 39, "quarantined": 3, "superseded": 1}


def test_unique_index_of_mobile_counts_as_a_key(office: Pair) -> None:
    office.target.execute("CREATE UNIQUE INDEX ON notes (org_id, client_id)")
    office.source.execute("INSERT INTO notes VALUES (1, 7, 'another 7')")
    finding = only_problem(office)
    assert finding.what == "notes: 2 rows would be quarantined: several different rows have the same org_id, client_id."


def test_exact_duplicates_are_no_finding_if_mobile_generates_the_key(office: Pair) -> None:
    office.source.execute("INSERT INTO notes SELECT * FROM notes WHERE client_id < 4")
    findings = examined(office)
    assert problems(findings) == []
    assert "notes: 3 rows exactly like another; each of them is synced." in {each.what for each in findings}


def test_many_exact_duplicates_are_a_warning(office: Pair) -> None:
    for _ in range(2):
        office.source.execute("INSERT INTO notes SELECT * FROM notes WHERE client_id <= 20")
    finding = only_problem(office)
    assert (finding.severity, finding.side, finding.table) == (Severity.WARNING, "desktop", "notes")
    assert "rows exactly like another, " in finding.what


def test_dangling_references_are_counted_as_the_run_counts_them(office: Pair) -> None:
    office.source.execute("UPDATE notes SET client_id = 99 WHERE client_id = 3")
    office.source.execute("ALTER TABLE notes ALTER COLUMN client_id TYPE numeric")
    office.source.execute("UPDATE notes SET client_id = 98.00 WHERE client_id = 4")
    office.source.execute("UPDATE notes SET client_id = 0 WHERE client_id = 5")
    office.source.execute("UPDATE notes SET client_id = NULL WHERE client_id = 6")
    finding = only_problem(office)
    assert (finding.severity, finding.side, finding.table) == (Severity.WARNING, "desktop", "notes")
    assert finding.what == "notes: 2 rows would be quarantined: client_id has no matching row in clients."
    assert office.sync_all(*SPECS)["notes"].filtered == 2


def test_row_that_only_mobile_has_may_be_referenced(office: Pair) -> None:
    office.target.execute(
        "INSERT INTO orgs VALUES (1, 'Rao & Co', 'D'); INSERT INTO clients VALUES (99, 1, 'none', 'S')"
    )
    office.source.execute("UPDATE notes SET client_id = 99 WHERE client_id = 3")
    findings = examined(office)
    assert problems(findings) == []
    assert "clients: 1 row of an administrator ('S'), left as it is." in {each.what for each in findings}


def test_reference_that_only_mobile_enforces_is_checked(office: Pair) -> None:
    office.target.execute("ALTER TABLE notes ADD FOREIGN KEY (client_id) REFERENCES clients")
    office.source.execute("UPDATE notes SET client_id = 99 WHERE client_id = 3")
    only_order = change(NOTES, references=(Reference(column="client_id", parent="clients", order_only=True),))
    expected = "notes: 1 row would be quarantined: client_id has no matching row in clients."
    assert only_problem(office, *only_order).what == expected
    office.target.execute("ALTER TABLE notes DROP CONSTRAINT notes_client_id_fkey")
    assert problems(examined(office, *only_order)) == []


def test_large_table_is_examined_in_seconds(office: Pair) -> None:
    office.source.execute("INSERT INTO clients SELECT n, 1, 'Client ' || n FROM generate_series(41, 20000) AS n")
    office.source.execute("INSERT INTO notes SELECT 1, n % 20000 + 1, 'Note', n FROM generate_series(1, 60000) AS n")
    began = time.monotonic()
    assert problems(examined(office)) == []
    assert time.monotonic() - began < 120, "looking up the client of each row anew takes hours"


def test_columns_with_large_object_ids_are_named(office: Pair) -> None:
    office.both("ALTER TABLE clients ADD scan oid, ADD number oid")
    office.source.execute("UPDATE clients SET number = 1, scan = lo_from_bytea(0, 'abc') WHERE client_id = 1")
    finding = only_problem(office)
    assert (finding.severity, finding.side, finding.table) == (Severity.WARNING, "desktop", "clients")
    assert finding.what == "clients: scan holds numbers of large objects, whose content lies outside the table."
    office.source.execute("SELECT lo_unlink(scan) FROM clients WHERE client_id = 1")


def test_rows_over_the_size_limit_are_counted_in_both_databases(office: Pair) -> None:
    office.both("ALTER TABLE clients ADD scan text")
    office.source.execute("UPDATE clients SET scan = repeat('x', 9000000) WHERE client_id = 1")
    finding, of_child = problems(examined(office))
    assert (finding.severity, finding.side, finding.table) == (Severity.WARNING, "desktop", "clients")
    too_large = "the row has more than the limit of 8.4 MB; shorten it, or raise `max_row_bytes` in the table's spec"
    assert finding.what == f"clients: 1 row would be quarantined: {too_large}."
    assert (
        of_child.what
        == "notes: 1 row would be quarantined: client_id references a row of clients that is itself quarantined."
    )
    office.source.execute("UPDATE clients SET scan = NULL")
    office.target.execute("""
        INSERT INTO orgs (org_id, source) VALUES (1, 'D');
        INSERT INTO clients (client_id, org_id, scan, source) VALUES (901, 1, repeat('x', 9000000), 'M')""")
    finding = only_problem(office)
    assert (finding.side, finding.what) == ("mobile", f"clients: 1 phone row would be quarantined: {too_large}.")
