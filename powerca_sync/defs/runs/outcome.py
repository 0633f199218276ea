"""The outcome of a run in this process, table by table, from its Dagster events."""

import dataclasses
import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dagster as dg

from powerca_sync.defs.failures import ERROR
from powerca_sync.defs.keys import BOOKING, REFRESH
from powerca_sync.defs.metadata import conflicts_of, figures_of, rejections_of
from powerca_sync.defs.runs.progress import needs_attention, words_of
from powerca_sync.engine.requests import Mode
from powerca_sync.engine.result import Conflict
from powerca_sync.engine.staging import Rejections
from powerca_sync.errors import ConfigurationError
from powerca_sync.settings import DesktopFunctions
from powerca_sync.specs import TableSpec, needed_tables


class Verdict(enum.StrEnum):
    """The end of a table's step."""

    OK = "ok"
    #: Synced, but something should be looked at: rows in quarantine, conflicts, lookups without answer.
    WARNING = "warning"
    FAILED = "failed"
    #: Not tried, because a table whose rows it needs failed.
    SKIPPED = "skipped"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TableOutcome:
    """The outcome of one table; the figures are those of Dagster's metadata."""

    table: str
    verdict: Verdict
    figures: Mapping[str, int | float | str] = dataclasses.field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    #: What a person may want to know, and need not act on.
    remarks: tuple[str, ...] = ()
    #: Rows in quarantine by reason, column and parent.
    quarantine: tuple[Rejections, ...] = ()
    #: The first rows born on either side under one key, with both contents.
    conflicts: tuple[Conflict, ...] = ()
    #: Why it failed or was skipped.
    error: str | None = None
    #: Class of what it failed with.
    kind: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FunctionOutcome:
    """The outcome of a function of the office that the run calls on the desktop."""

    #: `desktop_refresh` or `desktop_booking`.
    asset: str
    #: `schema.name`.
    function: str
    #: `skipped` if it was not called: no phone row to book, or the run ended before.
    verdict: Verdict
    seconds: float | None = None
    #: The first rows that it returned, in one line.
    returned: str | None = None
    #: Number of rows that it returned.
    rows: int | None = None
    #: Phone rows inserted since the last booking; None for a refresh.
    booked: int | None = None
    #: Why it failed.
    error: str | None = None
    #: Class of what it failed with.
    kind: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RunOutcome:
    """The outcome of a run, with tables in the order of their dependencies."""

    run_id: str
    #: The job that ran.
    job: str
    #: Of a forward run; None for the way back.
    mode: Mode | None
    seconds: float
    tables: tuple[TableOutcome, ...]
    #: The office's functions that this direction calls.
    functions: tuple[FunctionOutcome, ...] = ()
    #: Why the run ended before its tables; None if it did not.
    error: str | None
    #: Exit status of a run that a signal ended (130 for Ctrl-C, 143 for SIGTERM); None otherwise.
    interrupted: int | None = None

    @property
    def failed(self) -> tuple[TableOutcome, ...]:
        """Tables that failed themselves."""
        return tuple(table for table in self.tables if table.verdict is Verdict.FAILED)

    @property
    def refresh_failed(self) -> bool:
        """Returns whether no table was read because the function that refreshes the desktop's tables failed."""
        return self.mode is not None and any(one.error for one in self.functions)

    @property
    def exit_status(self) -> int:
        """0 all well, 1 something failed, 2 only the configuration is at fault, 128 and its number after a signal."""
        if self.interrupted:
            return self.interrupted
        failures: list[TableOutcome | FunctionOutcome] = [one for one in self.functions if one.error]
        if self.error is None and not failures and not any(table.error for table in self.tables):
            return 0
        kinds = {one.kind for one in [*failures, *self.failed]}
        return 2 if self.error is None and kinds == {ConfigurationError.__name__} else 1


def table_outcomes(
    specs: Sequence[TableSpec], key: Callable[[TableSpec], dg.AssetKey], result: dg.ExecuteInProcessResult
) -> tuple[TableOutcome, ...]:
    """Returns the outcome of each of these tables (parents first), whose asset is `key` of its spec."""
    outcomes: dict[str, TableOutcome] = {}
    synced = {event.asset_key: event for event in result.get_asset_materialization_events()}
    failed = {event.step_key: event for event in result.get_step_failure_events()}
    for spec in specs:
        asset = key(spec)
        if (step := asset.to_python_identifier()) in failed:
            outcomes[spec.mobile] = _failed(spec, failed[step])
        elif asset in synced:
            outcomes[spec.mobile] = _synced(spec, synced[asset])
        else:
            missing = [name for name in needed_tables(spec) if name in outcomes and outcomes[name].error]
            outcomes[spec.mobile] = TableOutcome(
                table=spec.mobile,
                verdict=Verdict.SKIPPED,
                error=f"it needs the rows of {', '.join(missing)}" if missing else "the run ended before this table",
            )
    return tuple(outcomes.values())


def function_outcomes(functions: DesktopFunctions, result: dg.ExecuteInProcessResult) -> tuple[FunctionOutcome, ...]:
    """Returns the outcome of each of these functions."""
    outcomes = []
    for key, function in ((REFRESH, functions.before_forward), (BOOKING, functions.after_reverse)):
        if function is None:
            continue
        asset, failures = key.to_user_string(), result.get_step_failure_events()
        found = FunctionOutcome(asset=asset, function=str(function), verdict=Verdict.SKIPPED)
        for failed in (event for event in failures if event.step_key == asset):
            found = dataclasses.replace(found, verdict=Verdict.FAILED, error=words_of(failed), kind=_kind(failed))
        for event in (event for event in result.get_asset_materialization_events() if event.asset_key == key):
            figures = figures_of(event.step_materialization_data.materialization.metadata)
            told: dict[str, Any] = {name: figures.get(name) for name in ("seconds", "returned", "rows", "booked")}
            found = dataclasses.replace(found, verdict=Verdict.OK, **told)
        outcomes.append(found)
    return tuple(outcomes)


def _synced(spec: TableSpec, event: dg.DagsterEvent) -> TableOutcome:
    metadata = event.step_materialization_data.materialization.metadata
    figures = figures_of(metadata)
    return TableOutcome(
        table=spec.mobile,
        verdict=Verdict.WARNING if needs_attention(figures) else Verdict.OK,
        warnings=tuple(str(figures.pop("warnings", "")).splitlines()),
        remarks=tuple(str(figures.pop("remarks", "")).splitlines()),
        figures=figures,
        quarantine=rejections_of(metadata),
        conflicts=conflicts_of(metadata),
    )


def _failed(spec: TableSpec, event: dg.DagsterEvent) -> TableOutcome:
    return TableOutcome(table=spec.mobile, verdict=Verdict.FAILED, error=words_of(event), kind=_kind(event))


def _kind(event: dg.DagsterEvent) -> str | None:
    """Returns the class of what a step failed with."""
    failure = event.step_failure_data.user_failure_data
    kind = figures_of(failure.metadata).get(ERROR) if failure else None
    return None if kind is None else str(kind)


def run_error(result: dg.ExecuteInProcessResult) -> str | None:
    """Why the run ended before its tables; None if it did not, whatever became of them."""
    for event in result.all_events:
        if event.event_type is not dg.DagsterEventType.RUN_FAILURE:
            continue
        reason = event.job_failure_data.failure_reason
        if reason is None or reason.value != "STEP_FAILURE":
            return words_of(event)
    return None
