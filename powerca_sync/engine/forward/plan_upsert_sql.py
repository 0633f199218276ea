"""Statement that plans a merge by key, for tables whose key the source generates."""

from psycopg import sql

from powerca_sync.engine.mapping import ACTIONS, COMMA, HELD, STAGING, TableMapping, content_text, is_ours, same_key
from powerca_sync.specs import Deletes


def plan_upsert(
    mapping: TableMapping, *, complete: bool, foreign: sql.Composable, all_staged: bool = False
) -> sql.Composed:
    """Pair staged and target rows by key and choose an action for each pair. Returns (action, count).

    With `complete`, staging has all rows of the source, and target rows without a staged row get an action too.
    Of several rows of a key, one that is not `foreign` is preferred.
    Recorded: `insert`, `update`, `delete`, `held`, `collision`, `conflict`; only counted: `unchanged`, `keep`, `stale`,
    `other`.

    With `all_staged`, staging has the rows of unchanged keys too, and most rows are unchanged. These are not kept in
    the statement: they are the office's rows less those that another action has. The count of the staged rows, to
    which all counts are compared in the end, is independent of that.

    Rows of other offices are looked up by key, and only those of staged rows that no row of the office has; a key that
    repeats has no index to look it up by, and all rows are read.
    """
    deletes = mapping.spec.deletes is Deletes.PROPAGATE
    staged_row, target_row = (mapping.row(alias, mapping.content) for alias in ("s", "t"))
    is_unchanged = sql.SQL("{is_ours} AND {staged_row} IS NOT DISTINCT FROM {target_row}").format(
        is_ours=is_ours(mapping, "t"), staged_row=staged_row, target_row=target_row
    )
    subtracted = complete and all_staged and mapping.target.is_unique(mapping.key_names)
    return _PLAN.format(
        shown=sql.SQL("(s.ctid IS NOT NULL AND {}) IS NOT TRUE").format(is_unchanged)
        if subtracted
        else sql.SQL("TRUE"),
        unchanged=_count_unchanged(mapping) if subtracted else sql.SQL(""),
        is_ours=is_ours(mapping, "t"),
        held=HELD,
        held_key=same_key(mapping, "h", "t"),
        gone=sql.Literal("delete" if deletes else "stale"),
        in_office=mapping.in_office("t"),
        owner=mapping.owner("t"),
        is_unchanged=is_unchanged,
        staged_row=staged_row,
        target_row=target_row,
        staging=STAGING,
        join=sql.SQL("FULL" if complete else "LEFT"),
        existing=_one_row_a_key(mapping, foreign),
        same_key=same_key(mapping, "s", "t"),
        planned=_with_collisions(mapping),
        actions=ACTIONS,
        before=_before(mapping, "p.relation", "p.existing"),
    )


_PLAN = sql.SQL("""\
WITH paired AS MATERIALIZED (
    SELECT s.ctid AS staged, t."t:relation" AS relation, t."t:place" AS existing,
        CASE
            WHEN t."t:place" IS NULL THEN 'insert'
            WHEN s.ctid IS NULL THEN
                CASE
                    WHEN ({is_ours}) IS NOT TRUE THEN 'other'
                    WHEN EXISTS (SELECT FROM {held} AS h WHERE {held_key}) THEN 'held'
                    ELSE {gone}
                END
            WHEN ({in_office}) IS NOT TRUE THEN 'collision'
            WHEN {owner} IS NULL THEN 'update'
            WHEN {is_unchanged} THEN 'unchanged'
            WHEN {owner} = 'D' THEN 'update'
            WHEN {staged_row} IS DISTINCT FROM {target_row} THEN 'conflict'
            ELSE 'keep'
        END AS action
    FROM {staging} AS s
    {join} JOIN {existing} AS t ON {same_key}
    WHERE {shown}
), planned AS MATERIALIZED (
    {planned}
), recorded AS (
    INSERT INTO {actions} (action, n, staged, relation, existing, before)
    SELECT p.action, row_number() OVER (PARTITION BY p.action), p.staged, p.relation, p.existing, {before}
    FROM planned AS p
    WHERE p.action IN ('insert', 'update', 'delete', 'held', 'collision', 'conflict')
)
SELECT action, count(*) FROM planned GROUP BY action{unchanged}""")


def _count_unchanged(mapping: TableMapping) -> sql.Composed:
    """Count the office's rows less those of the statement's other pairs."""
    return sql.SQL("""
UNION ALL
SELECT 'unchanged',
    (SELECT count(*) FROM {target} AS t WHERE {in_office} AND {merge_filter}) - (SELECT count(existing) FROM paired)\
""").format(target=mapping.target.identifier, in_office=mapping.in_office("t"), merge_filter=mapping.merge_filter)


def _with_collisions(mapping: TableMapping) -> sql.Composable:
    """Select the pairs; inserts whose unique key a row of another office, or of none, has are collisions."""
    if not mapping.target.is_unique(mapping.key_names):
        return sql.SQL("SELECT p.* FROM paired AS p")
    # LIMIT keeps the planner from a join that would read the table.
    return sql.SQL("""\
SELECT CASE WHEN o.place IS NULL THEN p.action ELSE 'collision' END AS action, p.staged,
        coalesce(p.relation, o.relation) AS relation, coalesce(p.existing, o.place) AS existing
    FROM paired AS p
    LEFT JOIN LATERAL (
        SELECT t.tableoid AS relation, t.ctid AS place
        FROM {staging} AS s JOIN {target} AS t ON {same_key}
        WHERE p.action = 'insert' AND s.ctid = p.staged AND {merge_filter}
        LIMIT 1
    ) AS o ON TRUE""").format(
        staging=STAGING,
        target=mapping.target.identifier,
        same_key=same_key(mapping, "s", "t"),
        merge_filter=mapping.merge_filter,
    )


def _one_row_a_key(mapping: TableMapping, foreign: sql.Composable) -> sql.Composed:
    """Returns the office's rows; if the key repeats, of all rows those that pair, the office's desktop-owned first."""
    if mapping.target.is_unique(mapping.key_names):
        return sql.SQL("""\
(
        SELECT t.tableoid AS "t:relation", t.ctid AS "t:place", t.*
        FROM {target} AS t
        WHERE {in_office} AND {merge_filter}
    )""").format(target=mapping.target.identifier, in_office=mapping.in_office("t"), merge_filter=mapping.merge_filter)
    return sql.SQL("""\
(
        SELECT DISTINCT ON ({key}) t.tableoid AS "t:relation", t.ctid AS "t:place", t.*
        FROM {target} AS t
        WHERE {merge_filter}
        ORDER BY {key}, ({in_office}) IS NOT TRUE, ({owner} = 'D') IS NOT TRUE, {owner} IS NOT NULL,
            ({foreign}) IS TRUE, t.ctid
    )""").format(
        key=COMMA.join(sql.Identifier("t", name) for name in mapping.key_names),
        target=mapping.target.identifier,
        merge_filter=mapping.merge_filter,
        in_office=mapping.in_office("t"),
        owner=mapping.owner("t"),
        foreign=foreign,
    )


def _before(mapping: TableMapping, relation: str, place: str) -> sql.Composed:
    return sql.SQL("(SELECT {} FROM {} AS t WHERE t.ctid = {} AND t.tableoid = {})").format(
        content_text(mapping, "t"),
        mapping.target.identifier,
        sql.Identifier(*place.split(".")),
        sql.Identifier(*relation.split(".")),
    )
