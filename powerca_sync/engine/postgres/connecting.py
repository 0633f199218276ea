"""Open a connection that owes nothing to libpq's environment, and that ends when its line falls silent.

libpq reports a refused login in the words of the server, in whatever language that speaks, without the SQLSTATE. Made
verbose, it puts the SQLSTATE before the words.
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

#: Options for which an empty value is the same as none.
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
#: What libpq reads besides the variables of its options.
_MORE_VARIABLES: Final = ("PGSERVICEFILE", "PGSYSCONFDIR", "PGTZ", "PGDATESTYLE", "PGGEQO")
#: `FATAL:  28P01: the server's words`, with `FATAL` in the server's language too.
_REFUSAL = re.compile(r":  ([0-9A-Z]{5}): (.*)")
#: PQERRORS_DEFAULT and PQERRORS_VERBOSE.
_DEFAULT, _VERBOSE = 1, 2


class OptionError(psycopg.OperationalError):
    """libpq does not accept the value of an option; nothing was sent."""

    sqlstate = "powerca:settings"


class TlsError(psycopg.OperationalError):
    """The connection failed while its encryption was negotiated."""

    sqlstate = "powerca:tls"


class SilentError(psycopg.OperationalError):
    """Nothing came for a while, and the server does not answer another connection either."""

    sqlstate = "powerca:silent"


class _RefusedError(Exception):
    """The server answered, and refused. No driver error, after which psycopg would try the host's other addresses."""

    def __init__(self, state: str, words: str) -> None:
        super().__init__(words)
        self.error = psycopg.OperationalError(words)
        self.error.sqlstate = state


class LineConnection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that looks whether the server still answers when nothing has come for a while."""

    #: Seconds without any sign of the server after which the line is lost.
    _patience: int
    _options: Mapping[str, Any]

    @classmethod
    def open(cls, *, patience: int, **options: Any) -> Self:
        """Open an autocommit connection; an option of libpq that is not given has libpq's own default.

        Raises `psycopg.OperationalError`, with the SQLSTATE if the server refuses. It is asked only once then, however
        many addresses its name has: an address from which several refused logins come gets banned.
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

    @override
    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        # Most often all has come already, as each row of a COPY has.
        try:
            wanted = next(gen)
        except StopIteration as exc:
            return exc.value
        return super().wait(self._listening(gen, wanted), interval, timeout)

    def _listening(self, gen: PQGen[Any], wanted: Wait) -> PQGen[Any]:
        heard = time.monotonic()
        while True:
            ready = yield wanted
            if ready:
                heard = time.monotonic()
            elif time.monotonic() - heard > self._patience / 2:
                self._knock()
                heard = time.monotonic()
            try:
                wanted = gen.send(ready)
            except StopIteration as exc:
                return exc.value

    def _knock(self) -> None:
        """Close the connection and raise `SilentError` if the server does not answer another one either.

        A long statement is as silent as a dead line, and TCP's own keepalives reach no further than a proxy or pooler.
        """
        give_up = time.monotonic() + self._patience / 2
        try:
            other = type(self).connect(**{**self._options, "connect_timeout": self._patience // 2})
            # Behind a pooler a query might have to wait for our own statement. To a goodbye everybody answers.
            with socket.fromfd(other.fileno(), socket.AF_INET, socket.SOCK_STREAM) as line:
                other.close()
                line.settimeout(max(1.0, give_up - time.monotonic()))
                while line.recv(4096):
                    pass
        except (_RefusedError, ConnectionError):
            # Too many connections, for example: the server is there.
            return
        except (psycopg.OperationalError, TimeoutError) as exc:
            self.close()
            silence = f"nothing came for {self._patience} seconds, and another connection was not answered either"
            raise SilentError(silence) from exc


def _defaults() -> tuple[dict[str, str], list[str]]:
    """libpq's own default for each option that its environment could set, and the variables of those that have none."""
    options, cannot_be_passed = {}, []
    for option in pq.Conninfo.get_defaults():
        name, variable = option.keyword.decode(), (option.envvar or b"").decode()
        if option.compiled is not None or name in _MAY_BE_EMPTY:
            options[name] = (option.compiled or b"").decode()
        elif variable:
            cannot_be_passed.append(variable)
    # Encryption by Kerberos would take the place of TLS, and of its verification.
    return options | {"gssencmode": "disable"}, cannot_be_passed


def _keepalives(patience: int) -> dict[str, int]:
    """Have the system end a connection whose other end has not answered for so many seconds."""
    return {
        "keepalives": 1,
        "keepalives_idle": patience // 2,
        # Windows always probes ten times.
        "keepalives_count": 10,
        "keepalives_interval": max(1, patience // 20),
        "tcp_user_timeout": patience * 1000,
    }


def _failure(pgconn: PGconn, phase: pq.ConnStatus) -> Exception:
    """Why a connection failed, from what libpq knows; `phase` is the state in which it was until then."""
    refusals = _REFUSAL.findall(_message(pgconn))
    if refusals:
        # Under `prefer` there are two, of which one may only say that pg_hba.conf has no line for the other mode.
        return _RefusedError(*next((found for found in refusals if found[0] != "28000"), refusals[0]))
    if pgconn.needs_password:
        return _RefusedError("28P01", _words(pgconn))
    if phase == pq.ConnStatus.SSL_STARTUP:
        return TlsError(_words(pgconn))
    return psycopg.OperationalError(_words(pgconn))


def _words(pgconn: PGconn) -> str:
    # Further lines are libpq's advice, some of it bad: to switch the verification of certificates off.
    return _message(pgconn).strip().partition("\n")[0]


def _message(pgconn: PGconn) -> str:
    return pgconn.error_message.decode(errors="replace")


def _set_verbosity(pgconn: PGconn, verbosity: int) -> None:
    pointer: int | None = getattr(pgconn, "pgconn_ptr", None)
    if (function := _verbosity_function()) and pointer is not None:
        function(pointer, verbosity)


@functools.cache
def _verbosity_function() -> Callable[[int, int], int] | None:
    """libpq's PQsetErrorVerbosity, which psycopg does not wrap; None where it is not found."""
    with contextlib.suppress(ImportError, OSError, AttributeError, StopIteration):
        function = ctypes.CDLL(_libpq()).PQsetErrorVerbosity
        function.argtypes = [ctypes.c_void_p, ctypes.c_int]
        return function
    return None


def _libpq() -> str | None:
    """A library in which the functions of the very libpq are found that psycopg uses."""
    package = {"binary": "psycopg_binary", "c": "psycopg_c"}.get(pq.__impl__)
    if package is None:
        return find_libpq_full_path()
    module = Path(str(importlib.import_module(f"{package}.pq").__file__))
    if sys.platform == "win32":
        return str(next((module.parents[1] / f"{package}.libs").glob("libpq*.dll")))
    # Here a symbol is looked for in the libraries that a library needs, too.
    return str(module)
