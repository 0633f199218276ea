"""What runs because something happened: phones made rows."""

import contextlib
import dataclasses
from collections.abc import Sequence

import dagster as dg

from powerca_sync.defs.jobs import REVERSE_JOB, REVERSE_MAX_RUNTIME
from powerca_sync.defs.keys import reverse_key
from powerca_sync.defs.reverse_assets import pulled_tables
from powerca_sync.defs.runs import active_run, recent_failures
from powerca_sync.engine.postgres import connect, strip_row_content
from powerca_sync.engine.reverse import PendingTables, find_pending_tables
from powerca_sync.environment import current_settings
from powerca_sync.errors import SyncError
from powerca_sync.tables import TableSpec

#: Seconds between two looks, and for each step of one: to connect, and to ask.
INTERVAL = 30
PATIENCE = 5


def build_sensors(specs: Sequence[TableSpec]) -> list[dg.SensorDefinition]:
    """The sensor `mobile_rows`, running from the start, if phone rows of any table are brought back."""
    pulled = pulled_tables(specs)
    return [_mobile_rows(specs, pulled)] if pulled else []


def _mobile_rows(specs: Sequence[TableSpec], pulled: Sequence[TableSpec]) -> dg.SensorDefinition:
    keys = {spec.mobile: reverse_key(spec.mobile) for spec in pulled}

    @dg.sensor(
        name="mobile_rows",
        job_name=REVERSE_JOB,
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Looks every half minute whether phones have made rows that the desktop does not have, and brings back the "
            "tables that have some, except those that are reverse-synced by hand only. After a failure a table waits, "
            "from 2 minutes up to an hour. A red tick means that a database did not answer within seconds; nothing is "
            "lost by it."
        ),
    )
    def mobile_rows(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        """1. Leave a run that is under way alone. 2. Look. 3. Hold back what failed a moment ago. 4. Ask for the rest.

        The request has no run key: Dagster would never again run what has run once, or failed once, under it.
        """
        if run := active_run(context.instance, REVERSE_JOB, list(keys.values()), max_runtime=REVERSE_MAX_RUNTIME):
            return dg.SkipReason(f"Run {run.run_id} is bringing phone rows back ({run.status.value.lower()}).")
        found = look(specs)
        pending = [table for table in found.pending if table in keys]
        if found.by_hand:
            context.log.warning(_by_hand(found.by_hand))
        if not pending:
            if found.by_hand:
                return dg.SkipReason(_by_hand(found.by_hand))
            return dg.SkipReason(f"Nothing new: all {sum(found.rows.values())} phone rows were there at the last pull.")
        failures = recent_failures(context.instance, REVERSE_JOB, [keys[table] for table in pending])
        rests = {table: failures[keys[table]].rest() if keys[table] in failures else 0.0 for table in pending}
        ready = [table for table in pending if not rests[table]]
        if not ready:
            resting = ", ".join(f"`{table}` in {rest / 60:.0f} min" for table, rest in rests.items())
            return dg.SkipReason(f"Phone rows wait, but the last attempts failed; they are tried again: {resting}.")
        return dg.RunRequest(asset_selection=[keys[table] for table in ready])

    return mobile_rows


def _by_hand(tables: Sequence[str]) -> str:
    """Names the tables whose pending phone rows no sensor brings."""
    named = ", ".join(f"`{table}`" for table in tables)
    return (
        f"Pending: phones made rows of {named}, reverse-synced by hand only. Look at them, then run `{REVERSE_JOB}` or "
        "`powerca-sync reverse`."
    )


def look(specs: Sequence[TableSpec]) -> PendingTables:
    """Which tables have phone rows that no pull has seen; raises a `SyncError` if a database does not answer soon."""
    settings = current_settings()
    desktop, mobile = (
        dataclasses.replace(endpoint, connect_timeout=PATIENCE) for endpoint in (settings.desktop, settings.mobile)
    )
    try:
        with contextlib.closing(connect(mobile)) as source, contextlib.closing(connect(desktop)) as target:
            return find_pending_tables(source=source, target=target, specs=specs, seconds=PATIENCE)
    except SyncError as exc:
        # Dagster prints an error of a tick with its causes.
        strip_row_content(exc)
        raise
