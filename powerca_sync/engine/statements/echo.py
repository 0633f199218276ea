"""The statement that takes out of staging what came from phones by a pull."""

from psycopg import sql

from powerca_sync.engine.mapping import FROM_PHONE, TableMapping
from powerca_sync.engine.statements import phones
from powerca_sync.engine.statements.extract import MADE, MOBILE_KEY, NUMBER
from powerca_sync.engine.statements.fragments import AND, ECHOED, LEDGER, STAGING, key_text, row_text
from powerca_sync.tables import DESKTOP, PHONE, STAMPS, Strategy


def set_aside_echo(mapping: TableMapping) -> sql.Composed:
    """Remove what came from phones: rows equal to a ledger image, then the office's edits of pulled rows, then rows
    whose own `source` names the phones.

    Answers (echo, edited, first edited keys). Images and rows pair as multisets: a second equal row is the office's
    own. A row is an edit if it has the key of an image whose copy is not there any more, as long as the office's own
    rows of that key on the target do not explain it: unchanged ones and edits of those come first. The contents of
    echo are remembered, for the phone rows that they stand for.

    Somebody may hand a pulled phone row over to the desktop on mobile, by its `source`. Its image is none any more, and
    the copy is the desktop's own row: otherwise the row on mobile would have no equal, and be deleted. Images are
    `handed` over whose phone row is the desktop's now, as its primary key says; and as many as there are more of them
    than phone rows, and more rows of the desktop's on mobile than the office has besides: what stands there stays.
    """
    pulled = tuple(c.column for c in mapping.synced if c.name not in STAMPS)
    own = tuple(column for column in pulled if column.name not in mapping.spec.mobile_owned)
    nothing: sql.Composable = sql.SQL("FALSE")
    whole = [sql.SQL("{} IS NOT NULL").format(sql.Identifier("l", name)) for name in mapping.spec.key]
    by_key = mapping.spec.strategy is Strategy.UPSERT
    return sql.SQL("""\
WITH pulled AS MATERIALIZED (
    SELECT l.{number} AS number, l.{mobile_key} AS mobile_key, l.{made} AS born, {ledger_content} AS content,
        {ledger_same} AS same, {ledger_key} AS key, {ledger_key_whole} AS whole
    FROM {ledger} AS l
), staged AS MATERIALIZED (
    -- Joins to what is distinct: an IN within an OR is searched row by row where the planner expects many.
    SELECT s.*, row_number() OVER (PARTITION BY s.content ORDER BY s.from_phone DESC, s.place) AS copy
    FROM (
        SELECT s.ctid AS place, {content} AS content, {own} AS own, {same} AS same, {key} AS key,
            {from_phone} AS from_phone
        FROM {staging} AS s
    ) AS s
    LEFT JOIN (SELECT DISTINCT p.content AS known FROM pulled AS p) AS c ON c.known = s.content
    LEFT JOIN (SELECT DISTINCT p.key AS known FROM pulled AS p) AS k ON k.known = s.key
    WHERE c.known IS NOT NULL OR k.known IS NOT NULL OR s.from_phone
), entry AS MATERIALIZED (
    SELECT p.* FROM pulled AS p
    UNION ALL
    -- Beyond the images, a row's own word has the weight of one.
    SELECT NULL, NULL, NULL, s.content, s.same, s.key, FALSE
    FROM staged AS s LEFT JOIN (SELECT p.content, count(*) AS rows FROM pulled AS p GROUP BY 1) AS p USING (content)
    WHERE s.from_phone AND s.copy > coalesce(p.rows, 0)
), spare AS (
    SELECT same, least(e.images - t.phones, t.others - greatest(coalesce(s.rows, 0) - e.images, 0)) AS rows
    FROM (SELECT e.same, count(*) AS images FROM entry AS e GROUP BY e.same) AS e
    JOIN (
        SELECT {target_same} AS same, count(*) FILTER (WHERE {owner} = {phone} AND {is_pulled}) AS phones,
            count(*) FILTER (WHERE {owner} = {desktop} OR {owner} IS NULL) AS others
        FROM {target} AS t{known_phones}
        WHERE EXISTS (SELECT FROM entry) AND {in_office}
            AND EXISTS (SELECT FROM entry AS e WHERE e.same = {target_same})
        GROUP BY 1
    ) AS t USING (same)
    LEFT JOIN (SELECT s.same, count(*) AS rows FROM staged AS s GROUP BY s.same) AS s USING (same)
), turned AS (
{turned}
), image AS MATERIALIZED (
    SELECT e.content, e.key, e.whole, e.handed,
        row_number() OVER (PARTITION BY e.content ORDER BY e.handed, e.number) AS copy
    FROM (
        SELECT e.*, r.number IS NOT NULL OR coalesce(p.rows, 0) >= row_number() OVER (
            PARTITION BY e.same
            ORDER BY r.changed IS TRUE, h.content IS NULL, r.number IS NULL,
                e.number DESC NULLS LAST
        ) AS handed
        FROM entry AS e
        LEFT JOIN spare AS p USING (same)
        LEFT JOIN turned AS r ON r.number = e.number
        LEFT JOIN (SELECT DISTINCT s.content FROM staged AS s) AS h USING (content)
    ) AS e
    WHERE e.handed OR e.number IS NOT NULL
), echo AS (
    SELECT s.place FROM staged AS s JOIN image AS i USING (content, copy) WHERE NOT i.handed
), gone AS (
    SELECT i.key, i.handed, row_number() OVER (PARTITION BY i.key, i.handed) AS ordinal
    FROM image AS i
    WHERE i.whole AND NOT EXISTS (SELECT FROM staged AS s WHERE (s.content, s.copy) = (i.content, i.copy))
), left_over AS (
    SELECT s.place, s.key, s.own, s.from_phone,
        row_number() OVER (PARTITION BY s.own ORDER BY s.from_phone, s.place) AS copy
    FROM staged AS s
    WHERE NOT EXISTS (SELECT FROM echo AS e WHERE e.place = s.place)
), owned AS (
    SELECT {target_key} AS key, {target_own} AS own, row_number() OVER (PARTITION BY {target_own}) AS copy
    FROM {target} AS t
    WHERE {owner} = {desktop} AND {in_office} AND EXISTS (SELECT FROM gone AS g WHERE g.key = {target_key})
), changed AS (
    SELECT l.place, l.key, l.from_phone, row_number() OVER (PARTITION BY l.key ORDER BY l.own, l.place) AS ordinal
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
    JOIN gone AS g ON NOT g.handed AND g.key = c.key AND g.ordinal = c.ordinal - coalesce(o.rows, 0)
), given_back AS (
    SELECT s.place FROM staged AS s JOIN image AS i USING (content, copy) WHERE i.handed
    UNION ALL
    SELECT c.place
    FROM (
        SELECT c.place, c.key, row_number() OVER (PARTITION BY c.key ORDER BY c.ordinal) AS ordinal
        FROM changed AS c
        WHERE c.from_phone AND NOT EXISTS (SELECT FROM edited AS e WHERE e.place = c.place)
            AND NOT EXISTS (
                SELECT FROM staged AS s JOIN image AS i USING (content, copy) WHERE i.handed AND s.place = c.place
            )
    ) AS c
    JOIN gone AS g ON g.handed AND (g.key, g.ordinal) = (c.key, c.ordinal)
), taken AS (
    SELECT e.place FROM echo AS e
    UNION
    SELECT e.place FROM edited AS e
    UNION
    SELECT s.place FROM staged AS s
    WHERE s.from_phone AND NOT EXISTS (SELECT FROM given_back AS b WHERE b.place = s.place)
), removed AS (
    DELETE FROM {staging} AS s USING taken AS t
    WHERE s.ctid = t.place
    RETURNING s.ctid AS place, {compared} AS content
), echoed AS (
    INSERT INTO {echoed} (content)
    SELECT r.content FROM removed AS r WHERE NOT EXISTS (SELECT FROM edited AS e WHERE e.place = r.place)
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
        number=sql.Identifier(NUMBER),
        mobile_key=sql.Identifier(MOBILE_KEY),
        made=sql.Identifier(MADE),
        content=row_text(mapping, "s", pulled),
        compared=row_text(mapping, "s", mapping.content),
        ledger_content=row_text(mapping, "l", pulled),
        own=row_text(mapping, "s", own),
        target_own=row_text(mapping, "t", own),
        same=key_text(mapping, "s") if by_key else row_text(mapping, "s", own),
        ledger_same=key_text(mapping, "l") if by_key else row_text(mapping, "l", own),
        target_same=key_text(mapping, "t") if by_key else row_text(mapping, "t", own),
        key=key_text(mapping, "s"),
        ledger_key=key_text(mapping, "l"),
        target_key=key_text(mapping, "t"),
        ledger_key_whole=AND.join(whole) if whole else nothing,
        turned=_turned(mapping, key_text(mapping, "t") if by_key else row_text(mapping, "t", own)),
        owner=mapping.owner("t"),
        phone=PHONE,
        is_pulled=sql.SQL("k.mobile_key IS NOT NULL" if mapping.target.primary_key else "TRUE"),
        known_phones=_known_phones(mapping),
        desktop=DESKTOP,
        in_office=mapping.in_office("t"),
        from_phone=sql.Identifier("s", FROM_PHONE) if mapping.source_has_owner else nothing,
    )


def _known_phones(mapping: TableMapping) -> sql.Composable:
    """A join that says of the target's row `t` whether the ledger has its primary key, where there is one."""
    if not mapping.target.primary_key:
        return sql.SQL("")
    return sql.SQL(
        "\n        LEFT JOIN (SELECT DISTINCT p.mobile_key FROM pulled AS p) AS k ON k.mobile_key = {}"
    ).format(phones.primary_key(mapping.target, "t"))


def _turned(mapping: TableMapping, same: sql.Composable) -> sql.Composed:
    """The entries whose phone row is the desktop's by now, as its primary key says, and whether it was changed too."""
    if not (mapping.target.primary_key and mapping.has_owner):
        return sql.SQL("    SELECT p.number, FALSE AS changed FROM pulled AS p WHERE FALSE").format()
    return sql.SQL("""\
    SELECT DISTINCT ON (p.mobile_key) p.number, p.same <> {same} AS changed
    FROM {target} AS t
    JOIN pulled AS p ON p.mobile_key = {primary_key}
    -- Made at another time, it is another row.
    WHERE {owner} = {desktop} AND {in_office} AND coalesce(p.born = {born}, TRUE)
    ORDER BY p.mobile_key, p.number DESC""").format(
        same=same,
        target=mapping.target.identifier,
        primary_key=phones.primary_key(mapping.target, "t"),
        owner=mapping.owner("t"),
        desktop=DESKTOP,
        in_office=mapping.in_office("t"),
        born=phones.born(mapping.target, "t"),
    )
