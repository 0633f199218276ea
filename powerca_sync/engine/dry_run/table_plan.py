"""The dry run of one table as a record: how the run would end, and the rows that it would write."""

import dataclasses
import enum
from collections.abc import Mapping, Sequence

from powerca_sync.engine.postgres import Column
from powerca_sync.engine.result import ForwardResult


class Prospect(enum.StrEnum):
    """How a run would end for a table."""

    READY = "ready"
    #: A guard would refuse it.
    REFUSED = "refused"
    #: It would fail, or it cannot be planned.
    FAILED = "failed"
    #: It would not run, because a table that it depends on is refused or fails.
    SKIPPED = "skipped"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A row that would be written; values as text, sensitive ones masked."""

    #: Identifies the row: its key, and the target's primary key if the row exists there.
    key: Mapping[str, str | None]
    #: Of a row to be updated, only the columns that change; None for a new row.
    before: Mapping[str, str | None] | None
    #: None for a row to be deleted.
    after: Mapping[str, str | None] | None

    @classmethod
    def of(cls, found: Sequence[Mapping[str, str | None] | None], columns: Sequence[Column]) -> "Change":
        """Returns the change for (key, before, after), with columns in the table's order, which jsonb does not keep."""
        key, before, after = (
            values and {column.name: values[column.name] for column in columns if column.name in values}
            for values in found
        )
        return cls(key=key or {}, before=before, after=after)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TablePlan:
    """The dry run of one table."""

    #: Mobile name.
    table: str
    prospect: Prospect
    #: The result that the run would report, or would have reported without a refusal; None if it is unknown.
    foreseen: ForwardResult | None = None
    #: Columns that updates change, with the number of rows.
    changes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    #: The first rows of each kind.
    inserts: tuple[Change, ...] = ()
    updates: tuple[Change, ...] = ()
    deletes: tuple[Change, ...] = ()
    #: Messages of the guards that would refuse the run.
    refusals: tuple[str, ...] = ()
    #: Reason for a failed or skipped table.
    error: str | None = None
    #: Class of the error.
    kind: str | None = None
