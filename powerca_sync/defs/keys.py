"""Asset keys of the tables of both databases, and the order of their steps.

The first part of a key tells the direction; the prefix of a spec stands behind it.
"""

from collections.abc import Callable, Iterable

import dagster as dg

from powerca_sync.engine.postgres import schema_and_name
from powerca_sync.specs import TableSpec

#: Owner of the report.
OWNERS = ("team:office",)
#: Prefix and group of the desktop's tables.
DESKTOP = "desktop"
#: The mobile database, in names of tables.
MOBILE = "mobile"
#: Prefix and group of reverse sync: phone rows in the desktop's tables.
REVERSE = "reverse"
#: Tag of a step: of the steps that are ready, that with the highest number runs first. Without the tag it is 0.
PRIORITY = "dagster/priority"
#: The assets that call the office's functions on the desktop.
REFRESH, BOOKING = dg.AssetKey("desktop_refresh"), dg.AssetKey("desktop_booking")


def mobile_key(spec: TableSpec) -> dg.AssetKey:
    """Returns the key of a mobile table; a schema is a part of its own, because a part may not contain a point."""
    return dg.AssetKey([*spec.key_prefix, *spec.mobile.split(".")])


def desktop_key(spec: TableSpec) -> dg.AssetKey:
    """Returns the key of a desktop table, which Dagster knows but does not materialize."""
    return dg.AssetKey([DESKTOP, *spec.key_prefix, *spec.desktop.split(".")])


def reverse_key(spec: TableSpec) -> dg.AssetKey:
    """Returns the key of the phone rows of a mobile table, as they are reverse-synced to the desktop."""
    return dg.AssetKey([REVERSE, *spec.key_prefix, *spec.mobile.split(".")])


def parent_keys(
    spec: TableSpec, specs: Iterable[TableSpec], key: Callable[[TableSpec], dg.AssetKey]
) -> list[dg.AssetKey]:
    """Returns the keys, by the function `key`, of those of `specs` on which the table depends."""
    by_name = {one.mobile: one for one in specs}
    return [key(by_name[name]) for name in spec.depends_on if name in by_name]


def full_name(database: str, name: str) -> str:
    """Returns a table's name with its database (`DESKTOP` or `MOBILE`) and its schema."""
    return ".".join((database, *schema_and_name(name)))
