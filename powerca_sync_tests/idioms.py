"""Finds phrases of `idioms.txt`: `python -m powerca_sync_tests.idioms` fails for documents and for the package."""

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

PROJECT = Path(__file__).parents[1]
LIST = Path(__file__).with_name("idioms.txt")
DOCUMENTS = (PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").glob("*.md")))


def read_idioms() -> dict[re.Pattern[str], str]:
    """Returns each pattern with its replacement."""
    lines = [line for line in LIST.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    pairs = [line.split("\t") for line in lines]
    return {re.compile(pattern): replacement for pattern, replacement in pairs}


def find_idioms(paths: Iterable[Path]) -> Iterator[str]:
    """Yields `file:line: phrase (write: replacement)` for each phrase found; generated sections do not count."""
    idioms = read_idioms()
    for path in paths:
        generated = False
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            generated = line.startswith(("<!-- generated", "<!-- demo")) or (
                generated and not line.startswith("<!-- /")
            )
            for pattern, replacement in idioms.items():
                if not generated and (found := pattern.search(line)):
                    yield f"{path.relative_to(PROJECT)}:{number}: {found[0]} (write: {replacement})"


if __name__ == "__main__":
    in_documents = list(find_idioms(DOCUMENTS))
    in_code = list(find_idioms(sorted((PROJECT / "powerca_sync").rglob("*.py"))))
    for line in in_documents + in_code:
        print(line)  # noqa: T201
    print(f"{len(in_documents)} phrases to replace in documents, {len(in_code)} in the package.")  # noqa: T201
    sys.exit(1 if in_documents or in_code else 0)
