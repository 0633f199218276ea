"""Refuse requests that a foreign web page has the browser send, and ask for a login if one is configured."""

import base64
import binascii
import secrets
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.authentication import (
    AuthCredentials,
    AuthenticationBackend,
    AuthenticationError,
    BaseUser,
    SimpleUser,
)
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from typing_extensions import override

from powerca_sync.operations import UI_URL, WebAccess

#: Names under which a browser on the same machine reaches the webserver.
THIS_MACHINE: Final = ("localhost", "127.0.0.1", "[::1]")
#: The path that tells versions only; health checks use it without a login.
HEALTH: Final = "/server_info"


def guard(app: Starlette, access: WebAccess) -> Starlette:
    """Put the guard in front of the application, and return the application."""
    public = urlsplit(access.ui_url)
    # The one that is added last sees a request first.
    if access.password:
        app.add_middleware(AuthenticationMiddleware, backend=_Login(access), on_error=_ask_for_login)
    app.add_middleware(SameOriginMiddleware, public_origin=f"{public.scheme}://{public.netloc}".lower())
    hosts = [*THIS_MACHINE, *([_host(public.netloc)] if public.netloc else [])]
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)
    return app


class SameOriginMiddleware:
    """Refuses requests and WebSockets of foreign origins, and forms of request that a browser sends without asking.

    A browser names the origin of the page in each request that can change something and in each WebSocket. It asks the
    server before it sends JSON across origins, which Dagster never allows; so that JSON is the one type accepted.
    """

    def __init__(self, app: ASGIApp, *, public_origin: str) -> None:
        self.app = app
        self.public_origin = public_origin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403, 405 or 415, or pass the request on; pages may be framed by the same origin only."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).setdefault("X-Frame-Options", "SAMEORIGIN")
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self.app)(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        method = scope.get("method", "WEBSOCKET")
        if self._is_foreign(headers, changes=method not in ("GET", "HEAD")):
            return PlainTextResponse(
                f"Refused: the request comes from another web page. If this is the address of the UI, set {UI_URL}.",
                status_code=403,
            )
        if method == "POST" and not _is_json(headers.getlist("content-type")):
            return PlainTextResponse("Refused: send JSON, with Content-Type: application/json.", status_code=415)
        # For a browser that wants a page, Dagster shows its GraphQL editor there and executes nothing.
        is_graphql = scope["path"].rstrip("/").endswith("/graphql")
        if method in ("GET", "HEAD") and is_graphql and "text/html" not in headers.get("accept", ""):
            return PlainTextResponse("Refused: send GraphQL with POST.", status_code=405)
        return None

    def _is_foreign(self, headers: Headers, *, changes: bool) -> bool:
        """Whether the browser says that another page sends the request; other programs say nothing of it."""
        origins = headers.getlist("origin")
        if not origins:
            return changes and headers.get("sec-fetch-site", "none") not in ("same-origin", "none")
        host = headers.get("host", "").lower()
        return any(
            origin.lower() not in (f"http://{host}", f"https://{host}", self.public_origin) for origin in origins
        )


class _Login(AuthenticationBackend):
    """HTTP Basic authentication against the one user of the settings."""

    def __init__(self, access: WebAccess) -> None:
        self._expected = f"{access.user}:{access.password}".encode()

    @override
    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser] | None:
        """Return the user, or nobody for a health check; raises `AuthenticationError` for any other request."""
        if conn.scope["path"] == HEALTH:
            return None
        scheme, _, encoded = conn.headers.get("authorization", "").partition(" ")
        try:
            given = base64.b64decode(encoded.strip(), validate=True)
        except (binascii.Error, ValueError):
            given = b""
        if scheme.lower() != "basic" or not secrets.compare_digest(given, self._expected):
            raise AuthenticationError("Log in as the user of the settings.")
        return AuthCredentials(["authenticated"]), SimpleUser(given.decode().partition(":")[0])


def _ask_for_login(conn: HTTPConnection, exc: Exception) -> PlainTextResponse:
    headers = {"WWW-Authenticate": 'Basic realm="powerca_sync", charset="UTF-8"'}
    return PlainTextResponse(str(exc), status_code=401, headers=headers)


def _is_json(types: Sequence[str]) -> bool:
    return [kind.partition(";")[0].strip().lower() for kind in types] == ["application/json"]


def _host(netloc: str) -> str:
    """The host of `host:port`, with the brackets of an IPv6 address, as the Host header has it."""
    host = netloc.rpartition("@")[2]
    return host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
