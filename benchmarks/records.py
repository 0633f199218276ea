"""Dagster's records of offices that are synced already, and ticks of their sensors in this process."""

import time
from collections.abc import Collection, Sequence
from typing import Any

import dagster as dg

from powerca_sync.defs.keys import mobile_key
from powerca_sync.defs.offices.rounds import read_states
from powerca_sync.defs.partitions import OFFICE
from powerca_sync.specs import TableSpec
from powerca_sync.tables import TABLES


def record_as_synced(instance: dg.DagsterInstance, offices: Sequence[str], tables: Collection[str] = ()) -> None:
    """Records the tables (default: all) of each office as synced, after a first look of the sensor `desktop_rows`.

    As if a run had synced what that look has seen; the caller guarantees it.
    """
    instance.add_dynamic_partitions(OFFICE, list(offices))
    # An office whose first table is known to Dagster's history has had its nightly runs.
    _record(instance, offices, TABLES[:1])
    cursor = None
    # On a busy machine one tick does not ask all of them.
    while read_states(instance, "desktop_rows", offices).keys() != set(offices):
        cursor = tick(instance, "desktop_rows", cursor)[0].cursor
    _record(instance, offices, [spec for spec in TABLES if not tables or spec.mobile in tables])


def _record(instance: dg.DagsterInstance, offices: Sequence[str], specs: Sequence[TableSpec]) -> None:
    for spec in specs:
        for office in offices:
            instance.report_runless_asset_event(dg.AssetMaterialization(mobile_key(spec), partition=office))


def tick(instance: dg.DagsterInstance, sensor: str, cursor: str | None = None) -> tuple[Any, float, float]:
    """Evaluates a sensor once; returns what it requested, the seconds and the processor seconds."""
    # Reads the file of offices when it is imported.
    from powerca_sync.definitions import defs

    found = defs.get_repository_def().get_sensor_def(sensor)
    began, used = time.monotonic(), time.process_time()
    with dg.build_sensor_context(instance=instance, definitions=defs, cursor=cursor) as context:
        data = found.evaluate_tick(context)
    return data, time.monotonic() - began, time.process_time() - used
