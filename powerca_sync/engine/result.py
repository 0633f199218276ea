"""Results of one run of one table, and the options that it took."""

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any

from powerca_sync.engine.postgres import Column, Timeouts
from powerca_sync.engine.requests import DEFAULT_OVERLAP, Mode
from powerca_sync.engine.staging import LookupResult, Quarantined, Rejections
from powerca_sync.settings import Limits


class Transfer(enum.StrEnum):
    """The rows that a full run transfers."""

    #: `DIFFERENCES` if the line to a database is slow, otherwise `EVERYTHING`.
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
    #: Copy rows in binary form where source and target have the same types.
    binary_copy: bool = True
    #: Tell rows apart by hashes of their columns instead of their text.
    typed_hashes: bool = True
    #: Tables of a run that are read at a time; 1 reads one after another.
    tables_at_once: int = 2


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A number of a result that people see, named as its field."""

    name: str
    #: Of its column in the command's table; empty if it has none there.
    heading: str
    #: Dagster plots it over the runs, so that a zero is recorded too.
    plotted: bool
    #: Not every run counts it.
    optional: bool


def _figure(heading: str = "", *, plotted: bool = False, default: int | None = 0) -> Any:
    return dataclasses.field(default=default, metadata={"heading": heading, "plotted": plotted})


def figures(result: "type[ForwardResult | ReverseResult]") -> tuple[Figure, ...]:
    """Returns the figures of a kind of result, in the order of its fields."""
    return tuple(
        Figure(name=field.name, optional=field.default is None, **field.metadata)
        for field in dataclasses.fields(result)
        if field.metadata
    )


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
    extracted: int = _figure("read", plotted=True)
    #: Of the extracted, accepted by staging.
    staged: int = _figure()
    inserted: int = _figure("inserted", plotted=True)
    updated: int = _figure("updated", plotted=True)
    deleted: int = _figure("deleted", plotted=True)
    unchanged: int = _figure("unchanged", plotted=True)
    #: Staged rows that match a phone row, or an unowned row, of the target.
    kept_mobile: int = _figure("kept")
    #: Reverse-synced rows of the source, skipped.
    echo: int = _figure("echo")
    quarantined: int = _figure("quarantined", plotted=True)
    #: Exact copies of a staged row whose key must not repeat.
    superseded: int = _figure()
    #: Target rows that the source no longer has, kept by policy.
    stale: int = _figure()
    #: Retained rows: their newer version is quarantined.
    held: int = _figure()
    #: Kept because other rows reference them, or because the target refused to delete them.
    kept_referenced: int = _figure()
    #: Desktop-owned rows that others inserted or changed on the target, kept although the source does not have them.
    foreign: int = _figure()
    #: Keys of the first of them.
    foreign_keys: tuple[str, ...] = ()
    #: Unowned rows of this office on the target, which are never written. None if they were not counted: an
    #: incremental run reads only rows that changed.
    kept_other: int | None = _figure(default=None)
    #: Phone rows of this office on the target; None if they were not counted.
    phone_rows: int | None = None
    #: Phone rows that a trigger of the target wrote during this run.
    phone_rows_written: int = 0
    #: Desktop-owned rows whose mobile-owned columns differ from the source's; None if not all rows were compared.
    mobile_owned: int | None = _figure(default=None)
    #: Of the quarantined, those with a dangling reference.
    filtered: int = _figure()
    #: Rows of the source's table in the last full run, this one included.
    rows_at_source: int = 0
    #: Rows of this office on the target afterwards; None if they were not counted.
    rows_at_target: int | None = None
    rejections: tuple[Rejections, ...] = ()
    #: The first quarantined rows of each reason.
    samples: tuple[Quarantined, ...] = ()
    #: Keys of the first phone rows that differ from the office's row of the same key.
    conflicts: tuple[str, ...] = ()
    conflicting: int = _figure()
    lookups: tuple[LookupResult, ...] = ()
    #: Differences between the resolved spec and the declared one.
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    #: Facts that need no action; one clause each.
    remarks: tuple[str, ...] = ()
    #: Synced columns of the target.
    columns: tuple[Column, ...] = ()
    #: All columns of the source's table.
    source_columns: tuple[Column, ...] = ()
    #: The source's transaction id at which its rows were read: no transaction below it was in progress.
    snapshot: int | None = None
    #: Read from the source.
    bytes: int = _figure(plotted=True)
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
    seen: int = _figure("seen", plotted=True)
    #: Inserted on the desktop.
    pulled: int = _figure("pulled", plotted=True)
    #: Reverse-synced by an earlier run, according to the ledger.
    already_there: int = _figure("already")
    #: Found on the desktop with the same content, and entered into the ledger.
    adopted: int = _figure("adopted")
    #: Quarantined because the desktop has another row of the same key.
    conflicts: int = _figure("conflicts", plotted=True)
    #: Quarantined because a desktop row may be their copy.
    lookalikes: int = _figure("look-alikes")
    #: Quarantined for any other reason.
    quarantined: int = _figure("quarantined", plotted=True)
    #: Of `already_there`: edited on mobile since; the desktop keeps the content that was pulled.
    changed_after_pull: int = _figure("changed")
    #: Of `already_there`: no longer on the desktop.
    missing_after_pull: int = _figure("missing")
    #: Phone rows whose office is unknown; not counted in `seen`.
    unassigned: int = _figure("unassigned")
    #: Reverse-synced rows that mobile no longer has.
    gone: int = _figure()
    #: Of the pulled: changed by the desktop on insert.
    altered: int = _figure()
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
    bytes: int = _figure(plotted=True)
    #: Seconds by phase, in order.
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)
