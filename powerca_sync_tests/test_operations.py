"""Schedules and alert addresses, from variables and the `.env` file."""

from pathlib import Path

import pytest

from powerca_sync.errors import ConfigurationError
from powerca_sync.operations import ALERT_URLS, DEFAULTS, FULL_CRON, INCREMENTAL_CRON, Alerting, Schedules

EXAMPLE = (Path(__file__).parents[1] / ".env.example").read_text(encoding="utf-8")


def test_every_variable_is_optional() -> None:
    schedules = Schedules.from_env({}, env_file=None)
    assert schedules == Schedules()
    assert schedules.timezone == "Asia/Kolkata"
    assert schedules.crons[FULL_CRON] == "0 2 * * *"
    assert Alerting.from_env({}, env_file=None) == Alerting()


def test_empty_cron_string_overrides_the_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(f"{FULL_CRON}=\n{INCREMENTAL_CRON}='0 9 * * *'\nPOWERCA_TZ=UTC\n", encoding="utf-8")
    read = Schedules.from_env({}, env_file=file)
    assert (read.timezone, read.crons[FULL_CRON], read.crons[INCREMENTAL_CRON]) == ("UTC", "", "0 9 * * *")
    assert Schedules.from_env({INCREMENTAL_CRON: ""}, env_file=file).crons[INCREMENTAL_CRON] == ""


@pytest.mark.parametrize("name", ["Mars/Olympus", "/etc/passwd", "../UTC", "Asia"])
def test_unknown_time_zone_is_named(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"POWERCA_TZ is `{name}`, which is not a time zone"):
        Schedules.from_env({"POWERCA_TZ": name}, env_file=None)


def test_addresses_are_split_at_whitespace_without_duplicates() -> None:
    read = Alerting.from_env({ALERT_URLS: " json://one/x\n  mailto://two \tjson://one/x "}, env_file=None)
    assert read.urls == ("json://one/x", "mailto://two")


def test_addresses_are_not_in_the_repr() -> None:
    assert "s3cret" not in repr(Alerting.from_env({ALERT_URLS: "json://s3cret@one"}, env_file=None))


def test_ui_address_has_no_trailing_slash() -> None:
    assert (
        Alerting.from_env({"POWERCA_UI_URL": "https://sync.example/"}, env_file=None).ui_url == "https://sync.example"
    )


@pytest.mark.parametrize("name", DEFAULTS)
def test_example_environment_has_every_variable_with_its_default(name: str) -> None:
    quoted = f"'{DEFAULTS[name]}'" if " " in DEFAULTS[name] else DEFAULTS[name]
    assert f"\n#{name}={quoted}\n" in EXAMPLE
