"""`powerca-sync init --files`: what it writes, what it keeps, and how it fails."""

import tomllib
from pathlib import Path

from powerca_sync.cli.setup_files import FILES
from powerca_sync_tests.acceptance.shell import document, run

PROJECT = Path(__file__).parents[2]


def test_files_are_those_of_the_project_and_the_settings_are_private(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "office"
    result = run("init", "--files", str(folder))
    assert result.exit_code == 0, result.output
    for source, name in FILES.items():
        assert (folder / name).read_bytes() == (PROJECT / source).read_bytes()
    assert (folder / ".env").stat().st_mode & 0o777 == 0o600
    assert "fill in `LOCAL_DB_PASSWORD`, `SUPABASE_DB_HOST`, `SUPABASE_DB_PASSWORD`" in result.stdout


def test_existing_files_are_kept(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LOCAL_DB_PASSWORD=own\n")
    content = document(run("init", "--files", str(tmp_path), "--json"))
    assert (content["kept"], content["written"]) == ([".env"], ["dagster.yaml", "workspace.yaml"])
    assert (tmp_path / ".env").read_text() == "LOCAL_DB_PASSWORD=own\n"


def test_unusable_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    inside = run("init", "--files", str(tmp_path / "taken" / "deeper"))
    assert (inside.exit_code, "cannot be written: Not a directory" in inside.stderr) == (2, True), inside.output
    (tmp_path / "odd" / ".env").mkdir(parents=True)
    odd = run("init", "--files", str(tmp_path / "odd"))
    assert (odd.exit_code, "is no file" in odd.stderr) == (2, True), odd.output


def test_wheel_carries_the_files() -> None:
    configuration = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    assert configuration["tool"]["setuptools"]["data-files"] == {"share/powerca-sync": list(FILES)}
