"""Sync the tables of a run, and read the next table while one is being synced.

The next table is read in a thread, over connections of its own, up to the point from which its run would write anything
that outlives its transaction or would wait for what other tables write. There it waits for its turn; so all writing is
done in the order of the run, one table at a time, and a table whose turn does not come leaves nothing behind. While it
waits it locks no row.
"""

import contextlib
import dataclasses
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Final

from powerca_sync.engine.context import CatalogCaches
from powerca_sync.engine.forward.forward import sync_forward
from powerca_sync.engine.postgres import Connection, Timeouts, blocks_others, interrupt_use, schema_and_name
from powerca_sync.engine.requests import TableExtract, TextRows
from powerca_sync.engine.result import ForwardResult, Options
from powerca_sync.errors import SyncError
from powerca_sync.plain_text import diverted_lines
from powerca_sync.specs import TableSpec

#: Opens the connections to source and target. Takes the table for which a failure of the source is recorded, if any.
Connect = Callable[[str | None], AbstractContextManager[tuple[Connection, Connection]]]
#: Seconds after which an interrupted reading is given up; its thread does not keep the process from ending.
_MOST_TO_END: Final = 30


class ReadAhead:
    """The forward runs of several tables, one after another, with the reading of the next ones."""

    def __init__(
        self,
        tables: Sequence[TableSpec],
        specs: Sequence[TableSpec],
        *,
        connect: Connect,
        options: Options,
    ) -> None:
        """`tables` are those of the run in their order."""
        self._tables = {spec.mobile: spec for spec in tables}
        self._specs = specs
        self._connect = connect
        self._options = options
        self._caches = CatalogCaches.build(tables or specs, specs)
        self._begun: set[str] = set()
        self._done: set[str] = set()
        self._ahead: dict[str, _Reading] = {}

    def sync(self, request: TableExtract | TextRows) -> ForwardResult:
        """Sync one table as `sync_forward` does, with what was read of it ahead. Raises a `SyncError`."""
        name = request.spec.mobile
        self._begun.add(name)
        if isinstance(request, TableExtract):
            self._read_ahead(request)
        result = self._finish(request) if name in self._ahead else None
        if result is None:
            with self._connect(name) as (source, target):
                result = self._sync(request, source, target)
        self._done.add(name)
        return result

    def close(self) -> None:
        """Interrupt what is being read ahead, and wait for its end."""
        while self._ahead:
            self._ahead.popitem()[1].stop()

    def _finish(self, request: TableExtract | TextRows) -> ForwardResult | None:
        """Returns the result of what was begun; None if it has been given up or was of another request."""
        reading = self._ahead[request.spec.mobile]
        try:
            if reading.request == request:
                return reading.finish()
            reading.stop()
            return None
        finally:
            # After an interrupt it is left to `close`.
            if reading.ended:
                del self._ahead[request.spec.mobile]

    def _read_ahead(self, request: TableExtract) -> None:
        """Begin to read the tables that come next, with the options of this request."""
        others = self._options.tables_at_once - 1
        while len(self._ahead.keys() - {request.spec.mobile}) < others and (spec := self._next()):
            self._begun.add(spec.mobile)
            reading = _Reading(
                dataclasses.replace(request, spec=spec),
                self._sync,
                connect=self._connect,
                turn=_Turn(self._options.timeouts),
            )
            self._ahead[spec.mobile] = reading

    def _next(self) -> TableSpec | None:
        """Returns the first table that has not begun and depends on no table that has not been synced, if any.

        None before the first table has been synced: the catalogs are not known, and this process may execute no other.
        """
        if not self._done:
            return None
        waiting = self._tables.keys() - self._done
        return next(
            (
                spec
                for name, spec in self._tables.items()
                if name not in self._begun and waiting.isdisjoint(self._parents(spec) - {name})
            ),
            None,
        )

    def _parents(self, spec: TableSpec) -> set[str]:
        """Returns the mobile names of the tables that come before: those of the spec, and those of foreign keys."""
        names = {schema_and_name(name): name for name in self._tables}
        table = self._caches.target.kept.tables.get(spec.mobile)
        found = {names.get(key.parent, "") for key in table.references} if table else set()
        return {*spec.depends_on, *found}

    def _sync(
        self,
        request: TableExtract | TextRows,
        source: Connection,
        target: Connection,
        before_writing: Callable[[], None] | None = None,
    ) -> ForwardResult:
        return sync_forward(
            request,
            source=source,
            target=target,
            specs=self._specs,
            options=self._options,
            caches=self._caches,
            before_writing=before_writing,
        )


class _GivenUpError(Exception):
    """A table's turn did not come, or not in time; its transaction is rolled back."""


class _Turn:
    """The point at which a reading waits for its table's turn."""

    def __init__(self, timeouts: Timeouts) -> None:
        #: Seconds from one look for sessions that wait for the reading's locks to the next: they get them in time.
        self._patience = timeouts.lock / 3
        #: Other runs of the table, which ask for its lock again and again, get it in time too.
        self._longest = timeouts.table / 2
        self._changed = threading.Condition()
        #: None until it is decided.
        self._granted: bool | None = None

    def decide(self, granted: bool) -> bool:
        """Let the reading go on, or end it; returns what has been decided, which may be what was decided before."""
        with self._changed:
            if self._granted is None:
                self._granted = granted
                self._changed.notify_all()
            return self._granted

    def wait(self, connections: Sequence[Connection]) -> None:
        """Raises `_GivenUpError` if the turn is not granted before somebody waits for a lock of the connections."""
        end = time.monotonic() + self._longest
        while not self._is_decided_within(min(self._patience, end - time.monotonic())):
            if time.monotonic() >= end or any(map(blocks_others, connections)):
                break
        if not self.decide(False):
            raise _GivenUpError

    def _is_decided_within(self, seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._granted is not None, seconds)

    def check(self) -> None:
        """Raises `_GivenUpError` if it has been decided so."""
        if self._granted is False:
            raise _GivenUpError


class _Reading:
    """One table that is read ahead, in a thread of its own."""

    def __init__(
        self,
        request: TableExtract,
        sync: Callable[[TableExtract, Connection, Connection, Callable[[], None]], ForwardResult],
        *,
        connect: Connect,
        turn: _Turn,
    ) -> None:
        self.request = request
        self._sync = sync
        self._connect = connect
        self._turn = turn
        self._result: ForwardResult | None = None
        self._error: BaseException | None = None
        #: Those that the thread uses, and nobody else; under the lock.
        self._connections: tuple[Connection, ...] = ()
        self._lock = threading.Lock()
        #: Log records of the thread; None is the last one.
        self._lines: queue.SimpleQueue[logging.LogRecord | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"read {request.spec.mobile} ahead", daemon=True)
        self._thread.start()

    def finish(self) -> ForwardResult | None:
        """Let the table be written, and log its lines in this thread; returns the result, or None if it was given up.

        Raises what the run of the table raised.
        """
        if self._turn.decide(True):
            while (record := self._lines.get()) is not None:
                logging.getLogger(record.name).handle(record)
        self._thread.join()
        if isinstance(self._error, _GivenUpError):
            return None
        if self._error is not None:
            raise self._error
        return self._result

    @property
    def ended(self) -> bool:
        """Returns whether the thread has ended."""
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Interrupt the thread, and wait for its end."""
        self._turn.decide(False)
        with self._lock:
            for connection in self._connections:
                interrupt_use(connection)
        self._thread.join(_MOST_TO_END)

    def _run(self) -> None:
        try:
            with diverted_lines(self._lines.put), contextlib.ExitStack() as stack:
                try:
                    both = stack.enter_context(self._connect(None))
                except SyncError:
                    # The table itself will meet the same error, and record it.
                    raise _GivenUpError from None
                with self._in_use(both):
                    self._turn.check()
                    self._result = self._sync(self.request, *both, partial(self._turn.wait, both))
        except BaseException as exc:
            self._error = exc
        finally:
            self._lines.put(None)

    @contextlib.contextmanager
    def _in_use(self, connections: tuple[Connection, ...]) -> Iterator[None]:
        """Let `stop` interrupt these connections in the body."""
        with self._lock:
            self._connections = connections
        try:
            yield
        finally:
            with self._lock:
                self._connections = ()
