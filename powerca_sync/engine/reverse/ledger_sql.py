"""Statements that classify phone rows by the ledger and keep its entries up to date.

Temporary tables: `classification` has one row for each phone row, `entries` one for each ledger entry, with the
physical place (tableoid, ctid) of its row at the target.
"""

from collections.abc import Sequence

from psycopg import sql

from powerca_sync.engine.mapping import AND, COMMA, ENTRIES, TableMapping, from_image, image_of, key_text, row_text
from powerca_sync.engine.postgres import Column
from powerca_sync.engine.staging import PHONES
from powerca_sync.specs import OWNER, STAMPS

#: Keys that the client has in memory, and sends in one condition.
PAGE = 50_000
CLASSIFICATION = sql.Identifier("pg_temp", "powerca_classification")


def classify(table: str, *, keyed: bool) -> sql.Composed:
    """Classify each phone row as `new`, `there`, or `changed` since it was reverse-synced; with the id of its entry.

    Rows that are not `keyed` are paired with entries of the same content, nth copy with nth copy, gone entries last. A
    key was reused if its entry is gone or has another creation time; such a row is new. A gone entry is used again for
    a row of the same content, or of the same key and creation time.
    """
    known, nth, once = (
        sql.SQL("l.mobile_key"),
        sql.SQL("l.occurrence"),
        sql.SQL("(g.known, g.born) = (p.known, p.born)"),
    )
    if not keyed:
        known = sql.SQL("l.content_hash")
        nth = sql.SQL(
            "row_number() OVER (PARTITION BY l.content_hash ORDER BY l.gone_at NULLS FIRST, l.occurrence, l.id)"
        )
        once = sql.SQL("FALSE")
    return sql.SQL("""\
CREATE TEMP TABLE {classification} ON COMMIT DROP AS
WITH phone AS (
    SELECT p.*, row_number() OVER (PARTITION BY p.known ORDER BY p.born, p.hash) AS nth FROM {phones} AS p
), entry AS (
    SELECT l.id, l.content_hash, l.born, l.gone_at IS NOT NULL AS gone, {known} AS known, {nth} AS nth
    FROM powerca_sync.pulled AS l
    WHERE l.table_name = {table}
), gone AS (
    SELECT DISTINCT ON (g.known, g.content_hash, g.nth) g.* FROM entry AS g
    WHERE g.gone
    ORDER BY g.known, g.content_hash, g.nth, g.id DESC
), once AS (
    SELECT DISTINCT ON (g.known, g.born) g.* FROM entry AS g
    WHERE g.gone
    ORDER BY g.known, g.born, g.id DESC
), found AS (
    SELECT p.key, p.hash, p.born, p.nth, live.id AS live, gone.id AS gone, g.id AS once,
        live.id IS NOT NULL AND coalesce(p.was = live.content_hash, p.born = live.born, TRUE) AS same,
        live.id IS NOT NULL AND coalesce(p.born <> live.born, FALSE) AS reborn
    FROM phone AS p
    LEFT JOIN entry AS live ON NOT live.gone AND (live.known, live.nth) = (p.known, p.nth)
    LEFT JOIN gone ON (gone.known, gone.content_hash, gone.nth) = (p.known, coalesce(p.was, p.hash), p.nth)
    LEFT JOIN once AS g ON {once}
), judged AS (
    SELECT f.*,
        CASE
            WHEN f.same THEN 'there'
            WHEN f.live IS NOT NULL AND NOT f.reborn THEN 'changed'
            WHEN f.gone IS NOT NULL THEN 'there'
            WHEN f.once IS NOT NULL THEN 'changed'
            ELSE 'new'
        END AS verdict,
        CASE WHEN f.same OR NOT f.reborn THEN f.live END AS still
    FROM found AS f
)
SELECT j.key, j.hash, j.born, row_number() OVER (PARTITION BY j.key ORDER BY j.nth, j.hash) AS occurrence, j.verdict,
    coalesce(j.still, j.gone, j.once) AS entry
FROM judged AS j""").format(classification=CLASSIFICATION, phones=PHONES, table=table, known=known, nth=nth, once=once)


def mark_gone(table: str) -> sql.Composed:
    """Mark the entries whose phone row no longer exists; the rows affected are those marked."""
    return sql.SQL("""\
UPDATE powerca_sync.pulled AS l SET gone_at = now()
WHERE l.table_name = {table} AND l.gone_at IS NULL
    AND NOT EXISTS (SELECT FROM {classification} AS f WHERE f.entry = l.id)""").format(
        table=table, classification=CLASSIFICATION
    )


def newly_gone(table: str, after: int) -> sql.Composed:
    """Select the next `PAGE` entries that this transaction marked: id, mobile primary key, creation time."""
    return sql.SQL("""\
SELECT l.id, l.mobile_key, l.born FROM powerca_sync.pulled AS l
WHERE l.table_name = {table} AND l.gone_at = now() AND l.id > {after}
ORDER BY l.id LIMIT {page}""").format(table=table, after=after, page=PAGE)


def end(entries: Sequence[int]) -> sql.Composed:
    """End the entries with these ids: their row became a desktop row on mobile.

    Ended entries are kept, and used again if the row becomes a phone row again.
    """
    return sql.SQL("UPDATE powerca_sync.pulled AS l SET gone_at = '-infinity' WHERE l.id = ANY ({}::bigint[])").format(
        list(entries)
    )


def refresh(*, keyed: bool) -> sql.Composed:
    """Update entries: unmark those whose phone row exists again, and store today's keys and hashes.

    The entry of a row that was edited after its pull keeps the hash of what was pulled; not so without a primary key on
    mobile (`keyed` is false), where the hash identifies the row.
    """
    renewed = sql.SQL("f.verdict = 'there'" if keyed else "TRUE")
    return sql.SQL("""\
UPDATE powerca_sync.pulled AS l SET
    gone_at = NULL,
    mobile_key = f.key,
    content_hash = CASE WHEN {renewed} THEN f.hash ELSE l.content_hash END,
    occurrence = f.occurrence
FROM {classification} AS f
WHERE f.entry = l.id
    AND (l.gone_at IS NOT NULL OR l.mobile_key <> f.key OR ({renewed} AND l.content_hash <> f.hash))\
""").format(classification=CLASSIFICATION, renewed=renewed)


def find_entries(mapping: TableMapping) -> sql.Composed:
    """Create `entries`: each ledger entry with the place of its row at the target, or NULL if that no longer exists.

    Entries are paired with rows of the same content first; the rest by key, because the office may have edited rows.
    """
    columns = compared_columns(mapping)
    whole = [sql.SQL("{} IS NOT NULL").format(sql.Identifier("l", name)) for name in mapping.key_names]
    # The list of columns may be empty: some tables have nothing but stamps in common.
    images = COMMA.join(
        [
            sql.SQL('p.id AS "e:id", p.gone_at IS NOT NULL AS "e:gone"'),
            *(sql.SQL("{} AS {}").format(from_image("p", column), sql.Identifier(column.name)) for column in columns),
        ]
    )
    return sql.SQL("""\
CREATE TEMP TABLE {entries} ON COMMIT DROP AS
WITH image AS MATERIALIZED (
    SELECT l."e:id" AS id, l."e:gone" AS gone, {image_content} AS content, {image_key} AS key, {whole} AS whole,
        row_number() OVER (PARTITION BY {image_content} ORDER BY l."e:gone", l."e:id") AS copy
    FROM (
        SELECT {images}
        FROM powerca_sync.pulled AS p
        WHERE p.table_name = {table}
    ) AS l
), present AS MATERIALIZED (
    -- Joins to distinct values: an IN within an OR is evaluated row by row if the planner expects many.
    SELECT t.*, row_number() OVER (PARTITION BY t.content ORDER BY t.relation, t.place) AS copy
    FROM (
        SELECT t.tableoid AS relation, t.ctid AS place, {content} AS content, {key} AS key FROM {target} AS t
    ) AS t
    LEFT JOIN (SELECT DISTINCT i.content AS known FROM image AS i) AS c ON c.known = t.content
    LEFT JOIN (SELECT DISTINCT i.key AS known FROM image AS i) AS k ON k.known = t.key
    WHERE c.known IS NOT NULL OR k.known IS NOT NULL
), same AS (
    SELECT i.id, p.relation, p.place FROM image AS i JOIN present AS p USING (content, copy)
), loose_image AS (
    SELECT i.id, i.key, row_number() OVER (PARTITION BY i.key ORDER BY i.gone, i.id) AS n
    FROM image AS i
    WHERE i.whole AND NOT EXISTS (SELECT FROM same AS s WHERE s.id = i.id)
), loose_present AS (
    SELECT p.relation, p.place, p.key, row_number() OVER (PARTITION BY p.key ORDER BY p.relation, p.place) AS n
    FROM present AS p
    WHERE NOT EXISTS (SELECT FROM same AS s WHERE (s.relation, s.place) = (p.relation, p.place))
)
SELECT i.id, i.gone, coalesce(s.relation, p.relation) AS relation, coalesce(s.place, p.place) AS place
FROM image AS i
LEFT JOIN same AS s ON s.id = i.id
LEFT JOIN loose_image AS l ON l.id = i.id
LEFT JOIN loose_present AS p ON (p.key, p.n) = (l.key, l.n)""").format(
        entries=ENTRIES,
        image_content=row_text(mapping, "l", columns),
        image_key=key_text(mapping, "l"),
        whole=AND.join(whole) if whole else sql.SQL("FALSE"),
        images=images,
        table=mapping.table,
        content=row_text(mapping, "t", columns),
        key=key_text(mapping, "t"),
        target=mapping.target.identifier,
    )


def backfill_images(mapping: TableMapping) -> sql.Composed:
    """Add columns that were created later to the stored images of existing rows.

    Until the table is rewritten, PostgreSQL's catalog has the value that the rows of then got.
    """
    return sql.SQL("""\
UPDATE powerca_sync.pulled AS l SET image = {image} || l.image
FROM {entries} AS e JOIN {target} AS t ON (t.tableoid, t.ctid) = (e.relation, e.place)
WHERE l.id = e.id AND NOT l.image ?& {names}::text[]""").format(
        image=image_of(mapping.target.columns, "t"),
        entries=ENTRIES,
        target=mapping.target.identifier,
        names=[column.name for column in mapping.target.columns],
    )


def compared_columns(mapping: TableMapping) -> tuple[Column, ...]:
    """Returns the target's columns by which a phone row and its copy are compared."""
    return tuple(column for column in mapping.staged if column.name not in (*STAMPS, OWNER))


def create_entries() -> sql.Composed:
    """Create an empty `entries`."""
    return sql.SQL("CREATE TEMP TABLE {} (id bigint, gone boolean, relation oid, place tid) ON COMMIT DROP").format(
        ENTRIES
    )


def delete_missing_entries() -> sql.Composed:
    """Delete entries whose row is missing at the target, and classify their phone rows as new."""
    return sql.SQL("""\
WITH missing AS (
    UPDATE {classification} AS f SET verdict = 'new', entry = NULL
    FROM {entries} AS e
    WHERE e.id = f.entry AND e.place IS NULL
    RETURNING e.id
)
DELETE FROM powerca_sync.pulled AS l USING missing AS m WHERE l.id = m.id""").format(
        classification=CLASSIFICATION, entries=ENTRIES
    )


def count_classified() -> sql.Composed:
    """Count phone rows: all, `there`, `changed`, missing at the target; then the first keys of the last two."""
    first = sql.SQL(
        "(SELECT coalesce(array_agg(few.key), '{{}}') FROM (SELECT f.key FROM fate AS f WHERE {} ORDER BY f.key"
        " LIMIT 20) AS few)"
    )
    return sql.SQL("""\
WITH fate AS (
    SELECT f.key, f.verdict, f.verdict <> 'new' AND e.place IS NULL AS missing
    FROM {classification} AS f
    LEFT JOIN {entries} AS e ON e.id = f.entry
)
SELECT count(*), count(*) FILTER (WHERE f.verdict <> 'new'), count(*) FILTER (WHERE f.verdict = 'changed'),
    count(*) FILTER (WHERE f.missing),
    {changed},
    {missing}
FROM fate AS f""").format(
        classification=CLASSIFICATION,
        entries=ENTRIES,
        changed=first.format(sql.SQL("f.verdict = 'changed'")),
        missing=first.format(sql.SQL("f.missing")),
    )


def new_keys(after: str | None) -> sql.Composed:
    """Select the first `PAGE` keys of new phone rows in order, or the next ones after this one."""
    return sql.SQL("""\
SELECT DISTINCT f.key COLLATE "C" FROM {} AS f
WHERE f.verdict = 'new' AND ({after}::text IS NULL OR f.key COLLATE "C" > {after}) ORDER BY 1 LIMIT {page}""").format(
        CLASSIFICATION, after=after, page=PAGE
    )


def are_all_new() -> sql.Composed:
    """Select whether every phone row is new."""
    return sql.SQL("SELECT bool_and(f.verdict = 'new') FROM {} AS f").format(CLASSIFICATION)
