"""Rows of other tables that are deleted, or lose their reference, with a row that a sync deletes."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from psycopg import sql

from powerca_sync.engine.doctor.findings import Finding, fine, listed, warning, wrong
from powerca_sync.engine.doctor.rights import READ, TableRights, grants
from powerca_sync.engine.doctor.side import Side, read_as
from powerca_sync.engine.postgres import Cursor, Table, load, read_tables
from powerca_sync.specs import Deletes, Strategy, TableSpec


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Dependent:
    """A foreign key from a table that is not synced."""

    #: Oid of the synced table.
    parent: int
    schema: str
    name: str
    #: ON DELETE action: CASCADE, SET NULL or SET DEFAULT.
    action: str


def read_dependents(cursor: Cursor, tables: Mapping[str, Table]) -> list[Dependent]:
    """Returns the foreign keys of other tables onto these that act on DELETE."""
    oids = [table.oid for table in tables.values()]
    return read_as(Dependent, cursor, load(__package__, "dependents.sql"), {"tables": oids})


def deletes_rows(spec: TableSpec) -> bool:
    """Whether a sync ever deletes rows of the table."""
    return spec.strategy is Strategy.DELETE_INSERT or spec.deletes is Deletes.PROPAGATE


def examine_dependents(
    side: str, specs: Sequence[TableSpec], tables: Mapping[str, Table], dependents: Sequence[Dependent]
) -> Iterator[Finding]:
    """Yields a finding for each table on which others depend."""
    for spec in specs:
        table = tables.get(spec.mobile)
        hanging = [dependent for dependent in dependents if table is not None and dependent.parent == table.oid]
        if not hanging:
            continue
        names = listed(dict.fromkeys(dependent.name for dependent in hanging))
        actions = listed(dict.fromkeys(dependent.action for dependent in hanging))
        if deletes_rows(spec):
            yield warning(
                side,
                f"{spec.mobile}: rows of {names} depend on its rows (ON DELETE {actions}).",
                why="The sync keeps a row on which others depend, even if the desktop has deleted it.",
                do="Nothing, if such rows may stay. Otherwise delete the dependent rows on mobile by hand.",
                table=spec.mobile,
            )
        else:
            yield fine(
                side,
                f"{spec.mobile}: rows of {names} depend on its rows; the sync never deletes one.",
                table=spec.mobile,
            )


def examine_rights(side: Side, user: str, specs: Sequence[TableSpec], tables: Mapping[str, Table]) -> Iterator[Finding]:
    """Yields a finding if the user may not read dependent tables, which a sync reads before it deletes a row."""
    deletable = [tables[spec.mobile] for spec in specs if spec.mobile in tables and deletes_rows(spec)]
    asked = {f"{key.child[0]}.{key.child[1]}" for table in deletable for key in table.referenced_by}
    asked -= {f"{table.schema}.{table.name}" for table in tables.values()}

    def read(cursor: Cursor) -> list[sql.Composed]:
        children = read_tables(cursor, sorted(asked))
        oids = [table.oid for table in children.values()]
        rights = read_as(TableRights, cursor, load(__package__, "table_rights.sql"), {"tables": oids})
        return grants(user, [(table, READ) for table in rights])

    missing = side.look("the rights on dependent tables", read) if asked else None
    if missing:
        yield wrong(
            side.name,
            f"User {user} may not read {listed(sorted(asked))}, whose rows depend on rows that a sync may delete.",
            why="A sync reads them before it deletes a row, and fails.",
            do=f"As the tables' owner or an administrator of the {side.name} database:",
            statements=missing,
        )
