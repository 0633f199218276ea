"""Reads the events of ended runs and returns their problems: failed tables, failed checks, failed runs."""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import dagster as dg

from powerca_sync import errors
from powerca_sync.defs.partitions import office_of
from powerca_sync.defs.runs import FRESH, OVERVIEW, REPORT, directions_of, is_report, was_interrupted, words_of

#: Dagster's name of the error that it raises in the step of a failed check which blocks others.
BLOCKED: Final = "DagsterAssetCheckFailedError"
#: The usual cause, if the process of a run ends without an error.
MEMORY: Final = "If memory ran out, give the machine more, or lower `max_concurrent_runs` in `dagster.yaml`."
_EVENTS: Final = {
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.STEP_SUCCESS,
    dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    dg.DagsterEventType.RUN_FAILURE,
}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """A failed table, check or run."""

    #: The step of a table, or `forward run`; after the office's key, where there are several.
    subject: str
    #: Name of the failed check; None if the table or the run failed.
    check: str | None = None
    #: Whether it is a failed check of severity WARN.
    is_warning: bool = False
    #: In the words of the error or of the check.
    reason: str
    #: Equal for the same problem in different runs.
    kind: str
    #: Counts by name, from the metadata of the check.
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @property
    def key(self) -> str:
        """Identifies the table, check or run."""
        return _key(self.subject, self.check)


@dataclasses.dataclass(kw_only=True, slots=True)
class Findings:
    """The problems of several ended runs, by key; a later run replaces the problems of an earlier one."""

    #: None if the table, check or run succeeded.
    outcomes: dict[str, Problem | None] = dataclasses.field(default_factory=dict)
    #: The run that each outcome comes from.
    runs: dict[str, dg.RunRecord] = dataclasses.field(default_factory=dict)
    #: Tables that were not tried because one that they depend on failed.
    skipped: set[str] = dataclasses.field(default_factory=set)


def find_problems(instance: dg.DagsterInstance, records: Iterable[dg.RunRecord]) -> Findings:
    """Reads the events of these ended runs, which are given in the order in which they ended.

    Leaves out runs that somebody cancelled, and the reports, which tell of the same problems, besides offices that are
    late.
    """
    found = Findings()
    for record in records:
        run = record.dagster_run
        office = office_of(run)
        prefix = f"{office}: " if office else ""
        outcomes, planned, failure = _read_events(instance, run.run_id, prefix)
        if is_report(run):
            late = {
                key: problem for key, problem in outcomes.items() if key == _key(OVERVIEW.to_python_identifier(), FRESH)
            }
            found.outcomes |= late
            found.runs |= dict.fromkeys(late, record)
            continue
        if run.status is dg.DagsterRunStatus.CANCELED and failure is None:
            continue
        wholes = [f"{prefix}{one} run" for one in directions_of(instance, run) or [run.job_name]]
        tables_failed = any(problem and problem.check is None for problem in outcomes.values())
        if run.status is dg.DagsterRunStatus.SUCCESS:
            outcomes |= dict.fromkeys(wholes)
        elif failure is not None and not tables_failed:
            kind = _without_numbers(failure)
            outcomes |= {whole: Problem(subject=whole, reason=failure, kind=kind) for whole in wholes}
        found.outcomes |= outcomes
        found.runs |= dict.fromkeys(outcomes, record)
        found.skipped = (found.skipped | (planned if tables_failed else set())) - outcomes.keys()
    return found


def _read_events(
    instance: dg.DagsterInstance, run_id: str, prefix: str
) -> tuple[dict[str, Problem | None], set[str], str | None]:
    """Returns the outcomes by key, the tables that the run had planned, and why the run failed."""
    outcomes: dict[str, Problem | None] = {}
    planned: set[str] = set()
    failure, has_blocked = None, False
    records = instance.get_records_for_run(run_id, of_type=_EVENTS).records
    for event in filter(None, (record.event_log_entry.dagster_event for record in records)):
        step = event.step_key or ""
        if event.asset_key == REPORT or step == REPORT.to_python_identifier():
            continue
        step = f"{prefix}{step}"
        match event.event_type:
            case dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED if event.asset_key:
                planned.add(f"{prefix}{event.asset_key.to_python_identifier()}")
            case dg.DagsterEventType.STEP_SUCCESS:
                outcomes[step] = None
            case dg.DagsterEventType.STEP_FAILURE if _is_check(event):
                has_blocked = True
            case dg.DagsterEventType.STEP_FAILURE if not was_interrupted(event):
                reason = words_of(event)
                kind = _retryable_class(event.step_failure_data.error) or _without_numbers(reason)
                outcomes[step] = Problem(subject=step, reason=reason, kind=kind)
            case dg.DagsterEventType.ASSET_CHECK_EVALUATION:
                check = event.asset_check_evaluation_data
                subject = f"{prefix}{check.asset_key.to_python_identifier()}"
                outcomes[_key(subject, check.check_name)] = None if check.passed else _failed_check(subject, check)
            case dg.DagsterEventType.RUN_FAILURE:
                has_error = getattr(event.event_specific_data, "error", None) is not None
                failure = words_of(event) if has_error else _lost_process(instance, run_id) or event.message or ""
    return outcomes, planned, None if has_blocked else failure


def _lost_process(instance: dg.DagsterInstance, run_id: str) -> str:
    """Returns how the process of a run ended, which the code server records before it fails the run; else nothing."""
    lost = f"Run execution process for {run_id}"
    records = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT).records
    words = (record.event_log_entry.message for record in records)
    # Dagster puts the class of its server before the words, and advice behind them.
    ends = (one.partition(lost)[2].partition(".")[0] for one in words if lost in one)
    return next((f"The process of the run{end}. {MEMORY}" for end in ends), "")


def _is_check(event: dg.DagsterEvent) -> bool:
    """Returns whether a step failed only because its check blocks others; the evaluation tells the reason."""
    error = event.step_failure_data.error
    return error is not None and error.cls_name == BLOCKED


def _failed_check(subject: str, check: Any) -> Problem:
    counts = {name: value.value for name, value in check.metadata.items() if isinstance(value, dg.IntMetadataValue)}
    return Problem(
        subject=subject,
        check=check.check_name,
        is_warning=check.severity is dg.AssetCheckSeverity.WARN,
        reason=check.description or "The check failed without a description.",
        kind=check.severity.value,
        counts={name: count for name, count in counts.items() if count},
    )


def _retryable_class(error: Any) -> str | None:
    """Returns the name of a retryable error among an error and its causes: its words differ between attempts."""
    while error is not None and not getattr(getattr(errors, str(error.cls_name), None), "retryable", False):
        error = error.cause
    return None if error is None else str(error.cls_name)


def _key(subject: str, check: str | None) -> str:
    return subject if check is None else f"{subject}, check {check}"


def _without_numbers(reason: str) -> str:
    return re.sub(r"[0-9]+([.,:][0-9]+)*", "#", reason)
