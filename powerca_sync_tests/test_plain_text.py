"""Untrusted text is escaped for terminals, logs and errors."""

import ast
import itertools
import logging
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

import powerca_sync
from powerca_sync.cli.console import text_table
from powerca_sync.engine.postgres.database_errors import explain, strip_row_content
from powerca_sync.errors import SyncError
from powerca_sync.plain_text import in_lines, in_one_line, one_line_logger

ESCAPES = {
    "a\nb": r"a\nb",
    "a\r\nb": r"a\r\nb",
    "\x1b[2J": r"\x1b[2J",
    "\x7f": r"\x7f",
    "\x9b31m": r"\x9b31m",
    "\u202etxt.exe": r"\u202etxt.exe",
    "\u2066x\u2069": r"\u2066x\u2069",
    "\u2028": r"\u2028",
    "\ufeff": r"\ufeff",
    "\ud800": r"\ud800",
}


@pytest.mark.parametrize("text", ESCAPES)
def test_unprintable_characters_are_escaped(text: str) -> None:
    assert in_one_line(text) == ESCAPES[text]
    assert in_one_line(in_one_line(text)) == in_one_line(text)


def test_every_control_and_bidi_override_is_escaped() -> None:
    unsafe = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) in ("Cc", "Zl", "Zp", "Cs")]
    unsafe += [chr(code) for code in range(0x3000) if unicodedata.bidirectional(chr(code)) in ("LRO", "RLO", "LRI")]
    assert [char for char in unsafe if in_one_line(char) == char] == []


@pytest.mark.parametrize("text", ["Rao & Co", "\u0930\u093e\u0935\u200d", "\u0d28\u200c", "\U0001f642", r"a\nb"])
def test_ordinary_text_is_unchanged(text: str) -> None:
    assert in_one_line(text) == text == in_lines(text)


def test_additional_line_is_never_a_result() -> None:
    said = in_lines("[X] staff: refused:\n[OK] 15 tables synced.\n   [WARN] none\nCREATE SCHEMA x;")
    assert said.splitlines() == [
        "[X] staff: refused:",
        "       | [OK] 15 tables synced.",
        "       | [WARN] none",
        "CREATE SCHEMA x;",
    ]


def test_errors_tables_and_logs_are_plain(caplog: pytest.LogCaptureFixture) -> None:
    hostile = "x\n[OK] forged\x1b[2J"
    assert str(SyncError(hostile)) == "x\n       | [OK] forged\\x1b[2J"
    assert str(explain(psycopg.errors.RaiseException(hostile), "merging")) == "merging failed: x. Nothing was written."
    assert text_table(("column",), [(hostile,)]).splitlines()[2:] == [r"x\n[OK] forged\x1b[2J"]
    with caplog.at_level(logging.INFO):
        one_line_logger("powerca_sync.engine.test").info("%s: %d", hostile, 3)
    assert caplog.messages == [r"x\n[OK] forged\x1b[2J: 3"]


def test_causes_of_an_error_are_reduced_to_plain_text() -> None:
    cause = psycopg.errors.RaiseException("x\x1b\nDETAIL: Failing row contains (secret)")
    error = SyncError("failed")
    error.__cause__ = cause
    cause.__context__ = ValueError("a\x1bb", 1)
    strip_row_content(error)
    assert (str(cause), cause.__context__.args) == (r"x\x1b", (r"a\x1bb", 1))


#: After a number in a message.
PLURAL = re.compile(
    r"^ (?:(?!of |see )[a-z-]+ ){0,2}(?:rows|tables|columns|keys|runs|entries|files|warnings|problems|minutes|hours)\b"
)
#: After a counted noun.
VERB = re.compile(r"^ (?:are|were|have|do|differ|look|stay|reference|wait|need)\b")


def parts_of_messages() -> Iterator[tuple[str, ast.FormattedValue, str]]:
    """Yields place, value and the text behind it for each value in an f-string; those of the demo are large."""
    package = Path(str(powerca_sync.__file__)).parent
    for path in set(package.rglob("*.py")) - {package / "cli" / "demo_tour.py"}:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                for value, text in itertools.pairwise(node.values):
                    if isinstance(value, ast.FormattedValue) and isinstance(text, ast.Constant):
                        yield f"{path.relative_to(package)}:{value.lineno}", value, str(text.value)


def test_nouns_after_a_number_agree_with_it() -> None:
    wrong = []
    for place, value, text in parts_of_messages():
        words = ast.unparse(value.value)
        # Limits in capitals are larger than one.
        disagrees = VERB if words.startswith("counted(") else PLURAL
        if disagrees.match(text) and not words.isupper():
            wrong.append(f"{place}: {{{words}}}{text}")
    assert wrong == []
