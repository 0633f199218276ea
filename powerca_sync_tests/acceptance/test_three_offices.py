"""Three offices sync with one mobile database at the same time, and none touches the rows of another.

Each has its own desktop, installation with `.env`, and Dagster history; only the server of the three desktops is
shared, which a sync does not notice (an office is identified by server and database).
"""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from psycopg import sql

from powerca_sync.demo import Server
from powerca_sync.engine.postgres.database import Connection, connect
from powerca_sync.settings import Endpoint
from powerca_sync.specs import spec_named
from powerca_sync.tables import TABLES
from powerca_sync_tests.acceptance.compose import PROJECT
from powerca_sync_tests.acceptance.real_tables import (
    PHONE_ROWS_MADE,
    QUARANTINED,
    ROWS,
    add_phone_rows,
    create_empty_mobile,
    create_office,
)
from powerca_sync_tests.helpers import Pair

pytestmark = pytest.mark.long

NUMBERS = (1, 2, 3)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Office:
    """One office: its number, its database, and the folder of its installation."""

    number: int
    desktop: Connection
    folder: Path

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Starts a command of this office, which has no configuration but its folder."""
        own = ("LOCAL_DB_", "SUPABASE_DB_", "POWERCA_", "DAGSTER_")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(own)}
        return subprocess.Popen(
            [sys.executable, "-m", "powerca_sync.cli", *arguments, "--json"],
            cwd=self.folder,
            env=environment | {"PYTHONPATH": os.pathsep.join([str(PROJECT), *filter(None, sys.path)])},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.desktop.execute(query).fetchall()  # type: ignore[call-overload, no-any-return]


@pytest.fixture
def offices(pair: Pair, servers: tuple[Server, Server], tmp_path: Path) -> Iterator[tuple[Office, ...]]:
    """Creates three desktops with rows, and an empty mobile database."""
    create_empty_mobile(pair.target)
    with ExitStack() as stack:
        made = []
        for number in NUMBERS:
            desktop = servers[0].endpoint("desktop", f"office_{number}")
            name = sql.Identifier(desktop.name)
            pair.source.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))
            stack.callback(pair.source.execute, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
            connection = stack.enter_context(connect(desktop))
            create_office(connection, office=number)
            folder = tmp_path / f"office {number}"
            folder.mkdir()
            (folder / ".env").write_text(_configuration(desktop, pair.settings.mobile), encoding="utf-8")
            made.append(Office(number=number, desktop=connection, folder=folder))
        yield tuple(made)


def _configuration(desktop: Endpoint, mobile: Endpoint) -> str:
    return "".join(
        f"{prefix}_{name}='{value}'\n"
        for prefix, endpoint in (("LOCAL_DB", desktop), ("SUPABASE_DB", mobile))
        for name, value in (
            *(("HOST", endpoint.host), ("PORT", endpoint.port), ("NAME", endpoint.name), ("USER", endpoint.user)),
            ("PASSWORD", "nobody asks for it"),
        )
    )


def all_at_once(offices: tuple[Office, ...], *arguments: str) -> dict[int, tuple[int, Any]]:
    """Runs a command in all offices at the same time; returns exit status and document of each."""
    processes = {office.number: office.start(*arguments) for office in offices}
    answers = {}
    for number, process in processes.items():
        stdout, stderr = process.communicate(timeout=300)
        assert stdout, stderr
        answers[number] = process.returncode, json.loads(stdout)
    return answers


def of_office(mobile: Pair, number: int) -> dict[str, list[str]]:
    """Returns every mobile row of an office as text with its ctid, so that any write changes it."""
    return {
        spec.mobile: mobile.text(
            spec.mobile,
            where=f"rem_id / 1000 >= {number} AND rem_id / 1000 < {number + 1}"
            if spec.mobile == "remdetail"
            else f"org_id = {number}",
        )
        for spec in TABLES
    }


def test_three_offices_share_a_mobile_database_and_no_row(
    pair: Pair, offices: tuple[Office, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = offices

    # First contact of all three, at once.
    for number, (status, document) in all_at_once(offices, "forward").items():
        assert status == 0, (number, document)
        assert document["totals"]["inserted"] == ROWS - sum(QUARANTINED.values())
    for number in NUMBERS:
        assert sum(map(len, of_office(pair, number).values())) == ROWS - sum(QUARANTINED.values())
    assert pair.rows("SELECT org_id, count(*) FROM climaster GROUP BY 1 ORDER BY 1") == [(1, 29), (2, 29), (3, 29)]

    # While two of them fail and the phones of all three write.
    for number in NUMBERS:
        add_phone_rows(pair.target, office=number)
    before = {number: of_office(pair, number) for number in NUMBERS}
    first.desktop.execute("UPDATE climaster SET clientname = 'Renamed' WHERE client_id = 1001")
    first.desktop.execute("DELETE FROM taskchecklist WHERE checklistdesc = 'Line 1'")
    # With the number of a client of the second office.
    first.desktop.execute("INSERT INTO climaster (org_id, loc_id, client_id, clientname) VALUES (1, 1, 2001, 'Taken')")
    second.desktop.execute("DROP TABLE mbreminder")
    second.desktop.execute("TRUNCATE jobshead")
    third.desktop.execute("DELETE FROM jobtasks WHERE taskorder > 5")
    third.desktop.execute("UPDATE mbreminder SET org_id = 1")
    answers = all_at_once(offices, "forward")
    assert {number: status for number, (status, _) in answers.items()} == {1: 0, 2: 1, 3: 1}
    assert _failed(answers[2][1]) == {"reminder", "jobshead"}
    # All of its reminders would be quarantined.
    assert _failed(answers[3][1]) == {"jobtasks", "reminder"}

    after = {number: of_office(pair, number) for number in NUMBERS}
    assert after[2] == before[2], "nothing of the second office could be synced, and nobody else wrote to its rows"
    assert after[3] == before[3], "its reminders, which now name the first office, stay as they were too"
    assert {name for name in after[1] if after[1][name] != before[1][name]} == {"climaster", "taskchecklist"}
    assert len(set(before[1]["taskchecklist"]) - set(after[1]["taskchecklist"])) == 9
    assert len(set(before[1]["climaster"]) ^ set(after[1]["climaster"])) == 2
    assert pair.one("SELECT clientname FROM climaster WHERE client_id = 2001") == "Client 1 of 2"
    waiting = pair.rows("SELECT table_name, key->>'client_id' FROM powerca_sync.quarantine WHERE reason = 'collision'")
    assert waiting == [("climaster", "2001")]

    # Phone rows go to their own office only.
    back = all_at_once((first, third), "reverse")
    assert {number: status for number, (status, _) in back.items()} == {1: 0, 3: 0}
    for office in (first, third):
        assert office.rows("SELECT org_id, count(*) FROM workdiary WHERE tasknotes LIKE 'On the way%' GROUP BY 1") == [
            (office.number, PHONE_ROWS_MADE["workdiary"])
        ]
        assert office.rows("SELECT DISTINCT staff_id / 1000 >= org_id FROM learequest") == [(True,)]
        pulled = dict(office.rows("SELECT table_name, count(*) FROM powerca_sync.pulled GROUP BY 1"))
        assert pulled == {spec_named(TABLES, name).desktop: rows for name, rows in PHONE_ROWS_MADE.items()}
    assert of_office(pair, 2) == before[2]

    # No office sees the counts or runs of another.
    (status,) = (all_at_once((first,), "status")[1],)
    clients = next(table for table in status[1]["tables"] if table["table"] == "climaster")
    assert (clients["contents"]["desktop"], sum(entry["rows"] for entry in clients["quarantine"])) == (29, 2)
    runs = {office.number: _runs(office, monkeypatch) for office in offices}
    assert {number: len(ids) for number, ids in runs.items()} == {1: 3, 2: 3, 3: 3}, "the second office had a follow-up"
    assert len(set().union(*runs.values())) == 9


def _failed(document: Any) -> set[str]:
    """Returns the tables that failed themselves."""
    return {table["table"] for table in document["tables"] if table["verdict"] == "failed"}


def _runs(office: Office, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Returns the runs in the office's own history."""
    monkeypatch.setenv("DAGSTER_HOME", str(office.folder / ".powerca" / "dagster"))
    with dg.DagsterInstance.get() as instance:
        return {run.run_id for run in instance.get_runs()}
