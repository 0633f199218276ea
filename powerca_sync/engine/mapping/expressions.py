"""The columns that an expression of a spec reads: those whose names are quoted in it."""

import re

from powerca_sync.engine.postgres import Column, Table

_QUOTED = re.compile('"([^"]+)"')


def unreadable_columns(expression: str, table: Table) -> tuple[str, ...]:
    """Returns the quoted columns that an expression reads and the table lacks."""
    return tuple(name for name in _QUOTED.findall(expression) if table.column(name) is None)


def columns_read(expression: str, table: Table) -> tuple[Column, ...]:
    """Returns the table's columns that an expression reads, quoted."""
    return tuple(column for column in table.columns if column.name in _QUOTED.findall(expression))
