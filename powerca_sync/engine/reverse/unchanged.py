"""Recognise a reverse run that would read what the last one read, so that it can stop before it matches any row.

The state of a table has all that the last run's findings follow from: the digest of mobile's phone rows, the versions
of the desktop's rows and of their ledger entries, and how both tables are declared. A run records the state that it
found before it looked at any row: whatever it wrote itself, or others wrote meanwhile, makes the next state another
one, and the next run looks at every row. Runs that held or quarantined rows, deferred some or warned of something
record no state, because the next run has to retry. The date is part of the state, so that the first run of each day
looks at every row, whatever the digests say.
"""

import hashlib
from collections.abc import Sequence
from importlib import metadata

from psycopg import sql

from powerca_sync.engine.mapping import TableMapping
from powerca_sync.engine.postgres import Cursor, one_row
from powerca_sync.engine.staging import phone_rows_sql


def read_state(
    target: Cursor,
    mapping: TableMapping,
    *,
    digest: str,
    in_office: sql.Composable,
    reading: Sequence[str | None],
) -> str | None:
    """Returns the state of a table as a hash; None if row versions cannot show that the desktop's table is unchanged.

    `digest` is that of mobile's phone rows; `reading` are the settings that determine the text of values.
    """
    if not phone_rows_sql.has_row_versions(mapping.target):
        return None
    versions = one_row(target, _read_versions(mapping))
    info = target.connection.info
    facts = (
        metadata.version("powerca-sync"),
        info.server_version,
        mapping.fingerprint,
        mapping.spec.max_row_bytes,
        [
            (table.oid, table.columns, table.primary_key, table.unique_keys)
            for table in (mapping.source, mapping.target)
        ],
        in_office.as_string(),
        tuple(reading),
        digest,
        versions,
    )
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def _read_versions(mapping: TableMapping) -> sql.Composed:
    """Select the date, the versions of the target's rows and of its ledger entries, and the rows in quarantine."""
    return sql.SQL("""\
SELECT current_date::text,
    (SELECT {versions} FROM {target} AS t),
    (SELECT {versions} FROM powerca_sync.pulled AS t WHERE t.table_name = {table}),
    (SELECT count(*) FROM powerca_sync.quarantine AS q WHERE q.table_name = {table})""").format(
        versions=_VERSIONS, target=mapping.target.identifier, table=mapping.table
    )


#: A digest of the versions of the rows `t`. Two sets of versions have the same sum of 64-bit hashes by chance once in
#: 2^64, and then until the next write or the next day.
_VERSIONS = sql.SQL("concat_ws(':', count(*), sum({}))").format(phone_rows_sql.version_hash("t"))
