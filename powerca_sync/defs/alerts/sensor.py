"""The sensor `alerts`: compares the problems of ended runs with those already told, and sends what is new.

Dagster's run status sensors react to one kind of end each and advance when sending fails, so that they can neither
group runs nor retry a message. The state is stored with Dagster's records, not in the sensor's cursor: Dagster
discards the cursor of a tick that raises.
"""

import dataclasses
import json
import time
from collections.abc import Sequence
from typing import Any, Final, Self

import dagster as dg

from powerca_sync.defs.alerts.message import Message, News, Recipient, compose
from powerca_sync.defs.alerts.problems import Findings, find_problems
from powerca_sync.environment import is_demo
from powerca_sync.errors import ConfigurationError, NotificationError
from powerca_sync.operations import ALERT_URLS, Alerting

ENDS: Final = (dg.DagsterEventType.RUN_SUCCESS, dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED)
INTERVAL: Final = 30
#: Of the state; another form of it gets another key.
KEY: Final = "powerca_sync/alerts/2"
#: Ended runs that one tick reads.
MOST_RUNS: Final = 50
#: Seconds after which an ended run is not read any more, a problem that no run had again is forgotten, and an unsent
#: message is discarded.
OLDEST_RUN, OLDEST_PROBLEM, OLDEST_MESSAGE = 24 * 60 * 60, 30 * 24 * 60 * 60, 7 * 24 * 60 * 60
#: Seconds until a recipient is tried again, doubled after each failure up to the longest.
FIRST_BACKOFF, LONGEST_BACKOFF = 30, 60 * 60


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """A problem as people were told of it."""

    kind: str
    #: The largest count of the check when it was told.
    rows: int
    #: When a run last had it, in seconds since 1970.
    seen: float


@dataclasses.dataclass(kw_only=True, slots=True)
class Unsent:
    """A message that one recipient has not received."""

    recipient: str
    message: Message
    #: Seconds since 1970, as `due`.
    written: float
    due: float = 0
    failures: int = 0


@dataclasses.dataclass(kw_only=True, slots=True)
class AlertState:
    """State of the alerts: the position in the event log, the open problems and the unsent messages."""

    #: Storage id of the last end of a run that was read; None before the first.
    position: int | None = None
    #: By key of the problem.
    told: dict[str, Told] = dataclasses.field(default_factory=dict)
    #: In the order in which the messages were written.
    unsent: list[Unsent] = dataclasses.field(default_factory=list)

    @classmethod
    def load(cls, instance: dg.DagsterInstance) -> Self:
        """Returns the saved state, or an empty one."""
        kept: dict[str, Any] = json.loads(instance.daemon_cursor_storage.get_cursor_values({KEY}).get(KEY, "{}"))
        return cls(
            position=kept.get("position"),
            told={key: Told(**told) for key, told in kept.get("told", {}).items()},
            unsent=[Unsent(**{**entry, "message": Message(**entry["message"])}) for entry in kept.get("unsent", ())],
        )

    def save(self, instance: dg.DagsterInstance) -> None:
        """Stores the state with Dagster's records."""
        instance.daemon_cursor_storage.set_cursor_values({KEY: json.dumps(dataclasses.asdict(self))})

    def learn(self, findings: Findings, now: float) -> News:
        """Remembers the problems of these runs and forgets those that are solved; returns what is new."""
        solved, new = [], []
        for key, problem in findings.outcomes.items():
            told = self.told.pop(key, None)
            if problem is None:
                solved += [key] if told else []
                continue
            rows = max(problem.counts.values(), default=0)
            # Compared with the count that was told; compared with the last run, it could grow in small steps.
            if told is None or told.kind != problem.kind or rows > 2 * told.rows + 10:
                new.append(problem)
                told = Told(kind=problem.kind, rows=rows, seen=now)
            self.told[key] = dataclasses.replace(told, seen=now)
        self.told = {key: told for key, told in self.told.items() if now - told.seen < OLDEST_PROBLEM}
        unchanged = self.told.keys() - {problem.key for problem in new}
        return News(problems=tuple(new), solved=tuple(solved), unchanged=tuple(sorted(unchanged)))


def build_alerts() -> dg.SensorDefinition:
    """Builds the sensor, which is running from the start and skips its ticks while no address is set."""

    @dg.sensor(
        name="alerts",
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            f"Sends a message to the addresses in {ALERT_URLS} when a run or a check fails, and another when it "
            "succeeds again. A problem is not repeated until it changes. A failed tick means that a message could not "
            "be sent; it is kept and retried, at first after half a minute, later after up to an hour."
        ),
    )
    def alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        """Reads the runs that have ended, writes a message if there is news, and sends what is due."""
        alerting = Alerting.from_env()
        if is_demo():
            alerting = dataclasses.replace(alerting, office="the demo")
        if not alerting.urls:
            return dg.SkipReason(f"Nobody is told when a run fails. Set {ALERT_URLS} to send messages.")
        addresses = [Recipient(url, place) for place, url in enumerate(alerting.urls, start=1)]
        recipients = [address for address in addresses if address.is_known]
        state = AlertState.load(context.instance)
        runs, message = _read_runs(context.instance, state, alerting)
        if message is not None:
            state.unsent += [Unsent(recipient=to.id, message=message, written=time.time()) for to in recipients]
        # Saved before anything is sent: otherwise a tick that is killed would repeat its message.
        state.save(context.instance)
        failed = _send(context.instance, state, recipients)
        if failed:
            raise NotificationError(f"Not sent: {'; '.join(failed)}. Unsent messages are retried: {len(state.unsent)}.")
        if unknown := [address.name for address in addresses if not address.is_known]:
            raise ConfigurationError(
                f"{ALERT_URLS}: apprise has no service for the address of {', '.join(unknown)}. Correct it: its "
                "documentation shows the forms, such as mailto://, slack:// or json://. The others receive messages."
            )
        return dg.SkipReason(
            f"Runs that ended: {runs}. New messages: {int(message is not None)}. Unsent: {len(state.unsent)}."
        )

    return alerts


def _read_runs(instance: dg.DagsterInstance, state: AlertState, alerting: Alerting) -> tuple[int, Message | None]:
    """Returns how many runs have ended since the last tick, and one message about all of them if there is news."""
    now = time.time()
    ends = [
        end
        for kind in ENDS
        for end in instance.fetch_run_status_changes(
            dg.RunStatusChangeRecordsFilter(
                event_type=kind, after_storage_id=state.position, after_timestamp=now - OLDEST_RUN
            ),
            limit=MOST_RUNS,
            ascending=True,
        ).records
    ]
    # Cut after sorting: up to the last of these, no kind has left out an end.
    ends = sorted(ends, key=lambda end: end.storage_id)[:MOST_RUNS]
    if not ends:
        return 0, None
    state.position = ends[-1].storage_id
    records = [instance.get_run_record_by_id(end.run_id) for end in ends]
    findings = find_problems(instance, [record for record in records if record is not None])
    news = state.learn(findings, now)
    return len(ends), compose(findings, news, alerting) if news.problems or news.solved else None


def _send(instance: dg.DagsterInstance, state: AlertState, recipients: Sequence[Recipient]) -> list[str]:
    """Sends what is due, for each recipient in order, and saves after each; returns the errors.

    Discards messages that are too old, and those to addresses that have been removed.
    """
    failed = []
    known, oldest = {recipient.id for recipient in recipients}, time.time() - OLDEST_MESSAGE
    state.unsent = [entry for entry in state.unsent if entry.recipient in known and entry.written > oldest]
    for recipient in recipients:
        for entry in [entry for entry in state.unsent if entry.recipient == recipient.id]:
            if entry.due > time.time():
                break
            if error := recipient.send(entry.message):
                failed.append(f"{recipient.name}: {error}")
                entry.due = time.time() + min(FIRST_BACKOFF * 2**entry.failures, LONGEST_BACKOFF)
                entry.failures += 1
            else:
                state.unsent.remove(entry)
            state.save(instance)
            if error:
                break
    return failed
