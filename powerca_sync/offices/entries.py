"""Records of the file of offices: an office, the place of a password, and the content of the file."""

import dataclasses
import difflib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from powerca_sync.env_file import ENV_FILE, read_variables
from powerca_sync.errors import ConfigurationError
from powerca_sync.settings import Endpoint, Settings

#: The environment variables of the passwords.
DESKTOP_PASSWORD: Final = "LOCAL_DB_PASSWORD"
MOBILE_PASSWORD: Final = "SUPABASE_DB_PASSWORD"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Secret:
    """The place of a password."""

    #: The key of the entry, for messages.
    place: str
    file: Path | None = None
    variable: str | None = None

    def read(self) -> str:
        """Returns the password. Raises `ConfigurationError` if it is not there."""
        if self.file is None:
            password, source = read_variables(None, ENV_FILE).get(self.variable or "", ""), f"variable {self.variable}"
        else:
            source = f"file `{self.file}`"
            try:
                password = self.file.read_text(encoding="utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as exc:
                words = exc.strerror if isinstance(exc, OSError) else str(exc)
                raise ConfigurationError(f"{self.place}: the {source} cannot be read: {words}. Correct it.") from exc
        if not password:
            raise ConfigurationError(f"{self.place}: the {source} is empty or missing. Put the password there.")
        return password


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Office:
    """One office of the file; its entry is free of mistakes."""

    key: str
    #: Name in messages; the key unless the entry has one.
    title: str
    #: Key of its mobile database.
    mobile: str
    #: Name of the time zone of its nights.
    timezone: str
    #: Cron strings by the name of their variable, as far as the file has them.
    crons: Mapping[str, str] = dataclasses.field(default_factory=dict)
    #: Addresses of its alerts; most contain a secret.
    alert: tuple[str, ...] = dataclasses.field(default=(), repr=False)
    #: The settings without passwords.
    checked: Settings
    variables: Mapping[str, str]
    secrets: Mapping[str, Secret]

    def settings(self) -> Settings:
        """Returns the settings with passwords as they are now. Raises `ConfigurationError` if one cannot be read."""
        passwords = {variable: secret.read() for variable, secret in self.secrets.items()}
        return Settings.from_env({**self.variables, **passwords}, env_file=None)

    def desktop_endpoint(self) -> Endpoint:
        """Returns the desktop alone. Raises `ConfigurationError` if its password cannot be read."""
        return dataclasses.replace(self.checked.desktop, password=self.secrets[DESKTOP_PASSWORD].read())

    def mobile_endpoint(self) -> Endpoint:
        """Returns the mobile database alone, so that it can be asked whatever is wrong with the desktop's password.

        Raises `ConfigurationError` if its own password cannot be read.
        """
        return dataclasses.replace(self.checked.mobile, password=self.secrets[MOBILE_PASSWORD].read())


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Offices:
    """The content of the file."""

    path: Path
    #: By key, in the order of the file.
    offices: Mapping[str, Office]
    #: The mistakes of the other entries, by key.
    broken: Mapping[str, str]

    @property
    def keys(self) -> tuple[str, ...]:
        """Returns the keys of all offices, broken ones included."""
        return (*self.offices, *self.broken)

    def named(self, key: str) -> Office:
        """Returns the office of that key. Raises `ConfigurationError` if the file has none, or a broken one."""
        if key in self.broken:
            raise ConfigurationError(self.broken[key])
        if key not in self.offices:
            raise ConfigurationError(f"`{self.path}` has no office `{key}`.{nearest(key, self.keys)}")
        return self.offices[key]


def nearest(name: str, known: Collection[str]) -> str:
    found = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0)
    return f" Did you mean `{found[0]}`?" if found else ""
