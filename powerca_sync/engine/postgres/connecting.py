"""Open connections that ignore libpq's environment variables and that detect a lost server.

libpq reports a refused login as the server's message, in the server's language. With verbose errors it puts the
SQLSTATE before the message.
"""

import contextlib
import ctypes
import functools
import importlib
import re
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Self

import psycopg
from psycopg import pq
from psycopg.abc import PQGen, PQGenConn
from psycopg.pq.abc import PGconn
from psycopg.pq.misc import find_libpq_full_path
from psycopg.waiting import Wait
from typing_extensions import override

from powerca_sync.settings import forget_variables

#: Options for which an empty value means no value.
_MAY_BE_EMPTY: Final = {
    *(
        "host",
        "hostaddr",
        "dbname",
        "user",
        "password",
        "passfile",
        "client_encoding",
        "application_name",
        "requirepeer",
    ),
    *("sslcert", "sslkey", "sslrootcert", "sslcrl", "sslcrldir", "ssl_max_protocol_version", "gsslib"),
}
#: Variables that libpq reads besides those of its options.
_MORE_VARIABLES: Final = ("PGSERVICEFILE", "PGSYSCONFDIR", "PGTZ", "PGDATESTYLE", "PGGEQO")
#: `FATAL:  28P01: message`, with `FATAL` in the server's language.
_REFUSAL = re.compile(r":  ([0-9A-Z]{5}): (.*)")
#: Seconds for a server to take the request to cancel a statement.
_CANCEL: Final = 3
#: PQERRORS_DEFAULT and PQERRORS_VERBOSE.
_DEFAULT, _VERBOSE = 1, 2


class OptionError(psycopg.OperationalError):
    """libpq rejected the value of an option; nothing was sent."""

    sqlstate = "powerca:settings"


class TlsError(psycopg.OperationalError):
    """The connection failed during TLS negotiation."""

    sqlstate = "powerca:tls"


class SilentError(psycopg.OperationalError):
    """The server sent nothing for a while, and does not answer a second connection."""

    sqlstate = "powerca:silent"


class InterruptedUseError(psycopg.OperationalError):
    """Another thread has ended the use of the connection."""

    sqlstate = "powerca:interrupted"


class _RefusedError(Exception):
    """The server refused the login. Not a driver error, after which psycopg would try the host's other addresses."""

    def __init__(self, state: str, words: str) -> None:
        super().__init__(words)
        self.error = psycopg.OperationalError(words)
        self.error.sqlstate = state


class LineConnection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that checks whether the server still answers after a time without data."""

    #: Seconds without any sign of the server after which the connection is lost.
    _patience: int
    _options: Mapping[str, Any]
    #: Set by another thread: the connection is closed as soon as it is used or waited for.
    _interrupted = False

    @classmethod
    def open(cls, *, patience: int, **options: Any) -> Self:
        """Open an autocommit connection; options that are not given have libpq's own default.

        Raises `psycopg.OperationalError`, with the SQLSTATE if the server refuses the login. A refused login is not
        tried at other addresses of the host, because servers ban clients after several of them.
        """
        defaults, cannot_be_passed = _defaults()
        forget_variables((*cannot_be_passed, *_MORE_VARIABLES))
        options = defaults | _keepalives(patience) | options
        try:
            # A named prepared statement does not survive a pooler in transaction mode.
            connection = cls.connect(**options, autocommit=True, prepare_threshold=None)
        except _RefusedError as exc:
            raise exc.error from None
        connection._patience = patience
        connection._options = options
        return connection

    @classmethod
    @override
    def _connect_gen(cls, conninfo: str = "") -> PQGenConn[Self]:
        pgconn = pq.PGconn.connect_start(conninfo.encode())
        if pgconn.status == pq.ConnStatus.BAD and pq.PGconn.ping(conninfo.encode()) == pq.Ping.NO_ATTEMPT:
            raise OptionError(_words(pgconn))
        _set_verbosity(pgconn, _VERBOSE)
        phase, polled = pq.ConnStatus(pgconn.status), pq.PollingStatus.WRITING
        while polled != pq.PollingStatus.OK:
            if pgconn.status == pq.ConnStatus.BAD:
                raise _failure(pgconn, phase)
            wait = Wait.R if polled == pq.PollingStatus.READING else Wait.W
            while not (yield pgconn.socket, wait):
                pass
            phase, polled = pq.ConnStatus(pgconn.status), pq.PollingStatus(pgconn.connect_poll())
        _set_verbosity(pgconn, _DEFAULT)
        pgconn.nonblocking = 1
        return cls(pgconn)

    def interrupt(self) -> None:
        """End what another thread does with the connection: cancel its statement, and close it."""
        self._interrupted = True
        if self.pgconn.transaction_status == pq.TransactionStatus.ACTIVE:
            with contextlib.suppress(psycopg.Error):
                # Otherwise the server keeps the locks of the statement until it ends.
                self.cancel_safe(timeout=_CANCEL)

    @override
    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        # Mostly the data has arrived already, as in a COPY.
        try:
            wanted = next(gen)
        except StopIteration as exc:
            return exc.value
        return super().wait(self._listening(gen, wanted), interval, timeout)

    def _listening(self, gen: PQGen[Any], wanted: Wait) -> PQGen[Any]:
        heard = time.monotonic()
        while True:
            ready = yield wanted
            if self._interrupted:
                self.close()
                raise InterruptedUseError("the use of the connection was interrupted")
            if ready:
                heard = time.monotonic()
            elif time.monotonic() - heard > self._patience / 2:
                self._probe()
                heard = time.monotonic()
            try:
                wanted = gen.send(ready)
            except StopIteration as exc:
                return exc.value

    def _probe(self) -> None:
        """Open a second connection; if the server does not answer it, close this one and raise `SilentError`.

        A long statement sends nothing either, and TCP keepalives end at a proxy or pooler.
        """
        give_up = time.monotonic() + self._patience / 2
        try:
            other = type(self).connect(**{**self._options, "connect_timeout": self._patience // 2})
            # No query, which a pooler might queue behind our own statement: every server closes after Terminate.
            with socket.fromfd(other.fileno(), socket.AF_INET, socket.SOCK_STREAM) as line:
                other.close()
                line.settimeout(max(1.0, give_up - time.monotonic()))
                while line.recv(4096):
                    pass
        except (_RefusedError, ConnectionError):
            # Any reply shows that the server is up, for example `too many connections`.
            return
        except (psycopg.OperationalError, TimeoutError) as exc:
            self.close()
            message = f"the server sent nothing for {self._patience:g} s, and did not answer another connection"
            raise SilentError(message) from exc


@functools.cache
def _defaults() -> tuple[dict[str, str], list[str]]:
    """Returns libpq's compiled default of each option, and the environment variables of options that have none."""
    options, cannot_be_passed = {}, []
    for option in pq.Conninfo.get_defaults():
        name, variable = option.keyword.decode(), (option.envvar or b"").decode()
        if option.compiled is not None or name in _MAY_BE_EMPTY:
            options[name] = (option.compiled or b"").decode()
        elif variable:
            cannot_be_passed.append(variable)
    # GSSAPI encryption would replace TLS and its certificate verification.
    return options | {"gssencmode": "disable"}, cannot_be_passed


def _keepalives(patience: int) -> dict[str, int]:
    """Returns options by which the operating system ends a connection without reply after so many seconds."""
    return {
        "keepalives": 1,
        # A connection that is idle for hours needs no more; what is sent and not acknowledged ends by the user timeout.
        "keepalives_idle": max(patience // 2, 30),
        # Windows always sends ten probes.
        "keepalives_count": 10,
        "keepalives_interval": max(1, patience // 20),
        "tcp_user_timeout": patience * 1000,
    }


def _failure(pgconn: PGconn, phase: pq.ConnStatus) -> Exception:
    """Returns the error of a failed connection; `phase` is its last state."""
    refusals = _REFUSAL.findall(_message(pgconn))
    if refusals:
        # `prefer` gives two refusals; 28000 may only mean that pg_hba.conf has no line for one of the modes.
        return _RefusedError(*next((found for found in refusals if found[0] != "28000"), refusals[0]))
    if pgconn.needs_password:
        return _RefusedError("28P01", _words(pgconn))
    if phase == pq.ConnStatus.SSL_STARTUP:
        return TlsError(_words(pgconn))
    return psycopg.OperationalError(_words(pgconn))


def _words(pgconn: PGconn) -> str:
    # Further lines are hints of libpq, some of them bad, such as to disable certificate verification.
    return _message(pgconn).strip().partition("\n")[0]


def _message(pgconn: PGconn) -> str:
    return pgconn.error_message.decode(errors="replace")


def _set_verbosity(pgconn: PGconn, verbosity: int) -> None:
    pointer: int | None = getattr(pgconn, "pgconn_ptr", None)
    if (function := _verbosity_function()) and pointer is not None:
        function(pointer, verbosity)


@functools.cache
def _verbosity_function() -> Callable[[int, int], int] | None:
    """Returns libpq's PQsetErrorVerbosity, which psycopg does not wrap; None if it is not found."""
    with contextlib.suppress(ImportError, OSError, AttributeError, StopIteration):
        function = ctypes.CDLL(_libpq()).PQsetErrorVerbosity
        function.argtypes = [ctypes.c_void_p, ctypes.c_int]
        return function
    return None


def _libpq() -> str | None:
    """Returns the path of a library through which the symbols of psycopg's libpq are found."""
    package = {"binary": "psycopg_binary", "c": "psycopg_c"}.get(pq.__impl__)
    if package is None:
        return find_libpq_full_path()
    module = Path(str(importlib.import_module(f"{package}.pq").__file__))
    if sys.platform == "win32":
        return str(next((module.parents[1] / f"{package}.libs").glob("libpq*.dll")))
    # dlsym also searches the dependencies of a library.
    return str(module)
