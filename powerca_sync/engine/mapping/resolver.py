"""Resolve declared specs against the catalogs of both databases.

Databases differ from office to office. A spec declares intent: what does not exist is left out, and the table is synced
with what exists. Only this module decides that. It is pure: catalogs in, resolved specs out.
"""

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence

from powerca_sync.engine.mapping.resolution import Resolution, ResolvedSpec, Route, Unchecked
from powerca_sync.engine.mapping.table_pair import TablePair, left_out_columns, resolve_key, why_unused
from powerca_sync.engine.mapping.tenancy import defining_offices
from powerca_sync.engine.postgres import Table
from powerca_sync.specs import Lookup, Reference, Strategy, TableSpec


def resolve(
    specs: Sequence[TableSpec],
    *,
    sources: Mapping[str, Table] | None,
    targets: Mapping[str, Table],
    known: Collection[str] | None = None,
) -> Resolution:
    """Resolve each spec of a set against both catalogs.

    `sources` has the existing desktop tables by desktop name, `targets` the existing mobile tables by mobile name.
    Without `sources` (the desktop is not available) the desktop is assumed to have mobile's columns. `known` are the
    mobile names of the tables that were looked up, if not all. Does not raise for missing tables and columns: a table
    that cannot be synced is blocked, with the reason.
    """
    resolver = _Resolver(specs, sources, targets, known)
    return Resolution(tables={spec.mobile: resolver.resolve(spec) for spec in specs})


class _Resolver:
    """Resolves the specs of one set; parents are resolved on the way."""

    def __init__(
        self,
        specs: Sequence[TableSpec],
        sources: Mapping[str, Table] | None,
        targets: Mapping[str, Table],
        known: Collection[str] | None,
    ) -> None:
        self.specs = specs
        self.known = {spec.mobile for spec in specs} if known is None else known
        self.targets = targets
        self.sources = sources
        self.by_name = {spec.mobile: spec for spec in specs}
        self.resolved: dict[str, ResolvedSpec] = {}
        self.offices = defining_offices(specs)

    def resolve(self, spec: TableSpec) -> ResolvedSpec:
        if spec.mobile not in self.resolved:
            self.resolved[spec.mobile] = self._resolve(spec)
        return self.resolved[spec.mobile]

    def source(self, spec: TableSpec) -> Table | None:
        return self.targets.get(spec.mobile) if self.sources is None else self.sources.get(spec.desktop)

    def is_absent(self, mobile: str) -> bool:
        """Whether neither database has the table."""
        return mobile not in self.targets and self.source(self.by_name[mobile]) is None

    def _resolve(self, spec: TableSpec) -> ResolvedSpec:
        source, target = self.source(spec), self.targets.get(spec.mobile)
        if source is None or target is None:
            return self._without_table(spec, source=source, target=target)
        pair = TablePair(spec, source, target)
        unchecked = tuple(self._unchecked(spec, target))
        references = tuple(one for one in spec.references if one not in {entry.reference for entry in unchecked})
        looked_up = {one.column for one in spec.lookups}
        desktop_lacks = (
            Unchecked(reference=one, reason=f"the desktop's `{spec.desktop}` has no column {one.column}")
            for one in references
            if source.column(one.column) is None and one.column not in looked_up
        )
        key, key_origin, blocked = resolve_key(pair)
        lookups = tuple(one for one in spec.lookups if self._can_look_up(one, pair))
        unused = {one: why_unused(one, pair) for one in spec.expressions}
        used = dataclasses.replace(
            spec,
            key=key or spec.key if spec.strategy is Strategy.UPSERT else key,
            references=references,
            lookups=lookups,
            expressions=tuple(one for one, why in unused.items() if not why),
            constants={name: value for name, value in spec.constants.items() if target.column(name)},
            mobile_owned=frozenset(name for name in spec.mobile_owned if target.column(name)),
            sensitive=frozenset(name for name in spec.sensitive if len(pair.missing(name)) < 2),
            made_by=spec.made_by if self._can_follow(spec.made_by, references) else None,
        )
        office, route = self._route(used, pair)
        lacking = "" if blocked else self._blocked_by_parents(used)
        return ResolvedSpec(
            declared=spec,
            spec=dataclasses.replace(used, office=office),
            route=route,
            left_out=left_out_columns(pair, used),
            unchecked=tuple(one for one in (*unchecked, *desktop_lacks) if not one.reference.order_only),
            unused=tuple(f"{one.column} ({why})" for one, why in unused.items() if why),
            key_origin=key_origin,
            blocked=blocked or lacking,
            lacks_parent=bool(lacking),
        )

    def _without_table(self, spec: TableSpec, *, source: Table | None, target: Table | None) -> ResolvedSpec:
        if source is None and target is None:
            return ResolvedSpec(declared=spec, spec=spec, route=Route.UNSCOPED, absent=True)
        if target is None:
            reason = f"Table `{spec.mobile}` does not exist on mobile. Create it there, or take its spec out."
        else:
            reason = (
                f"Table `{spec.desktop}` does not exist on the desktop, or its user may not see it. Create it there, "
                "or take its spec out."
            )
        return ResolvedSpec(declared=spec, spec=spec, route=Route.UNSCOPED, blocked=reason)

    def _blocked_by_parents(self, used: TableSpec) -> str:
        """Returns why the table is blocked by a missing parent; empty if it is not."""
        needed = [one.parent for one in used.references if not one.order_only] + [one.table for one in used.lookups]
        missing = [name for name in dict.fromkeys(needed) if name in self.known and name not in self.targets]
        if not missing:
            return ""
        return (
            f"Table `{used.mobile}` needs the rows of `{missing[0]}`, which does not exist on mobile. Create it "
            "there, or take its spec and the references to it out."
        )

    def _unchecked(self, spec: TableSpec, target: Table) -> Iterator[Unchecked]:
        """Yields the references that cannot be checked on mobile."""
        for reference in spec.references:
            if reference.parent not in self.known:
                continue
            parent = self.targets.get(reference.parent)
            reason = ""
            if target.column(reference.column) is None:
                reason = f"mobile's `{spec.mobile}` has no column {reference.column}"
            elif parent is None:
                # A parent that only the desktop has blocks the table instead.
                if self.is_absent(reference.parent):
                    reason = f"neither database has `{reference.parent}`"
            elif parent.column(reference.names) is None:
                reason = f"mobile's `{reference.parent}` has no column {reference.names}"
            if reason:
                yield Unchecked(reference=reference, reason=reason)

    def _can_follow(self, column: str | None, references: Sequence[Reference]) -> bool:
        """Whether a column has a reference to a table of mobile."""
        return any(one.column == column and one.parent in self.targets for one in references)

    def _can_look_up(self, lookup: Lookup, pair: TablePair) -> bool:
        """Whether both tables of a lookup have its columns; a table that only the desktop has blocks instead."""
        if pair.target.column(lookup.column) is None or not pair.has_on_both([lookup.match]):
            return False
        other = self.targets.get(lookup.table)
        if other is None:
            return not self.is_absent(lookup.table)
        return other.column(lookup.match) is not None and other.column(lookup.answer) is not None

    def _route(self, used: TableSpec, pair: TablePair) -> tuple[str | None, Route]:
        """Returns the column that determines the office of a row, and how."""
        if used.defines_offices:
            return used.office, Route.COLUMN
        if used.office is None or not self._has_organisations():
            return None, Route.UNSCOPED
        if not (pair.missing(used.office) or pair.travels(used.office)):
            # The spec itself excludes the column: the mapping raises an error.
            return used.office, Route.COLUMN
        if pair.travels(used.office):
            references = [one for one in used.references if one.column == used.office]
            onward = [one for one in references if not self.by_name[one.parent].defines_offices]
            if not onward:
                return used.office, Route.COLUMN
            if any(self._leads_to_office(one, used) for one in onward):
                return used.office, Route.REFERENCE
        reachable = [
            (self._distance(one, used), one.order_only, place, one)
            for place, one in enumerate(used.references)
            if pair.travels(one.column) and self._leads_to_office(one, used)
        ]
        if not reachable:
            return None, Route.UNSCOPED
        reference = min(reachable, key=lambda entry: entry[:3])[3]
        direct = self.by_name[reference.parent].defines_offices
        return reference.column, Route.COLUMN if direct else Route.REFERENCE

    def _has_organisations(self) -> bool:
        """Whether one of the databases has the key of the organisations."""
        if self.offices is None:
            return False
        key = self.resolve(self.offices).spec.key[0]
        tables = (self.source(self.offices), self.targets.get(self.offices.mobile))
        return any(table is not None and table.column(key) is not None for table in tables)

    def _leads_to_office(self, reference: Reference, used: TableSpec) -> bool:
        """Whether a reference leads to exactly one row of a table whose rows have an office."""
        if reference.parent == used.mobile or reference.parent not in self.targets:
            return False
        parent = self.resolve(self.by_name[reference.parent])
        if parent.blocked or parent.route is Route.UNSCOPED:
            return False
        if parent.spec.defines_offices:
            return reference.names == parent.spec.key[0]
        # Parents of one value may belong to different offices.
        return self.targets[reference.parent].is_unique([reference.names])

    def _distance(self, reference: Reference, used: TableSpec) -> int:
        """Returns the number of references from the table to one that has the organisation's key."""
        parent = self.resolve(self.by_name[reference.parent])
        if parent.route is not Route.REFERENCE:
            return 1
        onward = next(one for one in parent.spec.references if one.column == parent.spec.office)
        return 1 + self._distance(onward, parent.spec)
