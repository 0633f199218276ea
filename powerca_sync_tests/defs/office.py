"""The small office: one organisation, a table that another references, and one without references."""

from collections.abc import Mapping, Sequence
from functools import cache

import dagster as dg

from powerca_sync.defs import build_definitions
from powerca_sync.defs.failures import Retries
from powerca_sync.defs.keys import DESKTOP
from powerca_sync.defs.metadata import figures_of
from powerca_sync.engine.postgres.database import Timeouts
from powerca_sync.specs import Category, Lookup, Reference, Strategy, TableSpec, in_order
from powerca_sync_tests.helpers import ORGS, Pair, spec

ORG = Reference(column="org_id", parent="orgs")
DEPARTMENT = Reference(column="dept_id", parent="departments")
DEPARTMENTS = spec("departments", "dept_id", office="org_id", references=(ORG,))
STAFF = spec(
    "staff",
    *("org_id", "staff_no"),
    strategy=Strategy.DELETE_INSERT,
    office="org_id",
    references=(ORG, DEPARTMENT),
    lookups=(Lookup(column="title", table="departments", match="dept_id"),),
    sensitive=frozenset({"login"}),
)
NOTICES = spec("notices", "notice_id", office="org_id", references=(ORG,), category=Category.MASTERS)
SPECS = in_order((ORGS, DEPARTMENTS, STAFF, NOTICES))

#: Embedded servers do not check it; it must not appear in anything that a person or program can read.
SECRETS = ("horse-battery-desktop", "horse-battery-mobile")
QUICK = Timeouts(statement=30, lock=2, table=0.3)
ONE_RETRY = Retries(most=1, wait=0.1)

SOURCE = """
CREATE TABLE orgs (org_id int, org_name text);
CREATE TABLE departments (dept_id int, org_id int, title text);
CREATE TABLE staff (org_id int, staff_no int, dept_id int, full_name varchar(40), login text);
CREATE TABLE notices (notice_id int, org_id int, body text);
INSERT INTO orgs VALUES (1, 'Rao & Co');
INSERT INTO departments VALUES (10, 1, 'Audit'), (20, 1, 'Tax');
INSERT INTO staff SELECT 1, n, CASE WHEN n % 2 = 0 THEN 10 ELSE 20 END, 'Person ' || n, 'pw-' || n
FROM generate_series(1, 40) AS n;
INSERT INTO notices VALUES (1, 1, 'Closed on Friday');
"""
OWNED = "source char(1) DEFAULT 'D', created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now()"
TARGET = f"""
CREATE TABLE orgs (org_id int PRIMARY KEY, org_name text, {OWNED});
CREATE TABLE departments (dept_id int PRIMARY KEY, org_id int NOT NULL, title text, {OWNED});
CREATE TABLE staff (id bigserial PRIMARY KEY, org_id int NOT NULL, staff_no int, dept_id int, title text,
    full_name varchar(40), login text, {OWNED});
CREATE TABLE notices (notice_id int PRIMARY KEY, org_id int NOT NULL, body text, {OWNED});
"""


@cache
def office_definitions() -> dg.Definitions:
    """Returns the definitions of the small office with short waits; building and resolving them takes long."""
    return build_definitions(SPECS, timeouts=QUICK, retries=ONE_RETRY)


class Office:
    """The two databases, and methods that run the jobs on them."""

    def __init__(self, pair: Pair, instance: dg.DagsterInstance) -> None:
        self.pair = pair
        self.instance = instance

    @property
    def environment(self) -> dict[str, str]:
        """Returns the variables that name both databases."""
        desktop, mobile = self.pair.settings.desktop, self.pair.settings.mobile
        return {
            "LOCAL_DB_HOST": desktop.host,
            "LOCAL_DB_PORT": str(desktop.port),
            "LOCAL_DB_NAME": desktop.name,
            "LOCAL_DB_USER": desktop.user,
            "LOCAL_DB_PASSWORD": SECRETS[0],
            "SUPABASE_DB_HOST": mobile.host,
            "SUPABASE_DB_PORT": str(mobile.port),
            "SUPABASE_DB_NAME": mobile.name,
            "SUPABASE_DB_USER": mobile.user,
            "SUPABASE_DB_PASSWORD": SECRETS[1],
        }

    def create(self) -> None:
        """Creates the tables and the office's rows."""
        self.pair.source.execute(SOURCE)
        self.pair.target.execute(TARGET)

    def run(
        self,
        mode: str = "full",
        *,
        specs: tuple[TableSpec, ...] = SPECS,
        written: Sequence[dg.AssetsDefinition] = (),
        tags: Mapping[str, str] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """Runs a forward job as Dagster does, with short waits."""
        if specs is SPECS and not written:
            definitions = office_definitions()
        else:
            definitions = build_definitions(specs, written=written, timeouts=QUICK, retries=ONE_RETRY)
        job = definitions.resolve_job_def(f"forward_{mode}")
        return job.execute_in_process(instance=self.instance, raise_on_error=False, tags=dict(tags or {}))

    def pull(self, *only: str, again: bool = False) -> dg.ExecuteInProcessResult:
        """Reverse-syncs all tables or those named as Dagster does, with short waits."""
        job = office_definitions().resolve_job_def("reverse")
        return job.execute_in_process(
            instance=self.instance,
            run_config={"resources": {"pull": {"config": {"again": again}}}},
            asset_selection=[dg.AssetKey(["reverse", name]) for name in only],
            raise_on_error=False,
        )

    def phone_writes(self, *bodies: str) -> None:
        """Inserts notices of a phone, numbered from 100 on, which the desktop does not have."""
        for number, body in enumerate(bodies, start=100):
            self.pair.target.execute(
                "INSERT INTO notices (notice_id, org_id, body, source) VALUES (%s, 1, %s, 'M')", [number, body]
            )


def figures(result: dg.ExecuteInProcessResult, table: str) -> dict[str, object]:
    """Returns the metadata of a materialization as plain values; a reverse table is `reverse/` and its name."""
    key = dg.AssetKey(table.split("/"))
    (event,) = (event for event in result.get_asset_materialization_events() if event.asset_key == key)
    metadata = event.step_materialization_data.materialization.metadata
    return {**figures_of(metadata), **{name: value.value for name, value in metadata.items()}}


def materialized(result: dg.ExecuteInProcessResult) -> set[str]:
    """Returns the tables that were synced; a full run records the state of the desktop's tables as well."""
    events = result.get_asset_materialization_events()
    return {
        event.asset_key.to_user_string() for event in events if event.asset_key and event.asset_key.path[0] != DESKTOP
    }


def attempts(result: dg.ExecuteInProcessResult, table: str) -> int:
    """Returns how often the step of a table began."""
    began = (dg.DagsterEventType.STEP_START, dg.DagsterEventType.STEP_RESTARTED)
    return sum(event.step_key == table and event.event_type in began for event in result.all_events)


def failure(result: dg.ExecuteInProcessResult, table: str) -> str:
    """Returns everything that Dagster keeps about the failure of a table."""
    (event,) = (event for event in result.get_step_failure_events() if event.step_key == table)
    return str(event.event_specific_data)
