"""No password and no sensitive value appears in anything that a person or program can read of a run.

The tests search all output of the commands, all log records of any level, every file of Dagster's history (run
configuration, events, metadata, errors, captured output), and the state in both databases. The staff rows of the office
fail for every possible reason, because errors are where values leak.
"""

import logging
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest
from click.testing import CliRunner
from psycopg import sql

from powerca_sync.cli import main
from powerca_sync.engine.postgres.database import Connection
from powerca_sync_tests.acceptance.compose import PROJECT
from powerca_sync_tests.acceptance.real_tables import LOGIN, add_phone_rows, create_empty_mobile, create_office
from powerca_sync_tests.helpers import Pair

pytestmark = pytest.mark.long

PASSWORDS = ("of-the-desktop #@:/%", "of-mobile #@:/%")
#: Literal, and URL-encoded.
SECRETS = (LOGIN, *PASSWORDS, *map(quote, PASSWORDS), *(quote(password, safe="") for password in PASSWORDS))

#: One employee for each way in which a row of staff can fail, each with a login that must not appear.
UNFIT_STAFF = """
ALTER TABLE mbstaff ALTER app_pw TYPE varchar(200);
INSERT INTO mbstaff (org_id, con_id, loc_id, staff_id, app_pw, name) VALUES
    (1, 0, 99, 1101, 'LOGIN-nowhere', 'Works where nobody does'),
    (1, NULL, 1, 1102, 'LOGIN-null', 'Lacks what mobile demands'),
    (1, 0, 1, 1103, 'LOGIN-' || repeat('x', 90), 'Has a login too long for mobile'),
    (1, 0, 1, 1104, 'LOGIN-twice', 'Is there twice'),
    (1, 0, 1, 1104, 'LOGIN-again', 'Is there twice, otherwise'),
    (1, 0, 1, 1105, 'LOGIN-same', 'Shares a login'),
    (1, 0, 1, 1106, 'LOGIN-same', 'Shares a login'),
    (1, 0, 1, 1107, 'LOGIN-trigger', 'Is refused by a trigger'),
    (1, 0, 1, 1108, 'LOGIN-check', 'Is refused by a condition'),
    (1, 0, 1, NULL, 'LOGIN-keyless', 'Has no number');
"""
TALKATIVE_MOBILE = """
CREATE UNIQUE INDEX ON mbstaff (app_pw);
ALTER TABLE mbstaff ADD CHECK (app_pw <> 'LOGIN-check');
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.staff_id = 1107 THEN
        RAISE EXCEPTION 'not this row: %', NEW USING DETAIL = NEW::text, HINT = NEW.app_pw;
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER refuse BEFORE INSERT ON mbstaff FOR EACH ROW EXECUTE FUNCTION refuse();
"""
#: More rows than a run may quarantine: it fails, and shows samples.
FAR_TOO_MANY = """
INSERT INTO mbstaff (org_id, con_id, loc_id, staff_id, app_pw, name)
SELECT 1, 0, 99, 2000 + i, 'LOGIN-' || i, 'Unfit ' || i FROM generate_series(1, 60) AS i
"""
#: An employee created by a phone, an office row with the same number and another login, and one that the desktop
#: refuses.
PHONE_STAFF = """
INSERT INTO mbstaff (org_id, con_id, loc_id, staff_id, app_pw, name, source) VALUES
    (1, 0, 1, 1201, 'LOGIN-phone', 'Made on a phone', 'M'),
    (1, 0, 1, 1202, 'LOGIN-phone-2', 'Made on both sides', 'M'),
    (1, 0, 1, 1203, 'LOGIN-phone-3', 'Is refused by the desktop', 'M')
"""
RIVAL_STAFF = """
INSERT INTO mbstaff (org_id, con_id, loc_id, staff_id, app_pw, name) VALUES
    (1, 0, 1, 1202, 'LOGIN-desktop-2', 'Made on both sides')
"""
TALKATIVE_DESKTOP = """
ALTER TABLE mbstaff ADD CHECK (app_pw <> 'LOGIN-phone-3')
"""


@pytest.fixture
def office(pair: Pair, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pair:
    """Creates the real tables and an environment that names them; Dagster's history is in the test's folder."""
    create_office(pair.source)
    create_empty_mobile(pair.target)
    for name in [name for name in os.environ if name.startswith(("LOCAL_DB_", "SUPABASE_DB_", "POWERCA_", "DAGSTER_"))]:
        monkeypatch.delenv(name)
    # Set to empty, so that a value set by a command is restored after the test.
    monkeypatch.setenv("DAGSTER_HOME", "")
    for prefix, endpoint, password in (
        ("LOCAL_DB", pair.settings.desktop, PASSWORDS[0]),
        ("SUPABASE_DB", pair.settings.mobile, PASSWORDS[1]),
    ):
        for name, value in (
            *(("HOST", endpoint.host), ("PORT", str(endpoint.port)), ("NAME", endpoint.name)),
            *(("USER", endpoint.user), ("PASSWORD", password)),
        ):
            monkeypatch.setenv(f"{prefix}_{name}", value)
    monkeypatch.chdir(tmp_path)
    return pair


def execute(connection: Connection, statements: str) -> None:
    """Executes statements in which `LOGIN` stands for the beginning of every login."""
    connection.execute(statements.replace("LOGIN", LOGIN))  # type: ignore[call-overload]


def leaks(text: str) -> list[str]:
    """Returns where a secret is in the text, with its surroundings."""
    return [
        f"{secret}: ...{text[max(0, place - 300) : place + 100]}..."
        for secret in SECRETS
        if (place := text.find(secret)) >= 0
    ]


class Commands:
    """Runs commands and keeps their output."""

    def __init__(self) -> None:
        self.printed: dict[str, str] = {}

    def run(self, *arguments: str) -> int:
        result = CliRunner().invoke(main, arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        self.printed[f"{len(self.printed)} {' '.join(arguments)}"] = result.output
        return result.exit_code

    @property
    def last(self) -> str:
        """Returns the output of the last command."""
        return list(self.printed.values())[-1]

    def both(self, *arguments: str) -> int:
        """Runs the command with text output and with JSON output."""
        self.run(*arguments)
        return self.run(*arguments, "--json")


def test_no_secret_is_printed_logged_or_stored(office: Pair, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    commands = Commands()
    commands.run("doctor")
    assert commands.run("init") == 0, commands.last

    execute(office.source, UNFIT_STAFF)
    execute(office.target, TALKATIVE_MOBILE)
    commands.both("plan")
    assert commands.run("forward") == 0, commands.last
    set_aside = office.rows("SELECT DISTINCT reason FROM powerca_sync.quarantine WHERE table_name = 'mbstaff'")
    assert len(set_aside) >= 5, set_aside
    assert office.one("SELECT count(*) FROM powerca_sync.quarantine WHERE table_name = 'mbstaff'") >= 8

    execute(office.source, FAR_TOO_MANY)
    assert commands.run("forward", "--json") == 1
    failed = office.one("SELECT error_message FROM _sync_metadata WHERE table_name = 'mbstaff'")
    assert "would go to quarantine" in (failed or ""), commands.last
    commands.run("plan")
    commands.both("status")
    office.source.execute("DELETE FROM mbstaff WHERE staff_id > 2000")

    add_phone_rows(office.target)
    execute(office.target, PHONE_STAFF)
    execute(office.source, RIVAL_STAFF)
    execute(office.source, TALKATIVE_DESKTOP)
    commands.both("reverse")
    office.target.execute("UPDATE mbstaff SET app_pw = app_pw || '-changed' WHERE staff_id IN (1001, 1201)")
    commands.both("verify")
    commands.run("status", "--json")
    commands.run("doctor", "--json")

    for command, printed in commands.printed.items():
        assert leaks(printed) == [], command
    assert leaks(caplog.text) == []
    assert len(caplog.text) > 10_000
    _assert_history_is_clean(tmp_path)
    _assert_state_is_clean(office.target)
    _assert_state_is_clean(office.source)


def test_no_password_is_in_the_message_of_a_failed_connection(
    office: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    commands = Commands()
    for name, value in (("SUPABASE_DB_PORT", "1"), ("SUPABASE_DB_USER", "nobody"), ("SUPABASE_DB_SSLMODE", "odd")):
        with monkeypatch.context() as broken:
            broken.setenv(name, value)
            assert commands.run("status", "--json") in (1, 2)
            commands.run("doctor")
    for command, printed in commands.printed.items():
        assert leaks(printed) == [], command
    assert leaks(caplog.text) == []


def test_no_password_is_in_the_process_list_or_pg_stat_activity(office: Pair, tmp_path: Path) -> None:
    with (tmp_path / "printed").open("wb") as printed:
        process = subprocess.Popen(
            [sys.executable, "-m", "powerca_sync.cli", "forward", "--json"],
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(PROJECT), *filter(None, sys.path)])},
            stdout=printed,
            stderr=printed,
        )
    seen, connected = set(), set()
    while process.poll() is None:
        for one in psutil.process_iter(["cmdline"]):
            seen.add(" ".join(one.info["cmdline"] or ()))
        for database in (office.source, office.target):
            connected |= {text for (text,) in database.execute("SELECT ROW(a.*)::text FROM pg_stat_activity AS a")}
        time.sleep(0.05)
    assert process.returncode == 0, (tmp_path / "printed").read_text()
    assert any("powerca_sync.cli forward" in line for line in seen)
    assert any("powerca_sync" in line for line in connected)
    assert [leak for line in seen | connected for leak in leaks(line)] == []


def _assert_history_is_clean(folder: Path) -> None:
    """Searches every written file byte by byte; SQLite files also by cell, in case a page break splits a value."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in files)
    for path in files:
        assert leaks(path.read_bytes().decode("utf-8", errors="replace")) == [], path
        if path.suffix == ".db":
            with sqlite3.connect(path) as database:
                assert leaks("\n".join(database.iterdump())) == [], path
            database.close()


def _assert_state_is_clean(connection: Connection) -> None:
    """Searches all state tables in a database, except the desktop's ledger: its images are the phone rows as written
    there.
    """
    tables = connection.execute(
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = 'powerca_sync'"
        " AND tablename <> 'pulled' OR tablename IN ('_sync_metadata', 'sync_log')"
    ).fetchall()
    assert len(tables) >= 3
    for table in tables:
        rows = connection.execute(sql.SQL("SELECT ROW(t.*)::text FROM {} AS t").format(sql.Identifier(*table)))
        for (row,) in rows:
            assert leaks(row) == [], table
