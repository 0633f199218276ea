"""Only one folder imports private modules of Dagster, and the imported names still exist.

This module imports nothing that needs them, so that it runs when a new version of Dagster has moved them.
"""

import ast
import importlib
import importlib.metadata
import importlib.util
from pathlib import Path

import pytest

import powerca_sync

PACKAGE = Path(powerca_sync.__file__).parent
PLATFORM = PACKAGE / "defs" / "platform"


def private_imports(file: Path) -> list[tuple[int, str, str]]:
    """Returns line, module and name of each import from a private module of Dagster."""
    found = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            found += [(node.lineno, node.module or "", alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [(node.lineno, alias.name, "") for alias in node.names]
    return [(line, module, name) for line, module, name in found if module.startswith(("dagster._", "dagster_shared"))]


IMPORTS = [(file, *found) for file in sorted(PLATFORM.glob("*.py")) for found in private_imports(file)]


def test_only_platform_imports_private_dagster_modules() -> None:
    others = [file for file in PACKAGE.rglob("*.py") if file.parent != PLATFORM and private_imports(file)]
    assert others == [], "Move these imports to powerca_sync/defs/platform/, each with its reason."


@pytest.mark.parametrize(
    ("file", "line", "module", "name"), IMPORTS, ids=[f"{found[2]}.{found[3]}" for found in IMPORTS]
)
def test_dagster_still_has_the_private_name(file: Path, line: int, module: str, name: str) -> None:
    version = importlib.metadata.version("dagster")
    moved = (
        f"Dagster {version} no longer has `{name}` in `{module}`, which powerca_sync/defs/platform/{file.name}, line "
        f"{line}, imports. Look for its new place in Dagster's source, or keep the older version in pyproject.toml."
    )
    try:
        there = hasattr(importlib.import_module(module), name) or importlib.util.find_spec(f"{module}.{name}")
    except ModuleNotFoundError:
        there = None
    assert there, moved


def test_each_private_import_gives_its_reason() -> None:
    for file in sorted(PLATFORM.glob("*.py")):
        lines = file.read_text(encoding="utf-8").splitlines()
        first = {line for line, *_ in private_imports(file)}
        for line in sorted(first):
            before = line - 2
            while lines[before].startswith(("from dagster", "    ", ")")):
                before -= 1
            assert lines[before].startswith("# "), f"{file.name}, line {line}: write above the import why it is needed."
