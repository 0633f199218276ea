"""Run a job in this process: what the command line needs of Dagster."""

import dataclasses
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import dagster as dg
from sqlalchemy.exc import SQLAlchemyError

from powerca_sync.defs import build_definitions
from powerca_sync.defs.failures import Retries
from powerca_sync.defs.follow_up import COMMAND, FOLLOWS, STARTED_BY, tables_to_follow
from powerca_sync.defs.jobs import REVERSE_JOB, forward_job_name
from powerca_sync.defs.keys import BOOKING, REFRESH, mobile_key, reverse_key
from powerca_sync.defs.partitions import OFFICE, office_tags
from powerca_sync.defs.platform import one_process_at_a_time
from powerca_sync.defs.runs.outcome import (
    RunOutcome,
    TableOutcome,
    Verdict,
    function_outcomes,
    run_error,
    table_outcomes,
)
from powerca_sync.defs.runs.progress import Say, build_progress_logger, engine_lines
from powerca_sync.engine.requests import Allowances, Choice, Mode
from powerca_sync.errors import ConfigurationError
from powerca_sync.interrupts import note_signals
from powerca_sync.settings import DesktopFunctions
from powerca_sync.specs import TableSpec, in_order

#: Tag by which a job's page in Dagster finds its runs (`repository@location`); Dagster has no public name for it.
REPOSITORY: Final = ".dagster/repository"
#: Name of the code location, as in `workspace.yaml` and `pyproject.toml`.
CODE_LOCATION: Final = "powerca_sync"
#: For an instance of our own, where the current folder has no `dagster.yaml` to copy. Nothing is sent to anybody; the
#: engine's lines are kept with the events of their run.
INSTANCE = """\
storage:
  custom:
    module: powerca_sync.defs.platform
    class: PostgresOrSqliteStorage
    config: {}
telemetry:
  enabled: false
python_logs:
  managed_python_loggers: [powerca_sync]
  python_log_level: INFO
"""


@contextmanager
def open_instance(folder: Path) -> Iterator[dg.DagsterInstance]:
    """Yields the Dagster instance of `DAGSTER_HOME`, or one in `folder`, which is created if it is missing.

    Raises `ConfigurationError` if the history cannot be read or written, here or while the instance is used.
    """
    is_named = bool(os.environ.get("DAGSTER_HOME"))
    home = Path(os.environ["DAGSTER_HOME"]) if is_named else folder
    with _explained_history(home):
        if not is_named:
            folder.mkdir(parents=True, exist_ok=True)
        with one_process_at_a_time(home, "instance"):
            if not is_named:
                _configure(folder)
                os.environ["DAGSTER_HOME"] = str(folder.resolve())
            instance = dg.DagsterInstance.get()
        with instance:
            yield instance


@contextmanager
def _explained_history(home: Path) -> Iterator[None]:
    """Turn the errors of Dagster's storage into a `ConfigurationError` that names it."""
    try:
        with _without_retries_in_log():
            yield
    except _history_errors() as exc:
        host = os.environ.get("DAGSTER_POSTGRES_HOST")
        place, check = (
            (f"on the database server `{host}`", "the server answers and `DAGSTER_POSTGRES_*` are right")
            if host
            else (f"in `{home}`", "the folder exists, this user may write to it and its disk is not full")
        )
        # Dagster says how often it tried; the cause is why that failed.
        cause = exc.__cause__ or exc
        words = str(getattr(cause, "orig", None) or cause).strip().partition("\n")[0]
        raise ConfigurationError(f"Dagster's history {place} cannot be used: {words}. Check that {check}.") from exc


def _history_errors() -> tuple[type[Exception], ...]:
    """Returns what Dagster's storage raises."""
    errors = (OSError, SQLAlchemyError, dg.DagsterInvariantViolationError)
    if not os.environ.get("DAGSTER_POSTGRES_HOST"):
        return errors
    from dagster_postgres.utils import DagsterPostgresException

    return (*errors, DagsterPostgresException)


@contextmanager
def _without_retries_in_log() -> Iterator[None]:
    """Keep the attempts to reach the history's server, which Dagster logs with traces, out of the root logger.

    Without a handler there, Dagster's call would add one that shows the warnings of all libraries in another form.
    """
    root, added = logging.getLogger(), None if logging.root.handlers else logging.lastResort
    if added:
        root.addHandler(added)
    root.addFilter(_is_no_retry)
    try:
        yield
    finally:
        root.removeFilter(_is_no_retry)
        if added:
            root.removeHandler(added)


def _is_no_retry(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("Retrying failed database connection")


def _configure(folder: Path) -> None:
    configuration, project = folder / "dagster.yaml", Path("dagster.yaml")
    if not configuration.exists():
        text = project.read_text(encoding="utf-8") if project.exists() else INSTANCE
        configuration.write_text(text, encoding="utf-8")


def run_forward(
    specs: Sequence[TableSpec],
    *,
    mode: Mode,
    only: Sequence[TableSpec],
    allowances: Allowances,
    functions: DesktopFunctions | None = None,
    instance: dg.DagsterInstance,
    office: str | None = None,
    say: Say,
    detail: Say,
    moving: Say,
) -> RunOutcome:
    """Run the forward job over the tables of `only`, in this process.

    `office` is a key of the file of offices. The function of `functions` is called first, whichever tables are
    selected; if it fails, no table is read. `say` gets a line when a table has ended, `detail` a line for each stage of
    a table, `moving` the progress of its rows (each such line supersedes the one before). The run is in the instance's
    history like any other. A table that fails does not raise.
    """
    config = {"sync": {"config": {"mode": mode.value, **dataclasses.asdict(allowances)}}}
    functions = dataclasses.replace(functions or DesktopFunctions(), after_reverse=None)
    run = _Run(job=forward_job_name(mode), mode=mode, key=mobile_key, config=config, functions=functions, office=office)
    return run.carry_out(specs, only, instance=instance, say=say, detail=detail, moving=moving)


def run_reverse(
    specs: Sequence[TableSpec],
    *,
    only: Sequence[TableSpec],
    again: bool,
    lookalikes: Choice,
    functions: DesktopFunctions | None = None,
    instance: dg.DagsterInstance,
    office: str | None = None,
    say: Say,
    detail: Say,
    moving: Say,
) -> RunOutcome:
    """Run the reverse job over the tables of `only`, in the same way; the function of `functions` is called last.

    Raises `ConfigurationError` if there is no table, or one whose spec keeps its phone rows from coming back.
    """
    if not only:
        raise ConfigurationError("No table is reverse-synced: `reverse` is False in every spec.")
    if kept := [spec.mobile for spec in only if not spec.reverse]:
        raise ConfigurationError(f"Not reverse-synced: {', '.join(kept)}. `reverse` is False in the table's spec.")
    config = {"pull": {"config": {"again": again, "lookalikes": lookalikes.value}}}
    functions = dataclasses.replace(functions or DesktopFunctions(), before_forward=None)
    run = _Run(job=REVERSE_JOB, mode=None, key=reverse_key, config=config, functions=functions, office=office)
    return run.carry_out(specs, only, instance=instance, say=say, detail=detail, moving=moving)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Run:
    """A run of a job, whichever the direction."""

    job: str
    mode: Mode | None
    #: The asset of a table.
    key: Callable[[TableSpec], dg.AssetKey]
    #: Of the job's resources.
    config: Mapping[str, Any]
    #: Those that this direction calls.
    functions: DesktopFunctions
    #: Key of the office, whose partition is materialized; None where nothing is partitioned.
    office: str | None

    def carry_out(
        self,
        specs: Sequence[TableSpec],
        only: Sequence[TableSpec],
        *,
        instance: dg.DagsterInstance,
        say: Say,
        detail: Say,
        moving: Say,
    ) -> RunOutcome:
        began = time.monotonic()
        tables = in_order_of(specs, only)
        names = {self.key(spec).to_python_identifier(): spec.mobile for spec in tables}
        first = [REFRESH] if self.functions.before_forward else []
        last = [BOOKING] if self.functions.after_reverse else []
        stopped: list[str] = []

        def cancel(run_id: str) -> None:
            """Mark the run as being cancelled: Dagster calls an interrupted run without that mark failed."""
            stopped.append(run_id)
            if run := instance.get_run_by_id(run_id):
                instance.report_run_canceling(run, "The command was interrupted.")

        logger = build_progress_logger(say, names, interrupted=cancel)
        # Without separate checks: a selection of assets would take them along.
        definitions = build_definitions(
            specs,
            functions=self.functions,
            loggers={"progress": logger},
            retries=Retries(in_command=True),
            separate_checks=False,
            by_office=self.office is not None,
        )
        if self.office:
            # The daemon may not have seen the office yet.
            instance.add_dynamic_partitions(OFFICE, [self.office])
        with engine_lines(detail, moving), note_signals() as signals:
            result = self._execute(definitions, [*first, *map(self.key, tables), *last], instance, {})
            outcomes = {outcome.table: outcome for outcome in table_outcomes(tables, self.key, result)}
            calls = function_outcomes(self.functions, result)
            error = run_error(result)
            if error is None and not stopped and any(one.verdict is Verdict.FAILED for one in outcomes.values()):
                ready = self._to_follow(tables, outcomes)
                # Dagster skips the booking after a table that failed; it books what the others inserted.
                if keys := [*map(self.key, ready), *last]:
                    followed = self._execute(definitions, keys, instance, {FOLLOWS: result.run_id})
                    outcomes |= {outcome.table: outcome for outcome in table_outcomes(ready, self.key, followed)}
                    calls = calls if first else function_outcomes(self.functions, followed)
                    error = run_error(followed)
            interrupted = signals.exit_status if stopped else None
        return RunOutcome(
            run_id=result.run_id,
            job=self.job,
            mode=self.mode,
            seconds=time.monotonic() - began,
            tables=tuple(outcomes.values()),
            functions=calls,
            error=error,
            interrupted=interrupted,
        )

    def _execute(
        self,
        definitions: dg.Definitions,
        keys: Sequence[dg.AssetKey],
        instance: dg.DagsterInstance,
        tags: Mapping[str, str],
    ) -> dg.ExecuteInProcessResult:
        repository = definitions.get_repository_def().name
        return definitions.resolve_job_def(self.job).execute_in_process(
            instance=instance,
            run_config={"resources": self.config, "loggers": {"progress": {}}},
            asset_selection=keys,
            tags={STARTED_BY: COMMAND, REPOSITORY: f"{repository}@{CODE_LOCATION}", **office_tags(self.office), **tags},
            raise_on_error=False,
        )

    @staticmethod
    def _to_follow(tables: Sequence[TableSpec], outcomes: Mapping[str, TableOutcome]) -> tuple[TableSpec, ...]:
        """The skipped tables that need no row of a failed one."""
        by_verdict = {
            verdict: [name for name, outcome in outcomes.items() if outcome.verdict is verdict]
            for verdict in (Verdict.FAILED, Verdict.SKIPPED)
        }
        return tables_to_follow(tables, failed=by_verdict[Verdict.FAILED], skipped=by_verdict[Verdict.SKIPPED])


def in_order_of(specs: Sequence[TableSpec], only: Sequence[TableSpec]) -> list[TableSpec]:
    """Those of `only`, each once, parents first."""
    return [spec for spec in in_order(specs) if spec in only]
