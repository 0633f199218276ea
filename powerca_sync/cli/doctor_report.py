"""The output of `powerca-sync doctor`: findings of one kind together, the most severe last."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence

from powerca_sync.cli.console import Console
from powerca_sync.engine.doctor import BOTH, Finding, Severity, warning
from powerca_sync.env_file import exposure
from powerca_sync.environment import is_demo
from powerca_sync.plain_text import counted


def examine_env_file() -> Iterator[Finding]:
    """Yields a warning if every user of this machine may read or change `.env`."""
    if exposed := exposure():
        yield warning(BOTH, exposed, why="They open both databases.", do="Run `chmod 600 .env`.")


def report_findings(console: Console, findings: Sequence[Finding]) -> int:
    """Print the findings, as text or as one document; returns the exit status."""
    by_severity = {severity: [f for f in findings if f.severity is severity] for severity in Severity}
    warnings, errors = by_severity[Severity.WARNING], by_severity[Severity.WRONG]
    exit_status = 1 if errors else 0
    for finding in by_severity[Severity.FINE]:
        console.show(f"[OK] {finding.side}: {finding.what}")
    show_problems(console, [*warnings, *errors])
    console.show("")
    if errors:
        also = f", and {counted(len(warnings), 'warning')}" if warnings else ""
        console.show(f"[X] {counted(len(errors), 'problem')} to solve before a sync can succeed{also}.")
    elif warnings:
        console.show(f"[WARN] A sync can run; {counted(len(warnings), 'warning')} above.")
    else:
        console.show("[OK] Both databases are ready for a sync.")
    console.document(
        {
            "demo": is_demo(),
            "exit_status": exit_status,
            "problems": len(errors),
            "warnings": len(warnings),
            "findings": [dataclasses.asdict(finding) for finding in findings],
        }
    )
    return exit_status


def show_problems(console: Console, findings: Sequence[Finding]) -> None:
    """Print the findings that are warnings or errors."""
    for alike in _grouped(finding for finding in findings if finding.severity is not Severity.FINE):
        console.show("")
        for finding in alike:
            console.show(f"[{finding.severity}] {finding.side}: {finding.what}")
        console.show(f"     Why: {alike[0].why}")
        console.show(f"     Do:  {alike[0].do}")
        for statement in itertools.chain(*(finding.statements for finding in alike)):
            console.paste(f"          {statement}")


def _grouped(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Returns findings with the same cause and remedy together, in the order of the first of them."""
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.severity, finding.side, finding.why, finding.do), []).append(finding)
    return list(groups.values())
