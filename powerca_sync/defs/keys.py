"""The names under which Dagster knows the tables of both sides."""

import dagster as dg

from powerca_sync.engine.postgres import schema_and_name
from powerca_sync.tables import TableSpec

#: Who looks after the tables; a firm of accountants has no other team.
OWNERS = ("team:office",)
#: Prefix and group of the office's own tables.
DESKTOP = "desktop"
#: Prefix and group of the way back: what phones make, in the office's own tables.
REVERSE = "reverse"


def mobile_key(mobile: str) -> dg.AssetKey:
    """The asset of a mobile table; a schema is a part of its own, because a key's part may not have a point."""
    return dg.AssetKey(mobile.split("."))


def desktop_key(spec: TableSpec) -> dg.AssetKey:
    """The desktop's table, which Dagster knows but does not make."""
    return dg.AssetKey([DESKTOP, *spec.desktop.split(".")])


def reverse_key(mobile: str) -> dg.AssetKey:
    """What phones make in a mobile table, as it is brought back to the desktop."""
    return dg.AssetKey([REVERSE, *mobile.split(".")])


def full_name(name: str) -> str:
    """A table's name with its schema."""
    return ".".join(schema_and_name(name))
