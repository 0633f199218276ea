"""Reads Dagster's run history: active runs, the backoff of tables that failed, and the figures of past runs.

Nothing is stored besides Dagster's own records.
"""

import dataclasses
import itertools
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import dagster as dg

from powerca_sync.defs.keys import BOOKING, DESKTOP, REFRESH, REVERSE
from powerca_sync.defs.metadata import figures_of
from powerca_sync.defs.partitions import latest_event, office_of, office_tags

#: Tag of a job: which way its rows go.
DIRECTION: Final = "direction"
FORWARD: Final = "forward"
#: The assets that report, on an office and on all of them; their runs move no rows.
REPORT, OVERVIEW = dg.AssetKey("status_report"), dg.AssetKey("offices")
#: Of the overview's checks, the one of which no run of an office tells: that nothing runs at all.
FRESH: Final = "fresh"
#: Their jobs; not an asset's own name, which Dagster has given to its step.
REPORT_JOB, OVERVIEW_JOB = "report", "overview"
#: What a run is called that was started from an asset's page.
BY_HAND: Final = "by hand"
#: Figures of a run, and those of its tables that it sums up; a table of the other direction has none.
ROWS: Final = {
    **{name: (name,) for name in ("inserted", "updated", "deleted", "pulled", "conflicts")},
    "quarantined": ("quarantined", "conflicts", "lookalikes"),
}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PastRun:
    """Totals of one run over all of its tables of one direction; a run of both directions has two."""

    run_id: str
    #: `BY_HAND` for what was started from an asset's page.
    job: str
    #: `forward` or `reverse`.
    direction: str
    #: Of the run; of a run of both directions, `SUCCESS` if all tables of this one were synced.
    status: str
    #: None if it has not started.
    started: datetime | None
    #: Of the run, or of the tables of this direction; None if the run has not ended.
    seconds: float | None
    #: Tables that were synced.
    tables: int
    inserted: int
    updated: int
    deleted: int
    #: Rows of phones brought to the desktop.
    pulled: int
    #: Conflicts and look-alikes included, as in the status.
    quarantined: int
    #: Of the phones' rows, those whose key the desktop has given to another row.
    conflicts: int

    @property
    def name(self) -> str:
        """The job, or the direction of a run that was started from an asset's page."""
        return f"{self.direction} {BY_HAND}" if self.job == BY_HAND else self.job

    @property
    def written(self) -> int:
        """Rows inserted, updated or deleted in either database."""
        return self.inserted + self.updated + self.deleted + self.pulled

    @property
    def failed(self) -> bool:
        """It failed; a run that is queued, active or cancelled has not."""
        return self.status == dg.DagsterRunStatus.FAILURE.value


def read_past_runs(
    instance: dg.DagsterInstance, *, most: int = 30, office: str | None = None, figures: bool = True
) -> tuple[PastRun, ...]:
    """Returns the last runs that moved rows, or should have, the latest first; with `office`, only its own.

    Without `figures` tables and rows are 0, and the events of runs of one direction are not read.
    """
    # Runs of the report and of checks are among them.
    records = instance.get_run_records(dg.RunsFilter(tags=office_tags(office)), limit=5 * most)
    moved = ((record, ways) for record in records if (ways := directions_of(instance, record.dagster_run)))
    return tuple(
        past for record, ways in itertools.islice(moved, most) for past in _past_runs(instance, record, ways, figures)
    )


def directions_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> tuple[str, ...]:
    """Returns the directions of a run, however it was started: none if it syncs no table, both if it mixes them."""
    if (tagged := run.tags.get(DIRECTION)) in (FORWARD, REVERSE):
        return (tagged,)
    if is_report(run):
        return ()
    found = {_direction(key) for key in _selected(instance, run)}
    return tuple(direction for direction in (FORWARD, REVERSE) if direction in found)


def _selected(instance: dg.DagsterInstance, run: dg.DagsterRun) -> frozenset[dg.AssetKey]:
    """Returns the assets that a run materializes; those of a job that somebody else defined stand in its events."""
    if run.asset_selection:
        return frozenset(run.asset_selection)
    records = instance.get_records_for_run(
        run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
    ).records
    events = (record.event_log_entry.dagster_event for record in records)
    return frozenset(event.asset_key for event in events if event is not None and event.asset_key is not None)


def _direction(key: dg.AssetKey) -> str | None:
    """Returns the direction of an asset; None for the reports and for the desktop's tables, which are only read."""
    if key in (REPORT, OVERVIEW) or key.path[0] == DESKTOP:
        return None
    return REVERSE if key.path[0] == REVERSE or key == BOOKING else FORWARD


def is_report(run: dg.DagsterRun) -> bool:
    """Returns whether a run materializes only a report."""
    return run.job_name in (REPORT_JOB, OVERVIEW_JOB) or run.asset_selection in ({REPORT}, {OVERVIEW})


def _past_runs(
    instance: dg.DagsterInstance, record: dg.RunRecord, directions: Sequence[str], figures: bool
) -> Iterator[PastRun]:
    run, began, ended = record.dagster_run, record.start_time, record.end_time
    synced = _synced(instance, run.run_id) if figures or len(directions) > 1 else {}
    for direction in directions:
        tables = synced.get(direction, [])
        seconds = None if began is None or ended is None else ended - began
        status = run.status.value
        if len(directions) > 1:
            selected = {key for key in _selected(instance, run) - {REFRESH, BOOKING} if _direction(key) == direction}
            seconds = None if seconds is None else sum(float(table.get("seconds", 0)) for table in tables)
            status = status if len(tables) < len(selected) else dg.DagsterRunStatus.SUCCESS.value
        yield PastRun(
            run_id=run.run_id,
            job=BY_HAND if run.job_name.startswith("__") else run.job_name,
            direction=direction,
            status=status,
            started=None if began is None else datetime.fromtimestamp(began, UTC),
            seconds=seconds,
            tables=len(tables),
            **{
                name: sum(int(table.get(one, 0)) for table in tables for one in summands)
                for name, summands in ROWS.items()
            },
        )


def _synced(instance: dg.DagsterInstance, run_id: str) -> Mapping[str | None, list[dict[str, int | float | str]]]:
    """Returns the figures of each table that a run synced, by direction."""
    synced = defaultdict(list)
    for record in instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION).records:
        one = record.asset_materialization
        if one is not None and one.asset_key not in (REFRESH, BOOKING):
            synced[_direction(one.asset_key)].append(figures_of(one.metadata))
    return synced


def offices_with_failures(instance: dg.DagsterInstance, *, since: datetime) -> set[str]:
    """Returns the offices of which a run has failed since then."""
    failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=since)
    return {office for run in instance.get_runs(failed) if (office := office_of(run))}


_WAITING: Final = (dg.DagsterRunStatus.QUEUED,)
_RUNNING: Final = (
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


def active_run(
    instance: dg.DagsterInstance,
    job: str,
    keys: Collection[dg.AssetKey],
    *,
    max_runtime: float,
    besides: str | None = None,
) -> dg.DagsterRun | None:
    """Returns a queued or active run of the job or of some of its assets; None if no such run exists.

    Runs that the sensor `besides` has requested do not count.
    """
    for run in _active_runs(instance, max_runtime):
        concerned = run.job_name == job or any(key in keys for key in run.asset_selection or ())
        if concerned and not (besides and run.tags.get("dagster/sensor_name") == besides):
            return run
    return None


def busy_offices(instance: dg.DagsterInstance, *, max_runtime: float) -> set[str]:
    """Returns the offices that have a queued or active run of any job."""
    return {office for run in _active_runs(instance, max_runtime) if (office := office_of(run))}


def _active_runs(instance: dg.DagsterInstance, max_runtime: float) -> Iterator[dg.DagsterRun]:
    """Yields the queued and active runs.

    A run that began longer ago than it may take is none: its process was killed, and nobody told Dagster.
    """
    oldest = time.time() - max_runtime
    for record in instance.get_run_records(dg.RunsFilter(statuses=[*_WAITING, *_RUNNING])):
        began = record.start_time or record.create_timestamp.timestamp()
        if record.dagster_run.status in _WAITING or began > oldest:
            yield record.dagster_run


#: Seconds after the first failure, and at most; each further one doubles them.
FIRST_REST, LONGEST_REST = 120.0, 3600.0
FAILED = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
#: So many failed runs are looked at, the newest first; the rest is the longest after six.
DEPTH = 30


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Failures:
    """The failures of a table since its last success."""

    #: Runs in which it failed, one after the other.
    count: int
    #: When the last of them ended, in seconds since 1970.
    last: float

    def remaining_backoff(self, *, now: float | None = None) -> float:
        """Seconds that the table still has to rest."""
        whole = min(FIRST_REST * 2.0 ** (self.count - 1), LONGEST_REST)
        return max(self.last + whole - (time.time() if now is None else now), 0.0)


def recent_failures(
    instance: dg.DagsterInstance, job: str, keys: Sequence[dg.AssetKey], *, office: str | None = None
) -> Mapping[dg.AssetKey, Failures]:
    """Returns the assets that failed in the last runs of the job (with `office`, its own), and how often.

    A success ends the count. An asset that was skipped because another one failed has not failed. If no asset failed
    and the run did (it was cancelled, or its process was killed), all have that did not land.
    """
    succeeded = {key: _last_success(instance, key, office) for key in keys}
    ends = defaultdict(list)
    failed = dg.RunsFilter(job_name=job, statuses=list(FAILED), tags=office_tags(office))
    for record in instance.get_run_records(failed, limit=DEPTH):
        ended = record.end_time or record.update_timestamp.timestamp()
        for key in _failed_in(instance, record.dagster_run, keys):
            if ended > succeeded[key]:
                ends[key].append(ended)
    return {key: Failures(count=len(times), last=max(times)) for key, times in ends.items()}


def _last_success(instance: dg.DagsterInstance, key: dg.AssetKey, office: str | None) -> float:
    event = latest_event(instance, key, office)
    return event.timestamp if event else 0.0


def _failed_in(instance: dg.DagsterInstance, run: dg.DagsterRun, keys: Sequence[dg.AssetKey]) -> list[dg.AssetKey]:
    steps = {step.step_key: step.status for step in instance.get_run_step_stats(run.run_id)}
    ended = {key: getattr(steps.get(key.to_python_identifier()), "value", None) for key in keys}
    selected = [key for key in keys if not run.asset_selection or key in run.asset_selection]
    if any(getattr(status, "value", None) == "FAILURE" for status in steps.values()):
        return [key for key in selected if ended[key] == "FAILURE"]
    return [key for key in selected if ended[key] != "SUCCESS"]
