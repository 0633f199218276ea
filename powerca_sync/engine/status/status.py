"""The status of both directions: the tables on mobile, and their phone rows that reverse sync reads."""

import contextlib
import dataclasses
from collections.abc import Sequence

from powerca_sync.engine.context import open_context
from powerca_sync.engine.postgres import connect
from powerca_sync.engine.result import Options
from powerca_sync.engine.state import warn_of_copy
from powerca_sync.engine.status.reverse_status import ReverseStatus, read_reverse_status
from powerca_sync.engine.status.table_status import TableStatus, read_table_status
from powerca_sync.errors import SyncError
from powerca_sync.settings import Settings
from powerca_sync.specs import TableSpec


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """The status of all tables in both directions."""

    #: Forward sync; None if no sync has ever prepared mobile.
    tables: tuple[TableStatus, ...] | None
    #: Reverse sync; None if the desktop is not available, or is refused.
    phones: tuple[ReverseStatus, ...] | None
    #: Why the desktop is not available, and what that means for the counts.
    problem: str | None
    #: Why runs refuse this desktop as a copy of another or as restored.
    refusal: str | None

    @property
    def has_errors(self) -> bool:
        """Whether the last run of a table failed, or the status of a table could not be read."""
        return any(table.error for table in self.tables or ()) or any(table.error for table in self.phones or ())


def read_status(settings: Settings, specs: Sequence[TableSpec]) -> Status:
    """Returns the status of all tables; opens its own connections, and only reads.

    An unavailable desktop is reported in `problem`. Raises a `SyncError` if mobile is not available.
    """
    with contextlib.closing(connect(settings.mobile)) as mobile:
        context, phones, problem, refusal = None, None, None, None
        try:
            with contextlib.closing(connect(settings.desktop)) as desktop:
                context = open_context(desktop, mobile, specs)
                refusal = warn_of_copy(desktop, mobile)
                if refusal is None:
                    phones = read_reverse_status(
                        source=mobile, target=desktop, specs=specs, options=Options(timezone=settings.timezone)
                    )
        except SyncError as exc:
            problem = f"{exc} Counts and errors below are those of all offices, times the oldest of each table."
        tables = read_table_status(mobile, specs, context)
        return Status(tables=tables, phones=phones, problem=problem, refusal=refusal)
