"""Results of one run of one table, and the options that it took."""

import dataclasses
import enum
from collections.abc import Mapping

from powerca_sync.engine.postgres import Column, Timeouts
from powerca_sync.engine.requests import DEFAULT_OVERLAP, Mode
from powerca_sync.engine.staging import LookupResult, Quarantined, Rejections
from powerca_sync.settings import Limits


class Transfer(enum.StrEnum):
    """Which rows a full run transfers."""

    #: `DIFFERENCES` if the target is far away, otherwise `EVERYTHING`.
    AUTO = "auto"
    EVERYTHING = "everything"
    #: Compare digests first, then transfer only the rows that differ.
    DIFFERENCES = "differences"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Settings of a run: how to read the source, timeouts and limits."""

    #: Of the office. None: the time zone of the source's server.
    timezone: str | None = None
    #: Encoding of the source's text if the source is SQL_ASCII. None: the encoding of the source's server.
    encoding: str | None = None
    timeouts: Timeouts = dataclasses.field(default_factory=Timeouts)
    #: Seconds by which the watermark of a `timestamp` cursor is set back.
    overlap: float = DEFAULT_OVERLAP
    #: They replace those of the specs.
    limits: Limits = dataclasses.field(default_factory=Limits)
    #: Compare the written rows with staging before the commit, and roll back if they differ.
    verify_on_commit: bool = False
    transfer: Transfer = Transfer.AUTO


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ForwardResult:
    """Result of one forward run of one table. All counts are rows.

    `extracted = inserted + updated + unchanged + kept_mobile + echo + quarantined + superseded`, always.
    """

    table: str
    mode_requested: Mode
    mode_effective: Mode
    #: Why the effective mode differs from the requested one; empty if it does not.
    mode_reason: str = ""
    extracted: int = 0
    #: Of the extracted, accepted by staging.
    staged: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    #: Staged rows that match a phone row, or an unowned row, of the target.
    kept_mobile: int = 0
    #: Reverse-synced rows of the source, skipped.
    echo: int = 0
    quarantined: int = 0
    #: Exact copies of a staged row whose key must not repeat.
    superseded: int = 0
    deleted: int = 0
    #: Target rows that the source no longer has, kept by policy.
    stale: int = 0
    #: Retained rows: their newer version is quarantined.
    held: int = 0
    #: Kept because other rows reference them, or because the target refused to delete them.
    kept_referenced: int = 0
    #: Unowned rows of this office on the target, which are never written. None if they were not counted: an
    #: incremental run reads only rows that changed.
    kept_other: int | None = None
    #: Phone rows of this office on the target; None if they were not counted.
    phone_rows: int | None = None
    #: Phone rows that a trigger of the target wrote during this run.
    phone_rows_written: int = 0
    #: Desktop-owned rows whose mobile-owned columns differ from the source's; None if not all rows were compared.
    mobile_owned: int | None = None
    #: Of the quarantined, those with a dangling reference.
    filtered: int = 0
    #: Rows of the source's table in the last full run, this one included.
    rows_at_source: int = 0
    #: Rows of this office on the target afterwards; None if they were not counted.
    rows_at_target: int | None = None
    rejections: tuple[Rejections, ...] = ()
    #: The first quarantined rows of each reason.
    samples: tuple[Quarantined, ...] = ()
    #: Keys of the first phone rows that differ from the office's row of the same key.
    conflicts: tuple[str, ...] = ()
    conflicting: int = 0
    lookups: tuple[LookupResult, ...] = ()
    #: Differences between the resolved spec and the declared one.
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    #: Facts that need no action; one clause each.
    remarks: tuple[str, ...] = ()
    #: Synced columns of the target.
    columns: tuple[Column, ...] = ()
    #: Read from the source.
    bytes: int = 0
    #: Seconds by phase, in order.
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def written(self) -> int:
        """Rows inserted, updated or deleted."""
        return self.inserted + self.updated + self.deleted


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Conflict:
    """A phone row and a desktop row of one key with different contents; sensitive columns are masked."""

    key: Mapping[str, str | None]
    #: Column to text.
    phone: Mapping[str, str | None]
    desktop: Mapping[str, str | None]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ReverseResult:
    """Result of one reverse run of one table. All counts are rows.

    `seen = pulled + already_there + adopted + conflicts + lookalikes + quarantined`, always.
    """

    #: Mobile name.
    table: str
    #: Phone rows of this office on mobile.
    seen: int = 0
    #: Inserted on the desktop.
    pulled: int = 0
    #: Reverse-synced by an earlier run, according to the ledger.
    already_there: int = 0
    #: Found on the desktop with the same content, and entered into the ledger.
    adopted: int = 0
    #: Quarantined because the desktop has another row of the same key.
    conflicts: int = 0
    #: Quarantined because a desktop row may be their copy.
    lookalikes: int = 0
    #: Quarantined for any other reason.
    quarantined: int = 0
    #: Of `already_there`: edited on mobile since; the desktop keeps the content that was pulled.
    changed_after_pull: int = 0
    #: Of `already_there`: no longer on the desktop.
    missing_after_pull: int = 0
    #: Phone rows whose office is unknown; not counted in `seen`.
    unassigned: int = 0
    #: Reverse-synced rows that mobile no longer has.
    gone: int = 0
    #: Of the pulled: changed by the desktop on insert.
    altered: int = 0
    rejections: tuple[Rejections, ...] = ()
    #: The first quarantined rows of each reason.
    samples: tuple[Quarantined, ...] = ()
    #: The first conflicts.
    conflict_samples: tuple[Conflict, ...] = ()
    #: Keys of the first rows of `changed_after_pull`, and of `missing_after_pull`.
    changed_keys: tuple[str, ...] = ()
    missing_keys: tuple[str, ...] = ()
    #: Differences between the resolved spec and the declared one.
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    #: Facts that need no action; one clause each.
    remarks: tuple[str, ...] = ()
    #: Synced columns of the desktop.
    columns: tuple[Column, ...] = ()
    #: Read from mobile.
    bytes: int = 0
    #: Seconds by phase, in order.
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)
