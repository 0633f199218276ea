"""The history of assets and checks by partition, for all partitions at once.

`DagsterInstance` has public methods for one partition of one asset only.
"""

from collections.abc import Collection, Iterator

import dagster as dg

# The status of an evaluation; Dagster does not export it.
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus


def failed_checks(
    instance: dg.DagsterInstance, keys: Collection[dg.AssetCheckKey]
) -> dict[str, list[dg.AssetCheckKey]]:
    """Returns the checks whose last evaluation for a partition failed, by partition.

    Leaves out checks that a run has planned since and not evaluated: either it is active, or it failed itself.
    """
    found: dict[str, list[dg.AssetCheckKey]] = {}
    for info in instance.event_log_storage.get_asset_check_partition_info(list(keys)):
        if info.partition_key is not None and info.latest_execution_status is AssetCheckExecutionRecordStatus.FAILED:
            found.setdefault(info.partition_key, []).append(info.check_key)
    return found


def latest_runs_of_partitions(instance: dg.DagsterInstance, checks: Collection[dg.AssetCheckKey]) -> Iterator[str]:
    """Yields the runs that last materialized a partition of any asset, or last evaluated one of the checks for it."""
    for key in instance.get_asset_keys():
        ids = instance.get_latest_storage_id_by_partition(key, dg.DagsterEventType.ASSET_MATERIALIZATION)
        if ids:
            wanted = dg.AssetRecordsFilter(key, storage_ids=list(ids.values()))
            yield from (record.run_id for record in instance.fetch_materializations(wanted, limit=len(ids)).records)
    for info in instance.event_log_storage.get_asset_check_partition_info(list(checks)):
        if info.partition_key is not None:
            yield info.latest_planned_run_id
