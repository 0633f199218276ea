"""Foreign keys of mobile to tables that are not synced, by which a row may reference another office's row."""

from collections.abc import Iterator

from powerca_sync.engine.context import Context
from powerca_sync.engine.doctor.findings import Finding, listed, warning
from powerca_sync.engine.doctor.side import Side
from powerca_sync.engine.mapping import defining_offices, spec_of_table
from powerca_sync.engine.postgres import Table, read_tables
from powerca_sync.specs import TableSpec


def examine_foreign_keys(target: Side, context: Context) -> Iterator[Finding]:
    """Yields the foreign keys to tables that are not synced and have a column of the organisation.

    Other tables that are not synced are lists for all offices, and those that are synced are checked by the run.
    """
    organisations = defining_offices(context.specs)
    if context.office.alone or organisations is None:
        return
    keys = [key for spec in context.specs for key in _untold(spec, context)]
    names = sorted({parent for _, parent in keys})
    parents = target.look("the parents of foreign keys", lambda cursor: read_tables(cursor, names)) if names else None
    column = organisations.key[0]
    found = [f"{child} to {parent}" for child, parent in keys if _has(parents or {}, parent, column)]
    if found:
        yield warning(
            target.name,
            f"Foreign keys to tables with the column {column} that are not synced: {listed(found)}.",
            why="It is not checked that the row that a row references is of the same office.",
            do=f"Put {column} into the foreign key, so that the database checks it: `FOREIGN KEY ({column}, ...)`.",
        )


def _untold(spec: TableSpec, context: Context) -> Iterator[tuple[str, str]]:
    """Yields column and parent of each foreign key that the table's sync fills, without the office in it."""
    table, desktop = context.catalogs.targets.get(spec.mobile), context.catalogs.sources.get(spec.desktop)
    if table is None or desktop is None:
        return
    for key in table.references:
        is_filled = all(desktop.column(name) for name in key.columns)
        parent = spec_of_table(key.parent, context.specs, context.catalogs.targets)
        if is_filled and parent is None and spec.office not in key.columns:
            yield f"{spec.mobile}.{', '.join(key.columns)}", ".".join(key.parent)


def _has(parents: dict[str, Table], name: str, column: str) -> bool:
    return name in parents and parents[name].column(column) is not None
