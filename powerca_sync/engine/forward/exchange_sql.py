"""Statements for rows that exchange values under a unique or exclusion constraint, or that reference each other."""

from collections.abc import Sequence

from psycopg import sql

from powerca_sync.engine.forward.apply_sql import CONFIRMED, among
from powerca_sync.engine.mapping import ACTIONS, AND, STAGING, TableMapping, content_text, equality
from powerca_sync.engine.postgres import Column, ForeignKey


def vacate(mapping: TableMapping, numbers: Sequence[int], column: Column) -> sql.Composed:
    """Set an interim value in a column of the rows of these confirmed updates, which remain planned.

    The row count is the number of rows with an interim value.
    """
    return sql.SQL("""\
WITH vacated AS (
    UPDATE {target} AS t SET {column} = {interim}
    FROM {actions} AS a
    WHERE a.action = 'update' AND {which} AND {confirmed}
    RETURNING a.n, t.tableoid AS relation, t.ctid AS place
)
UPDATE {actions} AS a SET relation = v.relation, existing = v.place
FROM vacated AS v
WHERE a.action = 'update' AND a.n = v.n""").format(
        target=mapping.target.identifier,
        column=sql.Identifier(column.name),
        interim=_interim(mapping, column),
        actions=ACTIONS,
        which=among(numbers),
        confirmed=CONFIRMED,
    )


def remember_vacated(mapping: TableMapping, numbers: Sequence[int]) -> sql.Composed:
    """Record the present content of these rows as the content that they had when the merge was planned."""
    return sql.SQL("""\
UPDATE {actions} AS a SET before = {content}
FROM {target} AS t
WHERE a.action = 'update' AND {which} AND t.ctid = a.existing AND t.tableoid = a.relation""").format(
        actions=ACTIONS,
        content=content_text(mapping, "t"),
        target=mapping.target.identifier,
        which=among(numbers),
    )


def has_interim(column: Column) -> bool:
    """Returns whether a value can be made for the column that no other row has."""
    return column.nullable or column.category in ("N", "S", "D") or column.base == "uuid"


def _interim(mapping: TableMapping, column: Column) -> sql.Composable:
    """Returns NULL if the column is nullable, otherwise a value that neither the target nor staging has."""
    if column.nullable:
        return sql.SQL("NULL")
    if column.base == "uuid":
        return sql.SQL("gen_random_uuid()")
    if column.category == "S":
        length = min(column.typmod - 4, 32) if column.typmod >= 0 else 32
        return sql.SQL("left(md5(random()::text), {})").format(length)
    return sql.SQL(
        "greatest((SELECT max({value}) FROM {target} AS m), (SELECT max({value}) FROM {staging} AS m))"
        " OPERATOR(pg_catalog.+) {step}"
    ).format(
        value=sql.Identifier("m", column.name),
        target=mapping.target.identifier,
        staging=STAGING,
        step=sql.SQL("a.n::float8 * interval '1 day'" if column.category == "D" else "a.n"),
    )


def without_parent(mapping: TableMapping, key: ForeignKey, numbers: Sequence[int]) -> sql.Composed:
    """Select the numbers of the inserts whose parent is neither in the target nor inserted by another of them.

    `key` is a foreign key of the target table to itself.
    """
    pairs = list(zip(key.columns, key.parent_columns, strict=True))
    has_reference = AND.join(sql.SQL("{} IS NOT NULL").format(sql.Identifier("s", own)) for own, _ in pairs)
    same = AND.join(
        sql.SQL("{} {} {}").format(
            sql.Identifier("p", theirs), equality(mapping.target.required(own)), sql.Identifier("s", own)
        )
        for own, theirs in pairs
    )
    return sql.SQL("""\
SELECT a.n
FROM {actions} AS a JOIN {staging} AS s ON s.ctid = a.staged
WHERE a.action = 'insert' AND {which} AND {has_reference}
    AND NOT EXISTS (SELECT FROM {target} AS p WHERE {same})
    AND NOT EXISTS (
        SELECT FROM {actions} AS b JOIN {staging} AS p ON p.ctid = b.staged
        WHERE b.action = 'insert' AND b.n = ANY ({numbers}::bigint[]) AND {same}
    )""").format(
        actions=ACTIONS,
        staging=STAGING,
        which=among(numbers),
        has_reference=has_reference,
        target=mapping.target.identifier,
        same=same,
        numbers=list(numbers),
    )
