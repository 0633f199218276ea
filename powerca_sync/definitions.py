"""Dagster's entry point: the definitions for the tables of this office, or of those in the file of offices."""

import logging
from pathlib import Path

import dagster as dg

from powerca_sync import additions, tables
from powerca_sync.defs import build_definitions
from powerca_sync.defs.translator import TableTranslator
from powerca_sync.env_file import exposure
from powerca_sync.environment import current_functions, current_tables, serves_offices
from powerca_sync.operations import History, Schedules

_SCHEDULES = Schedules.from_env()

# Dagster accepts one `Definitions` at module scope. Its loader of all kinds of definitions from a package is a preview.
defs = dg.Definitions.merge(
    build_definitions(
        current_tables(tables.TABLES),
        functions=current_functions(),
        schedules=_SCHEDULES,
        history=History.from_env(),
        by_office=serves_offices(),
        translator=TableTranslator(timezone=_SCHEDULES.timezone, declared_in=Path(tables.__file__)),
    ),
    dg.Definitions(
        assets=dg.load_assets_from_package_module(additions),
        asset_checks=dg.load_asset_checks_from_package_module(additions),
    ),
)

if warning := exposure():
    logging.getLogger(__name__).warning("[WARN] %s Run `chmod 600 .env`.", warning)
