"""Statements that create staging, copy rows into it and remove duplicates."""

from psycopg import sql

from powerca_sync.engine.mapping import COMMA, ECHOED, HELD, LEDGER, REJECTED, STAGING, TableMapping, row_text, same_key
from powerca_sync.engine.postgres import UniqueKey
from powerca_sync.engine.staging.extract_sql import ENTRY, staged_names
from powerca_sync.engine.staging.quarantine_sql import reject
from powerca_sync.specs import STAMPS


def create_staging(mapping: TableMapping) -> sql.Composed:
    """Create the working tables with the target's types. Defaults would use up values of the target's sequences."""
    key = [sql.Identifier("t", name) for name in mapping.key_names]
    return sql.SQL("""\
CREATE TEMP TABLE {staging} ON COMMIT DROP AS
SELECT {values} FROM {target} AS t WITH NO DATA;
CREATE TEMP TABLE {held} ON COMMIT DROP AS
SELECT {key} FROM {target} AS t WITH NO DATA;
CREATE TEMP TABLE {rejected} (
    reason text NOT NULL, column_name text, value text, parent text, message text, key jsonb, image jsonb
) ON COMMIT DROP;
CREATE TEMP TABLE {echoed} (content text COLLATE "C") ON COMMIT DROP""").format(
        staging=STAGING,
        echoed=ECHOED,
        values=_staged_values(mapping),
        target=mapping.target.identifier,
        held=HELD,
        key=COMMA.join(key),
        rejected=REJECTED,
    )


def analyze_staging(mapping: TableMapping) -> sql.Composed:
    """Collect statistics of the columns that are joined: the keys, references, and the columns of lookups.

    Those of all columns take three times as long.
    """
    joined = {*mapping.key_names, *mapping.target.primary_key, *(one.column for one in mapping.references)}
    joined.update(name for lookup in mapping.lookups for name in (lookup.column, lookup.match))
    columns = [sql.Identifier(column.name) for column in mapping.staged if column.name in joined]
    which = sql.SQL("({})").format(COMMA.join(columns)) if columns else sql.SQL("")
    return sql.SQL("ANALYZE {} {}").format(STAGING, which)


def create_like_staging(mapping: TableMapping, name: sql.Identifier) -> sql.Composed:
    """Create a table of that name with staging's columns."""
    return sql.SQL("CREATE TEMP TABLE {} ON COMMIT DROP AS SELECT {} FROM {} AS t WITH NO DATA").format(
        name, _staged_values(mapping), mapping.target.identifier
    )


def _staged_values(mapping: TableMapping) -> sql.Composed:
    values: list[sql.Composable] = [sql.Identifier("t", column.name) for column in mapping.staged]
    values += [
        sql.SQL("NULL::text AS {}").format(sql.Identifier(c.source_text)) for c in mapping.synced if c.source_text
    ]
    values += [
        sql.SQL("NULL::{} AS {}").format(sql.SQL(extra.type), sql.Identifier(extra.name))
        for extra in mapping.extra_columns
    ]
    return COMMA.join(values)


def create_ledger() -> sql.Composed:
    """Create the table of ledger images: staging's columns and those of `ENTRY`."""
    return sql.SQL("CREATE TEMP TABLE {} ON COMMIT DROP AS SELECT *, {} FROM {} WITH NO DATA").format(
        LEDGER,
        COMMA.join(sql.SQL("NULL::{} AS {}").format(sql.SQL(one.type), sql.Identifier(one.name)) for one in ENTRY),
        STAGING,
    )


def copy_in(mapping: TableMapping, into: sql.Identifier = STAGING, binary: bool = False) -> sql.Composed:
    """COPY rows into staging in the form of `extract_sql.copy_out`, or of `binary_copy_sql.copy_out`."""
    names = COMMA.join(sql.Identifier(name) for name in staged_names(mapping))
    form = sql.SQL(" (FORMAT binary)" if binary else "")
    return sql.SQL("COPY {} ({}) FROM STDIN{}").format(into, names, form)


def copy_in_held(mapping: TableMapping) -> sql.Composed:
    """COPY the key of a refused row, so that its last good version is retained."""
    names = COMMA.join(sql.Identifier(name) for name in mapping.key_names)
    return sql.SQL("COPY {} ({}) FROM STDIN").format(HELD, names)


def has_duplicates(key: UniqueKey) -> sql.Composed:
    """Returns a query whether two staged rows share a key that must not repeat."""
    return sql.SQL("SELECT EXISTS (SELECT FROM {} AS s WHERE {} GROUP BY {} HAVING count(*) > 1)").format(
        STAGING, _may_not_repeat(key), _columns(key)
    )


def drop_duplicates(mapping: TableMapping, key: UniqueKey) -> sql.Composed:
    """Delete all but one of each set of exact copies; returns their number."""
    everything = tuple(column for column in mapping.staged if column.name not in STAMPS)
    return sql.SQL("""\
WITH numbered AS (
    SELECT s.ctid AS place, row_number() OVER (PARTITION BY {content} ORDER BY s.ctid) AS n
    FROM {staging} AS s
    WHERE {may_not_repeat}
), dropped AS (
    DELETE FROM {staging} AS s USING numbered AS c WHERE s.ctid = c.place AND c.n > 1 RETURNING 1
)
SELECT count(*) FROM dropped""").format(
        staging=STAGING, content=row_text(mapping, "s", everything), may_not_repeat=_may_not_repeat(key)
    )


def reject_duplicates(mapping: TableMapping, key: UniqueKey) -> sql.Composed:
    """Quarantine every row that shares the key with another row, or with a row that staging refused."""
    refused: sql.Composable = sql.SQL("FALSE")
    if key.columns == mapping.key_names:
        refused = sql.SQL("EXISTS (SELECT FROM {} AS h WHERE {})").format(HELD, same_key(mapping, "h", "s"))
    faulty = sql.SQL("""\
SELECT s.ctid AS place, 'duplicate_key' AS reason, {column} AS column_name, concat_ws(', ', {columns}) AS value,
    NULL AS parent, NULL AS message
FROM {staging} AS s
JOIN (
    SELECT s.ctid AS place, count(*) OVER (PARTITION BY {columns}) AS copies FROM {staging} AS s
) AS counted ON counted.place = s.ctid
WHERE (counted.copies > 1 AND {may_not_repeat}) OR {refused}""").format(
        staging=STAGING,
        columns=_columns(key),
        column=", ".join(key.columns),
        may_not_repeat=_may_not_repeat(key),
        refused=refused,
    )
    return reject(mapping, faulty)


def _columns(key: UniqueKey) -> sql.Composed:
    return COMMA.join(sql.Identifier("s", name) for name in key.columns)


def _may_not_repeat(key: UniqueKey) -> sql.Composable:
    return sql.SQL("({}) IS NOT NULL").format(_columns(key)) if key.nulls_distinct else sql.SQL("TRUE")
