"""The sensor that starts a forward run when the desktop's tables have changed."""

import contextlib
import dataclasses
import json
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import dagster as dg

from powerca_sync.defs.connections import PATIENCE, brief, without_row_content
from powerca_sync.defs.jobs import MAX_RUNTIME, forward_job_name
from powerca_sync.defs.keys import mobile_key
from powerca_sync.defs.metadata import rejections_of
from powerca_sync.defs.partitions import latest_event
from powerca_sync.defs.runs import active_run, recent_failures
from powerca_sync.defs.sensors import INTERVAL, describe_backoff
from powerca_sync.engine.changes import ChangeToken, read_changes
from powerca_sync.engine.postgres import connect
from powerca_sync.engine.requests import Mode
from powerca_sync.environment import current_settings
from powerca_sync.plain_text import counted
from powerca_sync.settings import DesktopFunctions
from powerca_sync.specs import TableSpec, in_order

#: Name of the sensor, by which Dagster tags the runs that it requests.
DESKTOP_ROWS: Final = "desktop_rows"
FULL, INCREMENTAL = forward_job_name(Mode.FULL), forward_job_name(Mode.INCREMENTAL)
#: Seconds after which a table that loses rows all the time is synced all the same, within the limits of the guards.
LONGEST_WAIT: Final = 300.0


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Watched:
    """The sensor's record of a table, kept in its cursor from one tick to the next."""

    token: str
    removals: str
    #: When the token was read first, in seconds since 1970; None once a run that began later has synced the table.
    since: float | None
    #: When rows were first seen to vanish; None once the table has been still for a tick.
    vanished: float | None = None

    def is_still(self, now: float) -> bool:
        """Returns whether no row has vanished lately, so that the table may be synced."""
        return self.vanished is None or now - self.vanished > LONGEST_WAIT


def build_desktop_sensor(
    specs: Sequence[TableSpec], functions: DesktopFunctions, *, checks: Collection[dg.AssetCheckKey] = ()
) -> dg.SensorDefinition:
    """Returns the sensor `desktop_rows`, running from the start. Its runs evaluate these checks of their tables.

    They never call the function that refreshes the desktop's tables. With one, tables change when it is called, which
    is what the schedules do; only views are watched, because their tokens are those of the tables below.
    """

    @dg.sensor(
        name=DESKTOP_ROWS,
        job_name=INCREMENTAL,
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Every half minute: requests an incremental run of the tables that changed on the desktop, and of those "
            "whose quarantined rows reference them. A table that lost rows is requested once it has been still for "
            "half a minute, because it may be being rebuilt. After a failure a table is skipped for 2 minutes up to an "
            "hour. A failed tick means that the desktop did not answer within seconds; nothing is lost. First loads, "
            "and changes that the desktop does not count, are left to the schedules."
        ),
    )
    def desktop_rows(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        """Skip while a forward run is active; otherwise request the tables that changed.

        Nothing depends on the fate of a request: a table is pending until a run that began after its token was read has
        synced it.
        """
        keys = {spec.mobile: mobile_key(spec) for spec in specs}
        for job in (FULL, INCREMENTAL):
            if run := active_run(context.instance, job, list(keys.values()), max_runtime=MAX_RUNTIME):
                return dg.SkipReason(f"Run {run.run_id} is active ({run.status.value.lower()}).")
        tokens = [unless_refreshed(token, functions) for token in look(specs)]
        watched, answer = decide(context.instance, specs, read_watched(context.cursor), tokens, checks=checks)
        context.update_cursor(write_watched(watched))
        return answer

    return desktop_rows


def unless_refreshed(token: ChangeToken, functions: DesktopFunctions) -> ChangeToken:
    """Returns the token, without its text if the relation is one that the office's function may fill."""
    if functions.before_forward is None or token.is_view:
        return token
    return dataclasses.replace(token, text="", blind=f"filled by `{functions.before_forward}`")


def decide(
    instance: dg.DagsterInstance,
    specs: Sequence[TableSpec],
    last: Mapping[str, Watched],
    tokens: Sequence[ChangeToken],
    *,
    checks: Collection[dg.AssetCheckKey] = (),
    office: str | None = None,
) -> tuple[Mapping[str, Watched], dg.RunRequest | dg.SkipReason]:
    """Returns what to remember of the tables, and the request of those that changed; leaves out tables in backoff.

    `last` is what was remembered. The run evaluates the `checks` of its tables. `office` is the one whose desktop has
    these tokens, where there are several.
    """
    now = time.time()
    keys = {spec.mobile: mobile_key(spec) for spec in specs}
    watched = _settle(instance, keys, _compare(last, tokens, now), office)
    unknown = _describe_blind(tokens)
    pending = [table for table, one in watched.items() if one.since is not None]
    if not pending:
        return watched, dg.SkipReason(
            f"Nothing new: {counted(len(watched), 'table')} unchanged since the last run.{unknown}"
        )
    ready = [table for table in pending if watched[table].is_still(now)]
    if not ready:
        named = ", ".join(f"`{table}`" for table in pending)
        return watched, dg.SkipReason(
            f"Rows vanished from {named}; the next tick sees whether they come back.{unknown}"
        )
    wanted = [keys[table] for table in _with_dependents(instance, specs, ready, office)]
    failures = recent_failures(instance, INCREMENTAL, wanted, office=office)
    backoff = {key: seconds for key, failed in failures.items() if (seconds := failed.remaining_backoff())}
    requested = [key for key in wanted if key not in backoff]
    if not {keys[table] for table in ready}.intersection(requested):
        waits = describe_backoff(keys, backoff)
        return watched, dg.SkipReason(f"Tables changed, but the last attempts failed. Next attempt: {waits}.{unknown}")
    evaluated = [check for check in checks if check.asset_key in requested]
    return watched, dg.RunRequest(asset_selection=requested, asset_check_keys=evaluated)


def look(specs: Sequence[TableSpec]) -> tuple[ChangeToken, ...]:
    """Returns the desktop's tokens. Raises a `SyncError` if it does not answer in seconds."""
    desktop = brief(current_settings().desktop)
    with without_row_content(), contextlib.closing(connect(desktop)) as source:
        return read_changes(source, specs, seconds=PATIENCE).tokens


def read_watched(cursor: str | None) -> Mapping[str, Watched]:
    """Returns what the last tick remembered; nothing if the cursor is empty or was written by another version."""
    try:
        return {table: Watched(**fields) for table, fields in json.loads(cursor or "{}").items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def write_watched(watched: Mapping[str, Watched]) -> str:
    """Returns the text that `read_watched` reads."""
    return json.dumps({table: dataclasses.asdict(one) for table, one in watched.items()})


def _compare(last: Mapping[str, Watched], tokens: Sequence[ChangeToken], now: float) -> dict[str, Watched]:
    """Returns the tables that have a token; those whose token has moved, or is the first, are pending since now."""
    watched = {}
    for token in tokens:
        if not token.text:
            continue
        before = last.get(token.table)
        if before is not None and before.token == token.text:
            watched[token.table] = dataclasses.replace(before, vanished=None) if before.vanished else before
            continue
        vanished = before.vanished if before else None
        if vanished is None and before is not None and before.removals != token.removals:
            vanished = now
        watched[token.table] = Watched(token=token.text, removals=token.removals, since=now, vanished=vanished)
    return watched


def _settle(
    instance: dg.DagsterInstance,
    keys: Mapping[str, dg.AssetKey],
    watched: Mapping[str, Watched],
    office: str | None,
) -> dict[str, Watched]:
    """Returns the tables with `since` None where a run has synced the table since, or none ever has."""
    began: dict[str, float] = {}
    settled = {}
    for table, one in watched.items():
        since = one.since
        if since is not None:
            event = latest_event(instance, keys[table], office)
            if event is None:
                # The first load is left to a person or a schedule; it settles the table.
                since = None
            else:
                if event.run_id not in began:
                    record = instance.get_run_record_by_id(event.run_id)
                    began[event.run_id] = (record and record.start_time) or event.timestamp
                since = None if began[event.run_id] > since else since
        settled[table] = one if one.since == since else dataclasses.replace(one, since=since)
    return settled


def _with_dependents(
    instance: dg.DagsterInstance, specs: Sequence[TableSpec], changed: Collection[str], office: str | None
) -> Sequence[str]:
    """Returns the changed tables and those whose quarantined rows reference them, directly or not, parents first."""
    wanted = set(changed)
    ordered = in_order(specs)
    for spec in ordered:
        if spec.mobile in wanted or not wanted.intersection(spec.depends_on):
            continue
        event = latest_event(instance, mobile_key(spec), office)
        metadata: Mapping[str, dg.MetadataValue[Any]] = (
            event.asset_materialization.metadata if event and event.asset_materialization else {}
        )
        if any(rejection.parent in wanted for rejection in rejections_of(metadata)):
            wanted.add(spec.mobile)
    return [spec.mobile for spec in ordered if spec.mobile in wanted]


def _describe_blind(tokens: Sequence[ChangeToken]) -> str:
    """Returns a sentence about tables that rely on the schedule, with a space before it; empty if there are none."""
    reasons: dict[str, list[str]] = {}
    for token in tokens:
        if token.blind:
            reasons.setdefault(token.blind, []).append(f"`{token.table}`")
    said = "; ".join(f"{', '.join(tables)} ({reason})" for reason, tables in reasons.items())
    return f" These rely on the schedule: {said}." if said else ""
