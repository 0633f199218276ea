"""Maps a spec to what Dagster shows of its assets; an office's project overrides methods of `TableTranslator`."""

import ast
import enum
from collections.abc import Mapping, Set
from functools import cache
from pathlib import Path
from typing import Any, Final, TypedDict

import dagster as dg

from powerca_sync.defs.freshness import DAILY, deadline
from powerca_sync.defs.keys import DESKTOP, REVERSE
from powerca_sync.operations import DEFAULTS, TIMEZONE
from powerca_sync.specs import BY_HAND, TableSpec


class Layer(enum.StrEnum):
    """The three assets of a table."""

    #: The desktop's table, which Dagster observes.
    DESKTOP = "desktop"
    #: The mobile table, which forward sync materializes.
    MOBILE = "mobile"
    #: Phone rows in the desktop's table, which reverse sync materializes.
    REVERSE = "reverse"


KINDS: Final[Mapping[Layer, Set[str]]] = {
    Layer.DESKTOP: {"postgres", "desktop"},
    Layer.MOBILE: {"postgres", "supabase", "mobile"},
    Layer.REVERSE: {"postgres", "reverse"},
}


class Attributes(TypedDict):
    """Arguments of `dg.asset` and of `dg.AssetSpec`."""

    group_name: str
    owners: tuple[str, ...]
    description: str
    tags: Mapping[str, str]
    kinds: set[str]
    freshness_policy: dg.FreshnessPolicy | None


class TableTranslator:
    """Attributes of the assets of a table.

    Keys are not among them: the command writes the same history and knows no translator. A prefix is a field of the
    spec.
    """

    def __init__(self, *, timezone: str = DEFAULTS[TIMEZONE], declared_in: Path | None = None) -> None:
        """`timezone` is that of `fresh_by`; `declared_in` is the Python file with the specs, to which assets link."""
        self.timezone = timezone
        self.declared_in = declared_in

    def group(self, spec: TableSpec, layer: Layer) -> str:
        """Returns the group, a name of letters, digits and underscores."""
        groups = {Layer.DESKTOP: DESKTOP, Layer.REVERSE: REVERSE}
        return groups.get(layer) or spec.group or spec.category.value

    def owners(self, spec: TableSpec, layer: Layer) -> tuple[str, ...]:
        """Returns e-mail addresses, or names of teams as `team:office`."""
        return spec.owners

    def description(self, spec: TableSpec, layer: Layer) -> str:
        """Returns the description, in Markdown."""
        if layer is Layer.DESKTOP:
            return f"{spec.description} The desktop's table."
        if layer is Layer.REVERSE:
            by_hand = ", by hand only" if spec.reverse == BY_HAND else ""
            return f"{spec.description} Phone rows, inserted into the desktop's table{by_hand}."
        return spec.description

    def tags(self, spec: TableSpec, layer: Layer) -> Mapping[str, str]:
        """Returns the tags; those of the topics, which have no value, are what the search of the UI finds."""
        tags = dict.fromkeys(spec.topics, "")
        if layer is Layer.REVERSE:
            tags["direction"] = "reverse"
        if layer is Layer.MOBILE:
            tags |= {"direction": "forward", "strategy": spec.strategy.value.lower()}
        return tags

    def kinds(self, spec: TableSpec, layer: Layer) -> Set[str]:
        """Returns up to three kinds."""
        return KINDS[layer]

    def freshness(self, spec: TableSpec, layer: Layer) -> dg.FreshnessPolicy | None:
        """Returns when the asset is late; None for never."""
        if layer is Layer.DESKTOP or (layer is Layer.REVERSE and spec.reverse == BY_HAND):
            return None
        return deadline(spec.fresh_by, self.timezone) if spec.fresh_by and layer is Layer.MOBILE else DAILY

    def drift_blocks(self, spec: TableSpec) -> bool:
        """Returns whether forward jobs evaluate `schema_drift` too, and stop before the tables after one that differs.

        The command does not evaluate it.
        """
        return False

    def metadata(self, spec: TableSpec, layer: Layer) -> Mapping[str, Any]:
        """Returns metadata besides what the assets have anyway: the line in which the table is declared."""
        line = _line_of(self.declared_in, spec.desktop) if self.declared_in else None
        return {"declared_in": dg.MetadataValue.path(f"{self.declared_in}:{line}")} if line else {}

    def attributes(self, spec: TableSpec, layer: Layer, *, by_office: bool) -> Attributes:
        """Returns what the other methods decide, except for the metadata.

        An asset by office is never late: Dagster looks at the newest partition only.
        """
        return {
            "group_name": self.group(spec, layer),
            "owners": self.owners(spec, layer),
            "description": self.description(spec, layer),
            "tags": self.tags(spec, layer),
            "kinds": set(self.kinds(spec, layer)),
            "freshness_policy": None if by_office else self.freshness(spec, layer),
        }


@cache
def _calls(path: Path) -> tuple[tuple[int, frozenset[object]], ...]:
    """Returns the line and the constants among the positional arguments and `desktop` of each call of a Python file."""
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    arguments = [
        (call.lineno, [*call.args, *(word.value for word in call.keywords if word.arg == "desktop")]) for call in calls
    ]
    return tuple(
        (line, frozenset(one.value for one in values if isinstance(one, ast.Constant))) for line, values in arguments
    )


def _line_of(path: Path, desktop: str) -> int | None:
    """Returns the line of the first call that has the table's desktop name as an argument."""
    return next((line for line, constants in _calls(path) if desktop in constants), None)
