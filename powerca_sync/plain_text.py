"""Text that others wrote (values of rows, names, a database's messages) made safe for a terminal, a log or an error.

A line break in a value must not forge a line of its own, nor an escape sequence clear the screen, nor a mark for the
direction of writing reverse what is read.
"""

import logging
import re
from typing import Final

#: C0 and C1 controls, DEL, line and paragraph separators, marks and overrides of direction, other characters that do
#: not print, and halves of a character; not the joiners (U+200C, U+200D), which Indian scripts need.
_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
#: What the lines of a command begin with.
_MARK: Final = re.compile(r"\s*\[(OK|WARN|X)\]")


def in_one_line(text: str) -> str:
    r"""Returns the text with escapes (`\n`, `\x1b`, `\u202e`) for characters that do not print, line breaks too."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def in_lines(text: str) -> str:
    """The same for a text of several lines, such as one with statements to paste: its line feeds stay.

    A further line that looks like a result (`[OK] ...`) is indented and quoted, so that only the first one is one.
    """
    first, *others = map(in_one_line, text.split("\n"))
    return "\n".join([first, *(f"       | {line.strip()}" if _MARK.match(line) else line for line in others)])


def counted(number: int, thing: str) -> str:
    """Returns `1 row` or `2 rows`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def one_line_logger(name: str) -> logging.Logger:
    """The logger of that name; each of its records is a line."""
    logger = logging.getLogger(name)
    logger.addFilter(_as_one_line)
    return logger


def _as_one_line(record: logging.LogRecord) -> bool:
    record.msg, record.args = in_one_line(record.getMessage()), ()
    return True
