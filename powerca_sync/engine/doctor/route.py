"""The route to a database: direct or through a pooler, in which mode, encrypted and verified or not."""

import contextlib
import enum
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from powerca_sync.engine.doctor.findings import Finding, warning, wrong
from powerca_sync.engine.doctor.side import Side
from powerca_sync.engine.postgres import Connection, connect
from powerca_sync.errors import ConfigurationError, SyncError
from powerca_sync.plain_text import counted

#: Seconds to wait for a second server connection before the pooler counts as one in transaction mode.
IMPATIENCE = 3.0
#: How often two clients are compared.
ROUNDS = 3
#: Days before its expiry at which a certificate is reported.
EXPIRES_SOON = 30
CLOUD_POOLER, CLOUD_DIRECT = ".pooler.supabase.com", ".supabase.co"
TRANSACTION_PORT = 6543


class Route(enum.StrEnum):
    """The kind of connection to the server."""

    DIRECT = "directly"
    SESSION = "through a session pooler"
    TRANSACTION = "through a transaction pooler"
    POOLER = "through a pooler"


def find_route(side: Side) -> Route:
    """Returns the route, found by its behaviour, and by its address where the behaviour leaves a doubt.

    1. A server announces its process id at login; a pooler announces another one than that of the process it uses.
    2. A pooler in transaction mode assigns a server process for one transaction only: another client gets the same
       process in between, or blocks it, so that our next transaction gets another one.
    """
    assert side.connection is not None
    if _process(side.connection) == side.connection.info.backend_pid:
        return Route.DIRECT
    with contextlib.suppress(SyncError, psycopg.Error), contextlib.closing(connect(side.endpoint)) as other:
        return Route.TRANSACTION if _is_shared(side.connection, other) else Route.SESSION
    if not side.endpoint.host.endswith(CLOUD_POOLER):
        return Route.POOLER
    return Route.TRANSACTION if side.endpoint.port == TRANSACTION_PORT else Route.SESSION


def _process(connection: Connection) -> int:
    ((pid,),) = connection.execute("SELECT pg_backend_pid()").fetchall()
    return int(pid)


def _is_shared(connection: Connection, other: Connection) -> bool:
    """Whether the pooler assigns one server process to two clients in turn."""
    # With a single server connection, our query waits for the other's transaction; only a pooler in transaction mode
    # accepts the other client and makes us wait.
    gave_up = threading.Event()

    def give_up() -> None:
        gave_up.set()
        other.close()

    for _ in range(ROUNDS):
        before = _process(connection)
        other.execute("BEGIN READ ONLY")
        held = _process(other)
        timer = threading.Timer(IMPATIENCE, give_up)
        timer.start()
        after = _process(connection)
        timer.cancel()
        if gave_up.is_set() or held == before or after != before:
            return True
        other.execute("ROLLBACK")
    return False


def examine_encryption(side: Side) -> Iterator[Finding]:
    """Yields a finding for a connection that is not verified, and for a certificate that expires soon."""
    endpoint = side.endpoint
    assert side.connection is not None
    prefix = "LOCAL_DB" if endpoint.side == "desktop" else "SUPABASE_DB"
    if not endpoint.is_local and endpoint.effective_sslmode != "verify-full":
        encrypted = "encrypted" if side.connection.pgconn.ssl_in_use else "not encrypted"
        yield warning(
            side.name,
            f"The connection to {endpoint} is {encrypted}, and the server's identity is not verified "
            f"(sslmode is {endpoint.effective_sslmode}).",
            why="A host in between can read the clients' data and the password, or impersonate the server.",
            do=f"Set `{prefix}_SSLMODE=verify-full`, and `{prefix}_SSLROOTCERT` to the certificate file of the "
            "server's dashboard.",
        )
    if endpoint.sslrootcert and endpoint.effective_sslmode in ("verify-ca", "verify-full"):
        yield from _examine_certificate(side.name, Path(endpoint.sslrootcert))


def _examine_certificate(side: str, file: Path) -> Iterator[Finding]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=file)
    except (OSError, ssl.SSLError) as exc:
        yield warning(
            side,
            f"The certificate file `{file}` could not be examined: {exc}.",
            why="The expiry of the certificate is not known.",
            do="Download the certificate again.",
        )
        return
    ends = [ssl.cert_time_to_seconds(str(each["notAfter"])) for each in context.get_ca_certs()]
    if not ends:
        return
    left = (datetime.fromtimestamp(max(ends), UTC) - datetime.now(UTC)).days
    if left < EXPIRES_SOON:
        yield warning(
            side,
            f"The certificate in `{file}` expires in {counted(left, 'day')}.",
            why="After that no connection is possible, because the server's identity can no longer be verified.",
            do="Download the new certificate from the server's dashboard.",
        )


def unreachable(side: Side) -> Finding:
    """Returns the finding about a database that cannot be reached, with advice for its kind of address."""
    return wrong(
        side.name,
        f"The {side.name} database cannot be reached: {side.failure}",
        why="Nothing can be synced, and this database could not be examined.",
        do=_advice(side),
    )


def _advice(side: Side) -> str:
    endpoint = side.endpoint
    prefix = "LOCAL_DB" if endpoint.side == "desktop" else "SUPABASE_DB"
    cause = side.failure and side.failure.__cause__
    state = getattr(cause, "sqlstate", None) or ""
    if state.startswith("powerca:tls"):
        return (
            "Correct what the message names; the server's dashboard offers its certificate authority for download, "
            f"whose file belongs in `{prefix}_SSLROOTCERT`."
        )
    if endpoint.host.endswith(CLOUD_POOLER):
        return (
            "Copy host and user from Supabase's dashboard (*Connect*, session pooler): the number in `aws-N-` counts, "
            "and the user is `postgres.` and the project's reference. A paused project has to be resumed there."
        )
    if endpoint.host.endswith(CLOUD_DIRECT):
        return (
            "Supabase's direct host answers over IPv6 only, which many networks lack: use host and user of the session "
            "pooler (*Connect* in its dashboard). A paused project has to be resumed there."
        )
    if isinstance(side.failure, ConfigurationError):
        return f"Correct `{prefix}_USER`, `{prefix}_PASSWORD` and `{prefix}_NAME`: the server refused the login."
    if endpoint.is_local:
        return f"See that PostgreSQL runs on this machine and listens on port {endpoint.port}; then run this again."
    return f"See that {endpoint.host} is the right machine, is on, and lets port {endpoint.port} through its firewall."
