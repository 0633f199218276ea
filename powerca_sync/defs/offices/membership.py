"""The sensor `offices`: adds and deletes partitions as offices come and go in the file."""

from collections.abc import Collection
from typing import Final

import dagster as dg

from powerca_sync.defs.partitions import OFFICE, OFFICE_PARTITIONS
from powerca_sync.environment import find_offices
from powerca_sync.errors import ConfigurationError
from powerca_sync.plain_text import counted

INTERVAL: Final = 30
#: Of the offices, and in number: more are not deleted at once, because a damaged file looks like offices that left.
LARGEST_SHARE, LARGEST_NUMBER = 0.05, 1
#: Keys that a message names.
NAMED: Final = 20


def build_membership() -> dg.SensorDefinition:
    """Returns the sensor, running from the start."""

    @dg.sensor(
        name="offices",
        # Every sensor needs a target; this one requests no run.
        target=dg.AssetSelection.all(),
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Adds an office to the partitions when the file of offices names it, and deletes it when the file no "
            f"longer does. Deletes at most {LARGEST_SHARE:.0%} of the offices, or one: if more are missing, the tick "
            "fails and says how to delete them. The history of a deleted office is kept."
        ),
    )
    def offices(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        """Compare the partitions with the file."""
        found = find_offices()
        known = context.instance.get_dynamic_partitions(OFFICE)
        new = [key for key in found.keys if key not in known]
        left = [key for key in known if key not in found.keys]
        if new:
            # Not by request: an office that comes must not depend on others that leave.
            context.instance.add_dynamic_partitions(OFFICE, new)
        if len(left) > max(LARGEST_NUMBER, LARGEST_SHARE * len(known)):
            raise ConfigurationError(
                f"`{found.path}` no longer has {len(left)} of {len(known)} offices ({_names(left)}), so none was "
                f"deleted. If they have left, delete their keys from the partitions `{OFFICE}` in the UI, or take them "
                "out of the file one after the other."
            )
        if found.broken:
            context.log.warning("\n".join(found.broken.values()))
        counts = f"{counted(len(found.offices), 'office')}, {len(found.broken)} with mistakes. Added: {_names(new)}. "
        return dg.SensorResult(
            skip_reason=f"{counts}Deleted: {_names(left)}.",
            dynamic_partitions_requests=[OFFICE_PARTITIONS.build_delete_request(left)] if left else [],
        )

    return offices


def _names(keys: Collection[str]) -> str:
    listed = ", ".join(list(keys)[:NAMED]) or "none"
    return f"{listed} and {len(keys) - NAMED} others" if len(keys) > NAMED else listed
