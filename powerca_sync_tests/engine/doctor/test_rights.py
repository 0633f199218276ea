"""What the examination says of rights: exactly the missing ones, as statements that bring them."""

import dataclasses
from collections.abc import Iterator

import pytest

from powerca_sync.engine.doctor import Finding, Severity
from powerca_sync.engine.forward.forward import sync_forward
from powerca_sync.engine.postgres.database import Connection, connect
from powerca_sync.engine.requests import Mode, TableExtract, TablePull
from powerca_sync.engine.reverse.reverse import sync_reverse
from powerca_sync.engine.setup import introduce
from powerca_sync_tests.engine.clinic import NOTES, SPECS, examined, settle, the_trouble, troubles
from powerca_sync_tests.helpers import QUICK, Pair

ROLE = "Office sync"


def run(connection: Connection, statement: str) -> None:
    connection.execute(statement)  # type: ignore[call-overload]


@pytest.fixture
def office(pair: Pair) -> Iterator[Pair]:
    """The pair with a user on each side who may do nothing at all; who runs it afterwards is a superuser."""
    settle(pair)
    name = pair.settings.desktop.name
    for connection in (pair.source, pair.target):
        run(connection, f'CREATE ROLE "{ROLE}" LOGIN; REVOKE TEMP ON DATABASE {name} FROM PUBLIC')
        run(connection, "REVOKE ALL ON SCHEMA public FROM PUBLIC")
    yield pair
    for connection in (pair.source, pair.target):
        run(connection, "RESET ROLE")
        run(connection, f'REASSIGN OWNED BY "{ROLE}" TO postgres; DROP OWNED BY "{ROLE}"; DROP ROLE "{ROLE}"')
        run(connection, f"GRANT TEMP ON DATABASE {name} TO PUBLIC")


def asked(office: Pair) -> list[Finding]:
    """What is wrong where both sides are reached as that user."""
    desktop, mobile = (
        dataclasses.replace(each, user=ROLE) for each in (office.settings.desktop, office.settings.mobile)
    )
    return troubles(examined(office, desktop=desktop, mobile=mobile))


def grant(office: Pair, findings: list[Finding]) -> None:
    """Paste the statements, as an administrator of their side."""
    for finding in findings:
        for statement in finding.statements:
            run(office.source if finding.side == "desktop" else office.target, statement)


def grant_everything(office: Pair) -> None:
    """Paste until nothing is missing; what is not seen before a schema may be used comes up in the second round."""
    for _ in range(3):
        findings = [finding for finding in asked(office) if finding.statements]
        if not findings:
            return
        grant(office, findings)
    pytest.fail(str(asked(office)))


def test_the_statements_bring_every_missing_right_and_a_sync_then_works(office: Pair) -> None:
    first = asked(office)
    assert [finding.side for finding in first if finding.statements] == ["desktop", "desktop", "mobile", "mobile"]
    text = "\n".join(statement for finding in first for statement in finding.statements)
    for statement in (
        'GRANT USAGE ON SCHEMA "public" TO "Office sync";',
        'GRANT SELECT, INSERT, UPDATE, DELETE ON "public"."orgs", "public"."clients", "public"."notes" TO',
        'GRANT USAGE ON SEQUENCE "public"."notes_id_seq" TO "Office sync";',
        'CREATE SCHEMA "powerca_sync" AUTHORIZATION "Office sync";',
    ):
        assert statement in text
    assert "GRANT CREATE ON SCHEMA public" not in text
    grant_everything(office)
    assert asked(office) == []
    assert sync(office) == {"orgs": 1, "clients": 40, "notes": 40}
    run(office.target, "INSERT INTO notes (org_id, client_id, body) VALUES (1, 7, 'from a phone')")
    assert pull(office) == 1
    assert sync(office) == {"orgs": 0, "clients": 0, "notes": 0}
    assert asked(office) == []


def pull(office: Pair) -> int:
    """Bring the phones' notes back as that user; how many came."""
    source = connect(dataclasses.replace(office.settings.mobile, user=ROLE))
    target = connect(dataclasses.replace(office.settings.desktop, user=ROLE))
    with source, target:
        what = TablePull(spec=NOTES)
        return sync_reverse(what, source=source, target=target, specs=SPECS, options=QUICK).pulled


def sync(office: Pair) -> dict[str, int]:
    """A first contact and a full run as that user; rows inserted by table."""
    source = connect(dataclasses.replace(office.settings.desktop, user=ROLE))
    target = connect(dataclasses.replace(office.settings.mobile, user=ROLE))
    with source, target:
        introduce(source=source, target=target, specs=SPECS)
        return {
            spec.mobile: sync_forward(
                TableExtract(spec=spec, mode=Mode.FULL), source=source, target=target, specs=SPECS, options=QUICK
            ).inserted
            for spec in SPECS
        }


@pytest.mark.parametrize(
    ("revoked", "side", "severity", "statement"),
    [
        ('SELECT ON notes FROM "Office sync"', "desktop", "X", 'GRANT SELECT ON "public"."notes" TO "Office sync";'),
        ('INSERT ON notes FROM "Office sync"', "desktop", "WARN", 'GRANT INSERT ON "public"."notes" TO "Office sync";'),
        ('UPDATE ON notes FROM "Office sync"', "mobile", "X", 'GRANT UPDATE ON "public"."notes" TO "Office sync";'),
        (
            'USAGE ON SEQUENCE notes_id_seq FROM "Office sync"',
            "mobile",
            "X",
            'GRANT USAGE ON SEQUENCE "public"."notes_id_seq" TO "Office sync";',
        ),
        (
            'DELETE ON powerca_sync.quarantine FROM "Office sync"',
            "mobile",
            "X",
            'GRANT DELETE ON "powerca_sync"."quarantine" TO "Office sync";',
        ),
        (
            'USAGE ON SCHEMA powerca_sync FROM "Office sync"',
            "mobile",
            "X",
            'GRANT USAGE ON SCHEMA "powerca_sync" TO "Office sync";',
        ),
    ],
)
def test_one_missing_right_is_one_statement(
    office: Pair, revoked: str, side: str, severity: str, statement: str
) -> None:
    grant_everything(office)
    sync(office)
    connection = office.source if side == "desktop" else office.target
    # An administrator has made the engine's own tables, and given the user what it needs.
    run(connection, f'REASSIGN OWNED BY "{ROLE}" TO postgres; ALTER ROLE "{ROLE}" BYPASSRLS')
    run(connection, f'GRANT USAGE ON SCHEMA powerca_sync TO "{ROLE}"')
    run(connection, f'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA powerca_sync TO "{ROLE}"')
    run(connection, f'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO "{ROLE}"')
    if side == "desktop":
        run(connection, f'REVOKE UPDATE, DELETE ON ALL TABLES IN SCHEMA public FROM "{ROLE}"')
    assert asked(office) == []
    run(connection, f"REVOKE {revoked}")
    findings = [finding for finding in asked(office) if finding.statements]
    assert {(finding.side, finding.severity.value) for finding in findings} >= {(side, severity)}
    assert statement in [each for finding in findings for each in finding.statements]
    grant(office, findings)
    assert asked(office) == []


def test_a_user_that_may_see_only_some_rows_must_not_sync(office: Pair) -> None:
    grant_everything(office)
    run(office.target, "ALTER TABLE notes ENABLE ROW LEVEL SECURITY")
    (finding,) = asked(office)
    assert (finding.severity, finding.side) == (Severity.WRONG, "mobile")
    assert finding.what == "Row-level security may hide rows of notes from user Office sync."
    assert finding.statements == ('ALTER ROLE "Office sync" BYPASSRLS;',)
    grant(office, [finding])
    assert asked(office) == []


def test_what_hangs_on_rows_that_a_sync_may_delete_has_to_be_readable(office: Pair) -> None:
    grant_everything(office)
    run(office.target, "CREATE TABLE pins (note bigint REFERENCES notes)")
    (finding,) = asked(office)
    assert "may not read public.pins" in finding.what
    assert finding.statements == ('GRANT SELECT ON "public"."pins" TO "Office sync";',)
    grant(office, [finding])
    assert asked(office) == []


def test_a_desktop_sequence_has_to_be_moved_with_the_rows_that_come_back(office: Pair) -> None:
    grant_everything(office)
    run(office.source, "CREATE SEQUENCE numbers START 100")
    run(office.source, "ALTER TABLE clients ALTER COLUMN client_id SET DEFAULT nextval('numbers')")
    (finding,) = asked(office)
    assert finding.severity is Severity.WARNING
    assert finding.statements == ('GRANT USAGE, UPDATE ON SEQUENCE "public"."numbers" TO "Office sync";',)
    grant(office, [finding])
    assert asked(office) == []


def test_the_guides_own_log_is_used_where_it_is(office: Pair) -> None:
    run(
        office.source,
        "CREATE TABLE sync_log (id serial, table_name text, direction text, records_synced int,"
        " last_sync_at timestamptz, synced_at timestamptz)",
    )
    grant_everything(office)
    granted = office.one(
        f"SELECT has_table_privilege('{ROLE}', 'sync_log', 'INSERT') AND has_sequence_privilege('{ROLE}',"
        " 'sync_log_id_seq', 'USAGE') AND NOT has_table_privilege('Office sync', 'sync_log', 'DELETE')",
        office.source,
    )
    assert granted


def test_the_owner_of_everything_lacks_nothing(pair: Pair) -> None:
    settle(pair)
    assert troubles(examined(pair)) == []
    pair.target.execute("DROP TABLE notes")
    assert the_trouble(pair).statements == ()
