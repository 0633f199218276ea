"""Adopt new phone rows that the target has already, and quarantine those whose key another row of the target has."""

from psycopg import sql

from powerca_sync.engine.postgres import Cursor
from powerca_sync.engine.requests import Choice
from powerca_sync.engine.reverse import existing_rows_sql
from powerca_sync.engine.reverse.lookalikes import adopt_by_key, settle_lookalikes
from powerca_sync.engine.reverse.matching import MatchedRows
from powerca_sync.engine.staging import quarantine_sql
from powerca_sync.specs import Strategy, TableSpec


def settle_existing(
    cursor: Cursor, matched: MatchedRows, spec: TableSpec, choice: Choice, *, into: sql.Identifier, run_id: str | None
) -> int:
    """Adopt or quarantine staged rows that collide with rows of the target; returns the number of adopted rows.

    `spec` is the resolved one, `into` the table that takes the ledger entries. Rows of the target are not changed.
    """
    mapping, is_upsert = matched.mapping, spec.strategy is Strategy.UPSERT
    names = {column.name for column in mapping.staged}
    keys = [mapping.key_names] if is_upsert and mapping.key_names else []
    keys += [
        key.columns for key in mapping.target.unique_keys if names.issuperset(key.columns) and key.columns not in keys
    ]
    adopted = 0
    by_content = is_upsert and matched.by_content
    if by_content or keys:
        cursor.execute(existing_rows_sql.adopt(mapping, None if by_content else keys, run_id, into=into))
        adopted = cursor.rowcount
    if is_upsert and choice is Choice.ADOPT:
        adopted += adopt_by_key(cursor, mapping, spec, into=into, run_id=run_id)
    for key in keys:
        if not is_upsert and set(key) == set(mapping.source.primary_key):
            # Mobile's primary key identifies the row: a desktop row that has it may be its copy, so a look-alike.
            continue
        cursor.execute(quarantine_sql.reject(mapping, existing_rows_sql.conflicting(mapping, key)))
        if cursor.rowcount:
            cursor.execute(existing_rows_sql.attach_desktop_row(mapping, key))
    if not is_upsert and matched.seen > matched.there:
        adopted += settle_lookalikes(
            cursor, mapping, spec, choice, first_contact=matched.by_content, into=into, run_id=run_id
        )
    return adopted
