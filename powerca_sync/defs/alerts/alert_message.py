"""What a message says: what failed, with its figures and its reason, what is over, and where to look."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

import dagster as dg

from powerca_sync.defs.alerts.alert_state import News
from powerca_sync.defs.alerts.notifier import Message
from powerca_sync.defs.alerts.problems import Findings, Problem
from powerca_sync.defs.runs import BY_HAND
from powerca_sync.operations import Alerting
from powerca_sync.plain_text import in_lines

#: Characters of one reason, which may be a whole script; the UI has all of them.
LONGEST: Final = 600
#: Problems listed in one message.
MOST: Final = 20
ENDED: Final = {
    dg.DagsterRunStatus.SUCCESS: "went through",
    dg.DagsterRunStatus.FAILURE: "failed",
    dg.DagsterRunStatus.CANCELED: "was cancelled",
}


def compose(run: dg.DagsterRun, ended: float, findings: Findings, news: News, alerting: Alerting) -> Message:
    """The message about a run that ended at that time, in seconds since 1970."""
    job = BY_HAND if run.job_name.startswith("__") else run.job_name
    at = datetime.fromtimestamp(ended, ZoneInfo(alerting.timezone))
    lines = [f"{job} {ENDED.get(run.status, 'ended')} on {at:%Y-%m-%d at %H:%M} ({alerting.timezone}).", ""]
    groups = _grouped(news.problems)
    for group in groups[:MOST]:
        lines += _lines(group)
    if groups[MOST:]:
        lines.append(f"... and {len(groups[MOST:])} more.")
    if findings.skipped and any(problem.is_of_a_table for problem in news.problems):
        lines.append(f"Not tried, because they come after what failed: {_names(findings.skipped)}.")
    if news.over:
        lines.append(f"[OK] Well again: {_names(news.over)}.")
    if news.still:
        lines.append(f"As told before: {_names(news.still)}.")
    lines += ["", f"{alerting.ui_url}/runs/{run.run_id}"]
    mark, kind, headline = _headline(job, news)
    return Message(title=f"[{mark}] {alerting.office or 'powerca_sync'}: {headline}", body="\n".join(lines), kind=kind)


def _headline(job: str, news: News) -> tuple[str, str, str]:
    failed = [problem for problem in news.problems if not problem.is_warning]
    if failed:
        return "X", "failure", f"{job}: {_count(len(news.problems), 'problem')}"
    if news.problems:
        return "WARN", "warning", f"{job} needs attention"
    if news.still:
        return "OK", "success", f"{job}: {_count(len(news.over), 'problem')} over, {len(news.still)} left"
    return "OK", "success", f"{job} is well again"


def _grouped(problems: Sequence[Problem]) -> list[list[Problem]]:
    """Problems of one reason together, in the order of the first of them; failures before warnings."""
    groups: dict[tuple[bool, str | None, str], list[Problem]] = {}
    for problem in sorted(problems, key=lambda problem: problem.is_warning):
        groups.setdefault((problem.is_warning, problem.check, problem.reason), []).append(problem)
    return list(groups.values())


def _lines(group: Sequence[Problem]) -> list[str]:
    first = group[0]
    mark = "[WARN]" if first.is_warning else "[X]"
    what = f", check {first.check}" if first.check else (" failed" if first.is_of_a_table else "")
    reason = first.reason if len(first.reason) <= LONGEST else f"{first.reason[:LONGEST]} ..."
    lines = [in_lines(f"{mark} {_names([problem.subject for problem in group])}{what}: {reason}")]
    if len(group) == 1 and first.numbers:
        lines.append("    " + ", ".join(f"{name}: {count}" for name, count in first.numbers.items()))
    return lines


def _names(keys: Sequence[str]) -> str:
    """Steps and keys as people know the tables."""
    return ", ".join(key.replace("__", "/") for key in keys)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
