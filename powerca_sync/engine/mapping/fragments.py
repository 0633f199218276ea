"""SQL fragments that several statements share: names of temporary tables, rows as text or jsonb."""

from collections.abc import Sequence

from psycopg import sql

from powerca_sync.engine.mapping.conversion import comparable, equality, hashable
from powerca_sync.engine.mapping.mapping import TableMapping
from powerca_sync.engine.mapping.row_sizes import AT_TARGET, is_wide, shown, size
from powerca_sync.engine.mapping.row_sizes import row_text as text_of_row
from powerca_sync.engine.postgres import Column
from powerca_sync.specs import DESKTOP

STAGING = sql.Identifier("pg_temp", "powerca_staging")
LEDGER = sql.Identifier("pg_temp", "powerca_ledger")
REJECTED = sql.Identifier("pg_temp", "powerca_rejected")
HELD = sql.Identifier("pg_temp", "powerca_held")
ECHOED = sql.Identifier("pg_temp", "powerca_echoed")
MISSING = sql.Identifier("pg_temp", "powerca_missing")
ACTIONS = sql.Identifier("pg_temp", "powerca_actions")
UNSETTLED = sql.Identifier("pg_temp", "powerca_unsettled")
#: A condition on the ledger entry `l`: it has not ended.
NOT_ENDED = sql.SQL("l.gone_at IS DISTINCT FROM '-infinity'")
COMMA = sql.SQL(", ")
AND = sql.SQL(" AND ")


def row_text(mapping: TableMapping, alias: str, columns: Sequence[Column]) -> sql.Composed:
    """The values of a row as one text, by which rows are compared; of oversized rows, only the narrow columns."""
    values = [comparable(sql.Identifier(alias, column.name), column) for column in columns]
    return sql.SQL('{} COLLATE "C"').format(text_of_row(alias, columns, _limit(mapping), values))


def content_text(mapping: TableMapping, alias: str) -> sql.Composed:
    """The compared columns of a row as one text."""
    return row_text(mapping, alias, mapping.content)


def content_hash(mapping: TableMapping, alias: str) -> sql.Composed:
    """The compared columns of a row as a 64-bit hash, equal in one transaction for rows of equal `content_text`.

    Two rows of different content have the same hash with a probability of 2^-64: their columns are hashed to 64 bits
    each, by values that differ if the texts do (`hashable`), and summed with different odd factors. For a million new
    contents against a million vanished ones the probability that any two have the same hash is 5 in 100 million. Such
    a pair would count as unchanged, so that the target keeps the old row. The seed is the time of the transaction: the
    next full run computes other hashes, and finds the difference.
    """
    if mapping.hashes_text or len(mapping.content) > MOST_HASHED:
        return sql.SQL("hashtextextended({}, {})").format(content_text(mapping, alias), _SEED)
    columns = mapping.content
    values = [hashable(sql.Identifier(alias, column.name), column) for column in columns]
    row = sql.SQL("hash_record_extended(ROW({}), {})")
    whole = row.format(COMMA.join(values), _SEED)
    measured = size(alias, columns, _limit(mapping))
    if measured is None:
        return whole
    narrow = [value for column, value in zip(columns, values, strict=True) if not is_wide(column)]
    short = row.format(COMMA.join([sql.SQL("{}::text").format(measured), *narrow]), _SEED)
    return sql.SQL("(CASE WHEN {} <= {} THEN {} ELSE {} END)").format(measured, _limit(mapping), whole, short)


#: Columns of which two fields each are a row; PostgreSQL's limit for `ROW(...)` is 1,664.
MOST_HASHED = 800
#: A subquery, so that PostgreSQL computes it once for each statement.
_SEED = sql.SQL("(SELECT (extract(epoch FROM now()) * 1000000)::bigint)")


def key_text(mapping: TableMapping, alias: str) -> sql.Composed:
    """The key of a row as one text, NULLs included; numbers have no trailing zeros."""
    values = [
        sql.SQL("trim_scale({})" if column.base == "numeric" else "{}").format(sql.Identifier(alias, column.name))
        for column in mapping.key
    ]
    return sql.SQL('{} COLLATE "C"').format(text_of_row(alias, mapping.key, _limit(mapping), values))


def _limit(mapping: TableMapping) -> int:
    return AT_TARGET * mapping.spec.max_row_bytes


def same_key(mapping: TableMapping, left: str, right: str, names: Sequence[str] = ()) -> sql.Composed:
    """A condition on two rows in the target's form: all columns of the key (or `names`) are equal and not NULL."""
    return AND.join(
        sql.SQL("{} {} {}").format(
            sql.Identifier(left, name), equality(mapping.target.required(name)), sql.Identifier(right, name)
        )
        for name in names or mapping.key_names
    )


def now_in(column: Column) -> sql.SQL:
    """The time of the transaction for a stamp column; without a time zone, in the zone of our session."""
    if column.base in ("timestamptz", "timetz"):
        return sql.SQL("pg_catalog.now()")
    return sql.SQL("pg_catalog.current_setting('powerca.now')::timestamp")


def is_ours(mapping: TableMapping, alias: str) -> sql.Composed:
    """A condition on a target row: it is desktop-owned, and belongs to this office."""
    return sql.SQL("{} = {} AND {}").format(mapping.owner(alias), DESKTOP, mapping.in_office(alias))


def image_of(columns: Sequence[Column], alias: str) -> sql.Composed:
    """A row as jsonb: column name to text."""
    return sql.SQL("jsonb_object({}::text[], ARRAY[{}]::text[])").format(
        [column.name for column in columns],
        COMMA.join(sql.SQL("{}::text").format(sql.Identifier(alias, column.name)) for column in columns),
    )


def shown_image_of(columns: Sequence[Column], alias: str) -> sql.Composed:
    """A row as jsonb for display: column name to text, long values truncated."""
    return sql.SQL("jsonb_object({}::text[], ARRAY[{}]::text[])").format(
        [column.name for column in columns], COMMA.join(shown(alias, column) for column in columns)
    )


def from_image(alias: str, column: Column) -> sql.Composed:
    """A column's value in a ledger image; if the column is newer than the image, the default of existing rows."""
    text = sql.SQL("{}.image ->> {}").format(sql.Identifier(alias), column.name)
    if column.missing is not None:
        text = sql.SQL("CASE WHEN {}.image ? {} THEN {} ELSE {} END").format(
            sql.Identifier(alias), column.name, text, column.missing
        )
    # The cast from text to regclass accepts neither `-` nor numbers; its input function, used from bpchar, does.
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
