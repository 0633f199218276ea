"""The command line as an office uses it: output, streams and exit status."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import dagster as dg
import pytest
from click.testing import CliRunner

from powerca_sync.cli import commands
from powerca_sync.cli.console import text_table
from powerca_sync.engine.postgres import copying
from powerca_sync.engine.staging import binary_copy
from powerca_sync.tables import TABLES
from powerca_sync_tests.acceptance import shell
from powerca_sync_tests.acceptance.shell import document, run
from powerca_sync_tests.defs.office import Office
from powerca_sync_tests.helpers import Pair

PROJECT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def empty_shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A new folder without any variable of the sync."""
    shell.empty(monkeypatch, tmp_path)


@pytest.fixture
def office(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> Office:
    """Creates a small office whose tables the command syncs."""
    return shell.configured(pair, monkeypatch)


def test_run_prints_each_finished_table_and_a_final_summary(office: Office) -> None:
    result = run("forward", "--mode", "full", "--verbose")
    assert result.exit_code == 0
    ended = [line.split(":")[0] for line in result.stderr.splitlines() if line.startswith("[")]
    assert ended == ["[OK] orgs", "[OK] departments", "[OK] notices", "[OK] staff"]
    assert "  staff: staged 40 of 40 rows read (full, 0.0 MB)." in result.stderr.splitlines()
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["table", "mode", "read", *lines[0].split()[3:]]
    by_table = {line.split()[0]: line.split()[1:] for line in lines[2:-1]}
    assert by_table["staff"][:-1] == ["full", "40", "40", "0", "0", "0", "0", "0", "0"]
    assert by_table["total"][:-1] == ["44", "44", "0", "0", "0", "0", "0", "0"]
    assert lines[-1].startswith("[OK] 4 tables synced in ")


def test_noop_run_is_reported_as_such(office: Office) -> None:
    run("forward")
    result = run("forward", "--mode", "incremental")
    assert result.exit_code == 0
    assert "[OK] departments: 0 rows read, nothing to do" in result.stderr
    assert "[OK] staff: 40 rows read, 40 unchanged" in result.stderr


def test_json_document_has_all_counts_alone_on_stdout(office: Office) -> None:
    office.pair.source.execute("UPDATE staff SET dept_id = 99 WHERE staff_no = 7")
    result = run("forward", "--json")
    assert result.exit_code == 0
    content = document(result)
    assert content["exit_status"] == 0
    assert content["totals"]["extracted"] == 44
    staff = next(table for table in content["tables"] if table["table"] == "staff")
    assert staff["verdict"] == "warning"
    assert (staff["figures"]["inserted"], staff["figures"]["quarantined"]) == (39, 1)
    assert staff["quarantine"] == [
        {"reason": "reference", "column": "dept_id", "parent": "departments", "rows": 1, "message": None}
    ]


def test_quarantined_rows_are_a_warning_without_failure(office: Office) -> None:
    office.pair.source.execute("UPDATE staff SET dept_id = 99 WHERE staff_no = 7")
    result = run("forward")
    assert result.exit_code == 0
    assert "[WARN] staff: 40 rows read, 39 inserted, 1 quarantined" in result.stderr
    assert "[WARN] staff: 1 row quarantined: dept_id has no matching row in departments." in result.stdout


def test_only_named_tables_are_synced(office: Office) -> None:
    run("forward")
    office.pair.source.execute("UPDATE notices SET body = 'Open'; UPDATE departments SET title = 'None'")
    content = document(run("forward", "--table", "notices", "--table", "orgs", "--json"))
    assert [table["table"] for table in content["tables"]] == ["orgs", "notices"]
    assert office.pair.one("SELECT count(*) FROM departments WHERE title = 'None'") == 0


def test_unknown_table_is_wrong_usage_and_lists_the_known_ones(office: Office) -> None:
    result = run("forward", "--table", "stuff")
    assert result.exit_code == 2
    assert "Known tables: orgs, departments, notices, staff." in result.stderr


def test_failed_table_is_named_in_the_last_line_and_others_go_on(office: Office) -> None:
    office.pair.target.execute("DROP TABLE departments")
    result = run("forward")
    assert result.exit_code == 1
    assert "[X] departments: Table `departments` does not exist on mobile." in result.stderr
    lines = result.stdout.splitlines()
    assert lines[-1] == "[X] Failed: departments. The other tables went on."
    assert "[X] staff skipped: it needs the rows of departments" in lines
    assert office.pair.one("SELECT count(*) FROM notices") == 1


def test_failed_run_has_a_json_document(office: Office) -> None:
    office.pair.target.execute("DROP TABLE departments")
    result = run("forward", "--json")
    assert result.exit_code == 1
    verdicts = {table["table"]: table["verdict"] for table in document(result)["tables"]}
    assert verdicts == {"orgs": "ok", "departments": "failed", "staff": "skipped", "notices": "ok"}


def test_mass_delete_guard_names_the_option_that_allows_it(office: Office) -> None:
    run("forward")
    office.pair.source.execute("DELETE FROM staff WHERE staff_no > 10")
    result = run("forward")
    assert result.exit_code == 1
    assert "30 of the office's 40 rows would be deleted" in result.stderr
    assert "--allow-mass-delete" in result.stderr
    assert run("forward", "--allow-mass-delete").exit_code == 0
    assert office.pair.one("SELECT count(*) FROM staff") == 10


def test_rows_forged_on_mobile_are_shown_until_a_switch_deletes_them(office: Office) -> None:
    run("forward")
    office.pair.target.execute(
        "INSERT INTO staff (org_id, staff_no, full_name, source)"
        " SELECT 1, n, 'Forged', 'D' FROM generate_series(901, 925) AS n"
    )
    for command in ("forward", "plan"):
        result = run(command)
        assert result.exit_code == 0
        assert "[WARN] staff: 25 rows inserted or changed on mobile by others" in result.stdout
        assert "staff_no=901" in result.stdout
    assert "[WARN] staff: 25 rows inserted or changed on mobile by others" in run("status").stdout
    assert run("forward", "--delete-foreign").exit_code == 0
    assert office.pair.one("SELECT count(*) FROM staff") == 40
    assert "inserted or changed" not in run("status").stdout


def test_refused_login_is_a_configuration_error(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_DB_USER", "nobody")
    result = run("forward", "--json")
    assert result.exit_code == 2
    failed = [table for table in document(result)["tables"] if table["verdict"] == "failed"]
    assert [(table["table"], table["kind"]) for table in failed] == [("orgs", "ConfigurationError")]
    assert 'role "nobody" does not exist' in result.stderr


def test_run_is_in_the_history_of_the_ui(office: Office) -> None:
    content = document(run("forward", "--json"))
    assert Path(os.environ["DAGSTER_HOME"]) == Path(".powerca/dagster").resolve()
    with dg.DagsterInstance.get() as instance:
        run_record = instance.get_run_by_id(content["run_id"])
        assert run_record is not None
        assert (run_record.job_name, run_record.status) == ("forward_full", dg.DagsterRunStatus.SUCCESS)
        event = instance.get_latest_materialization_event(dg.AssetKey("staff"))
        assert event is not None
        assert not instance.telemetry_enabled


def test_instance_of_dagster_home_is_used_if_set(
    office: Office, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    assert run("forward").exit_code == 0
    assert (home / "history").exists()
    assert not Path(".powerca").exists()


def test_dagster_yaml_in_the_folder_configures_the_history(office: Office) -> None:
    Path("dagster.yaml").write_text("telemetry: {enabled: false}\nnux: {enabled: false}\n")
    assert run("forward").exit_code == 0
    assert Path(".powerca/dagster/dagster.yaml").read_text() == Path("dagster.yaml").read_text()


def test_init_prepares_mobile_and_reports_its_steps(office: Office) -> None:
    first, second = run("init"), run("init")
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert "[OK] Created the sync's own tables on" in first.stdout
    assert "[OK] Found the sync's own tables on" in second.stdout
    assert "[OK] Registered the desktop" in second.stdout
    assert document(run("init", "--json"))["organisations"] == ["1"]
    assert "INDEX" not in second.stdout
    office.pair.target.execute("INSERT INTO powerca_sync.office VALUES ('2', 'another/desktop')")
    assert 'CREATE INDEX CONCURRENTLY ON "public"."staff" ("org_id");' in run("init").stdout
    assert [finding["side"] for finding in document(run("init", "--json"))["findings"]] == ["mobile"]


def test_init_refuses_organisations_of_another_desktop_unless_told(office: Office) -> None:
    run("init")
    office.pair.target.execute("UPDATE powerca_sync.office SET office = 'another/desktop'")
    refused = run("init", "--json")
    assert refused.exit_code == 1
    assert document(refused)["kind"] == "UnsafeTargetError"
    assert "belongs to another desktop" in refused.stderr
    assert run("init", "--accept-source").exit_code == 0
    assert office.pair.one("SELECT count(*) FROM powerca_sync.office WHERE office = 'another/desktop'") == 0


def test_status_before_any_sync_names_the_next_step(office: Office) -> None:
    result = run("status")
    assert result.exit_code == 0
    assert "Run `powerca-sync forward --mode full`" in result.stdout
    content = document(run("status", "--json"))
    assert (content["prepared"], content["tables"]) == (False, [])


def test_status_and_verify_warn_of_a_copied_desktop(office: Office) -> None:
    run("forward")
    office.pair.source.execute("DELETE FROM powerca_sync.run_token")
    for command in ("status", "verify"):
        result = run(command)
        assert result.exit_code == 0, result.output
        (warned,) = (line for line in result.output.splitlines() if "in the state in which it was last synced" in line)
        assert warned.startswith("[WARN] This desktop is not")
        assert "Runs refuse it." in warned


def test_status_shows_the_state_of_each_table(office: Office) -> None:
    office.pair.source.execute("UPDATE staff SET dept_id = 99 WHERE staff_no = 7")
    office.pair.target.execute("INSERT INTO staff (org_id, staff_no, dept_id, source) VALUES (1, 500, 77, 'M')")
    run("forward")
    result = run("status")
    assert result.exit_code == 0
    staff = next(line.split() for line in result.stdout.splitlines() if line.startswith("staff "))
    assert staff[-4:] == ["39", "1", "0", "1"]
    assert "[WARN] staff: 1 row quarantined: dept_id has no matching row in departments." in result.stdout
    assert "staff: 1 row whose dept_id is not in departments." in result.stdout
    content = document(run("status", "--json"))
    (entry,) = (table for table in content["tables"] if table["table"] == "staff")
    assert entry["contents"]["phone"] == 1
    assert entry["records"] == 39


def test_status_lists_the_last_runs_and_creates_no_history(office: Office) -> None:
    assert document(run("status", "--json"))["runs"] == []
    assert not Path(".powerca").exists()
    run("forward")
    run("forward", "--mode", "incremental")
    shown = run("status").stdout
    assert [line.split()[2] for line in shown[shown.index("last runs") :].splitlines()[2:-1]] == [
        "forward_incremental",
        "forward_full",
    ]
    runs = document(run("status", "--json"))["runs"]
    assert [(past["job"], past["inserted"], past["status"]) for past in runs] == [
        ("forward_incremental", 0, "SUCCESS"),
        ("forward_full", 44, "SUCCESS"),
    ]


def test_status_shows_the_error_of_the_last_run(office: Office) -> None:
    run("forward")
    office.pair.target.execute("DROP TABLE staff")
    run("forward")
    result = run("status")
    assert result.exit_code == 1
    assert "[X] staff: Table `staff` does not exist on mobile." in result.stdout


def test_status_works_while_the_desktop_is_off(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    run("forward")
    monkeypatch.setenv("LOCAL_DB_PORT", "1")
    result = run("status", "--json")
    assert result.exit_code == 0
    assert "[WARN] connecting to desktop" in result.stderr
    assert len(document(result)["tables"]) == 4


def test_unverified_connection_is_reported(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_DB_HOST", "desktop.invalid")
    monkeypatch.setenv("LOCAL_DB_SSLMODE", "require")
    result = run("status")
    assert "[WARN] The connection to desktop (desktop.invalid:" in result.stderr
    assert "has sslmode require" in result.stderr


@pytest.mark.parametrize("command", ["forward", "init", "status"])
def test_shell_without_configuration_is_told_what_to_set(command: str) -> None:
    result = run(command, "--json")
    assert result.exit_code == 2
    for name in ("LOCAL_DB_PASSWORD", "SUPABASE_DB_HOST", "SUPABASE_DB_PASSWORD", "powerca-sync demo"):
        assert name in result.stderr
    assert document(result)["kind"] == "ConfigurationError"
    assert list(Path.cwd().iterdir()) == []


def test_invalid_mode_is_wrong_usage() -> None:
    assert run("forward", "--mode", "partial").exit_code == 2


@pytest.mark.parametrize("command", [["--help"], ["forward", "--help"], ["forward"]])
def test_dagster_is_imported_only_when_needed(command: list[str]) -> None:
    code = (
        "import sys\nfrom powerca_sync.cli import main\n"
        f"try: main({command!r})\nexcept SystemExit: pass\n"
        "sys.exit('dagster' in sys.modules or 'pandas' in sys.modules)"
    )
    path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    assert subprocess.run([sys.executable, "-c", code], env=path, capture_output=True, timeout=60).returncode == 0


def start(*arguments: str) -> subprocess.Popen[str]:
    """Starts the command as a process of its own, for the small office."""
    code = (
        "from powerca_sync.cli import commands\nfrom powerca_sync_tests.defs.office import SPECS\n"
        f"commands.TABLES = SPECS\ncommands.main({list(arguments)!r})"
    )
    path = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, sys.path)])}
    return subprocess.Popen(
        [sys.executable, "-c", code], env=os.environ | path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_process_prints_only_the_document_on_stdout(office: Office) -> None:
    process = start("forward", "--json")
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0
    assert json.loads(stdout)["totals"]["inserted"] == 44
    assert [line for line in stderr.splitlines() if not line.startswith(("[OK]", "  "))] == []


#: True while a run is blocked by a table lock held by the test.
WAITING = """
SELECT count(*) > 0 FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'powerca_sync' AND pid <> pg_backend_pid()
    AND state = 'idle in transaction' AND query LIKE 'SELECT pg_try_advisory_xact_lock%'"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_run_is_cancelled(
    office: Office, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, status: int
) -> None:
    # Otherwise the table that waits may be read ahead, in the step of another one.
    monkeypatch.setenv("POWERCA_TABLES_AT_ONCE", "1")
    office.pair.target.execute("SELECT pg_advisory_lock(hashtextextended('powerca_sync:staff', 0))")
    process = start("forward")
    assert process.stderr is not None
    assert any(line.startswith("[OK] notices") for line in process.stderr)
    give_up = time.monotonic() + 30
    while not office.pair.one(WAITING):
        assert time.monotonic() < give_up
        time.sleep(0.1)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == status
    assert "[X] staff: it was interrupted" in stderr.splitlines()
    assert "Traceback" not in stderr
    assert stdout.splitlines()[-1].startswith("[X] Interrupted. Tables that ended are synced")
    with dg.DagsterInstance.from_config(str(Path(".powerca/dagster").resolve())) as instance:
        (past,) = instance.get_runs()
        assert past.status is dg.DagsterRunStatus.CANCELED
    assert office.pair.one("SELECT count(*) FROM staff") == 0


def test_large_table_shows_its_progress_in_rows(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "BLOCK", 100)
    monkeypatch.setattr(binary_copy, "CHUNK", 200)
    result = run("forward", "--table", "staff")
    moved = [line for line in result.stderr.splitlines() if "moved so far" in line]
    assert moved
    assert all(re.fullmatch(r"  staff: \d+ rows, 0\.0 MB moved so far\.", line) for line in moved)


def test_verify_shows_agreement_and_then_the_differing_rows(office: Office) -> None:
    run("forward")
    result = run("verify")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0].split() == [
        *("table", "desktop", "mobile", "agree", "missing", "extra", "different", "known", "seconds")
    ]
    assert next(line for line in lines if line.startswith("staff")).split()[1:8] == ["40", "40", "40", *"0000"]
    assert lines[-1].startswith("[OK] 4 tables agree, known differences aside (")
    office.pair.target.execute("UPDATE staff SET full_name = 'P', login = '' WHERE staff_no = 7")
    office.pair.target.execute("DELETE FROM staff WHERE staff_no = 8")
    result = run("verify", "--table", "staff")
    assert result.exit_code == 1
    assert "[X] staff: 1 row missing on mobile." in result.stdout
    assert '       org_id="1", staff_no="8"' in result.stdout
    assert "[X] staff: 1 row different in full_name (1), login (1)." in result.stdout
    assert '"7": full_name: "Person 7" on the desktop, "P" on mobile; login: "***" on the desktop' in result.stdout
    assert "pw-7" not in result.output
    assert result.stdout.splitlines()[-1].startswith("[X] The two sides differ: staff. ")


def test_verify_prints_one_document_and_names_unknown_tables(office: Office) -> None:
    run("forward")
    office.pair.target.execute("UPDATE notices SET body = NULL")
    result = run("verify", "--json", "--table", "notices", "--table", "orgs")
    assert result.exit_code == 1
    content = document(result)
    assert (content["agrees"], [table["table"] for table in content["tables"]]) == (False, ["notices", "orgs"])
    notices, orgs = content["tables"]
    assert (notices["agrees"], orgs["agrees"]) == (False, True)
    assert notices["outcome"]["differences"] == {"missing": 0, "extra": 0, "different": 1}
    (sample,) = notices["outcome"]["samples"]
    assert (sample["columns"], sample["mobile"]["body"]) == (["body"], None)
    assert run("verify", "--table", "nonsense").exit_code == 2


@pytest.mark.parametrize("arguments", [["forward", "--verbose"], ["status"], ["doctor"], ["plan"]])
def test_closed_pipe_ends_no_command(office: Office, arguments: list[str]) -> None:
    process = start(*arguments)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    process.stderr.close()
    assert process.wait(timeout=120) == 0
    if arguments[0] == "forward":
        assert office.pair.one("SELECT count(*) FROM staff") == 40


def test_lost_terminal_does_not_end_a_run(office: Office) -> None:
    office.pair.target.execute("SELECT pg_advisory_lock(hashtextextended('powerca_sync:staff', 0))")
    process = start("forward")
    give_up = time.monotonic() + 60
    while not office.pair.one(WAITING):
        assert time.monotonic() < give_up
        time.sleep(0.1)
    process.send_signal(signal.SIGHUP)
    office.pair.target.execute("SELECT pg_advisory_unlock_all()")
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert office.pair.one("SELECT count(*) FROM staff") == 40


def test_history_that_cannot_be_created_is_one_sentence(office: Office) -> None:
    # A file in place of the folder fails for every user, root too.
    Path(".powerca").write_text("")
    result = run("forward", "--json")
    assert result.exit_code == 2
    content = document(result)
    assert content["kind"] == "ConfigurationError"
    assert content["error"].startswith("Dagster's history in `.powerca/dagster` cannot be used: ")
    assert run("status").exit_code == 0
    assert office.pair.one("SELECT to_regclass('staff') IS NOT NULL")


def test_unreachable_history_database_is_one_sentence(
    office: Office, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run("forward")
    Path("dagster.yaml").write_text((PROJECT / "dagster.yaml").read_text(encoding="utf-8"))
    monkeypatch.setenv("DAGSTER_HOME", str(Path.cwd()))
    monkeypatch.setenv("DAGSTER_POSTGRES_HOST", "127.0.0.1")
    monkeypatch.setenv("DAGSTER_POSTGRES_PORT", "1")
    result = run("forward", "--json")
    assert result.exit_code == 2
    error = document(result)["error"]
    assert error.startswith("Dagster's history on the database server `127.0.0.1` cannot be used: connection to server")
    assert "Connection refused" in error
    shown = run("status")
    assert shown.exit_code == 0
    assert "The last runs are not known." in shown.stderr
    assert "Retrying" not in caplog.text


def test_misspelt_table_gets_a_suggestion(office: Office) -> None:
    result = run("forward", "--table", "staf")
    assert result.exit_code == 2
    assert "There is no spec for table `staf`. Did you mean `staff`?" in result.stderr


def test_quiet_command_prints_only_warnings_to_stderr(office: Office) -> None:
    result = run("forward", "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines()[-1].startswith("[OK] 4 tables synced in ")


def test_command_used_without_the_group_has_the_same_help_options() -> None:
    for name, command in commands.main.commands.items():
        assert CliRunner().invoke(command, ["-h"]).exit_code == 0, name


@pytest.mark.parametrize("command", ["demo", "doctor", "forward", "init", "plan", "reverse", "status", "ui", "verify"])
def test_help_fits_80_columns_with_examples_and_exit_codes(command: str) -> None:
    overview = run("-h").stdout.splitlines()
    summary = next(line for line in overview if line.split()[:1] == [command])
    assert not summary.endswith("...")
    assert max(map(len, overview)) <= 80
    result = run(command, "-h")
    assert result.exit_code == 0, result.output
    text = result.stdout
    assert max(map(len, text.splitlines()), default=0) in range(40, 81), (text, result.stderr)
    assert "Examples:" in text
    assert "Exit status:" in text


def test_table_on_a_narrow_terminal_loses_zeros_and_spare_columns() -> None:
    header, rows = ("table", "read", "deleted", "mode", "seconds"), [("staff", 40, 0, "full", 1.5)]
    assert text_table(header, rows).splitlines()[0].split() == list(header)
    assert text_table(header, rows, width=30, spare=("mode",)).splitlines()[0].split() == [
        *("table", "read", "mode", "seconds")
    ]
    assert text_table(header, rows, width=24, spare=("mode",)).splitlines()[0].split() == ["table", "read", "seconds"]


def test_table_names_are_completed() -> None:
    option = next(one for one in commands.forward.params if one.name == "tables")
    names = [spec.mobile for spec in TABLES if spec.mobile.startswith("j")]
    assert len(names) > 1
    with click.Context(commands.forward) as context:
        assert [item.value for item in option.shell_complete(context, "j")] == names
