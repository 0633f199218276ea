"""What the steps of a run hand on: a table whose rows are in staging, and the counts of those at the target."""

import dataclasses

from powerca_sync.engine.forward.extract import ChangeSet
from powerca_sync.engine.mapping import Office, Snapshot, TableMapping
from powerca_sync.engine.requests import Mode
from powerca_sync.engine.staging import LookupResult, Staged
from powerca_sync.engine.state import state


@dataclasses.dataclass(frozen=True, slots=True)
class Counted:
    """How many rows of the office the target table has, as `plan.count_rows` answers."""

    rows: int
    #: Of them, the desktop's.
    owned: int
    #: Of them, nobody's.
    other: int
    #: Of them, the phones'.
    phones: int
    #: Of those, written in this transaction: none, unless a trigger of the target does.
    phones_written: int


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Ready:
    """A table whose rows are in staging, fit to be merged."""

    office: Office
    mapping: TableMapping
    snapshot: Snapshot
    #: What the last runs left for this one.
    before: state.TableState
    changes: ChangeSet
    staged: Staged = dataclasses.field(default_factory=Staged)
    echo: int = 0
    #: Rows that came from phones and that the office has edited since, and the keys of the first.
    edited: int = 0
    edited_keys: tuple[str, ...] = ()
    superseded: int = 0
    lookups: tuple[LookupResult, ...] = ()
    #: Whether only rows that differ are looked at, in a table from which phone rows have been pulled.
    scope_in_doubt: bool = False
    #: Digest of the mobile-owned columns at the source, when all of its rows were last read; None where there are none.
    owned_digest: str | None = None
    #: Whether staging has each row of the change set, rather than those that digests found to differ.
    all_staged: bool = False
    #: Columns of the source that hold numbers of large objects.
    large_objects: tuple[str, ...] = ()
    #: Whether there is nothing to merge, and no staging; and the target's rows, where that was seen by counting them.
    quiet: bool = False
    counted: Counted | None = None

    @property
    def complete(self) -> bool:
        """Whether all of the source's rows were read."""
        return self.changes.mode is Mode.FULL

    @property
    def rows_at_source(self) -> int:
        """How many rows the source's table has, or had when all of them were read."""
        return self.staged.read if self.complete else max(self.staged.read, self.before.rows_read or 0)
