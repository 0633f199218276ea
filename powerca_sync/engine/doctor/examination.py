"""Examine both databases, theme by theme; a theme without problems becomes one sentence."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import psycopg

from powerca_sync.engine import guards
from powerca_sync.engine.context import Catalogs, Context
from powerca_sync.engine.doctor import (
    altered_rows,
    blocking_locks,
    clocks,
    columns,
    dependents,
    earlier_engine,
    grants,
    organisations,
    owners,
    path,
    rights,
    route,
    sequences,
    server,
    sharing,
    triggers,
    unfit_rows,
)
from powerca_sync.engine.doctor.findings import BOTH, Finding, fine, has_error
from powerca_sync.engine.doctor.office_functions import examine_functions
from powerca_sync.engine.doctor.side import Side, unexamined
from powerca_sync.engine.doctor.themes import Themes
from powerca_sync.engine.mapping import Office, resolve
from powerca_sync.engine.postgres import Table, load, read_tables
from powerca_sync.engine.result import Options
from powerca_sync.errors import SyncError
from powerca_sync.plain_text import counted
from powerca_sync.settings import DesktopFunctions, Limits
from powerca_sync.specs import TableSpec


def examine(
    source: Side,
    target: Side,
    specs: Sequence[TableSpec],
    *,
    timezone: str | None = None,
    encoding: str | None = None,
    limits: Limits | None = None,
    functions: DesktopFunctions | None = None,
    now: Callable[[], float] = time.time,
) -> tuple[Finding, ...]:
    """Returns the findings about both databases, or about the one that can be reached, in the order of the themes.

    `timezone`, `encoding`, `limits` and `functions` are those of the settings; `now` is this machine's clock. Writes
    to temporary tables only. Does not raise because of an answer of a database.
    """
    limited = [guards.with_limits(spec, limits or Limits()) for spec in specs]
    examination = _Examination(source, target, limited, Options(timezone=timezone, encoding=encoding))
    examination.examine_servers(timezone, encoding, now)
    examination.examine_catalogs()
    examination.examine_rights()
    examination.add(examine_functions(source, functions or DesktopFunctions()))
    examination.examine_surroundings()
    examination.examine_earlier_engine()
    if source.is_open and target.is_open:
        examination.examine_contents()
    return tuple(examination.findings)


class _Examination(Themes):
    """The findings so far, and facts that later themes need."""

    def __init__(self, source: Side, target: Side, specs: Sequence[TableSpec], options: Options) -> None:
        super().__init__((source, target))
        self.source = source
        self.target = target
        self.specs = specs
        self.options = options
        self.servers: dict[str, server.Server] = {}
        #: By database; then by the name that the table has there.
        self.tables: dict[str, Mapping[str, Table]] = {}
        self.rights: dict[str, rights.Rights] = {}
        #: By database: names of the tables whose rows can be read.
        self.readable: dict[str, frozenset[str]] = {}
        #: Whether an error of the databases or the office rules out a dry run.
        self.blocked = False
        #: Whether an earlier engine has inserted phone rows on the desktop.
        self.has_earlier_engine = False

    def examine_servers(self, timezone: str | None, encoding: str | None, now: Callable[[], float]) -> None:
        """Examine servers, routes, clocks and time zones."""
        offsets = {}
        for side in self.sides:
            if not side.is_open:
                self.findings.append(route.unreachable(side))
                continue
            found = side.look("the server", server.read_server, needed=True)
            if found is not None:
                self.servers[side.name] = found
                self.add(
                    server.examine_version(side.name, found),
                    server.examine_writable(side.name, found),
                    server.examine_encoding(side.name, found, encoding),
                    route.examine_encryption(side),
                )
                self.findings.append(server.describe(side, found, self._route(side)))
            if (offset := side.look("the clock", lambda cursor: clocks.clock_offset(cursor, now))) is not None:
                offsets[side.name] = offset
            self.add()
        desktop = self.servers.get(self.source.name)
        if desktop is not None:
            self.add_theme(
                fine(BOTH, f"The clocks agree, and the office's time zone ({timezone or desktop.timezone}) is known.")
                if len(offsets) == len(self.sides)
                else None,
                clocks.examine_clocks(offsets),
                clocks.examine_zones(self.source, self.target, desktop.timezone, timezone),
            )
        self.blocked = has_error(self.findings) or len(self.servers) < len(self.sides)

    def examine_catalogs(self) -> None:
        """Examine which tables exist."""
        read = [spec.desktop for spec in self.specs]
        filled = [spec.phone_table for spec in self.specs if spec.reverse and spec.phone_table not in read]
        for side, names in zip(self.sides, (read + filled, [spec.mobile for spec in self.specs]), strict=True):
            if (found := side.look("the tables", partial(read_tables, names=names), needed=True)) is not None:
                self.tables[side.name] = found
            self.add()
        for side, other in (self.sides, self.sides[::-1]):
            if (tables := self.tables.get(side.name)) is not None:
                self.add(columns.examine_presence(side.name, self.specs, tables, self.tables.get(other.name)))

    def examine_rights(self) -> None:
        """Examine the rights of both users."""
        prepared = (
            load("powerca_sync.engine.reverse", "source_state_exists.sql"),
            load("powerca_sync.engine.state", "state_exists.sql"),
        )
        for side, condition in zip(self.sides, prepared, strict=True):
            tables = self.tables.get(side.name)
            if tables is None or side.name not in self.servers:
                continue
            found = side.look(
                "the rights of the user", partial(rights.read_rights, tables=tables.values(), prepared=condition)
            )
            if found is not None:
                self.rights[side.name] = found
            self.add(path.examine_creators(side.name, side.look("the search path", path.read_creators) or ()))
        user = {name: found.user for name, found in self.servers.items()}
        if (found := self.rights.get(self.source.name)) is not None:
            name, tables = self.source.name, self.tables[self.source.name]
            back = [tables[spec.phone_table] for spec in self.specs if spec.reverse and spec.phone_table in tables]
            self.add_theme(
                fine(name, f"User {user[name]} may read the desktop's tables and insert phone rows."),
                grants.examine_visibility(name, user[name], found),
                grants.examine_reading(name, user[name], found, tables.values()),
                grants.examine_bringing_back(name, user[name], found, back, self.source.endpoint.name),
            )
        if (found := self.rights.get(self.target.name)) is not None:
            name, tables = self.target.name, self.tables[self.target.name]
            self.add_theme(
                fine(name, f"User {user[name]} has all rights on mobile that a sync needs."),
                grants.examine_visibility(name, user[name], found),
                grants.examine_writing(name, user[name], found, list(tables.values()), self.target.endpoint.name),
                dependents.examine_rights(self.target, user[name], self.specs, tables),
            )

    def examine_surroundings(self) -> None:
        """Examine locks, triggers, sequences and dependent tables of each database."""
        for side in self.sides:
            tables = self.tables.get(side.name)
            if tables is None or not side.is_open:
                continue
            is_target = side is self.target
            held = side.look(
                "the locks of others", partial(blocking_locks.read_locks, tables=tables.values(), changed=is_target)
            )
            prepared = side.look("prepared transactions", partial(blocking_locks.read_prepared, tables=tables.values()))
            fired = side.look("the triggers", partial(triggers.read_triggers, tables=tables)) or ()
            self.readable[side.name] = rights.readable_tables(
                self.rights.get(side.name), tables, [lock.oid for lock in held or () if lock.keeps_readers_out]
            )
            readable = {name: tables[name] for name in self.readable[side.name]}
            found = self.rights.get(side.name)
            uses = found.sequences if found is not None else ()
            seen = found is not None and len(readable) == len(tables) and all(use.next is not None for use in uses)
            self.add_theme(
                fine(side.name, "No trigger changes rows, no sequence is behind its column, and no table is locked.")
                if seen
                else None,
                blocking_locks.examine_locks(side.name, held or ()),
                blocking_locks.examine_prepared(side.name, prepared or ()),
                sequences.examine_sequences(side, readable, uses),
                triggers.examine_changes(side.name, tables, fired, inserts_only=not is_target),
                triggers.examine_mobile_stamps(side.name, tables, fired)
                if is_target
                else triggers.examine_stamps(side.name, self.specs, tables, fired),
            )
        if (targets := self.tables.get(self.target.name)) is not None:
            acting = self.target.look(
                "the tables that depend on the synced ones", partial(dependents.read_dependents, tables=targets)
            )
            self.add(dependents.examine_dependents(self.target.name, self.specs, targets, acting or ()))

    def examine_earlier_engine(self) -> None:
        """Examine state that an earlier sync engine left."""
        if (left := self.target.look("the guide's state tables", earlier_engine.read_guide_tables)) is not None:
            self.add(earlier_engine.examine_metadata(self.target, left))
        if (left := self.source.look("the guide's state tables", earlier_engine.read_guide_tables)) is not None:
            has_ledger = self.rights[self.source.name].prepared if self.source.name in self.rights else False
            found = list(earlier_engine.examine_earlier_engine(self.source, left, has_ledger=has_ledger))
            self.has_earlier_engine = bool(found)
            self.add(found)
        self.add()

    def examine_contents(self) -> None:
        """Examine organisations, columns, rows that would be quarantined, copies and owners."""
        before = len(self.findings)
        found = organisations.find_office(self.source, self.target, self.specs)
        if found is not None:
            office = found.office if isinstance(found, Context) else found
            self.add(
                organisations.examine_office(self.source, self.target, office),
                organisations.examine_lineage(self.source, self.target, found),
                sharing.examine_shared(self.source, self.target, found),
            )
            self.blocked |= has_error(self.findings[before:])
        sources, targets = self.tables.get(self.source.name), self.tables.get(self.target.name)
        if sources is None or targets is None:
            return
        # If the organisations are not known, all rows are examined.
        known = found.office if isinstance(found, Context) and found.office.orgs else Office(identity="", orgs=None)
        resolution = resolve(self.specs, sources=sources, targets=targets)
        catalogs = Catalogs(resolution=resolution, sources=sources, targets=targets)
        whole = columns.lay_out(self.specs, catalogs, known)
        self.add_theme(
            fine(
                BOTH,
                f"All {counted(len(self.specs), 'table')} exist in both databases, with the columns that a sync needs.",
            )
            if len(whole.mappings) == len(self.specs)
            else None,
            columns.examine_columns(whole),
        )
        self._examine_rows(whole, has_context=isinstance(found, Context))

    def _examine_rows(self, whole: columns.Layout, *, has_context: bool) -> None:
        """Examine which rows of the readable tables would be quarantined, and whose they are."""
        layout = whole.only(
            [
                spec.mobile
                for spec in self.specs
                if spec.desktop in self.readable.get(self.source.name, ())
                and spec.mobile in self.readable.get(self.target.name, ())
            ]
        )
        complete = len(layout.mappings) == len(self.specs)
        # A dry run needs temporary tables on the database that it would write to.
        forward, back = (
            layout if has_context and not self.blocked and self.servers[side.name].writable else layout.only(())
            for side in (self.target, self.source)
        )
        self.add_theme(
            fine(self.source.name, "Each row of the desktop can be loaded on mobile.")
            if complete and forward is layout
            else None,
            unfit_rows.examine_desktop_rows(self.source, self.target, self.specs, forward, self.options),
            unfit_rows.examine_large_objects(self.source, layout),
        )
        self.add_theme(
            fine(self.target.name, "Each row on mobile has an owner, and each phone row fits the desktop.")
            if complete and back is layout
            else None,
            owners.examine_owners(self.target, layout),
            unfit_rows.examine_phone_rows(self.source, self.target, self.specs, back, self.options),
            unfit_rows.examine_large_objects(self.target, layout),
        )
        if self.has_earlier_engine:
            self.add(altered_rows.examine_altered(self.source, self.target, layout))

    def _route(self, side: Side) -> route.Route | None:
        try:
            return route.find_route(side)
        except (psycopg.Error, SyncError) as exc:
            self.findings.append(unexamined(side.name, f"finding the route to the server failed: {exc}"))
            return None
