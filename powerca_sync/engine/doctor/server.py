"""The servers: version, user, encoding, and whether they can be written to."""

import dataclasses
from collections.abc import Iterator

from powerca_sync.engine.doctor.findings import Finding, fine, warning, wrong
from powerca_sync.engine.doctor.route import Route
from powerca_sync.engine.doctor.side import Side, read_as
from powerca_sync.engine.postgres import Cursor, load, python_codec
from powerca_sync.errors import ConfigurationError

#: Major versions of PostgreSQL: the oldest that can work, and those that the tests run on.
OLDEST, TESTED = 13, (15, 16, 18)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """Facts about a server."""

    #: As in `server_version_num`.
    version: int
    version_name: str
    encoding: str
    user: str
    timezone: str
    #: New transactions may not write.
    read_only: bool
    #: It replicates another server and cannot be written to.
    standby: bool
    #: TLS version of the server's connection, which behind a pooler is the pooler's. None: not encrypted.
    tls: str | None

    @property
    def writable(self) -> bool:
        """Whether a dry run can create its temporary tables there."""
        return not (self.read_only or self.standby)


def read_server(cursor: Cursor) -> Server:
    """Returns the facts about the server."""
    (server,) = read_as(Server, cursor, load(__package__, "server.sql"), {})
    return server


def describe(side: Side, server: Server, route: Route | None) -> Finding:
    """Returns the finding that names the server and the route to it."""
    assert side.connection is not None
    endpoint = side.endpoint
    if endpoint.is_local and route is Route.DIRECT:
        way = "on this machine"
    else:
        verified = ", server verified" if endpoint.effective_sslmode == "verify-full" else ""
        tls = f" ({server.tls})" if route is Route.DIRECT and server.tls else ""
        encrypted = f"encrypted{tls}{verified}" if side.connection.pgconn.ssl_in_use else "not encrypted"
        way = f"{route or 'over an unknown route'}, {encrypted}"
    advice = "; the session pooler (port 5432) is the better way" if route is Route.TRANSACTION else ""
    return fine(side.name, f"PostgreSQL {server.version_name} at {endpoint} answers user {server.user}, {way}{advice}.")


def examine_version(side: str, server: Server) -> Iterator[Finding]:
    """Yields a finding for a version that is too old or untested."""
    major = server.version // 10000
    tested = ", ".join(map(str, TESTED))
    if major < OLDEST:
        yield wrong(
            side,
            f"The server is PostgreSQL {server.version_name}, which is too old.",
            why="The sync uses features that older servers lack.",
            do=f"Upgrade it to {OLDEST} or newer; tested are {tested}.",
        )
    elif major < min(TESTED) or major > max(TESTED):
        yield warning(
            side,
            f"The sync was never tested with PostgreSQL {server.version_name} (tested are {tested}).",
            why="It should work; if it does not, this is the first thing to suspect.",
            do="Upgrade the server when you can."
            if major < OLDEST + 2
            else "Look for a newer version of powerca-sync.",
        )


def examine_writable(side: str, server: Server) -> Iterator[Finding]:
    """Yields a finding for a standby or a read-only database."""
    if not (server.read_only or server.standby):
        return
    state = "follows another server (standby)" if server.standby else "is in read-only mode"
    if side == "mobile":
        yield wrong(
            side,
            f"The mobile database {state}.",
            why="Every sync fails, and so does every entry on a phone.",
            do="Supabase's dashboard shows which quota, or the disk, is used up: free space or upgrade, and it ends."
            if server.read_only
            else "Set `SUPABASE_DB_HOST` to the primary server.",
        )
    else:
        yield warning(
            side,
            f"The desktop database {state}.",
            why="The office's rows reach the phones, but phone rows cannot be reverse-synced.",
            do="Set `LOCAL_DB_HOST` to a server that can be written to, or end the read-only mode.",
        )


def examine_encoding(side: str, server: Server, configured: str | None) -> Iterator[Finding]:
    """Yields findings about encodings: unknown, undeclared, or without some letters."""
    if side == "mobile":
        if server.encoding != "UTF8":
            yield warning(
                side,
                f"The mobile database stores text as {server.encoding}, not as UTF8.",
                why="Rows with other characters (rupee signs, Devanagari) are quarantined.",
                do="Move the project to a UTF8 database, which is Supabase's default.",
            )
        return
    if configured and not _is_known(configured):
        yield wrong(
            side,
            f"`LOCAL_DB_ENCODING` is `{configured}`, which is not a known encoding.",
            why="No table can be read.",
            do="Use a name such as WIN1252, LATIN1 or UTF8, or leave it out.",
        )
    elif server.encoding == "SQL_ASCII" and not configured:
        yield warning(
            side,
            "The desktop database does not declare the encoding of its text (SQL_ASCII).",
            why="Text is read as UTF-8; rows with letters in another encoding are quarantined.",
            do="Set `LOCAL_DB_ENCODING` to what the office's program writes, most often WIN1252.",
        )
    elif configured and server.encoding != "SQL_ASCII" and python_codec(configured) != python_codec(server.encoding):
        yield warning(
            side,
            f"`LOCAL_DB_ENCODING` is `{configured}`, but the desktop's text is {server.encoding}.",
            why="Letters beyond plain English arrive as others.",
            do="Remove `LOCAL_DB_ENCODING`: it is for SQL_ASCII databases.",
        )
    if server.encoding not in ("UTF8", "SQL_ASCII"):
        yield warning(
            side,
            f"The desktop database stores text as {server.encoding}.",
            why="Phone rows with other characters (Devanagari, emoji) are quarantined.",
            do="Nothing, if nobody types such letters on a phone.",
        )


def _is_known(encoding: str) -> bool:
    try:
        python_codec(encoding)
    except ConfigurationError:
        return False
    return True
