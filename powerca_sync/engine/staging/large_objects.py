"""Columns that hold numbers of large objects, whose content lies elsewhere and does not travel."""

from powerca_sync.engine.mapping import TableMapping
from powerca_sync.engine.postgres import Cursor, execute_batch
from powerca_sync.engine.staging.large_objects_sql import has_large_object


def find_large_objects(cursor: Cursor, mapping: TableMapping, *, at_target: bool = False) -> tuple[str, ...]:
    """Returns the synced columns whose rows refer to large objects of the source, or of the target.

    Reads only tables with a column of type `oid` (or `lo`).
    """
    table = mapping.target if at_target else mapping.source
    names = [column.name for column in mapping.synced if table.required(column.name).base == "oid"]
    if not names:
        return ()
    found = execute_batch(cursor, *((has_large_object(table, name), None) for name in names))
    return tuple(name for name, [(holds,)] in zip(names, found, strict=True) if holds)


def sentence(names: tuple[str, ...]) -> str:
    """Returns the warning about these columns."""
    columns = ", ".join(f"`{name}`" for name in names)
    return (
        f"{columns}: the numbers of large objects travel, their content does not; keep documents in a column of type "
        "bytea, or put the column into `skip` of the table's spec"
    )
