"""Statements that plan a merge by content, then by key and ordinal, for tables whose key the target generates."""

from psycopg import sql

from powerca_sync.engine.mapping import (
    ACTIONS,
    COMMA,
    ECHOED,
    HELD,
    STAGING,
    UNSETTLED,
    TableMapping,
    content_hash,
    content_text,
    is_ours,
    key_text,
)
from powerca_sync.engine.postgres import PLAIN
from powerca_sync.specs import PHONE

#: Rows of equal content, copy by copy, and what is left over on either side, numbered within its key.
_MATCHES = sql.SQL("""\
same AS (
    SELECT s.place AS staged, t.relation, t.place AS existing, t.rank, t.content
    FROM staged AS s JOIN existing AS t USING (content, copy)
), loose_staged AS (
    SELECT s.*, row_number() OVER (PARTITION BY s.key ORDER BY s.content, s.place) AS n,
        count(*) OVER (PARTITION BY s.key) AS of_key
    FROM staged AS s
    WHERE NOT EXISTS (SELECT FROM existing AS t WHERE (t.content, t.copy) = (s.content, s.copy))
), loose_existing AS (
    SELECT t.*, row_number() OVER (PARTITION BY t.key ORDER BY t.rank, t.is_foreign, t.content, t.ordinal) AS n,
        count(*) OVER (PARTITION BY t.key) AS of_key
    FROM existing AS t
    WHERE t.rank < 2 AND NOT EXISTS (SELECT FROM staged AS s WHERE (t.content, t.copy) = (s.content, s.copy))""")

#: Pairs the rows of unsettled contents, and records the actions.
_PAIRS = sql.SQL("""\
WITH staged AS MATERIALIZED (
{staged}
), found AS MATERIALIZED (
{found}
), existing AS MATERIALIZED (
{existing}
), {matches}
), paired AS (
    SELECT CASE rank WHEN 0 THEN 'unchanged' WHEN 1 THEN 'update' ELSE 'keep' END AS action,
        staged, relation, existing, content AS before
    FROM same
    UNION ALL
    SELECT
        CASE
            WHEN p.existing IS NULL THEN 'insert'
            -- One of the existing rows is the last good version of a quarantined row; which one is unknown.
            WHEN p.existing_of_key > p.staged_of_key AND p.is_held THEN 'ambiguous'
            WHEN p.staged IS NOT NULL THEN 'update'
            WHEN p.rank > 0 THEN 'other'
            WHEN p.is_held THEN 'held'
            ELSE {gone}
        END,
        p.staged, p.relation, p.existing, p.before
    FROM (
        SELECT s.place AS staged, t.relation, t.place AS existing, t.rank, t.content AS before,
            s.of_key AS staged_of_key, t.of_key AS existing_of_key,
            EXISTS (SELECT FROM {held} AS h WHERE {held_key}) AS is_held
        FROM loose_staged AS s FULL JOIN loose_existing AS t ON s.key = t.key AND s.n = t.n
    ) AS p
), recorded AS (
    INSERT INTO {actions} (action, n, staged, relation, existing, before)
    SELECT action, row_number() OVER (PARTITION BY action ORDER BY staged), staged, relation, existing, before
    FROM paired
    WHERE action IN ('insert', 'update', 'delete', 'held', 'ambiguous')
)
SELECT action, count(*) FROM paired GROUP BY action
UNION ALL
SELECT 'overtaken', 1
WHERE (SELECT count(*) FROM existing WHERE rank = 0)
    <> (SELECT coalesce(sum(u.existing), 0) FROM {unsettled} AS u)""")


def plan_contents(mapping: TableMapping) -> sql.Composed:
    """Record each content that staging and the desktop-owned rows of the target do not have equally often.

    Rows of all other contents are unchanged. Contents are grouped by `content_hash`, in the order of the hashes: the
    planner expects few contents and would collect them in a hash table, which for a million takes a third more time and
    three times the memory. The target's other rows are recorded together, without a hash.
    """
    return sql.SQL("""\
WITH sides AS (
    SELECT {staged_hash} AS hash, s.ctid AS place, 1::smallint AS side FROM {staging} AS s
    UNION ALL
    SELECT CASE WHEN {owner} = 'D' THEN {owned_hash} END, t.ctid, -1::smallint
    FROM {target} AS t
    WHERE {in_office} AND {merge_filter}
    ORDER BY hash
)
INSERT INTO {unsettled} (hash, staged, existing, place)
SELECT hash, (count(*) + sum(side)) / 2, (count(*) - sum(side)) / 2, min(place)
FROM sides GROUP BY hash HAVING sum(side) <> 0""").format(
        staged_hash=content_hash(mapping, "s"),
        staging=STAGING,
        owner=mapping.owner("t"),
        owned_hash=content_hash(mapping, "t"),
        target=mapping.target.identifier,
        in_office=mapping.in_office("t"),
        merge_filter=mapping.merge_filter,
        unsettled=UNSETTLED,
    )


def take_others() -> sql.Composed:
    """Remove the record of the target's rows that are not desktop-owned; returns their number, or no row."""
    return sql.SQL("DELETE FROM {} WHERE hash IS NULL RETURNING existing").format(UNSETTLED)


def count_settled() -> sql.Composed:
    """Count (staged rows of settled contents, unsettled contents, of them those with several rows, their staged rows,
    their rows of the target).
    """
    return sql.SQL("""\
SELECT (SELECT count(*) FROM {staging}) - coalesce(sum(staged), 0)::bigint, count(*),
    count(*) FILTER (WHERE staged + existing > 1), coalesce(sum(staged), 0)::bigint, coalesce(sum(existing), 0)::bigint
FROM {unsettled}""").format(staging=STAGING, unsettled=UNSETTLED)


def plan_pairs(
    mapping: TableMapping, *, complete: bool, copies: bool, others: bool, foreign: sql.Composable
) -> sql.Composed:
    """Pair the rows of unsettled contents: equal rows copy by copy, then desktop-owned rows by key and ordinal.

    Target rows left over, `foreign` ones first, are deleted if staging is `complete` and their key is not quarantined.
    An unowned row is taken over by an update. Returns (action, count). Recorded: `insert`, `update`, `delete`, `held`;
    only counted: `unchanged`, `keep` (the equal row is not desktop-owned), `other`; `overtaken` if rows were written
    since `plan_contents`. Without `copies` each unsettled content has one row, whose place is known. Without `others`
    all rows of the target are desktop-owned.
    """
    alone = _is_alone(mapping, copies=copies)
    return _PAIRS.format(
        staged=_unsettled_staged(mapping, alone),
        found=_unsettled_owned(mapping, alone),
        existing=_existing(mapping, foreign, others=others),
        matches=_MATCHES,
        held=HELD,
        held_key=sql.SQL("{} = t.key").format(key_text(mapping, "h")) if mapping.key_names else sql.SQL("FALSE"),
        gone=sql.Literal("delete" if complete else "other"),
        actions=ACTIONS,
        unsettled=UNSETTLED,
    )


def _is_alone(mapping: TableMapping, *, copies: bool) -> sql.Composable:
    """Returns a condition on the unsettled content `u`: it has one row, whose place is known."""
    if mapping.target.kind != PLAIN or mapping.target.has_children:
        # A ctid alone does not identify the partition.
        return sql.SQL("FALSE")
    return sql.SQL("u.staged + u.existing = 1") if copies else sql.SQL("TRUE")


def _unsettled_staged(mapping: TableMapping, alone: sql.Composable) -> sql.Composed:
    """Returns the staged rows of unsettled contents as (place, content, key, copy)."""
    return sql.SQL("""\
    SELECT f.place, {staged_content} AS content, {staged_key} AS key,
        row_number() OVER (PARTITION BY {staged_content} ORDER BY f.place) AS copy
    FROM (
        SELECT u.place FROM {unsettled} AS u WHERE u.staged = 1 AND {alone}
        UNION ALL
        SELECT c.place FROM {staged} AS c JOIN {unsettled} AS u USING (hash) WHERE u.staged > 0 AND NOT ({alone})
    ) AS f
    JOIN {staging} AS s ON s.ctid = f.place""").format(
        staged=_hashed(mapping, "s", sql.SQL("{} AS s").format(STAGING)),
        staged_content=content_text(mapping, "s"),
        staged_key=_pairing_key(mapping, "s"),
        staging=STAGING,
        unsettled=UNSETTLED,
        alone=alone,
    )


def _unsettled_owned(mapping: TableMapping, alone: sql.Composable) -> sql.Composed:
    """Returns the places (relation, place) of the desktop-owned rows of unsettled contents."""
    return sql.SQL("""\
    -- The version that this statement sees: other sessions may have written the row since the last statement.
    SELECT {oid}::oid AS relation,
        CASE
            WHEN EXISTS (SELECT FROM {target} AS t WHERE t.ctid = u.place) THEN u.place
            ELSE currtid2({oid}::oid::regclass::text, u.place)
        END AS place
    FROM {unsettled} AS u WHERE u.existing = 1 AND {alone}
    UNION ALL
    SELECT c.relation, c.place FROM {owned} AS c JOIN {unsettled} AS u USING (hash)
    WHERE u.existing > 0 AND NOT ({alone})""").format(
        unsettled=UNSETTLED,
        alone=alone,
        oid=sql.Literal(mapping.target.oid),
        target=mapping.target.identifier,
        owned=_hashed(mapping, "t", _owned(mapping), sql.SQL("t.tableoid AS relation")),
    )


def _existing(mapping: TableMapping, foreign: sql.Composable, *, others: bool) -> sql.Composed:
    """Returns the target's rows that may pair, in the form of `_described`, and their number among equal ones."""
    return sql.SQL("""\
    -- The desktop's own rows come first, so that phone rows pair only with what is left over.
    SELECT e.*, row_number() OVER (PARTITION BY e.content ORDER BY e.rank, e.is_foreign, e.ordinal) AS copy
    FROM (
        SELECT {described} FROM found AS f JOIN {target} AS t ON t.ctid = f.place AND t.tableoid = f.relation{others}
    ) AS e""").format(
        described=_described(mapping, foreign),
        target=mapping.target.identifier,
        others=_others(mapping, foreign) if others else sql.SQL(""),
    )


def _others(mapping: TableMapping, foreign: sql.Composable) -> sql.Composed:
    """Returns the phone rows of unsettled contents, and all unowned rows, in the form of `_described`.

    Not by their places: how many there are is unknown when the statement is planned, and joining many places means
    reading the whole table.
    """
    rows = sql.SQL("{} AS t WHERE {} IS DISTINCT FROM 'D' AND {} AND {}").format(
        mapping.target.identifier, mapping.owner("t"), mapping.in_office("t"), mapping.merge_filter
    )
    phone = sql.SQL("{} IS NOT DISTINCT FROM {} AS phone").format(mapping.owner("t"), PHONE)
    return sql.SQL("""
        UNION ALL
        SELECT c.relation, c.place, c.content, c.key, c.rank, c.is_foreign, c.ordinal
        FROM (
            SELECT c.*, row_number() OVER (PARTITION BY c.rank, c.content ORDER BY c.phone DESC, c.place) AS copy
            FROM {rows} AS c
            LEFT JOIN (SELECT DISTINCT u.hash AS wanted FROM {unsettled} AS u WHERE u.staged > 0) AS u
                ON u.wanted = c.hash
            WHERE c.rank = 1 OR u.wanted IS NOT NULL
        ) AS c
        -- A phone row whose copy was skipped as an echo pairs with no other row.
        LEFT JOIN (SELECT e.content, count(*) AS copies FROM {echoed} AS e GROUP BY e.content) AS e USING (content)
        WHERE c.rank = 1 OR c.copy > coalesce(e.copies, 0)""").format(
        rows=_hashed(mapping, "t", rows, _described(mapping, foreign), phone, placed=False),
        unsettled=UNSETTLED,
        echoed=ECHOED,
    )


def _described(mapping: TableMapping, foreign: sql.Composable) -> sql.Composed:
    """Returns the columns relation, place, content, key, rank, is_foreign and ordinal of the target's row `t`.

    The rank is 0 for the desktop's rows, 1 for unowned ones, 2 for those of phones.
    """
    primary_key = [sql.Identifier("t", name) for name in mapping.target.primary_key]
    return sql.SQL(
        "t.tableoid AS relation, t.ctid AS place, {content} AS content, {key} AS key, "
        "CASE {owner} WHEN 'D' THEN 0 ELSE CASE WHEN {owner} IS NULL THEN 1 ELSE 2 END END AS rank, "
        "{foreign} AS is_foreign, ROW({ordinal}) AS ordinal"
    ).format(
        content=content_text(mapping, "t"),
        key=_pairing_key(mapping, "t"),
        owner=mapping.owner("t"),
        foreign=foreign,
        ordinal=COMMA.join([*primary_key, sql.SQL("t.tableoid"), sql.SQL("t.ctid")]),
    )


def _pairing_key(mapping: TableMapping, alias: str) -> sql.Composable:
    """Returns the text by which rows of different content pair; in a table without a key they cannot."""
    return key_text(mapping, alias) if mapping.key_names else content_text(mapping, alias)


def _owned(mapping: TableMapping) -> sql.Composed:
    """Returns the desktop-owned rows of the target within the merge's filter."""
    return sql.SQL("{} AS t WHERE {} AND {}").format(
        mapping.target.identifier, is_ours(mapping, "t"), mapping.merge_filter
    )


def _hashed(
    mapping: TableMapping, alias: str, rows: sql.Composable, *also: sql.Composable, placed: bool = True
) -> sql.Composed:
    """Returns rows as (hash, ...`also`), with `content_hash`, and with their place unless `also` has it.

    OFFSET 0 makes PostgreSQL compute the hash once for each row.
    """
    values = [sql.SQL("{} AS hash").format(content_hash(mapping, alias))]
    if placed:
        values.append(sql.SQL("{} AS place").format(sql.Identifier(alias, "ctid")))
    return sql.SQL("(SELECT {values} FROM {rows} OFFSET 0)").format(values=COMMA.join([*values, *also]), rows=rows)
