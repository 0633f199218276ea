"""A run's events as sentences for a person who watches, instead of Dagster's own log lines."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import dagster as dg
from typing_extensions import override

from powerca_sync.defs.metadata import figures_of
from powerca_sync.engine.result import ForwardResult, ReverseResult, figures
from powerca_sync.plain_text import counted

#: Dagster's name of the error that it raises in a step when the process is interrupted.
INTERRUPTED: Final = "DagsterExecutionInterruptedError"
#: Takes a line without its newline.
Say = Callable[[str], None]


def build_progress_logger(
    say: Say, tables: Mapping[str, str], *, interrupted: Callable[[str], None]
) -> dg.LoggerDefinition:
    """Returns a Dagster logger that says how each table ended, and nothing else.

    `tables` gives the table of each step. `interrupted` is called with the run's id when a step was interrupted, before
    Dagster decides on the status of the run.
    """

    def progress(context: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.Logger("powerca_sync.progress", logging.DEBUG)
        logger.addHandler(_EventHandler(say, tables, interrupted))
        return logger

    return dg.LoggerDefinition(progress, description="How each table ended, for the terminal.")


@contextlib.contextmanager
def engine_lines(detail: Say, moving: Say) -> Iterator[None]:
    """Pass on what the engine logs meanwhile: a line for each stage of a table, and the progress of its rows."""
    logger = logging.getLogger("powerca_sync")
    handler = _LineHandler(detail, moving)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


def words_of(event: dg.DagsterEvent) -> str:
    """Why a step failed or has to be tried again, in the words of the error that caused it."""
    data = event.event_specific_data
    failure = getattr(data, "user_failure_data", None)
    if failure is not None and failure.description:
        return str(failure.description)
    error = getattr(data, "error", None)
    # What Dagster wraps around an error says less than the error.
    while (
        error is not None and error.cause is not None and str(error.cls_name).startswith(("RetryRequested", "Dagster"))
    ):
        error = error.cause
    if error is None:
        return "no reason was given"
    if error.cls_name == INTERRUPTED:
        return "it was interrupted"
    # Dagster keeps `module.Class: message`.
    return str(error.message).partition(": ")[2].strip() or str(error.message).strip()


def was_interrupted(event: dg.DagsterEvent) -> bool:
    """Returns whether the step's error was an interrupt of the process."""
    error = getattr(event.event_specific_data, "error", None)
    while error is not None:
        if error.cls_name == INTERRUPTED:
            return True
        error = error.cause
    return False


def summary(table: str, found: Mapping[str, int | float | str]) -> str:
    """Returns one line about a table that was synced, with the figures that the command's table has."""
    kind, row, doing = (ReverseResult, "phone row", "") if "seen" in found else (ForwardResult, "row", " read")
    rows, *fates = (figure.name for figure in figures(kind) if figure.heading)
    told = ", ".join(f"{found[name]} {name.replace('_', ' ')}" for name in fates if found.get(name))
    mark = "[WARN]" if needs_attention(found) else "[OK]"
    read = counted(int(found.get(rows, 0)), row)
    return f"{mark} {table}: {read}{doing}, {told or 'nothing to do'} ({found.get('seconds', 0):.2f} s)"


def call_summary(asset: str, found: Mapping[str, int | float | str]) -> str:
    """Returns one line about a function of the office that was called."""
    return f"[OK] {asset}: `{found['called']}` returned {found['returned']} ({found.get('seconds', 0):.2f} s)"


def needs_attention(figures: Mapping[str, int | float | str]) -> bool:
    """Whether a table that was synced has something that a person should look at."""
    return any(figures.get(name) for name in ("quarantined", "conflicts", "lookalikes", "unassigned", "warnings"))


def _is_of_step(event: dg.DagsterEvent) -> bool:
    """Returns whether a materialization is that of the step's own table; another one is of the desktop's."""
    return event.asset_key is not None and event.asset_key.to_python_identifier() == event.step_key


class _LineHandler(logging.Handler):
    def __init__(self, detail: Say, moving: Say) -> None:
        super().__init__(logging.INFO)
        self._detail = detail
        self._moving = moving

    @override
    def emit(self, record: logging.LogRecord) -> None:
        pass_on = self._moving if getattr(record, "moving", False) else self._detail
        pass_on(f"  {record.getMessage()}")


class _EventHandler(logging.Handler):
    def __init__(self, say: Say, tables: Mapping[str, str], interrupted: Callable[[str], None]) -> None:
        super().__init__(logging.DEBUG)
        self._say = say
        self._tables = tables
        self._interrupted = interrupted

    @override
    def emit(self, record: logging.LogRecord) -> None:
        meta = getattr(record, "dagster_meta", {})
        event: dg.DagsterEvent | None = meta.get("dagster_event")
        if event is None:
            return
        table = self._tables.get(event.step_key or "", event.step_key)
        match event.event_type:
            case dg.DagsterEventType.ASSET_MATERIALIZATION if _is_of_step(event):
                materialization = event.step_materialization_data.materialization
                found = figures_of(materialization.metadata)
                self._say((call_summary if "called" in found else summary)(str(table), found))
            case dg.DagsterEventType.STEP_UP_FOR_RETRY:
                wait = event.step_retry_data.seconds_to_wait or 0
                self._say(f"[WARN] {table}: {words_of(event)} Next attempt in {wait:.0f} s.")
            case dg.DagsterEventType.STEP_FAILURE:
                self._say(f"[X] {table}: {words_of(event)}")
                if was_interrupted(event):
                    self._interrupted(meta["run_id"])
