"""Run a job in this process and say what came of it: what the command line needs of Dagster."""

import dataclasses
import enum
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from powerca_sync.defs import build_definitions
from powerca_sync.defs.failures import ERROR
from powerca_sync.defs.jobs import forward_job_name
from powerca_sync.defs.keys import mobile_key
from powerca_sync.defs.metadata import rejections_of
from powerca_sync.defs.progress import (
    Say,
    build_progress_logger,
    engine_lines,
    figures_of,
    needs_attention,
    words_of,
)
from powerca_sync.engine.extract import Mode
from powerca_sync.engine.validation import Rejections
from powerca_sync.errors import ConfigurationError
from powerca_sync.tables import TableSpec, in_order

#: For an instance of our own, where the current folder has no `dagster.yaml` to copy. Nothing is sent to anybody; the
#: engine's lines are kept with the events of their run.
INSTANCE = """\
telemetry:
  enabled: false
python_logs:
  managed_python_loggers: [powerca_sync]
  python_log_level: INFO
"""


class Verdict(enum.StrEnum):
    """How a table ended."""

    OK = "ok"
    #: Synced, but something should be looked at: rows in quarantine, conflicts, lookups without answer.
    WARNING = "warning"
    FAILED = "failed"
    #: Not tried, because a table that it depends on failed.
    SKIPPED = "skipped"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TableOutcome:
    """What a run did to one table; the figures are those in Dagster's metadata."""

    table: str
    verdict: Verdict
    figures: Mapping[str, int | float | str] = dataclasses.field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    #: Rows in quarantine by reason, column and parent.
    quarantine: tuple[Rejections, ...] = ()
    #: Why it failed or was skipped.
    error: str | None = None
    #: Class of what it failed with.
    kind: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RunOutcome:
    """What a run did, tables in the order of their dependencies."""

    run_id: str
    mode: Mode
    seconds: float
    tables: tuple[TableOutcome, ...]
    #: Why the run ended before its tables; None if it did not.
    error: str | None

    @property
    def failed(self) -> tuple[TableOutcome, ...]:
        """Tables that failed themselves."""
        return tuple(table for table in self.tables if table.verdict is Verdict.FAILED)

    @property
    def exit_status(self) -> int:
        """0 all well, 1 something failed, 2 only the configuration is at fault."""
        if self.error is None and not any(table.error for table in self.tables):
            return 0
        kinds = {table.kind for table in self.failed}
        return 2 if self.error is None and kinds == {ConfigurationError.__name__} else 1


@contextmanager
def open_instance(folder: Path) -> Iterator[dg.DagsterInstance]:
    """The Dagster instance that `DAGSTER_HOME` names, or one in `folder`, which is made if it is not there."""
    if not os.environ.get("DAGSTER_HOME"):
        folder.mkdir(parents=True, exist_ok=True)
        configuration, project = folder / "dagster.yaml", Path("dagster.yaml")
        if not configuration.exists():
            text = project.read_text(encoding="utf-8") if project.exists() else INSTANCE
            configuration.write_text(text, encoding="utf-8")
        os.environ["DAGSTER_HOME"] = str(folder.resolve())
    try:
        instance = dg.DagsterInstance.get()
    except dg.DagsterInvariantViolationError as exc:
        raise ConfigurationError(f"DAGSTER_HOME is `{os.environ['DAGSTER_HOME']}`, which is no use: {exc}") from exc
    with instance:
        yield instance


def run_forward(
    specs: Sequence[TableSpec],
    *,
    mode: Mode,
    only: Sequence[TableSpec],
    allow_mass_delete: bool,
    instance: dg.DagsterInstance,
    say: Say,
    moving: Say,
) -> RunOutcome:
    """Run the forward job over the tables of `only`, in this process; says how each ends as soon as it has.

    `moving` is told how far the rows of a table have come; each such line supersedes the one before.

    The run is in the instance's history like any other. A table that fails does not raise.
    """
    began = time.monotonic()
    definitions = build_definitions(specs, loggers={"progress": build_progress_logger(say)})
    with engine_lines(say, moving):
        result = definitions.resolve_job_def(forward_job_name(mode)).execute_in_process(
            instance=instance,
            run_config={
                "resources": {"sync": {"config": {"mode": mode.value, "allow_mass_delete": allow_mass_delete}}},
                "loggers": {"progress": {}},
            },
            asset_selection=[mobile_key(spec.mobile) for spec in only],
            tags={"started_by": "powerca-sync"},
            raise_on_error=False,
        )
    return RunOutcome(
        run_id=result.run_id,
        mode=mode,
        seconds=time.monotonic() - began,
        tables=_outcomes(in_order_of(specs, only), result),
        error=_run_error(result),
    )


def in_order_of(specs: Sequence[TableSpec], only: Sequence[TableSpec]) -> list[TableSpec]:
    """Those of `only`, each once, parents first."""
    return [spec for spec in in_order(specs) if spec in only]


def _outcomes(specs: Sequence[TableSpec], result: dg.ExecuteInProcessResult) -> tuple[TableOutcome, ...]:
    outcomes: dict[str, TableOutcome] = {}
    landed = {event.asset_key: event for event in result.get_asset_materialization_events()}
    failed = {event.step_key: event for event in result.get_step_failure_events()}
    for spec in specs:
        key = mobile_key(spec.mobile)
        if (step := key.to_python_identifier()) in failed:
            outcomes[spec.mobile] = _failed(spec, failed[step])
        elif key in landed:
            outcomes[spec.mobile] = _landed(spec, landed[key])
        else:
            missing = [name for name in spec.depends_on if name in outcomes and outcomes[name].error]
            outcomes[spec.mobile] = TableOutcome(
                table=spec.mobile,
                verdict=Verdict.SKIPPED,
                error=f"it comes after {', '.join(missing)}" if missing else "the run ended before it",
            )
    return tuple(outcomes.values())


def _landed(spec: TableSpec, event: dg.DagsterEvent) -> TableOutcome:
    metadata = event.step_materialization_data.materialization.metadata
    figures = figures_of(metadata)
    return TableOutcome(
        table=spec.mobile,
        verdict=Verdict.WARNING if needs_attention(figures) else Verdict.OK,
        warnings=tuple(str(figures.pop("warnings", "")).splitlines()),
        figures=figures,
        quarantine=rejections_of(metadata),
    )


def _failed(spec: TableSpec, event: dg.DagsterEvent) -> TableOutcome:
    failure = event.step_failure_data.user_failure_data
    kind = figures_of(failure.metadata).get(ERROR) if failure else None
    return TableOutcome(
        table=spec.mobile, verdict=Verdict.FAILED, error=words_of(event), kind=None if kind is None else str(kind)
    )


def _run_error(result: dg.ExecuteInProcessResult) -> str | None:
    """Why the run ended before its tables; None if it did not, whatever became of them."""
    for event in result.all_events:
        if event.event_type is not dg.DagsterEventType.RUN_FAILURE:
            continue
        reason = event.job_failure_data.failure_reason
        if reason is None or reason.value != "STEP_FAILURE":
            return words_of(event)
    return None
