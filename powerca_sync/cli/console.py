"""Printing for the command line: sentences to stderr, tables and one JSON document to stdout; ASCII only.

A Windows console shows other characters as boxes, or fails at them.
"""

import contextlib
import dataclasses
import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

import click
import rich.console
import rich.markup
import rich.status

from powerca_sync.plain_text import in_lines, in_one_line

#: Longest line of a paragraph on a terminal that is wider.
WIDEST = 112
#: Characters of a word in a table that a narrow terminal keeps at least.
SHORTEST = 12
#: What a paragraph begins with: empty lines, then blanks and a mark, a label or the sign of a list.
_LEAD = re.compile(r"\n*( *(?:\[(?:OK|WARN|X)\] |Why: |Do:  |[-+~] |\d\. )?)")


def ascii_only(text: str) -> str:
    """Returns the text with escapes for characters that are not ASCII or do not print; line feeds stay."""
    return in_lines(text).encode("ascii", "backslashreplace").decode("ascii")


class Console:
    """Prints for a command: sentences to stderr, results to stdout; with `as_json`, one document to stdout.

    With `quiet`, stderr gets warnings and errors only; with `verbose`, details too.
    """

    def __init__(
        self,
        *,
        as_json: bool,
        quiet: bool = False,
        verbose: bool = False,
        office: str | None = None,
        documents: list[Any] | None = None,
    ) -> None:
        """`office` is the one that the command is about; `documents` takes the document, instead of stdout."""
        self.as_json = as_json
        self.office = office
        self._documents = documents
        self._quiet = quiet
        self._verbose = verbose
        self._errors = _kept_stderr()
        self._terminal = rich.console.Console(file=self._errors)
        self._status: rich.status.Status | None = None

    def close(self) -> None:
        """End the progress, and close the copy of stderr."""
        self._end_status()
        if self._errors is not sys.stderr:
            self._errors.close()

    def say(self, sentence: str) -> None:
        """Print a paragraph to stderr at once; with `quiet`, only a warning or an error."""
        if not self._quiet or sentence.startswith(("[WARN]", "[X]")):
            self._print(folded(ascii_only(sentence), _columns(self._errors)), self._errors)

    def detail(self, sentence: str) -> None:
        """Print a line to stderr if the command is verbose."""
        if self._verbose:
            self.say(sentence)

    def moving(self, sentence: str) -> None:
        """Print progress to stderr: in one place of a terminal, as a line elsewhere."""
        if self._quiet:
            return
        if not self._terminal.is_terminal:
            self.say(sentence)
        elif self._status is None:
            self._status = self._terminal.status(rich.markup.escape(ascii_only(sentence)), spinner="line")
            self._status.start()
        else:
            self._status.update(rich.markup.escape(ascii_only(sentence)))

    def show(self, text: str) -> None:
        """Print a paragraph to stdout, for a person; nothing with `as_json`."""
        self.paste(folded(ascii_only(text), _columns(sys.stdout)))

    def document(self, content: Any) -> None:
        """Print the document to stdout; nothing without `as_json`."""
        if self._documents is not None:
            self._documents.append(content)
        elif self.as_json:
            self._print(json.dumps(content, indent=2, default=str), None)

    def table(
        self, header: Sequence[str], rows: Iterable[Sequence[Any]], *, spare: Sequence[str] = (), indent: int = 0
    ) -> None:
        """Print a table to stdout, which fits a terminal as `text_table` says."""
        columns = _columns(sys.stdout)
        text = text_table(header, rows, width=None if columns is None else columns - indent, spare=spare)
        self.paste(textwrap.indent(text, " " * indent))

    def paste(self, text: str) -> None:
        """Print lines to stdout as they are, such as statements to paste; nothing with `as_json`."""
        if not self.as_json:
            self._print(text, None)

    def _print(self, text: str, stream: TextIO | None) -> None:
        """Print to stdout, or to `stream`. A reader that has gone (`| head`, a closed terminal) ends no sync."""
        # While rich shows the progress, `sys.stdout` is its own, which prints to the terminal.
        self._end_status()
        try:
            click.echo(ascii_only(text), file=stream)
        except OSError:
            # Python flushes its streams at exit and would fail there.
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), (stream or sys.stdout).fileno())

    def _end_status(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


def folded(text: str, width: int | None) -> str:
    """Returns a paragraph in lines of that width, as far as its words allow; None leaves it as it is.

    Lines after its first are statements to paste, which stay as they are.
    """
    if width is None:
        return text
    lead = _LEAD.match(text)
    assert lead is not None
    first, *others = text[lead.start(1) :].split("\n")
    lines = textwrap.wrap(
        first,
        min(width, WIDEST),
        subsequent_indent=" " * (len(lead[1]) + 2),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return text[: lead.start(1)] + "\n".join([*(lines or [first]), *others])


def text_table(
    header: Sequence[str], rows: Iterable[Sequence[Any]], *, width: int | None = None, spare: Sequence[str] = ()
) -> str:
    """Returns columns under their names: words to the left, numbers to the right.

    A table that is wider than `width` loses columns until it fits: those of zeros, then those named in `spare`, from
    the first to the last. Then its longest words lose their middle.
    """
    body = list(rows)
    columns = [_column(name, [row[place] for row in body]) for place, name in enumerate(header)]
    zeros = [column.name for column in columns[1:] if column.is_empty]
    for name in [*(name for name in spare if name in zeros), *zeros, *spare]:
        if width is None or _width(columns) <= width:
            break
        columns = [column for column in columns if column.name != name]
    while width is not None and _width(columns) > width:
        words = [column for column in columns if not column.is_number and column.width > SHORTEST]
        if not words:
            break
        widest = max(words, key=lambda column: column.width)
        columns[columns.index(widest)] = dataclasses.replace(widest, width=widest.width - 1)
    lines = ["  ".join(cells).rstrip() for cells in zip(*(column.aligned() for column in columns), strict=True)]
    return "\n".join([lines[0], "-" * _width(columns), *lines[1:]])


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Column:
    name: str
    #: Under the name, from top to bottom.
    cells: Sequence[str]
    is_number: bool
    #: It has zeros and empty cells only.
    is_empty: bool
    width: int

    def aligned(self) -> list[str]:
        """Returns name and cells at the column's width; a longer one without its middle."""
        texts = [_shortened(text, self.width) for text in (self.name, *self.cells)]
        return [text.rjust(self.width) if self.is_number else text.ljust(self.width) for text in texts]


def _column(name: str, values: Sequence[Any]) -> _Column:
    cells = [_cell(value) for value in values]
    return _Column(
        name=name,
        cells=cells,
        is_number=any(isinstance(value, int | float) for value in values),
        is_empty=all(value in (0, "") for value in values),
        width=max(map(len, (name, *cells))),
    )


def _width(columns: Sequence[_Column]) -> int:
    return sum(column.width for column in columns) + 2 * (len(columns) - 1)


def _cell(value: Any) -> str:
    return ascii_only(in_one_line(f"{value:.2f}" if isinstance(value, float) else str(value)))


def _shortened(text: str, width: int) -> str:
    """Returns the text without its middle if it is longer than the width."""
    if len(text) <= width:
        return text
    kept = width - len("...")
    return f"{text[: kept - kept // 2]}...{text[len(text) - kept // 2 :]}"


def _columns(stream: TextIO) -> int | None:
    """Returns the width of the terminal; None if the stream is not a terminal."""
    if not stream.isatty():
        return None
    # A terminal that does not know its size says 0.
    return os.get_terminal_size(stream.fileno()).columns or shutil.get_terminal_size().columns


def _kept_stderr() -> TextIO:
    """Returns a copy of this process's stderr: Dagster replaces it with a file while steps run."""
    try:
        return os.fdopen(os.dup(sys.stderr.fileno()), "w", buffering=1, encoding="utf-8", errors="replace")
    except OSError:
        # Not a file, as in tests, so that Dagster does not replace it either.
        return sys.stderr
