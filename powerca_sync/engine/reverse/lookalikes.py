"""Look-alikes: new phone rows of which the desktop may have a copy already, brought by other means.

An earlier sync engine brought phone rows and altered some; an app that overwrites `source` turns the office's own rows
into phone rows. Inserting them would double them. Equal rows are adopted: entered into the ledger. Others of the same
key are held with both contents until one explicit choice settles them.
"""

from collections.abc import Iterator
from functools import partial

from psycopg import sql

from powerca_sync.engine.mapping import TableMapping
from powerca_sync.engine.postgres import Cursor
from powerca_sync.engine.requests import Choice
from powerca_sync.engine.reverse import lookalikes_sql
from powerca_sync.engine.staging import quarantine_sql
from powerca_sync.tables import OWNER, PHONE, TableSpec


def settle_lookalikes(
    cursor: Cursor,
    mapping: TableMapping,
    spec: TableSpec,
    choice: Choice,
    *,
    first_contact: bool,
    into: sql.Identifier,
    run_id: str | None,
) -> int:
    """Adopt staged rows that the target has already, and deal with look-alikes as chosen; returns how many are adopted.

    On `first_contact` equal content is enough to adopt a row; later the target's row must say that a phone made it, so
    that the office's own row does not become a phone's because an app has overwritten `source` on mobile. `spec` is the
    resolved one of the table, `into` the ledger or what stands in for it. The temporary table of desktop-owned rows has
    been filled.
    """
    content = partial(lookalikes_sql.content_text, mapping)
    among = sql.SQL("TRUE") if first_contact else _says_phone(mapping)
    cursor.execute(lookalikes_sql.find_pairs(mapping, content, among=among, ignored=(), alike=False))
    adopted = _adopt(cursor, mapping, into, run_id)
    if choice is Choice.PULL:
        return adopted
    for find in _searches(mapping, spec):
        cursor.execute(find)
        if choice is Choice.ADOPT:
            adopted += _adopt(cursor, mapping, into, run_id)
            continue
        cursor.execute(lookalikes_sql.keep_desktop_rows(mapping))
        cursor.execute(quarantine_sql.reject(mapping, lookalikes_sql.paired_rows(mapping)))
        cursor.execute(lookalikes_sql.attach_desktop_row())
    return adopted


def adopt_by_key(
    cursor: Cursor, mapping: TableMapping, spec: TableSpec, *, into: sql.Identifier, run_id: str | None
) -> int:
    """Adopt staged rows whose key and most of whose content the target has in one row; returns how many.

    For tables whose key both sides give out, where nobody but a person can tell a copy from a number used twice.
    """
    cursor.execute(_by_key(mapping, spec, among=sql.SQL("TRUE")))
    return _adopt(cursor, mapping, into, run_id)


def _adopt(cursor: Cursor, mapping: TableMapping, into: sql.Identifier, run_id: str | None) -> int:
    cursor.execute(lookalikes_sql.adopt_pairs(mapping, run_id, into=into))
    return cursor.rowcount


def _says_phone(mapping: TableMapping) -> sql.Composable:
    """A condition on the target's row `t`: its owner is a phone, or it carries mobile's primary key."""
    conditions: list[sql.Composable] = [sql.SQL("FALSE")]
    if mapping.target.column(OWNER):
        conditions.append(sql.SQL("{}::text = {}").format(sql.Identifier("t", OWNER), PHONE))
    primary_key = mapping.source.primary_key
    if primary_key and {column.name for column in mapping.staged}.issuperset(primary_key):
        conditions.append(sql.SQL("({}) IS NOT NULL").format(lookalikes_sql.columns_text(mapping, primary_key, "t")))
    return sql.SQL("({})").format(sql.SQL(" OR ").join(conditions))


def _searches(mapping: TableMapping, spec: TableSpec) -> Iterator[sql.Composed]:
    """Pairs by mobile's primary key, where the desktop carries its value, then by the key and most of the content."""
    names = {column.name for column in mapping.staged}
    primary_key = mapping.source.primary_key
    among: sql.Composable = sql.SQL("TRUE")
    if primary_key and names.issuperset(primary_key):
        identity = partial(lookalikes_sql.columns_text, mapping, primary_key)
        yield lookalikes_sql.find_pairs(mapping, identity, among=among, ignored=(), alike=False)
        # A row that carries another phone row's primary key is no copy of this one.
        among = sql.SQL("({}) IS NULL").format(identity("t"))
    if not mapping.spec.key:
        content = partial(lookalikes_sql.content_text, mapping)
        yield lookalikes_sql.find_pairs(mapping, content, among=among, ignored=(), alike=False)
    else:
        yield _by_key(mapping, spec, among=among)


def _by_key(mapping: TableMapping, spec: TableSpec, *, among: sql.Composable) -> sql.Composed:
    ignored = {*spec.mobile_owned, *mapping.source.primary_key}
    key = partial(lookalikes_sql.columns_text_or_null, mapping, mapping.spec.key)
    return lookalikes_sql.find_pairs(mapping, key, among=among, ignored=ignored, alike=True)
