"""Send messages to people, by way of apprise; no address gets into a log, a name or an error."""

import contextlib
import dataclasses
import hashlib
import logging
import re
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

import apprise
from typing_extensions import override

Answer = TypeVar("Answer")
#: Where whole addresses are logged, below a warning or above.
LOGGERS: Final = ("apprise", "urllib3")
#: What stands in an error for a part of an address.
HIDDEN: Final = "***"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """What is told, as plain text."""

    title: str
    body: str
    #: `failure`, `warning` or `success`, by which some services choose a colour.
    kind: str


class Recipient:
    """One address. Whether it is one that apprise knows shows in `is_known`."""

    def __init__(self, url: str, place: int) -> None:
        self._url = url
        asset = apprise.AppriseAsset(app_id="powerca_sync", app_desc="powerca_sync", app_url="", async_mode=False)
        self._server, _ = _quietly(lambda: apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True))
        #: The same for the same address, wherever it stands.
        self.id = hashlib.sha256(url.encode()).hexdigest()[:16]
        service = "unknown" if self._server is None else str(self._server.service_name)
        #: Says which one is meant without giving anything of it away.
        self.name = f"recipient {place} ({service})"

    @property
    def is_known(self) -> bool:
        """Whether there is a service for this kind of address."""
        return self._server is not None

    def send(self, message: Message) -> str | None:
        """Send it, once; answers why that failed, or None if it did not."""
        if self._server is None:
            return "apprise knows no service for such an address"
        server = self._server
        sent, words = _quietly(
            lambda: apprise.Apprise(server).notify(
                title=message.title,
                body=message.body,
                notify_type=apprise.NotifyType(message.kind),
                body_format=apprise.NotifyFormat.TEXT,
            )
        )
        # What is not sent is False, or None where nothing could be tried.
        return None if sent else self._without_address(words) or "the service did not take it"

    def _without_address(self, words: str) -> str:
        """An error without anything that the address holds, besides its scheme."""
        rest = self._url.partition("://")[2]
        parts = {part for part in re.split(r"[/:@?&=,]+", rest) if len(part) > 2}
        for part in sorted(parts | {urllib.parse.unquote(part) for part in parts}, key=len, reverse=True):
            words = words.replace(part, HIDDEN)
        return " ".join(words.split())


def read_recipients(urls: Sequence[str]) -> list[Recipient]:
    """The recipients of these addresses, in their order."""
    return [Recipient(url, place) for place, url in enumerate(urls, start=1)]


def _quietly(call: Callable[[], Answer]) -> tuple[Answer, str]:
    """What a call answers, and what apprise warned of meanwhile, which goes nowhere else."""
    collector = _Collector()
    with contextlib.ExitStack() as stack:
        for name in LOGGERS:
            stack.enter_context(_muted(logging.getLogger(name)))
        logger = logging.getLogger(LOGGERS[0])
        logger.addHandler(collector)
        stack.callback(logger.removeHandler, collector)
        return call(), " ".join(collector.words)


@contextlib.contextmanager
def _muted(logger: logging.Logger) -> Iterator[None]:
    propagate, level = logger.propagate, logger.level
    logger.propagate = False
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.propagate = propagate
        logger.setLevel(level)


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.words: list[str] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        self.words.append(record.getMessage())
