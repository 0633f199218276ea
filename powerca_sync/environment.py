"""The choice between the configured databases, those of an office in the file, and the embedded ones of the demo."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

from powerca_sync.errors import ConfigurationError
from powerca_sync.offices import OFFICES, Office, Offices, current_offices, offices_file
from powerca_sync.settings import DesktopFunctions, Limits, Settings, read_desktop_relations, read_tables_at_once
from powerca_sync.specs import TableSpec, read_from

#: Folder of the embedded servers and of Dagster's files, below the current folder.
FOLDER = Path(".powerca")
DEMO = "POWERCA_DEMO"


def is_demo() -> bool:
    """Whether `POWERCA_DEMO` selects the embedded databases; it takes precedence over all other settings."""
    return os.environ.get(DEMO, "").lower() in ("1", "true", "yes")


def serves_offices() -> bool:
    """Returns whether a file of offices is configured; the demo is one office."""
    return not is_demo() and offices_file() is not None


def find_offices() -> Offices:
    """Returns the offices of the file. Raises `ConfigurationError` if none is configured or it cannot be used."""
    offices = None if is_demo() else current_offices()
    if offices is None:
        raise ConfigurationError(f"No file of offices is configured. {OFFICES} names it.")
    return offices


def choose_office(key: str | None) -> Office | None:
    """Returns the office of that key, or the only one; None without a file of offices.

    Raises `ConfigurationError` for an unknown or broken office, and if several are to be chosen from.
    """
    if key is None and not serves_offices():
        return None
    offices = find_offices()
    if key is None and len(offices.keys) > 1:
        raise ConfigurationError(
            f"`{offices.path}` has {len(offices.keys)} offices. Name one with `--office`, or all with `--all-offices`."
        )
    return offices.named(key or offices.keys[0])


def check_settings() -> None:
    """Raises `ConfigurationError` if neither the settings of an office nor a file of offices can be used."""
    if serves_offices():
        find_offices()
    else:
        Settings.from_env()


def current_settings(office: str | None = None) -> Settings:
    """Returns the settings of the environment, or of the office of that key in the file of offices.

    In the demo, starts the embedded servers and fills new ones. Raises `ConfigurationError` naming what is missing or
    invalid.
    """
    if chosen := choose_office(office):
        return chosen.settings()
    if not is_demo():
        return Settings.from_env()
    # The demo needs packages that an office does not install.
    from powerca_sync.demo import start_pair

    return dataclasses.replace(start_pair(FOLDER), limits=Limits.from_env(), tables_at_once=read_tables_at_once())


def current_functions() -> DesktopFunctions:
    """Returns the office's functions on the desktop; the demo has none. Raises as `DesktopFunctions.from_env`."""
    return DesktopFunctions() if is_demo() else DesktopFunctions.from_env()


def current_tables(declared: Sequence[TableSpec]) -> tuple[TableSpec, ...]:
    """Returns the specs with the desktop relations of the settings; in the demo, as they are declared.

    Raises `ConfigurationError` for an invalid setting.
    """
    return tuple(declared) if is_demo() else read_from(declared, read_desktop_relations())
