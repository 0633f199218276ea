"""The file of offices: what an entry means, and how each mistake is named."""

import os
from pathlib import Path

import pytest

from powerca_sync.environment import choose_office, current_settings
from powerca_sync.errors import ConfigurationError
from powerca_sync.offices import Offices, current_offices, load
from powerca_sync.offices import reading as module
from powerca_sync.settings import Limits, Settings

MOBILE = '[mobile.main]\nhost = "db.example.supabase.co"\npassword_env = "MOBILE_PASSWORD"\n'
RAO = '[office.rao]\nhost = "10.0.0.1"\npassword_file = "secrets/rao"\n'
SEN = '[office.sen]\nhost = "10.0.0.2"\npassword_file = "secrets/sen"\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns a folder with the passwords of two offices; the current folder is another."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "rao").write_text("rao's password\n")
    (tmp_path / "secrets" / "sen").write_text("sen's password\n")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("MOBILE_PASSWORD", "mobile's password")
    monkeypatch.setenv("POWERCA_OFFICES", str(tmp_path / "offices.toml"))
    monkeypatch.setenv("LOCAL_DB_HOST", "of another installation")
    monkeypatch.delenv("POWERCA_DEMO", raising=False)
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "offices.toml"
    path.write_text(text)
    return path


def read() -> Offices:
    """Returns the offices of the file that is configured."""
    found = current_offices()
    assert found
    return found


def test_entry_has_the_meaning_of_the_variables(folder: Path) -> None:
    path = write(
        folder,
        """
        [defaults]
        port = 5433
        timezone = "Asia/Kolkata"
        mass_delete_share = 0.1
        mobile = "main"
        [mobile.main]
        host = "db.example.supabase.co"
        password_env = "MOBILE_PASSWORD"
        sslrootcert = "certs/supabase.crt"
        [mobile.other]
        host = "localhost"
        password_env = "MOBILE_PASSWORD"
        [office.rao]
        title = "Rao & Co"
        host = "10.0.0.1"
        user = "reader"
        password_file = "secrets/rao"
        [office.sen]
        mobile = "other"
        host = "10.0.0.2"
        port = 5432
        timezone = "UTC"
        full_cron = "30 22 * * mon-fri"
        incremental_cron = "*/90 8-20 * * 1-6"
        alert = ["mailto://boss@sen.example", "json://127.0.0.1/x"]
        password_file = "secrets/sen"
        """,
    )
    found = load(path)
    assert found.broken == {}
    assert [(one.key, one.title, one.mobile, one.timezone) for one in found.offices.values()] == [
        ("rao", "Rao & Co", "main", "Asia/Kolkata"),
        ("sen", "sen", "other", "UTC"),
    ]
    variables = {
        "LOCAL_DB_HOST": "10.0.0.1",
        "LOCAL_DB_PORT": "5433",
        "LOCAL_DB_USER": "reader",
        "LOCAL_DB_PASSWORD": "rao's password",
        "SUPABASE_DB_HOST": "db.example.supabase.co",
        "SUPABASE_DB_SSLROOTCERT": str(folder / "certs" / "supabase.crt"),
        "SUPABASE_DB_PASSWORD": "mobile's password",
        "POWERCA_MASS_DELETE_SHARE": "0.1",
    }
    assert found.named("rao").settings() == Settings.from_env(variables, env_file=None)
    sen = found.named("sen").settings()
    assert (sen.desktop.port, sen.mobile.host, sen.limits) == (5432, "localhost", Limits(mass_delete_share=0.1))
    assert found.named("sen").crons == {
        "POWERCA_FULL_CRON": "30 22 * * mon-fri",
        "POWERCA_INCREMENTAL_CRON": "*/90 8-20 * * 1-6",
    }
    assert (found.named("rao").crons, found.named("rao").alert) == ({}, ())
    assert found.named("sen").alert == ("mailto://boss@sen.example", "json://127.0.0.1/x")
    assert "boss" not in repr(found.named("sen"))
    assert "password" not in repr(found.named("rao").settings()).replace("password_", "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (RAO.replace("password_file", "pasword_file"), "unknown key `pasword_file`. Did you mean `password_file`?"),
        (f'{RAO}password = "x"\n', "has a `password`, which does not belong into this file"),
        (f'{RAO}password_env = "X"\n', "has both `password_file` and `password_env`"),
        ('[office.rao]\nhost = "10.0.0.1"\n', "has neither `password_file` nor `password_env`"),
        (f'{RAO}port = "x"\n', "`port` of [office.rao] in `FILE` is `x`, which is not a port number"),
        (f'{RAO}timezone = "Mars"\n', "`timezone` of [office.rao] in `FILE` is `Mars`, which is not a time zone"),
        (f"{RAO}quarantine_rows = -1\n", "`quarantine_rows` of [office.rao] in `FILE` is `-1`"),
        (f"{RAO}port = true\n", "`port` is neither a text nor a number"),
        (f'{RAO}alert = "mailto://x"\n', "`alert` is not a list of addresses"),
        (f"{RAO}alert = [1]\n", "`alert` is not a list of addresses"),
        (
            f'{RAO}full_cron = "2 o\'clock"\n',
            "`full_cron` of [office.rao] in `FILE` is `2 o'clock`, which is not a valid",
        ),
        (f'{RAO}full_cron = "0 24 * * *"\n', "`0 24 * * *`, which is not a valid cron string"),
        (f'{RAO}incremental_cron = "* * * *"\n', "`incremental_cron` of [office.rao]"),
        (f'{RAO}mobile = "man"\n', "names the mobile database `man`, which has no table. Known: main."),
        ('[office.rao]\npassword_file = "x"\n', "has no `host`"),
        ('[office]\nrao = "x"\n', "[office.rao] in `FILE` is not a table."),
        (RAO.replace("rao]", '"Rao & Co"]'), "is not a key of an office"),
    ],
)
def test_mistake_in_an_entry_stops_that_office_only(folder: Path, text: str, words: str) -> None:
    path = write(folder, f"{MOBILE}{text}{SEN}" if not text.startswith("[office]") else f"{MOBILE}{text}")
    found = load(path)
    ((key, mistake),) = found.broken.items()
    assert f"office.{key}" in mistake
    assert words.replace("FILE", str(path)) in mistake
    assert "LOCAL_DB" not in mistake
    if not text.startswith("[office]"):
        assert list(found.offices) == ["sen"]
    with pytest.raises(ConfigurationError, match=r"office\."):
        found.named(key)


def test_mistake_of_a_mobile_database_stops_its_offices(folder: Path) -> None:
    other = '[mobile.other]\nhost = "localhost"\nport = 0\npassword_env = "X"\n'
    found = load(write(folder, f'{MOBILE}{other}{RAO}mobile = "main"\n{SEN}mobile = "other"\n'))
    assert list(found.offices) == ["rao"]
    assert "`port` of [mobile.other]" in found.broken["sen"]


def test_two_offices_with_one_desktop_are_named_at_both(folder: Path) -> None:
    found = load(write(folder, f"{MOBILE}{RAO}{SEN.replace('10.0.0.2', '10.0.0.1')}port = 5433\n"))
    assert found.offices == {}
    assert "same desktop database as [office.sen] (10.0.0.1:5433/enterprise_db)" in found.broken["rao"]
    assert "same desktop database as [office.rao]" in found.broken["sen"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "names no office"),
        (MOBILE, "names no office"),
        (f"{MOBILE}{RAO}{RAO}", "(at line 7, column 12)"),
        (f"{MOBILE}{RAO}host\n", "(at line 7, column 5)"),
        (f"{MOBILE}{RAO}{SEN.replace('office', 'ofice')}", "unknown table [ofice]. Did you mean `office`?"),
        (f"{MOBILE}{RAO}[defaults]\ntimezon = 'UTC'\n", "[defaults] in `FILE`: unknown key `timezon`"),
        ("office = 1\n", "`office` is not a table"),
    ],
)
def test_file_that_cannot_be_used_is_refused(folder: Path, text: str, words: str) -> None:
    path = write(folder, text)
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    assert words.replace("FILE", str(path)) in str(caught.value)
    assert str(path) in str(caught.value)


def test_missing_password_is_found_when_it_is_needed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rao = load(write(folder, f"{MOBILE}{RAO}")).named("rao")
    (folder / "secrets" / "rao").write_text("changed")
    assert rao.settings().desktop.password == "changed"
    (folder / "secrets" / "rao").unlink()
    with pytest.raises(ConfigurationError, match=r"`password_file` of \[office.rao\].*No such file"):
        rao.settings()
    (folder / "secrets" / "rao").write_text("\n")
    with pytest.raises(ConfigurationError, match="is empty or missing"):
        rao.settings()
    (folder / "secrets" / "rao").write_text("there")
    monkeypatch.delenv("MOBILE_PASSWORD")
    with pytest.raises(
        ConfigurationError, match=r"`password_env` of \[mobile.main\].*MOBILE_PASSWORD is empty or missing"
    ):
        rao.settings()


def test_changed_file_is_read_again_and_a_lost_one_keeps_its_offices(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(folder, f"{MOBILE}{RAO}")
    found = read()
    assert found.keys == ("rao",)
    assert read() is found, "an unchanged file is not read again"
    write(folder, f"{MOBILE}{RAO}{SEN}")
    both = read()
    assert both.keys == ("rao", "sen")
    for damage in (path.unlink, lambda: path.write_text(""), lambda: path.write_text("[office.")):
        damage()
        assert read() is both
    assert caplog.text.count("The 2 offices read before stay in force") == 3
    write(folder, f"{MOBILE}{SEN}")
    assert read().keys == ("sen",)


def test_same_size_and_time_but_another_file_is_read_again(folder: Path) -> None:
    path = write(folder, f"{MOBILE}{RAO}")
    assert read().keys == ("rao",)
    moved = folder / "new.toml"
    moved.write_text(f"{MOBILE}{RAO.replace('.rao]', '.rai]')}")
    os.utime(moved, ns=(path.stat().st_mtime_ns, path.stat().st_mtime_ns))
    moved.replace(path)
    assert read().keys == ("rai",)


def test_choice_of_an_office(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, f"{MOBILE}{RAO}")
    assert current_settings().desktop.host == "10.0.0.1", "the only office needs no name"
    write(folder, f"{MOBILE}{RAO}{SEN}")
    with pytest.raises(ConfigurationError, match=r"has 2 offices\. Name one with `--office`"):
        current_settings()
    assert current_settings("sen").desktop.host == "10.0.0.2"
    with pytest.raises(ConfigurationError, match=r"has no office `sne`\. Did you mean `sen`"):
        current_settings("sne")
    monkeypatch.delenv("POWERCA_OFFICES")
    assert choose_office(None) is None
    with pytest.raises(ConfigurationError, match="POWERCA_OFFICES names it"):
        choose_office("rao")


def test_every_key_stands_for_one_variable() -> None:
    assert module.DEFAULT_KEYS < module.OFFICE_KEYS
    variables = [*module._DESKTOP.values(), *module._MOBILE.values(), *module._COMMON.values()]
    assert len(variables) == len(set(variables))
