"""Statements shared by both merge strategies: the table of actions, and counts of the target's rows."""

from collections.abc import Sequence

from psycopg import sql

from powerca_sync.engine.forward.row_versions_sql import WRITTEN_HERE
from powerca_sync.engine.mapping import ACTIONS, COMMA, STAGING, UNSETTLED, TableMapping, is_ours, key_text
from powerca_sync.engine.postgres import Column


def create_actions() -> sql.Composed:
    """Create the table of actions.

    `n` numbers the actions of one kind; `before` is the row's content when the merge was planned; `version` is its
    `xmin` when it was confirmed; `author` is the transaction that wrote the row, if it is foreign.
    """
    return sql.SQL("""\
CREATE TEMP TABLE {actions} (
    action text, n bigint, staged tid, relation oid, existing tid, version xid, before text, message text,
    author bigint
) ON COMMIT DROP;
CREATE TEMP TABLE {unsettled} (hash bigint, staged bigint, existing bigint, place tid) ON COMMIT DROP""").format(
        actions=ACTIONS, unsettled=UNSETTLED
    )


def has_rows(mapping: TableMapping) -> sql.Composed:
    """Returns a query: whether the target table has any row with which a staged row may pair; number of staged rows."""
    # A merge by key sees other offices' rows too, whose keys are taken.
    rows = sql.SQL("TRUE") if mapping.pairs_by_key else mapping.in_office("t")
    return sql.SQL("""\
SELECT found.rows, CASE WHEN found.rows THEN 0 ELSE (SELECT count(*) FROM {staging}) END
FROM (SELECT EXISTS (SELECT FROM {target} AS t WHERE {rows} AND {merge_filter}) AS rows) AS found""").format(
        staging=STAGING, target=mapping.target.identifier, rows=rows, merge_filter=mapping.merge_filter
    )


def plan_inserts() -> sql.Composed:
    """Plan to insert every staged row."""
    return sql.SQL("""\
INSERT INTO {actions} (action, n, staged)
SELECT 'insert', row_number() OVER (), s.ctid FROM {staging} AS s""").format(actions=ACTIONS, staging=STAGING)


#: Conditions on the owner of desktop-owned rows, of unowned ones, and of phone rows.
_OWNERS = (
    sql.SQL("{owner} = 'D'"),
    sql.SQL("{owner} IS NULL OR {owner} NOT IN ('D', 'M')"),
    sql.SQL("{owner} = 'M'"),
)


def count_rows(mapping: TableMapping) -> sql.Composed:
    """Count the office's rows of the target table: all, desktop-owned, unowned, phone rows, and phone rows that this
    transaction has written.

    Grouped by owner first: filters over each row take twice as long.
    """
    return sql.SQL("""\
SELECT coalesce(sum(n), 0)::bigint, {by_owner}, coalesce(sum(written), 0)::bigint
FROM (
    SELECT {owner} AS owner, count(*) AS n, count(*) FILTER (WHERE {owner} = 'M' AND {written}) AS written
    FROM {target} AS t
    WHERE {ours}
    GROUP BY 1
) AS o""").format(
        by_owner=COMMA.join(
            sql.SQL("coalesce(sum(n) FILTER (WHERE {}), 0)::bigint").format(condition.format(owner=sql.SQL("o.owner")))
            for condition in _OWNERS
        ),
        owner=mapping.owner("t"),
        written=WRITTEN_HERE,
        target=mapping.target.identifier,
        ours=mapping.counts("t"),
    )


def counts_by_owner(mapping: TableMapping) -> tuple[sql.Composed, ...]:
    """Returns the counts of `count_rows`, over the target row `t`."""
    conditions = (sql.SQL("TRUE"), *_OWNERS, sql.SQL("{owner} = 'M' AND {written}"))
    return tuple(
        sql.SQL("count(*) FILTER (WHERE {})").format(condition.format(owner=mapping.owner("t"), written=WRITTEN_HERE))
        for condition in conditions
    )


def count_emptied(mapping: TableMapping) -> sql.Composed:
    """Count for each compared column, in order, the planned updates that make it NULL or blank."""
    counts = (
        sql.SQL("count(*) FILTER (WHERE {} AND NOT {})").format(_has_value(column, "t"), _has_value(column, "s"))
        for column in mapping.content
    )
    return sql.SQL("""\
SELECT {counts}
FROM {actions} AS a
JOIN {target} AS t ON t.ctid = a.existing AND t.tableoid = a.relation
JOIN {staging} AS s ON s.ctid = a.staged
WHERE a.action = 'update'""").format(
        counts=sql.SQL(",\n    ").join(counts), actions=ACTIONS, target=mapping.target.identifier, staging=STAGING
    )


def count_values(mapping: TableMapping, columns: Sequence[Column]) -> sql.Composed:
    """Count the values of each of these columns in the desktop-owned rows."""
    return sql.SQL("SELECT {counts} FROM {target} AS t WHERE {is_ours}").format(
        counts=COMMA.join(sql.SQL("count(*) FILTER (WHERE {})").format(_has_value(column, "t")) for column in columns),
        target=mapping.target.identifier,
        is_ours=is_ours(mapping, "t"),
    )


def _has_value(column: Column, alias: str) -> sql.Composed:
    value = sql.Identifier(alias, column.name)
    if column.category == "S":
        return sql.SQL("({value} IS NOT NULL AND btrim({value}::text) <> '')").format(value=value)
    return sql.SQL("{} IS NOT NULL").format(value)


def conflicts(mapping: TableMapping) -> sql.Composed:
    """Select the keys, as text, of the first twenty phone rows that differ from the staged row of the same key."""
    return sql.SQL("""\
SELECT {key} FROM {actions} AS a JOIN {staging} AS s ON s.ctid = a.staged
WHERE a.action = 'conflict' ORDER BY a.n LIMIT 20""").format(
        key=key_text(mapping, "s"), actions=ACTIONS, staging=STAGING
    )
