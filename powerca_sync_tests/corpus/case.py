"""A case of hostile input as data: the content of both databases, and the expected outcome."""

import dataclasses
from collections.abc import Mapping

from powerca_sync.engine.result import Options
from powerca_sync.specs import TableSpec
from powerca_sync_tests.helpers import QUICK


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Arrives:
    """Every row arrives exactly, except the quarantined ones."""

    #: By key, as text (parts joined by `, `): a pattern for the expected reason.
    waiting: Mapping[str, str] = dataclasses.field(default_factory=dict)
    #: How many exact duplicates collapse.
    superseded: int = 0
    #: True if the dry run predicts it; effects visible only when writing are not predicted.
    foreseen: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """The table fails with a sentence that matches this pattern, and nothing of it is written."""

    sentence: str
    #: True if the dry run predicts it; effects visible only when writing are not predicted.
    foreseen: bool = True


EXACT = Arrives()


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One table with one hostile property."""

    #: The hostile property; the id of the test.
    name: str
    #: Statements for an empty desktop: the table and its rows.
    desktop: str
    #: Statements for an empty mobile database.
    mobile: str
    table: TableSpec
    expected: Arrives | Refused = EXACT
    #: The expected outcome of the same rows as phone rows: None if that is not informative.
    back: Arrives | Refused | None = EXACT
    #: Expressions over the desktop row and over the mobile row whose texts are equal once all has arrived. None: the
    #: columns that both tables have, except those of `skip` in the spec.
    compared: tuple[str, str] | None = None
    #: Columns that the target generates, or that are only used to compute others.
    not_compared: frozenset[str] = frozenset()
    options: Options = QUICK
    #: True if mobile rows can be deleted or changed for the test: a trigger may forbid it.
    mendable: bool = True

    def __str__(self) -> str:
        return self.name
