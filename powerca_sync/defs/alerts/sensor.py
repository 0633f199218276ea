"""The sensor `alerts`: compares the problems of ended runs with those already told, and sends what is new.

Dagster's run status sensors react to one kind of end each and advance when sending fails, so that they can neither
group runs nor retry a message. The state is stored with Dagster's records, not in the sensor's cursor: Dagster
discards the cursor of a tick that raises.
"""

import contextlib
import dataclasses
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import dagster as dg

from powerca_sync.defs.alerts.message import Message, News, Recipient, compose
from powerca_sync.defs.alerts.problems import Findings, find_problems
from powerca_sync.defs.partitions import office_of
from powerca_sync.environment import find_offices, is_demo
from powerca_sync.errors import ConfigurationError, NotificationError
from powerca_sync.offices import Office
from powerca_sync.operations import ALERT_URLS, Alerting

ENDS: Final = (dg.DagsterEventType.RUN_SUCCESS, dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED)
INTERVAL: Final = 30
#: Of the states; another form of them gets other keys. The second is that of the offices' own addresses.
KEY, OFFICES_KEY = "powerca_sync/alerts/2", "powerca_sync/alerts/offices/2"
#: Ended runs that one tick reads, and that a digest of many offices has.
MOST_RUNS, MOST_IN_DIGEST = 50, 500
#: Seconds for which a digest collects problems, so that a line that fails at twenty offices is one message.
DIGEST: Final = 300.0
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

    #: Under which it is stored.
    key: str = KEY
    #: Storage id of the last end of a run that was read; None before the first.
    position: int | None = None
    #: By key of the problem.
    told: dict[str, Told] = dataclasses.field(default_factory=dict)
    #: In the order in which the messages were written.
    unsent: list[Unsent] = dataclasses.field(default_factory=list)

    @classmethod
    def load(cls, instance: dg.DagsterInstance, key: str = KEY) -> Self:
        """Returns the saved state, or an empty one."""
        kept: dict[str, Any] = json.loads(instance.daemon_cursor_storage.get_cursor_values({key}).get(key, "{}"))
        return cls(
            key=key,
            position=kept.get("position"),
            told={key: Told(**told) for key, told in kept.get("told", {}).items()},
            unsent=[Unsent(**{**entry, "message": Message(**entry["message"])}) for entry in kept.get("unsent", ())],
        )

    def save(self, instance: dg.DagsterInstance) -> None:
        """Stores the state with Dagster's records."""
        instance.daemon_cursor_storage.set_cursor_values({self.key: json.dumps(dataclasses.asdict(self))})

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


def build_alerts(*, by_office: bool = False) -> dg.SensorDefinition:
    """Builds the sensor, which is running from the start and skips its ticks while no address is set.

    With `by_office`, offices may have addresses of their own, and the others receive a digest of all offices.
    """
    to_whom = f"the addresses in {ALERT_URLS}"
    if by_office:
        to_whom = f"the office's own addresses, and a digest of all offices to those in {ALERT_URLS}"

    @dg.sensor(
        name="alerts",
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            f"Sends a message to {to_whom} when a run or a check fails, and another when it "
            "succeeds again. A problem is not repeated until it changes. A failed tick means that a message could not "
            "be sent; it is kept and retried, at first after half a minute, later after up to an hour."
        ),
    )
    def alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        """Reads the runs that have ended, writes a message if there is news, and sends what is due."""
        alerting = Alerting.from_env()
        if is_demo():
            alerting = dataclasses.replace(alerting, office="the demo")
        own = _offices_with_addresses() if by_office else {}
        if not alerting.urls and not own:
            also = " The key `alert` of an office names its own addresses." if by_office else ""
            return dg.SkipReason(f"Nobody is told when a run fails. Set {ALERT_URLS} to send messages.{also}")
        told = []
        if alerting.urls:
            told.append(_tell(context.instance, alerting, digest=by_office))
        if own:
            told.append(_tell_offices(context.instance, alerting, own))
        failed = [error for one in told for error in one.failed]
        unsent = sum(one.unsent for one in told)
        if failed:
            raise NotificationError(f"Not sent: {'; '.join(failed)}. Unsent messages are retried: {unsent}.")
        if unknown := [name for one in told for name in one.unknown]:
            raise ConfigurationError(
                f"{ALERT_URLS}{' or `alert`' if own else ''}: apprise has no service for the address of "
                f"{', '.join(unknown)}. Correct it: its documentation shows the forms, such as mailto://, slack:// or "
                "json://. The others receive messages."
            )
        runs, messages = sum(one.runs for one in told), sum(one.messages for one in told)
        return dg.SkipReason(f"Runs that ended: {runs}. New messages: {messages}. Unsent: {unsent}.")

    return alerts


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Told:
    """The result of a tick for some recipients."""

    runs: int
    messages: int
    unsent: int
    #: Errors of messages that could not be sent.
    failed: Sequence[str]
    #: Recipients for whose form of address there is no service.
    unknown: Sequence[str]


def _offices_with_addresses() -> Mapping[str, Office]:
    # Without the file, of which the sensor `offices` tells, the others are told all the same.
    with contextlib.suppress(ConfigurationError):
        return {key: office for key, office in find_offices().offices.items() if office.alert}
    return {}


def _tell(instance: dg.DagsterInstance, alerting: Alerting, *, digest: bool) -> _Told:
    """Tells the addresses of the environment of all runs; a digest collects them for some minutes."""
    addresses = [Recipient(url, place) for place, url in enumerate(alerting.urls, start=1)]
    state = AlertState.load(instance)
    records = _ended_runs(instance, state, most=MOST_IN_DIGEST if digest else MOST_RUNS, wait=DIGEST if digest else 0.0)
    message = None
    if records:
        findings = find_problems(instance, records)
        news = state.learn(findings, time.time())
        if news.problems or news.solved:
            message = compose(findings, news, alerting, by_office=digest)
    return _deliver(instance, state, addresses, len(records), {message: addresses} if message else {})


def _tell_offices(instance: dg.DagsterInstance, alerting: Alerting, offices: Mapping[str, Office]) -> _Told:
    """Tells these offices of their own runs, each at its own addresses."""
    addresses = {
        key: [Recipient(url, place, office=key) for place, url in enumerate(office.alert, start=1)]
        for key, office in offices.items()
    }
    state = AlertState.load(instance, OFFICES_KEY)
    records = _ended_runs(instance, state, most=MOST_RUNS, wait=0.0)
    by_office: dict[str, list[dg.RunRecord]] = {}
    for record in records:
        if (key := office_of(record.dagster_run)) and key in offices:
            by_office.setdefault(key, []).append(record)
    messages = {}
    for key, ended in by_office.items():
        findings = find_problems(instance, ended)
        news = state.learn(findings, time.time())
        if news.problems or news.solved:
            own = dataclasses.replace(alerting, office=offices[key].title, timezone=offices[key].timezone)
            unchanged = tuple(problem for problem in news.unchanged if problem.startswith(f"{key}: "))
            messages[compose(findings, dataclasses.replace(news, unchanged=unchanged), own)] = addresses[key]
    return _deliver(instance, state, [one for of in addresses.values() for one in of], len(records), messages)


def _deliver(
    instance: dg.DagsterInstance,
    state: AlertState,
    addresses: Sequence[Recipient],
    runs: int,
    messages: Mapping[Message, Sequence[Recipient]],
) -> _Told:
    """Stores the messages, each with its recipients, and sends what is due to any of the `addresses`."""
    for message, recipients in messages.items():
        known = [to for to in recipients if to.is_known]
        state.unsent += [Unsent(recipient=to.id, message=message, written=time.time()) for to in known]
    # Saved before anything is sent: otherwise a tick that is killed would repeat its message.
    state.save(instance)
    reachable = {address.id: address for address in addresses if address.is_known}
    failed = _send(instance, state, list(reachable.values()))
    return _Told(
        runs=runs,
        messages=len(messages),
        unsent=len(state.unsent),
        failed=failed,
        unknown=[address.name for address in addresses if not address.is_known],
    )


def _ended_runs(instance: dg.DagsterInstance, state: AlertState, *, most: int, wait: float) -> list[dg.RunRecord]:
    """Returns the runs that have ended since the last tick, in the order of their ends; none before the first waited.

    Moves the position of the state.
    """
    now = time.time()
    ends = [
        end
        for kind in ENDS
        for end in instance.fetch_run_status_changes(
            dg.RunStatusChangeRecordsFilter(
                event_type=kind, after_storage_id=state.position, after_timestamp=now - OLDEST_RUN
            ),
            limit=most,
            ascending=True,
        ).records
    ]
    # Cut after sorting: up to the last of these, no kind has left out an end.
    ends = sorted(ends, key=lambda end: end.storage_id)[:most]
    if not ends or now - ends[0].timestamp < wait:
        return []
    state.position = ends[-1].storage_id
    records = [instance.get_run_record_by_id(end.run_id) for end in ends]
    return [record for record in records if record is not None]


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
