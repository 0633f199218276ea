"""Runs: the history of past ones, the events of one as lines and as a result, and a run in the current process.

`history` reads Dagster's records, `progress` and `outcome` turn a run's events into text and into a `RunOutcome`.
`in_process` is not exported: it builds all definitions, which import this package. Starting runs by themselves is left
to `sensors` and `schedules`, telling people of them to `alerts`.
"""

from powerca_sync.defs.metadata import figures_of
from powerca_sync.defs.runs.history import (
    BY_HAND,
    DIRECTION,
    FORWARD,
    FRESH,
    OVERVIEW,
    OVERVIEW_JOB,
    REPORT,
    REPORT_JOB,
    Failures,
    PastRun,
    active_run,
    busy_offices,
    directions_of,
    is_report,
    offices_with_failures,
    read_past_runs,
    recent_failures,
)
from powerca_sync.defs.runs.outcome import FunctionOutcome, RunOutcome, TableOutcome, Verdict
from powerca_sync.defs.runs.progress import was_interrupted, words_of

__all__ = [
    "BY_HAND",
    "DIRECTION",
    "FORWARD",
    "FRESH",
    "OVERVIEW",
    "OVERVIEW_JOB",
    "REPORT",
    "REPORT_JOB",
    "Failures",
    "FunctionOutcome",
    "PastRun",
    "RunOutcome",
    "TableOutcome",
    "Verdict",
    "active_run",
    "busy_offices",
    "directions_of",
    "figures_of",
    "is_report",
    "offices_with_failures",
    "read_past_runs",
    "recent_failures",
    "was_interrupted",
    "words_of",
]
