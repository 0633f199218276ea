"""A run in a process of its own, which can be killed and reports the SQLSTATEs of its failures."""

import contextlib
import dataclasses
import logging
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection as Pipe

import psycopg

from powerca_sync.engine.forward import ReadAhead
from powerca_sync.engine.postgres.database import Connection, Timeouts, connect
from powerca_sync.engine.requests import Mode, TableExtract, TablePull
from powerca_sync.engine.result import Options, Transfer
from powerca_sync.engine.reverse.reverse import sync_reverse
from powerca_sync.errors import SyncError
from powerca_sync.settings import Endpoint
from powerca_sync.specs import TableSpec
from powerca_sync_tests.helpers import ORGS
from powerca_sync_tests.histories.tables import SHARED
from powerca_sync_tests.paths import on_path

#: Not forked from this process, which has threads and connections.
_PROCESSES = multiprocessing.get_context("forkserver")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """All tables in one direction; calling it executes the run."""

    direction: str
    mode: Mode
    transfer: Transfer
    desktop: Endpoint
    mobile: Endpoint
    tables: Sequence[TableSpec]
    #: Rows are copied and told apart in binary form, otherwise as text.
    typed: bool
    #: Tables that a forward run reads at a time.
    at_once: int = 1
    statement_timeout: float = 30
    lock_timeout: float = 5

    def __call__(self, report: Pipe) -> None:
        """Sends the SQLSTATEs of all failures; any other exception than `SyncError` ends the process with status 1."""
        logging.disable()
        states: set[str] = set()
        try:
            with self._open() as sync:
                for table in self.tables:
                    try:
                        sync(table)
                    except SyncError as exc:
                        states.add(_state(exc))
        except SyncError as exc:
            states.add(_state(exc))
        report.send(states)

    @contextlib.contextmanager
    def _open(self) -> Iterator[Callable[[TableSpec], object]]:
        """Yields the function that syncs one of the tables."""
        specs = (ORGS, *self.tables)
        timeouts = Timeouts(statement=self.statement_timeout, lock=self.lock_timeout, table=5)
        options = on_path(
            Options(
                timeouts=timeouts,
                transfer=self.transfer,
                binary_copy=self.typed,
                typed_hashes=self.typed,
                tables_at_once=self.at_once,
            )
        )

        def pull(table: TableSpec) -> None:
            if table.mobile in SHARED:
                sync_reverse(TablePull(spec=table), source=mobile, target=desktop, specs=specs, options=options)

        def forward(table: TableSpec) -> None:
            ahead.sync(TableExtract(spec=table, mode=self.mode, allow_mass_delete=True))

        @contextlib.contextmanager
        def connected(failing: str | None) -> Iterator[tuple[Connection, Connection]]:
            if failing:
                yield desktop, mobile
                return
            with connect(self.desktop) as second_desktop, connect(self.mobile) as second_mobile:
                yield second_desktop, second_mobile

        with (
            connect(self.desktop) as desktop,
            connect(self.mobile) as mobile,
            contextlib.closing(ReadAhead(self.tables, specs, connect=connected, options=options)) as ahead,
        ):
            yield forward if self.direction == "forward" else pull


def _state(exc: BaseException) -> str:
    """Returns the SQLSTATE of the failure; empty if it is not a database error."""
    cause: BaseException | None = exc
    while cause is not None and not isinstance(cause, psycopg.Error):
        cause = cause.__cause__
    return (cause.sqlstate or "") if cause is not None else ""


class Started:
    """A run that has been started."""

    def __init__(self, run: Run) -> None:
        self._reports, sender = _PROCESSES.Pipe(duplex=False)
        self._process = _PROCESSES.Process(target=run, args=(sender,))
        self._process.start()
        sender.close()
        #: The SQLSTATEs of the failures of a finished run; none if it was killed.
        self.failures: frozenset[str] = frozenset()

    @property
    def alive(self) -> bool:
        """Returns whether the run is in progress."""
        return self._process.is_alive()

    def join(self, seconds: float) -> None:
        """Waits until it ends, or until the time is up."""
        self._process.join(seconds)

    def kill(self) -> None:
        """Kills the process if it is alive."""
        # It may end between the check and the signal.
        if self._process.pid and self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)
        self._process.join()

    def check(self) -> None:
        """Reads the result of a finished run; the assertion fails if it died by itself."""
        status = self._process.exitcode
        with self._reports:
            if status == 0:
                self.failures = frozenset(self._reports.recv())
        assert status in (0, -signal.SIGKILL), f"a run ended with an error that is no SyncError (status {status})"
