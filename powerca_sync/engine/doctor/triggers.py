"""Triggers that change rows as they are written, and stamps that do not move although their row does."""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence

from powerca_sync.engine.doctor.findings import Finding, listed, warning, wrong
from powerca_sync.engine.doctor.side import read_as
from powerca_sync.engine.postgres import Cursor, Table, load
from powerca_sync.tables import CREATED, STAMPS, UPDATED, TableSpec
from powerca_sync.tables import Cursor as ChangeCursor

_ANY_CASE = re.IGNORECASE
#: Where a statement of PL/pgSQL begins: elsewhere `NEW.name = 1` is a question.
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
        """The columns that it may set; None where that cannot be read from its text."""
        if self.function == "moddatetime":
            return frozenset(re.findall(r"\w+", self.arguments.replace("\\000", " ")))
        if self.language != "plpgsql":
            return None
        text = re.sub(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'", "", self.body, flags=re.DOTALL)
        # A row that is replaced as a whole, or swallowed, may be anything.
        if re.search(
            rf"{_BEGIN}NEW\s*:?=|\bINTO\s+(STRICT\s+)?NEW\b(?!\s*\.)|\bRETURN\s+(?!NEW\b|OLD\b)", text, _ANY_CASE
        ):
            return None
        named = re.findall(rf'{_BEGIN}NEW\s*\.\s*"?(\w+)"?\s*:?=|\bINTO\s+NEW\s*\.\s*"?(\w+)', text, _ANY_CASE)
        return frozenset(name.lower() for pair in named for name in pair if name)


def read_triggers(cursor: Cursor, tables: Mapping[str, Table]) -> tuple[Trigger, ...]:
    """Those of the tables."""
    oids = [table.oid for table in tables.values()]
    return tuple(read_as(Trigger, cursor, load(__package__, "triggers.sql"), {"tables": oids}))


def examine_changes(
    side: str, tables: Mapping[str, Table], triggers: Sequence[Trigger], *, inserts_only: bool = False
) -> Iterator[Finding]:
    """Triggers that may make another row of what a sync writes; `inserts_only` where it does nothing else."""
    by_oid = {table.oid: table for table in tables.values()}
    names = {table.oid: table.name for table in tables.values()}
    for trigger in triggers:
        if by_oid[trigger.oid].splits_by_inheritance and trigger.on_insert and trigger.may_swallow:
            # The desktop's rows go forward all the same; only phone rows have to be inserted there.
            yield (warning if inserts_only else wrong)(
                side,
                f"{names[trigger.oid]}: the trigger {trigger.name} (function {trigger.function}) puts rows into tables "
                "that inherit from it, and returns NULL.",
                why="PostgreSQL then reports that nothing was inserted, so that no row can be told from a lost one.",
                do="Make it a partitioned table (PARTITION BY), which needs no trigger.",
                table=next(name for name, table in tables.items() if table.oid == trigger.oid),
            )
            continue
        if (inserts_only and not trigger.on_insert) or (trigger.sets is not None and trigger.sets <= set(STAMPS)):
            continue
        sets = listed(sorted(trigger.sets - set(STAMPS))) if trigger.sets else "the row, in a way that its text hides"
        yield warning(
            side,
            f"{names[trigger.oid]}: the trigger {trigger.name} (function {trigger.function}) may change {sets}.",
            why="What is stored is then not what was sent: the row differs for ever, is written again at every run, or "
            "vanishes.",
            do="Let the trigger leave rows alone that the sync writes, or remove it.",
            table=next(name for name, table in tables.items() if table.oid == trigger.oid),
        )


def examine_stamps(
    side: str, specs: Sequence[TableSpec], tables: Mapping[str, Table], triggers: Sequence[Trigger]
) -> Iterator[Finding]:
    """Whether the desktop's stamps can be trusted, for the tables whose changes are found by them."""
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
                f"{spec.desktop} has neither `{CREATED}` nor `{UPDATED}`, by which its changes are to be found.",
                why="Every incremental run reads the whole table.",
                do="Add the columns, or let its spec find changes by row versions (`cursor=Cursor.XMIN`).",
                table=spec.mobile,
            )
        elif table.column(UPDATED) is None or table.oid not in moved:
            yield warning(
                side,
                f"{spec.desktop}: `{UPDATED}` does not move when a row is changed.",
                why="Incremental runs find changes by it, and miss those made by anybody who does not set it.",
                do="Add a trigger (BEFORE UPDATE, for each row) that sets it, or let the spec find changes by row "
                "versions (`cursor=Cursor.XMIN`).",
                table=spec.mobile,
            )


def examine_mobile_stamps(side: str, tables: Mapping[str, Table], triggers: Sequence[Trigger]) -> Iterator[Finding]:
    """Whether `updated_at` on mobile moves when a phone changes a row."""
    moved = {
        trigger.oid for trigger in triggers if trigger.on_update and (trigger.sets is None or UPDATED in trigger.sets)
    }
    still = [name for name, table in tables.items() if table.column(UPDATED) and table.oid not in moved]
    if still:
        yield warning(
            side,
            f"`{UPDATED}` does not move when a phone changes a row of {listed(sorted(still))}.",
            why="The sync does not go by it, but whoever looks for changed rows on mobile does not find them.",
            do="Add a trigger (BEFORE UPDATE, for each row) that sets it, as the other tables have it.",
        )
