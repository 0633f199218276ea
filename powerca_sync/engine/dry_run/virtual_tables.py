"""Tables as they would be after the planned run, for the dry runs of later tables."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from psycopg import sql

from powerca_sync.engine.dry_run import preview_sql
from powerca_sync.engine.forward import inserted_values
from powerca_sync.engine.mapping import TableMapping, office_reference, spec_of_table
from powerca_sync.engine.postgres import Cursor, Table
from powerca_sync.engine.result import ForwardResult
from powerca_sync.engine.staging import WORTH_ANALYZING
from powerca_sync.engine.state import TableState
from powerca_sync.errors import SchemaMismatchError
from powerca_sync.specs import OWNER, TableSpec, spec_named

#: A table as (schema, name).
Name = tuple[str, str]


class PlannedTables:
    """The tables planned so far in one transaction."""

    def __init__(
        self, target: Cursor, *, wanted: Iterable[TableSpec], specs: Sequence[TableSpec], tables: Mapping[str, Table]
    ) -> None:
        """`wanted` are those that are or will be planned, `tables` the target's tables by mobile name."""
        self._target = target
        self._reads = {spec.mobile: columns_read(spec, specs, tables) for spec in wanted if spec.mobile in tables}
        #: Where the rows are of tables that would not stay as they are.
        self.rows: dict[Name, sql.Identifier] = {}
        #: Queries for the rows that the planned tables would quarantine, by mobile name.
        self.quarantined: dict[str, sql.Composable] = {}
        #: Columns of them whose values only writing makes.
        self._unknown: dict[Name, frozenset[str]] = {}
        #: Whether a run would write any row, by mobile name.
        self._written: dict[str, bool] = {}

    def check_foreseeable(self, spec: TableSpec) -> None:
        """Raises `SchemaMismatchError` if the table depends on values that only writing its parents makes."""
        for (schema, name), columns in self._reads.get(spec.mobile, {}).items():
            for column in sorted(columns & self._unknown.get((schema, name), frozenset())):
                raise SchemaMismatchError(
                    f"Table `{spec.mobile}` cannot be planned together with `{name}`: it depends on the column "
                    f"`{schema}.{name}.{column}`, which the target makes itself when a row is written. Run that table "
                    "first, then plan this one."
                )

    def as_remembered_then(self, before: TableState, lookups: Iterable[str]) -> TableState:
        """Returns the state that the run of a table will find, after the runs of its lookup tables."""
        versions = dict(before.versions)
        for name in lookups:
            if name in self._written:
                versions[name] = versions[name] + self._written[name] if name in versions else 1
        return dataclasses.replace(before, versions=versions)

    def remember(self, mapping: TableMapping, foreseen: ForwardResult) -> None:
        """Have later tables see this one as its plan, which is in the table of actions, leaves it."""
        place, name = len(self._written), (mapping.target.schema, mapping.target.name)
        self._written[mapping.table] = foreseen.written > 0
        if foreseen.rejections:
            self._target.execute(preview_sql.create_quarantined(place))
        self.quarantined[mapping.table] = preview_sql.quarantined(place if foreseen.rejections else None)
        wanted = set().union(*(reads.get(name, ()) for reads in self._reads.values()))
        columns = [column for column in mapping.target.columns if column.name in wanted]
        if not (foreseen.written and columns):
            return
        self._target.execute(preview_sql.create_planned(mapping, place, [column.name for column in columns]))
        self.rows[name] = preview_sql.planned(place)
        if self._target.rowcount >= WORTH_ANALYZING:
            self._target.execute(sql.SQL("ANALYZE {}").format(self.rows[name]))
        filled = inserted_values(mapping)
        self._unknown[name] = frozenset(
            column.name
            for column in columns
            if column.generated or (foreseen.inserted and column.has_default and column.name not in filled)
        )


def columns_read(
    spec: TableSpec, specs: Sequence[TableSpec], tables: Mapping[str, Table]
) -> Mapping[Name, frozenset[str]]:
    """The columns of other tables by which it is decided what becomes of the rows of `spec`."""
    found: dict[Name, set[str]] = defaultdict(set)

    def add(mobile: str, *columns: str) -> None:
        if mobile in tables:
            found[tables[mobile].schema, tables[mobile].name].update(columns)

    def add_way_to_office(of: TableSpec) -> None:
        upward = office_reference(of, specs)
        if upward is None:
            add(of.mobile, *(of.key[:1] if of.defines_offices else [of.office] if of.office else []))
        else:
            add(of.mobile, upward.column)
            add(upward.parent, upward.names)
            add_way_to_office(spec_named(specs, upward.parent))

    add_way_to_office(spec)
    for reference in spec.references:
        if not reference.order_only:
            add(reference.parent, reference.names)
            add_way_to_office(spec_named(specs, reference.parent))
    for lookup in spec.lookups:
        add(lookup.table, lookup.match, lookup.answer, OWNER)
        add_way_to_office(spec_named(specs, lookup.table))
    own = tables[spec.mobile]
    for key in own.references:
        found[key.parent].update(key.parent_columns)
        if parent := spec_of_table(key.parent, specs, tables):
            add_way_to_office(parent)
    for key in own.referenced_by:
        found[key.child].update(key.columns)
    found.pop((own.schema, own.name), None)
    return {name: frozenset(columns) for name, columns in found.items()}
