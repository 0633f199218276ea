"""Dagster's entry point: the definitions for this office's tables."""

import logging
from pathlib import Path

from powerca_sync import tables
from powerca_sync.defs import build_definitions
from powerca_sync.defs.translator import TableTranslator
from powerca_sync.env_file import exposure
from powerca_sync.operations import History, Schedules

_SCHEDULES = Schedules.from_env()

defs = build_definitions(
    tables.TABLES,
    schedules=_SCHEDULES,
    history=History.from_env(),
    translator=TableTranslator(timezone=_SCHEDULES.timezone, declared_in=Path(tables.__file__)),
)

if warning := exposure():
    logging.getLogger(__name__).warning("[WARN] %s Run `chmod 600 .env`.", warning)
