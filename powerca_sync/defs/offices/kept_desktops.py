"""Connections to desktops that outlive a tick: with TLS and a password, opening one costs ten times its statement."""

import contextlib
import dataclasses
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Final

from powerca_sync.defs.connections import PATIENCE, brief, without_row_content
from powerca_sync.engine.changes import Changes, ChangeToken, read_changes
from powerca_sync.engine.postgres import Connection, connect
from powerca_sync.errors import DatabaseUnavailableError
from powerca_sync.offices import Office
from powerca_sync.specs import TableSpec

#: Connections that are kept. With TLS each takes 0.12 MB, and a process may often open 1,024 files only.
MOST_KEPT: Final = 300
#: Seconds after which a connection is replaced: the office's password may be another one by now.
LONGEST_USE: Final = 3600.0
#: Seconds without a tick after which all are closed.
LONGEST_PAUSE: Final = 180.0


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Kept:
    #: As the file described it when the connection was opened.
    office: Office
    connection: Connection
    opened: float


class KeptDesktops:
    """At most one connection to each desktop. Several threads may ask different offices.

    A connection is kept while the desktop has other sessions. When all others have left, nobody may be in the way of a
    restore: DROP DATABASE, and CREATE DATABASE with it as template, fail while a session is connected.
    """

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}
        self._closing: threading.Timer | None = None

    def look(self, office: Office, specs: Sequence[TableSpec]) -> tuple[ChangeToken, ...]:
        """Returns the tokens of an office's desktop. Raises a `SyncError` if it does not answer in seconds."""
        kept = self._kept.pop(office.key, None)
        with without_row_content():
            if kept is not None and kept.office is office and time.monotonic() - kept.opened < LONGEST_USE:
                # The server may have been restarted, or a router may have dropped the line: a new one tells.
                with contextlib.suppress(DatabaseUnavailableError):
                    return self._read(kept, specs)
            elif kept is not None:
                kept.connection.close()
            # It waits for no longer than a new connection does, whatever has become of the line.
            desktop = dataclasses.replace(brief(office.desktop_endpoint()), patience=PATIENCE)
            return self._read(_Kept(office=office, connection=connect(desktop), opened=time.monotonic()), specs)

    def keep(self, offices: Mapping[str, Office]) -> None:
        """Close the connections of offices that are not these any more, and later all, unless another tick follows."""
        for key in [key for key, kept in self._kept.items() if offices.get(key) is not kept.office]:
            self._close(key)
        if self._closing:
            self._closing.cancel()
        self._closing = threading.Timer(LONGEST_PAUSE, self.close)
        self._closing.daemon = True
        self._closing.start()

    def close(self) -> None:
        """Close the connections that nobody uses."""
        for key in list(self._kept):
            self._close(key)

    def _close(self, key: str) -> None:
        if kept := self._kept.pop(key, None):
            kept.connection.close()

    def _read(self, kept: _Kept, specs: Sequence[TableSpec]) -> tuple[ChangeToken, ...]:
        changes: Changes | None = None
        try:
            changes = read_changes(kept.connection, specs, seconds=PATIENCE)
        finally:
            is_welcome = changes is not None and changes.has_others and len(self._kept) < MOST_KEPT
            if not is_welcome or self._kept.setdefault(kept.office.key, kept) is not kept:
                kept.connection.close()
        return changes.tokens
