"""Find columns with the numbers of large objects, whose content is stored elsewhere and is not synced."""

from powerca_sync.engine.mapping import TableMapping
from powerca_sync.engine.postgres import Cursor, execute_batch
from powerca_sync.engine.staging.large_objects_sql import has_large_object


def find_large_objects(cursor: Cursor, mapping: TableMapping, *, at_target: bool = False) -> tuple[str, ...]:
    """Returns the synced columns with numbers of large objects of the source, or of the target.

    Reads the table only if it has a column of type `oid` (or `lo`).
    """
    table = mapping.target if at_target else mapping.source
    names = [column.name for column in mapping.synced if table.required(column.name).base == "oid"]
    if not names:
        return ()
    found = execute_batch(cursor, *((has_large_object(table, name), None) for name in names))
    return tuple(name for name, [(holds,)] in zip(names, found, strict=True) if holds)


def large_object_warning(names: tuple[str, ...]) -> str:
    """Returns the warning about these columns."""
    columns = ", ".join(f"`{name}`" for name in names)
    return (
        f"{columns}: the numbers of large objects are synced, their content is not; keep documents in a column of type "
        "bytea, or put the column into `skip` of the table's spec"
    )
