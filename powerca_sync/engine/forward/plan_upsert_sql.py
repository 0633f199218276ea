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
    the statement: they are the target's rows less those that another action has. The count of the staged rows, to
    which all counts are compared in the end, is independent of that.
    """
    deletes = mapping.spec.deletes is Deletes.PROPAGATE
    staged_row, target_row = (mapping.row(alias, mapping.content) for alias in ("s", "t"))
    is_unchanged = sql.SQL("{is_ours} AND {staged_row} IS NOT DISTINCT FROM {target_row}").format(
        is_ours=is_ours(mapping, "t"), staged_row=staged_row, target_row=target_row
    )
    shown: sql.Composable = sql.SQL("TRUE")
    unchanged: sql.Composable = sql.SQL("")
    if complete and all_staged and mapping.target.is_unique(mapping.spec.key):
        shown = sql.SQL("(s.ctid IS NOT NULL AND {}) IS NOT TRUE").format(is_unchanged)
        unchanged = sql.SQL("""
UNION ALL
SELECT 'unchanged', (SELECT count(*) FROM {target} AS t WHERE {merge_filter}) - (SELECT count(existing) FROM paired)\
""").format(target=mapping.target.identifier, merge_filter=mapping.merge_filter)
    return sql.SQL("""\
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
), recorded AS (
    INSERT INTO {actions} (action, n, staged, relation, existing, before)
    SELECT p.action, row_number() OVER (PARTITION BY p.action), p.staged, p.relation, p.existing, {before}
    FROM paired AS p
    WHERE p.action IN ('insert', 'update', 'delete', 'held', 'collision', 'conflict')
)
SELECT action, count(*) FROM paired GROUP BY action{unchanged}""").format(
        shown=shown,
        unchanged=unchanged,
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
        actions=ACTIONS,
        before=_before(mapping, "p.relation", "p.existing"),
    )


def _one_row_a_key(mapping: TableMapping, foreign: sql.Composable) -> sql.Composed:
    """Returns the target's rows; of a key that repeats, only the row that pairs: of the office, desktop-owned first."""
    if mapping.target.is_unique(mapping.spec.key):
        return sql.SQL('(SELECT t.tableoid AS "t:relation", t.ctid AS "t:place", t.* FROM {} AS t WHERE {})').format(
            mapping.target.identifier, mapping.merge_filter
        )
    return sql.SQL("""\
(
        SELECT DISTINCT ON ({key}) t.tableoid AS "t:relation", t.ctid AS "t:place", t.*
        FROM {target} AS t
        WHERE {merge_filter}
        ORDER BY {key}, ({in_office}) IS NOT TRUE, ({owner} = 'D') IS NOT TRUE, {owner} IS NOT NULL,
            ({foreign}) IS TRUE, t.ctid
    )""").format(
        key=COMMA.join(sql.Identifier("t", name) for name in mapping.spec.key),
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
