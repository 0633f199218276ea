"""The sensor `desktop_rows` of many offices: forward runs of those whose desktop has changed, and the nightly runs."""

import dataclasses
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import dagster as dg

from powerca_sync.defs.desktop_sensor import DESKTOP_ROWS, FULL, INCREMENTAL, Watched, decide, unless_refreshed
from powerca_sync.defs.jobs import MAX_RUNTIME, REVERSE_JOB
from powerca_sync.defs.keys import mobile_key
from powerca_sync.defs.nightly_checks import CHECKS_JOB
from powerca_sync.defs.offices.kept_desktops import KeptDesktops
from powerca_sync.defs.offices.nights import last_night, last_turn
from powerca_sync.defs.offices.rounds import MOST_REQUESTS, Absence, ask, in_turn, read_states, write_states
from powerca_sync.defs.partitions import OFFICE, OfficeJob, latest_event, office_request
from powerca_sync.defs.runs import REPORT_JOB, busy_offices
from powerca_sync.defs.sensors import INTERVAL
from powerca_sync.engine.changes import ChangeToken
from powerca_sync.environment import find_offices
from powerca_sync.errors import SyncError
from powerca_sync.offices import Office
from powerca_sync.settings import DesktopFunctions
from powerca_sync.specs import TableSpec

#: The runs of a night, one after the other. Unconditional: the backstop for changes that the gates do not see.
NIGHTLY: Final = (FULL, REVERSE_JOB, CHECKS_JOB, REPORT_JOB)
#: Offices that a message names.
NAMED: Final = 20


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """The sensor's record of an office, kept from one tick to the next."""

    watched: Mapping[str, Watched] = dataclasses.field(default_factory=dict)
    absence: Absence = dataclasses.field(default_factory=Absence)
    #: Date of the last night whose runs were requested; empty at first sight.
    night: str = ""
    #: Of the runs of the night after that, those that were requested already.
    requested: int = 0
    #: Date of the last night for which a run was requested although the office was away.
    missed: str = ""
    #: The last tick of its cron string for incremental runs that was requested.
    turn: str = ""

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "Known":
        """Returns what was stored; nothing if another version has stored it."""
        try:
            watched = {table: Watched(**one) for table, one in stored["watched"].items()}
            return cls(**{**stored, "watched": watched, "absence": Absence(**stored["absence"])})
        except (KeyError, TypeError, AttributeError):
            return cls()


def build_desktop_gate(
    specs: Sequence[TableSpec],
    functions: DesktopFunctions,
    jobs: Sequence[Any],
    *,
    checks: Collection[dg.AssetCheckKey],
    incremental_cron: str,
) -> dg.SensorDefinition:
    """Returns the sensor, running from the start; `jobs` are those that it may request.

    Its runs of some tables evaluate the `checks` of these tables. If a function refreshes the desktop's tables, which
    only runs of all tables call, offices have such runs by `incremental_cron`, unless the file says otherwise.
    """
    by_name, desktops = {job.name: job for job in jobs}, KeptDesktops()
    choice = _Choice(
        specs=specs,
        checks=checks,
        cron=incremental_cron if functions.before_forward else "",
        full=by_name[FULL],
        changed=by_name[INCREMENTAL],
        nightly=[by_name[name] for name in NIGHTLY if name in by_name],
    )

    @dg.sensor(
        name=DESKTOP_ROWS,
        jobs=list(jobs),
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Every half minute: asks the desktops of all offices, and requests an incremental run of the tables that "
            "changed, and once a night, at a minute of its own, the nightly runs of each office. An office that is "
            "away is asked again after 1 minute up to half an hour; its nightly runs follow when it is back. If it was "
            "away for a whole day, one run a night fails to tell of it."
        ),
    )
    def desktop_rows(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        """Ask the offices that are neither busy nor away; nothing depends on the fate of a request."""
        return _tick(context, functions, choice, desktops)

    return desktop_rows


def _tick(
    context: dg.SensorEvaluationContext, functions: DesktopFunctions, choice: "_Choice", desktops: KeptDesktops
) -> dg.SensorResult:
    instance, now = context.instance, time.time()
    offices = find_offices().offices
    # A run fails if its office is not a partition yet.
    ready = offices.keys() & instance.get_dynamic_partitions(OFFICE)
    known = {key: Known.of(stored) for key, stored in read_states(instance, DESKTOP_ROWS, ready).items()}
    free = ready - busy_offices(instance, max_runtime=MAX_RUNTIME)
    wanted = {key: offices[key] for key in free if known.get(key, Known()).absence.until <= now}

    desktops.keep(offices)

    def look_at(office: Office) -> list[ChangeToken]:
        return [unless_refreshed(token, functions) for token in desktops.look(office, choice.specs)]

    requests: list[dg.RunRequest] = []
    away, changed, last = {}, {}, context.cursor
    for office, tokens in ask(in_turn(wanted, last), look_at):
        if len(requests) == MOST_REQUESTS:
            break
        before, last = known.get(office.key, Known()), office.key
        if isinstance(tokens, SyncError):
            away[office.key] = tokens
        try:
            after, request = choice.of(office, before, tokens, instance=instance, now=now)
        except SyncError as exc:
            away[office.key] = exc
            continue
        requests += [request] if request else []
        if after != before:
            changed[office.key] = dataclasses.asdict(after)
    write_states(instance, DESKTOP_ROWS, changed)
    if away:
        context.log.warning("Away: %s", "\n".join(f"{key}: {reason}" for key, reason in [*away.items()][:NAMED]))
    resting = len(free) - len(wanted)
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None
        if requests
        else f"Nothing new in {len(wanted) - len(away)} offices; {len(away) + resting} are away, "
        f"{len(ready) - len(free)} have an active run.",
        cursor=last,
    )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Due:
    """The runs of an office that are due by the clock."""

    #: Date of the last night; empty if none was for over a week.
    night: str
    #: The last tick for incremental runs; empty without one.
    turn: str

    @classmethod
    def at(cls, office: Office, now: float, cron: str) -> "_Due":
        moment = datetime.fromtimestamp(now, UTC)
        return cls(night=last_night(office, moment), turn=last_turn(office, moment, cron))


def _miss(before: Known, due: _Due, now: float, full: dg.RunRequest) -> tuple[Known, dg.RunRequest | None]:
    """Returns what is known of an office that is away, and the request of a run.

    Once a night, if it has already missed a whole night: the run fails, which the history shows and an alert tells.
    """
    after = dataclasses.replace(before, absence=before.absence.extended(now))
    if not due.night or before.missed == due.night:
        return after, None
    if before.night >= str(date.fromisoformat(due.night) - timedelta(days=1)):
        return after, None
    return dataclasses.replace(after, missed=due.night), full


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Choice:
    """Chooses the run of an office in a tick, as `build_desktop_gate` is told."""

    specs: Sequence[TableSpec]
    checks: Collection[dg.AssetCheckKey]
    #: Cron string of incremental runs where the file has none; empty for none.
    cron: str
    full: OfficeJob
    changed: OfficeJob
    nightly: Sequence[OfficeJob]

    def of(
        self,
        office: Office,
        before: Known,
        tokens: Sequence[ChangeToken] | SyncError,
        *,
        instance: dg.DagsterInstance,
        now: float,
    ) -> tuple[Known, dg.RunRequest | None]:
        """Returns what is known of the office from now on, and its run, if any.

        `tokens` are its answer, or the reason why it did not answer. Raises `SyncError` if a cron string is not valid.
        """
        due = _Due.at(office, now, self.cron)
        if isinstance(tokens, SyncError):
            return _miss(before, due, now, office_request(office, self.full))
        return self._of_answer(instance, office, before, due, tokens)

    def _of_answer(
        self, instance: dg.DagsterInstance, office: Office, before: Known, due: _Due, tokens: Sequence[ChangeToken]
    ) -> tuple[Known, dg.RunRequest | None]:
        """Returns a run of the night, one of all tables by the clock, or one of the tables that changed."""
        night = due.night
        after = dataclasses.replace(before, absence=Absence())
        is_new = not (before.night or before.requested)
        if is_new and latest_event(instance, mobile_key(self.specs[0]), office.key):
            # Known to Dagster's history and not to this sensor: the next night is early enough.
            after = dataclasses.replace(after, night=night)
        if night and after.night != night:
            job, requested = self.nightly[after.requested], after.requested + 1
            if requested == len(self.nightly):
                after = dataclasses.replace(after, night=night, requested=0)
            else:
                after = dataclasses.replace(after, requested=requested)
            return after, office_request(office, job)
        if due.turn and after.turn != due.turn:
            is_first, after = not after.turn, dataclasses.replace(after, turn=due.turn)
            if not is_first:
                return after, office_request(office, self.changed)
        watched, answer = decide(instance, self.specs, before.watched, tokens, checks=self.checks, office=office.key)
        after = dataclasses.replace(after, watched=watched)
        if isinstance(answer, dg.SkipReason):
            return after, None
        return after, office_request(
            office, self.changed, assets=answer.asset_selection, checks=answer.asset_check_keys
        )
