"""The command imports no more than it needs, because imports are most of a short command's time."""

import subprocess
import sys

import pytest

COMMANDS = ("", "demo", "doctor", "forward", "init", "offices", "plan", "reverse", "status", "ui", "verify")
#: Packages that take a tenth of a second or more to import.
ENGINE, DAGSTER, REST = ("psycopg",), ("dagster", "sqlalchemy"), ("pandas", "apprise", "psycopg2", "dagster_webserver")


def imported_by(statements: str) -> set[str]:
    """Returns which of the packages a new process has imported after some statements."""
    watched = {*ENGINE, *DAGSTER, *REST}
    script = f"import sys\n{statements}\nprint(*({watched!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.PIPE, text=True)
    return set(done.stdout.splitlines()[-1].split())


def test_help_imports_neither_engine_nor_dagster() -> None:
    calls = [f"main({[*name.split(), '-h']!r}, standalone_mode=False)" for name in COMMANDS]
    assert imported_by("\n".join(["from powerca_sync.cli import main", *calls])) == set()


@pytest.mark.parametrize(
    "names",
    [
        "engine.doctor, powerca_sync.cli.doctor_report",
        "engine.dry_run, powerca_sync.cli.plan_report",
        "engine.verify, powerca_sync.cli.verify_report",
    ],
)
def test_commands_that_run_no_job_import_no_dagster(names: str) -> None:
    assert imported_by(f"import powerca_sync.cli.commands, powerca_sync.{names}") == {*ENGINE}


def test_run_of_a_job_imports_no_pandas_alerts_and_webserver() -> None:
    assert imported_by("import powerca_sync.defs.runs.in_process") == {*ENGINE, *DAGSTER}
