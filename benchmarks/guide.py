"""The guide's algorithm, for comparison: every row a Python object, INSERTs of 1,000 rows, an unconditional merge."""

import psycopg
from psycopg import sql

from benchmarks.tables import NAMES
from powerca_sync.engine.postgres import Connection
from powerca_sync.specs import Strategy, TableSpec

BATCH = 1_000


def guide(source: Connection, target: Connection, spec: TableSpec) -> None:
    """Syncs one table in full with the guide's algorithm."""
    table = sql.Identifier(spec.mobile)
    names = sql.SQL(", ").join(map(sql.Identifier, NAMES))
    rows = source.execute(sql.SQL("SELECT {} FROM {}").format(names, table)).fetchall()
    with target.transaction(), psycopg.ClientCursor(target) as cursor:
        cursor.execute(sql.SQL("CREATE TEMP TABLE staging (LIKE {} INCLUDING ALL) ON COMMIT DROP").format(table))
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            one = sql.SQL("({})").format(sql.SQL(", ").join([sql.Placeholder()] * len(NAMES)))
            insert = sql.SQL("INSERT INTO staging ({}) VALUES {}").format(names, sql.SQL(", ").join([one] * len(batch)))
            cursor.execute(insert, [value for row in batch for value in row])
        insert = sql.SQL("INSERT INTO {} ({}, source) SELECT {}, 'D' FROM staging").format(table, names, names)
        if spec.strategy is Strategy.DELETE_INSERT:
            cursor.execute(sql.SQL("DELETE FROM {} WHERE source = 'D' OR source IS NULL").format(table))
            cursor.execute(insert)
            return
        changes = sql.SQL(", ").join(
            sql.SQL("{} = excluded.{}").format(sql.Identifier(name), sql.Identifier(name))
            for name in NAMES
            if name not in spec.key
        )
        cursor.execute(
            sql.SQL("{} ON CONFLICT (client_id) DO UPDATE SET {} WHERE {}.source = 'D' OR {}.source IS NULL").format(
                insert, changes, table, table
            )
        )
