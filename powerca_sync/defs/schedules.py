"""The schedules of the jobs, in the office's time zone.

A machine that was off catches up with one run: of the ticks that a schedule missed, Dagster takes only the latest.
"""

from collections.abc import Callable, Collection, Sequence

import dagster as dg

from powerca_sync.defs.desktop_sensor import DESKTOP_ROWS
from powerca_sync.defs.due import request_due_tables
from powerca_sync.defs.jobs import MAX_RUNTIME, REVERSE_JOB, REVERSE_MAX_RUNTIME, forward_job_name
from powerca_sync.defs.keys import mobile_key, reverse_key
from powerca_sync.defs.reverse_assets import unattended_tables
from powerca_sync.defs.runs import active_run
from powerca_sync.engine.requests import Mode
from powerca_sync.errors import ConfigurationError
from powerca_sync.operations import CRON_FORM, FULL_CRON, INCREMENTAL_CRON, REVERSE_CRON, Schedules
from powerca_sync.settings import DesktopFunctions
from powerca_sync.specs import TableSpec

FULL, INCREMENTAL = forward_job_name(Mode.FULL), forward_job_name(Mode.INCREMENTAL)


def build_schedules(
    specs: Sequence[TableSpec], schedules: Schedules, functions: DesktopFunctions
) -> list[dg.ScheduleDefinition]:
    """Returns the schedules that are not switched off. Raises `ConfigurationError` for an invalid cron string."""
    made = [
        # Is queued behind an incremental run instead of being skipped for a night.
        build_schedule(
            FULL,
            schedules,
            FULL_CRON,
            "Every night: all rows of the desktop, as the backstop for changes that incremental runs cannot see.",
            not_beside=[FULL],
        ),
        build_schedule(
            INCREMENTAL,
            schedules,
            INCREMENTAL_CRON,
            "Through business hours: the rows that changed on the desktop.",
            not_beside=[FULL, INCREMENTAL],
            or_by_hand={mobile_key(spec) for spec in specs},
            # Its runs are of a few tables only; this one is queued behind them.
            besides=DESKTOP_ROWS,
        ),
    ]
    if unattended_tables(specs):
        made.append(
            build_schedule(
                REVERSE_JOB,
                schedules,
                REVERSE_CRON,
                "Every hour: phone rows that the desktop does not have, quarantined ones included. The backstop for "
                "the sensor. Tables without such rows are left out, except once a day.",
                not_beside=[REVERSE_JOB],
                or_by_hand={reverse_key(spec) for spec in specs if spec.reverse},
                request=request_due_tables(specs, books=functions.after_reverse is not None),
                max_runtime=REVERSE_MAX_RUNTIME,
            )
        )
    return [schedule for schedule in made if schedule is not None]


def build_schedule(
    job: str,
    schedules: Schedules,
    variable: str,
    description: str,
    *,
    not_beside: Sequence[str] = (),
    or_by_hand: Collection[dg.AssetKey] = (),
    request: Callable[[dg.DagsterInstance], dg.RunRequest | dg.SkipReason] = lambda _: dg.RunRequest(),
    max_runtime: float = MAX_RUNTIME,
    besides: str | None = None,
) -> dg.ScheduleDefinition | None:
    """Returns a schedule for a job by the cron string of that variable; None if it is empty.

    A tick is skipped, with the reason, while a run of the jobs `not_beside`, or one by hand of those assets, is under
    way. Runs that began over `max_runtime` seconds ago, or that the sensor `besides` requested, do not count.
    `request` makes the request, or skips the tick for a reason of its own.
    """
    cron = schedules.crons[variable]
    if not cron:
        return None

    def start(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        for other in not_beside:
            if run := active_run(context.instance, other, or_by_hand, max_runtime=max_runtime, besides=besides):
                return dg.SkipReason(
                    f"Run {run.run_id} of `{run.job_name}` is active ({run.status.value.lower()}); the next tick "
                    "covers this one."
                )
        return request(context.instance)

    try:
        return dg.ScheduleDefinition(
            name=f"{job}_schedule",
            job_name=job,
            cron_schedule=cron,
            execution_timezone=schedules.timezone,
            execution_fn=start,
            default_status=dg.DefaultScheduleStatus.RUNNING,
            description=f"{description} {variable} sets the time.",
        )
    except dg.DagsterInvalidDefinitionError as exc:
        raise ConfigurationError(
            f"{variable} is `{cron}`, which is not a valid cron string. {CRON_FORM}, or leave it empty to switch the "
            "schedule off."
        ) from exc
