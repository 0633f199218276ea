"""Sequences whose next value exists already."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial

from psycopg import sql

from powerca_sync.engine.doctor import examination_sql
from powerca_sync.engine.doctor.findings import Finding, Severity
from powerca_sync.engine.doctor.rights import SequenceUse
from powerca_sync.engine.doctor.side import Side
from powerca_sync.engine.postgres import Cursor, Table, one_row


def examine_sequences(side: Side, tables: Mapping[str, Table], uses: Iterable[SequenceUse]) -> Iterator[Finding]:
    """Yields a finding for each sequence that is behind the highest value of its column.

    Skips sequences that the role may not read; the missing right is reported by `grants`.
    """
    by_name = {(table.schema, table.name): (name, table) for name, table in tables.items()}
    for use in uses:
        name, table = by_name.get((use.schema, use.name), (None, None))
        if table is None or use.next is None:
            continue
        highest = side.look(
            f"the highest `{use.column}` of `{use.name}`", partial(_highest, table=table, column=use.column)
        )
        if highest is not None and highest >= use.next:
            yield _behind(side.name, name, use, highest)


def _highest(cursor: Cursor, table: Table, column: str) -> int | None:
    (highest,) = one_row(cursor, examination_sql.highest(table, column))
    return None if highest is None else int(highest)


def _behind(side: str, table: str | None, use: SequenceUse, highest: int) -> Finding:
    setval = sql.SQL("SELECT setval({}::regclass, {})").format(
        sql.Literal(use.identifier.as_string()), sql.Literal(highest)
    )
    if use.is_unique:
        severity, why = Severity.WRONG, "Inserts fail there, on phones too, because the number exists already."
    else:
        severity, why = Severity.WARNING, "New rows get numbers of existing rows."
    return Finding(
        severity=severity,
        side=side,
        table=table,
        what=f"{use.name}: the next {use.column} would be {use.next}, but the highest there is {highest}.",
        why=why,
        do=f"Move the sequence forward, as its owner or an administrator of the {side} database:",
        statements=(setval.as_string() + ";",),
    )
