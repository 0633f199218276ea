"""The statement that finds columns whose values are numbers of large objects."""

from psycopg import sql

from powerca_sync.engine.postgres import Table


def has_large_object(table: Table, column: str) -> sql.Composed:
    """Whether some row of the table has the number of a large object in that column."""
    return sql.SQL("""\
SELECT EXISTS (SELECT FROM {table} AS t JOIN pg_largeobject_metadata AS l ON l.oid = {column})""").format(
        table=table.identifier, column=sql.Identifier("t", column)
    )
