"""Printing for the command line: sentences to stderr, tables and one JSON document to stdout; ASCII only.

A Windows console shows other characters as boxes, or fails at them.
"""

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

import click
import rich.console
import rich.markup
import rich.status

from powerca_sync.plain_text import in_lines, in_one_line


def ascii_only(text: str) -> str:
    """Returns the text with escapes for characters that are not ASCII or do not print; line feeds stay."""
    return in_lines(text).encode("ascii", "backslashreplace").decode("ascii")


class Console:
    """Prints for a command: sentences to stderr, results to stdout; with `as_json`, one document to stdout.

    With `quiet`, stderr gets warnings and errors only; with `verbose`, details too.
    """

    def __init__(self, *, as_json: bool, quiet: bool = False, verbose: bool = False) -> None:
        self.as_json = as_json
        self._quiet = quiet
        self._verbose = verbose
        self._errors = _kept_stderr()
        self._terminal = rich.console.Console(file=self._errors)
        self._status: rich.status.Status | None = None

    def say(self, sentence: str) -> None:
        """Print a line to stderr at once; with `quiet`, only a warning or an error."""
        self._end_status()
        if not self._quiet or sentence.startswith(("[WARN]", "[X]")):
            self._print(sentence, self._errors)

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
        """Print lines to stdout, for a person; nothing with `as_json`."""
        self._end_status()
        if not self.as_json:
            self._print(text, None)

    def document(self, content: Any) -> None:
        """Print the document to stdout; nothing without `as_json`."""
        if self.as_json:
            self._print(json.dumps(content, indent=2, default=str), None)

    def table(self, header: Sequence[str], rows: Iterable[Sequence[Any]], *, spare: Sequence[str] = ()) -> None:
        """Print a table to stdout; on a terminal that is too narrow, without columns of zeros, then without `spare`."""
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        self.show(text_table(header, rows, width=width, spare=spare))

    def _print(self, text: str, stream: TextIO | None) -> None:
        """Print to stdout, or to `stream`. A reader that has gone (`| head`, a closed terminal) ends no sync."""
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


def text_table(
    header: Sequence[str], rows: Iterable[Sequence[Any]], *, width: int | None = None, spare: Sequence[str] = ()
) -> str:
    """Returns columns under their names: words to the left, numbers to the right.

    A table that is wider than `width` loses its columns of zeros, then the columns named in `spare`, from the first to
    the last, until it fits.
    """
    body = [list(row) for row in rows]
    zeros = [name for place, name in enumerate(header) if place and all(row[place] in (0, "") for row in body)]
    for name in [*zeros, *(name for name in spare if name not in zeros)]:
        if width is None or _width(header, body) <= width:
            break
        if name in header:
            place = list(header).index(name)
            header = [*header[:place], *header[place + 1 :]]
            body = [[*row[:place], *row[place + 1 :]] for row in body]
    cells = [list(header), *([_cell(value) for value in row] for row in body)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    numeric = [any(isinstance(row[place], int | float) for row in body) for place in range(len(header))]
    lines = [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in cells
    ]
    return "\n".join([lines[0], "-" * (sum(widths) + 2 * (len(widths) - 1)), *lines[1:]])


def _width(header: Sequence[str], body: Sequence[Sequence[Any]]) -> int:
    columns = zip(header, *([_cell(value) for value in row] for row in body), strict=True)
    return sum(max(map(len, column)) for column in columns) + 2 * (len(header) - 1)


def _cell(value: Any) -> str:
    return ascii_only(in_one_line(f"{value:.2f}" if isinstance(value, float) else str(value)))


def _kept_stderr() -> TextIO:
    """Returns a copy of this process's stderr: Dagster replaces it with a file while steps run."""
    try:
        return os.fdopen(os.dup(sys.stderr.fileno()), "w", buffering=1, encoding="utf-8", errors="replace")
    except OSError:
        # Not a file, as in tests, so that Dagster does not replace it either.
        return sys.stderr
