"""The result of resolving declared specs against the catalogs of both databases, which `resolver` does."""

import dataclasses
import enum
from collections.abc import Iterator, Mapping

from typing_extensions import override

from powerca_sync.errors import SchemaMismatchError
from powerca_sync.specs import Reference, TableSpec, spec_named


class Route(enum.StrEnum):
    """The way in which the office of a row is determined."""

    #: A column of the row has the organisation's key.
    COLUMN = "column"
    #: A reference leads to a table whose rows have an office.
    REFERENCE = "reference"
    #: Not at all: all desktop-owned rows belong to the only registered desktop.
    UNSCOPED = "unscoped"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """A column of the spec that is left out, because a database lacks it."""

    column: str
    #: The fields of the spec that name it: `key`, `references`, `lookups` ...; `order` for an order-only reference.
    roles: tuple[str, ...]
    #: The databases that lack it.
    missing: tuple[str, ...]
    #: An existing column of a similar name that the spec does not mention; empty if it does not exist.
    nearest: str = ""

    @override
    def __str__(self) -> str:
        """Returns the column, its roles and a similar column."""
        hint = f"; similar: {self.nearest}" if self.nearest else ""
        return f"{self.column} ({', '.join(self.roles)}{hint})"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Unchecked:
    """A reference that cannot be checked."""

    reference: Reference
    reason: str

    @override
    def __str__(self) -> str:
        """Returns the column, the parent and the reason."""
        return f"{self.reference.column} to {self.reference.parent} ({self.reason})"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedSpec:
    """A spec after it has been checked against both catalogs."""

    declared: TableSpec
    #: The declared spec without what does not exist, with the key and office column that were found.
    spec: TableSpec
    route: Route
    left_out: tuple[LeftOut, ...] = ()
    unchecked: tuple[Unchecked, ...] = ()
    #: Columns whose expression is not used, each with the reason.
    unused: tuple[str, ...] = ()
    #: Origin of the key if it is not the declared one.
    key_origin: str = ""
    #: Neither database has the table.
    absent: bool = False
    #: Why the table cannot be synced.
    blocked: str = ""
    #: It is blocked because a table whose rows it needs is missing on mobile.
    lacks_parent: bool = False

    @property
    def notes(self) -> tuple[str, ...]:
        """Returns the differences between the resolved spec and the declared one, one clause each."""
        return tuple(self._notes())

    def _notes(self) -> Iterator[str]:
        if self.absent:
            yield "neither database has the table, so that nothing is synced"
            return
        by_side: dict[tuple[str, ...], list[str]] = {}
        for entry in self.left_out:
            by_side.setdefault(entry.missing, []).append(str(entry))
        for missing, entries in by_side.items():
            where = f"{missing[0]} lacks" if len(missing) == 1 else "neither database has"
            yield f"left out, because {where} the column: {', '.join(entries)}"
        if self.key_origin:
            yield f"key: {', '.join(self.spec.key) or 'none'} ({self.key_origin})"
        explained = {entry.column for entry in self.left_out}
        unchecked = [str(entry) for entry in self.unchecked if entry.reference.column not in explained]
        if unchecked:
            yield f"references not checked: {', '.join(unchecked)}"
        unused = [entry for entry in self.unused if entry.split(" ", 1)[0] not in explained]
        if unused:
            yield f"expressions not used: {', '.join(unused)}"
        if self.route is Route.UNSCOPED and self.declared.office is not None:
            yield "office: unscoped, every desktop-owned row belongs to the only registered desktop"
        elif self.spec.office != self.declared.office:
            yield f"office: by {self.spec.office}"

    def require(self) -> TableSpec:
        """Returns the spec to use; raises `SchemaMismatchError` if the table is blocked."""
        if self.blocked:
            raise SchemaMismatchError(self.blocked)
        return self.spec


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Resolution:
    """All specs of a set, resolved against both catalogs."""

    #: By mobile name, in the order of the declared specs.
    tables: Mapping[str, ResolvedSpec]

    @property
    def specs(self) -> tuple[TableSpec, ...]:
        """The resolved specs, in the order of the declared ones."""
        return tuple(one.spec for one in self.tables.values())

    @property
    def unscoped(self) -> tuple[str, ...]:
        """Mobile names of the tables whose rows have no office."""
        return tuple(
            name for name, one in self.tables.items() if one.route is Route.UNSCOPED and not (one.absent or one.blocked)
        )

    def __getitem__(self, mobile: str) -> ResolvedSpec:
        """Returns the resolved spec of that mobile name; raises `ConfigurationError` if it does not exist."""
        spec_named((one.declared for one in self.tables.values()), mobile)
        return self.tables[mobile]
