"""Servers that get no further than the login: one refuses every user, one presents a given certificate."""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from powerca_sync.settings import Endpoint

CERTIFICATES = Path(__file__).with_name("certificates")


@contextlib.contextmanager
def refuse_logins(*, state: str, words: str, severity: str = "FATAL") -> Iterator[tuple[Endpoint, list[bytes]]]:
    """Yields a server that answers each login with this error, and the list of logins so far."""
    logins: list[bytes] = []
    fields = {"S": severity, "V": "FATAL", "C": state, "M": words, "F": "auth.c", "L": "1", "R": "auth_failed"}
    error = b"".join(f"{name}{value}\0".encode() for name, value in fields.items()) + b"\0"

    def refuse(line: socket.socket) -> None:
        logins.append(line.recv(4096))
        line.sendall(b"E" + struct.pack("!i", len(error) + 4) + error)

    with _listening(refuse) as port:
        yield _endpoint(port, sslmode="disable"), logins


@contextlib.contextmanager
def present_certificate(certificate: str | None) -> Iterator[Endpoint]:
    """Yields a server with this certificate (None: without TLS) that closes the connection after the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if certificate:
        context.load_cert_chain(CERTIFICATES / f"{certificate}.crt", CERTIFICATES / "server.key")

    def encrypt(line: socket.socket) -> None:
        line.recv(8)
        line.sendall(b"S" if certificate else b"N")
        if certificate:
            with context.wrap_socket(line, server_side=True) as encrypted:
                encrypted.recv(1)
        else:
            line.recv(1)

    with _listening(encrypt) as port:
        yield _endpoint(port, sslmode="verify-full", sslrootcert=str(CERTIFICATES / "authority.crt"))


def _endpoint(port: int, *, sslmode: str, sslrootcert: str = "") -> Endpoint:
    return Endpoint(
        side="mobile",
        host="localhost",
        port=port,
        name="postgres",
        user="office",
        password="correct horse",
        sslmode=sslmode,
        sslrootcert=sslrootcert,
    )


@contextlib.contextmanager
def _listening(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            with line, contextlib.suppress(OSError):
                talk(line)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        # Wakes the thread, which closing the socket alone does not.
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
