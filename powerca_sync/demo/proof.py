"""Prove that a sync left rows untouched: digests that change with any write to a row, even of equal values."""

import dataclasses
from collections.abc import Iterable

from psycopg import sql

from powerca_sync.demo.loading import Connection
from powerca_sync.specs import OWNER


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Digest:
    """Rows of one table; with equal digests they are the same rows in the same versions."""

    rows: int
    hash: str


def digests(connection: Connection, tables: Iterable[str], *, owner: str | None = None) -> dict[str, Digest]:
    """Returns the digest of each table, of all its rows or of one owner's; of each row with its ctid and xmin."""
    found = {}
    for table in tables:
        row = connection.execute(
            sql.SQL("""\
SELECT count(*), coalesce(sum(hashtextextended(ROW(t.ctid, t.xmin, t.*)::text, 0)), 0)::text
FROM {table} AS t
WHERE {owner}::text IS NULL OR {column}::text = {owner}""").format(
                table=sql.Identifier(table), owner=sql.Literal(owner), column=sql.Identifier("t", OWNER)
            )
        ).fetchone()
        assert row is not None
        found[table] = Digest(rows=row[0], hash=row[1])
    return found
