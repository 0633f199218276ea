"""Write the guide's table `_sync_metadata`: one line for each synced table."""

from collections.abc import Sequence

from psycopg import sql

from powerca_sync.engine.postgres import Query, load


def guide_columns() -> Query:
    """A query for the columns of the guide's `_sync_metadata` that the role may write."""
    return load(__package__, "guide_columns.sql"), None


def guide_record(
    columns: Sequence[str], table: str, *, records: int | None = None, milliseconds: int | None = None, error: str = ""
) -> Query | None:
    """A query that writes the guide's line for a table: with `records` the run succeeded, otherwise it failed.

    Writes only columns that exist, because earlier versions of that table have others. None if there is no such table.
    All offices share the line: of two that insert it at once, the second keeps that of the first.
    """
    succeeded = records is not None
    values: dict[str, sql.Composable] = {
        "last_sync_timestamp": sql.SQL("now()"),
        "records_synced": sql.Literal(records),
        "last_sync_records": sql.Literal(records),
        "last_sync_duration_ms": sql.Literal(milliseconds),
        "error_message": sql.Literal(error or None),
        "updated_at": sql.SQL("now()"),
    }
    of_success = {"last_sync_timestamp", "records_synced", "last_sync_records", "last_sync_duration_ms"}
    written = [name for name in values if name in columns and (succeeded or name not in of_success)]
    if "table_name" not in columns or not written:
        return None
    comma = sql.SQL(", ")
    return sql.SQL("""\
WITH updated AS (
    UPDATE public._sync_metadata AS m SET {changes} WHERE m.table_name = {table} RETURNING 1
)
INSERT INTO public._sync_metadata (table_name, {names})
SELECT {table}, {values} WHERE NOT EXISTS (SELECT FROM updated)
ON CONFLICT DO NOTHING""").format(
        changes=comma.join(sql.SQL("{} = {}").format(sql.Identifier(name), values[name]) for name in written),
        names=comma.join(map(sql.Identifier, written)),
        values=comma.join(values[name] for name in written),
        table=sql.Literal(table),
    ), None
