"""Hold the tables and columns of both sides against the specs: what blocks a table, and what stays behind."""

import dataclasses
from collections.abc import Container, Iterator, Mapping, Sequence

from powerca_sync.engine.catalog import Table
from powerca_sync.engine.doctor.findings import BOTH, Finding, listed, warning, wrong
from powerca_sync.engine.mapping import TableMapping, map_table
from powerca_sync.engine.office import Scope
from powerca_sync.errors import SchemaMismatchError
from powerca_sync.tables import OWNER, STAMPS, TableSpec


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """What both catalogs say of the specs' tables."""

    specs: Sequence[TableSpec]
    #: By desktop name; those that exist.
    sources: Mapping[str, Table]
    scope: Scope
    #: By mobile name; those that can be synced.
    mappings: Mapping[str, TableMapping]
    #: By mobile name; why the others cannot.
    mismatches: Mapping[str, str]

    def only(self, readable: Container[str]) -> "Layout":
        """The same without the mappings of other tables than these, whose rows cannot be read."""
        mappings = {name: mapping for name, mapping in self.mappings.items() if name in readable}
        return dataclasses.replace(self, mappings=mappings)

    @property
    def targets(self) -> Mapping[str, Table]:
        """Mobile tables by mobile name; those that exist."""
        return self.scope.tables


def hold_together(specs: Sequence[TableSpec], sources: Mapping[str, Table], scope: Scope) -> Layout:
    """Map each table as a sync does."""
    mappings, mismatches = {}, {}
    for spec in specs:
        try:
            mapping = map_table(spec, sources=sources, scope=scope)
            # The way to the office may lead over tables that are not there.
            mapping.in_office("t")
            mappings[spec.mobile] = mapping
        except SchemaMismatchError as exc:
            mismatches[spec.mobile] = str(exc)
    return Layout(specs=specs, sources=sources, scope=scope, mappings=mappings, mismatches=mismatches)


def examine_presence(side: str, specs: Sequence[TableSpec], tables: Mapping[str, Table]) -> Iterator[Finding]:
    """Whether one side has the specs' tables; `tables` are by its own names."""
    names = [spec.desktop if side == "desktop" else spec.mobile for spec in specs]
    missing = [name for name in names if name not in tables]
    if not missing:
        return
    if len(missing) == len(names):
        where = "`LOCAL_DB_HOST` and `LOCAL_DB_NAME`" if side == "desktop" else "`SUPABASE_DB_HOST`"
        do = f"Check that {where} lead to the right database: none of the tables is there."
    else:
        do = "Create them there, or take their specs out of `powerca_sync/tables.py`."
    is_are = "is no table" if len(missing) == 1 else "are no tables"
    yield wrong(
        side,
        f"There {is_are} {listed(missing)} on the {side}, or the user may not see its schema.",
        why="What is in them is not synced, nor are the tables that speak of them.",
        do=do,
    )


def examine_columns(layout: Layout) -> Iterator[Finding]:
    """What keeps tables from being synced, and which columns do not travel."""
    for spec in layout.specs:
        source, target = layout.sources.get(spec.desktop), layout.targets.get(spec.mobile)
        if source is None or target is None:
            continue
        if spec.mobile in layout.mismatches:
            yield wrong(
                BOTH,
                layout.mismatches[spec.mobile],
                why="The table, and those that speak of it, cannot be synced.",
                do="Do what the message says; columns are asked of the databases anew at every run.",
                table=spec.mobile,
            )
            continue
        yield from _examine_travel(layout.mappings[spec.mobile])
        yield from _examine_names(spec, source, target)


def _examine_travel(mapping: TableMapping) -> Iterator[Finding]:
    spec = mapping.spec
    if mapping.ignored:
        yield warning(
            "mobile",
            f"{spec.mobile}: only the desktop has {listed(mapping.ignored)}.",
            why="What the desktop keeps in such columns does not reach the phones.",
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
            f"{spec.mobile}: {listed(empty)} may not be empty on mobile, and the desktop has no such column.",
            why="Mobile refuses every new row of the desktop.",
            do="Give the column a default on mobile, or let it be empty; or add it on the desktop.",
            table=spec.mobile,
        )
    if not mapping.has_owner and spec.reverse:
        yield warning(
            "mobile",
            f"{spec.mobile} has no column `{OWNER}` on mobile.",
            why="Each row counts as the desktop's: what phones enter is not told apart, and never brought back.",
            do=f"Add the column (`{OWNER} char(1) DEFAULT 'M'`), or set `reverse=False` in the table's spec.",
            table=spec.mobile,
        )


def _examine_names(spec: TableSpec, source: Table, target: Table) -> Iterator[Finding]:
    """Names that a spec gives to protect something, and that fit nothing."""
    for what, names in (("sensitive", spec.sensitive), ("mobile_owned", spec.mobile_owned)):
        unknown = sorted(name for name in names if source.column(name) is None and target.column(name) is None)
        if unknown:
            yield warning(
                BOTH,
                f"{spec.mobile}: the spec calls {listed(unknown)} `{what}`, but neither side has such a column.",
                why="If the column was renamed, the one that is meant is no longer protected.",
                do="Correct the name in `powerca_sync/tables.py`.",
                table=spec.mobile,
            )
