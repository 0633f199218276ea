"""The sensor that starts reverse sync when mobile has new phone rows."""

from collections.abc import Mapping, Sequence

import dagster as dg

from powerca_sync.defs.connections import PATIENCE, brief, without_row_content
from powerca_sync.defs.jobs import REVERSE_JOB, REVERSE_MAX_RUNTIME
from powerca_sync.defs.keys import BOOKING, reverse_key
from powerca_sync.defs.reverse_assets import pulled_tables
from powerca_sync.defs.runs import active_run, recent_failures
from powerca_sync.engine.postgres import connect_both
from powerca_sync.engine.reverse import PendingTables, find_pending_tables
from powerca_sync.environment import current_settings
from powerca_sync.plain_text import counted
from powerca_sync.settings import DesktopFunctions
from powerca_sync.specs import TableSpec

#: Seconds between two evaluations.
INTERVAL = 30


def build_sensors(specs: Sequence[TableSpec], functions: DesktopFunctions) -> list[dg.SensorDefinition]:
    """Returns the sensor `mobile_rows`, running from the start, if any table is reverse-synced."""
    pulled = pulled_tables(specs)
    return [_mobile_rows(specs, pulled, books=functions.after_reverse is not None)] if pulled else []


def _mobile_rows(specs: Sequence[TableSpec], pulled: Sequence[TableSpec], *, books: bool) -> dg.SensorDefinition:
    keys = {spec.mobile: reverse_key(spec) for spec in pulled}

    @dg.sensor(
        name="mobile_rows",
        job_name=REVERSE_JOB,
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Every half minute: requests a reverse run of the tables with new phone rows, except those that are "
            "reverse-synced by hand only. After a failure a table is skipped for 2 minutes up to an hour. A failed "
            "tick means that a database did not answer within seconds; nothing is lost."
        ),
    )
    def mobile_rows(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        """Skip while a reverse run is active; otherwise request the tables with new phone rows."""
        if run := active_run(context.instance, REVERSE_JOB, list(keys.values()), max_runtime=REVERSE_MAX_RUNTIME):
            return dg.SkipReason(f"Run {run.run_id} is active ({run.status.value.lower()}).")
        found = look(specs)
        if found.by_hand:
            context.log.warning(_by_hand(found.by_hand))
        return decide(context.instance, keys, found, books=books)

    return mobile_rows


def _request_booking(instance: dg.DagsterInstance, unbooked: int, office: str | None) -> dg.RunRequest | dg.SkipReason:
    """Requests the office's booking alone, after a run that inserted rows and did not book them; with backoff."""
    failures = recent_failures(instance, REVERSE_JOB, [BOOKING], office=office)
    if BOOKING in failures and (seconds := failures[BOOKING].remaining_backoff()):
        rows = counted(unbooked, "phone row")
        return dg.SkipReason(f"Not booked: {rows}, because the booking failed. Next attempt in {seconds / 60:.0f} min.")
    return dg.RunRequest(asset_selection=[BOOKING])


def decide(
    instance: dg.DagsterInstance,
    keys: Mapping[str, dg.AssetKey],
    found: PendingTables,
    *,
    books: bool = False,
    office: str | None = None,
) -> dg.RunRequest | dg.SkipReason:
    """Returns the request of the tables with pending phone rows; leaves out tables in backoff.

    `keys` are the assets of the tables, `office` the one whose tables are pending, where there are several. With
    `books`, the office's function books the rows afterwards. The request has no run key: Dagster would never again run
    what has run once, or failed once, under it.
    """
    last = [BOOKING] if books else []
    pending = [table for table in found.pending if table in keys]
    if not pending:
        if last and found.unbooked:
            return _request_booking(instance, found.unbooked, office)
        if found.by_hand:
            return dg.SkipReason(_by_hand(found.by_hand))
        return dg.SkipReason(
            f"Nothing new: {counted(sum(found.rows.values()), 'phone row')} on mobile, all seen by the last run."
        )
    failures = recent_failures(instance, REVERSE_JOB, [keys[table] for table in pending], office=office)
    backoff = {
        keys[table]: failures[keys[table]].remaining_backoff() if keys[table] in failures else 0.0 for table in pending
    }
    ready = [table for table in pending if not backoff[keys[table]]]
    if not ready:
        if last and found.unbooked:
            return _request_booking(instance, found.unbooked, office)
        waits = describe_backoff(keys, backoff)
        return dg.SkipReason(f"Phone rows are pending, but the last attempts failed. Next attempt: {waits}.")
    return dg.RunRequest(asset_selection=[*(keys[table] for table in ready), *last])


def describe_backoff(keys: Mapping[str, dg.AssetKey], backoff: Mapping[dg.AssetKey, float]) -> str:
    """Returns the tables with the minutes until their next attempt, from the remaining seconds of their `keys`."""
    return ", ".join(f"`{table}` in {backoff[key] / 60:.0f} min" for table, key in keys.items() if key in backoff)


def _by_hand(tables: Sequence[str]) -> str:
    """Returns a sentence about pending phone rows that the sensor does not request."""
    named = ", ".join(f"`{table}`" for table in tables)
    return (
        f"Pending: new phone rows of {named}, reverse-synced by hand only. Look at them, then run `{REVERSE_JOB}` or "
        "`powerca-sync reverse`."
    )


def look(specs: Sequence[TableSpec]) -> PendingTables:
    """Returns the tables with pending phone rows. Raises a `SyncError` if a database does not answer in seconds."""
    settings = current_settings()
    with without_row_content(), connect_both(brief(settings.desktop), brief(settings.mobile)) as (target, source):
        return find_pending_tables(source=source, target=target, specs=specs, seconds=PATIENCE)
