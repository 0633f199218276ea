"""Pieces that several statements share: the names of the temporary tables, and rows as text."""

from collections.abc import Sequence

from psycopg import sql

from powerca_sync.engine.mapping.conversion import comparable, equality
from powerca_sync.engine.mapping.mapping import TableMapping
from powerca_sync.engine.mapping.row_sizes import AT_TARGET, shown
from powerca_sync.engine.mapping.row_sizes import row_text as text_of_row
from powerca_sync.engine.postgres import Column
from powerca_sync.tables import DESKTOP

STAGING = sql.Identifier("pg_temp", "powerca_staging")
LEDGER = sql.Identifier("pg_temp", "powerca_ledger")
REJECTED = sql.Identifier("pg_temp", "powerca_rejected")
HELD = sql.Identifier("pg_temp", "powerca_held")
ECHOED = sql.Identifier("pg_temp", "powerca_echoed")
MISSING = sql.Identifier("pg_temp", "powerca_missing")
ACTIONS = sql.Identifier("pg_temp", "powerca_actions")
UNSETTLED = sql.Identifier("pg_temp", "powerca_unsettled")
#: A condition on an entry `l` of the ledger: its phone row was not handed over to the desktop, which ends an entry.
NOT_ENDED = sql.SQL("l.gone_at IS DISTINCT FROM '-infinity'")
COMMA = sql.SQL(", ")
AND = sql.SQL(" AND ")


def row_text(mapping: TableMapping, alias: str, columns: Sequence[Column]) -> sql.Composed:
    """A row's values as one text, by which rows are compared; of a row far over the limit, its narrow columns only."""
    values = [comparable(sql.Identifier(alias, column.name), column) for column in columns]
    return sql.SQL('{} COLLATE "C"').format(text_of_row(alias, columns, _limit(mapping), values))


def content_text(mapping: TableMapping, alias: str) -> sql.Composed:
    """The content of a row, as far as it is compared."""
    return row_text(mapping, alias, mapping.content)


def key_text(mapping: TableMapping, alias: str) -> sql.Composed:
    """The key of a row as text, NULLs included; one number has one text, however many zeros it was written with."""
    values = [
        sql.SQL("trim_scale({})" if column.base == "numeric" else "{}").format(sql.Identifier(alias, column.name))
        for column in mapping.key
    ]
    return sql.SQL('{} COLLATE "C"').format(text_of_row(alias, mapping.key, _limit(mapping), values))


def _limit(mapping: TableMapping) -> int:
    return AT_TARGET * mapping.spec.max_row_bytes


def same_key(mapping: TableMapping, left: str, right: str, names: Sequence[str] = ()) -> sql.Composed:
    """A condition on two rows in the target's form: they have the same key (or `names`), of which nothing is NULL."""
    return AND.join(
        sql.SQL("{} {} {}").format(
            sql.Identifier(left, name), equality(mapping.target.required(name)), sql.Identifier(right, name)
        )
        for name in names or mapping.spec.key
    )


def now_in(column: Column) -> sql.SQL:
    """The time of the transaction for a stamp; without a zone in that of our session, whichever is set by now."""
    if column.base in ("timestamptz", "timetz"):
        return sql.SQL("pg_catalog.now()")
    return sql.SQL("pg_catalog.current_setting('powerca.now')::timestamp")


def is_ours(mapping: TableMapping, alias: str) -> sql.Composed:
    """A condition on a target row: the desktop wrote it, and it belongs to this office."""
    return sql.SQL("{} = {} AND {}").format(mapping.owner(alias), DESKTOP, mapping.in_office(alias))


def image_of(columns: Sequence[Column], alias: str) -> sql.Composed:
    """A row as jsonb: column to text."""
    return sql.SQL("jsonb_object({}::text[], ARRAY[{}]::text[])").format(
        [column.name for column in columns],
        COMMA.join(sql.SQL("{}::text").format(sql.Identifier(alias, column.name)) for column in columns),
    )


def shown_image_of(columns: Sequence[Column], alias: str) -> sql.Composed:
    """A row as jsonb for people: column to text, in which long values are cut."""
    return sql.SQL("jsonb_object({}::text[], ARRAY[{}]::text[])").format(
        [column.name for column in columns], COMMA.join(shown(alias, column) for column in columns)
    )


def from_image(alias: str, column: Column) -> sql.Composed:
    """A column's value in a ledger image; where it came later, what PostgreSQL gave to the rows that were there."""
    text = sql.SQL("{}.image ->> {}").format(sql.Identifier(alias), column.name)
    if column.missing is not None:
        text = sql.SQL("CASE WHEN {}.image ? {} THEN {} ELSE {} END").format(
            sql.Identifier(alias), column.name, text, column.missing
        )
    # From text, regclass has a cast of its own, which knows neither `-` nor numbers, as its input does.
    value = sql.SQL("({})::bpchar::{}" if column.base == "regclass" else "({})::{}").format(
        text,
        sql.SQL(column.type),  # format_type() quotes it
    )
    if column.unreadable:
        value = sql.SQL("CASE WHEN {}.id <> ALL ({}::bigint[]) THEN {} END").format(
            sql.Identifier(alias), list(column.unreadable), value
        )
    return value


ENTRIES = sql.Identifier("pg_temp", "powerca_entries")
