"""A case of bad input as data: what both sides have, and what is to become of it."""

import dataclasses
from collections.abc import Mapping

from powerca_sync.engine.result import Options
from powerca_sync.tables import TableSpec
from powerca_sync_tests.helpers import QUICK


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Arrives:
    """Every row arrives exactly, but for those that wait in quarantine."""

    #: By key, as text (parts joined by `, `): a pattern for the reason that is given.
    waiting: Mapping[str, str] = dataclasses.field(default_factory=dict)
    #: How many exact copies of other rows collapse.
    superseded: int = 0
    #: Whether `plan` foresees it; what only writing shows it cannot.
    foreseen: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """The table fails with a sentence that has this pattern, and nothing of it is written."""

    sentence: str
    #: Whether `plan` foresees it; what only writing shows it cannot.
    foreseen: bool = True


EXACT = Arrives()


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One table that is hostile in one way."""

    #: What is hostile about it; the test's id.
    name: str
    #: Statements for an empty desktop: the table and its rows.
    desktop: str
    #: Statements for an empty mobile database.
    mobile: str
    table: TableSpec
    expected: Arrives | Refused = EXACT
    #: What is to become of the same rows when phones have made them: None where that says nothing.
    back: Arrives | Refused | None = EXACT
    #: Expressions over the desktop's and over the mobile row whose texts are the same once all has arrived. None: the
    #: columns that both tables have, but for those of `skip` in the spec.
    compared: tuple[str, str] | None = None
    #: Columns that the target makes itself, or that only pass through.
    not_compared: frozenset[str] = frozenset()
    options: Options = QUICK
    #: Whether rows that are lost or spoiled on mobile can be made so: a trigger may forbid it.
    mendable: bool = True

    def __str__(self) -> str:
        return self.name
