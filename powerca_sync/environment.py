"""Which two databases this process works on: the configured ones, or the embedded pair of the demo."""

import dataclasses
import os
from pathlib import Path

from powerca_sync.settings import Limits, Settings

#: Where the embedded servers and Dagster's own files live, below the current folder.
FOLDER = Path(".powerca")
DEMO = "POWERCA_DEMO"


def is_demo() -> bool:
    """Whether `POWERCA_DEMO` asks for the embedded pair; it does so before any other setting."""
    return os.environ.get(DEMO, "").lower() in ("1", "true", "yes")


def current_settings() -> Settings:
    """The settings of the environment; for the demo its servers are started, and filled if they are new.

    Raises `ConfigurationError` naming what is missing or wrong.
    """
    if not is_demo():
        return Settings.from_env()
    # The demo needs packages that an office does not install.
    from powerca_sync.demo import start_pair

    return dataclasses.replace(start_pair(FOLDER), limits=Limits.from_env())
