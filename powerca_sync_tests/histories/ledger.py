"""The ledger of the histories, in plain Python: which phone rows have been pulled, and as what the desktop has them."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

from powerca_sync.tables import PHONE, TableSpec
from powerca_sync_tests.histories.model import Content, Row, content, counted, key_of, total_by_key
from powerca_sync_tests.histories.tables import MOBILE_KEYS


@dataclasses.dataclass(kw_only=True)
class Pulled:
    """A phone row that a pull has brought, or found on the desktop."""

    #: Its primary key on mobile; None where it has none.
    key: Any
    #: As it was known when the table was last pulled, by the columns of that pull.
    phone: dict[str, Any]
    born: Any
    #: As the desktop had it then.
    image: dict[str, Any]
    gone: bool = False
    #: Whether the phone row was handed over to the desktop, so that its copy is an ordinary desktop row.
    ended: bool = False


class Ledger:
    """Which phone rows of a table are on the desktop."""

    def __init__(self, table: TableSpec) -> None:
        self.table = table
        self.mobile_key = MOBILE_KEYS[table.mobile]
        self.entries: list[Pulled] = []
        self.columns: Sequence[str] | None = None
        #: What the desktop has in columns that do not travel yet.
        self.defaults: dict[str, Any] = {}

    def images(self, columns: Sequence[str]) -> Counter[Content]:
        return counted((entry.image for entry in self.entries if not entry.ended), columns)

    def knows(self, row: Row) -> bool:
        """Whether a row on mobile that is no phone's still belongs to the reverse direction, by its primary key."""
        if self.mobile_key is None or row["source"] == PHONE:
            return False
        # Made at another time, it is another row.
        return any(
            (entry.key, entry.born) == (row[self.mobile_key], row["created_at"]) and not entry.ended
            for entry in self.entries
        )

    def add_column(self, name: str, default: Any) -> None:
        """The desktop has a new column, in which the rows that are there, and new ones, have a default."""
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
        """The phone rows that have to come, now that a pull looks at them; remembers what it sees of the others.

        Entries end whose row is among the `others` on mobile now. Those that came before and are no longer among the
        desktop's rows `again` have to come once more.
        """
        before = columns if self.columns is None else self.columns
        seen: dict[int, Row] = {}
        new = []
        # A row that is as it was goes before one that was changed.
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
        # An id is used again by a row that was made at another time.
        mine = [entry for entry in self.entries if entry.key == row[self.mobile_key]]
        for entry in mine:
            if not entry.gone and (entry.phone == then or entry.born == row["created_at"]):
                return entry
        gone = [entry for entry in reversed(mine) if entry.gone]
        same = [entry for entry in gone if entry.phone == then]
        return next(iter([*same, *(entry for entry in gone if entry.born == row["created_at"])]), None)

    def _missing(self, desktop: Sequence[Row], columns: Sequence[str]) -> list[Pulled]:
        """The entries for which no row of the desktop stands: first those as they were pulled, then any of the key."""
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
