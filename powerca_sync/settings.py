"""Connection settings of both databases, from environment variables and the `.env` file.

The variables and their defaults are the guide's. An error names all required variables that are missing.
"""

import dataclasses
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from typing_extensions import override

from powerca_sync.env_file import ENV_FILE, read_variables
from powerca_sync.errors import ConfigurationError

#: Seconds without any packet of the server after which the connection counts as lost.
PATIENCE = 60

REQUIRED = ("LOCAL_DB_PASSWORD", "SUPABASE_DB_HOST", "SUPABASE_DB_PASSWORD")
BEFORE_FORWARD, AFTER_REVERSE = "POWERCA_BEFORE_FORWARD", "POWERCA_AFTER_REVERSE"
BEFORE_FORWARD_TIMEOUT, AFTER_REVERSE_TIMEOUT = "POWERCA_BEFORE_FORWARD_TIMEOUT", "POWERCA_AFTER_REVERSE_TIMEOUT"
DESKTOP_RELATIONS = "POWERCA_DESKTOP_RELATIONS"
TABLES_AT_ONCE = "POWERCA_TABLES_AT_ONCE"
#: Seconds. Below the limit of Dagster's run monitoring for a reverse run.
LONGEST_CALL = 1200
_NAME = r"[A-Za-z_][A-Za-z0-9_$]{0,62}"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """One database and its connection parameters."""

    #: `desktop` or `mobile`; appears in messages and as the connection's application name.
    side: str
    #: Host name, address, or the folder of a Unix socket.
    host: str
    port: int
    name: str
    user: str
    password: str | None = dataclasses.field(default=None, repr=False)
    #: libpq's `sslmode`. Empty: `verify-full` unless the host is this machine.
    sslmode: str = ""
    #: File with the certificate authority, for `verify-ca` and `verify-full`.
    sslrootcert: str = ""
    #: Seconds.
    connect_timeout: int = 10
    #: Seconds without any packet of the server after which the connection counts as lost.
    patience: int = PATIENCE

    @property
    def is_local(self) -> bool:
        """Whether the connection does not leave this machine."""
        return self.host.startswith(("/", "@")) or self.host in ("localhost", "127.0.0.1", "::1")

    @property
    def effective_sslmode(self) -> str:
        """The configured mode, or the safe one for the host."""
        return self.sslmode or ("prefer" if self.is_local else "verify-full")

    @override
    def __str__(self) -> str:
        """`host:port/name`, without user or password."""
        return f"{self.host}:{self.port}/{self.name}"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Limits of the guards for all tables; None means the value of each table's spec."""

    #: A run that would delete more than the larger of a share of the office's rows and a number is refused.
    mass_delete_share: float | None = None
    mass_delete_rows: int | None = None
    #: A run that would quarantine more than both, a share of the rows and a number, is refused.
    quarantine_share: float | None = None
    quarantine_rows: int | None = None

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, *, env_file: Path | None = ENV_FILE) -> "Limits":
        """Returns the limits of the environment, read as in `Settings.from_env`.

        Raises `ConfigurationError` for a value that is not a share or a number of rows.
        """
        values = _values(environ, env_file)
        return cls(
            mass_delete_share=_share(values, "POWERCA_MASS_DELETE_SHARE"),
            mass_delete_rows=_rows(values, "POWERCA_MASS_DELETE_ROWS"),
            quarantine_share=_share(values, "POWERCA_QUARANTINE_SHARE"),
            quarantine_rows=_rows(values, "POWERCA_QUARANTINE_ROWS"),
        )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DesktopFunction:
    """A function of the office on the desktop, which takes no arguments."""

    schema: str
    name: str
    #: Seconds that a call may take.
    timeout: int

    @override
    def __str__(self) -> str:
        """`schema.name`."""
        return f"{self.schema}.{self.name}"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DesktopFunctions:
    """The functions of the office that runs call; None if a run calls none."""

    #: Called at the beginning of a forward run.
    before_forward: DesktopFunction | None = None
    #: Called at the end of a reverse run, if phone rows have been inserted since its last success.
    after_reverse: DesktopFunction | None = None

    @classmethod
    def from_env(
        cls, environ: Mapping[str, str] | None = None, *, env_file: Path | None = ENV_FILE
    ) -> "DesktopFunctions":
        """Returns the functions of the environment, read as in `Settings.from_env`.

        Raises `ConfigurationError` for anything but `schema.name`, and for an invalid timeout.
        """
        values = _values(environ, env_file)
        return cls(
            before_forward=_function(values, BEFORE_FORWARD, BEFORE_FORWARD_TIMEOUT, 600),
            after_reverse=_function(values, AFTER_REVERSE, AFTER_REVERSE_TIMEOUT, 300),
        )


def read_desktop_relations(
    environ: Mapping[str, str] | None = None, *, env_file: Path | None = ENV_FILE
) -> Mapping[str, str]:
    """Returns the desktop relation by mobile name of the tables that are read from another one than their spec says.

    Raises `ConfigurationError` for an entry that is not `table=relation`, and for a table that occurs twice.
    """
    found: dict[str, str] = {}
    for entry in re.split(r"[\s,]+", _values(environ, env_file).get(DESKTOP_RELATIONS, "")):
        if not entry:
            continue
        table, _, relation = entry.partition("=")
        if table in found or not all(
            re.fullmatch(rf"(?:{_NAME}\.)?{_NAME}", one, re.ASCII) for one in (table, relation)
        ):
            raise ConfigurationError(
                f"{DESKTOP_RELATIONS} has `{entry}`. Write each table once, as `table=schema.view`, with commas "
                "between them, such as `climaster=sync.v_climaster,jobshead=sync.v_jobshead`."
            )
        found[table] = relation
    return found


def read_tables_at_once(environ: Mapping[str, str] | None = None, *, env_file: Path | None = ENV_FILE) -> int:
    """Returns how many tables a forward run reads at a time.

    Raises `ConfigurationError` for anything but a number from 1 to 4.
    """
    text = _values(environ, env_file).get(TABLES_AT_ONCE, "2")
    if text not in ("1", "2", "3", "4"):
        raise ConfigurationError(f"{TABLES_AT_ONCE} is `{text}`. Use a whole number from 1 to 4.")
    return int(text)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Both databases, the office's time zone, the encoding of undeclared text, and the limits of the guards."""

    desktop: Endpoint
    mobile: Endpoint
    #: Time zone of the desktop's timestamps without time zone. None: the desktop server's.
    timezone: str | None = None
    #: Encoding of the desktop's text if its database is SQL_ASCII. None: the database's.
    encoding: str | None = None
    limits: Limits = dataclasses.field(default_factory=Limits)
    #: Tables of a forward run that are read at a time; 1 reads one after another.
    tables_at_once: int = 2

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, *, env_file: Path | None = ENV_FILE) -> "Settings":
        """Returns the settings of `environ` (default: the process's), which take precedence over `env_file`.

        Raises `ConfigurationError` naming every required variable that is missing, or the one that is invalid.
        """
        values = _values(environ, env_file)
        missing = [name for name in REQUIRED if name not in values]
        if missing:
            raise ConfigurationError(
                f"Not configured: {', '.join(missing)}. Set them in the environment or in a file `.env` "
                "(`.env.example` shows all of them). To look around without a database, run `powerca-sync demo`."
            )
        return cls(
            desktop=Endpoint(
                side="desktop",
                host=values.get("LOCAL_DB_HOST", "localhost"),
                port=_port(values, "LOCAL_DB_PORT", 5433),
                name=values.get("LOCAL_DB_NAME", "enterprise_db"),
                user=values.get("LOCAL_DB_USER", "postgres"),
                password=values["LOCAL_DB_PASSWORD"],
                sslmode=values.get("LOCAL_DB_SSLMODE", ""),
                sslrootcert=values.get("LOCAL_DB_SSLROOTCERT", ""),
            ),
            mobile=Endpoint(
                side="mobile",
                host=values["SUPABASE_DB_HOST"],
                port=_port(values, "SUPABASE_DB_PORT", 5432),
                name=values.get("SUPABASE_DB_NAME", "postgres"),
                user=values.get("SUPABASE_DB_USER", "postgres"),
                password=values["SUPABASE_DB_PASSWORD"],
                sslmode=values.get("SUPABASE_DB_SSLMODE", ""),
                sslrootcert=values.get("SUPABASE_DB_SSLROOTCERT", ""),
            ),
            timezone=values.get("LOCAL_DB_TIMEZONE"),
            encoding=values.get("LOCAL_DB_ENCODING"),
            limits=Limits.from_env(environ, env_file=env_file),
            tables_at_once=read_tables_at_once(environ, env_file=env_file),
        )


def forget_variables(names: Iterable[str]) -> None:
    """Remove variables from the process's environment."""
    for name in names:
        os.environ.pop(name, None)


def _values(environ: Mapping[str, str] | None, env_file: Path | None) -> dict[str, str]:
    # An empty variable counts as not set.
    given = {name: value for name, value in (os.environ if environ is None else environ).items() if value}
    return {name: value for name, value in read_variables(given, env_file).items() if value}


def _port(values: Mapping[str, str], name: str, default: int) -> int:
    text = values.get(name, str(default))
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise ConfigurationError(f"{name} is `{text}`, which is not a port number. Use a number from 1 to 65535.")
    return int(text)


def _function(values: Mapping[str, str], name: str, timeout: str, default: int) -> DesktopFunction | None:
    text, seconds = values.get(name), values.get(timeout, str(default))
    if not re.fullmatch(r"\d{1,9}", seconds, re.ASCII) or not 0 < int(seconds) <= LONGEST_CALL:
        raise ConfigurationError(
            f"{timeout} is `{seconds}`, which is not a number of seconds. Use a whole number from 1 to {LONGEST_CALL}."
        )
    if text is None:
        return None
    if not re.fullmatch(rf"{_NAME}\.{_NAME}", text, re.ASCII):
        raise ConfigurationError(
            f"{name} is `{text}`, which is not the name of a function. Use `schema.name`, spelled as in the catalog, "
            "without quotes, parentheses or arguments."
        )
    schema, _, function = text.partition(".")
    return DesktopFunction(schema=schema, name=function, timeout=int(seconds))


def _share(values: Mapping[str, str], name: str) -> float | None:
    text = values.get(name)
    if text is None:
        return None
    if not re.fullmatch(r"\d*\.?\d+", text, re.ASCII) or float(text) > 1:
        raise ConfigurationError(f"{name} is `{text}`, which is not a share. Use a number from 0 to 1: 0.05 is 5 %.")
    return float(text)


def _rows(values: Mapping[str, str], name: str) -> int | None:
    text = values.get(name)
    if text is None:
        return None
    if not re.fullmatch(r"\d+", text, re.ASCII):
        raise ConfigurationError(f"{name} is `{text}`, which is not a number of rows. Use a whole number from 0.")
    return int(text)
