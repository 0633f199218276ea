"""Errors, classed by what the reader can do about them.

A message says what failed, in the database's own words where there are any, and what to do next.
"""

from typing_extensions import override

from powerca_sync.plain_text import in_lines


class SyncError(Exception):
    """Something failed; nothing was written."""

    #: Whether the same call may succeed later without any change.
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
    """The two databases differ in a way that the spec does not cover; change the schema or the spec."""


class StagingError(SyncError):
    """The rows could not be staged."""


class MergeError(SyncError):
    """The staged rows could not be merged into the target table."""


class ContentionError(SyncError):
    """Another session locks the table or keeps changing its rows; try again."""

    retryable = True


class DatabaseUnavailableError(SyncError):
    """A database did not answer, or the connection to it was lost; try again."""

    retryable = True


class NotificationError(SyncError):
    """An alert could not be delivered; it is kept and sent again after a backoff."""
