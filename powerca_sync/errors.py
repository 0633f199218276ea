"""Why something did not work, sorted by what the reader can do about it.

Every message says three things: what failed, the database's own words where there are any, and what to do next.
"""

from typing_extensions import override

from powerca_sync.plain_text import in_lines


class SyncError(Exception):
    """Something failed; nothing was written."""

    #: Whether the same call may succeed a little later without anybody changing anything.
    retryable = False

    @override
    def __str__(self) -> str:
        """The message, safe for a terminal."""
        return in_lines(super().__str__())


class ConfigurationError(SyncError):
    """The settings or the table specs are wrong or incomplete; correct them and run again."""


class UnsafeTargetError(SyncError):
    """A guard refused to commit because the run looked like a mistake; the message names the switch that allows it."""


class SchemaMismatchError(SyncError):
    """The two databases differ in a way that the spec does not cover; mend the schema or the spec."""


class StagingError(SyncError):
    """The rows could not be brought into staging."""


class MergeError(SyncError):
    """The staged rows could not be merged into the target table."""


class ContentionError(SyncError):
    """Somebody else holds the table or kept changing its rows; try again."""

    retryable = True


class DatabaseUnavailableError(SyncError):
    """A database did not answer, or the connection to it was lost; try again."""

    retryable = True


class NotificationError(SyncError):
    """A message could not be sent; it is kept and tried again, once its recipient has been left alone for a while."""
