"""What the command line prints: sentences on stderr, tables and one JSON document on stdout; ASCII only.

An office's Windows console shows anything else as boxes, or fails at it.
"""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

import click
import rich.console
import rich.markup
import rich.status

from powerca_sync.plain_text import in_lines, in_one_line


def ascii_only(text: str) -> str:
    """The text with escapes for what is not ASCII or does not print; only line feeds of several lines stay."""
    return in_lines(text).encode("ascii", "backslashreplace").decode("ascii")


class Console:
    """Where a command writes; with `as_json`, stdout is kept for one document."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._errors = _kept_stderr()
        self._terminal = rich.console.Console(file=self._errors)
        self._status: rich.status.Status | None = None

    def say(self, sentence: str) -> None:
        """A line on stderr, now."""
        self._end_status()
        click.echo(ascii_only(sentence), file=self._errors)

    def moving(self, sentence: str) -> None:
        """How far something has come, on stderr: in one place of a terminal, as a line elsewhere."""
        if not self._terminal.is_terminal:
            self.say(sentence)
        elif self._status is None:
            self._status = self._terminal.status(rich.markup.escape(ascii_only(sentence)), spinner="line")
            self._status.start()
        else:
            self._status.update(rich.markup.escape(ascii_only(sentence)))

    def show(self, text: str) -> None:
        """Lines on stdout, for a person; nothing with `as_json`."""
        self._end_status()
        if not self.as_json:
            click.echo(ascii_only(text))

    def document(self, content: Any) -> None:
        """The document on stdout; nothing without `as_json`."""
        if self.as_json:
            click.echo(json.dumps(content, indent=2, default=str))

    def _end_status(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


def text_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Columns under their names: words to the left, numbers to the right."""
    body = [list(row) for row in rows]
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


def _cell(value: Any) -> str:
    return ascii_only(in_one_line(f"{value:.2f}" if isinstance(value, float) else str(value)))


def _kept_stderr() -> TextIO:
    """This process's stderr as it is now: Dagster puts a file in its place while steps run."""
    try:
        return os.fdopen(os.dup(sys.stderr.fileno()), "w", buffering=1, encoding="utf-8", errors="replace")
    except OSError:
        # Not a file, as in tests; nobody can put another in its place.
        return sys.stderr
