"""Count the rows that would wait in quarantine because the other side's columns do not take them, by measuring.

What cannot be told from the values (a CHECK, a trigger's refusal) shows at the first run.
"""

import dataclasses
from collections.abc import Iterator
from functools import partial

from psycopg import sql

from powerca_sync.engine.doctor import examination_sql
from powerca_sync.engine.doctor.columns import Layout
from powerca_sync.engine.doctor.findings import Finding, Severity, by_share, listed
from powerca_sync.engine.doctor.side import Side
from powerca_sync.engine.mapping import TableMapping, row_sizes
from powerca_sync.engine.postgres import Column, Cursor, Table, one_row
from powerca_sync.engine.staging import find_large_objects, format_size
from powerca_sync.plain_text import counted
from powerca_sync.tables import OWNER, PHONE, STAMPS, Strategy

_INTEGERS = ("int2", "int4", "int8")
_NUMBERS = (*_INTEGERS, "numeric", "float4", "float8")
_LIMITED = ("varchar", "bpchar")
#: The first server that can say whether a type reads a text.
_CAN_TRY_INPUT = 160000


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Obstacle:
    """What a column of the other side does not take."""

    column: str
    #: As in `column ...`.
    words: str
    #: Over the row, alias `t`.
    condition: sql.Composable


def examine_forward_fit(side: Side, layout: Layout) -> Iterator[Finding]:
    """Desktop rows that mobile would not take."""
    for mapping in layout.mappings.values():
        obstacles = [found for column in mapping.synced for found in _forward_obstacles(side, mapping, column.name)]
        yield from _measure(
            side, mapping, mapping.source, obstacles, examination_sql.not_pulled(mapping.source), other="mobile"
        )


def examine_reverse_fit(side: Side, layout: Layout) -> Iterator[Finding]:
    """Phone rows that the desktop would not take."""
    for mapping in layout.mappings.values():
        if mapping.spec.reverse and mapping.has_owner:
            phone = sql.SQL("{} AND {}").format(
                examination_sql.has_owner(PHONE), examination_sql.not_another_office(mapping)
            )
            obstacles = [found for column in mapping.synced for found in _reverse_obstacles(side, mapping, column.name)]
            yield from _measure(side, mapping, mapping.target, obstacles, phone, other="desktop")


def examine_large_objects(side: Side, layout: Layout) -> Iterator[Finding]:
    """Columns that hold numbers of large objects."""
    for mapping in layout.mappings.values():
        if side.name == "mobile" and not mapping.spec.reverse:
            continue
        look = partial(find_large_objects, mapping=mapping, at_target=side.name == "mobile")
        table = mapping.spec.mobile
        for name in side.look(f"the large objects of `{table}`", look, table=table) or ():
            yield Finding(
                severity=Severity.WARNING,
                side=side.name,
                table=table,
                what=f"{table}: {name} holds numbers of large objects, whose content lies outside the table.",
                why="Only the numbers travel, which mean nothing on the other side.",
                do="Keep documents in a column of type bytea, or put the column into `skip` of the table's spec.",
            )


def examine_sizes(side: Side, layout: Layout) -> Iterator[Finding]:
    """Rows over the limit of their spec."""
    for mapping in layout.mappings.values():
        spec, at_mobile = mapping.spec, side.name == "mobile"
        table = mapping.target if at_mobile else mapping.source
        where = examination_sql.not_pulled(mapping.source)
        if at_mobile:
            if not (spec.reverse and mapping.has_owner):
                continue
            where = sql.SQL("{} AND {}").format(
                examination_sql.has_owner(PHONE), examination_sql.not_another_office(mapping)
            )
        size = row_sizes.size("t", [table.required(column.name) for column in mapping.synced], spec.max_row_bytes)
        if size is None:
            continue
        condition = sql.SQL("{} > {}").format(size, spec.max_row_bytes)
        count = partial(_count_rows, table=table, condition=condition, where=where)
        over = side.look(f"the size of rows of `{table.name}`", count, table=spec.mobile)
        if over:
            rows = counted(over, "phone row" if at_mobile else "desktop row")
            yield Finding(
                severity=Severity.WARNING,
                side=side.name,
                table=spec.mobile,
                what=f"{spec.mobile}: {rows} of more than {format_size(spec.max_row_bytes)}.",
                why="Such rows are quarantined, without their content.",
                do="Shorten them, or raise `max_row_bytes` in the table's spec.",
            )


def _count_rows(cursor: Cursor, *, table: Table, condition: sql.Composable, where: sql.Composable) -> int:
    _, found = one_row(cursor, examination_sql.count_rows(table, [condition], where=where))
    return int(found)


def _forward_obstacles(side: Side, mapping: TableMapping, name: str) -> Iterator[Obstacle]:
    if _is_computed(mapping, name):
        # What an expression makes of a value is its own business.
        return
    own = mapping.source.required(name)
    if mapping.spec.strategy is Strategy.UPSERT and name in mapping.spec.key:
        # That a key is empty is said of it as a key.
        own = dataclasses.replace(own, nullable=False)
    yield from obstacles(own, mapping.target.required(name), _version(side))


def _reverse_obstacles(side: Side, mapping: TableMapping, name: str) -> Iterator[Obstacle]:
    if name != OWNER and name not in STAMPS and not _is_computed(mapping, name):
        yield from obstacles(mapping.target.required(name), mapping.source.required(name), _version(side))


def _is_computed(mapping: TableMapping, name: str) -> bool:
    return name in STAMPS or any(expression.column == name for expression in mapping.spec.expressions)


def _version(side: Side) -> int:
    return side.connection.info.server_version if side.connection is not None else 0


def obstacles(column: Column, taker: Column, version: int) -> Iterator[Obstacle]:
    """What `taker` may refuse of the values of `column`; `version` is that of the server that is asked."""
    if taker.base in _NUMBERS and column.base in _NUMBERS:
        condition = _number_obstacle(column, taker)
    elif taker.base in _LIMITED and taker.typmod > 0:
        condition = _length_obstacle(column, taker)
    elif column.category == "S" and taker.category != "S" and version >= _CAN_TRY_INPUT:
        condition = examination_sql.is_unreadable(column, taker.type)
    else:
        condition = None
    if column.nullable and not taker.nullable:
        yield Obstacle(column=column.name, words="is empty", condition=examination_sql.is_empty(column.name))
    if condition is not None:
        yield Obstacle(column=column.name, words=f"does not fit {taker.type}", condition=condition)


def _length_obstacle(column: Column, taker: Column) -> sql.Composed | None:
    length = taker.typmod - 4
    if column.base in _LIMITED and 0 < column.typmod <= taker.typmod:
        return None
    return examination_sql.is_longer(column, length, padded=taker.base == "bpchar")


def _number_obstacle(column: Column, taker: Column) -> sql.Composed | None:
    if taker.base in _INTEGERS:
        if column.base in _INTEGERS and _INTEGERS.index(column.base) <= _INTEGERS.index(taker.base):
            return None
        return examination_sql.is_no_integer(column, taker.base)
    if taker.base != "numeric" or taker.typmod < 0:
        return None
    digits, scale = _precision(taker)
    if column.base == "numeric" and column.typmod >= 0:
        own_digits, own_scale = _precision(column)
        if own_digits <= digits and own_scale <= scale:
            return None
    return examination_sql.exceeds_precision(column, digits=digits, scale=scale)


def _precision(column: Column) -> tuple[int, int]:
    """Digits before the point, and after it."""
    # The lower eleven bits, two's complement, as numeric_typmod_scale has it.
    scale = (((column.typmod - 4) & 0x7FF) ^ 1024) - 1024
    return ((column.typmod - 4) >> 16 & 0xFFFF) - scale, scale


def _measure(
    side: Side, mapping: TableMapping, table: Table, found: list[Obstacle], where: sql.Composable, *, other: str
) -> Iterator[Finding]:
    if not found:
        return
    spec = mapping.spec

    def count(cursor: Cursor) -> tuple[int, ...]:
        anything = sql.SQL(" OR ").join(obstacle.condition for obstacle in found)
        conditions = [anything, *(obstacle.condition for obstacle in found)]
        return one_row(cursor, examination_sql.count_rows(table, conditions, where=where))

    counts = side.look(f"the rows of `{table.name}`", count, table=spec.mobile)
    if counts is None or not counts[1]:
        return
    rows, unfit, *each = counts
    details = (
        f"{obstacle.column} {obstacle.words} ({number})" for obstacle, number in zip(found, each, strict=True) if number
    )
    whose, theirs = ("desktop", "mobile's") if other == "mobile" else ("phone", "the desktop's")
    yield Finding(
        severity=by_share(spec, unfit=unfit, rows=rows) if other == "mobile" else Severity.WARNING,
        side=side.name,
        table=spec.mobile,
        what=f"{spec.mobile}: {counted(unfit, f'{whose} row')} would not fit {theirs} columns: {listed(details)}.",
        why="Such rows wait in quarantine, and nothing is cut to fit; too many of them roll the table back."
        if other == "mobile"
        else "Such rows stay on the phones and wait in quarantine; nothing is cut to fit.",
        do=f"Widen the columns on the {'desktop' if other == 'desktop' else 'mobile side'}, or correct the values.",
    )


def examine_types(layout: Layout, version: int) -> Iterator[Finding]:
    """Columns that the desktop's rows may or may not fit, where no server can tell beforehand."""
    for mapping in layout.mappings.values():
        for column in mapping.synced:
            own, taker = column.source, column.column
            if _is_computed(mapping, column.name) or own.category != "S" or taker.category == "S":
                continue
            if version < _CAN_TRY_INPUT and own.base != taker.base:
                yield Finding(
                    severity=Severity.WARNING,
                    side="both",
                    table=mapping.spec.mobile,
                    what=f"{mapping.spec.mobile}: {column.name} is {own.type} on the desktop, {taker.type} on mobile.",
                    why="Rows whose text is no such value wait in quarantine; how many cannot be said beforehand.",
                    do="Give both sides the same type.",
                )
