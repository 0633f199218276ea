"""Dagster's entry point: the definitions for this office's tables."""

from powerca_sync.defs import build_definitions
from powerca_sync.operations import Schedules
from powerca_sync.tables import TABLES

defs = build_definitions(TABLES, schedules=Schedules.from_env())
