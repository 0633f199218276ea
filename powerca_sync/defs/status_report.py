"""The asset `status_report`: what needs attention, the figures of `powerca-sync status` and the last runs."""

import zoneinfo
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from statistics import mean
from typing import Any, Final

import dagster as dg

from powerca_sync.defs.attention import Attention, find_attention, verdict
from powerca_sync.defs.keys import OWNERS, PRIORITY
from powerca_sync.defs.metadata import text_table
from powerca_sync.defs.partitions import build_check_spec, job_config, latest_event, office_of, partitions
from powerca_sync.defs.resources import SyncDatabases
from powerca_sync.defs.runs import REPORT, REPORT_JOB, PastRun, active_run, read_past_runs, recent_failures
from powerca_sync.defs.schedules import build_schedule
from powerca_sync.engine.status import Status, read_status
from powerca_sync.environment import choose_office
from powerca_sync.operations import STATUS_CRON, Alerting, Schedules
from powerca_sync.plain_text import counted
from powerca_sync.settings import Settings
from powerca_sync.specs import TableSpec

#: Runs that the figures cover, and of them those in the table.
RUNS: Final = 30
SHOWN: Final = 10
#: Seconds; it reads what a run reads at most, and writes nothing.
MAX_RUNTIME: Final = 15 * 60
#: Figures of phone rows.
PHONE_FIGURES: Final = (
    "waiting",
    "pulled",
    "quarantined",
    "conflicting",
    "unassigned",
    "changed_after_pull",
    "missing_after_pull",
)
#: Names of its checks.
SYNC_WORKS: Final = "sync_works"
ROWS_IN_ORDER: Final = "rows_in_order"


def build_status_report(specs: Sequence[TableSpec], schedules: Schedules, *, by_office: bool) -> dg.Definitions:
    """Returns the asset, its checks, its job and its schedule; part of no sync."""

    status_report = _build_report(specs, schedules, by_office=by_office)
    job = dg.define_asset_job(
        REPORT_JOB,
        selection=[REPORT],
        description="Brings the status report up to date; moves no rows.",
        config=job_config({}, by_office=by_office),
        executor_def=dg.in_process_executor,
        tags={"dagster/max_runtime": str(MAX_RUNTIME)},
    )
    if by_office:
        return dg.Definitions(assets=[status_report], jobs=[job])
    hourly = build_schedule(
        REPORT_JOB,
        schedules,
        STATUS_CRON,
        "Every hour: the status report.",
        not_beside=[REPORT_JOB],
        max_runtime=MAX_RUNTIME,
    )
    if hourly is None:
        return dg.Definitions(assets=[status_report], jobs=[job])
    return dg.Definitions(assets=[status_report], jobs=[job], schedules=[hourly], sensors=[_build_first_report()])


def _build_report(specs: Sequence[TableSpec], schedules: Schedules, *, by_office: bool) -> dg.AssetsDefinition:
    @dg.asset(
        key=REPORT,
        # In a run of all assets it is the last step, and shows what the others did.
        op_tags={PRIORITY: "-2"},
        group_name="reports",
        kinds={"report"},
        owners=OWNERS,
        partitions_def=partitions(by_office),
        description=(
            "The state of the sync, as of `powerca-sync status`: what needs attention, when each table was last "
            "synced, its rows, quarantined rows with their reasons, phone rows that are not on the desktop, and the "
            "last runs. It changes nothing."
        ),
        check_specs=[
            build_check_spec(
                SYNC_WORKS,
                asset=REPORT,
                description="Both databases answer, the last runs have succeeded, and no table is late.",
                by_office=by_office,
            ),
            build_check_spec(
                ROWS_IN_ORDER,
                asset=REPORT,
                description="No rows to look at: quarantined beyond the limit, unowned or pending.",
                by_office=by_office,
            ),
        ],
    )
    def status_report(
        context: dg.AssetExecutionContext, databases: SyncDatabases
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        """Read both databases and the history, and describe them."""
        # Dagster gives what the resource makes.
        assert isinstance(databases, Settings)
        now, key = datetime.now(UTC), office_of(context.run)
        chosen = choose_office(key) if key else None
        office = chosen.title if chosen else Alerting.from_env().office
        status = read_status(databases, specs)
        runs = read_past_runs(context.instance, most=RUNS, office=key)
        found = find_attention(specs, status, runs, now=now, by_office=by_office)
        zone = zoneinfo.ZoneInfo(chosen.timezone if chosen else schedules.timezone)
        yield dg.MaterializeResult(metadata=describe_status(status, runs, found, now=now, zone=zone, office=office))
        yield _check(SYNC_WORKS, [one for one in found if not one.rows])
        yield _check(ROWS_IN_ORDER, [one for one in found if one.rows])

    return status_report


def _build_first_report() -> dg.SensorDefinition:
    @dg.sensor(
        name="first_report",
        job_name=REPORT_JOB,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Requests the status report if it has never been made, without waiting for the schedule.",
    )
    def first_report(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        """Skip if a report exists or is on its way, and after a failure until its backoff is over."""
        if latest_event(context.instance, REPORT, None):
            return dg.SkipReason("There is a report; the schedule renews it.")
        if run := active_run(context.instance, REPORT_JOB, [REPORT], max_runtime=MAX_RUNTIME):
            return dg.SkipReason(f"Run {run.run_id} is active ({run.status.value.lower()}).")
        failures = recent_failures(context.instance, REPORT_JOB, [REPORT]).get(REPORT)
        if failures and (seconds := failures.remaining_backoff()):
            return dg.SkipReason(f"The last attempt failed. Next attempt in {seconds / 60:.0f} min.")
        return dg.RunRequest()

    return first_report


def _check(name: str, found: Sequence[Attention]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=name,
        passed=not found,
        description=verdict(found),
        metadata={"attention": _attention_table(found)} if found else {},
    )


def describe_status(
    status: Status,
    runs: Sequence[PastRun],
    found: Sequence[Attention],
    *,
    now: datetime,
    zone: tzinfo,
    office: str,
) -> Mapping[str, Any]:
    """Returns the metadata of the report: the verdict, tables to read, then figures that plot over time.

    Tables have neither lines nor columns of zeros only, and are narrow enough for Dagster's page of the asset in a
    window of 1600 pixels; times are those of the office.
    """
    tables = {
        "by_table": shown_table(_table_lines(status, zone)),
        "phone_rows_by_table": shown_table(_phone_lines(status)),
        "quarantine_by_reason": shown_table(_quarantine_lines(status)),
        "remarks": shown_table(_remark_lines(status)),
        "last_runs": shown_table([_run_line(run, zone) for run in runs[:SHOWN]]),
    }
    return {
        "verdict": verdict(found),
        **({"office": office} if office else {}),
        **({"attention": _attention_table(found)} if found else {}),
        **{name: table for name, table in tables.items() if table},
        **_figures(status, runs, now),
    }


def _figures(status: Status, runs: Sequence[PastRun], now: datetime) -> Mapping[str, int | float]:
    tables, phones = status.tables or (), status.phones or ()
    contents = [table.contents for table in tables if table.contents]
    ages = [(now - table.last_sync).total_seconds() / 3600 for table in tables if table.last_sync]
    seconds = {
        direction: [run.seconds for run in runs if run.direction == direction and run.seconds is not None]
        for direction in dict.fromkeys(run.direction for run in runs)
    }
    return {
        "tables": len(tables),
        "tables_with_errors": sum(bool(table.error) for table in tables),
        "tables_never_synced": sum(table.last_sync is None for table in tables),
        "desktop_rows": sum(one.desktop for one in contents),
        "phone_rows": sum(one.phone for one in contents),
        "other_rows": sum(one.other for one in contents),
        "quarantined_rows": sum(table.quarantined for table in tables),
        **{f"phone_rows_{name}": sum(getattr(table, name) for table in phones) for name in PHONE_FIGURES},
        **({"hours_since_oldest_sync": round(max(ages), 1)} if ages else {}),
        f"failed_of_last_{RUNS}_runs": len({run.run_id for run in runs if run.failed}),
        f"rows_written_by_last_{RUNS}_runs": sum(run.written for run in runs),
        **{f"mean_seconds_per_{direction}_run": round(mean(each), 1) for direction, each in seconds.items() if each},
    }


def _table_lines(status: Status, zone: tzinfo) -> list[dict[str, Any]]:
    """Returns a line for each table with rows of the desktop, or that was never synced.

    Phone rows are counted here only if they have no table of their own.
    """
    lines = [
        {
            "table": table.table,
            "last sync": moment_text(table.last_sync, zone) if table.last_sync else "never",
            "desktop": table.contents.desktop if table.contents else 0,
            "phones": table.contents.phone if table.contents and status.phones is None else 0,
            "quarantined": table.quarantined,
        }
        for table in status.tables or ()
    ]
    return [line for line in lines if line["last sync"] == "never" or any(list(line.values())[2:])]


def _remark_lines(status: Status) -> list[dict[str, Any]]:
    """Returns the rows on mobile that are unusual and need no attention."""
    return [
        {"table": table.table, "what": what}
        for table in status.tables or ()
        if table.contents
        for what in (
            *(
                [f"{counted(table.contents.administrator, 'row')} of an administrator"]
                * bool(table.contents.administrator)
            ),
            *(
                f"{counted(orphans.rows, 'row')} whose {orphans.column} is not in {orphans.parent}"
                for orphans in table.contents.orphans
            ),
        )
    ]


def _phone_lines(status: Status) -> list[dict[str, Any]]:
    lines = [
        {
            "table": table.table,
            "on mobile": table.phone_rows,
            **{name.replace("_", " "): getattr(table, name) for name in PHONE_FIGURES},
        }
        for table in status.phones or ()
    ]
    return [line for line in lines if any(list(line.values())[1:])]


def _quarantine_lines(status: Status) -> list[dict[str, Any]]:
    directions = (("mobile", status.tables or ()), ("desktop", status.phones or ()))
    lines = [
        {"table": table.table, "to": target, "rows": entry.rows, "reason": entry.why}
        for target, tables in directions
        for table in tables
        for entry in table.quarantine
        if not entry.deferred
    ]
    return sorted(lines, key=lambda line: -line["rows"])


def _run_line(run: PastRun, zone: tzinfo) -> dict[str, Any]:
    return {
        "started": moment_text(run.started, zone) if run.started else "",
        "job": run.name,
        "status": run.status,
        "wrote": run.written,
    }


def _attention_table(found: Sequence[Attention]) -> dg.TableMetadataValue:
    return text_table(("table", "what"), [(one.table or "(all)", one.what) for one in found])


def shown_table(lines: Sequence[Mapping[str, Any]]) -> dg.TableMetadataValue | None:
    """Returns the lines as a table without the columns in which no line has anything; None without lines."""
    if not lines:
        return None
    names = [name for name in lines[0] if any(line[name] for line in lines)]
    return text_table(names, [[line[name] for name in names] for line in lines])


def moment_text(moment: datetime, zone: tzinfo) -> str:
    """Returns date and time in that zone."""
    # With no-break spaces, so that Dagster keeps it in one line.
    return moment.astimezone(zone).strftime("%d\xa0%b\xa0%H:%M")
