"""Statements that select and read rows of the source."""

import dataclasses
from collections.abc import Iterable, Sequence
from datetime import datetime

from psycopg import sql

from powerca_sync.engine.mapping import COMMA, NOT_ENDED, ExtraColumn, SyncedColumn, TableMapping, from_image, row_sizes
from powerca_sync.engine.postgres import Table
from powerca_sync.specs import STAMPS

#: The column of `pulled_images` with the size of an image.
_IMAGE_SIZE = "ledger:bytes"
#: Staging columns of a ledger image: primary key and creation time of its phone row, and the id of the entry.
MOBILE_KEY, MADE, NUMBER = "ledger:mobile_key", "ledger:born", "ledger:id"
ENTRY = (
    ExtraColumn(name=MOBILE_KEY, type="text", source_expression=sql.Identifier("s", MOBILE_KEY)),
    ExtraColumn(name=MADE, type="text", source_expression=sql.Identifier("s", MADE)),
    ExtraColumn(name=NUMBER, type="bigint", source_expression=sql.Identifier("s", NUMBER)),
)


#: Schema and name of the copy of a view.
VIEW_COPY = ("pg_temp", "powerca_view")


def copy_view(view: Table) -> sql.Composed:
    """Copy the columns of a view into a temporary table. The statement works under any search path."""
    return sql.SQL("CREATE TEMP TABLE {} ON COMMIT DROP AS SELECT {} FROM {} AS s").format(
        sql.Identifier(VIEW_COPY[1]),
        COMMA.join(sql.Identifier("s", column.name) for column in view.columns),
        view.identifier,
    )


def staged_names(mapping: TableMapping) -> tuple[str, ...]:
    """Returns the staging columns that rows of the source fill, in the order of `copy_out`."""
    names = [column.name for column in mapping.synced]
    names += [column.source_text for column in mapping.synced if column.source_text]
    names += [extra.name for extra in mapping.extra_columns]
    return tuple(names)


def source_names(mapping: TableMapping) -> tuple[str, ...]:
    """Returns the source columns that fill the columns of `staged_names`, in the same order."""
    names = [column.name for column in mapping.synced]
    names += [column.name for column in mapping.synced if column.source_text]
    names += [extra.name for extra in mapping.extra_columns]
    return tuple(names)


def copy_out(mapping: TableMapping, where: sql.Composable) -> sql.Composed:
    """COPY the source's rows for which `where` holds (alias `s`), as text.

    If `has_size`, the last field is the size of a row over the spec's limit, and NULL for others. In rows over the
    limit, wide and computed columns are NULL, so that their content is not transferred.
    """
    size = _size(mapping)
    if size is None:
        return _copy_out(mapping, mapping.source.identifier, where)
    limit = mapping.spec.max_row_bytes
    values = [_bounded(column, mapping, column.source_expression) for column in mapping.synced]
    values += [_bounded(column, mapping, raw_text(column)) for column in mapping.synced if column.source_text]
    values += [extra.source_expression for extra in mapping.extra_columns]
    values.append(sql.SQL("CASE WHEN z.bytes > {} THEN z.bytes END").format(limit))
    return sql.SQL("""\
COPY (
    SELECT {values}
    FROM {rows} AS s
    CROSS JOIN LATERAL (SELECT {size} AS bytes OFFSET 0) AS z
    WHERE {where}
) TO STDOUT""").format(values=COMMA.join(values), rows=mapping.source.identifier, size=size, where=where)


def has_size(mapping: TableMapping) -> bool:
    """Returns whether rows of the source may be over the size limit, so that `copy_out` has a field for the size."""
    return _size(mapping) is not None


def fits(mapping: TableMapping) -> sql.Composable:
    """A condition on the source's row `s`: it is not over the limit."""
    size = _size(mapping)
    return sql.SQL("TRUE") if size is None else sql.SQL("{} <= {}").format(size, mapping.spec.max_row_bytes)


def _size(mapping: TableMapping) -> sql.Composable | None:
    return row_sizes.size("s", (column.source for column in mapping.synced), mapping.spec.max_row_bytes)


def _bounded(column: SyncedColumn, mapping: TableMapping, value: sql.Composable) -> sql.Composable:
    """Returns the value of a column, which is NULL in rows over the limit if it may be large. Short keys are kept."""
    if not row_sizes.is_wide(column.source) and column not in mapping.computed:
        return value
    kept = sql.SQL("z.bytes <= {}").format(mapping.spec.max_row_bytes)
    if column.name in mapping.key_names and column not in mapping.computed:
        short = row_sizes.is_short(sql.Identifier("s", column.source.name), column.source)
        kept = sql.SQL("{} OR {}").format(kept, short)
    return sql.SQL("CASE WHEN {} THEN {} END").format(kept, value)


def of_entries(mapping: TableMapping) -> TableMapping:
    """Returns the mapping for ledger images, with the columns of `ENTRY`."""
    return dataclasses.replace(mapping, extra_columns=(*mapping.extra_columns, *ENTRY))


def copy_out_ledger(mapping: TableMapping, where: sql.Composable) -> sql.Composed:
    """COPY the ledger images for which `where` holds (alias `s`), in the form of the source's rows.

    The mapping comes from `of_entries`. In images far over the size limit, which entries older than the limit may have,
    wide columns are NULL; the row itself is quarantined.
    """
    fits = sql.SQL("{} <= {}").format(
        sql.Identifier("s", _IMAGE_SIZE), row_sizes.AT_TARGET * mapping.spec.max_row_bytes
    )

    def bounded(column: SyncedColumn, value: sql.Composable) -> sql.Composable:
        if column.name in mapping.key_names or not row_sizes.is_wide(column.source):
            return value
        return sql.SQL("CASE WHEN {} THEN {} END").format(fits, value)

    values = [bounded(column, column.source_expression) for column in mapping.synced]
    values += [bounded(column, raw_text(column)) for column in mapping.synced if column.source_text]
    values += [extra.source_expression for extra in mapping.extra_columns]
    return sql.SQL("""\
COPY (
    SELECT {values}
    FROM {images} AS s
    WHERE {where}
) TO STDOUT""").format(values=COMMA.join(values), images=pulled_images(mapping), where=where)


def pulled_images(mapping: TableMapping) -> sql.Composed:
    """Returns the ledger images as a FROM item without alias: the source's columns, `ENTRY` and each image's size."""
    columns = [
        sql.SQL("{} AS {}").format(from_image("l", column), sql.Identifier(column.name))
        for column in mapping.source.columns
    ]
    columns += [
        sql.SQL("{} AS {}").format(sql.Identifier("l", extra.name.removeprefix("ledger:")), sql.Identifier(extra.name))
        for extra in ENTRY
    ]
    size = row_sizes.stored_size(sql.Identifier("l", "image"), mapping.spec.max_row_bytes)
    columns.append(sql.SQL("{} AS {}").format(size, sql.Identifier(_IMAGE_SIZE)))
    return sql.SQL(
        "(SELECT {columns} FROM powerca_sync.pulled AS l WHERE l.table_name = {table} AND {not_ended})"
    ).format(columns=sql.SQL(", ").join(columns), table=mapping.spec.phone_table, not_ended=NOT_ENDED)


def _copy_out(mapping: TableMapping, rows: sql.Composable, where: sql.Composable) -> sql.Composed:
    values = [column.source_expression for column in mapping.synced]
    values += [raw_text(column) for column in mapping.synced if column.source_text]
    values += [extra.source_expression for extra in mapping.extra_columns]
    return sql.SQL("""\
COPY (
    SELECT {values}
    FROM {rows} AS s
    WHERE {where}
) TO STDOUT""").format(values=sql.SQL(", ").join(values), rows=rows, where=where)


def raw_text(column: SyncedColumn) -> sql.Composed:
    """Returns the source's text of a column's value."""
    return sql.SQL("{}::text").format(sql.Identifier("s", column.name))


def evaluate(mapping: TableMapping, rows: sql.Composable, where: sql.Composable) -> sql.Composed:
    """Evaluate the spec's expressions for the rows for which `where` holds (alias `s`); returns only counts."""
    return sql.SQL("SELECT {} FROM {} AS s WHERE {}").format(
        COMMA.join(sql.SQL("count(({})::text)").format(column.source_expression) for column in mapping.computed),
        rows,
        where,
    )


def find_unreadable(mapping: TableMapping, rows: sql.Composable, where: sql.Composable, most: int) -> sql.Composed:
    """Find the rows for which an expression fails, at most `most` + 1 of them.

    Leaves a JSON array of [`row_hash`, message] in the setting `UNREADABLE` of the transaction. A block, because only
    PL/pgSQL can continue after an error.
    """
    block = sql.SQL("""\
DECLARE
    r record;
    found jsonb := '[]';
BEGIN
    FOR r IN SELECT {hash} AS "row:hash", {columns} FROM {rows} AS s WHERE {where} LOOP
        BEGIN
            PERFORM {values} FROM (SELECT {fields}) AS s;
        EXCEPTION WHEN OTHERS THEN
            found := found || jsonb_build_array(jsonb_build_array(r."row:hash"::text, SQLERRM));
            EXIT WHEN jsonb_array_length(found) > {most};
        END;
    END LOOP;
    PERFORM set_config({setting}, found::text, true);
END""").format(
        hash=row_hash(mapping),
        columns=COMMA.join(sql.Identifier("s", column.name) for column in mapping.source.columns),
        rows=rows,
        where=where,
        values=COMMA.join(column.source_expression for column in mapping.computed),
        fields=COMMA.join(
            sql.SQL("{} AS {}").format(sql.Identifier("r", column.name), sql.Identifier(column.name))
            for column in mapping.source.columns
        ),
        most=most,
        setting=UNREADABLE,
    )
    return sql.SQL("DO {}").format(sql.Literal(block.as_string()))


#: The setting in which `find_unreadable` leaves its result.
UNREADABLE = "powerca_sync.unreadable"


def row_hash(mapping: TableMapping) -> sql.Composed:
    """Returns an expression for a hash that identifies a row `s` of the source and its exact copies."""
    return sql.SQL("hashtextextended({}, 0)").format(
        row_sizes.row_text("s", mapping.source.columns, row_sizes.HASHED_AT_MOST)
    )


def is_among(mapping: TableMapping, hashes: Sequence[int]) -> sql.Composed:
    """Returns a condition on the source's row `s`: its `row_hash` is one of `hashes`."""
    return sql.SQL("{} = ANY ({}::bigint[])").format(row_hash(mapping), list(hashes))


def without_computed(mapping: TableMapping) -> TableMapping:
    """Returns the mapping with NULL for computed columns."""
    names = {column.name for column in mapping.computed}
    synced = (
        dataclasses.replace(column, source_expression=sql.SQL("NULL")) if column.name in names else column
        for column in mapping.synced
    )
    return dataclasses.replace(mapping, synced=tuple(synced))


def changed_since_xid(xid: int) -> sql.Composed:
    """Returns a condition: the row version is not older than a snapshot's xmin. `age` compares across wraparound."""
    return sql.SQL("age(s.xmin) <= age(({})::text::xid)").format(sql.Literal(str(xid % 2**32)))


def changed_since_time(mapping: TableMapping, mark: datetime) -> sql.Composed:
    """Returns a condition: a stamp of the row is later than `mark`, or NULL.

    Stamps without time zone are read in the session's time zone, and as the later hour if its clocks went back since.
    A date counts as any time of its day.
    """
    columns = [name for name in reversed(STAMPS) if mapping.source.column(name)]
    conditions = [
        sql.SQL("{column} {after} {mark} OR {column} IS NULL").format(
            column=sql.Identifier("s", name),
            after=sql.SQL(">=" if mapping.source.required(name).base == "date" else ">"),
            mark=_as_stamp(mark, mapping.source.required(name).base),
        )
        for name in columns
    ]
    return sql.SQL(" OR ").join(conditions)


def _as_stamp(mark: datetime, base: str) -> sql.Composed:
    zoned = sql.SQL("({})::timestamptz").format(sql.Literal(mark.isoformat()))
    if base == "timestamptz":
        return zoned
    offset_now = sql.SQL("localtimestamp - (now() AT TIME ZONE 'UTC')")
    return sql.SQL("least({zoned}::timestamp, ({zoned} AT TIME ZONE 'UTC') + ({offset_now}))::{type}").format(
        zoned=zoned, offset_now=offset_now, type=sql.SQL(base)
    )


def sharing_a_key(mapping: TableMapping, changed: sql.Composable) -> sql.Composed:
    """Returns a condition: the row has the key of a changed row. Repeated keys are thereby read with all their rows."""
    return sql.SQL("{key} IN (SELECT {key} FROM {source} AS s WHERE {changed})").format(
        key=_key(mapping, "s"), source=mapping.source.identifier, changed=changed
    )


def having_keys(mapping: TableMapping, keys: Iterable[Sequence[str | None]]) -> sql.Composed:
    """Returns a condition: the row has one of the keys, given as text; NULL equals NULL."""
    values = (
        sql.SQL("({})").format(sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Literal(part)) for part in key))
        for key in keys
    )
    return sql.SQL("{key} IN (SELECT {wanted} FROM (VALUES {values}) AS k ({columns}))").format(
        key=_key(mapping, "s"),
        wanted=_key(mapping, "k"),
        values=sql.SQL(", ").join(values),
        columns=sql.SQL(", ").join(sql.Identifier(name) for name in mapping.key_names),
    )


def _key(mapping: TableMapping, alias: str) -> sql.Composed:
    # As one text PostgreSQL can hash the key, and NULL equals NULL.
    names = (sql.SQL("{}::text").format(sql.Identifier(alias, name)) for name in mapping.key_names)
    return sql.SQL("ROW({})::text").format(sql.SQL(", ").join(names))
