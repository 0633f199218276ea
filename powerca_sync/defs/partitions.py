"""Offices as partitions of assets, checks and runs, where a file of offices is configured.

Everything here takes or returns the key of an office, or None where the instance serves one office and nothing is
partitioned. Partitions of asset checks are a preview of Dagster; no other module names them.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import dagster as dg

from powerca_sync.environment import find_offices
from powerca_sync.offices import Office

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


class OfficeJob(Protocol):
    """A job as `dg.define_asset_job` returns it; Dagster does not export its class."""

    @property
    def name(self) -> str:
        """The name of the job."""

    @property
    def config(self) -> Any:
        """The configuration that `job_config` returned."""


def job_config(config: Mapping[str, Any], *, by_office: bool) -> Mapping[str, Any] | dg.PartitionedConfig:
    """Returns the configuration of a job; by office, the UI asks which one, and tags its run with the mobile database.

    A run that is requested with the tag of its office and without this configuration has none.
    """
    if not by_office:
        return config
    return dg.PartitionedConfig(
        partitions_def=OFFICE_PARTITIONS,
        run_config_for_partition_key_fn=lambda _: config,
        tags_for_partition_key_fn=_mobile_tag,
    )


def _mobile_tag(office: str) -> Mapping[str, str]:
    """Returns the tag of the office's mobile database; none if its entry cannot be used, which the run says."""
    found = find_offices().offices.get(office)
    return {MOBILE_TAG: found.mobile} if found else {}


def office_request(
    office: Office,
    job: OfficeJob,
    *,
    assets: Sequence[dg.AssetKey] | None = None,
    checks: Sequence[dg.AssetCheckKey] | None = None,
) -> dg.RunRequest:
    """Returns the request of a run of the job for an office, of all its assets or of some."""
    assert isinstance(job.config, dg.PartitionedConfig)
    config = job.config.run_config_for_partition_key_fn
    return dg.RunRequest(
        job_name=job.name,
        run_config=config(office.key) if config else {},
        asset_selection=assets,
        asset_check_keys=checks,
        tags={**office_tags(office.key), MOBILE_TAG: office.mobile},
    )


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
