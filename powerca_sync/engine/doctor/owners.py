"""Owners of the rows on mobile: unowned rows, misleading defaults, and phone rows that exist twice."""

import re
from collections.abc import Iterator, Mapping
from functools import partial

from psycopg import sql

from powerca_sync.engine.doctor import examination_sql
from powerca_sync.engine.doctor.columns import Layout
from powerca_sync.engine.doctor.dependents import deletes_rows
from powerca_sync.engine.doctor.findings import Finding, fine, listed, warning
from powerca_sync.engine.doctor.side import Side
from powerca_sync.engine.mapping import TableMapping
from powerca_sync.engine.postgres import Cursor, load, one_row
from powerca_sync.plain_text import counted
from powerca_sync.specs import ADMINISTRATOR, DESKTOP, OWNER, PHONE


def examine_owners(side: Side, layout: Layout) -> Iterator[Finding]:
    """Yields findings for each table, then one for the defaults of the tables that phones write to."""
    written = []
    for mapping in layout.mappings.values():
        if not mapping.has_owner:
            continue
        counts = side.look(
            f"the owners of the rows of `{mapping.table}`",
            partial(_count, mapping=mapping),
            table=mapping.table,
            needed=True,
        )
        if counts is None:
            continue
        if mapping.spec.reverse and (counts["phone"] or mapping.spec.made_by):
            written.append(mapping)
        yield from _report(side.name, mapping.table, counts)
        if counts["twins"]:
            yield _twins(side.name, mapping, counts["twins"])
    defaults = side.look("the default of `source`", lambda cursor: _defaults(cursor, layout))
    if defaults is not None:
        yield from _examine_defaults(side.name, written, defaults)


def _count(cursor: Cursor, mapping: TableMapping) -> dict[str, int]:
    conditions = {
        "phone": examination_sql.has_owner(PHONE),
        "nobody": examination_sql.is_empty(OWNER),
        "system": examination_sql.has_owner(ADMINISTRATOR),
        "unknown": examination_sql.has_owner_beyond([DESKTOP, PHONE, ADMINISTRATOR]),
    }
    statement = examination_sql.count_rows(
        mapping.target, list(conditions.values()), where=mapping.scope.may_hold(mapping.spec, "t")
    )
    counts = dict(zip(("rows", *conditions), one_row(cursor, statement), strict=True))
    # A key of an `UPSERT` table exists once, so that a row cannot exist twice.
    with_twins = counts["phone"] and not mapping.pairs_by_key
    counts["twins"] = int(one_row(cursor, examination_sql.count_twins(mapping))[0]) if with_twins else 0
    return counts


def _report(side: str, table: str, counts: Mapping[str, int]) -> Iterator[Finding]:
    if counts["nobody"]:
        yield warning(
            side,
            f"{table}: {counted(counts['nobody'], 'row')} without a value in `{OWNER}`.",
            why="Unowned rows are never deleted and never reverse-synced. The next sync assigns those that equal a "
            "desktop row to the desktop.",
            do=f"If rows remain after a full sync: set `{OWNER}` to 'M' for rows of phones, delete the others.",
            table=table,
        )
    if counts["unknown"]:
        yield warning(
            side,
            f"{table}: {counted(counts['unknown'], 'row')} whose `{OWNER}` is neither 'D' (desktop) nor 'M' (phone).",
            why="Unowned rows are never changed, never deleted and never reverse-synced.",
            do=f"Find out who wrote them, and set `{OWNER}` to 'D' or 'M'.",
            table=table,
        )
    if counts["system"]:
        yield fine(side, f"{table}: {counted(counts['system'], 'row')} of an administrator ('S'), left as it is.")


def _twins(side: str, mapping: TableMapping, twins: int) -> Finding:
    table = mapping.table
    return warning(
        side,
        f"{table}: {counted(twins, 'phone row')} {'exists' if twins == 1 else 'exist'} twice, the second time as a "
        "desktop row.",
        why="Phones show both. An earlier engine copied the row to the desktop, and from there back as another row.",
        do=f"On mobile, delete of each pair the row with `{OWNER}` 'D'; the sync does not insert it again.",
        table=table,
    )


def _defaults(cursor: Cursor, layout: Layout) -> dict[int, str | None]:
    oids = [table.oid for table in layout.targets.values()]
    cursor.execute(load(__package__, "owner_defaults.sql"), {"tables": oids, "column": OWNER})
    return dict(cursor.fetchall())


def _examine_defaults(side: str, written: list[TableMapping], defaults: Mapping[int, str | None]) -> Iterator[Finding]:
    """Yields a finding for tables in which a phone row without `source` would not count as a phone row."""
    by_default: dict[str | None, list[TableMapping]] = {}
    for mapping in written:
        by_default.setdefault(_literal(defaults.get(mapping.target.oid)), []).append(mapping)
    repair = sql.SQL("ALTER TABLE {} ALTER COLUMN {} SET DEFAULT {}")
    for value, mappings in by_default.items():
        if value == PHONE:
            continue
        lost = "it is never reverse-synced"
        if value == DESKTOP:
            deletable = [mapping.table for mapping in mappings if deletes_rows(mapping.spec)]
            if deletable:
                lost += f", and in {listed(sorted(deletable))} the next sync deletes it, as the desktop has no such row"
            why = f"A row that the app inserts without 'M' counts as the desktop's: {lost}."
        else:
            why = f"A row that the app inserts without 'M' is unowned: {lost}."
        yield warning(
            side,
            f"`{OWNER}` is {f'{value!r} by default' if value else 'empty by default'} where phones insert rows: "
            f"{listed(sorted(mapping.table for mapping in mappings))}.",
            why=why,
            do="Set the default to 'M'; the sync always sets 'D' itself:",
            statements=[
                repair.format(mapping.target.identifier, sql.Identifier(OWNER), sql.Literal(PHONE))
                for mapping in mappings
            ],
        )


def _literal(expression: str | None) -> str | None:
    """Returns the value of a default such as `'D'::bpchar`, or the expression if it is not a constant."""
    if expression is None or expression.startswith("NULL"):
        return None
    constant = re.fullmatch(r"\(?'([^']*)'::[^']+", expression)
    return constant[1].rstrip() if constant else expression
