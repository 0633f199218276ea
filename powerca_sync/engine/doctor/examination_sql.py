"""Statements of the examination, which count rows that a sync could not load or pair."""

from collections.abc import Sequence

from psycopg import sql

from powerca_sync.engine.mapping import TableMapping, row_sizes
from powerca_sync.engine.postgres import Column, Table
from powerca_sync.specs import DESKTOP, OWNER, PHONE, Expression


def count_rows(table: Table, conditions: Sequence[sql.Composable], *, where: sql.Composable) -> sql.Composed:
    """Counts the rows of `table`, alias `t`, for which `where` holds: all, then those of each condition."""
    counts: list[sql.Composable] = [sql.SQL("count(*)")]
    counts += [sql.SQL("count(*) FILTER (WHERE {})").format(condition) for condition in conditions]
    return sql.SQL("""\
SELECT {counts}
FROM {table} AS t
WHERE {where}""").format(counts=sql.SQL(",\n    ").join(counts), table=table.identifier, where=where)


def not_pulled(table: Table) -> sql.Composable:
    """Condition on a desktop row: it is not reverse-synced."""
    if table.column(OWNER) is None:
        return sql.SQL("TRUE")
    return sql.SQL("{}::text IS DISTINCT FROM {}").format(sql.Identifier("t", OWNER), sql.Literal(PHONE))


def is_empty(column: str) -> sql.Composed:
    """Condition: the column is NULL."""
    return sql.SQL("{} IS NULL").format(sql.Identifier("t", column))


def is_longer(column: Column, length: int, *, padded: bool) -> sql.Composed:
    """A condition: the column's text has more characters; spaces at the end do not count where a `char(n)` takes it."""
    text = sql.SQL("{}::text").format(sql.Identifier("t", column.name))
    if padded:
        text = sql.SQL("rtrim({}, ' ')").format(text)
    return sql.SQL("char_length({}) > {}").format(text, sql.Literal(length))


def is_phone_row() -> sql.Composed:
    """A condition on a row of the desktop: its `source` says that a phone made it."""
    return has_owner(PHONE)


def does_not_return(expression: Expression) -> sql.Composed:
    """A condition on a row of the desktop: its value is not the one that mobile's gives in the reverse direction."""
    return sql.SQL("{} IS DISTINCT FROM {}").format(sql.Identifier("t", expression.column), _returning(expression))


def restore(table: Table, expression: Expression) -> sql.Composed:
    """Set a column of the desktop's phone rows to the value that mobile's gives in the reverse direction."""
    return sql.SQL("UPDATE {} AS t SET {} = {} WHERE {} AND {}").format(
        table.identifier,
        sql.Identifier(expression.column),
        _returning(expression),
        is_phone_row(),
        does_not_return(expression),
    )


def _returning(expression: Expression) -> sql.Composed:
    """The reverse expression over the forward one's value, which stands in place of the column that it names."""
    name = sql.Identifier(expression.column).as_string()
    return sql.SQL("({})").format(sql.SQL(expression.reverse.replace(name, f"({expression.forward})")))


def widen(table: Table, column: str, type_name: str) -> sql.Composed:
    """Give a column another type."""
    return sql.SQL("ALTER TABLE {} ALTER COLUMN {} TYPE {}").format(
        table.identifier,
        sql.Identifier(column),
        sql.SQL(type_name),  # format_type() quotes it
    )


def beginnings(mapping: TableMapping, column: Column, length: int) -> sql.Composed:
    """The first `length` characters of phones' texts that are longer; without spaces at the end, each once."""
    return sql.SQL("""\
SELECT DISTINCT rtrim(left({text}, {length}), ' ')
FROM {table} AS t
WHERE {phone} AND {ours} AND {longer}""").format(
        text=sql.SQL("{}::text").format(sql.Identifier("t", column.name)),
        length=sql.Literal(length),
        table=mapping.target.identifier,
        phone=has_owner(PHONE),
        ours=mapping.scope.may_hold(mapping.spec, "t"),
        longer=is_longer(column, length, padded=True),
    )


def count_texts(table: Table, column: str) -> sql.Composed:
    """Count the desktop's phone rows that have one of the texts in the parameter, but for spaces at the end."""
    return sql.SQL("SELECT count(*) FROM {} AS t WHERE {} AND rtrim({}::text, ' ') = ANY (%s)").format(
        table.identifier, is_phone_row(), sql.Identifier("t", column)
    )


def count_copies(table: Table, content: Sequence[str]) -> sql.Composed:
    """Count the desktop's own rows, and of them the copies beyond the first of each content."""
    return sql.SQL("SELECT count(*), count(*) - count(DISTINCT {content}) FROM {table} AS t WHERE {own}").format(
        content=_digest(table, content), table=table.identifier, own=not_pulled(table)
    )


def _digest(table: Table, columns: Sequence[str]) -> sql.Composed:
    text = row_sizes.row_text("t", [table.required(name) for name in columns], row_sizes.HASHED_AT_MOST)
    return sql.SQL("md5({})").format(text)


def has_owner(value: str) -> sql.Composed:
    """A condition: the row was written by that side."""
    return sql.SQL("{}::text = {}").format(sql.Identifier("t", OWNER), sql.Literal(value))


def has_owner_beyond(values: Sequence[str]) -> sql.Composed:
    """A condition: somebody wrote the row who is none of these."""
    return sql.SQL("{}::text <> ALL ({})").format(sql.Identifier("t", OWNER), sql.Literal(list(values)))


def count_twins(mapping: TableMapping) -> sql.Composed:
    """Count the phone rows that stand on the target a second time, with equal content, as the desktop's."""
    left_out = {*mapping.mobile_owned}
    columns = [column for column in mapping.content if column.name not in left_out]
    return sql.SQL("""\
SELECT coalesce(sum(least(g.phone, g.desktop)), 0)::bigint
FROM (
    SELECT count(*) FILTER (WHERE {phone}) AS phone, count(*) FILTER (WHERE {desktop}) AS desktop
    FROM {table} AS t
    WHERE {ours}
    GROUP BY {content}
) AS g""").format(
        phone=has_owner(PHONE),
        desktop=has_owner(DESKTOP),
        table=mapping.target.identifier,
        ours=mapping.scope.may_hold(mapping.spec, "t"),
        content=_digest(mapping.target, [column.name for column in columns]),
    )


def highest(table: Table, column: str) -> sql.Composed:
    """The highest value of a column of numbers."""
    return sql.SQL("SELECT max({})::numeric FROM {}").format(sql.Identifier(column), table.identifier)
