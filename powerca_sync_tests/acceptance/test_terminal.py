"""No line is wider than the terminal, except statements to paste and words without blanks."""

import contextlib
import io
import json
import os
import pty
from pathlib import Path

import pytest
from psycopg import sql

from powerca_sync.cli import commands
from powerca_sync.cli.console import Console, folded, text_table
from powerca_sync.specs import Strategy
from powerca_sync_tests.acceptance import shell
from powerca_sync_tests.acceptance.shell import run_on_terminal
from powerca_sync_tests.defs.office import ORG, OWNED, SPECS, Office
from powerca_sync_tests.helpers import Pair, spec

#: As long as PostgreSQL allows.
LONG = "assessments_of_the_firm_of_chartered_accountants_by_financial_y"
AWKWARD = spec(LONG, "id", office="org_id", references=(ORG,), limit_share=1.0, strategy=Strategy.UPSERT)


@pytest.fixture
def office(pair: Pair, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Office:
    """Creates a small office with a long table name, thousands of rows to quarantine, a conflict and a refused row."""
    shell.empty(monkeypatch, tmp_path)
    made = shell.configured(pair, monkeypatch)
    monkeypatch.setattr(commands, "TABLES", (*SPECS, AWKWARD))
    pair.source.execute(f"""
        ALTER TABLE notices ALTER body TYPE varchar(100);
        CREATE TABLE {LONG} (id int, org_id int, body text);
    """)
    pair.source.execute(
        sql.SQL("INSERT INTO {} SELECT n, 1, repeat('of the year ', n) FROM generate_series(1, 3000) AS n").format(
            sql.Identifier(LONG)
        )
    )
    pair.target.execute(f"""
        CREATE TABLE {LONG} (id int PRIMARY KEY, org_id int, body text, {OWNED},
            CONSTRAINT no_assessment_has_a_body_that_is_longer_than_a_line_of_the_app CHECK (length(body) < 50))""")
    pair.target.execute("""
        INSERT INTO notices SELECT n, 1, repeat('From a phone, and long. ', 20), 'M' FROM generate_series(1, 2) AS n;
        INSERT INTO staff (org_id, staff_no, full_name, source) VALUES (1, 500, 'New', 'M')""")
    return made


def assert_fits(lines: list[str], columns: int) -> None:
    assert len(lines) > 1
    for line in lines:
        words = line.split()
        assert len(line) <= columns or len(words) == 1 or line.lstrip().startswith("ALTER TABLE"), line


def test_no_line_of_any_command_is_wider_than_the_terminal(office: Office) -> None:
    columns = 80
    for arguments in (
        "status",
        "doctor",
        "init",
        "plan",
        "plan reverse",
        "forward --verbose",
        "reverse",
        "plan reverse",
        "verify",
        "status",
        "forward --table staff",
        "forward --table staf",
    ):
        status, lines = run_on_terminal(*arguments.split(), columns=columns)
        assert status == (2 if arguments.endswith("staf") else 0), (arguments, lines)
        assert_fits(lines, columns)


def test_document_goes_to_stdout_while_progress_is_shown() -> None:
    master, slave = pty.openpty()
    with (
        os.fdopen(slave, "w", encoding="utf-8") as terminal,
        contextlib.redirect_stderr(terminal),
        contextlib.redirect_stdout(io.StringIO()) as stdout,
        contextlib.closing(Console(as_json=True)) as console,
    ):
        console.moving("staff: 3 rows moved so far.")
        console.document({"rows": 3})
    os.close(master)
    assert json.loads(stdout.getvalue()) == {"rows": 3}


def test_paragraph_is_folded_below_its_mark() -> None:
    text = "[WARN] staff: 3 rows quarantined: dept_id has no matching row in departments."
    assert folded(text, 50) == (
        "[WARN] staff: 3 rows quarantined: dept_id has no\n         matching row in departments."
    )
    assert folded(text, None) == text


def test_statements_below_a_paragraph_keep_their_lines() -> None:
    text = "[X] Ask an administrator to run:\n\nCREATE TABLE a_name_that_is_long ();"
    assert folded(text, 20).splitlines() == [
        "[X] Ask an",
        "      administrator",
        "      to run:",
        *text.splitlines()[1:],
    ]


def test_long_names_in_a_narrow_table_lose_their_middle() -> None:
    lines = text_table(("table", "read"), [(LONG, 12), ("staff", 3)], width=30).splitlines()
    assert {len(line) for line in lines} == {30}
    assert lines[2] == "assessments...inancial_y    12"
