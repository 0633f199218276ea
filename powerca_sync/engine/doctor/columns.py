"""Compares tables and columns of both databases with the specs: blocked tables, columns that are not synced."""

import dataclasses
from collections.abc import Container, Iterator, Mapping, Sequence

from powerca_sync.engine.context import Catalogs, check_route
from powerca_sync.engine.doctor.findings import BOTH, Finding, fine, listed, warning, wrong
from powerca_sync.engine.mapping import Office, ResolvedSpec, Scope, TableMapping, map_table
from powerca_sync.engine.postgres import Table
from powerca_sync.errors import SyncError
from powerca_sync.specs import OWNER, STAMPS, TableSpec


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """The specs resolved against both catalogs."""

    specs: Sequence[TableSpec]
    resolved: Sequence[ResolvedSpec]
    #: Existing tables by desktop name.
    sources: Mapping[str, Table]
    scope: Scope
    #: By mobile name; of tables that can be synced.
    mappings: Mapping[str, TableMapping]
    #: By mobile name; why the other tables cannot be synced.
    mismatches: Mapping[str, str]

    def only(self, readable: Container[str]) -> "Layout":
        """Returns the layout with the mappings of these tables only."""
        mappings = {name: mapping for name, mapping in self.mappings.items() if name in readable}
        return dataclasses.replace(self, mappings=mappings)

    @property
    def targets(self) -> Mapping[str, Table]:
        """Existing mobile tables by mobile name."""
        return self.scope.tables


def lay_out(specs: Sequence[TableSpec], catalogs: Catalogs, office: Office) -> Layout:
    """Returns each table mapped as a sync does; `specs` are declared specs of the catalogs."""
    mappings, mismatches = {}, {}
    scope = catalogs.scope(office)
    resolved = [catalogs.resolution[spec.mobile] for spec in specs]
    for one in resolved:
        try:
            check_route(one, office)
            if one.absent:
                continue
            mapping = map_table(one.require(), sources=catalogs.sources, scope=scope)
            mapping.in_office("t")
            mappings[one.spec.mobile] = mapping
        except SyncError as exc:
            mismatches[one.spec.mobile] = str(exc)
    return Layout(
        specs=[one.spec for one in resolved],
        resolved=resolved,
        sources=catalogs.sources,
        scope=scope,
        mappings=mappings,
        mismatches=mismatches,
    )


def examine_presence(
    side: str, specs: Sequence[TableSpec], tables: Mapping[str, Table], others: Mapping[str, Table] | None
) -> Iterator[Finding]:
    """Yields a finding for tables that one database lacks; `tables` are by its own names, `others` by the other's.

    A table that neither database has is no problem. None for `others`: they are not known.
    """
    names = {spec.desktop if side == "desktop" else spec.mobile: spec for spec in specs}
    missing = [name for name in names if name not in tables]
    if len(missing) < len(names) and others is not None:
        theirs = {name: spec.mobile if side == "desktop" else spec.desktop for name, spec in names.items()}
        missing = [name for name in missing if theirs[name] in others]
    if not missing:
        return
    if len(missing) == len(names):
        where = "`LOCAL_DB_HOST` and `LOCAL_DB_NAME`" if side == "desktop" else "`SUPABASE_DB_HOST`"
        do = f"Check that {where} name the right database: it has none of the tables."
    else:
        do = "Create them there, or remove their specs from `powerca_sync/tables.py`."
    is_are = "is no table" if len(missing) == 1 else "are no tables"
    yield wrong(
        side,
        f"There {is_are} {listed(missing)} on the {side}, or the user may not see its schema.",
        why="Their rows are not synced, nor are the tables that need them.",
        do=do,
    )


def examine_columns(layout: Layout) -> Iterator[Finding]:
    """Yields findings about tables that cannot be synced and columns that are not synced."""
    for resolved in layout.resolved:
        yield from _examine_resolution(resolved)
    for resolved in layout.resolved:
        spec = resolved.spec
        if resolved.lacks_parent:
            # Reported for the missing table.
            continue
        source, target = layout.sources.get(spec.desktop), layout.targets.get(spec.mobile)
        if source is None or target is None:
            continue
        if spec.mobile in layout.mismatches:
            yield wrong(
                BOTH,
                layout.mismatches[spec.mobile],
                why="The table, and those that need it, cannot be synced.",
                do="Follow the message; columns are read from the databases in every run.",
                table=spec.mobile,
            )
            continue
        yield from _examine_travel(layout.mappings[spec.mobile])


def _examine_travel(mapping: TableMapping) -> Iterator[Finding]:
    spec = mapping.spec
    if mapping.ignored:
        yield warning(
            "mobile",
            f"{spec.mobile}: only the desktop has {listed(mapping.ignored)}.",
            why="The values of these columns do not reach the phones.",
            do="Add the column on mobile under the same name, or put it into `skip` of the table's spec.",
            table=spec.mobile,
        )
    filled = {column.name for column in mapping.staged} | {OWNER, *STAMPS, *spec.constants}
    empty = [
        column.name
        for column in mapping.target.columns
        if not (column.nullable or column.has_default or column.generated or column.name in filled)
    ]
    if empty:
        yield wrong(
            "mobile",
            f"{spec.mobile}: {listed(empty)} may not be NULL on mobile, and the desktop has no such column.",
            why="Mobile refuses every new row of the desktop.",
            do="Give the column a default on mobile or allow NULL, or add it on the desktop.",
            table=spec.mobile,
        )
    if not mapping.has_owner and spec.reverse:
        yield warning(
            "mobile",
            f"{spec.mobile} has no column `{OWNER}` on mobile.",
            why="Each row counts as the desktop's: phone rows are not recognised and never reverse-synced.",
            do=f"Add the column (`{OWNER} char(1) DEFAULT 'M'`), or set `reverse=False` in the table's spec.",
            table=spec.mobile,
        )


def _examine_resolution(resolved: ResolvedSpec) -> Iterator[Finding]:
    """Yields findings about a spec that was resolved differently from its declaration."""
    table = resolved.spec.mobile
    protecting = [one for one in resolved.left_out if one.nearest and {"sensitive", "mobile_owned"} & set(one.roles)]
    if protecting:
        yield warning(
            BOTH,
            f"{table}: the spec protects {listed(one.column for one in protecting)} (`sensitive` or `mobile_owned`), "
            f"but neither database has such a column; similar: {listed(one.nearest for one in protecting)}.",
            why="If the column was renamed, it is no longer protected.",
            do="Correct the name in `powerca_sync/tables.py`.",
            table=table,
        )
    lost = [one.column for one in resolved.left_out if len(one.missing) == 1 and one.roles != ("order",)]
    if lost and not resolved.blocked:
        yield warning(
            BOTH,
            f"{table}: the spec names {listed(lost)}, which only one database has.",
            why="The column is not synced.",
            do="Add the column to the other database, or remove it from the table's spec.",
            table=table,
        )
    if resolved.notes:
        yield fine(BOTH, f"{table}: {'; '.join(resolved.notes)}.", table=table)
