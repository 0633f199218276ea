"""Resolve declared specs against the catalogs of both databases.

Databases differ from office to office. A spec declares intent: what does not exist is left out, and the table is synced
with what is there. This module is the only place where that is decided. It is pure: catalogs in, resolved specs out.
"""

import dataclasses
import difflib
import enum
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from typing_extensions import override

from powerca_sync.engine.postgres import Column, Table
from powerca_sync.errors import SchemaMismatchError
from powerca_sync.tables import OWNER, Expression, Lookup, Reference, Strategy, TableSpec, spec_named

#: From this similarity on, a column that exists is suggested for one that does not.
_SIMILAR = 0.75


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


def resolve(
    specs: Sequence[TableSpec],
    *,
    sources: Mapping[str, Table] | None,
    targets: Mapping[str, Table],
    known: Collection[str] | None = None,
) -> Resolution:
    """Resolve each spec of a set against both catalogs.

    `sources` has the desktop's tables by desktop name, `targets` the mobile tables by mobile name: those that exist.
    Without `sources` (the desktop does not answer) the desktop is taken to have what mobile has. `known` are the mobile
    names of the tables that were looked for, if these were not all: only what those need is resolved then. Never raises
    for what does not exist: a table that cannot be synced is returned as blocked, with the reason.
    """
    resolver = _Resolver(specs, sources, targets, known)
    return Resolution(tables={spec.mobile: resolver.resolve(spec) for spec in specs})


def tables_needed(spec: TableSpec, specs: Sequence[TableSpec]) -> tuple[str, ...]:
    """Mobile names of the tables whose catalogs resolving and syncing `spec` takes, itself first.

    Enough where the office of each is known by its declared column; otherwise `needs_all_catalogs`.
    """
    by_name = {one.mobile: one for one in specs}
    direct = [one.parent for one in spec.references if not one.order_only or one.column == spec.made_by]
    direct += [one.table for one in spec.lookups]
    found = dict.fromkeys(one.mobile for one in specs if one.defines_offices)
    waiting = [spec.mobile, *direct]
    while waiting:
        name = waiting.pop()
        if name in by_name and (name not in found or by_name[name].defines_offices):
            found[name] = None
            waiting += [one.parent for one in by_name[name].references if one.column == by_name[name].office]
    return (spec.mobile, *(name for name in found if name != spec.mobile))


def needs_all_catalogs(
    names: Iterable[str], specs: Sequence[TableSpec], *, sources: Mapping[str, Table], targets: Mapping[str, Table]
) -> bool:
    """Whether resolving the tables of these mobile names takes the catalogs of other tables than these.

    So it is if the office of one of them is not known by its declared column: any chain of references may lead there.
    """
    for name in names:
        spec = spec_named(specs, name)
        source, target = sources.get(spec.desktop), targets.get(name)
        if source is None or target is None or spec.defines_offices or spec.office is None:
            continue
        if _Pair(spec, source, target).missing(spec.office):
            return True
        parents = [(targets.get(one.parent), one.names) for one in spec.references if one.column == spec.office]
        if any(parent is None or not parent.is_unique([column]) for parent, column in parents):
            return True
    return False


@dataclasses.dataclass(frozen=True)
class _Pair:
    """One table of both databases; the target stands in for a source that is not known."""

    spec: TableSpec
    source: Table
    target: Table

    def travels(self, name: str) -> bool:
        """Whether the desktop's value of a column is written to mobile."""
        column = self.target.column(name)
        if column is None or self.source.column(name) is None:
            return False
        filled_otherwise = {OWNER, *self.spec.skip, *self.spec.constants}
        return not (column.generated or column.identity == "a" or name in filled_otherwise)

    def missing(self, name: str) -> tuple[str, ...]:
        """The databases that lack a column."""
        sides = (("the desktop", self.source), ("mobile", self.target))
        return tuple(side for side, table in sides if table.column(name) is None)

    def has_on_both(self, names: Iterable[str]) -> bool:
        """Whether both databases have all of these columns."""
        return not any(self.missing(name) for name in names)


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
        self.offices = next((spec for spec in specs if spec.defines_offices), None)

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
        pair = _Pair(spec, source, target)
        unchecked = tuple(self._unchecked(spec, target))
        references = tuple(one for one in spec.references if one not in {entry.reference for entry in unchecked})
        looked_up = {one.column for one in spec.lookups}
        desktop_lacks = (
            Unchecked(reference=one, reason=f"the desktop's `{spec.desktop}` has no column {one.column}")
            for one in references
            if source.column(one.column) is None and one.column not in looked_up
        )
        key, key_origin, blocked = _resolve_key(pair)
        lookups = tuple(one for one in spec.lookups if self._can_look_up(one, pair))
        used = dataclasses.replace(
            spec,
            key=key or spec.key if spec.strategy is Strategy.UPSERT else key,
            references=references,
            lookups=lookups,
            expressions=tuple(one for one in spec.expressions if _is_needed(one, pair)),
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
            left_out=_left_out(pair, used),
            unchecked=tuple(one for one in (*unchecked, *desktop_lacks) if not one.reference.order_only),
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
        """Why rows that this table needs cannot be read; empty if they can."""
        needed = [one.parent for one in used.references if not one.order_only] + [one.table for one in used.lookups]
        missing = [name for name in dict.fromkeys(needed) if name in self.known and name not in self.targets]
        if not missing:
            return ""
        return (
            f"Table `{used.mobile}` needs the rows of `{missing[0]}`, which does not exist on mobile. Create it "
            "there, or take its spec and the references to it out."
        )

    def _unchecked(self, spec: TableSpec, target: Table) -> Iterator[Unchecked]:
        """The references that cannot be followed on mobile."""
        for reference in spec.references:
            if reference.parent not in self.known:
                continue
            parent = self.targets.get(reference.parent)
            reason = ""
            if target.column(reference.column) is None:
                reason = f"mobile's `{spec.mobile}` has no column {reference.column}"
            elif parent is None:
                # A parent that only the desktop has is missing, and blocks what needs its rows.
                if self.is_absent(reference.parent):
                    reason = f"neither database has `{reference.parent}`"
            elif parent.column(reference.names) is None:
                reason = f"mobile's `{reference.parent}` has no column {reference.names}"
            if reason:
                yield Unchecked(reference=reference, reason=reason)

    def _can_follow(self, column: str | None, references: Sequence[Reference]) -> bool:
        """Whether mobile has the rows that a column names."""
        return any(one.column == column and one.parent in self.targets for one in references)

    def _can_look_up(self, lookup: Lookup, pair: _Pair) -> bool:
        """Whether both ends of a lookup exist; a table that only the desktop has blocks instead."""
        if pair.target.column(lookup.column) is None or not pair.has_on_both([lookup.match]):
            return False
        other = self.targets.get(lookup.table)
        if other is None:
            return not self.is_absent(lookup.table)
        return other.column(lookup.match) is not None and other.column(lookup.answer) is not None

    def _route(self, used: TableSpec, pair: _Pair) -> tuple[str | None, Route]:
        """The column by which the office of a row is known, and how."""
        if used.defines_offices:
            return used.office, Route.COLUMN
        if used.office is None or not self._has_organisations():
            return None, Route.UNSCOPED
        if not (pair.missing(used.office) or pair.travels(used.office)):
            # The spec itself keeps it from travelling: a mistake, which the mapping names.
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
        """Whether either database has the key of the organisations."""
        if self.offices is None:
            return False
        key = self.resolve(self.offices).spec.key[0]
        tables = (self.source(self.offices), self.targets.get(self.offices.mobile))
        return any(table is not None and table.column(key) is not None for table in tables)

    def _leads_to_office(self, reference: Reference, used: TableSpec) -> bool:
        """Whether a reference names one row of a table that knows its office."""
        if reference.parent == used.mobile or reference.parent not in self.targets:
            return False
        parent = self.resolve(self.by_name[reference.parent])
        if parent.blocked or parent.route is Route.UNSCOPED:
            return False
        if parent.spec.defines_offices:
            return reference.names == parent.spec.key[0]
        # Several parents of one value may be rows of several offices.
        return self.targets[reference.parent].is_unique([reference.names])

    def _distance(self, reference: Reference, used: TableSpec) -> int:
        """How many references lie between the table and one that holds the organisation itself."""
        parent = self.resolve(self.by_name[reference.parent])
        if parent.route is not Route.REFERENCE:
            return 1
        onward = next(one for one in parent.spec.references if one.column == parent.spec.office)
        return 1 + self._distance(onward, parent.spec)


def _resolve_key(pair: _Pair) -> tuple[tuple[str, ...], str, str]:
    """The key to use, where it comes from if it is not the declared one, and why there is none."""
    spec, target = pair.spec, pair.target
    if spec.strategy is Strategy.DELETE_INSERT:
        key = tuple(name for name in spec.key if not pair.missing(name))
        if key == spec.key:
            return key, "", ""
        return key, "the declared columns that both databases have" if key else "rows are paired by content alone", ""
    if pair.has_on_both(spec.key):
        return spec.key, "", ""
    if target.primary_key and all(pair.travels(name) for name in target.primary_key):
        return target.primary_key, "mobile's primary key", ""
    candidates = [
        unique.columns
        for unique in target.unique_keys
        if unique.columns != target.primary_key and not any(target.required(name).nullable for name in unique.columns)
    ]
    usable = [columns for columns in candidates if all(pair.travels(name) for name in columns)]
    if len(usable) == 1:
        return usable[0], "mobile's unique key", ""
    return (), "", _no_key(pair, candidates, usable)


def _no_key(pair: _Pair, candidates: Sequence[Sequence[str]], usable: Sequence[Sequence[str]]) -> str:
    spec = pair.spec
    lacking = "; ".join(
        f"{' and '.join(sides)} {'lack' if len(sides) > 1 else 'lacks'} `{name}`{_similar(name, pair)}"
        for name in spec.key
        if (sides := pair.missing(name))
    )
    known = [pair.target.primary_key, *candidates] if pair.target.primary_key else candidates
    found = ", ".join(f"({', '.join(columns)})" for columns in known) or "none"
    reason = "several unique keys of mobile would do" if usable else "the desktop lacks columns of each"
    if not known:
        reason = "mobile has none whose columns are NOT NULL"
    return (
        f"Table `{spec.mobile}` has no key that both databases have: the spec names {', '.join(spec.key)} ({lacking}). "
        f"Keys on mobile: {found}; {reason}. Set `key` in the table's spec to columns that both databases have."
    )


def _similar(name: str, pair: _Pair) -> str:
    nearest = _nearest(name, pair, mentioned={name})
    return f" but has `{nearest}`" if nearest else ""


def _nearest(name: str, pair: _Pair, *, mentioned: Collection[str]) -> str:
    """An existing column of a similar name, in whatever case, that is not among the `mentioned` ones."""
    names = {column.name for table in (pair.source, pair.target) for column in table.columns}
    by_case = {existing.casefold(): existing for existing in sorted(names.difference(mentioned))}
    found = difflib.get_close_matches(name.casefold(), by_case, n=1, cutoff=_SIMILAR)
    return by_case[found[0]] if found else ""


_QUOTED = re.compile('"([^"]+)"')


def _is_needed(expression: Expression, pair: _Pair) -> bool:
    """Whether a column travels with different types, and the desktop has what the expression reads."""
    source, target = pair.source.column(expression.column), pair.target.column(expression.column)
    if source is None or target is None or source.type == target.type:
        return False
    return not unreadable_columns(expression.forward, pair.source)


def unreadable_columns(expression: str, table: Table) -> tuple[str, ...]:
    """The quoted columns that an expression reads and the table lacks."""
    return tuple(name for name in _QUOTED.findall(expression) if table.column(name) is None)


def columns_read(expression: str, table: Table) -> tuple[Column, ...]:
    """Returns the table's columns that an expression reads, quoted."""
    return tuple(column for column in table.columns if column.name in _QUOTED.findall(expression))


def _left_out(pair: _Pair, used: TableSpec) -> tuple[LeftOut, ...]:
    """The columns that the declared spec names and the used one does not."""
    spec = pair.spec
    named: dict[str, list[str]] = {}

    def add(role: str, names: Iterable[str]) -> None:
        for name in names:
            if pair.missing(name):
                named.setdefault(name, []).append(role)

    add("key", (name for name in spec.key if name not in used.key))
    looked_up = {one.column for one in used.lookups}
    for reference in spec.references:
        if reference.column not in looked_up:
            add("order" if reference.order_only else "references", [reference.column])
    add("lookups", (name for one in spec.lookups if one not in used.lookups for name in (one.column, one.match)))
    add("expressions", (one.column for one in spec.expressions if one not in used.expressions))
    add("constants", (name for name in spec.constants if name not in used.constants))
    add("mobile_owned", (name for name in spec.mobile_owned if name not in used.mobile_owned))
    add("sensitive", (name for name in spec.sensitive if name not in used.sensitive))
    if not spec.defines_offices and spec.office is not None:
        add("office", [spec.office])
    if spec.made_by is not None and used.made_by is None:
        add("made_by", [spec.made_by])
    mentioned = {*named, *spec.key, *spec.skip, *(one.column for one in spec.references)}
    return tuple(
        LeftOut(
            column=name,
            roles=tuple(dict.fromkeys(roles)),
            missing=pair.missing(name),
            nearest=_nearest(name, pair, mentioned=mentioned),
        )
        for name, roles in named.items()
    )
