"""Tell people what went wrong with a run, once, and when it is well again.

A sensor of our own looks at every run that has ended, by whomever it was started. Dagster's run status sensors come
after one kind of end only and move on when telling fails, so that they could neither keep the order nor lose nothing.
"""

import dataclasses
import time
from collections.abc import Sequence
from typing import Final

import dagster as dg

from powerca_sync.defs.alerts.alert_message import compose
from powerca_sync.defs.alerts.alert_state import AlertState, Waiting
from powerca_sync.defs.alerts.notifier import Recipient, read_recipients
from powerca_sync.defs.alerts.problems import find_problems
from powerca_sync.defs.runs import is_report
from powerca_sync.environment import is_demo
from powerca_sync.errors import ConfigurationError, NotificationError
from powerca_sync.operations import ALERT_URLS, Alerting

ENDS: Final = (dg.DagsterEventType.RUN_SUCCESS, dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED)
INTERVAL: Final = 30
#: Runs that one tick looks at.
MOST: Final = 50
#: Seconds. Runs that ended longer ago are not told any more (what is still wrong, the next run says); on the very first
#: tick, fewer.
OLDEST, OLDEST_AT_FIRST = 24 * 60 * 60, 60 * 60
#: How often one tick tries a recipient, the seconds it waits between, and after how many it leaves the rest for the
#: next; Dagster ends a tick after 60.
ATTEMPTS: Final = 3
PAUSE: Final = 1.0
PATIENCE: Final = 35.0


def build_alerts() -> dg.SensorDefinition:
    """The sensor `alerts`, running from the start; without an address it does nothing and says so."""

    @dg.sensor(
        name="alerts",
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            f"Tells the addresses in {ALERT_URLS} when a run or a check fails, and when it is well again; what they "
            "know already is not repeated. A red tick means that a message could not be sent: it is kept, and tried "
            "again after a minute, later after up to an hour."
        ),
    )
    def alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        """1. Look at the runs that have ended since. 2. Write down what is news. 3. Send what waits."""
        alerting = Alerting.from_env()
        if is_demo():
            alerting = dataclasses.replace(alerting, office="the demo")
        if not alerting.urls:
            return dg.SkipReason(f"Nobody is told when a run fails. Set {ALERT_URLS} to change that.")
        recipients = read_recipients(alerting.urls)
        state = AlertState.load(context.instance)
        looked, news = _look(context.instance, state, alerting, recipients)
        # Before anything is sent: otherwise a tick that is cut short would tell it twice.
        state.save(context.instance)
        missed = _send(context.instance, state, recipients)
        waiting = f"{len(state.waiting)} {'message waits' if len(state.waiting) == 1 else 'messages wait'}"
        if missed:
            raise NotificationError(f"Not sent: {'; '.join(missed)}. {waiting} and will be tried again.")
        if unknown := [recipient.name for recipient in recipients if not recipient.is_known]:
            raise ConfigurationError(
                f"{ALERT_URLS}: apprise knows no service for the address of {', '.join(unknown)}. Its documentation "
                "shows their forms, such as mailto://, slack:// or json://. The other recipients are told."
            )
        held = f" {waiting} for a recipient that could not be reached." if state.waiting else ""
        return dg.SkipReason(f"{looked} runs have ended, {news} of them with news.{held}")

    return alerts


def _look(
    instance: dg.DagsterInstance, state: AlertState, alerting: Alerting, recipients: Sequence[Recipient]
) -> tuple[int, int]:
    """Write a message for each ended run that has news; answers how many runs were looked at, and how many had."""
    now = time.time()
    ends = _ended(instance, state.position, now - (OLDEST_AT_FIRST if state.position is None else OLDEST))
    news = 0
    for end in ends:
        state.position = end.storage_id
        record = instance.get_run_record_by_id(end.run_id)
        if record is None:
            continue
        run = record.dagster_run
        # Moves no rows; what keeps it from looking at them, the runs that do say as well.
        if is_report(run):
            continue
        findings = find_problems(instance, run)
        if changed := state.learn(findings, now):
            news += 1
            message = compose(run, end.timestamp, findings, changed, alerting)
            to = [recipient.id for recipient in recipients]
            state.waiting.append(Waiting(message=message, written=now, to=to))
    return len(ends), news


def _ended(instance: dg.DagsterInstance, position: int | None, oldest: float) -> list[dg.EventLogRecord]:
    """The next ends of runs, in the order in which they happened."""
    ends = [
        record
        for kind in ENDS
        for record in instance.fetch_run_status_changes(
            dg.RunStatusChangeRecordsFilter(event_type=kind, after_storage_id=position, after_timestamp=oldest),
            limit=MOST,
            ascending=True,
        ).records
    ]
    # Of no kind was any left out before the last of these.
    return sorted(ends, key=lambda record: record.storage_id)[:MOST]


def _send(instance: dg.DagsterInstance, state: AlertState, recipients: Sequence[Recipient]) -> list[str]:
    """Send what is due; answers whom that did not reach, and why. What arrived is saved at once."""
    give_up = time.monotonic() + PATIENCE
    missed: dict[str, str] = {}
    for recipient, entry in state.due(recipients, time.time()):
        # What comes later must not arrive earlier.
        if recipient.id in missed or time.monotonic() > give_up:
            continue
        reason = recipient.send(entry.message)
        for attempt in range(1, ATTEMPTS):
            if reason is None or not recipient.is_known or time.monotonic() > give_up:
                break
            time.sleep(PAUSE * attempt)
            reason = recipient.send(entry.message)
        if reason is None:
            state.reached(recipient, entry)
        else:
            missed[recipient.id] = f"{recipient.name}: {reason}"
            state.missed(recipient, time.time())
        state.save(instance)
    state.waiting = [entry for entry in state.waiting if entry.to]
    state.save(instance)
    return list(missed.values())
