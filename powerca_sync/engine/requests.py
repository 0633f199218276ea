"""Requests to the engine: which table to sync, how, and which guards to lift for this run."""

import dataclasses
import enum
from collections.abc import Callable, Iterable, Mapping, Sequence

from powerca_sync.specs import TableSpec

#: Seconds by which a `timestamp` watermark is set back, for transactions in flight and clocks that differ.
DEFAULT_OVERLAP = 600.0


class Choice(enum.StrEnum):
    """Treatment of look-alikes: new phone rows of which the desktop may already have a copy."""

    #: Quarantine them, shown with both contents, until another choice is made.
    HOLD = "hold"
    #: Enter them into the ledger as copies of the desktop's rows.
    ADOPT = "adopt"
    #: Insert them as new rows.
    PULL = "pull"


class Mode(enum.StrEnum):
    """The rows that a run reads: all of them, or those that changed since the last run."""

    FULL = "full"
    INCREMENTAL = "incremental"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Allowances:
    """Guards that this run ignores, and what it deletes that other runs keep."""

    allow_mass_delete: bool = False
    allow_mass_insert: bool = False
    #: Allows that a column loses more values than the guard's limit.
    allow_emptied: bool = False
    #: Deletes the desktop-owned rows that others inserted or changed on mobile and the source does not have.
    delete_foreign: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TableExtract(Allowances):
    """Request to sync one table of the source to the target."""

    spec: TableSpec
    mode: Mode = Mode.FULL


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TablePull:
    """Request to insert the phone rows of one table that the desktop does not have."""

    spec: TableSpec
    #: Inserts reverse-synced rows again that the desktop no longer has.
    again: bool = False
    lookalikes: Choice = Choice.HOLD


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TextRows(Allowances):
    """Request to sync rows that the caller gives: all rows that the target table should have of this office."""

    spec: TableSpec
    #: Names of the given columns, as the target has them.
    columns: tuple[str, ...]
    #: Takes column names in an order, some of them twice; returns rows of COPY text, each ending in a newline.
    rows: Callable[[Sequence[str]], Iterable[bytes]]
    #: Column to the name of its values' type in `pg_type`, if known: values that the target's type would change are
    #: quarantined. Values of other columns are read by the target's own type.
    types: Mapping[str, str] = dataclasses.field(default_factory=dict)
