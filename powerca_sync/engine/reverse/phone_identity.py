"""How the last pull identified phone rows, expressed over the columns that the mobile table has today.

A phone row is identified by its primary key, or by the hash of its content where there is none. A migration of the app
may change either. As long as the former text can still be computed, the ledger's entries are found by it.
"""

import dataclasses
import re
from collections.abc import Sequence

from psycopg import sql

from powerca_sync.engine.postgres import Column, Table
from powerca_sync.engine.reverse.ledger import LastPull
from powerca_sync.engine.staging import phone_rows_sql


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """Expressions over the phone row `s` by which its entry is found in the ledger."""

    #: The primary key as the entries have it; None if it cannot be computed, or there was none.
    key: sql.Composable | None
    #: The hash of the content as the entries have it; None if it cannot be computed.
    content: sql.Composable | None
    #: Whether the last pull identified rows in just this form.
    is_unchanged: bool


def former_identity(last: LastPull, source: Table, columns: Sequence[str], limit: int) -> Identity:
    """Returns what identifies the rows of mobile's table `source` in the ledger; `columns` are today's.

    `limit` is that of the spec, in bytes of a row.
    """
    names = columns if last.columns is None else last.columns
    content: sql.Composable | None = None
    if all(source.column(name) for name in names) and last.content_form in (
        None,
        phone_rows_sql.content_form(source, names),
    ):
        content = phone_rows_sql.content_hash(source, names, limit)
    key_form = phone_rows_sql.key_form(source)
    key: sql.Composable | None = None
    if last.key_form in (None, key_form):
        key = phone_rows_sql.primary_key(source, "s") if source.primary_key else None
        return Identity(key=key, content=content, is_unchanged=key is not None or content is not None)
    return Identity(key=_former_key(last.key_form or "", source), content=content, is_unchanged=False)


def _former_key(key_form: str, source: Table) -> sql.Composable | None:
    """The text of a primary key that was declared as `key_form` says, if today's columns still have it."""
    columns: list[Column] = []
    values: list[sql.Composable] = []
    for declared in key_form.split(", "):
        name, _, form = declared.partition(" ")
        column = source.column(name)
        value = None if column is None else _in_form(column, form)
        if column is None or value is None:
            return None
        columns.append(column)
        values.append(value)
    return phone_rows_sql.key_text(values, plain=all(column.category == "N" for column in columns))


def _in_form(column: Column, form: str) -> sql.Composable | None:
    """A column's value as it was written in the form that it had before; None if that cannot be told."""
    value = sql.Identifier("s", column.name)
    if form == phone_rows_sql.declared_form(column):
        return value
    numeric = re.fullmatch(r"numeric\(\d+,(-?\d+)\)", form)
    if column.category == "N" and numeric:
        return sql.SQL("round({}::numeric, {})").format(value, sql.Literal(int(numeric[1])))
    if column.category == "N" and form in ("integer", "numeric"):
        return sql.SQL("trim_scale({}::numeric)").format(value)
    if column.category == "S" or column.base == "uuid":
        return sql.SQL("{}::text").format(value)
    return None
