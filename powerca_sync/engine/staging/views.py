"""Read a view of the desktop with the desktop's own settings, on which the result of its code depends."""

import dataclasses

import psycopg

from powerca_sync.engine.mapping import TableMapping, columns_read
from powerca_sync.engine.postgres import VIEW, Cursor, error_text, execute_with_database_settings
from powerca_sync.engine.staging.extract_sql import VIEW_COPY, copy_view
from powerca_sync.plain_text import one_line_logger
from powerca_sync.specs import OWNER, STAMPS

logger = one_line_logger(__name__)

#: No right to create temporary tables or to read a column; a standby; a pseudo-type, which no table can have.
_NOT_COPIED = (
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.InvalidTableDefinition,
)


def prepare_source(cursor: Cursor, mapping: TableMapping) -> TableMapping:
    """Copy a view into a temporary table, then make the source's transaction READ ONLY.

    Returns the mapping with the table to read. The transaction was opened as `stable`. A view that cannot be copied is
    read with the sync's own settings and search path, and a warning is logged.
    """
    if mapping.source.kind == VIEW:
        mapping = _copied(cursor, mapping)
    cursor.execute("SET TRANSACTION READ ONLY")
    return mapping


def _copied(cursor: Cursor, mapping: TableMapping) -> TableMapping:
    source = mapping.source
    names = {*(column.name for column in mapping.synced), *mapping.key_names, OWNER, *STAMPS}
    names.update(lookup.match for lookup in mapping.lookups)
    for computed in mapping.computed:
        names.update(column.name for column in columns_read(computed.source_expression.as_string(), source))
    read = dataclasses.replace(source, columns=tuple(column for column in source.columns if column.name in names))
    try:
        with cursor.connection.transaction():
            execute_with_database_settings(cursor, copy_view(read))
    except _NOT_COPIED as exc:
        logger.warning(
            "[WARN] View `%s` is read with the settings of the sync, because it could not be copied: %s. Grant "
            "TEMPORARY on the database to the user of the sync.",
            source.name,
            error_text(exc),
        )
        return mapping
    schema, name = VIEW_COPY
    return dataclasses.replace(mapping, source=dataclasses.replace(read, schema=schema, name=name))
