"""Statements by which `verify` classifies the rows of a dry run whose digests differ."""

from psycopg import sql
from psycopg.types.json import Jsonb

from powerca_sync.engine.digests import at_source, at_target
from powerca_sync.engine.mapping import ACTIONS, REJECTED, STAGING, ExtraColumn, TableMapping, is_ours
from powerca_sync.engine.staging import entry_key, lookup_query
from powerca_sync.specs import Lookup

#: Staging column that says whether the desktop has changed the row since the last run: `t` or `f`. It is `false` for
#: rows that were filled in at the target because their digests agree.
CHANGED = "verify:changed"


def changed_column(changed: sql.Composable) -> ExtraColumn:
    """The staging column for a condition on the source's row `s`; quarantined rows keep it as a part of their key."""
    expression = sql.SQL("CASE WHEN {} THEN 't' ELSE 'f' END").format(changed)
    return ExtraColumn(name=CHANGED, type="text", source_expression=expression, identifies=True)


def classify(mapping: TableMapping, recorded: Jsonb, *, lookups_changed: bool, most: int) -> sql.Composed:
    """Classify the rows that the dry run would insert, update or quarantine; leave the others in the table of actions.

    `recorded` lists the entries (key, rows) that the last run has quarantined. Returns (action, class, rows, keys); the
    action is NULL for rows that the dry run quarantines, whose first `most` keys are given. Classes: `agreeing` (only
    the owner changes, or digests agree), `quarantined` (recorded), `changed` (since the last run, or quarantined with a
    changed row of the same key; with `lookups_changed` also if only looked-up values differ), `different`.
    """
    lookups = {lookup.column for lookup in mapping.lookups}
    own = [column for column in mapping.content if column.name not in lookups]
    return sql.SQL("""\
WITH judged AS (
    SELECT NULL::tid AS place, NULL::text AS action, r.key - {changed_name} AS key, r.key ->> {changed_name} AS changed,
        FALSE AS equal
    FROM {rejected} AS r
    WHERE r.reason <> 'deferred'
    UNION ALL
    SELECT a.ctid, a.action, {key} - {changed_name},
        CASE WHEN {lookups_changed} AND {staged_own} IS NOT DISTINCT FROM {target_own} THEN 't' ELSE {changed} END,
        a.action = 'update' AND {staged_row} IS NOT DISTINCT FROM {target_row}
    FROM {actions} AS a
    JOIN {staging} AS s ON s.ctid = a.staged
    LEFT JOIN {target} AS t ON t.ctid = a.existing AND t.tableoid = a.relation
    WHERE a.action IN ('insert', 'update')
), recorded AS (
    SELECT e.key, e.rows FROM jsonb_to_recordset({recorded}) AS e (key jsonb, rows bigint)
), classified AS (
    SELECT j.place, j.action, j.key,
        CASE
            WHEN j.settled THEN 'agreeing'
            WHEN j.n <= e.rows THEN 'quarantined'
            WHEN j.changed = 't' OR (j.action IS NULL AND j.key_changed) THEN 'changed'
            ELSE 'different'
        END AS class
    FROM (
        SELECT *, row_number() OVER (PARTITION BY key, settled ORDER BY action IS NOT NULL, changed) AS n,
            bool_or(changed = 't') OVER (PARTITION BY key) AS key_changed
        FROM (SELECT *, equal OR changed = 'false' AS settled FROM judged) AS found
    ) AS j
    LEFT JOIN recorded AS e USING (key)
), known AS (
    UPDATE {actions} AS a SET action = 'known' FROM classified AS c WHERE a.ctid = c.place AND c.class <> 'different'
)
SELECT action, class, count(*), (array_agg(key ORDER BY key::text) FILTER (WHERE action IS NULL))[1:{most}]
FROM classified GROUP BY 1, 2""").format(
        changed_name=sql.Literal(CHANGED),
        rejected=REJECTED,
        recorded=sql.Literal(recorded),
        key=entry_key(mapping),
        lookups_changed=sql.Literal(lookups_changed),
        staged_own=mapping.row("s", own),
        target_own=mapping.row("t", own),
        changed=sql.Identifier("s", CHANGED),
        staged_row=mapping.row("s", mapping.content),
        target_row=mapping.row("t", mapping.content),
        actions=ACTIONS,
        staging=STAGING,
        target=mapping.target.identifier,
        most=most,
    )


def count_looked_at(mapping: TableMapping) -> sql.Composed:
    """Count the desktop-owned rows of the target that the merge plan has looked at."""
    return sql.SQL("SELECT count(*) FROM {} AS t WHERE {} AND {}").format(
        mapping.target.identifier, is_ours(mapping, "t"), mapping.merge_filter
    )


def has_wrong_lookups(mapping: TableMapping, lookup: Lookup) -> sql.Composed:
    """Returns whether a desktop-owned row of the target has another value than the one that the lookup finds now."""
    answer, same = lookup_query(mapping, lookup, "t")
    own = mapping.target.required(lookup.column)
    found = mapping.scope.table(lookup.table).required(lookup.answer)
    return sql.SQL("""\
WITH answer AS (
{answer}
)
SELECT EXISTS (
    SELECT FROM {target} AS t
    LEFT JOIN answer AS a ON {same}
    WHERE {is_ours} AND {stored} IS DISTINCT FROM {found}
)""").format(
        answer=answer,
        target=mapping.target.identifier,
        same=same,
        is_ours=is_ours(mapping, "t"),
        stored=at_target(sql.Identifier("t", lookup.column), found, own),
        found=at_source(sql.Identifier("a", "value"), found, own),
    )
