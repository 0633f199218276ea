"""Look-alikes: new phone rows of which the desktop may have a copy that this engine did not insert.

An earlier sync engine copied phone rows and altered some; an app that overwrites `source` turns desktop rows into phone
rows. Inserting such rows would duplicate them. Equal rows are adopted: they get a ledger entry. Other rows of the same
key are quarantined with both contents until a person chooses.
"""

from collections.abc import Iterator
from functools import partial

from psycopg import sql

from powerca_sync.engine.mapping import TableMapping
from powerca_sync.engine.postgres import Cursor
from powerca_sync.engine.requests import Choice
from powerca_sync.engine.reverse import lookalikes_sql
from powerca_sync.engine.staging import quarantine_sql
from powerca_sync.specs import OWNER, PHONE, TableSpec


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
    """Adopt staged rows that the target has already, and treat look-alikes as chosen; returns how many are adopted.

    On `first_contact` equal content is enough to adopt a row. Later the target's row must be marked as a phone row, so
    that a desktop row whose `source` an app has overwritten on mobile is not adopted. `spec` is the resolved one,
    `into` the table that takes the ledger entries. The temporary table `owned` has been filled.
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
    """Adopt staged rows whose key and most of whose content one row of the target has; returns how many.

    For tables whose keys both sides assign: only a person can tell a copy from a number that was used twice.
    """
    cursor.execute(_by_key(mapping, spec, among=sql.SQL("TRUE")))
    return _adopt(cursor, mapping, into, run_id)


def _adopt(cursor: Cursor, mapping: TableMapping, into: sql.Identifier, run_id: str | None) -> int:
    cursor.execute(lookalikes_sql.adopt_pairs(mapping, run_id, into=into))
    return cursor.rowcount


def _says_phone(mapping: TableMapping) -> sql.Composable:
    """A condition on the target's row `t`: a phone owns it, or it has a value of mobile's primary key."""
    conditions: list[sql.Composable] = [sql.SQL("FALSE")]
    if mapping.target.column(OWNER):
        conditions.append(sql.SQL("{}::text = {}").format(sql.Identifier("t", OWNER), PHONE))
    primary_key = mapping.source.primary_key
    if primary_key and {column.name for column in mapping.staged}.issuperset(primary_key):
        conditions.append(sql.SQL("({}) IS NOT NULL").format(lookalikes_sql.columns_text(mapping, primary_key, "t")))
    return sql.SQL("({})").format(sql.SQL(" OR ").join(conditions))


def _searches(mapping: TableMapping, spec: TableSpec) -> Iterator[sql.Composed]:
    """Yields statements that pair by mobile's primary key if the desktop has it, then by key and similar content."""
    names = {column.name for column in mapping.staged}
    primary_key = mapping.source.primary_key
    among: sql.Composable = sql.SQL("TRUE")
    if primary_key and names.issuperset(primary_key):
        identity = partial(lookalikes_sql.columns_text, mapping, primary_key)
        yield lookalikes_sql.find_pairs(mapping, identity, among=among, ignored=(), alike=False)
        # A row with the primary key of another phone row is not a copy of this one.
        among = sql.SQL("({}) IS NULL").format(identity("t"))
    if not mapping.key_names:
        content = partial(lookalikes_sql.content_text, mapping)
        yield lookalikes_sql.find_pairs(mapping, content, among=among, ignored=(), alike=False)
    else:
        yield _by_key(mapping, spec, among=among)


def _by_key(mapping: TableMapping, spec: TableSpec, *, among: sql.Composable) -> sql.Composed:
    ignored = {*spec.mobile_owned, *mapping.source.primary_key}
    key = partial(lookalikes_sql.columns_text_or_null, mapping, mapping.key_names)
    return lookalikes_sql.find_pairs(mapping, key, among=among, ignored=ignored, alike=True)
