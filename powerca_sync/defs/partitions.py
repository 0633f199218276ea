"""Offices as partitions of assets, checks and runs, where a file of offices is configured.

Everything here takes or returns the key of an office, or None where the instance serves one office and nothing is
partitioned. Partitions of asset checks are a preview of Dagster; no other module names them.
"""

import warnings
from collections.abc import Callable
from typing import Final

import dagster as dg

#: Name of the dynamic partitions.
OFFICE: Final = "office"
OFFICE_PARTITIONS: Final = dg.DynamicPartitionsDefinition(name=OFFICE)
#: Tag of a run: its partition; Dagster has no public name for it.
PARTITION: Final = "dagster/partition"
#: Tag of a run: the key of the office's mobile database, by which `dagster.yaml` may limit runs.
MOBILE_TAG: Final = "powerca/mobile"


def partitions(by_office: bool) -> dg.PartitionsDefinition | None:
    """Returns the partitions of an asset or check."""
    return OFFICE_PARTITIONS if by_office else None


def asset_check(
    *, asset: dg.AssetKey, name: str, description: str, pool: str, by_office: bool, blocking: bool = False
) -> Callable[[Callable[..., dg.AssetCheckResult]], dg.AssetChecksDefinition]:
    """Returns `dg.asset_check` with these arguments; an unpartitioned one would show the office that ran last."""
    partitioned, pooled = partitions(by_office), None if by_office else pool

    def decorate(function: Callable[..., dg.AssetCheckResult]) -> dg.AssetChecksDefinition:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dg.PreviewWarning)
            return dg.asset_check(
                asset=asset,
                name=name,
                description=description,
                blocking=blocking,
                pool=pooled,
                partitions_def=partitioned,
            )(function)

    return decorate


def build_check_spec(name: str, *, asset: dg.AssetKey, description: str, by_office: bool) -> dg.AssetCheckSpec:
    """Returns the spec of a check that is evaluated in the step of its asset."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return dg.AssetCheckSpec(name, asset=asset, description=description, partitions_def=partitions(by_office))


def office_of(run: dg.DagsterRun) -> str | None:
    """Returns the office of a run."""
    return run.tags.get(PARTITION)


def office_tags(office: str | None) -> dict[str, str]:
    """Returns the tags of a run of the office, which also select its runs.

    A tag rather than a partition key, which Dagster refuses for a job of checks only.
    """
    return {PARTITION: office} if office else {}


def latest_event(instance: dg.DagsterInstance, key: dg.AssetKey, office: str | None) -> dg.EventLogEntry | None:
    """Returns the event of the last materialization of an asset, or of the office's partition of it."""
    if office is None:
        return instance.get_latest_materialization_event(key)
    found = instance.fetch_materializations(dg.AssetRecordsFilter(key, asset_partitions=[office]), limit=1).records
    return found[0].event_log_entry if found else None
