"""Open the context of a command: the desktop's identity, its office, and the specs resolved against both catalogs."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial

from powerca_sync.engine.mapping import (
    Office,
    Resolution,
    ResolvedSpec,
    Route,
    Scope,
    Snapshot,
    cast_organisations,
    needs_all_catalogs,
    read_office,
    read_snapshot,
    resolve,
    tables_needed,
)
from powerca_sync.engine.postgres import (
    CatalogCache,
    Connection,
    Cursor,
    Table,
    Timeouts,
    explained,
    read_tables,
    transaction,
)
from powerca_sync.engine.state import claims, preparation
from powerca_sync.errors import SchemaMismatchError, UnsafeTargetError
from powerca_sync.specs import TableSpec

#: Encloses statements of one database, so that error messages name the database that failed.
Reading = Callable[[], AbstractContextManager[None]]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Catalogs:
    """The tables of both databases, and the specs resolved against them."""

    resolution: Resolution
    #: Existing desktop tables by desktop name.
    sources: Mapping[str, Table]
    #: Existing mobile tables by mobile name.
    targets: Mapping[str, Table]

    @property
    def specs(self) -> tuple[TableSpec, ...]:
        """The resolved specs, in the order of the declared ones."""
        return self.resolution.specs

    def scope(self, office: Office) -> Scope:
        """Returns the conditions that select the office's rows."""
        return Scope(office=office, specs=self.specs, tables=self.targets)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class CatalogCaches:
    """The catalogs of both databases, kept from one table of a run to the next."""

    source: CatalogCache
    target: CatalogCache

    @classmethod
    def build(cls, tables: Iterable[TableSpec], specs: Sequence[TableSpec]) -> "CatalogCaches":
        """Returns empty caches for a run of these tables; the first reading looks up what all of them need."""
        needed = {name for spec in tables for name in tables_needed(spec, specs)}
        wanted = [spec for spec in specs if spec.mobile in needed]
        return cls(
            source=CatalogCache(spec.desktop for spec in wanted), target=CatalogCache(spec.mobile for spec in wanted)
        )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """The desktop's snapshot and office, and its resolved tables."""

    snapshot: Snapshot
    catalogs: Catalogs
    office: Office

    @property
    def specs(self) -> tuple[TableSpec, ...]:
        """The resolved specs, in the order of the declared ones."""
        return self.catalogs.specs

    @property
    def scope(self) -> Scope:
        """The conditions that select the office's rows."""
        return self.catalogs.scope(self.office)

    def require(self, spec: TableSpec) -> TableSpec:
        """Returns the resolved spec of a declared one. Raises a `SyncError` if its table cannot be synced."""
        resolved = self.catalogs.resolution[spec.mobile]
        check_route(resolved, self.office)
        return resolved.require()


def read_context(
    desktop: Cursor,
    mobile: Cursor,
    specs: Sequence[TableSpec],
    *,
    only: TableSpec | None = None,
    check: bool = True,
    at_desktop: Reading = contextlib.nullcontext,
    at_mobile: Reading = contextlib.nullcontext,
) -> Context:
    """Read both catalogs and the office's organisations, and check that no other desktop has claimed them.

    Writes nothing. With `only`, the context is complete for that table alone; `check=False` skips the check.

    Raises:
        UnsafeTargetError: Another desktop has claimed an organisation, or the desktop has none.
    """
    with at_desktop():
        snapshot = read_snapshot(desktop)
    catalogs = read_catalogs(desktop, mobile, specs, only=only, at_desktop=at_desktop, at_mobile=at_mobile)
    with at_desktop():
        office = read_office(desktop, catalogs.specs, snapshot.identity, catalogs.sources)
    with at_mobile():
        office = cast_organisations(mobile, office, catalogs.specs, catalogs.targets)
    if not check:
        return Context(snapshot=snapshot, catalogs=catalogs, office=office)
    claims.check_organisations(office)
    with at_mobile():
        if preparation.has_claims(mobile):
            office = claims.check_registration(
                mobile, office, unscoped=lambda: read_catalogs(desktop, mobile, specs).resolution.unscoped
            )
    return Context(snapshot=snapshot, catalogs=catalogs, office=office)


def open_context(desktop: Connection, mobile: Connection, specs: Sequence[TableSpec], *, check: bool = True) -> Context:
    """Returns `read_context` in a transaction of its own on each database. Raises a `SyncError`."""
    at_desktop = partial(explained, "reading the organisations at the source")
    at_mobile = partial(explained, "looking for the table of organisations at the target")
    with (
        at_desktop(),
        transaction(desktop, timezone="UTC", timeouts=Timeouts(), snapshot=True) as desktop_cursor,
        at_mobile(),
        transaction(mobile, timezone="UTC", timeouts=Timeouts(), snapshot=True) as mobile_cursor,
    ):
        return read_context(
            desktop_cursor, mobile_cursor, specs, check=check, at_desktop=at_desktop, at_mobile=at_mobile
        )


def read_catalogs(
    desktop: Cursor,
    mobile: Cursor,
    specs: Sequence[TableSpec],
    *,
    only: TableSpec | None = None,
    sources: Mapping[str, Table] | None = None,
    targets: Mapping[str, Table] | None = None,
    caches: CatalogCaches | None = None,
    at_desktop: Reading = contextlib.nullcontext,
    at_mobile: Reading = contextlib.nullcontext,
) -> Catalogs:
    """Read the catalogs of both databases and resolve the specs.

    With `only`, reads what that table needs; the resolution of the others may then be wrong. Tables in `sources` are
    not read again; `targets`, if given, has all mobile tables that `only` needs. `caches` are those of the run.
    """
    read_desktop = partial(caches.source.read if caches else read_tables, desktop)
    read_mobile = partial(caches.target.read if caches else read_tables, mobile)
    names = [spec.mobile for spec in specs]
    wanted = names if only is None else list(tables_needed(only, specs))
    with at_desktop():
        desktop_tables = _read(read_desktop, [spec.desktop for spec in specs if spec.mobile in wanted], sources or {})
    if targets is None:
        with at_mobile():
            targets = read_mobile(wanted)
    known = wanted
    if len(wanted) < len(names) and needs_all_catalogs(wanted, specs, sources=desktop_tables, targets=targets):
        with at_desktop():
            desktop_tables = _read(read_desktop, [spec.desktop for spec in specs], sources or {})
        with at_mobile():
            targets = read_mobile(names)
        known = names
    resolution = resolve(specs, sources=desktop_tables, targets=targets, known=known)
    return Catalogs(resolution=resolution, sources=desktop_tables, targets=targets)


def _read(
    read: Callable[[Sequence[str]], dict[str, Table]], names: Sequence[str], known: Mapping[str, Table]
) -> dict[str, Table]:
    return read([name for name in names if name not in known]) | dict(known)


def check_route(resolved: ResolvedSpec, office: Office) -> None:
    """Raises a `SyncError` if the office's rows of the table cannot be told from those of other offices."""
    if resolved.blocked or resolved.absent or not office.claims:
        return
    if office.unlisted and resolved.route is not Route.UNSCOPED:
        raise SchemaMismatchError(
            f"Table `{office.table}`, or its key, does not exist on the desktop ({office.identity}), so that it is "
            f"unknown to which organisations the rows of `{resolved.spec.mobile}` belong. Nothing was read. Check that "
            "the settings name the right database."
        )
    if resolved.route is Route.UNSCOPED and not office.alone:
        raise UnsafeTargetError(
            f"Table `{resolved.spec.mobile}`: no column leads to exactly one organisation, and another desktop is "
            "registered in this mobile database, so that the rows of both could not be told apart. Nothing was read. "
            "Add the office's column (`org_id`) to the table on both databases, or use a mobile database of its own "
            "for each office."
        )
