"""Statement that reads rows of the source in binary form."""

from collections.abc import Sequence

from psycopg import sql

from powerca_sync.engine.mapping import COMMA, SyncedColumn, TableMapping
from powerca_sync.engine.staging.extract_sql import fits, raw_text
from powerca_sync.specs import STAMPS

#: Types whose binary form is the same in all supported versions of PostgreSQL. The input functions of either form
#: apply a length, a scale or a precision in the same way.
_ALIKE = frozenset(
    {
        *("bool", "int2", "int4", "int8", "float4", "float8", "numeric", "uuid", "bytea", "json", "jsonb"),
        *("date", "time", "timestamp", "timestamptz"),
    }
)
_TEXT = frozenset({"text", "varchar", "bpchar"})
_INTEGERS = ("int2", "int4", "int8")


def copy_out(mapping: TableMapping, values: Sequence[sql.Composable], where: sql.Composable) -> sql.Composed:
    """COPY the source's rows within the limit for which `where` holds, in binary form; `values` as `staged_names`."""
    return sql.SQL("""\
COPY (
    SELECT {values}
    FROM {rows} AS s
    WHERE ({where}) AND {fits}
) TO STDOUT (FORMAT binary)""").format(
        values=COMMA.join(values), rows=mapping.source.identifier, where=where, fits=fits(mapping)
    )


def values(mapping: TableMapping) -> list[sql.Composable] | None:
    """Returns an expression for each of `staged_names` whose binary form staging takes; None if a column has none."""
    values = [_value(column) for column in mapping.synced]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    known += [raw_text(column) for column in mapping.synced if column.source_text]
    known += [sql.SQL("({})::{}").format(one.source_expression, sql.SQL(one.type)) for one in mapping.extra_columns]
    return known


def _value(column: SyncedColumn) -> sql.Composable | None:
    """Returns the value in the type that staging has, if it is as exact as the text."""
    source, target = column.source.base, column.column.base
    if column.computed:
        return None
    if (source == target and source in _ALIKE) or (source in _TEXT and target in _TEXT):
        return column.source_expression
    if source in _INTEGERS and target in _INTEGERS[_INTEGERS.index(source) :]:
        return sql.SQL("{}::{}").format(column.source_expression, sql.SQL(target))
    if column.name in STAMPS and (source, target) == ("timestamp", "timestamptz"):
        # Both sessions have the office's time zone.
        return sql.SQL("{}::timestamptz").format(column.source_expression)
    return None
