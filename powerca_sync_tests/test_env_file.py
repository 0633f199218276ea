"""`.env`: passwords are used literally or refused; readability for other users is reported."""

import os
from pathlib import Path

import pytest
from dotenv import dotenv_values

from powerca_sync.env_file import exposure, read_variables
from powerca_sync.errors import ConfigurationError
from powerca_sync.operations import Schedules
from powerca_sync.settings import Settings

PASSWORD = "SUPABASE_DB_PASSWORD"


def written(folder: Path, line: str) -> Path:
    file = folder / ".env"
    file.write_text(f"LOCAL_DB_PASSWORD=x\nSUPABASE_DB_HOST=db.example\n{line}\n", encoding="utf-8")
    return file


#: As written in the file, and the password that results.
LITERAL = {
    **{
        text: text for text in ("abc#def", "a$b", "pa$HOME", "pa${HOME}x", "pa$${x}", "${x:-y}", 'a"b', "it's", r"a\nb")
    },
    **{text: text for text in ("%40at@:/?", "ünïcodé", "=eq=", "a`b", "!bang!", "export", "back\\slash")},
    **{
        "'abc #def'": "abc #def",
        "'pa${HOME}x'": "pa${HOME}x",
        r"'it\'s'": "it's",
        r"'a\\b'": r"a\b",
        '"double"': "double",
    },
    **{"'#'": "#", "  spaced  ": "spaced", "'  kept  '": "  kept  "},
}


@pytest.mark.parametrize("text", LITERAL)
def test_password_is_used_literally(tmp_path: Path, text: str) -> None:
    file = written(tmp_path, f"{PASSWORD}={text}")
    assert Settings.from_env({}, env_file=file).mobile.password == LITERAL[text]


@pytest.mark.parametrize("text", ["abc #def", "abc\t#def", r'"x\ny"', r'"x\\y"', r'"x\"y"'])
def test_ambiguous_password_is_refused(tmp_path: Path, text: str) -> None:
    file = written(tmp_path, f"{PASSWORD}={text}")
    words = rf"^Line 3 of `.*\.env`: the value of {PASSWORD} would be altered: .* Put it between single quotes"
    with pytest.raises(ConfigurationError, match=words):
        Settings.from_env({}, env_file=file)


@pytest.mark.parametrize("text", ['"quoted', "'quoted", '"a" b'])
def test_invalid_line_is_named(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    file = written(tmp_path, f"{PASSWORD}={text}")
    with pytest.raises(ConfigurationError, match=r"^Line 3 of `.*\.env` cannot be read\. Write NAME=value"):
        Settings.from_env({}, env_file=file)
    assert not caplog.records


def test_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(f"{PASSWORD}=ünï".encode("cp1252"))
    with pytest.raises(ConfigurationError, match=r"\.env` cannot be read: .* Save it in UTF-8"):
        Settings.from_env({}, env_file=tmp_path / ".env")


@pytest.mark.parametrize("text", ["pa${HOME}x", "'pa${HOME}x'"])
def test_password_expanded_by_dagster_is_restored(tmp_path: Path, text: str) -> None:
    file = written(tmp_path, f"{PASSWORD}={text}")
    # As Dagster puts the file into the environment of a code server.
    environ = {name: value for name, value in dotenv_values(file).items() if value}
    assert environ[PASSWORD] != "pa${HOME}x"
    assert Settings.from_env(environ, env_file=file).mobile.password == "pa${HOME}x"


def test_environment_takes_precedence_over_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, f"{PASSWORD}=of the file")
    assert read_variables({PASSWORD: "of the environment"}, file)[PASSWORD] == "of the environment"


def test_comments_after_other_values_are_removed(tmp_path: Path) -> None:
    file = written(tmp_path, "POWERCA_TZ=Asia/Kolkata # the office's")
    assert Schedules.from_env({}, env_file=file).timezone == "Asia/Kolkata"


@pytest.mark.parametrize(("mode", "words"), [(0o600, None), (0o640, None), (0o644, "read"), (0o666, "change")])
def test_file_readable_by_others_is_reported(tmp_path: Path, mode: int, words: str | None) -> None:
    file = written(tmp_path, f"{PASSWORD}=x")
    file.chmod(mode)
    said = exposure(file)
    assert said is None if words is None else said is not None and f"every user of this machine may {words} it" in said
    assert exposure(tmp_path / "absent") is None
    assert os.name == "posix"
