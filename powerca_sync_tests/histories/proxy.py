"""A connection to a database that breaks: a TCP proxy in front of a server."""

import contextlib
import ctypes
import dataclasses
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Self

from powerca_sync.settings import Endpoint

#: For a slow connection: seconds per piece of this many bytes.
DELAY, PIECE = 0.002, 512


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Trouble:
    """A fault of the connection, after a number of bytes in both directions together."""

    #: `cut`, `stalled` (the proxy forwards nothing), `silent` (not even TCP notices) or `delayed`.
    kind: str
    after: int


class Proxy:
    """Listens on a port of this machine and forwards everything."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._trouble: Trouble | None = None
        self._passed = 0
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._listener.close()
        self._hang_up()

    @property
    def through(self) -> Endpoint:
        """Returns the endpoint of the same database through this proxy."""
        port = self._listener.getsockname()[1]
        return dataclasses.replace(self.endpoint, host="127.0.0.1", port=port, sslmode="disable")

    @property
    def struck(self) -> bool:
        """Returns whether the fault has begun."""
        return self._trouble is not None and self._passed > self._trouble.after

    @contextlib.contextmanager
    def troubled(self, trouble: Trouble) -> Iterator[None]:
        """Applies the fault in the body; afterwards every connection through the proxy is closed."""
        self._passed, self._trouble = 0, trouble
        try:
            yield
        finally:
            self._trouble = None
            self._hang_up()

    def _hang_up(self) -> None:
        with self._lock:
            for one in self._sockets:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            self._sockets.clear()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = self._connect()
                with self._lock:
                    self._sockets |= {client, server}
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _connect(self) -> socket.socket:
        if not self.endpoint.host.startswith("/"):
            return socket.create_connection((self.endpoint.host, self.endpoint.port))
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{self.endpoint.host}/.s.PGSQL.{self.endpoint.port}")
        return server

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(PIECE):
                self._passed += len(data)
                trouble = self._trouble
                if trouble and self._passed > trouble.after:
                    if trouble.kind == "delayed":
                        time.sleep(DELAY)
                    else:
                        if trouble.kind == "silent":
                            for end in (one, other):
                                _drop_packets(end)
                        else:
                            # Cut data arrives in part.
                            other.sendall(data[: self._passed - trouble.after])
                        if trouble.kind in ("stalled", "silent"):
                            while self._trouble is trouble:
                                time.sleep(0.01)
                        break
                other.sendall(data)
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def _drop_packets(line: socket.socket) -> None:
    """Makes the kernel drop all packets for a socket, unacknowledged, as on a dead connection."""
    # Classic BPF: one instruction, which returns that no byte of the packet is accepted.
    program = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
    attach_filter = 26
    with contextlib.suppress(OSError):
        line.setsockopt(socket.SOL_SOCKET, attach_filter, struct.pack("HL", 1, ctypes.addressof(program)))
