"""What one run did to one table, and what it went by."""

import dataclasses
import enum
from collections.abc import Mapping

from powerca_sync.engine.postgres import Column, Timeouts
from powerca_sync.engine.requests import DEFAULT_OVERLAP, Mode
from powerca_sync.engine.staging import LookupResult, Quarantined, Rejections
from powerca_sync.settings import Limits


class Transfer(enum.StrEnum):
    """What of the rows that a full run looks at goes over the line."""

    #: Only differences, if the target is far away.
    AUTO = "auto"
    EVERYTHING = "everything"
    #: Digests first, then the rows that differ; the others are taken from the target itself.
    DIFFERENCES = "differences"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How to read the source, how long to wait, and what a run may do at most."""

    #: Of the office. None: what the source reports.
    timezone: str | None = None
    #: Of the source's text, where the source does not know. None: what it reports.
    encoding: str | None = None
    timeouts: Timeouts = dataclasses.field(default_factory=Timeouts)
    #: Seconds by which a `timestamp` mark goes back.
    overlap: float = DEFAULT_OVERLAP
    #: Over those of the specs.
    limits: Limits = dataclasses.field(default_factory=Limits)
    #: Look at what was written before committing, and roll back if it is not as it was meant.
    verify_on_commit: bool = False
    transfer: Transfer = Transfer.AUTO


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ForwardResult:
    """What one run did to one table. All counts are rows.

    `extracted = inserted + updated + unchanged + kept_mobile + echo + quarantined + superseded`, always.
    """

    table: str
    mode_requested: Mode
    mode_effective: Mode
    #: Why the effective mode is another one; empty otherwise.
    mode_reason: str = ""
    extracted: int = 0
    #: Of them, accepted by staging.
    staged: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    #: Staged rows for which a phone's row, or nobody's, stands on the target.
    kept_mobile: int = 0
    #: Rows that phones made and the source got by a pull.
    echo: int = 0
    quarantined: int = 0
    #: Exact copies of a row that may be there once only.
    superseded: int = 0
    deleted: int = 0
    #: Rows of the target kept: gone from the source, but the spec keeps them.
    stale: int = 0
    #: Kept because their source row is in quarantine.
    held: int = 0
    #: Kept because other rows depend on them, or because the target refused to delete them.
    kept_referenced: int = 0
    #: Rows of this office on the target that are neither the desktop's nor a phone's; never touched. None where they
    #: were not counted: an incremental run looks at no rows but those that changed.
    kept_other: int | None = None
    #: Rows of this office on the target that phones made; None where they were not counted.
    phone_rows: int | None = None
    #: Phone rows written by this run all the same: by a trigger of the target.
    phone_rows_written: int = 0
    #: Desktop-owned rows whose mobile-owned columns differ from the source's, and stay; None where not all rows were
    #: compared: an incremental run, or digests, see only rows that changed.
    mobile_owned: int | None = None
    #: Of the quarantined, those whose reference leads nowhere.
    filtered: int = 0
    #: Rows of the source's table, now or when all of them were read.
    rows_at_source: int = 0
    #: Rows of this office on the target afterwards; None where they were not counted.
    rows_at_target: int | None = None
    rejections: tuple[Rejections, ...] = ()
    #: The first quarantined rows of each reason.
    samples: tuple[Quarantined, ...] = ()
    #: Keys of the first rows that phones and the office hold with different content.
    conflicts: tuple[str, ...] = ()
    conflicting: int = 0
    lookups: tuple[LookupResult, ...] = ()
    #: How the spec was resolved, where that differs from the declared one.
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    #: What a person may want to know, and need not act on; one clause each.
    remarks: tuple[str, ...] = ()
    #: Columns of the target that travel.
    columns: tuple[Column, ...] = ()
    #: Read from the source.
    bytes: int = 0
    #: Seconds by phase, in order.
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def written(self) -> int:
        """Rows of the target table that were written in any way."""
        return self.inserted + self.updated + self.deleted


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Conflict:
    """A row born on either side under one key, with different content: both contents, sensitive columns masked."""

    key: Mapping[str, str | None]
    #: As the phone has it: column to text.
    phone: Mapping[str, str | None]
    #: As the desktop has it.
    desktop: Mapping[str, str | None]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ReverseResult:
    """What one pull did to one table. All counts are rows.

    `seen = pulled + already_there + adopted + conflicts + lookalikes + quarantined`, always.
    """

    #: Mobile name.
    table: str
    #: The phones' rows of this office on mobile.
    seen: int = 0
    #: Inserted on the desktop.
    pulled: int = 0
    #: Pulled before, as the ledger says.
    already_there: int = 0
    #: Found on the desktop with the same content, and entered into the ledger.
    adopted: int = 0
    #: In quarantine because the desktop has another row of the same key.
    conflicts: int = 0
    #: Held because the desktop has a row that may be their copy.
    lookalikes: int = 0
    #: In quarantine for any other reason.
    quarantined: int = 0
    #: Of those already there: edited on mobile after their pull; the desktop keeps what was pulled.
    changed_after_pull: int = 0
    #: Of those already there: no longer on the desktop.
    missing_after_pull: int = 0
    #: Phone rows without an office of which nobody can say whose they are; not among the seen.
    unassigned: int = 0
    #: Pulled before, and gone from mobile since.
    gone: int = 0
    #: Of the pulled: the desktop changed the row as it took it.
    altered: int = 0
    rejections: tuple[Rejections, ...] = ()
    #: The first quarantined rows of each reason.
    samples: tuple[Quarantined, ...] = ()
    #: The first conflicts.
    conflict_samples: tuple[Conflict, ...] = ()
    #: Keys of the first rows changed, and of the first missing, after their pull.
    changed_keys: tuple[str, ...] = ()
    missing_keys: tuple[str, ...] = ()
    #: How the spec was resolved, where that differs from the declared one.
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    #: What a person may want to know, and need not act on; one clause each.
    remarks: tuple[str, ...] = ()
    #: Columns of the desktop that travel.
    columns: tuple[Column, ...] = ()
    #: Read from mobile.
    bytes: int = 0
    #: Seconds by phase, in order.
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)
