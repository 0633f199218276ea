"""Records of a run's steps: a prepared table, and counts of the target's rows."""

import dataclasses

from powerca_sync.engine.forward.extract import ChangeSet
from powerca_sync.engine.mapping import Office, Snapshot, TableMapping
from powerca_sync.engine.requests import Mode
from powerca_sync.engine.staging import LookupResult, Staged
from powerca_sync.engine.state import state


@dataclasses.dataclass(frozen=True, slots=True)
class TargetCounts:
    """Counts of the office's rows of the target table, in the order of `plan_sql.count_rows`."""

    rows: int
    #: Desktop-owned rows.
    owned: int
    #: Unowned rows.
    other: int
    #: Phone rows.
    phones: int
    #: Phone rows written in this transaction, which only a trigger of the target does.
    phones_written: int


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PreparedTable:
    """A table whose rows are in staging, ready to be merged."""

    office: Office
    mapping: TableMapping
    snapshot: Snapshot
    #: The state stored by the last runs.
    before: state.TableState
    changes: ChangeSet
    staged: Staged = dataclasses.field(default_factory=Staged)
    echo: int = 0
    #: The office's edits of phone rows, and the keys of the first.
    edited: int = 0
    edited_keys: tuple[str, ...] = ()
    superseded: int = 0
    lookups: tuple[LookupResult, ...] = ()
    #: The merge is limited to rows whose digests differ, in a table with ledger entries.
    scope_in_doubt: bool = False
    #: Digest of the source's mobile-owned columns in the last full run; None if there are none.
    owned_digest: str | None = None
    #: Staging has all rows of the change set, not only those whose digests differ.
    all_staged: bool = False
    #: Columns of the source with numbers of large objects.
    large_objects: tuple[str, ...] = ()
    #: There is nothing to merge, and staging was not created.
    noop: bool = False
    #: The target's rows before the merge, if they were counted with the digests.
    counted: TargetCounts | None = None

    @property
    def complete(self) -> bool:
        """The change set has all rows of the source."""
        return self.changes.mode is Mode.FULL

    @property
    def shows_deletes(self) -> bool:
        """Whether a row that the source does not have is gone: from an empty source nothing follows."""
        return self.complete and self.staged.read > 0

    @property
    def rows_at_source(self) -> int:
        """Rows of the source's table in the last full run, this one included."""
        return self.staged.read if self.complete else max(self.staged.read, self.before.rows_read or 0)
