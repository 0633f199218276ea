"""Find the cause of a failed TLS negotiation by a handshake that ends before the login.

libpq reports it as text only; OpenSSL, through Python's `ssl`, as an error code.
"""

import socket
import ssl
import struct
import sys
from pathlib import Path

from powerca_sync.settings import Endpoint

#: SSLRequest of the protocol: length of the message and request code.
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
#: By OpenSSL's X509_V_ERR code.
_FAULTS = {
    9: "powerca:tls:date",
    10: "powerca:tls:date",
    62: "powerca:tls:host",
    64: "powerca:tls:host",
}


def find_tls_fault(endpoint: Endpoint) -> str:
    """Returns the state, as in `database_errors`, of a connection that failed during TLS negotiation."""
    authority = Path(endpoint.sslrootcert) if endpoint.sslrootcert else _default_authority()
    # With a root certificate file libpq verifies under `require` too.
    is_verified = endpoint.effective_sslmode.startswith("verify") or authority.exists()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = endpoint.effective_sslmode == "verify-full"
    context.verify_mode = ssl.CERT_REQUIRED if is_verified else ssl.CERT_NONE
    try:
        if endpoint.sslrootcert == "system":
            context.load_default_certs()
        elif is_verified:
            context.load_verify_locations(cafile=authority)
    except OSError:
        return "powerca:tls:file"
    try:
        with socket.create_connection((endpoint.host, endpoint.port), timeout=endpoint.connect_timeout) as line:
            line.sendall(_SSL_REQUEST)
            answer = line.recv(1)
            if answer == b"S":
                context.wrap_socket(line, server_hostname=endpoint.host).close()
    except ssl.SSLCertVerificationError as exc:
        return _FAULTS.get(exc.verify_code, "powerca:tls:authority")
    except ssl.SSLError:
        return "powerca:tls"
    except OSError:
        return "08006"
    return {b"N": "powerca:tls:none", b"": "08006"}.get(answer, "powerca:tls")


def _default_authority() -> Path:
    """Returns libpq's default path of the root certificate."""
    if sys.platform == "win32":
        return Path.home() / "AppData" / "Roaming" / "postgresql" / "root.crt"
    return Path.home() / ".postgresql" / "root.crt"
