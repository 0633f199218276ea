"""Triggers that change rows as they are written, and `updated_at` columns that no trigger sets."""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence

from powerca_sync.engine.doctor.findings import Finding, listed, warning, wrong
from powerca_sync.engine.doctor.side import read_as
from powerca_sync.engine.postgres import Cursor, Table, load
from powerca_sync.specs import CREATED, STAMPS, UPDATED, TableSpec
from powerca_sync.specs import Cursor as ChangeCursor

_ANY_CASE = re.IGNORECASE
#: Beginning of a PL/pgSQL statement: elsewhere `NEW.name = 1` is a comparison.
_BEGIN = r"(?:^|;|\bBEGIN\b|\bTHEN\b|\bELSE\b|\bLOOP\b)\s*"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Trigger:
    """A row trigger that fires before the row is written."""

    oid: int
    name: str
    on_insert: bool
    on_update: bool
    function: str
    language: str
    body: str
    arguments: str

    @property
    def may_swallow(self) -> bool:
        """Whether its function contains RETURN NULL, which keeps a row from being written."""
        return re.search(r"\bRETURN\s+NULL\b", self.body, _ANY_CASE) is not None

    @property
    def sets(self) -> frozenset[str] | None:
        """The columns that it may set; None if its text does not show them."""
        if self.function == "moddatetime":
            return frozenset(re.findall(r"\w+", self.arguments.replace("\\000", " ")))
        if self.language != "plpgsql":
            return None
        text = re.sub(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'", "", self.body, flags=re.DOTALL)
        # A function that replaces the row or returns NULL may set any column.
        if re.search(
            rf"{_BEGIN}NEW\s*:?=|\bINTO\s+(STRICT\s+)?NEW\b(?!\s*\.)|\bRETURN\s+(?!NEW\b|OLD\b)", text, _ANY_CASE
        ):
            return None
        named = re.findall(rf'{_BEGIN}NEW\s*\.\s*"?(\w+)"?\s*:?=|\bINTO\s+NEW\s*\.\s*"?(\w+)', text, _ANY_CASE)
        return frozenset(name.lower() for pair in named for name in pair if name)


def read_triggers(cursor: Cursor, tables: Mapping[str, Table]) -> tuple[Trigger, ...]:
    """Returns the triggers of the tables."""
    oids = [table.oid for table in tables.values()]
    return tuple(read_as(Trigger, cursor, load(__package__, "triggers.sql"), {"tables": oids}))


def examine_changes(
    side: str, tables: Mapping[str, Table], triggers: Sequence[Trigger], *, inserts_only: bool = False
) -> Iterator[Finding]:
    """Yields a finding for each trigger that may change rows that a sync writes, or only inserts (`inserts_only`)."""
    by_oid = {table.oid: table for table in tables.values()}
    names = {table.oid: table.name for table in tables.values()}
    for trigger in triggers:
        if by_oid[trigger.oid].splits_by_inheritance and trigger.on_insert and trigger.may_swallow:
            # A warning on the desktop, where only phone rows are inserted.
            yield (warning if inserts_only else wrong)(
                side,
                f"{names[trigger.oid]}: the trigger {trigger.name} (function {trigger.function}) puts rows into tables "
                "that inherit from it, and returns NULL.",
                why="PostgreSQL then reports that nothing was inserted, so that the sync cannot verify its rows.",
                do="Make it a partitioned table (PARTITION BY), which needs no trigger.",
                table=next(name for name, table in tables.items() if table.oid == trigger.oid),
            )
            continue
        if (inserts_only and not trigger.on_insert) or (trigger.sets is not None and trigger.sets <= set(STAMPS)):
            continue
        sets = listed(sorted(trigger.sets - set(STAMPS))) if trigger.sets else "any column"
        yield warning(
            side,
            f"{names[trigger.oid]}: the trigger {trigger.name} (function {trigger.function}) may change {sets}.",
            why="The stored row then differs from the sent one: every run writes it again, or it vanishes.",
            do="Exclude rows of the sync from the trigger, or remove it.",
            table=next(name for name, table in tables.items() if table.oid == trigger.oid),
        )


def examine_stamps(
    side: str, specs: Sequence[TableSpec], tables: Mapping[str, Table], triggers: Sequence[Trigger]
) -> Iterator[Finding]:
    """Yields a finding for tables with a `timestamp` cursor whose stamps are missing or not set by a trigger."""
    moved = {
        trigger.oid for trigger in triggers if trigger.on_update and (trigger.sets is None or UPDATED in trigger.sets)
    }
    for spec in specs:
        table = tables.get(spec.desktop)
        if table is None or spec.cursor is not ChangeCursor.TIMESTAMP:
            continue
        if not any(table.column(name) for name in STAMPS):
            yield warning(
                side,
                f"{spec.desktop} has neither `{CREATED}` nor `{UPDATED}`, which its `timestamp` cursor needs.",
                why="Every incremental run reads the whole table.",
                do="Add the columns, or set `cursor=Cursor.XMIN` in its spec.",
                table=spec.mobile,
            )
        elif table.column(UPDATED) is None or table.oid not in moved:
            yield warning(
                side,
                f"{spec.desktop}: `{UPDATED}` does not move when a row is changed.",
                why="Incremental runs find changes by this column, and miss rows whose writer does not set it.",
                do="Add a trigger (BEFORE UPDATE, for each row) that sets it, or set `cursor=Cursor.XMIN` in its spec.",
                table=spec.mobile,
            )


def examine_mobile_stamps(side: str, tables: Mapping[str, Table], triggers: Sequence[Trigger]) -> Iterator[Finding]:
    """Yields a finding for mobile tables in which no trigger sets `updated_at`."""
    moved = {
        trigger.oid for trigger in triggers if trigger.on_update and (trigger.sets is None or UPDATED in trigger.sets)
    }
    still = [name for name, table in tables.items() if table.column(UPDATED) and table.oid not in moved]
    if still:
        yield warning(
            side,
            f"`{UPDATED}` does not move when a phone changes a row of {listed(sorted(still))}.",
            why="The sync does not use it, but other programs do not find changed rows by it.",
            do="Add a trigger (BEFORE UPDATE, for each row) that sets it, as in the other tables.",
        )
