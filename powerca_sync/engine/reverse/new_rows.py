"""Select the new phone rows at the source by conditions that name a limited number of keys each."""

from collections.abc import Iterator, Sequence

from psycopg import sql

from powerca_sync.engine.mapping import TableMapping
from powerca_sync.engine.postgres import Cursor, one_row
from powerca_sync.engine.reverse import ledger_sql
from powerca_sync.engine.staging import phone_rows_sql


def new_rows(
    target: Cursor, mapping: TableMapping, in_office: sql.Composable, columns: Sequence[str]
) -> Iterator[sql.Composable]:
    """Yields conditions on the source's row `s`, which hold for the new rows and for rows of the same identity.

    Each row satisfies at most one of them. `columns` identify rows.
    """
    keys = _next_keys(target, None)
    if len(keys) == ledger_sql.PAGE and one_row(target, ledger_sql.are_all_new()) == (True,):
        # A first run, for which one condition does.
        yield phone_rows_sql.is_phones(mapping.source, in_office)
        return
    while keys:
        yield phone_rows_sql.has_identity(mapping, in_office, columns, keys)
        keys = _next_keys(target, keys[-1]) if len(keys) == ledger_sql.PAGE else []


def _next_keys(target: Cursor, after: str | None) -> list[str]:
    target.execute(ledger_sql.new_keys(after))
    return [key for (key,) in target.fetchall()]
