"""Conditions on rows that reference no row of the parent, or one of another office."""

from collections.abc import Sequence

from psycopg import sql

from powerca_sync.engine.mapping import AND, TableMapping, equal
from powerca_sync.engine.postgres import Table
from powerca_sync.specs import Reference


def has_dangling_reference(
    reference: Reference, table: Table, parent: Table, *, alias: str, among: sql.Composable | None = None
) -> sql.Composed:
    """Returns a condition on a row: the parent has no matching row `p` for which `among` holds.

    PostgreSQL hashes NOT IN over a set without NULL; it would execute NOT EXISTS within a FILTER for each row.
    """
    own, parent_value = sql.Identifier(alias, reference.column), sql.Identifier("p", reference.names)
    left, right = table.required(reference.column), parent.required(reference.names)
    alike = left.base == right.base or left.category == right.category in ("N", "S")
    condition = sql.SQL(
        "{own} IS NOT NULL AND {own}{cast} NOT IN (SELECT {parent_value}{cast} FROM {parent} AS p WHERE {among})"
    ).format(
        own=own,
        cast=sql.SQL("" if alike else "::text"),
        parent_value=parent_value,
        parent=parent.identifier,
        among=sql.SQL("{} IS NOT NULL AND {}").format(parent_value, among or sql.SQL("TRUE")),
    )
    if reference.zero_is_none:
        condition = sql.SQL("btrim({}::text) <> '0' AND {}").format(own, condition)
    return sql.SQL("({})").format(condition)


def is_of_another_office(
    mapping: TableMapping, parent: Table, pairs: Sequence[tuple[str, str]]
) -> sql.Composable | None:
    """Returns a condition on the judged row, which has no parent of this office: another office has that parent.

    `pairs` are the columns of the row and those of the parent. Returns None if there is no other office, or no index to
    look the parent up by.
    """
    office = mapping.scope.office
    if office.alone or not office.claims or not parent.is_unique([theirs for _, theirs in pairs]):
        return None
    same = []
    for name, theirs in pairs:
        own = mapping.target.required(name)
        value = sql.SQL("(judged.image ->> {})::{}").format(name, sql.SQL(own.type))  # format_type() quotes it
        same.append(equal(sql.Identifier("p", theirs), parent.required(theirs), value, own))
    return sql.SQL("EXISTS (SELECT FROM {} AS p WHERE {})").format(
        mapping.scope.rows(parent.schema, parent.name), AND.join(same)
    )
