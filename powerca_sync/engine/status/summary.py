"""Where everything stands, in one look at both sides: the tables on mobile, and the phones' rows on the way back."""

import contextlib
import dataclasses
from collections.abc import Sequence

from powerca_sync.engine.context import open_context
from powerca_sync.engine.postgres import connect
from powerca_sync.engine.result import Options
from powerca_sync.engine.state import warn_of_copy
from powerca_sync.engine.status.reverse_status import ReverseStatus, read_reverse_status
from powerca_sync.engine.status.status import TableStatus, read_status
from powerca_sync.errors import SyncError
from powerca_sync.settings import Settings
from powerca_sync.tables import TableSpec


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """What both sides say of themselves."""

    #: None if no sync has ever prepared mobile.
    tables: tuple[TableStatus, ...] | None
    #: The phones' rows; None if the desktop could not be asked, or is refused.
    phones: tuple[ReverseStatus, ...] | None
    #: Why the desktop could not be asked, and what that means for the figures; None if it could.
    problem: str | None
    #: Why runs refuse this desktop, as a copy of another or as restored; None if they do not.
    refusal: str | None

    @property
    def has_errors(self) -> bool:
        """Whether the last run of some table failed, or a table could not be looked at."""
        return any(table.error for table in self.tables or ()) or any(table.error for table in self.phones or ())


def read_overview(settings: Settings, specs: Sequence[TableSpec]) -> Overview:
    """Look at both sides, over connections of its own; only reads.

    A desktop that does not answer is no error: mobile knows most of it. Raises a `SyncError` if mobile does not answer.
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
            problem = f"{exc} What follows counts the rows of all offices."
        return Overview(tables=read_status(mobile, specs, context), phones=phones, problem=problem, refusal=refusal)
