"""The page that an administrator looks at in the morning: the figures of `powerca-sync status`, and the last runs."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import dagster as dg
import pandas as pd

from powerca_sync.defs.keys import OWNERS
from powerca_sync.defs.metadata import text_table
from powerca_sync.defs.resources import SyncDatabases
from powerca_sync.defs.runs import REPORT, REPORT_JOB, PastRun, read_past_runs
from powerca_sync.defs.schedules import build_schedule
from powerca_sync.engine.status import Status, read_status
from powerca_sync.operations import STATUS_CRON, Schedules
from powerca_sync.settings import Settings
from powerca_sync.tables import TableSpec

#: Runs that the report lists.
RUNS: Final = 30
#: Seconds; it reads what a run reads at most, and writes nothing.
MAX_RUNTIME: Final = 15 * 60


def build_status_report(specs: Sequence[TableSpec], schedules: Schedules) -> dg.Definitions:
    """The asset, its job and its schedule; part of no sync."""

    @dg.asset(
        key=REPORT,
        group_name="reports",
        kinds={"pandas"},
        owners=OWNERS,
        description=(
            "How the sync stands: when each table was last synced, its rows, what waits in quarantine and why, which "
            "phone rows have not come back, and the last runs. The same as `powerca-sync status`. It changes nothing."
        ),
    )
    def status_report(context: dg.AssetExecutionContext, databases: SyncDatabases) -> dg.MaterializeResult[None]:
        """Read both sides and the history, and describe them."""
        # Dagster gives what the resource makes.
        assert isinstance(databases, Settings)
        status = read_status(databases, specs)
        runs = read_past_runs(context.instance, most=RUNS)
        return dg.MaterializeResult(metadata=describe_status(status, runs, now=datetime.now(UTC)))

    job = dg.define_asset_job(
        REPORT_JOB,
        selection=[REPORT],
        description="Brings the status report up to date; moves no rows.",
        executor_def=dg.in_process_executor,
        tags={"dagster/max_runtime": str(MAX_RUNTIME)},
    )
    hourly = build_schedule(
        REPORT_JOB,
        schedules,
        STATUS_CRON,
        "Every hour: the status report.",
        not_beside=[REPORT_JOB],
        max_runtime=MAX_RUNTIME,
    )
    return dg.Definitions(assets=[status_report], jobs=[job], schedules=[hourly] if hourly else [])


def describe_status(status: Status, runs: Sequence[PastRun], *, now: datetime) -> Mapping[str, Any]:
    """Metadata: numbers that plot over time, then tables to read."""
    tables, phones = tables_frame(status, now), phones_frame(status)
    quarantine, past = quarantine_frame(status), runs_frame(runs)
    described: dict[str, Any] = {
        "tables": len(tables),
        "tables_with_errors": int((tables["error"] != "").sum()),
        "tables_never_synced": int(tables["hours since"].isna().sum()),
        "desktop_rows": int(tables["desktop rows"].sum()),
        "phone_rows": int(tables["phone rows"].sum()),
        "other_rows": int(tables["other rows"].sum()),
        "quarantined": int(quarantine["rows"].sum()),
        **{f"phone_rows_{name}": int(phones[name].sum()) for name in PHONE_FIGURES},
        "runs_failed": int((past["status"] != "SUCCESS").sum()),
        "rows_written": int(past[["inserted", "updated", "deleted", "pulled"]].sum().sum()),
    }
    if (oldest := tables["hours since"].max()) == oldest:
        described["hours_since_oldest_sync"] = float(oldest)
    for direction, seconds in past.groupby("direction")["seconds"].mean().dropna().items():
        described[f"seconds_per_{direction}_run"] = float(seconds)
    if status.problem:
        described["problem"] = status.problem
    if status.refusal:
        described["desktop_refused"] = status.refusal
    frames = {"by_table": tables, "phone_rows_by_table": phones, "quarantine_by_reason": quarantine, "last_runs": past}
    described |= {name: _shown(frame) for name, frame in frames.items() if len(frame)}
    return described


#: Of the phones' rows, what the report counts.
PHONE_FIGURES: Final = ("waiting", "pulled", "conflicting", "unassigned", "changed_after_pull", "missing_after_pull")


def tables_frame(status: Status, now: datetime) -> pd.DataFrame:
    """One line for each table that is synced."""
    return pd.DataFrame(
        [
            {
                "table": table.table,
                "hours since": None if table.last_sync is None else (now - table.last_sync).total_seconds() / 3600,
                "mode": table.mode or "",
                "seconds": table.seconds,
                "desktop rows": table.contents.desktop if table.contents else 0,
                "phone rows": table.contents.phone if table.contents else 0,
                "other rows": table.contents.other if table.contents else 0,
                "quarantined": sum(entry.rows for entry in table.quarantine),
                "without parent": sum(orphans.rows for orphans in table.contents.orphans) if table.contents else 0,
                "error": table.error or "",
            }
            for table in status.tables or ()
        ],
        columns=[
            *("table", "hours since", "mode", "seconds", "desktop rows", "phone rows", "other rows"),
            *("quarantined", "without parent", "error"),
        ],
    ).astype({"hours since": "float64", "seconds": "float64"})


def phones_frame(status: Status) -> pd.DataFrame:
    """One line for each table whose phone rows come back; none if the desktop could not be asked."""
    return pd.DataFrame(
        [
            {
                "table": table.table,
                "on mobile": table.phone_rows,
                **{name: getattr(table, name) for name in PHONE_FIGURES},
                "quarantined": sum(entry.rows for entry in table.quarantine),
                "error": table.error or "",
            }
            for table in status.phones or ()
        ],
        columns=["table", "on mobile", *PHONE_FIGURES, "quarantined", "error"],
    )


def quarantine_frame(status: Status) -> pd.DataFrame:
    """One line for each reason for which rows of a table wait, on either side; most rows first."""
    sides = (("to mobile", status.tables or ()), ("to the desktop", status.phones or ()))
    frame = pd.DataFrame(
        [
            {"table": table.table, "way": way, "rows": entry.rows, "reason": str(entry)}
            for way, tables in sides
            for table in tables
            for entry in table.quarantine
        ],
        columns=["table", "way", "rows", "reason"],
    )
    return frame.sort_values("rows", ascending=False, kind="stable")


def runs_frame(runs: Sequence[PastRun]) -> pd.DataFrame:
    """One line for each of the last runs, the latest first."""
    columns = [
        *("started", "job", "status", "seconds", "tables", "inserted", "updated", "deleted", "pulled"),
        *("quarantined", "conflicts", "direction", "run_id"),
    ]
    frame = pd.DataFrame([{name: getattr(run, name) for name in columns} for run in runs], columns=columns)
    return frame.astype({"seconds": "float64"})


def _shown(frame: pd.DataFrame) -> dg.TableMetadataValue:
    return text_table(list(frame.columns), [[_text(value) for value in row] for row in frame.itertuples(index=False)])


def _text(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M UTC")
    if isinstance(value, float):
        return f"{value:.1f}" if value == value else ""
    return value
