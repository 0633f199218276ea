"""Roles that may create objects in a schema of the search path are named, with the statement that revokes it."""

from collections.abc import Iterator

import pytest
from psycopg import sql

from powerca_sync.engine.doctor import Severity
from powerca_sync_tests.engine.clinic import examined, problems, settle
from powerca_sync_tests.helpers import Pair

#: A role that may log in and has no other privileges.
CLERK = "clerk of the office"


@pytest.fixture
def login_role(pair: Pair) -> Iterator[None]:
    """Creates the role on both servers."""
    pair.both(f'CREATE ROLE "{CLERK}"')
    yield
    pair.both(f'DROP OWNED BY "{CLERK}"; DROP ROLE "{CLERK}"')


@pytest.mark.usefixtures("login_role")
@pytest.mark.parametrize("side", ["desktop", "mobile"])
@pytest.mark.parametrize(("role", "who"), [("PUBLIC", "Every role"), (f'"{CLERK}"', f"The role {CLERK}")])
def test_roles_that_may_create_in_the_search_path_are_named(pair: Pair, side: str, role: str, who: str) -> None:
    settle(pair)
    connection = pair.source if side == "desktop" else pair.target
    name = pair.settings.desktop.name if side == "desktop" else pair.settings.mobile.name
    before = problems(examined(pair))
    connection.execute("CREATE SCHEMA app; CREATE SCHEMA elsewhere")
    connection.execute(sql.SQL("ALTER DATABASE {} SET search_path = app, public").format(sql.Identifier(name)))
    connection.execute(f"GRANT CREATE ON SCHEMA app, elsewhere TO {role}")  # type: ignore[call-overload]
    (finding,) = [one for one in problems(examined(pair)) if one not in before]
    assert (finding.severity, finding.side) == (Severity.WARNING, side)
    assert finding.what == f"{who} may create objects in the schema app, which is in the search path."
    assert finding.statements == (f'REVOKE CREATE ON SCHEMA "app" FROM {role};',)
    connection.execute(finding.statements[0])  # type: ignore[call-overload]
    assert problems(examined(pair)) == before
