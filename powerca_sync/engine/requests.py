"""What a caller asks the engine for: which table to sync, how, and what a guard should allow this once."""

import dataclasses
import enum
from collections.abc import Callable, Iterable, Mapping, Sequence

from powerca_sync.tables import TableSpec

#: A `timestamp` mark goes back this far, in seconds, for transactions in flight and clocks that differ.
DEFAULT_OVERLAP = 600.0


class Choice(enum.StrEnum):
    """What becomes of look-alikes: new phone rows of which the desktop may have a copy already."""

    #: They are quarantined, shown with both contents, until another choice is made.
    HOLD = "hold"
    #: They are entered into the ledger as the desktop has them.
    ADOPT = "adopt"
    #: They are inserted: the desktop's rows are others.
    PULL = "pull"


class Mode(enum.StrEnum):
    """Everything, or what changed since the last run."""

    FULL = "full"
    INCREMENTAL = "incremental"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Allowances:
    """What this run may do although a guard would refuse it."""

    #: Delete more rows than the guard allows.
    allow_mass_delete: bool = False
    #: Insert more rows than the guard allows.
    allow_mass_insert: bool = False
    #: Empty more values of a column than the guard allows.
    allow_emptied: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TableExtract(Allowances):
    """What to read, not yet read: one table of the source."""

    spec: TableSpec
    mode: Mode = Mode.FULL


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TablePull:
    """What to bring back, not yet read: the phones' rows of one table that the desktop does not have."""

    spec: TableSpec
    #: Brings back once more what was pulled before and is no longer on the desktop.
    again: bool = False
    #: What becomes of new phone rows of which the desktop may have a copy already.
    lookalikes: Choice = Choice.HOLD


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TextRows(Allowances):
    """Rows from elsewhere: all that the target table should hold of this office."""

    spec: TableSpec
    #: Names of the columns that there are, as the target has them.
    columns: tuple[str, ...]
    #: Asked for columns in an order (some of them twice), gives rows of COPY text, each ending in a newline.
    rows: Callable[[Sequence[str]], Iterable[bytes]]
    #: What `pg_type` calls the type of a column's values, where that is known: a value that would not reach the target
    #: unchanged is then refused. Any other column is read as the target's own type reads it.
    types: Mapping[str, str] = dataclasses.field(default_factory=dict)
