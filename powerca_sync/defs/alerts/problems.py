"""What was wrong with a run that has ended, and what of it is news: failed tables, failed checks, the run itself."""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import dagster as dg

from powerca_sync import errors
from powerca_sync.defs.failures import ERROR
from powerca_sync.defs.runs import direction_of, figures_of, words_of

#: What a problem is called that is the run's, and of no table.
THE_RUN: Final = "the run"
_EVENTS: Final = {
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.STEP_SUCCESS,
    dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    dg.DagsterEventType.RUN_FAILURE,
    dg.DagsterEventType.RUN_CANCELING,
}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """Something that a person should know of."""

    #: A table as Dagster names its step, or `THE_RUN`.
    subject: str
    #: The check that failed; None if the table or the run itself did.
    check: str | None = None
    #: Whether it can wait.
    is_warning: bool = False
    #: In the words of the error or of the check.
    reason: str
    #: What stays the same as long as it is the same problem.
    kind: str
    #: Counts of the check, by name.
    numbers: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @property
    def is_of_a_table(self) -> bool:
        """Whether it is a table that failed."""
        return self.check is None and not self.subject.startswith(THE_RUN)

    @property
    def key(self) -> str:
        """Under which it is remembered."""
        return key_of(self.subject, self.check)

    def is_news_after(self, told: "Told | None") -> bool:
        """Whether it should be told, given what was told of it before.

        A count is news when it has more than doubled, and by more than a handful: those of an office's tables differ a
        little from run to run.
        """
        return (
            told is None
            or told.kind != self.kind
            or any(count > 2 * told.numbers.get(name, 0) + 10 for name, count in self.numbers.items())
        )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What people know of a problem."""

    kind: str
    numbers: Mapping[str, int]
    #: When a run last had it, in seconds since 1970.
    seen: float


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """What a run that has ended gives to say."""

    problems: tuple[Problem, ...]
    #: Keys of what went well: whatever problem was known there is over.
    well: frozenset[str]
    #: Steps that were not tried, because one that they depend on failed.
    skipped: tuple[str, ...]


def key_of(subject: str, check: str | None) -> str:
    """The key of a problem, told or not."""
    return subject if check is None else f"{subject}, check {check}"


def find_problems(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Findings:
    """Look through the events of a run that has ended."""
    problems: dict[str, Problem] = {}
    well: set[str] = set()
    planned: dict[str, None] = {}
    last_words = ""
    for event in _events(instance, run):
        step = event.step_key or ""
        match event.event_type:
            case dg.DagsterEventType.STEP_SUCCESS:
                well.add(step)
            case dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED if event.asset_key:
                planned[event.asset_key.to_python_identifier()] = None
            case dg.DagsterEventType.STEP_FAILURE:
                problems[step] = _failure(step, event)
            case dg.DagsterEventType.ASSET_CHECK_EVALUATION:
                check = event.asset_check_evaluation_data
                subject = check.asset_key.to_python_identifier()
                if check.passed:
                    well.add(key_of(subject, check.check_name))
                else:
                    failed = _failed_check(subject, check)
                    problems[failed.key] = failed
            case dg.DagsterEventType.RUN_CANCELING:
                last_words = f"It was cancelled. {event.message or ''}".strip()
            case dg.DagsterEventType.RUN_FAILURE:
                has_error = getattr(event.event_specific_data, "error", None) is not None
                last_words = words_of(event) if has_error else event.message or ""
    whole = f"{THE_RUN} {direction_of(run) or run.job_name}"
    if run.status is dg.DagsterRunStatus.SUCCESS:
        well.add(whole)
    elif run.status is dg.DagsterRunStatus.CANCELED or not any(problem.check is None for problem in problems.values()):
        reason = last_words or "It was cancelled."
        problems[whole] = Problem(subject=whole, reason=reason, kind=_lasting(reason))
    skipped = tuple(step for step in planned if step not in well | problems.keys())
    return Findings(problems=tuple(problems.values()), well=frozenset(well - problems.keys()), skipped=skipped)


def _events(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Iterable[dg.DagsterEvent]:
    for record in instance.get_records_for_run(run.run_id, of_type=_EVENTS).records:
        if record.event_log_entry.dagster_event is not None:
            yield record.event_log_entry.dagster_event


def _failure(step: str, event: dg.DagsterEvent) -> Problem:
    failure = event.step_failure_data.user_failure_data
    name = str(figures_of(failure.metadata).get(ERROR, "")) if failure else _class_of(event.step_failure_data.error)
    reason = words_of(event)
    # A server that is away says so in other words each time.
    away = getattr(getattr(errors, name, None), "retryable", False)
    return Problem(subject=step, reason=reason, kind=name if away else f"{name} {_lasting(reason)}")


def _failed_check(subject: str, check: Any) -> Problem:
    return Problem(
        subject=subject,
        check=check.check_name,
        is_warning=check.severity is dg.AssetCheckSeverity.WARN,
        reason=check.description or "It did not pass.",
        kind=check.severity.value,
        numbers={
            name: value.value
            for name, value in check.metadata.items()
            if isinstance(value, dg.IntMetadataValue) and value.value
        },
    )


def _class_of(error: Any) -> str:
    """The class of ours that is at the bottom of an error; nothing if there is none."""
    while error is not None:
        if hasattr(errors, str(error.cls_name)):
            return str(error.cls_name)
        error = error.cause
    return ""


def _lasting(reason: str) -> str:
    """A reason without its numbers, which differ from run to run."""
    return re.sub(r"[0-9]+([.,:][0-9]+)*", "#", reason)
