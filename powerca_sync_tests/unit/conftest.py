"""Texts that a reviewer should see change: kept beside the tests."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "golden"


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Holds a text against the file of that name; with `REWRITE_GOLDEN=1` in the environment it becomes the file."""

    def check(name: str, text: str) -> None:
        file = FOLDER / name
        if os.environ.get("REWRITE_GOLDEN"):
            file.write_text(text, encoding="utf-8")
        kept = file.read_text(encoding="utf-8") if file.exists() else ""
        assert text == kept, (
            f"`{name}` changed. If that is meant, run the tests with REWRITE_GOLDEN=1 and review the diff."
        )

    return check
