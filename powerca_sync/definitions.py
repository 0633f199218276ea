"""Dagster's entry point: the definitions for this office's tables."""

import logging

from powerca_sync.defs import build_definitions
from powerca_sync.env_file import exposure
from powerca_sync.operations import History, Schedules
from powerca_sync.tables import TABLES

defs = build_definitions(TABLES, schedules=Schedules.from_env(), history=History.from_env())

if warning := exposure():
    logging.getLogger(__name__).warning("[WARN] %s Run `chmod 600 .env`.", warning)
