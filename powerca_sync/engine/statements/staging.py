"""Statements that bring rows into staging, and take echoes and duplicates out of it."""

from psycopg import sql

from powerca_sync.engine.catalog import UniqueKey
from powerca_sync.engine.mapping import FROM_PHONE, TableMapping
from powerca_sync.engine.statements.extract import staged_names
from powerca_sync.engine.statements.fragments import (
    AND,
    COMMA,
    ECHOED,
    HELD,
    LEDGER,
    REJECTED,
    STAGING,
    key_text,
    row_text,
)
from powerca_sync.engine.statements.quarantine import reject
from powerca_sync.tables import STAMPS


def create_staging(mapping: TableMapping) -> sql.Composed:
    """Bare tables with the target's types. Not LIKE ... INCLUDING ALL, which would burn the target's sequences."""
    values: list[sql.Composable] = [sql.Identifier("t", column.name) for column in mapping.staged]
    values += [sql.SQL("NULL::text AS {}").format(sql.Identifier(c.raw)) for c in mapping.synced if c.raw]
    values += [
        sql.SQL("NULL::{} AS {}").format(sql.SQL(aside.type), sql.Identifier(aside.name)) for aside in mapping.asides
    ]
    key = [sql.Identifier("t", name) for name in mapping.spec.key]
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
        values=COMMA.join(values),
        target=mapping.target.identifier,
        held=HELD,
        key=COMMA.join(key),
        rejected=REJECTED,
    )


def create_ledger() -> sql.Composed:
    """A table like staging."""
    return sql.SQL("CREATE TEMP TABLE {} ON COMMIT DROP AS SELECT * FROM {} WITH NO DATA").format(LEDGER, STAGING)


def copy_in(mapping: TableMapping, into: sql.Identifier = STAGING) -> sql.Composed:
    """COPY rows, as `extract.copy_out` gives them, into staging."""
    names = COMMA.join(sql.Identifier(name) for name in staged_names(mapping))
    return sql.SQL("COPY {} ({}) FROM STDIN").format(into, names)


def copy_in_held(mapping: TableMapping) -> sql.Composed:
    """COPY the key of a row that does not fit, so that its last good version is kept."""
    names = COMMA.join(sql.Identifier(name) for name in mapping.spec.key)
    return sql.SQL("COPY {} ({}) FROM STDIN").format(HELD, names)


def set_aside_echo(mapping: TableMapping) -> sql.Composed:
    """Remove what came from phones: rows equal to a ledger image, then the office's edits of pulled rows, then rows
    whose own `source` names the phones.

    Answers (echo, edited, first edited keys). Images and rows pair as multisets: a second equal row is the office's
    own. A row is an edit if it has the key of an image whose copy is not there any more, as long as the office's own
    rows of that key on the target do not explain it: unchanged ones and edits of those come first. The contents of
    echo are remembered, for the phone rows that they stand for.
    """
    pulled = tuple(c.column for c in mapping.synced if c.name not in STAMPS)
    own = tuple(column for column in pulled if column.name not in mapping.spec.mobile_owned)
    nothing: sql.Composable = sql.SQL("FALSE")
    whole = [sql.SQL("{} IS NOT NULL").format(sql.Identifier("l", name)) for name in mapping.spec.key]
    return sql.SQL("""\
WITH image AS MATERIALIZED (
    SELECT {ledger_content} AS content, {ledger_key} AS key, {ledger_key_whole} AS whole,
        row_number() OVER (PARTITION BY {ledger_content}) AS copy
    FROM {ledger} AS l
), staged AS MATERIALIZED (
    SELECT s.ctid AS place, {content} AS content, {own} AS own, {key} AS key, {from_phone} AS from_phone,
        row_number() OVER (PARTITION BY {content} ORDER BY {from_phone} DESC, s.ctid) AS copy
    FROM {staging} AS s
    WHERE {content} IN (SELECT i.content FROM image AS i) OR {key} IN (SELECT i.key FROM image AS i) OR {from_phone}
), echo AS (
    SELECT s.place FROM staged AS s JOIN image AS i USING (content, copy)
), gone AS (
    SELECT i.key, row_number() OVER (PARTITION BY i.key) AS ordinal
    FROM image AS i
    WHERE i.whole AND NOT EXISTS (SELECT FROM staged AS s WHERE (s.content, s.copy) = (i.content, i.copy))
), left_over AS (
    SELECT s.place, s.key, s.own, row_number() OVER (PARTITION BY s.own ORDER BY s.from_phone, s.place) AS copy
    FROM staged AS s
    WHERE s.place NOT IN (SELECT e.place FROM echo AS e)
), owned AS (
    SELECT {target_key} AS key, {target_own} AS own, row_number() OVER (PARTITION BY {target_own}) AS copy
    FROM {target} AS t
    WHERE {owner} = 'D' AND {in_office} AND {target_key} IN (SELECT g.key FROM gone AS g)
), changed AS (
    SELECT l.place, l.key, row_number() OVER (PARTITION BY l.key ORDER BY l.own, l.place) AS ordinal
    FROM left_over AS l
    WHERE NOT EXISTS (SELECT FROM owned AS o WHERE (o.own, o.copy) = (l.own, l.copy))
), own_changes AS (
    SELECT o.key, count(*) AS rows
    FROM owned AS o
    WHERE NOT EXISTS (SELECT FROM left_over AS l WHERE (o.own, o.copy) = (l.own, l.copy))
    GROUP BY o.key
), edited AS (
    SELECT c.place, c.key
    FROM changed AS c
    LEFT JOIN own_changes AS o USING (key)
    JOIN gone AS g ON g.key = c.key AND g.ordinal = c.ordinal - coalesce(o.rows, 0)
), removed AS (
    DELETE FROM {staging} AS s
    WHERE s.ctid IN (SELECT e.place FROM echo AS e UNION ALL SELECT e.place FROM edited AS e) OR {from_phone}
    RETURNING s.ctid AS place, {compared} AS content
), echoed AS (
    INSERT INTO {echoed} (content)
    SELECT r.content FROM removed AS r WHERE r.place NOT IN (SELECT e.place FROM edited AS e)
    RETURNING 1
)
SELECT
    (SELECT count(*) FROM echoed),
    (SELECT count(*) FROM edited),
    (SELECT array_agg(few.key) FROM (SELECT e.key FROM edited AS e ORDER BY e.key LIMIT 20) AS few)""").format(
        ledger=LEDGER,
        staging=STAGING,
        echoed=ECHOED,
        target=mapping.target.identifier,
        content=row_text(mapping, "s", pulled),
        compared=row_text(mapping, "s", mapping.content),
        ledger_content=row_text(mapping, "l", pulled),
        own=row_text(mapping, "s", own),
        target_own=row_text(mapping, "t", own),
        key=key_text(mapping, "s"),
        ledger_key=key_text(mapping, "l"),
        target_key=key_text(mapping, "t"),
        ledger_key_whole=AND.join(whole) if whole else nothing,
        owner=mapping.owner("t"),
        in_office=mapping.in_office("t"),
        from_phone=sql.Identifier("s", FROM_PHONE) if mapping.source_has_owner else nothing,
    )


def has_duplicates(key: UniqueKey) -> sql.Composed:
    """Whether two staged rows share a key that must not repeat."""
    return sql.SQL("SELECT EXISTS (SELECT FROM {} AS s WHERE {} GROUP BY {} HAVING count(*) > 1)").format(
        STAGING, _may_not_repeat(key), _columns(key)
    )


def drop_duplicates(mapping: TableMapping, key: UniqueKey) -> sql.Composed:
    """Leave one of each set of exact copies. Answers how many were dropped."""
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
    """Send every row to quarantine that shares the key with another, or with a row that staging refused."""
    refused: sql.Composable = sql.SQL("FALSE")
    if key.columns == mapping.spec.key:
        same = AND.join(sql.SQL("{} = {}").format(sql.Identifier("h", c), sql.Identifier("s", c)) for c in key.columns)
        refused = sql.SQL("EXISTS (SELECT FROM {} AS h WHERE {})").format(HELD, same)
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
