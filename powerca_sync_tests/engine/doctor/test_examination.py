"""The examination as a whole: a healthy pair, an unreachable server, missing privileges, and read-only."""

import dataclasses

import pytest

from powerca_sync.engine.doctor import Finding, Severity, Side, examine, reach
from powerca_sync.errors import DatabaseUnavailableError
from powerca_sync_tests.engine.clinic import SPECS, examined, problems, settle
from powerca_sync_tests.helpers import Pair


@pytest.fixture
def office(pair: Pair) -> Pair:
    return settle(pair)


def sentences(findings: tuple[Finding, ...]) -> str:
    return "\n".join(f"{finding.side}: {finding.what}" for finding in findings)


@pytest.mark.parametrize("synced", [False, True], ids=["before the first run", "after it"])
def test_healthy_pair_has_one_sentence_for_each_theme(office: Pair, synced: bool) -> None:
    if synced:
        office.sync_all(*SPECS)
    findings = examined(office)
    assert problems(findings) == []
    said = sentences(findings)
    for theme in (
        *("desktop: PostgreSQL 16", "mobile: PostgreSQL 18", "on this machine", "clocks agree"),
        *("may read the desktop's tables", "all rights on mobile that a sync needs", "belong to no other desktop"),
        *("No trigger", "All 3 tables", "Each row of the desktop can be loaded", "Each row on mobile has an owner"),
    ):
        assert theme in said, said
    assert len({(finding.side, finding.what) for finding in findings}) == len(findings), said


def content(pair: Pair) -> list[str]:
    """Returns all rows and sequences of both databases with ctid and xmin, and the xmin of the catalog rows."""
    found = []
    for connection in (pair.source, pair.target):
        ours = "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'S') AND oid >= 16384 ORDER BY 1"
        names = [name for (name,) in pair.rows(ours, connection) if not name.startswith("pg_toast")]
        for name in names:
            found += [f"{name} {text}" for text in pair.text(name, on=connection)]
        # Not their contents: autovacuum changes the counts in pg_class at any time, without a new version of the row.
        for name in ("pg_class", "pg_attribute", "pg_authid", "pg_proc", "pg_trigger"):
            versions = pair.rows(f"SELECT ctid::text, xmin::text FROM {name} ORDER BY ctid", connection)  # noqa: S608
            found += [f"{name} {place} {version}" for place, version in versions]
    return found


def test_examination_changes_nothing_in_either_database(office: Pair) -> None:
    office.target.execute("INSERT INTO orgs VALUES (1, 'Rao & Co', 'D'); INSERT INTO notes (org_id) VALUES (1)")
    before = content(office)
    assert len(before) > 120
    examined(office)
    assert content(office) == before


def test_examination_works_in_a_read_only_database(office: Pair) -> None:
    name = office.settings.desktop.name
    for connection in (office.source, office.target):
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")  # type: ignore[call-overload]
    findings = examined(office)
    desktop, mobile = problems(findings)
    assert (desktop.side, desktop.severity) == ("desktop", Severity.WARNING)
    assert "phone rows cannot be reverse-synced" in desktop.why
    assert (mobile.side, mobile.severity) == ("mobile", Severity.WRONG)
    assert mobile.what == "The mobile database is in read-only mode."
    assert "free space" in mobile.do
    assert "Each row of the desktop can be loaded" not in sentences(findings), "a dry run takes temporary tables"
    assert "All 3 tables" in sentences(findings)


@pytest.mark.parametrize("away", ["desktop", "mobile"])
def test_one_database_is_examined_while_the_other_is_unreachable(office: Pair, away: str) -> None:
    gone = dataclasses.replace(getattr(office.settings, away), port=1)
    office.source.execute("DROP TABLE clients")
    office.target.execute("DROP TABLE clients CASCADE")
    unreachable, missing = problems(examined(office, **{away: gone}))
    assert unreachable.severity is Severity.WRONG
    assert unreachable.side == away
    assert "cannot be reached: connecting to" in unreachable.what
    assert "PostgreSQL runs on this machine and listens on port 1" in unreachable.do
    assert missing.side != away
    assert f"There is no table clients on the {missing.side}" in missing.what


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("aws-0-south.pooler.supabase.com", "the number in `aws-N-` counts"),
        ("db.abcdef.supabase.co", "over IPv6 only"),
        ("office-pc.invalid", "through its firewall"),
    ],
)
def test_unreachable_address_is_explained(office: Pair, host: str, words: str) -> None:
    away = dataclasses.replace(office.settings.mobile, host=host)
    refused = DatabaseUnavailableError("connecting to mobile failed: no route to host.")
    with reach(office.settings.desktop) as source:
        findings = examine(source, Side(endpoint=away, failure=refused), SPECS)
    (finding,) = problems(findings)
    assert "no route to host" in finding.what
    assert words in finding.do


def test_missing_privilege_to_read_is_a_finding(office: Pair) -> None:
    office.source.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    role = "doctor_without_identity"
    office.source.execute(f"CREATE ROLE {role} LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")  # type: ignore[call-overload]
    try:
        findings = examined(office, desktop=dataclasses.replace(office.settings.desktop, user=role))
    finally:
        office.source.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")  # type: ignore[call-overload]
        office.source.execute("GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC")
    unknown = next(finding for finding in problems(findings) if "organisations are not known" in finding.what)
    assert unknown.severity is Severity.WRONG
    assert "permission denied for function pg_control_system" in unknown.what
    assert "belong to no other desktop" not in sentences(findings)
    assert "Each row of the desktop can be loaded" not in sentences(findings)


def test_locked_table_is_reported_once_and_the_rest_is_examined(office: Pair) -> None:
    office.source.execute("SET application_name = 'psql'")
    with office.source.transaction():
        office.source.execute("LOCK TABLE notes IN ACCESS EXCLUSIVE MODE")
        findings = examined(office)
        finding = problems(findings)[0]
        assert len(problems(findings)) == 1
    assert "notes: user postgres (psql) keeps the whole table (AccessExclusiveLock) locked" in finding.what
    assert finding.statements[0].startswith("SELECT pg_terminate_backend(")
    assert "Each row of the desktop can be loaded" not in sentences(findings), "not all of them could be looked at"
    assert "All 3 tables" in sentences(findings)


def test_failed_query_is_reported_in_the_databases_words(office: Pair) -> None:
    office.source.execute("""
        ALTER TABLE notes RENAME TO real_notes;
        CREATE VIEW notes AS SELECT org_id, client_id, body, (amount / (client_id - client_id))::numeric(8,2) AS amount,
            secret, created_at, updated_at FROM real_notes""")
    findings = examined(office)
    failed = [finding for finding in problems(findings) if finding.what.startswith("Not examined: ")]
    assert {finding.table for finding in failed} == {"notes"}
    assert "planning table `notes`: reading the source failed: division by zero" in failed[0].what
    assert failed[0].severity is Severity.WRONG, "a sync has to read it too"
    assert "Each row of the desktop can be loaded" not in sentences(findings)
    assert "All 3 tables" in sentences(findings), "the rest is examined"
