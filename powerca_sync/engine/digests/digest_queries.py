"""The two ends of a comparison, as the statements that compare them need them."""

import dataclasses
from collections.abc import Callable, Collection, Sequence
from typing import Any

from psycopg import sql

from powerca_sync.engine.digests import digest_sql
from powerca_sync.engine.digests.canonical_text import (
    Encoder,
    at_source,
    at_target,
    computed,
    encoder,
    packed,
    source_text,
)
from powerca_sync.engine.digests.digest_sql import Side
from powerca_sync.engine.mapping import (
    FROM_PHONE,
    HELD,
    LEDGER,
    STAGING,
    XID_HORIZON,
    ExtraColumn,
    Snapshot,
    SyncedColumn,
    TableMapping,
    row_sizes,
)
from powerca_sync.engine.postgres import PLAIN
from powerca_sync.engine.staging import extract_sql, phone_rows_sql
from powerca_sync.engine.state import TableState
from powerca_sync.tables import DESKTOP, PHONE, STAMPS, Strategy

#: Staging columns of rows that had to be moved to be compared: what only the source can tell of them.
CHANGED, KEY = "verify:changed", "verify:key"

Read = Callable[[SyncedColumn], sql.Composable]
_ENTRY_NOTES = sql.Identifier("s", extract_sql.MOBILE_KEY), sql.Identifier("s", extract_sql.MADE)
_TRUE, _FALSE = sql.SQL("TRUE"), sql.SQL("FALSE")


def source_side(
    mapping: TableMapping, utf8: Encoder, changed: sql.Composable, quarantined: Collection[bytes] = ()
) -> Side:
    """The source's rows, with the notes (from a phone, changed, collapses, key if it is quarantined)."""
    return _side(
        mapping,
        sql.SQL("{} AS s").format(mapping.source.identifier),
        _at_source(mapping),
        utf8,
        sized=("s", mapping.spec.max_row_bytes),
        notes=(_from_phone(mapping), changed, _collapses(mapping), _key_in_quarantine(mapping, utf8, quarantined)),
    )


def ledger_side(mapping: TableMapping, utf8: Encoder) -> Side:
    """The images of reverse-synced rows at the source, with the notes (mobile primary key, when made)."""
    return _side(
        mapping,
        sql.SQL("{} AS s").format(extract_sql.pulled_images(mapping)),
        _at_source(mapping),
        utf8,
        notes=_ENTRY_NOTES,
    )


def target_side(mapping: TableMapping, utf8: Encoder) -> Side:
    """This office's rows at the target, with the notes (owner, as `agreement.Owner` has it; those of the ledger)."""
    owner = sql.SQL("CASE WHEN {owner} IS NULL THEN 1 ELSE CASE {owner} WHEN {} THEN 0 WHEN {} THEN 2 ELSE 3 END END")
    identity: tuple[sql.Composable, ...] = (sql.SQL("NULL::text"), sql.SQL("NULL::text"))
    if mapping.target.primary_key:
        identity = phone_rows_sql.primary_key(mapping.target, "t"), phone_rows_sql.born(mapping.target, "t")
    return _side(
        mapping,
        sql.SQL("{} AS t").format(mapping.target.identifier),
        _at_target(mapping, "t"),
        utf8,
        where=mapping.in_office("t"),
        sized=("t", row_sizes.AT_TARGET * mapping.spec.max_row_bytes),
        summed=sql.SQL("{} IS NOT DISTINCT FROM {}").format(mapping.owner("t"), DESKTOP),
        notes=(owner.format(DESKTOP, PHONE, owner=mapping.owner("t")), *identity),
    )


def moved(mapping: TableMapping, changed: sql.Composable) -> TableMapping:
    """The same mapping, with which staging also holds what only the source can tell of a row."""
    key = packed(source_text(sql.Identifier("s", name)) for name in mapping.spec.key)
    return dataclasses.replace(
        mapping,
        extra_columns=(
            *mapping.extra_columns,
            ExtraColumn(name=CHANGED, type="boolean", source_expression=changed),
            ExtraColumn(name=KEY, type="text", source_expression=key),
        ),
    )


def staged_side(mapping: TableMapping, utf8: Encoder, quarantined: Collection[bytes]) -> Side:
    """The source's rows after they have been moved to the target, with the same notes as `source_side`."""
    own = _FALSE if not mapping.source_has_owner else sql.Identifier("s", FROM_PHONE)
    key = digest_sql.among(utf8(sql.Identifier("s", KEY)), quarantined)
    return _side(
        mapping,
        sql.SQL("{} AS s").format(STAGING),
        _at_target(mapping, "s"),
        utf8,
        notes=(own, sql.Identifier("s", CHANGED), _collapses(mapping), key),
    )


def moved_ledger_side(mapping: TableMapping, utf8: Encoder) -> Side:
    """The images of reverse-synced rows after they have been moved to the target, with the same notes."""
    return _side(mapping, sql.SQL("{} AS s").format(LEDGER), _at_target(mapping, "s"), utf8, notes=_ENTRY_NOTES)


def held_side(mapping: TableMapping, utf8: Encoder) -> Side:
    """The keys of moved rows that staging refused."""
    return dataclasses.replace(
        _side(mapping, sql.SQL("{} AS s").format(HELD), _at_target(mapping, "s"), utf8), rest={}, owned={}
    )


def landed_sides(mapping: TableMapping) -> tuple[Side, Side]:
    """Staging and this office's rows at the target, within a run: with all that staging holds, lookups too."""
    utf8 = encoder(stored="UTF8")
    assert utf8 is not None

    def columns(alias: str, names: tuple[str, ...]) -> dict[str, sql.Composable]:
        found = (mapping.target.required(name) for name in names)
        return {column.name: at_target(sql.Identifier(alias, column.name), column, column) for column in found}

    def size(alias: str, names: tuple[str, ...]) -> sql.Composable | None:
        return row_sizes.size(alias, [mapping.target.required(name) for name in names], limit)

    limit = row_sizes.AT_TARGET * mapping.spec.max_row_bytes
    left_out = {*mapping.spec.key, *STAMPS, *mapping.spec.mobile_owned}
    rest = tuple(column.name for column in mapping.staged if column.name not in left_out)
    shared: dict[str, Any] = {"owned": {}, "utf8": utf8, "summed": _TRUE, "limit": limit}
    staged, landed = (
        Side(
            rows=sql.SQL("{} AS {}").format(rows, sql.Identifier(alias)),
            where=where,
            key=columns(alias, mapping.spec.key),
            rest=columns(alias, rest),
            size=size(alias, (*mapping.spec.key, *rest)),
            key_size=size(alias, mapping.spec.key),
            **shared,
        )
        for rows, alias, where in (
            (STAGING, "s", digest_sql.was_to_land()),
            (mapping.target.identifier, "t", mapping.in_office("t")),
        )
    )
    return staged, landed


def changed_since(mapping: TableMapping, state: TableState, snapshot: Snapshot) -> sql.Composable | None:
    """A condition on the source's row `s`: it may have changed since the last run. None where that cannot be told.

    By row versions wherever there are any, also for a spec whose cursor are stamps: a change that moved no stamp, and
    that its incremental runs therefore do not see, is to be found.
    """
    mark, now = state.mark, snapshot.mark(mapping)
    if mark is None or any(mark[name] != value for name, value in now.items() if name not in ("xmin", "lsn", "clock")):
        return None
    age = snapshot.xmin - int(mark["xmin"])
    if mapping.source.kind != PLAIN or not 0 <= age <= XID_HORIZON or snapshot.lsn < int(mark["lsn"]):
        return None
    return extract_sql.changed_since_xid(int(mark["xmin"]))


def _side(
    mapping: TableMapping,
    rows: sql.Composable,
    read: Read,
    utf8: Encoder,
    *,
    where: sql.Composable = _TRUE,
    sized: tuple[str, int] | None = None,
    summed: sql.Composable = _TRUE,
    notes: tuple[sql.Composable, ...] = (),
) -> Side:
    synced = {column.name: column for column in mapping.synced if column.name not in STAMPS}
    key = [name for name in mapping.spec.key if name in synced]
    rest = [name for name in synced if name not in {*key, *mapping.spec.mobile_owned}]
    owned = [name for name in synced if name in mapping.spec.mobile_owned]
    return Side(
        rows=rows,
        where=where,
        summed=summed,
        key={name: read(synced[name]) for name in key},
        rest={name: read(synced[name]) for name in rest},
        owned={name: read(synced[name]) for name in owned},
        utf8=utf8,
        notes=notes,
        **_sizes(
            sized, [synced[name] for name in key], [synced[name] for name in rest], [synced[name] for name in owned]
        ),
    )


def _sizes(
    sized: tuple[str, int] | None,
    key: Sequence[SyncedColumn],
    rest: Sequence[SyncedColumn],
    owned: Sequence[SyncedColumn],
) -> dict[str, Any]:
    """How the columns of an alias are measured, if they are to be, against a limit."""
    if sized is None:
        return {}
    alias, limit = sized

    def size(columns: Sequence[SyncedColumn]) -> sql.Composable | None:
        return row_sizes.size(alias, [one.source if alias == "s" else one.column for one in columns], limit)

    return {"size": size([*key, *rest]), "key_size": size(key), "owned_size": size(owned), "limit": limit}


def _at_source(mapping: TableMapping) -> Read:
    computed_columns = {expression.column for expression in mapping.spec.expressions}

    def read(column: SyncedColumn) -> sql.Composable:
        if column.name in computed_columns:
            return computed(column.source_expression, column.column)
        return at_source(sql.Identifier("s", column.source.name), column.source, column.column)

    return read


def _at_target(mapping: TableMapping, alias: str) -> Read:
    computed_columns = {expression.column for expression in mapping.spec.expressions}

    def read(column: SyncedColumn) -> sql.Composable:
        source = column.column if column.name in computed_columns else column.source
        return at_target(sql.Identifier(alias, column.name), source, column.column)

    return read


def _from_phone(mapping: TableMapping) -> sql.Composable:
    return next((extra.source_expression for extra in mapping.extra_columns if extra.name == FROM_PHONE), _FALSE)


def _collapses(mapping: TableMapping) -> sql.Composable:
    """Whether a row `s` and its exact copies may be at the target once only."""
    if mapping.spec.strategy is Strategy.UPSERT:
        return _TRUE
    synced = {column.name for column in mapping.synced}
    conditions: list[sql.Composable] = [_FALSE]
    for key in mapping.target.unique_keys:
        if synced.issuperset(key.columns):
            columns = sql.SQL(", ").join(sql.Identifier("s", name) for name in key.columns)
            conditions.append(sql.SQL("({}) IS NOT NULL").format(columns) if key.nulls_distinct else _TRUE)
    return sql.SQL("({})").format(sql.SQL(" OR ").join(conditions))


def _key_in_quarantine(mapping: TableMapping, utf8: Encoder, quarantined: Collection[bytes]) -> sql.Composable:
    key = packed(source_text(sql.Identifier("s", name)) for name in mapping.spec.key)
    return digest_sql.among(utf8(key), quarantined)
