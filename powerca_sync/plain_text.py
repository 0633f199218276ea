"""Foreign text (values of rows, names, messages of a database) made safe for terminals, logs and errors.

A line break in a value must not forge a line, an escape sequence must not clear the screen, and a bidirectional
override must not reverse the text.
"""

import contextlib
import logging
import re
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Final

#: C0 and C1 controls, DEL, line and paragraph separators, marks and overrides of direction, other characters that do
#: not print, and halves of a character; not the joiners (U+200C, U+200D), which Indian scripts need.
_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
#: The marks at the beginning of a command's lines.
_MARK: Final = re.compile(r"\s*\[(OK|WARN|X)\]")


def in_one_line(text: str) -> str:
    r"""Returns the text with escapes (`\n`, `\x1b`, `\u202e`) for characters that do not print, line breaks too."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def in_lines(text: str) -> str:
    """Returns a text of several lines with the same escapes; its line feeds stay.

    A line after the first that looks like a result (`[OK] ...`) is indented and quoted.
    """
    first, *others = map(in_one_line, text.split("\n"))
    return "\n".join([first, *(f"       | {line.strip()}" if _MARK.match(line) else line for line in others)])


def counted(number: int, thing: str) -> str:
    """Returns `1 row` or `2 rows`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def one_line_logger(name: str) -> logging.Logger:
    """Returns the logger of that name; each of its records is one line."""
    logger = logging.getLogger(name)
    logger.addFilter(_as_one_line)
    return logger


@contextlib.contextmanager
def diverted_lines(take: Callable[[logging.LogRecord], None]) -> Iterator[None]:
    """Hand the records that this thread logs meanwhile to `take`, instead of to the handlers.

    Another thread may log them afterwards: handlers such as Dagster's know the step by their thread.
    """
    token = _DIVERTED.set(take)
    try:
        yield
    finally:
        _DIVERTED.reset(token)


_DIVERTED: ContextVar[Callable[[logging.LogRecord], None] | None] = ContextVar("diverted_lines", default=None)


def _as_one_line(record: logging.LogRecord) -> bool:
    record.msg, record.args = in_one_line(record.getMessage()), ()
    if take := _DIVERTED.get():
        take(record)
        return False
    return True
