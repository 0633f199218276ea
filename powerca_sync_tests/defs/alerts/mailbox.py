"""A web hook and a mail server on this machine that keep what they receive and can refuse it."""

import http.server
import json
import socketserver
import threading
from email import message_from_bytes, policy
from email.message import EmailMessage
from types import TracebackType
from typing import Any, Self, cast

#: Part of the addresses, like the tokens of real ones; must not appear anywhere else.
SECRET = "x1y2-token-z3"


class _Served:
    """A server in a thread, for the duration of a `with` block."""

    server: socketserver.TCPServer

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])


class WebHook(_Served):
    """Receives JSON messages."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        #: How many further requests are refused.
        self.refuses = 0
        self.requests = 0
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                hook.requests += 1
                content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if hook.refuses > 0:
                    hook.refuses -= 1
                    self.send_response(503)
                else:
                    hook.messages.append(content)
                    self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Prints nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.port}/hooks/{SECRET}"

    @property
    def titles(self) -> list[str]:
        return [message["title"] for message in self.messages]


class MailServer(_Served):
    """Receives mail, with as much SMTP as a sender without login needs."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        mails = self.messages

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self.say(b"220 here")
                while line := self.rfile.readline():
                    command = line.split()[0].upper() if line.split() else b""
                    if command == b"DATA":
                        self.say(b"354 go on")
                        mails.append(self.read())
                        self.say(b"250 taken")
                    elif command == b"QUIT":
                        self.say(b"221 bye")
                        return
                    else:
                        self.say(b"250 fine")

            def read(self) -> EmailMessage:
                lines = []
                while (line := self.rfile.readline()) != b".\r\n":
                    lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
                return cast(EmailMessage, message_from_bytes(b"".join(lines), policy=policy.default))

            def say(self, words: bytes) -> None:
                self.wfile.write(words + b"\r\n")

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"mailto://127.0.0.1:{self.port}/boss@office.example?from=sync@office.example&mode=insecure"
