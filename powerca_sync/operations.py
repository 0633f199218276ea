"""Settings of schedules, alerts, history and web access, from environment variables and the `.env` file.

All of them are optional. Cron strings are checked where the schedules are built.
"""

import dataclasses
import re
import zoneinfo
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from powerca_sync.env_file import ENV_FILE, read_variables
from powerca_sync.errors import ConfigurationError

TIMEZONE: Final = "POWERCA_TZ"
FULL_CRON: Final = "POWERCA_FULL_CRON"
INCREMENTAL_CRON: Final = "POWERCA_INCREMENTAL_CRON"
CHECKS_CRON: Final = "POWERCA_CHECKS_CRON"
REVERSE_CRON: Final = "POWERCA_REVERSE_CRON"
STATUS_CRON: Final = "POWERCA_STATUS_CRON"
RETENTION_CRON: Final = "POWERCA_RETENTION_CRON"
HISTORY_DAYS: Final = "POWERCA_HISTORY_DAYS"
ALERT_URLS: Final = "POWERCA_ALERT_URLS"
UI_URL: Final = "POWERCA_UI_URL"
OFFICE: Final = "POWERCA_OFFICE"
UI_USER: Final = "POWERCA_UI_USER"
UI_PASSWORD: Final = "POWERCA_UI_PASSWORD"
#: The advice of messages about a cron string.
CRON_FORM: Final = "Use five fields (minute, hour, day, month, weekday), such as `0 2 * * *` for every night at two"

#: Every variable that is read here, with its default.
DEFAULTS: Final[Mapping[str, str]] = {
    TIMEZONE: "Asia/Kolkata",
    FULL_CRON: "0 2 * * *",
    # Business hours, Monday to Saturday.
    INCREMENTAL_CRON: "*/15 8-20 * * 1-6",
    # After the nightly run.
    CHECKS_CRON: "0 3 * * *",
    REVERSE_CRON: "5 * * * *",
    STATUS_CRON: "10 * * * *",
    RETENTION_CRON: "30 4 * * *",
    HISTORY_DAYS: "30",
    ALERT_URLS: "",
    UI_URL: "http://localhost:3000",
    OFFICE: "",
    UI_USER: "admin",
    UI_PASSWORD: "",
}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Schedules:
    """Cron strings of the schedules; an empty one switches its schedule off."""

    #: The office's time zone, which the cron strings refer to.
    timezone: str = DEFAULTS[TIMEZONE]
    #: Cron string by the name of its variable.
    crons: Mapping[str, str] = dataclasses.field(
        default_factory=lambda: {name: text for name, text in DEFAULTS.items() if name.endswith("_CRON")}
    )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, *, env_file: Path | None = ENV_FILE) -> "Schedules":
        """Returns the schedules of `environ` (default: the process's), which takes precedence over `env_file`.

        Raises `ConfigurationError` for an unknown time zone.
        """
        values = _read(environ, env_file)
        timezone = values[TIMEZONE] or DEFAULTS[TIMEZONE]
        try:
            zoneinfo.ZoneInfo(timezone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as exc:
            raise ConfigurationError(
                f"{TIMEZONE} is `{timezone}`, which is not a time zone. Use a name such as Asia/Kolkata or UTC."
            ) from exc
        return cls(timezone=timezone, crons={name: values[name].strip() for name in DEFAULTS if name.endswith("_CRON")})


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """Retention of ended runs in Dagster's history."""

    #: From 1. Failed runs are kept longer.
    days: int = int(DEFAULTS[HISTORY_DAYS])

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, *, env_file: Path | None = ENV_FILE) -> "History":
        """Returns the setting of `environ` (default: the process's), which takes precedence over `env_file`.

        Raises `ConfigurationError` if it is not a number of days.
        """
        text = _read(environ, env_file)[HISTORY_DAYS].strip() or DEFAULTS[HISTORY_DAYS]
        if not re.fullmatch(r"[1-9]\d{0,3}", text, re.ASCII):
            raise ConfigurationError(
                f"{HISTORY_DAYS} is `{text}`, which is not a number of days (1 to 9999). To keep the history forever, "
                f"leave {RETENTION_CRON} empty."
            )
        return cls(days=int(text))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Alerting:
    """Recipients of alerts, and how a message names its origin."""

    #: URLs of apprise; most contain a secret.
    urls: tuple[str, ...] = dataclasses.field(default=(), repr=False)
    #: Address of Dagster's UI, without a slash at the end.
    ui_url: str = DEFAULTS[UI_URL]
    #: Name of the office in messages.
    office: str = ""
    timezone: str = DEFAULTS[TIMEZONE]

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, *, env_file: Path | None = ENV_FILE) -> "Alerting":
        """Returns the settings of `environ` (default: the process's), which take precedence over `env_file`."""
        values = _read(environ, env_file)
        return cls(
            urls=tuple(dict.fromkeys(values[ALERT_URLS].split())),
            ui_url=(values[UI_URL] or DEFAULTS[UI_URL]).rstrip("/"),
            office=values[OFFICE].strip(),
            timezone=Schedules.from_env(environ, env_file=env_file).timezone,
        )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class WebAccess:
    """Login and public address of Dagster's UI."""

    #: The public address; addresses of this machine are always allowed.
    ui_url: str = DEFAULTS[UI_URL]
    user: str = DEFAULTS[UI_USER]
    #: Empty: no login.
    password: str = dataclasses.field(default="", repr=False)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, *, env_file: Path | None = Path(".env")) -> "WebAccess":
        """Returns the settings of `environ` (default: the process's), which take precedence over `env_file`."""
        values = _read(environ, env_file)
        return cls(
            ui_url=values[UI_URL] or DEFAULTS[UI_URL],
            user=values[UI_USER] or DEFAULTS[UI_USER],
            password=values[UI_PASSWORD],
        )


def _read(environ: Mapping[str, str] | None, env_file: Path | None) -> dict[str, str]:
    """Returns the variables with their defaults; an empty variable is kept as empty."""
    values = {**DEFAULTS, **read_variables(environ, env_file)}
    return {name: values[name] for name in DEFAULTS}
