"""Compute the identity that phone rows had at the last reverse run from the columns that mobile has today.

The primary key identifies a phone row; without one, the hash of its content. A migration of the app may change either.
Ledger entries are found as long as the former text can still be computed.
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
    """Expressions over the phone row `s` that find its ledger entry."""

    #: The primary key as stored in the entries; None if there was none, or it cannot be computed.
    key: sql.Composable | None
    #: The content hash as stored in the entries; None if it cannot be computed.
    content: sql.Composable | None
    #: The last run identified rows in the same form.
    is_unchanged: bool


def former_identity(last: LastPull, source: Table, columns: Sequence[str], limit: int) -> Identity:
    """Returns the identity by which the ledger knows the rows of mobile's table `source`.

    `columns` identify rows today; `limit` is the spec's maximum size of a row in bytes.
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
    """Returns the text of a primary key that was declared as `key_form` says; None if it cannot be computed."""
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
    """Returns a column's value in the text form of its former declaration; None if that is unknown."""
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
