"""What the last runs did, as figures over all of their tables."""

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import dagster as dg

from powerca_sync.defs.keys import REVERSE
from powerca_sync.defs.progress import figures_of

#: Tag of a job: which way its rows go.
DIRECTION: Final = "direction"
FORWARD: Final = "forward"
#: The asset that reports; its runs move no rows.
REPORT: Final = dg.AssetKey("status_report")
#: Its job; not the asset's own name, which Dagster has given to its step.
REPORT_JOB: Final = "report"
#: What a run is called that was started from an asset's page.
BY_HAND: Final = "by hand"
#: Figures of a table that are summed up; one of the other direction has none.
ROWS: Final = ("inserted", "updated", "deleted", "pulled", "quarantined", "conflicts")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PastRun:
    """What one run of the sync did, over all its tables."""

    run_id: str
    #: `BY_HAND` for what was started from an asset's page.
    job: str
    #: `forward` or `reverse`.
    direction: str
    status: str
    #: None if it has not started.
    started: datetime | None
    #: None if it has not ended.
    seconds: float | None
    #: Tables that were synced.
    tables: int
    inserted: int
    updated: int
    deleted: int
    #: Rows of phones brought to the desktop.
    pulled: int
    quarantined: int
    #: Of the phones' rows, those whose key the desktop has given to another row.
    conflicts: int


def read_past_runs(instance: dg.DagsterInstance, *, most: int = 30) -> tuple[PastRun, ...]:
    """The last runs that moved rows, or should have, the latest first."""
    # Runs of the report and of checks are among them.
    records = instance.get_run_records(limit=5 * most)
    moved = [(record, way) for record in records if (way := direction_of(record.dagster_run))]
    return tuple(_past_run(instance, record, way) for record, way in moved[:most])


def direction_of(run: dg.DagsterRun) -> str | None:
    """Which way a run moves rows, also if it was started by hand; None if it moves none."""
    if (tagged := run.tags.get(DIRECTION)) in (FORWARD, REVERSE):
        return tagged
    keys = (run.asset_selection or frozenset()) - {REPORT}
    if not keys:
        return None
    return REVERSE if all(key.path[0] == REVERSE for key in keys) else FORWARD


def is_report(run: dg.DagsterRun) -> bool:
    """Whether a run only makes the report, by its job or by hand."""
    return run.job_name == REPORT_JOB or run.asset_selection == {REPORT}


def _past_run(instance: dg.DagsterInstance, record: dg.RunRecord, direction: str) -> PastRun:
    run, began, ended = record.dagster_run, record.start_time, record.end_time
    synced = _synced(instance, run.run_id)
    return PastRun(
        run_id=run.run_id,
        job=BY_HAND if run.job_name.startswith("__") else run.job_name,
        direction=direction,
        status=run.status.value,
        started=None if began is None else datetime.fromtimestamp(began, UTC),
        seconds=None if began is None or ended is None else ended - began,
        tables=len(synced),
        **{name: sum(int(figures.get(name, 0)) for figures in synced) for name in ROWS},
    )


def _synced(instance: dg.DagsterInstance, run_id: str) -> Sequence[dict[str, int | float | str]]:
    records = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION).records
    landed = (record.asset_materialization for record in records)
    return [figures_of(materialization.metadata) for materialization in landed if materialization is not None]
