"""Statements about mobile-owned columns, which are written on insert and never updated."""

from psycopg import sql

from powerca_sync.engine.mapping import (
    ACTIONS,
    STAGING,
    TableMapping,
    content_text,
    is_ours,
    row_sizes,
    row_text,
    same_key,
)
from powerca_sync.engine.postgres import Column


def columns_of(mapping: TableMapping) -> tuple[Column, ...]:
    """Returns the mobile-owned columns that the desktop also has."""
    return tuple(column.column for column in mapping.synced if column.name in mapping.mobile_owned)


def digest(mapping: TableMapping) -> sql.Composed:
    """Select a digest that changes when the desktop changes a mobile-owned column, or adds or removes a row."""
    names = dict.fromkeys((*mapping.key_names, *(column.name for column in columns_of(mapping))))
    columns = [mapping.source.required(name) for name in names]
    values = [sql.SQL("{}::text").format(sql.Identifier("s", name)) for name in names]
    return sql.SQL("""\
SELECT concat_ws(' ', count(*), sum(hashtextextended({row}, 0)))
FROM {source} AS s""").format(
        row=row_sizes.row_text("s", columns, mapping.spec.max_row_bytes, values),
        source=mapping.source.identifier,
    )


def count_differing(mapping: TableMapping) -> sql.Composed:
    """Count the desktop-owned rows whose mobile-owned columns differ from the staged row that they pair with.

    Valid after the merge is planned and before it is applied.
    """
    columns = columns_of(mapping)
    values = {"staged_value": row_text(mapping, "s", columns), "value": row_text(mapping, "t", columns)}
    if mapping.pairs_by_key:
        return sql.SQL("""\
SELECT count(*)
FROM {staging} AS s
JOIN {target} AS t ON {same_key}
WHERE {is_ours} AND {staged_value} <> {value}""").format(
            staging=STAGING,
            target=mapping.target.identifier,
            same_key=same_key(mapping, "s", "t"),
            is_ours=is_ours(mapping, "t"),
            **values,
        )
    return sql.SQL("""\
WITH staged AS (
    SELECT {staged_content} AS content, {staged_value} AS value, count(*) AS rows FROM {staging} AS s GROUP BY 1, 2
), existing AS (
    SELECT {content} AS content, {value} AS value, count(*) AS rows FROM {target} AS t WHERE {is_ours} GROUP BY 1, 2
), equal AS (
    SELECT content, sum(least(s.rows, t.rows)) AS rows FROM staged AS s JOIN existing AS t USING (content, value)
    GROUP BY content
), paired AS (
    SELECT content, least(s.rows, t.rows) AS rows
    FROM (SELECT content, sum(rows) AS rows FROM staged GROUP BY content) AS s
    JOIN (SELECT content, sum(rows) AS rows FROM existing GROUP BY content) AS t USING (content)
)
SELECT ((SELECT coalesce(sum(rows), 0) FROM paired) - (SELECT coalesce(sum(rows), 0) FROM equal) + (
    SELECT count(*)
    FROM {actions} AS a
    JOIN {target} AS t ON t.ctid = a.existing AND t.tableoid = a.relation
    JOIN {staging} AS s ON s.ctid = a.staged
    WHERE a.action = 'update' AND {staged_content} <> {content} AND {staged_value} <> {value}
))::bigint""").format(
        staged_content=content_text(mapping, "s"),
        content=content_text(mapping, "t"),
        staging=STAGING,
        target=mapping.target.identifier,
        is_ours=is_ours(mapping, "t"),
        actions=ACTIONS,
        **values,
    )
