"""What one run did to one table, and what it went by."""

import dataclasses
from collections.abc import Mapping

from powerca_sync.engine.catalog import Column
from powerca_sync.engine.database import Timeouts
from powerca_sync.engine.extract import DEFAULT_OVERLAP, Mode
from powerca_sync.engine.validation import LookupResult, Quarantined, Rejections


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How to read the source and how long to wait."""

    #: Of the office. None: what the source reports.
    timezone: str | None = None
    #: Of the source's text, where the source does not know. None: what it reports.
    encoding: str | None = None
    timeouts: Timeouts = dataclasses.field(default_factory=Timeouts)
    #: Seconds by which a `timestamp` mark goes back.
    overlap: float = DEFAULT_OVERLAP


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ForwardResult:
    """What one run did to one table. All counts are rows.

    `extracted = inserted + updated + unchanged + kept_mobile + echo + quarantined + superseded`, always.
    """

    table: str
    mode_requested: Mode
    mode_effective: Mode
    #: Why the effective mode is another one; empty otherwise.
    mode_reason: str
    extracted: int
    #: Of them, accepted by staging.
    staged: int
    inserted: int
    updated: int
    unchanged: int
    #: Staged rows for which a phone's row, or nobody's, stands on the target.
    kept_mobile: int
    #: Rows that phones made and the source got by a pull.
    echo: int
    quarantined: int
    #: Exact copies of a row that may be there once only.
    superseded: int
    deleted: int
    #: Rows of the target kept: gone from the source, but the spec keeps them.
    stale: int
    #: Kept because their source row is in quarantine.
    held: int
    #: Kept because other rows depend on them, or because the target refused to delete them.
    kept_referenced: int
    #: Rows of this office on the target that are neither the desktop's nor a phone's; never touched.
    kept_other: int
    #: Of the quarantined, those whose reference leads nowhere.
    filtered: int
    #: Rows of this office on the target afterwards.
    rows_at_target: int
    rejections: tuple[Rejections, ...]
    #: The first quarantined rows of each reason.
    samples: tuple[Quarantined, ...]
    #: Keys of the first rows that phones and the office hold with different content.
    conflicts: tuple[str, ...]
    conflicting: int
    lookups: tuple[LookupResult, ...]
    warnings: tuple[str, ...]
    #: Columns of the target that travel.
    columns: tuple[Column, ...]
    #: Read from the source.
    bytes: int
    #: Seconds by phase, in order.
    seconds: Mapping[str, float]

    @property
    def written(self) -> int:
        """Rows of the target table that were written in any way."""
        return self.inserted + self.updated + self.deleted
