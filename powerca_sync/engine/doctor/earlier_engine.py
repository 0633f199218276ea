"""State that an earlier sync engine left in either database."""

import dataclasses
from collections.abc import Iterator, Sequence

from psycopg import sql

from powerca_sync.engine.doctor.findings import Finding, fine, listed, warning
from powerca_sync.engine.doctor.side import Side, read_as
from powerca_sync.engine.postgres import Cursor, load

#: Columns of the guide's `_sync_metadata`, with the types with which missing ones are added.
METADATA_COLUMNS = {
    "last_sync_timestamp": "timestamp with time zone",
    "records_synced": "integer",
    "last_sync_duration_ms": "integer",
    "error_message": "text",
    "updated_at": "timestamp with time zone",
}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class GuideTable:
    """A state table of the guide's system."""

    name: str
    owned: bool
    columns: Sequence[str]


def read_guide_tables(cursor: Cursor) -> list[GuideTable]:
    """Returns the state tables of the guide's system that exist."""
    return read_as(GuideTable, cursor, load(__package__, "guide_tables.sql"), {})


def examine_metadata(side: Side, tables: Sequence[GuideTable]) -> Iterator[Finding]:
    """Yields a finding if the guide's `_sync_metadata` lacks columns that its queries read."""
    for table in tables:
        missing = [name for name in METADATA_COLUMNS if name not in table.columns]
        if table.name != "_sync_metadata" or not missing:
            continue
        if table.owned:
            yield fine(side.name, f"`_sync_metadata` lacks {listed(missing)}; the next run or `init` adds them.")
            continue
        added = sql.SQL(", ").join(
            sql.SQL("ADD COLUMN {} {}").format(sql.Identifier(name), sql.SQL(METADATA_COLUMNS[name]))
            for name in missing
        )
        yield warning(
            side.name,
            f"`_sync_metadata` of an earlier version lacks {listed(missing)}, and the user may not add them.",
            why="The sync keeps its own state and goes on; the guide's queries on that table do not show everything.",
            do=f"As the table's owner or an administrator of the {side.name} database:",
            statements=[sql.SQL("ALTER TABLE public._sync_metadata {}").format(added)],
        )


def examine_earlier_engine(side: Side, tables: Sequence[GuideTable], *, has_ledger: bool) -> Iterator[Finding]:
    """Yields a finding if an earlier engine has inserted phone rows on this desktop."""
    if any(table.name == "_reverse_sync_metadata" for table in tables):
        before = "" if has_ledger else " The first reverse run compares each phone row with its rows."
        yield warning(
            side.name,
            "An earlier sync engine has inserted phone rows on this desktop (`_reverse_sync_metadata`).",
            why="While its scheduled tasks run, both engines insert phone rows; it also shifted clock times to the "
            f"day before and cut long notes.{before}",
            do="Stop its scheduled tasks before the first sync. Then follow docs/moving-over.md; drop the table when "
            "it is no longer needed.",
        )
