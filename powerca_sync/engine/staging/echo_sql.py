"""Statements that remove reverse-synced rows from staging.

Staged rows and ledger entries, which are converted as the source's rows are, pair as multisets by content. A staged row
that pairs is an echo. If an entry pairs with no row, a staged row of its key is the office's edit of a phone row. The
rows that stay in staging are desktop-owned.
"""

from psycopg import sql

from powerca_sync.engine.mapping import (
    AND,
    ECHOED,
    FROM_PHONE,
    LEDGER,
    MISSING,
    STAGING,
    TableMapping,
    key_text,
    row_text,
)
from powerca_sync.engine.postgres import Column
from powerca_sync.engine.staging import phone_rows_sql
from powerca_sync.engine.staging.extract_sql import MADE, MOBILE_KEY, NUMBER
from powerca_sync.specs import DESKTOP, PHONE, STAMPS


def not_in_ledger(mapping: TableMapping) -> sql.Composed:
    """Returns a condition on the target's row `t`: it is phone-owned, or the ledger has no entry of its primary key.

    The merge does not look at other rows until a reverse run ends their entry. A row that was created at another time
    than the entry's row is another row that reuses the primary key.
    """
    return sql.SQL("""\
NOT EXISTS (
    SELECT FROM {ledger} AS l
    WHERE l.{mobile_key} = {primary_key} AND coalesce(l.{made} = {born}, TRUE) AND {owner} IS DISTINCT FROM {phone}
)""").format(
        ledger=LEDGER,
        mobile_key=sql.Identifier(MOBILE_KEY),
        primary_key=phone_rows_sql.primary_key(mapping.target, "t"),
        made=sql.Identifier(MADE),
        born=phone_rows_sql.born(mapping.target, "t"),
        owner=mapping.owner("t"),
        phone=PHONE,
    )


def drop_ended_entries(mapping: TableMapping) -> sql.Composed:
    """Drop the entries whose phone row became desktop-owned on mobile, in a table without a mobile primary key.

    These are found by counts: a content has more entries than phone rows, and more desktop-owned rows on mobile than
    the desktop has rows besides the copies. With a mobile primary key the reverse run ends such entries.
    """
    own = _own(mapping)
    by_key = mapping.pairs_by_key
    staged_same, ledger_same, target_same = (
        key_text(mapping, alias) if by_key else row_text(mapping, alias, own) for alias in ("s", "l", "t")
    )
    return sql.SQL("""\
WITH entry AS MATERIALIZED (
    SELECT l.ctid AS place, l.{number} AS number, {ledger_same} AS same, {ledger_content} AS content FROM {ledger} AS l
), staged AS MATERIALIZED (
    SELECT s.* FROM (SELECT {staged_same} AS same, {staged_content} AS content FROM {staging} AS s) AS s
    WHERE EXISTS (SELECT FROM entry AS e WHERE e.same = s.same)
), existing AS (
    SELECT t.same, count(*) FILTER (WHERE t.owner = {phone}) AS phones,
        count(*) FILTER (WHERE t.owner = {desktop} OR t.owner IS NULL) AS others
    FROM (SELECT {target_same} AS same, {owner} AS owner FROM {target} AS t WHERE {in_office}) AS t
    WHERE EXISTS (SELECT FROM entry AS e WHERE e.same = t.same)
    GROUP BY t.same
), counted AS (
    SELECT e.place, e.same, count(*) OVER (PARTITION BY e.same) AS entries,
        -- Entries that the desktop still has a row of come first.
        row_number() OVER (PARTITION BY e.same ORDER BY c.content IS NULL, e.number DESC) AS n
    FROM entry AS e LEFT JOIN (SELECT DISTINCT s.content FROM staged AS s) AS c USING (content)
)
DELETE FROM {ledger} AS l
USING counted AS e
    JOIN existing AS t USING (same)
    LEFT JOIN (SELECT s.same, count(*) AS rows FROM staged AS s GROUP BY s.same) AS s USING (same)
WHERE l.ctid = e.place
    AND e.n <= least(e.entries - t.phones, t.others - greatest(coalesce(s.rows, 0) - e.entries, 0))""").format(
        ledger=LEDGER,
        number=sql.Identifier(NUMBER),
        ledger_same=ledger_same,
        ledger_content=row_text(mapping, "l", _compared(mapping)),
        staging=STAGING,
        staged_same=staged_same,
        staged_content=row_text(mapping, "s", _compared(mapping)),
        target=mapping.target.identifier,
        target_same=target_same,
        owner=mapping.owner("t"),
        phone=PHONE,
        desktop=DESKTOP,
        in_office=mapping.in_office("t"),
    )


def create_missing() -> sql.Composed:
    """Create the table of keys of entries that pair with no staged row."""
    return sql.SQL('CREATE TEMP TABLE {} (key text COLLATE "C") ON COMMIT DROP').format(MISSING)


def skip_echo(mapping: TableMapping) -> sql.Composed:
    """Remove staged rows that pair with an entry. Returns (rows removed, entries with a key that pair with no row).

    Rows marked as phone rows pair first. The contents of removed rows are kept in `ECHOED`, so that the merge does not
    pair their phone rows with other staged rows.
    """
    whole = [sql.SQL("{} IS NOT NULL").format(sql.Identifier("l", name)) for name in mapping.key_names]
    return sql.SQL("""\
WITH entry AS MATERIALIZED (
    SELECT {ledger_content} AS content, {ledger_key} AS key, {whole} AS whole,
        row_number() OVER (PARTITION BY {ledger_content} ORDER BY l.{number}) AS copy
    FROM {ledger} AS l
), staged AS MATERIALIZED (
    SELECT s.place, s.content, row_number() OVER (PARTITION BY s.content ORDER BY s.from_phone DESC, s.place) AS copy
    FROM (SELECT s.ctid AS place, {content} AS content, {from_phone} AS from_phone FROM {staging} AS s) AS s
    WHERE EXISTS (SELECT FROM entry AS e WHERE e.content = s.content)
), missing AS (
    INSERT INTO {missing} (key)
    SELECT e.key FROM entry AS e
    WHERE e.whole AND NOT EXISTS (SELECT FROM staged AS s WHERE (s.content, s.copy) = (e.content, e.copy))
    RETURNING 1
), removed AS (
    DELETE FROM {staging} AS s USING staged AS c JOIN entry AS e USING (content, copy)
    WHERE s.ctid = c.place
    RETURNING {compared} AS content
), echoed AS (
    INSERT INTO {echoed} (content) SELECT r.content FROM removed AS r RETURNING 1
)
SELECT (SELECT count(*) FROM echoed), (SELECT count(*) FROM missing)""").format(
        ledger=LEDGER,
        number=sql.Identifier(NUMBER),
        ledger_content=row_text(mapping, "l", _compared(mapping)),
        ledger_key=key_text(mapping, "l"),
        whole=AND.join(whole) if whole else sql.SQL("FALSE"),
        staging=STAGING,
        content=row_text(mapping, "s", _compared(mapping)),
        from_phone=_from_phone(mapping),
        missing=MISSING,
        compared=row_text(mapping, "s", mapping.content),
        echoed=ECHOED,
    )


def skip_edits(mapping: TableMapping) -> sql.Composed:
    """Remove the office's edits of phone rows from staging. Returns (rows removed, the first twenty keys).

    A row of a missing key is an edit unless a desktop-owned row of the target matches it: by content, or else by key,
    one row each. Rows marked as phone rows count as edits first.
    """
    return sql.SQL("""\
WITH missing AS MATERIALIZED (
    SELECT m.key, count(*) AS rows FROM {missing} AS m GROUP BY m.key
), staged AS MATERIALIZED (
    SELECT s.*, row_number() OVER (PARTITION BY s.own ORDER BY s.from_phone, s.place) AS copy
    FROM (SELECT s.ctid AS place, {key} AS key, {own} AS own, {from_phone} AS from_phone FROM {staging} AS s) AS s
    WHERE EXISTS (SELECT FROM missing AS m WHERE m.key = s.key)
), existing AS MATERIALIZED (
    SELECT t.*, row_number() OVER (PARTITION BY t.own) AS copy
    FROM (
        SELECT {target_key} AS key, {target_own} AS own
        FROM {target} AS t
        WHERE {owner} = {desktop} AND {in_office} AND {merge_filter}
    ) AS t
    WHERE EXISTS (SELECT FROM missing AS m WHERE m.key = t.key)
), changed AS (
    SELECT s.place, s.key, row_number() OVER (PARTITION BY s.key ORDER BY s.from_phone, s.own, s.place) AS ordinal
    FROM staged AS s
    WHERE NOT EXISTS (SELECT FROM existing AS t WHERE (t.own, t.copy) = (s.own, s.copy))
), own_changes AS (
    SELECT t.key, count(*) AS rows
    FROM existing AS t
    WHERE NOT EXISTS (SELECT FROM staged AS s WHERE (t.own, t.copy) = (s.own, s.copy))
    GROUP BY t.key
), edited AS (
    DELETE FROM {staging} AS s
    USING changed AS c JOIN missing AS m USING (key) LEFT JOIN own_changes AS o USING (key)
    WHERE s.ctid = c.place AND c.ordinal - coalesce(o.rows, 0) BETWEEN 1 AND m.rows
    RETURNING c.key
)
SELECT count(*), (SELECT array_agg(few.key) FROM (SELECT e.key FROM edited AS e ORDER BY e.key LIMIT 20) AS few)
FROM edited""").format(
        missing=MISSING,
        staging=STAGING,
        key=key_text(mapping, "s"),
        own=row_text(mapping, "s", _own(mapping)),
        from_phone=_from_phone(mapping),
        target=mapping.target.identifier,
        target_key=key_text(mapping, "t"),
        target_own=row_text(mapping, "t", _own(mapping)),
        owner=mapping.owner("t"),
        desktop=DESKTOP,
        in_office=mapping.in_office("t"),
        merge_filter=mapping.merge_filter,
    )


def skip_without_entry(mapping: TableMapping) -> sql.Composed:
    """Remove rows marked as phone rows whose phone row exists on the target but has no ledger entry.

    Returns (rows equal to their phone row, edits by the office, the first twenty keys of edits). Rows pair by key and
    number, equal ones first. A row that equals a desktop-owned row of the target, or has no phone row, is desktop-owned
    in spite of its mark.
    """
    known = sql.SQL("{} = {}").format(row_text(mapping, "l", _own(mapping)), row_text(mapping, "t", _own(mapping)))
    if mapping.target.primary_key:
        known = sql.SQL("l.{} = {}").format(sql.Identifier(MOBILE_KEY), phone_rows_sql.primary_key(mapping.target, "t"))
    return sql.SQL("""\
WITH staged AS MATERIALIZED (
    SELECT s.ctid AS place, {key} AS key, {own} AS own FROM {staging} AS s WHERE {from_phone}
), existing AS MATERIALIZED (
    SELECT {target_key} AS key, {target_own} AS own, {owner} = {phone}
            AND NOT EXISTS (SELECT FROM {ledger} AS l WHERE {known}) AS unknown
    FROM {target} AS t
    WHERE {in_office} AND EXISTS (SELECT FROM staged)
), unknown AS MATERIALIZED (
    SELECT t.key, t.own FROM existing AS t WHERE t.unknown
), candidate AS (
    SELECT s.place, s.key, u.own IS NOT NULL AS same,
        row_number() OVER (PARTITION BY s.key ORDER BY u.own IS NULL, s.place) AS ordinal
    FROM staged AS s
    LEFT JOIN (SELECT DISTINCT u.own FROM unknown AS u) AS u USING (own)
    LEFT JOIN (SELECT DISTINCT t.own FROM existing AS t WHERE t.unknown IS NOT TRUE) AS t ON t.own = s.own
    WHERE u.own IS NOT NULL OR t.own IS NULL
), removed AS (
    DELETE FROM {staging} AS s
    USING candidate AS c JOIN (SELECT u.key, count(*) AS rows FROM unknown AS u GROUP BY u.key) AS u USING (key)
    WHERE s.ctid = c.place AND c.ordinal <= u.rows
    RETURNING c.key, c.same, {compared} AS content
), echoed AS (
    INSERT INTO {echoed} (content) SELECT r.content FROM removed AS r WHERE r.same
)
SELECT count(*) FILTER (WHERE r.same), count(*) FILTER (WHERE NOT r.same),
    (SELECT array_agg(few.key) FROM (SELECT r.key FROM removed AS r WHERE NOT r.same ORDER BY r.key LIMIT 20) AS few)
FROM removed AS r""").format(
        staging=STAGING,
        key=key_text(mapping, "s"),
        own=row_text(mapping, "s", _own(mapping)),
        from_phone=_from_phone(mapping),
        target=mapping.target.identifier,
        target_key=key_text(mapping, "t"),
        target_own=row_text(mapping, "t", _own(mapping)),
        owner=mapping.owner("t"),
        phone=PHONE,
        ledger=LEDGER,
        known=known,
        in_office=mapping.in_office("t"),
        compared=row_text(mapping, "s", mapping.content),
        echoed=ECHOED,
    )


def _compared(mapping: TableMapping) -> tuple[Column, ...]:
    """Returns the columns by which rows and ledger entries are compared."""
    return tuple(c.column for c in mapping.synced if c.name not in STAMPS)


def _own(mapping: TableMapping) -> tuple[Column, ...]:
    """Returns the compared columns without those that mobile owns."""
    return tuple(column for column in _compared(mapping) if column.name not in mapping.mobile_owned)


def _from_phone(mapping: TableMapping) -> sql.Composable:
    return sql.Identifier("s", FROM_PHONE) if mapping.source_has_owner else sql.SQL("FALSE")
