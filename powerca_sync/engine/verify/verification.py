"""What a comparison of both sides found."""

import dataclasses
from collections.abc import Mapping

from powerca_sync.engine.verify.row_matching import Difference, Known


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """A true difference: the key and what each side has, as text; sensitive values are masked."""

    kind: Difference
    key: Mapping[str, str | None]
    #: Columns in which the two sides differ.
    columns: tuple[str, ...] = ()
    #: None where that side has no such row.
    desktop: Mapping[str, str | None] | None = None
    mobile: Mapping[str, str | None] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What the comparison of a table found. All counts are rows."""

    #: On the desktop; and on mobile those that are the desktop's.
    desktop: int
    mobile: int
    agreeing: int
    differences: Mapping[Difference, int]
    known: Mapping[Known, int]
    #: By column, how many of the different rows (of the first 500) differ in it.
    columns: Mapping[str, int]
    #: The first of each kind.
    samples: tuple[Sample, ...]
    buckets: int
    #: Of them those that had to be looked into.
    opened: int


#: Of a table that neither database has.
NOTHING = Outcome(
    desktop=0, mobile=0, agreeing=0, differences={}, known={}, columns={}, samples=(), buckets=0, opened=0
)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """What can be said of one table."""

    #: Mobile name.
    table: str
    #: None where it could not be compared.
    outcome: Outcome | None
    #: Why it could not be compared.
    error: str | None = None
    #: Why its rows had to be moved to be compared; empty if they had not.
    moved: str = ""
    #: How the spec was resolved, where that differs from the declared one, and what could not be told apart.
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def agrees(self) -> bool:
        """Whether both sides hold the same, known differences aside."""
        return self.outcome is not None and not any(self.outcome.differences.values())
