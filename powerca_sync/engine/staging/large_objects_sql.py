"""Statement that finds columns with numbers of large objects."""

from psycopg import sql

from powerca_sync.engine.postgres import Table


def has_large_object(table: Table, column: str) -> sql.Composed:
    """Returns a query whether a value of the column is the number of a large object."""
    return sql.SQL("""\
SELECT EXISTS (SELECT FROM {table} AS t JOIN pg_largeobject_metadata AS l ON l.oid = {column})""").format(
        table=table.identifier, column=sql.Identifier("t", column)
    )
