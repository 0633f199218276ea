"""Three small offices with a desktop each and a fourth whose desktop is dead, on one mobile database."""

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from psycopg import sql

from powerca_sync.defs import build_definitions
from powerca_sync.defs.partitions import OFFICE
from powerca_sync.engine.postgres import Connection, connect
from powerca_sync_tests.defs.office import ONE_RETRY, QUICK, SECRETS, SPECS, TARGET
from powerca_sync_tests.helpers import Pair

#: The number of each office's organisation.
NUMBERS = {"north": 1, "south": 2, "west": 3}
DEAD = "dead"
DESKTOP = """
CREATE TABLE orgs (org_id int, org_name text);
CREATE TABLE departments (dept_id int, org_id int, title text);
CREATE TABLE staff (org_id int, staff_no int, dept_id int, full_name varchar(40), login text);
CREATE TABLE notices (notice_id int, org_id int, body text);
INSERT INTO orgs VALUES ({number}, 'Office {number}');
INSERT INTO departments VALUES ({number}0, {number}, 'Audit'), ({number}1, {number}, 'Tax');
INSERT INTO staff SELECT {number}, n, {number}0 + n % 2, 'Person ' || n, 'pw-' || n FROM generate_series(1, 40) AS n;
INSERT INTO notices VALUES ({number}, {number}, 'Closed on Friday');
"""


@cache
def definitions_by_office() -> dg.Definitions:
    """Returns the definitions of the small offices with short waits."""
    return build_definitions(SPECS, timeouts=QUICK, retries=ONE_RETRY, by_office=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Company:
    """The offices, their file, and the instance that serves them."""

    pair: Pair
    instance: dg.DagsterInstance
    file: Path
    desktops: Mapping[str, Connection]

    @property
    def mobile(self) -> Connection:
        return self.pair.target

    def run(self, office: str, job: str = "forward_full", **options: object) -> dg.ExecuteInProcessResult:
        """Runs a job for an office, as Dagster does."""
        return (
            definitions_by_office()
            .resolve_job_def(job)
            .execute_in_process(
                instance=self.instance,
                partition_key=office,
                raise_on_error=False,
                **options,  # type: ignore[arg-type]
            )
        )

    def mobile_rows(self, office: str) -> dict[str, list[tuple[object, ...]]]:
        """Returns the rows of an office on mobile without the sync's own columns, by table."""
        return self._rows(self.mobile, f"WHERE source = 'D' AND org_id = {NUMBERS[office]}")

    def desktop_rows(self, office: str) -> dict[str, list[tuple[object, ...]]]:
        """Returns the rows of an office's desktop, by table."""
        return self._rows(self.desktops[office], "")

    @staticmethod
    def _rows(connection: Connection, where: str) -> dict[str, list[tuple[object, ...]]]:
        columns = {
            "orgs": "org_id, org_name",
            "departments": "dept_id, org_id, title",
            "staff": "org_id, staff_no, dept_id, full_name, login",
            "notices": "notice_id, org_id, body",
        }
        return {
            table: connection.execute(
                sql.SQL("SELECT {} FROM {} {} ORDER BY 1, 2").format(
                    sql.SQL(names), sql.Identifier(table), sql.SQL(where)
                )
            ).fetchall()
            for table, names in columns.items()
        }

    def tick(self, sensor: str, cursor: str | None = None) -> Any:
        """Evaluates a sensor once."""
        found = definitions_by_office().get_repository_def().get_sensor_def(sensor)
        with dg.build_sensor_context(
            instance=self.instance, definitions=definitions_by_office(), cursor=cursor
        ) as context:
            return found.evaluate_tick(context)

    def obey(self, data: Any) -> dict[str, list[str]]:
        """Executes what a tick requested; returns the jobs by office."""
        done: dict[str, list[str]] = {}
        for request in data.run_requests:
            office = request.tags["dagster/partition"]
            job = request.job_name or "reverse"
            # As the daemon does: without a partition key, Dagster takes no configuration from the job.
            definitions_by_office().resolve_job_def(job).execute_in_process(
                instance=self.instance,
                run_config=request.run_config,
                asset_selection=request.asset_selection,
                tags=request.tags,
                raise_on_error=False,
            )
            done.setdefault(office, []).append(job)
        return done

    def edit(self, office: str, statement: str) -> None:
        """Executes a statement on a desktop; returns when the statistics have it."""
        self.desktops[office].execute(statement)  # type: ignore[call-overload]
        self.desktops[office].execute("SELECT pg_stat_force_next_flush()")


@pytest.fixture
def company(pair: Pair, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Company]:
    """Yields the offices; nothing is synced yet, and all of them are partitions."""
    pair.target.execute(TARGET)
    desktop, mobile = pair.settings.desktop, pair.settings.mobile
    (tmp_path / "password").write_text(SECRETS[0])
    monkeypatch.setenv("MOBILE_PASSWORD", SECRETS[1])
    monkeypatch.setenv("POWERCA_OFFICES", str(tmp_path / "offices.toml"))
    monkeypatch.delenv("POWERCA_DEMO", raising=False)
    monkeypatch.chdir(tmp_path)
    text = (
        f'[defaults]\nuser = "{desktop.user}"\nport = {desktop.port}\n[mobile.main]\nhost = "{mobile.host}"\n'
        f'port = {mobile.port}\nname = "{mobile.name}"\nuser = "{mobile.user}"\npassword_env = "MOBILE_PASSWORD"\n'
        f'[office.{DEAD}]\nhost = "127.0.0.1"\nport = 1\npassword_file = "password"\n'
    )
    with ExitStack() as stack:
        desktops = {}
        for office, number in NUMBERS.items():
            own = dataclasses.replace(desktop, name=f"{desktop.name}_{office}")
            pair.source.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(own.name)))
            drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(own.name))
            stack.callback(pair.source.execute, drop)
            desktops[office] = stack.enter_context(connect(own))
            desktops[office].execute(DESKTOP.format(number=number))  # type: ignore[call-overload]
            text += f'[office.{office}]\nhost = "{own.host}"\nname = "{own.name}"\npassword_file = "password"\n'
        (tmp_path / "offices.toml").write_text(text)
        instance = stack.enter_context(dg.DagsterInstance.ephemeral())
        instance.add_dynamic_partitions(OFFICE, [DEAD, *NUMBERS])
        yield Company(pair=pair, instance=instance, file=tmp_path / "offices.toml", desktops=desktops)
