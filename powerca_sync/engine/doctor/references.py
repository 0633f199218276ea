"""References of the desktop's rows that lead nowhere: neither to a row of the desktop nor to one that mobile has."""

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial

from psycopg.types.json import Jsonb

from powerca_sync.engine.doctor import examination_sql
from powerca_sync.engine.doctor.columns import Layout
from powerca_sync.engine.doctor.findings import Finding, by_share, listed
from powerca_sync.engine.doctor.side import Side
from powerca_sync.engine.mapping import TableMapping
from powerca_sync.engine.postgres import Column, Cursor, one_row
from powerca_sync.plain_text import counted


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """A reference, as both sides have it."""

    parent: TableMapping
    #: Columns of the parent, on mobile.
    named: tuple[str, ...]
    #: Own columns on the desktop, each with the parent's there.
    pairs: tuple[tuple[Column, Column], ...]
    zero_is_none: bool = False

    @property
    def columns(self) -> str:
        """Own columns, as a person writes them."""
        return listed(own.name for own, _ in self.pairs)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Lost:
    """References of one link that the desktop does not have."""

    link: Link
    #: As text, one for each column of the link.
    values: Sequence[Sequence[str]]
    #: Rows with that value.
    rows: Sequence[int]


def examine_references(source: Side, target: Side, layout: Layout) -> Iterator[Finding]:
    """Each table in turn: one finding for each reference that leads nowhere from some rows."""
    for mapping in layout.mappings.values():
        spec = mapping.spec
        links = tuple(_links(mapping, layout))
        found = source.look(
            f"what the rows of `{mapping.source.name}` name",
            partial(_lost, mapping=mapping, links=links),
            table=spec.mobile,
        )
        if found is None:
            continue
        total, lost = found
        for each in lost:
            # A row that only mobile has, such as an administrator's "none", is there all the same.
            missing = target.look(
                f"the rows of `{each.link.parent.spec.mobile}`",
                partial(_missing, lost=each),
                table=spec.mobile,
            )
            rows = sum(each.rows[place] for place in missing or ())
            if rows:
                yield Finding(
                    severity=by_share(spec, unfit=rows, rows=total),
                    side=source.name,
                    table=spec.mobile,
                    what=f"{spec.mobile}: {counted(rows, 'row')} whose {each.link.columns} is not in "
                    f"{each.link.parent.spec.mobile}.",
                    why="Such rows wait in quarantine, and land by themselves once what they name is there; too many "
                    "of them roll the table back.",
                    do="Correct them in the office's program, or leave them: the rest is synced.",
                )


def _lost(cursor: Cursor, mapping: TableMapping, links: Sequence[Link]) -> tuple[int, list[Lost]]:
    """How many rows there are, and what the desktop itself does not have."""
    (total,) = one_row(cursor, examination_sql.count_all(mapping.source))
    found = []
    for link in links:
        cursor.execute(
            examination_sql.lost_references(
                mapping.source, link.pairs, link.parent.source, zero_is_none=link.zero_is_none
            )
        )
        if rows := cursor.fetchall():
            found.append(Lost(link=link, values=[values for values, _ in rows], rows=[count for _, count in rows]))
    return int(total), found


def _missing(cursor: Cursor, lost: Lost) -> list[int]:
    target = lost.link.parent.target
    columns = [target.required(name) for name in lost.link.named]
    cursor.execute(examination_sql.missing_rows(target, columns), {"values": Jsonb(lost.values)})
    return [place for (place,) in cursor.fetchall()]


def _links(mapping: TableMapping, layout: Layout) -> Iterator[Link]:
    """The references that a sync checks: those of the spec, and those that mobile enforces."""
    by_table = {(each.target.schema, each.target.name): each for each in layout.mappings.values()}
    seen = set()
    for reference in mapping.checked_references():
        parent = layout.mappings.get(reference.parent)
        pairs = _pairs(mapping, parent, [reference.column], [reference.names])
        if parent is not None and pairs:
            seen.add((reference.column, reference.parent))
            yield Link(parent=parent, named=(reference.names,), pairs=pairs, zero_is_none=reference.zero_is_none)
    for key in mapping.enforced_references():
        parent = by_table.get(key.parent)
        pairs = _pairs(mapping, parent, key.columns, key.parent_columns)
        if parent is None or not pairs or (len(pairs) == 1 and (key.columns[0], parent.spec.mobile) in seen):
            continue
        yield Link(parent=parent, named=key.parent_columns, pairs=pairs)


def _pairs(
    mapping: TableMapping, parent: TableMapping | None, own: Sequence[str], named: Sequence[str]
) -> tuple[tuple[Column, Column], ...]:
    """The columns on the desktop, or nothing if one of them is missing there."""
    if parent is None:
        return ()
    pairs = [(mapping.source.column(mine), parent.source.column(its)) for mine, its in zip(own, named, strict=True)]
    whole = tuple((mine, its) for mine, its in pairs if mine is not None and its is not None)
    return whole if len(whole) == len(pairs) else ()
