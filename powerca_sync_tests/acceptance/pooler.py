"""The connection to a mobile database in the cloud: PgBouncer with TLS under its own certificate authority.

Both programs come with the operating system; tests are skipped with that reason if one of them is missing.
"""

import contextlib
import dataclasses
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from powerca_sync.settings import Endpoint
from powerca_sync_tests.acceptance.compose import free_port

#: Debian installs PgBouncer outside the PATH of ordinary users.
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
MISSING = [name for name in ("pgbouncer", "openssl") if shutil.which(name, path=PATH) is None]
needs_pooler = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Certificates:
    """A certificate authority, and the certificate of the server `localhost`."""

    authority: Path
    certificate: Path
    key: Path


def make_certificates(folder: Path) -> Certificates:
    """Creates an authority and a server certificate for the name `localhost` only."""
    folder.mkdir()
    authority, authority_key = folder / "authority.crt", folder / "authority.key"
    certificate, key, request = folder / "server.crt", folder / "server.key", folder / "server.csr"
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    _openssl(
        *("req", "-x509", *new_key, "-keyout", authority_key, "-out", authority, "-days", "2"),
        *("-subj", "/CN=Authority of a test", "-addext", "basicConstraints=critical,CA:TRUE"),
    )
    _openssl("req", *new_key, "-keyout", key, "-out", request, "-subj", "/CN=localhost")
    names = folder / "names"
    names.write_text("subjectAltName=DNS:localhost\n", encoding="ascii")
    _openssl(
        *("x509", "-req", "-in", request, "-CA", authority, "-CAkey", authority_key, "-CAcreateserial"),
        *("-out", certificate, "-days", "2", "-extfile", names),
    )
    return Certificates(authority=authority, certificate=certificate, key=key)


@contextlib.contextmanager
def pooled(endpoint: Endpoint, folder: Path, *, mode: str, certificates: Certificates) -> Iterator[Endpoint]:
    """Starts PgBouncer in front of the server of `endpoint`; yields the endpoint of the same database and user through
    it.

    `mode` is `transaction` or `session`. Only the user and password of `endpoint` are accepted, and only with TLS.
    """
    folder.mkdir()
    port = free_port()
    users, configuration = folder / "users.txt", folder / "pgbouncer.ini"
    users.write_text(f"{_quoted(endpoint.user)} {_quoted(endpoint.password or '')}\n", encoding="utf-8")
    configuration.write_text(
        f"""[databases]
* = host={endpoint.host} port={endpoint.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
pool_mode = {mode}
default_pool_size = 3
auth_type = scram-sha-256
auth_file = {users}
client_tls_sslmode = require
client_tls_cert_file = {certificates.certificate}
client_tls_key_file = {certificates.key}
logfile = {folder}/log
pidfile = {folder}/pid
""",
        encoding="utf-8",
    )
    command = [str(shutil.which("pgbouncer", path=PATH)), str(configuration)]
    if os.getuid() == 0:
        # PgBouncer refuses to run as root, so it runs as the user of the server, whose socket it may use.
        user = Path(endpoint.host).owner()
        for path in (folder, *folder.iterdir(), certificates.key.parent, *certificates.key.parent.iterdir()):
            shutil.chown(path, user)
        command[1:1] = ["-u", user]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        give_up = time.monotonic() + 20
        while not _answers(port):
            assert process.poll() is None, (folder / "log").read_text(encoding="utf-8")
            assert time.monotonic() < give_up
            time.sleep(0.05)
        yield dataclasses.replace(
            endpoint, host="localhost", port=port, sslmode="verify-full", sslrootcert=str(certificates.authority)
        )
    finally:
        process.kill()
        process.wait(timeout=20)


def _openssl(*arguments: str | Path) -> None:
    done = subprocess.run(
        [str(shutil.which("openssl", path=PATH)), *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def _quoted(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
