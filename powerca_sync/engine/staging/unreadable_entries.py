"""Find values of the ledger that the desktop's columns can no longer read, and treat them as NULL.

The ledger stores each reverse-synced row as text, which is read by the current types of the columns. A column that was
retyped, or whose domain or labels changed, may refuse a text that it accepted before. The row is then identified by the
rest of its content, its key above all.
"""

import dataclasses
import json
from collections.abc import Mapping

import psycopg

from powerca_sync.engine.mapping import TableMapping
from powerca_sync.engine.postgres import Cursor, Table, one_row
from powerca_sync.engine.staging import unreadable_entries_sql
from powerca_sync.specs import STAMPS


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class StoredValues:
    """The desktop's table, with the ledger entries that each column cannot read."""

    table: Table
    #: Column to the database's message about its first unreadable value.
    reasons: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def warning(self) -> str:
        """A warning about the unreadable values; empty if there are none."""
        if not self.reasons:
            return ""
        counts = {name: len(self.table.required(name).unreadable) for name in self.reasons}
        columns = "; ".join(f"{counts[name]} of `{name}`: {reason}" for name, reason in self.reasons.items())
        return (
            f"the ledger has stored values that the desktop's columns cannot hold any more ({columns}); they are set "
            "aside, and the reverse-synced rows are identified by the rest of their content"
        )


def check_stored_values(
    cursor: Cursor, table: Table, name: str, *, sensitive: frozenset[str] = frozenset()
) -> StoredValues:
    """Returns the desktop's `table` with the ledger entries that each column cannot read.

    `name` is the table's name in the ledger. Messages about `sensitive` columns are hidden. Writes nothing.
    """
    try:
        with cursor.connection.transaction():
            cursor.execute(unreadable_entries_sql.read_all(table, name))
    except psycopg.Error as exc:
        if cursor.connection.closed or isinstance(exc, psycopg.errors.QueryCanceled):
            raise
    else:
        return StoredValues(table=table)
    cursor.execute(unreadable_entries_sql.find_unreadable(table, name))
    (found,) = one_row(cursor, unreadable_entries_sql.unreadable())
    unreadable: dict[str, list[int]] = {}
    reasons: dict[str, str] = {}
    for number, entry, reason in json.loads(found):
        column = next(column for column in table.columns if column.number == number)
        unreadable.setdefault(column.name, []).append(entry)
        reasons.setdefault(column.name, "hidden" if column.name in sensitive else reason)
    columns = tuple(
        dataclasses.replace(column, unreadable=tuple(unreadable.get(column.name, ()))) for column in table.columns
    )
    return StoredValues(table=dataclasses.replace(table, columns=columns), reasons=reasons)


def pair_by_readable_columns(mapping: TableMapping, stored: StoredValues) -> TableMapping:
    """Returns the mapping to pair entries with rows; a table without a key pairs by its fully readable columns."""
    if mapping.key_names or not stored.reasons:
        return mapping
    rest = tuple(column.name for column in mapping.synced if column.name not in {*stored.reasons, *STAMPS})
    return dataclasses.replace(mapping, key_names=rest)


def refresh_unreadable_values(cursor: Cursor, table: Table, name: str) -> None:
    """Replace the unreadable values of entries by those that their rows have now; the old text is kept beside them.

    Reads the temporary table of entries, which must have been filled.
    """
    for column in table.columns:
        if column.unreadable:
            cursor.execute(unreadable_entries_sql.refresh(table, column, name))
