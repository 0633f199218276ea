"""The result of resolving declared specs against the catalogs of both databases."""

import dataclasses
import enum
from collections.abc import Iterator, Mapping

from typing_extensions import override

from powerca_sync.errors import SchemaMismatchError
from powerca_sync.tables import Reference, TableSpec, spec_named


class Route(enum.StrEnum):
    """How the office of a row is known."""

    #: A column of the row holds the organisation.
    COLUMN = "column"
    #: A reference of the row leads to a table that knows its office.
    REFERENCE = "reference"
    #: It is not known: while one desktop is registered, every desktop-owned row is that desktop's.
    UNSCOPED = "unscoped"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """A column of the spec that is not used, because it does not exist where the spec needs it."""

    column: str
    #: The fields of the spec that name it: `key`, `references`, `lookups` ...; `order` for an order-only reference.
    roles: tuple[str, ...]
    #: The databases that lack it.
    missing: tuple[str, ...]
    #: An existing column of a similar name that the spec does not mention; empty if there is none.
    nearest: str = ""

    @override
    def __str__(self) -> str:
        """Name the column, what it was for, and what may have been meant."""
        hint = f"; similar: {self.nearest}" if self.nearest else ""
        return f"{self.column} ({', '.join(self.roles)}{hint})"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Unchecked:
    """A reference that cannot be checked."""

    reference: Reference
    reason: str

    @override
    def __str__(self) -> str:
        """Name the column, the parent and the reason."""
        return f"{self.reference.column} to {self.reference.parent} ({self.reason})"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedSpec:
    """A spec after it has been checked against both catalogs."""

    declared: TableSpec
    #: What is used: the declared spec without what does not exist, with the key and office column that were found.
    spec: TableSpec
    route: Route
    left_out: tuple[LeftOut, ...] = ()
    unchecked: tuple[Unchecked, ...] = ()
    #: Where the key comes from if it is not the declared one; empty otherwise.
    key_origin: str = ""
    #: Whether neither database has the table, so that there is nothing to sync.
    absent: bool = False
    #: Why the table cannot be synced; empty if it can.
    blocked: str = ""
    #: Whether that is only because a table whose rows it needs is missing on mobile.
    lacks_parent: bool = False

    @property
    def notes(self) -> tuple[str, ...]:
        """How the table was resolved, where that differs from the declared spec; one clause each."""
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
        """The specs to use, in the order of the declared ones."""
        return tuple(one.spec for one in self.tables.values())

    @property
    def unscoped(self) -> tuple[str, ...]:
        """Mobile names of the tables whose rows cannot be told apart by office."""
        return tuple(
            name for name, one in self.tables.items() if one.route is Route.UNSCOPED and not (one.absent or one.blocked)
        )

    def __getitem__(self, mobile: str) -> ResolvedSpec:
        """The resolved spec of that mobile name; `ConfigurationError` lists the known names if there is none."""
        spec_named((one.declared for one in self.tables.values()), mobile)
        return self.tables[mobile]
