"""Writes a message and sends it with `apprise`; the addresses, which hold secrets, reach no log, name or error."""

import contextlib
import dataclasses
import hashlib
import logging
import re
import urllib.parse
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

import dagster as dg
from typing_extensions import override

from powerca_sync.defs.alerts.problems import Findings, Problem
from powerca_sync.defs.runs import BY_HAND
from powerca_sync.operations import Alerting
from powerca_sync.plain_text import counted, in_lines

#: Characters of one reason, which may be a script; the UI has all of them.
LONGEST_REASON: Final = 600
#: Names on one line, reasons and runs in one message: when all offices fail at once, the UI has the rest.
MOST_NAMES, MOST_REASONS, MOST_RUNS = 40, 30, 10
ENDED: Final = {
    dg.DagsterRunStatus.SUCCESS: "succeeded",
    dg.DagsterRunStatus.FAILURE: "failed",
    dg.DagsterRunStatus.CANCELED: "was cancelled",
}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """A message in plain text."""

    title: str
    body: str
    #: `failure`, `warning` or `success`; some services choose a colour by it.
    kind: str


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class News:
    """Problems and successes that have not been sent yet."""

    problems: tuple[Problem, ...]
    #: Keys of problems that were told and are solved.
    solved: tuple[str, ...]
    #: Keys of problems that were told and have not changed.
    unchanged: tuple[str, ...]


def compose(findings: Findings, news: News, alerting: Alerting, *, by_office: bool = False) -> Message:
    """Writes the message: new problems (failures first, equal reasons on one line), solved ones, and their runs.

    In a digest of many offices (`by_office`) problems of one kind are on one line, with the first of their reasons.
    """
    lines = []
    groups: dict[tuple[bool, str | None, str], list[Problem]] = {}
    for problem in sorted(news.problems, key=lambda problem: problem.is_warning):
        alike = problem.kind if by_office else problem.reason
        groups.setdefault((problem.is_warning, problem.check, alike), []).append(problem)
    for group in list(groups.values())[:MOST_REASONS]:
        lines += _lines(group, by_office=by_office)
    if len(groups) > MOST_REASONS:
        lines.append(f"... and {counted(len(groups) - MOST_REASONS, 'other problem')}; the UI shows them.")
    if findings.skipped and news.problems:
        lines.append(f"Not tried, because they depend on what failed: {_names(sorted(findings.skipped))}.")
    if news.solved:
        lines.append(f"[OK] Solved: {_names(news.solved)}.")
    if news.unchanged:
        lines.append(f"Not solved yet: {_names(news.unchanged)}.")
    keys = [*(problem.key for problem in news.problems), *news.solved]
    runs = {record.dagster_run.run_id: record for record in map(findings.runs.__getitem__, keys)}
    lines += ["", *(_run_line(record, alerting) for record in list(runs.values())[:MOST_RUNS])]
    if len(runs) > MOST_RUNS:
        lines.append(f"... and {counted(len(runs) - MOST_RUNS, 'other run')}: {alerting.ui_url}/runs")
    mark, kind, headline = _headline(news, by_office=by_office)
    jobs = ", ".join(dict.fromkeys(map(_job, runs.values())))
    title = f"[{mark}] {alerting.office or 'powerca_sync'}: {jobs}: {headline}"
    return Message(title=title, body="\n".join(lines), kind=kind)


def _headline(news: News, *, by_office: bool) -> tuple[str, str, str]:
    count, solved = len(news.problems), len(news.solved)
    if count:
        is_warning = all(problem.is_warning for problem in news.problems)
        mark, kind, noun = ("WARN", "warning", "warning") if is_warning else ("X", "failure", "problem")
        offices = {_office(problem.subject) for problem in news.problems} - {""}
        where = f" in {counted(len(offices), 'office')}" if by_office and offices else ""
        return mark, kind, f"{count} {noun}{'' if count == 1 else 's'}{where}"
    left = f", {len(news.unchanged)} left" if news.unchanged else ""
    return "OK", "success", f"{solved} problem{'' if solved == 1 else 's'} solved{left}"


def _office(subject: str) -> str:
    """Returns the office's key before the step; empty without one."""
    return subject.partition(": ")[0] if ": " in subject else ""


def _subjects(group: Sequence[Problem]) -> str:
    """Returns offices and steps of a group of one kind."""
    offices = list(dict.fromkeys(_office(problem.subject) for problem in group))
    steps = list(dict.fromkeys(problem.subject.rpartition(": ")[2] for problem in group))
    if len(offices) == 1:
        return f"{offices[0]}: {_names(steps)}" if offices[0] else _names(steps)
    return f"{len(offices)} offices ({_names(offices)}): {_names(steps)}"


def _lines(group: Sequence[Problem], *, by_office: bool) -> list[str]:
    first = group[0]
    reason = first.reason if len(first.reason) <= LONGEST_REASON else f"{first.reason[:LONGEST_REASON]} ..."
    what = " failed" if first.check is None else f", check {first.check}"
    mark = "[WARN]" if first.is_warning else "[X]"
    subjects = _subjects(group) if by_office else _names([problem.subject for problem in group])
    others = len({problem.reason for problem in group}) - 1
    more = f" (and {counted(others, 'other reason')} of this kind)" if others else ""
    lines = [in_lines(f"{mark} {subjects}{what}: {reason}{more}")]
    if len(group) == 1 and first.counts:
        lines.append("    " + ", ".join(f"{name}: {count}" for name, count in first.counts.items()))
    return lines


def _run_line(record: dg.RunRecord, alerting: Alerting) -> str:
    run = record.dagster_run
    ended = datetime.fromtimestamp(record.end_time or record.update_timestamp.timestamp(), ZoneInfo(alerting.timezone))
    return (
        f"{_job(record)} {ENDED.get(run.status, 'ended')} on {ended:%Y-%m-%d at %H:%M} ({alerting.timezone}): "
        f"{alerting.ui_url}/runs/{run.run_id}"
    )


def _job(record: dg.RunRecord) -> str:
    return BY_HAND if record.dagster_run.job_name.startswith("__") else record.dagster_run.job_name


def _names(keys: Sequence[str]) -> str:
    """Joins names of steps, in which Dagster writes `/` as `__`."""
    others = f" and {len(keys) - MOST_NAMES} others" if len(keys) > MOST_NAMES else ""
    return ", ".join(key.replace("__", "/") for key in keys[:MOST_NAMES]) + others


class Recipient:
    """One address, named by its place in `POWERCA_ALERT_URLS` or in the office's entry, counted from 1."""

    def __init__(self, url: str, place: int, *, office: str = "") -> None:
        # Takes a tenth of a second to import, which no command needs.
        import apprise

        self._url = url
        asset = apprise.AppriseAsset(app_id="powerca_sync", app_desc="powerca_sync", app_url="", async_mode=False)
        with _captured_warnings():
            self._server = apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
        #: Whether `apprise` has a service for this form of address.
        self.is_known = self._server is not None
        #: Identifies the address wherever it stands, without revealing it.
        self.id = hashlib.sha256(url.encode()).hexdigest()[:16]
        whose = f" of office {office}" if office else ""
        self.name = f"recipient {place}{whose} ({'unknown' if self._server is None else self._server.service_name})"

    def send(self, message: Message) -> str | None:
        """Sends a message once; returns the error if that failed, otherwise None."""
        import apprise

        with _captured_warnings() as warnings:
            sent = apprise.Apprise(self._server).notify(
                title=message.title,
                body=message.body,
                notify_type=apprise.NotifyType(message.kind),
                body_format=apprise.NotifyFormat.TEXT,
            )
        return None if sent else self._without_address(" ".join(warnings)) or "the service refused the message"

    def _without_address(self, text: str) -> str:
        parts = {part for part in re.split(r"[/:@?&=,]+", self._url.partition("://")[2]) if len(part) > 2}
        for part in sorted(parts | {urllib.parse.unquote(part) for part in parts}, key=len, reverse=True):
            text = text.replace(part, "***")
        return " ".join(text.split())


@contextlib.contextmanager
def _captured_warnings() -> Iterator[list[str]]:
    """Yields the warnings of `apprise`. Its records, and those of urllib3 with whole addresses, go nowhere else."""
    warnings: list[str] = []

    class Handler(logging.Handler):
        @override
        def emit(self, record: logging.LogRecord) -> None:
            warnings.append(record.getMessage())

    handler = Handler(logging.WARNING)
    loggers = [logging.getLogger(name) for name in ("apprise", "urllib3")]
    before = [(logger.propagate, logger.level) for logger in loggers]
    for logger in loggers:
        logger.propagate = False
        logger.setLevel(logging.WARNING)
    loggers[0].addHandler(handler)
    try:
        yield warnings
    finally:
        loggers[0].removeHandler(handler)
        for logger, (propagate, level) in zip(loggers, before, strict=True):
            logger.propagate = propagate
            logger.setLevel(level)
