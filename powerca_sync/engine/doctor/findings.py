"""What an examination says: one frozen finding, and short ways to make one of each severity."""

import dataclasses
import enum
from collections.abc import Iterable

from psycopg import sql

from powerca_sync.engine.guards import exceeds_quarantine
from powerca_sync.tables import TableSpec

BOTH = "both"


class Severity(enum.StrEnum):
    """How much a finding matters; the values are what people see in brackets."""

    #: As it should be.
    FINE = "OK"
    #: A sync works, but something is lost, late or at risk.
    WARNING = "WARN"
    #: A sync of some table fails.
    WRONG = "X"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that is so, why it matters and what to do about it."""

    severity: Severity
    #: `desktop`, `mobile` or `both`.
    side: str
    #: A sentence.
    what: str
    #: A sentence; empty where nothing is wrong.
    why: str = ""
    #: A sentence; empty where nothing is to be done.
    do: str = ""
    #: Mobile name of the table; None where it is about several, or about none.
    table: str | None = None
    #: SQL to paste, as the tables' owner or an administrator of that side.
    statements: tuple[str, ...] = ()


def fine(side: str, what: str, *, table: str | None = None) -> Finding:
    """As it should be."""
    return Finding(severity=Severity.FINE, side=side, what=what, table=table)


def warning(
    side: str, what: str, *, why: str, do: str, table: str | None = None, statements: Iterable[sql.Composed] = ()
) -> Finding:
    """Something that a sync survives."""
    return _finding(Severity.WARNING, side, what, why, do, table, statements)


def wrong(
    side: str, what: str, *, why: str, do: str, table: str | None = None, statements: Iterable[sql.Composed] = ()
) -> Finding:
    """Something that a sync fails at."""
    return _finding(Severity.WRONG, side, what, why, do, table, statements)


def by_share(spec: TableSpec, *, unfit: int, rows: int) -> Severity:
    """What it means that so many of a table's rows would go to quarantine: beyond its limit the run is rolled back."""
    beyond = exceeds_quarantine(spec, quarantined=unfit, rows=rows)
    return Severity.WRONG if beyond else Severity.WARNING


def all_fine(findings: Iterable[Finding]) -> bool:
    """Whether nothing among them needs attention."""
    return all(finding.severity is Severity.FINE for finding in findings)


def listed(names: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
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
