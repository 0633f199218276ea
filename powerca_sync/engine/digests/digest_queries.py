"""The two ends of a comparison, as the statements that compare them need them."""

from collections.abc import Callable, Sequence
from typing import Any

from psycopg import sql

from powerca_sync.engine.digests import digest_sql
from powerca_sync.engine.digests.canonical_text import Encoder, at_source, at_target, cast, encoder
from powerca_sync.engine.digests.digest_sql import Side, TypedSide
from powerca_sync.engine.digests.typed_fields import field
from powerca_sync.engine.mapping import STAGING, SyncedColumn, TableMapping, row_sizes
from powerca_sync.engine.staging import extract_sql
from powerca_sync.specs import DESKTOP, STAMPS

#: Returns the canonical text of a column, and its field of a typed hash.
Read = Callable[[SyncedColumn], tuple[sql.Composable, sql.Composable]]
_TRUE = sql.SQL("TRUE")


def source_side(mapping: TableMapping, utf8: Encoder, seed: int | None = None) -> Side:
    """The source's rows; with a seed, their digests are typed hashes."""
    return _side(
        mapping,
        sql.SQL("{} AS s").format(mapping.source.identifier),
        _at_source,
        utf8,
        seed,
        sized=("s", mapping.spec.max_row_bytes),
    )


def ledger_side(mapping: TableMapping, utf8: Encoder, seed: int | None = None) -> Side:
    """The images of reverse-synced rows at the source."""
    return _side(mapping, sql.SQL("{} AS s").format(extract_sql.pulled_images(mapping)), _at_source, utf8, seed)


def target_side(mapping: TableMapping, utf8: Encoder, seed: int | None = None) -> Side:
    """This office's rows at the target."""
    return _side(
        mapping,
        sql.SQL("{} AS t").format(mapping.target.identifier),
        _at_target,
        utf8,
        seed,
        where=mapping.in_office("t"),
        sized=("t", row_sizes.AT_TARGET * mapping.spec.max_row_bytes),
        summed=sql.SQL("{} IS NOT DISTINCT FROM {}").format(mapping.owner("t"), DESKTOP),
    )


def written_sides(mapping: TableMapping) -> tuple[Side, Side]:
    """Staging and this office's rows at the target, within a run: with all that staging holds, lookups too."""
    utf8 = encoder(stored="UTF8")
    assert utf8 is not None

    def columns(alias: str, names: tuple[str, ...]) -> dict[str, sql.Composable]:
        found = (mapping.target.required(name) for name in names)
        return {column.name: at_target(sql.Identifier(alias, column.name), column, column) for column in found}

    def size(alias: str, names: tuple[str, ...]) -> sql.Composable | None:
        return row_sizes.size(alias, [mapping.target.required(name) for name in names], limit)

    limit = row_sizes.AT_TARGET * mapping.spec.max_row_bytes
    left_out = {*mapping.key_names, *STAMPS, *mapping.mobile_owned}
    rest = tuple(column.name for column in mapping.staged if column.name not in left_out)
    shared: dict[str, Any] = {"owned": {}, "utf8": utf8, "summed": _TRUE, "limit": limit}
    staged, written = (
        Side(
            rows=sql.SQL("{} AS {}").format(rows, sql.Identifier(alias)),
            where=where,
            key=columns(alias, mapping.key_names),
            rest=columns(alias, rest),
            size=size(alias, (*mapping.key_names, *rest)),
            key_size=size(alias, mapping.key_names),
            **shared,
        )
        for rows, alias, where in (
            (STAGING, "s", digest_sql.was_to_land()),
            (mapping.target.identifier, "t", mapping.in_office("t")),
        )
    )
    return staged, written


def _side(
    mapping: TableMapping,
    rows: sql.Composable,
    read: Read,
    utf8: Encoder,
    seed: int | None,
    *,
    where: sql.Composable = _TRUE,
    sized: tuple[str, int] | None = None,
    summed: sql.Composable = _TRUE,
) -> Side:
    synced = {column.name: column for column in mapping.synced if column.name not in STAMPS}
    key = [name for name in mapping.key_names if name in synced]
    rest = [name for name in synced if name not in {*key, *mapping.mobile_owned}]
    owned = [name for name in synced if name in mapping.mobile_owned]
    found = {name: read(column) for name, column in synced.items()}
    side: dict[str, Any] = {
        "rows": rows,
        "where": where,
        "summed": summed,
        "key": {name: found[name][0] for name in key},
        "rest": {name: found[name][0] for name in rest},
        "owned": {name: found[name][0] for name in owned},
        "utf8": utf8,
        **_sizes(
            sized, [synced[name] for name in key], [synced[name] for name in rest], [synced[name] for name in owned]
        ),
    }
    if seed is None:
        return Side(**side)
    return TypedSide(**side, fields={name: one[1] for name, one in found.items()}, seed=seed)


def _sizes(
    sized: tuple[str, int] | None,
    key: Sequence[SyncedColumn],
    rest: Sequence[SyncedColumn],
    owned: Sequence[SyncedColumn],
) -> dict[str, Any]:
    """Expressions that compare the size of a row with the limit; None without a limit."""
    if sized is None:
        return {}
    alias, limit = sized

    def size(columns: Sequence[SyncedColumn]) -> sql.Composable | None:
        return row_sizes.size(alias, [one.source if alias == "s" else one.column for one in columns], limit)

    return {"size": size([*key, *rest]), "key_size": size(key), "owned_size": size(owned), "limit": limit}


def _at_source(column: SyncedColumn) -> tuple[sql.Composable, sql.Composable]:
    if column.computed:
        value, own = cast(column.source_expression, column.column), column.column
    else:
        value, own = sql.Identifier("s", column.source.name), column.source
    text = at_source(value, own, column.column)
    return text, field(value, own, column.column, text)


def _at_target(column: SyncedColumn) -> tuple[sql.Composable, sql.Composable]:
    value = sql.Identifier("t", column.name)
    source = column.column if column.computed else column.source
    text = at_target(value, source, column.column)
    return text, field(value, column.column, source, text)
