"""Prepared transactions left open are named, with the command that ends them."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from powerca_sync.demo import start_server
from powerca_sync.engine.doctor import Severity
from powerca_sync_tests.conftest import SOURCE_VERSION
from powerca_sync_tests.engine.clinic import examined, problems, settle
from powerca_sync_tests.helpers import Pair


@pytest.fixture(scope="module")
def office() -> Iterator[Pair]:
    """Creates the small healthy office, on a server that allows prepared transactions."""
    with tempfile.TemporaryDirectory(prefix="powerca-tests-", ignore_cleanup_errors=True) as folder:
        server = start_server(
            Path(folder) / "prepared",
            version=SOURCE_VERSION,
            durable=False,
            settings={"max_prepared_transactions": "5"},
        )
        with Pair(server.endpoint("desktop", "postgres"), server.endpoint("mobile", "template1")) as pair:
            yield settle(pair)
        server.stop()


@pytest.mark.parametrize(
    ("side", "statement", "locked"),
    [
        (
            "desktop",
            "UPDATE clients SET client_name = 'x' WHERE client_id = 1",
            ", which keeps rows of clients locked.",
        ),
        ("mobile", "INSERT INTO orgs VALUES (9, 'x')", ", which keeps rows of orgs locked."),
        ("mobile", "CREATE TABLE other (id int)", "has not ended."),
        ("mobile", "LOCK TABLE notes IN ACCESS EXCLUSIVE MODE", ", which keeps rows of notes locked."),
    ],
)
def test_prepared_transaction_is_named_with_its_end_command(
    office: Pair, side: str, statement: str, locked: str
) -> None:
    connection = office.source if side == "desktop" else office.target
    before = problems(examined(office))
    connection.execute(f"BEGIN; {statement}; PREPARE TRANSACTION 'it''s left'")  # type: ignore[call-overload]
    (finding,) = [one for one in problems(examined(office)) if one not in before and "was prepared" in one.what]
    assert (finding.severity, finding.side) == (Severity.WARNING, side)
    assert finding.what.startswith("The transaction `it's left` of user postgres was prepared ")
    assert finding.what.endswith(locked)
    assert finding.statements == ("ROLLBACK PREPARED 'it''s left';",)
    assert not [one for one in problems(examined(office)) if any("terminate_backend" in s for s in one.statements)]
    connection.execute(finding.statements[0])  # type: ignore[call-overload]
    assert problems(examined(office)) == before
