"""A model of the ledger in plain Python: the reverse-synced phone rows, and their desktop copies."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

from powerca_sync.specs import PHONE, TableSpec
from powerca_sync_tests.histories.model import Content, Row, content, counted, key_of, total_by_key
from powerca_sync_tests.histories.tables import MOBILE_KEYS


@dataclasses.dataclass(kw_only=True)
class Pulled:
    """A phone row that reverse sync has inserted, or found on the desktop."""

    #: The primary key on mobile; None if the table has none.
    key: Any
    #: The row at the last reverse run, by the columns of that run.
    phone: dict[str, Any]
    born: Any
    #: The desktop's copy at that time.
    image: dict[str, Any]
    gone: bool = False
    #: True if the phone row was handed over to the desktop, so that its copy is an ordinary desktop row.
    ended: bool = False


class Ledger:
    """The phone rows of a table that are on the desktop."""

    def __init__(self, table: TableSpec) -> None:
        self.table = table
        self.mobile_key = MOBILE_KEYS[table.mobile]
        self.entries: list[Pulled] = []
        self.columns: Sequence[str] | None = None
        #: The desktop's values in columns that are not synced yet.
        self.defaults: dict[str, Any] = {}

    def images(self, columns: Sequence[str]) -> Counter[Content]:
        return counted((entry.image for entry in self.entries if not entry.ended), columns)

    def knows(self, row: Row) -> bool:
        """Returns whether a mobile row with another owner still belongs to the reverse direction, by its primary
        key.
        """
        if self.mobile_key is None or row["source"] == PHONE:
            return False
        # With another creation time, it is another row.
        return any(
            (entry.key, entry.born) == (row[self.mobile_key], row["created_at"]) and not entry.ended
            for entry in self.entries
        )

    def add_column(self, name: str, default: Any) -> None:
        """Adds a column to the desktop, with a default in existing and new rows."""
        self.defaults[name] = default
        for entry in self.entries:
            entry.image[name] = default

    def judge(
        self,
        phones: Sequence[Row],
        columns: Sequence[str],
        again: Sequence[Row] | None = None,
        others: Sequence[Row] = (),
    ) -> list[Row]:
        """Returns the phone rows to insert in this reverse run; records the state of the others.

        Entries end whose row is among the `others` on mobile now. With `again`, rows that the desktop has lost are
        inserted once more.
        """
        before = columns if self.columns is None else self.columns
        seen: dict[int, Row] = {}
        new = []
        # An unchanged row takes precedence over a changed one.
        for row in phones:
            entry = self._entry(row, before, seen)
            if entry is None:
                new.append(row)
                continue
            seen[id(entry)] = row
            if entry.phone == dict(content(row, before)):
                entry.phone, entry.gone, entry.ended = dict(content(row, columns)), False, False
            elif self.mobile_key is not None:
                entry.gone = entry.ended = False
        for entry in self.entries:
            if id(entry) not in seen and not entry.gone:
                entry.gone = True
                entry.ended = self.mobile_key is not None and any(
                    (entry.key, entry.born) == (row[self.mobile_key], row["created_at"]) for row in others
                )
        self.columns = columns
        if again is not None:
            for entry in self._missing(again, [name for name in columns if name != "source"]):
                if id(entry) in seen:
                    new.append(seen[id(entry)])
                    self.entries = [other for other in self.entries if other is not entry]
        return new

    def _entry(self, row: Row, before: Sequence[str], seen: dict[int, Row]) -> Pulled | None:
        then = dict(content(row, before))
        if self.mobile_key is None:
            same = [entry for entry in self.entries if entry.phone == then and id(entry) not in seen]
            return next(iter(sorted(same, key=lambda entry: entry.gone)), None)
        # The id is used again by a row with another creation time.
        mine = [entry for entry in self.entries if entry.key == row[self.mobile_key]]
        for entry in mine:
            if not entry.gone and (entry.phone == then or entry.born == row["created_at"]):
                return entry
        gone = [entry for entry in reversed(mine) if entry.gone]
        same = [entry for entry in gone if entry.phone == then]
        return next(iter([*same, *(entry for entry in gone if entry.born == row["created_at"])]), None)

    def _missing(self, desktop: Sequence[Row], columns: Sequence[str]) -> list[Pulled]:
        """Returns the entries without a desktop row: first compares them as inserted, then by key."""
        there = counted(desktop, columns)
        loose = []
        for entry in sorted(self.entries, key=lambda entry: entry.gone):
            image = content(entry.image, columns)
            if there[image]:
                there[image] -= 1
            else:
                loose.append(entry)
        left = total_by_key(+there, self.table)
        missing = []
        for entry in loose:
            key = key_of(entry.image, self.table)
            if key and None not in key and left[key]:
                left[key] -= 1
            else:
                missing.append(entry)
        return missing
