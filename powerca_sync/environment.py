"""The choice between the configured databases and the embedded ones of the demo."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

from powerca_sync.settings import DesktopFunctions, Limits, Settings, read_desktop_relations
from powerca_sync.specs import TableSpec, read_from

#: Folder of the embedded servers and of Dagster's files, below the current folder.
FOLDER = Path(".powerca")
DEMO = "POWERCA_DEMO"


def is_demo() -> bool:
    """Whether `POWERCA_DEMO` selects the embedded databases; it takes precedence over all other settings."""
    return os.environ.get(DEMO, "").lower() in ("1", "true", "yes")


def current_settings() -> Settings:
    """Returns the settings of the environment; in the demo, starts the embedded servers and fills new ones.

    Raises `ConfigurationError` naming the variables that are missing or invalid.
    """
    if not is_demo():
        return Settings.from_env()
    # The demo needs packages that an office does not install.
    from powerca_sync.demo import start_pair

    return dataclasses.replace(start_pair(FOLDER), limits=Limits.from_env())


def current_functions() -> DesktopFunctions:
    """Returns the office's functions on the desktop; the demo has none. Raises as `DesktopFunctions.from_env`."""
    return DesktopFunctions() if is_demo() else DesktopFunctions.from_env()


def current_tables(declared: Sequence[TableSpec]) -> tuple[TableSpec, ...]:
    """Returns the specs with the desktop relations of the settings; in the demo, as they are declared.

    Raises `ConfigurationError` for an invalid setting.
    """
    return tuple(declared) if is_demo() else read_from(declared, read_desktop_relations())
