"""A finding of an examination, and functions that create one of each severity."""

import dataclasses
import enum
from collections.abc import Iterable

from psycopg import sql

from powerca_sync.engine.guards import exceeds_quarantine
from powerca_sync.specs import TableSpec

BOTH = "both"


class Severity(enum.StrEnum):
    """Severity of a finding; the values are printed in brackets."""

    #: No problem.
    FINE = "OK"
    #: A sync succeeds, but something is lost, late or at risk.
    WARNING = "WARN"
    #: A sync of some table fails.
    WRONG = "X"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """A fact, why it matters and what to do about it."""

    severity: Severity
    #: `desktop`, `mobile` or `both`.
    side: str
    #: A sentence.
    what: str
    #: A sentence; empty without a problem.
    why: str = ""
    #: A sentence; empty without a problem.
    do: str = ""
    #: Mobile name of the table; None if the finding is not about one table.
    table: str | None = None
    #: SQL to paste, as the tables' owner or an administrator of that database.
    statements: tuple[str, ...] = ()


def fine(side: str, what: str, *, table: str | None = None) -> Finding:
    """Returns a finding without a problem."""
    return Finding(severity=Severity.FINE, side=side, what=what, table=table)


def warning(
    side: str, what: str, *, why: str, do: str, table: str | None = None, statements: Iterable[sql.Composed] = ()
) -> Finding:
    """Returns a finding with which a sync succeeds."""
    return _finding(Severity.WARNING, side, what, why, do, table, statements)


def wrong(
    side: str, what: str, *, why: str, do: str, table: str | None = None, statements: Iterable[sql.Composed] = ()
) -> Finding:
    """Returns a finding with which a sync fails."""
    return _finding(Severity.WRONG, side, what, why, do, table, statements)


def by_share(spec: TableSpec, *, unfit: int, rows: int) -> Severity:
    """Returns the severity of so many quarantined rows: above the spec's limit the run is rolled back."""
    beyond = exceeds_quarantine(spec, quarantined=unfit, rows=rows)
    return Severity.WRONG if beyond else Severity.WARNING


def all_fine(findings: Iterable[Finding]) -> bool:
    """Whether no finding is a problem."""
    return all(finding.severity is Severity.FINE for finding in findings)


def has_error(findings: Iterable[Finding]) -> bool:
    """Returns whether a finding makes a sync fail."""
    return any(finding.severity is Severity.WRONG for finding in findings)


def listed(names: Iterable[str]) -> str:
    """Returns `a`, `a and b` or `a, b and c`."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def _finding(
    severity: Severity,
    side: str,
    what: str,
    why: str,
    do: str,
    table: str | None,
    statements: Iterable[sql.Composed],
) -> Finding:
    texts = tuple(statement.as_string() + ";" for statement in statements)
    return Finding(severity=severity, side=side, what=what, why=why, do=do, table=table, statements=texts)
