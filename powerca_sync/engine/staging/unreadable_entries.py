"""Set aside what the ledger has stored and the desktop's columns cannot hold any more.

The ledger keeps each reverse-synced row as text and reads it as today's types. A column of the desktop that has been
retyped, or whose domain or labels have changed, may refuse a text that it took then. Such a value counts as NULL, so
that the row is known by the rest of its content, and above all by its key.
"""

import dataclasses
import json
from collections.abc import Mapping

import psycopg

from powerca_sync.engine.mapping import TableMapping
from powerca_sync.engine.postgres import Cursor, Table, one_row
from powerca_sync.engine.staging import unreadable_entries_sql
from powerca_sync.tables import STAMPS


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Readable:
    """The desktop's table, whose columns know which stored values they cannot hold."""

    table: Table
    #: In the database's words, by column: why it cannot hold the first of them.
    reasons: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """A warning that names the values that were set aside; empty if there are none."""
        if not self.reasons:
            return ""
        counts = {name: len(self.table.required(name).unreadable) for name in self.reasons}
        columns = "; ".join(f"{counts[name]} of `{name}`: {reason}" for name, reason in self.reasons.items())
        return (
            f"the ledger has stored values that the desktop's columns cannot hold any more ({columns}); they are set "
            "aside, and the reverse-synced rows are known by the rest of their content"
        )


def readable(cursor: Cursor, table: Table, name: str, *, sensitive: frozenset[str] = frozenset()) -> Readable:
    """Returns the desktop's `table` with the entries, by column, whose stored value cannot be read.

    `name` is what the ledger calls the table. The words for `sensitive` columns are left out. Only reads.
    """
    try:
        with cursor.connection.transaction():
            cursor.execute(unreadable_entries_sql.read_all(table, name))
    except psycopg.Error as exc:
        if cursor.connection.closed or isinstance(exc, psycopg.errors.QueryCanceled):
            raise
    else:
        return Readable(table=table)
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
    return Readable(table=dataclasses.replace(table, columns=columns), reasons=reasons)


def pairing_by_rest(mapping: TableMapping, stored: Readable) -> TableMapping:
    """The mapping to pair entries with rows: without a key, by the columns of which every stored value can be read."""
    if mapping.spec.key or not stored.reasons:
        return mapping
    rest = tuple(column.name for column in mapping.synced if column.name not in {*stored.reasons, *STAMPS})
    return dataclasses.replace(mapping, spec=dataclasses.replace(mapping.spec, key=rest))


def renew(cursor: Cursor, table: Table, name: str) -> None:
    """Give entries with values that cannot be read those that their rows have today, and keep the old text beside them.

    The temporary table of entries has been filled.
    """
    for column in table.columns:
        if column.unreadable:
            cursor.execute(unreadable_entries_sql.renew(table, column, name))
