"""Findings on privileges: exactly the missing ones, as GRANT statements."""

import dataclasses
from collections.abc import Iterator

import pytest

from powerca_sync.engine.doctor import Finding, Severity
from powerca_sync.engine.forward.forward import sync_forward
from powerca_sync.engine.functions import call_refresh
from powerca_sync.engine.postgres.database import Connection, connect
from powerca_sync.engine.requests import Mode, TableExtract, TablePull
from powerca_sync.engine.reverse.reverse import sync_reverse
from powerca_sync.engine.setup import introduce
from powerca_sync.errors import ConfigurationError
from powerca_sync.settings import DesktopFunction, DesktopFunctions
from powerca_sync_tests.engine.clinic import NOTES, SPECS, examined, only_problem, problems, settle
from powerca_sync_tests.helpers import QUICK, Pair

ROLE = "Office sync"


def run(connection: Connection, statement: str) -> None:
    connection.execute(statement)  # type: ignore[call-overload]


@pytest.fixture
def office(pair: Pair) -> Iterator[Pair]:
    """Creates a pair with a user on each server without privileges; the examining test is a superuser."""
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


def missing_privileges(office: Pair) -> list[Finding]:
    """Returns the findings when both databases are examined as that user."""
    desktop, mobile = (
        dataclasses.replace(each, user=ROLE) for each in (office.settings.desktop, office.settings.mobile)
    )
    return problems(examined(office, desktop=desktop, mobile=mobile))


def grant(office: Pair, findings: list[Finding]) -> None:
    """Executes the statements of a finding as an administrator of their database."""
    for finding in findings:
        for statement in finding.statements:
            run(office.source if finding.side == "desktop" else office.target, statement)


def grant_everything(office: Pair) -> None:
    """Executes the statements until nothing is missing; a second round covers schemas that were not usable before."""
    for _ in range(3):
        findings = [finding for finding in missing_privileges(office) if finding.statements]
        if not findings:
            return
        grant(office, findings)
    pytest.fail(str(missing_privileges(office)))


def test_printed_statements_grant_everything_that_a_sync_needs(office: Pair) -> None:
    first = missing_privileges(office)
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
    assert missing_privileges(office) == []
    assert sync(office) == {"orgs": 1, "clients": 40, "notes": 40}
    run(office.target, "INSERT INTO notes (org_id, client_id, body) VALUES (1, 7, 'from a phone')")
    assert pull(office) == 1
    assert sync(office) == {"orgs": 0, "clients": 0, "notes": 0}
    assert missing_privileges(office) == []


def pull(office: Pair) -> int:
    """Reverse-syncs the notes as that user; returns the number of rows."""
    source = connect(dataclasses.replace(office.settings.mobile, user=ROLE))
    target = connect(dataclasses.replace(office.settings.desktop, user=ROLE))
    with source, target:
        what = TablePull(spec=NOTES)
        return sync_reverse(what, source=source, target=target, specs=SPECS, options=QUICK).pulled


def sync(office: Pair) -> dict[str, int]:
    """Runs first contact and a full sync as that user; returns the rows inserted by table."""
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
def test_each_missing_privilege_is_one_statement(
    office: Pair, revoked: str, side: str, severity: str, statement: str
) -> None:
    grant_everything(office)
    sync(office)
    connection = office.source if side == "desktop" else office.target
    # An administrator has created the engine's state tables and granted the user what it needs.
    run(connection, f'REASSIGN OWNED BY "{ROLE}" TO postgres; ALTER ROLE "{ROLE}" BYPASSRLS')
    run(connection, f'GRANT USAGE ON SCHEMA powerca_sync TO "{ROLE}"')
    run(connection, f'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA powerca_sync TO "{ROLE}"')
    run(connection, f'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO "{ROLE}"')
    if side == "desktop":
        run(connection, f'REVOKE UPDATE, DELETE ON ALL TABLES IN SCHEMA public FROM "{ROLE}"')
    assert missing_privileges(office) == []
    run(connection, f"REVOKE {revoked}")
    findings = [finding for finding in missing_privileges(office) if finding.statements]
    assert {(finding.side, finding.severity.value) for finding in findings} >= {(side, severity)}
    assert statement in [each for finding in findings for each in finding.statements]
    grant(office, findings)
    assert missing_privileges(office) == []


def test_user_under_row_level_security_must_not_sync(office: Pair) -> None:
    grant_everything(office)
    run(office.target, "ALTER TABLE notes ENABLE ROW LEVEL SECURITY")
    (finding,) = missing_privileges(office)
    assert (finding.severity, finding.side) == (Severity.WRONG, "mobile")
    assert finding.what == "Row-level security may hide rows of notes from user Office sync."
    assert finding.statements == ('ALTER ROLE "Office sync" BYPASSRLS;',)
    grant(office, [finding])
    assert missing_privileges(office) == []


def test_dependents_of_rows_that_a_sync_may_delete_must_be_readable(office: Pair) -> None:
    grant_everything(office)
    run(office.target, "CREATE TABLE pins (note bigint REFERENCES notes)")
    (finding,) = missing_privileges(office)
    assert "may not read public.pins" in finding.what
    assert finding.statements == ('GRANT SELECT ON "public"."pins" TO "Office sync";',)
    grant(office, [finding])
    assert missing_privileges(office) == []


def test_reverse_sync_needs_update_on_the_desktop_sequence(office: Pair) -> None:
    grant_everything(office)
    run(office.source, "CREATE SEQUENCE numbers START 100")
    run(office.source, "ALTER TABLE clients ALTER COLUMN client_id SET DEFAULT nextval('numbers')")
    (finding,) = missing_privileges(office)
    assert finding.severity is Severity.WARNING
    assert finding.statements == ('GRANT USAGE, UPDATE ON SEQUENCE "public"."numbers" TO "Office sync";',)
    grant(office, [finding])
    assert missing_privileges(office) == []


def test_guides_own_log_is_used_if_it_exists(office: Pair) -> None:
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


FUNCTIONS = DesktopFunctions(
    before_forward=DesktopFunction(schema="Product", name="refresh", timeout=30),
    after_reverse=DesktopFunction(schema="Product", name="book", timeout=30),
)


def function_problems(office: Pair) -> list[Finding]:
    """Returns the findings about the functions, as that user."""
    desktop = dataclasses.replace(office.settings.desktop, user=ROLE)
    found = problems(examined(office, desktop=desktop, functions=FUNCTIONS))
    return [finding for finding in found if "Product" in finding.what]


def test_functions_of_the_office_must_exist_and_be_callable(office: Pair) -> None:
    whats = [finding.what for finding in function_problems(office)]
    assert whats == [
        f"Function `Product.{name}`: the schema `Product` does not exist on the desktop."
        for name in ("refresh", "book")
    ]
    run(office.source, 'CREATE SCHEMA "Product"')
    run(office.source, """CREATE FUNCTION "Product".refresh() RETURNS int LANGUAGE sql AS 'SELECT 1'""")
    run(office.source, """CREATE FUNCTION "Product".book(int) RETURNS int LANGUAGE sql AS 'SELECT 1'""")
    run(office.source, 'REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA "Product" FROM PUBLIC')
    refresh, book = function_problems(office)
    assert book.what == "Function `Product.book` takes arguments on the desktop."
    assert book.severity is Severity.WRONG
    assert refresh.what == f"User {ROLE} may not call `Product.refresh` (POWERCA_BEFORE_FORWARD)."
    assert refresh.statements == (
        f'GRANT USAGE ON SCHEMA "Product" TO "{ROLE}";',
        f'GRANT EXECUTE ON FUNCTION "Product"."refresh"() TO "{ROLE}";',
    )
    assert FUNCTIONS.before_forward
    with connect(dataclasses.replace(office.settings.desktop, user=ROLE)) as desktop:
        with pytest.raises(ConfigurationError, match=r"may not call .* GRANT EXECUTE ON FUNCTION"):
            call_refresh(desktop, FUNCTIONS.before_forward, timeouts=QUICK.timeouts)
        grant(office, [refresh])
        assert call_refresh(desktop, FUNCTIONS.before_forward, timeouts=QUICK.timeouts).returned == "1"
    assert [finding.what for finding in function_problems(office)] == [book.what]


def test_owner_of_all_tables_lacks_nothing(pair: Pair) -> None:
    settle(pair)
    assert problems(examined(pair)) == []
    pair.target.execute("DROP TABLE notes")
    assert only_problem(pair).statements == ()
