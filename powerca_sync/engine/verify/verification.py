"""The result of comparing one table on both databases."""

import dataclasses
import enum
from collections.abc import Mapping

from powerca_sync.engine.staging import Rejections


class Difference(enum.StrEnum):
    """A difference that a run would remove, or that somebody should explain."""

    #: A run would insert it on mobile, or quarantine it, and the last run did not.
    MISSING = "missing"
    #: A desktop-owned row on mobile that a run would delete, or that has no counterpart on the desktop.
    EXTRA = "extra"
    #: A run would update it.
    DIFFERENT = "different"


class Known(enum.StrEnum):
    """A difference that is as it should be."""

    #: A row of a phone or of an administrator stands for the desktop's.
    KEPT = "kept"
    #: A row that reverse sync inserted on the desktop.
    ECHO = "echo"
    #: An exact copy of a row that may exist once only.
    SUPERSEDED = "superseded"
    #: Quarantined by the last run.
    QUARANTINED = "quarantined"
    #: The last good version on mobile of a quarantined row.
    HELD = "held"
    #: Changed on the desktop since the last run.
    CHANGED = "changed"
    #: Deleted on the desktop, and kept on mobile because the spec says so.
    STALE = "stale"
    #: Deleted on the desktop, and kept on mobile because other rows depend on it.
    KEPT_REFERENCED = "kept_referenced"
    #: On mobile, neither the desktop's nor a phone's.
    KEPT_OTHER = "kept_other"
    #: Other values of columns that mobile owns.
    MOBILE_OWNED = "mobile_owned"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """A row that differs: its key and values as text, of which sensitive ones are masked."""

    kind: Difference
    key: Mapping[str, str | None]
    #: Columns in which the two databases differ.
    columns: tuple[str, ...] = ()
    #: None where that database has no such row; of a row that differs, only the columns that do.
    desktop: Mapping[str, str | None] | None = None
    mobile: Mapping[str, str | None] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The comparison of one table. All counts are rows."""

    #: On the desktop; and on mobile those that are the desktop's.
    desktop: int = 0
    mobile: int = 0
    agreeing: int = 0
    differences: Mapping[Difference, int] = dataclasses.field(default_factory=dict)
    known: Mapping[Known, int] = dataclasses.field(default_factory=dict)
    #: By column, in how many of the different rows it differs.
    columns: Mapping[str, int] = dataclasses.field(default_factory=dict)
    #: The first rows of each difference.
    samples: tuple[Sample, ...] = ()
    #: Why rows are quarantined, or would be by a run.
    rejections: tuple[Rejections, ...] = ()
    #: Rows of the desktop that were read because digests differ, or could not be made.
    read: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """The comparison of one table, or why it could not be compared."""

    #: Mobile name.
    table: str
    #: None where the table could not be compared.
    outcome: Outcome | None
    #: Why it could not be compared.
    error: str | None = None
    #: How the spec was resolved, where that differs from the declared one.
    notes: tuple[str, ...] = ()
    #: What limits the comparison; one clause each.
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def agrees(self) -> bool:
        """Whether both databases hold the same rows, known differences aside."""
        return self.outcome is not None and not any(self.outcome.differences.values())
