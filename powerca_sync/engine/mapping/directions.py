"""Map one table forward, from desktop to mobile, and back: which columns are synced, and how they are converted."""

from collections.abc import Mapping, Sequence

from psycopg import sql

from powerca_sync.engine.mapping.compatibility import (
    check_columns,
    check_equality,
    check_money,
    check_names,
    check_stamps,
)
from powerca_sync.engine.mapping.conversion import Conversion, conversion
from powerca_sync.engine.mapping.expressions import unreadable_columns
from powerca_sync.engine.mapping.mapping import FROM_PHONE, Direction, ExtraColumn, SyncedColumn, TableMapping
from powerca_sync.engine.mapping.tenancy import Scope
from powerca_sync.engine.postgres import PARTITIONED, PLAIN, Column, Table
from powerca_sync.errors import SchemaMismatchError
from powerca_sync.specs import OWNER, PHONE, STAMPS, Strategy, TableSpec


def map_table(spec: TableSpec, *, sources: Mapping[str, Table], scope: Scope) -> TableMapping:
    """Returns the forward mapping of one table.

    `spec` and the specs of `scope` are resolved; `sources` has the source's tables by desktop name, `scope` the
    target's. Raises `SchemaMismatchError` if the databases and the spec do not fit each other.
    """
    if spec.desktop not in sources:
        raise SchemaMismatchError(f"Table `{spec.desktop}` does not exist on the desktop, or its user may not see it.")
    source, target = sources[spec.desktop], scope.table(spec.mobile)
    if target.kind not in (PLAIN, PARTITIONED):
        raise SchemaMismatchError(
            f"`{spec.mobile}` is not a table at the target, so that rows cannot be merged into it."
        )
    if spec.strategy is Strategy.DELETE_INSERT and target.column(OWNER) is None:
        raise SchemaMismatchError(
            f"Table `{spec.mobile}` has no column `{OWNER}` at the target, so that phone rows could not be told from "
            "desktop rows. Add the column, or use the strategy UPSERT."
        )
    check_columns(spec, source, target)
    check_names(target)
    check_equality(spec, target)
    check_stamps(target)
    computed = {one.column: one.forward for one in spec.expressions}
    check_money(spec.mobile, computed, source, target)
    looked_up = {lookup.column for lookup in spec.lookups}
    left_behind = spec.skip | looked_up | {OWNER} | set(spec.constants)
    synced: list[SyncedColumn] = []
    for column in target.columns:
        from_source = source.column(column.name)
        if from_source is None or column.name in left_behind or not _writable(spec, target, column):
            continue
        synced.append(_synced(spec, from_source, column, computed.get(column.name), place=len(synced)))
    names = {column.name for column in synced}
    if spec.office is not None and not spec.defines_offices and spec.office not in names:
        raise SchemaMismatchError(
            f"Table `{spec.mobile}`: column `{spec.office}` determines the office, but the target or the spec excludes "
            "it from the sync. Make it a plain column that is neither skipped nor filled otherwise."
        )
    if not synced:
        raise SchemaMismatchError(f"Table `{spec.mobile}` has no column in common with `{spec.desktop}`.")
    return TableMapping(
        spec=spec,
        direction=Direction.FORWARD,
        scope=scope,
        source=source,
        target=target,
        synced=tuple(synced),
        key_names=spec.key,
        ignored=tuple(
            column.name
            for column in source.columns
            if target.column(column.name) is None and column.name not in left_behind
        ),
        extra_columns=(_from_phone(source),) if source.column(OWNER) else (),
    )


def map_back(
    spec: TableSpec, *, source: Table, target: Table, scope: Scope, extra_columns: Sequence[ExtraColumn] = ()
) -> TableMapping:
    """Returns the reverse mapping of one table, for its phone rows: every column that both sides have.

    Raises `SchemaMismatchError` if the databases and the spec do not fit each other.
    """
    if target.kind not in (PLAIN, PARTITIONED):
        raise SchemaMismatchError(
            f"`{spec.desktop}` is not a table at the target, so that rows cannot be inserted into it. Name a table for "
            "them in the spec (`reverse_into`), or set `reverse` to False."
        )
    for rule in target.rules:
        if rule.event == "INSERT":
            raise SchemaMismatchError(
                f"`{spec.desktop}` has the rule `{rule.name}` (CREATE RULE) for INSERT, so that the sync cannot see "
                "the inserted rows. Make it a trigger."
            )
    source.required(OWNER)
    check_names(target)
    for name in spec.key:
        source.required(name)
        target.required(name)
    check_equality(spec, target)
    computed = {one.column: one.reverse for one in spec.expressions}
    check_money(spec.desktop, computed, source, target)
    synced: list[SyncedColumn] = []
    for column in target.columns:
        from_source = source.column(column.name)
        if from_source is None or column.name in spec.skip or column.generated or column.identity == "a":
            continue
        synced.append(_synced(spec, from_source, column, computed.get(column.name), place=len(synced)))
    for name, expression in computed.items():
        if lacking := unreadable_columns(expression, source):
            raise SchemaMismatchError(
                f"Table `{spec.mobile}`: the spec computes `{name}` for the desktop from "
                f"{', '.join(lacking)}, which mobile lacks. Add the column on mobile, or change the expression."
            )
    return TableMapping(
        spec=spec,
        direction=Direction.REVERSE,
        scope=scope,
        source=source,
        target=target,
        synced=tuple(synced),
        # A key that the target generates does not identify the phone row.
        key_names=spec.key if {column.name for column in synced}.issuperset(spec.key) else (),
        extra_columns=tuple(extra_columns),
    )


def _from_phone(source: Table) -> ExtraColumn:
    return ExtraColumn(
        name=FROM_PHONE,
        type="boolean",
        source_expression=sql.SQL("coalesce({}::text = {}, false)").format(
            sql.Identifier("s", source.required(OWNER).name), PHONE
        ),
    )


#: Types whose text in COPY equals that of a cast to text, except for the padding of `char(n)`.
_COPIED_AS_CAST = frozenset(
    {"int2", "int4", "int8", "numeric", "text", "varchar", "bpchar", "uuid", "date", "timestamp", "timestamptz"}
)


def _writable(spec: TableSpec, target: Table, column: Column) -> bool:
    """Whether the source's value may be written; values that the target generates may not."""
    if column.generated or column.identity == "a":
        return False
    surrogate = column.name in target.primary_key and column.name not in spec.key
    return not (surrogate and (len(target.primary_key) == 1 or column.has_default))


def _synced(spec: TableSpec, source: Column, target: Column, expression: str | None, *, place: int) -> SyncedColumn:
    """Returns how a column is copied; `expression`, if given, computes it."""
    if expression is not None:
        # A person has reviewed the expression. It must not return NULL for a value, such as a time without a date.
        return SyncedColumn(
            column=target,
            source=source,
            source_expression=sql.SQL("({})").format(sql.SQL(expression)),
            lossless_check="({value} IS NULL) = ({text} IS NULL)",
            source_text=f"raw:{place}",
            computed=True,
        )
    try:
        how = Conversion() if target.name in STAMPS else conversion(source, target)
    except SchemaMismatchError as exc:
        raise SchemaMismatchError(f"Table `{spec.mobile}`: {exc}") from None
    # The key's text is kept as the source's cast returns it, to find the row there again: COPY writes `t` for `true`.
    as_cast = source.type == target.type and source.base in _COPIED_AS_CAST
    kept = how.lossless_check is not None or (target.name in spec.key and not as_cast)
    return SyncedColumn(
        column=target,
        source=source,
        source_expression=sql.SQL(how.source_expression).format(value=sql.Identifier("s", source.name)),
        lossless_check=how.lossless_check,
        source_text=f"raw:{place}" if kept else None,
    )
