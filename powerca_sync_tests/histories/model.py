"""What both sides must hold, in plain Python: no SQL, and nothing of the engine but the specs.

A row is a mapping of column to value. Rows of equal content are interchangeable, so contents are counted.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from powerca_sync.tables import TableSpec
from powerca_sync_tests.histories.tables import (
    HIGHEST_DAYS,
    HIGHEST_KEY,
    LONGEST_NAME,
    MOBILE_KEYS,
    OURS,
    REFUSED,
    REFUSED_BY_DESKTOP,
    SHARED,
    UNIQUE,
    Variant,
    by_key,
)

Row = Mapping[str, Any]
Content = tuple[tuple[str, Any], ...]


def content(row: Row, columns: Iterable[str]) -> Content:
    return tuple((name, row[name]) for name in columns)


def counted(rows: Iterable[Row], columns: Sequence[str]) -> Counter[Content]:
    return Counter(content(row, columns) for row in rows)


def key_of(row: Row, table: TableSpec) -> tuple[Any, ...]:
    return tuple(row[name] for name in table.key)


def total_by_key(contents: Counter[Content], table: TableSpec) -> Counter[tuple[Any, ...]]:
    totals: Counter[tuple[Any, ...]] = Counter()
    for one, count in contents.items():
        totals[key_of(dict(one), table)] += count
    return totals


def unreadable(row: Row, table: TableSpec, variant: Variant) -> bool:
    """Whether the mobile side's types cannot hold the desktop's row, so that nothing more is seen of it."""
    name, days = row["name"], row["days"]
    return (
        (not variant.alike and _highest(row) > HIGHEST_KEY)
        or (days is not None and days > HIGHEST_DAYS)
        or (table.mobile not in SHARED and name is not None and len(name) > LONGEST_NAME)
    )


def _highest(row: Row) -> int:
    return max(abs(int(row[column] or 0)) for column in ("job_id", "k"))


def faults_forward(
    row: Row, table: TableSpec, jobs: Iterable[Any], variant: Variant, *, written: bool = True
) -> set[str]:
    """Why the mobile side cannot have the desktop's row, whatever else is there; `jobs` are the parents there.

    Not `written`: what a trigger would refuse is no fault.
    """
    reasons = set()
    if unreadable(row, table, variant) or (written and row["name"] == REFUSED):
        reasons.add("refused")
    if row["org_id"] != OURS:
        reasons.add("office")
    if (row["days"] is not None and row["days"] < 0) or (variant.alike and _highest(row) > HIGHEST_KEY):
        reasons.add("check")
    if table.mobile not in SHARED and row["name"] is None:
        reasons.add("not_null")
    if by_key(table) and row[table.key[0]] is None:
        reasons.add("null_key")
    if table.mobile == "tasks" and row["job_id"] is not None and row["job_id"] not in jobs:
        reasons.add("reference")
    return reasons


def faults_reverse(row: Row) -> set[str]:
    """Why the desktop cannot have the phone's row, whatever else is there."""
    reasons = set()
    if (row["name"] is not None and len(row["name"]) > LONGEST_NAME) or row["name"] == REFUSED_BY_DESKTOP:
        reasons.add("refused")
    if row["days"] is None:
        reasons.add("not_null")
    return reasons


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sides:
    """All rows of one table, and what is known of it."""

    table: TableSpec
    variant: Variant
    #: The columns that travel.
    columns: Sequence[str]
    desktop: Sequence[Row]
    mobile: Sequence[Row]
    #: Entries of the mobile side's quarantine: key and reason.
    waiting: Counter[tuple[tuple[Any, ...], str]]
    images: Counter[Content]
    #: Of the desktop's organisation, by `job_id`: the mobile side's jobs.
    jobs: Mapping[Any, Row]
    #: `id`s of the mobile side's rows on which others depend.
    depended_upon: set[Any]
    #: Rows on mobile, not among the others, that are no phone's by now and that no forward run may touch.
    known: Sequence[Row] = ()
    #: Where only incremental runs came by: the keys whose rows somebody has written on mobile, which those do not see.
    written_there: set[Any] | None = None

    @property
    def compared(self) -> tuple[str, ...]:
        """The columns by which rows are compared."""
        return tuple(name for name in self.columns if name != "ticked")

    @property
    def unique(self) -> bool:
        """Whether a badge may be on mobile once only."""
        return self.variant.unique and self.table.mobile in UNIQUE

    def faults(self, row: Row, *, written: bool = True) -> set[str]:
        return faults_forward(row, self.table, self.jobs, self.variant, written=written)

    def holders(self, badge: Any) -> list[Row]:
        """The mobile side's rows that have a badge which may be there once only."""
        return [
            row for row in (*self.mobile, *self.known) if self.unique and badge is not None and row["badge"] == badge
        ]


def own_rows(sides: Sides) -> tuple[list[Row], Counter[tuple[Any, ...]]]:
    """The desktop's rows that no pull has brought; and, by key, how many of them may be edits of such that one has."""
    images = sides.images - handed_over(sides)
    phones = {key_of(row, sides.table) for row in sides.mobile if row["source"] == "M"}
    own = []
    edits: Counter[tuple[Any, ...]] = Counter()
    # A row that a pull has brought says so itself, where the desktop knows owners.
    for row in sorted(sides.desktop, key=lambda row: row.get("source") != "M"):
        there, key = content(row, sides.columns), key_of(row, sides.table)
        if images[there]:
            images[there] -= 1
            continue
        own.append(row)
        # What no pull has brought may be an edit by its own word, as long as a phone's row of the key exists.
        edits[key] += row.get("source") == "M" and key in phones
    if sides.table.key:
        left = total_by_key(+images, sides.table)
        edits += Counter({key: count for key, count in left.items() if None not in key})
    return own, edits


def handed_over(sides: Sides) -> Counter[Content]:
    """Of the images, those that are the desktop's own because their phone row is the desktop's by now.

    Told by counts where mobile has no primary key, by which the ledger would know: they have no phone row, and a row of
    the office's stands on mobile that is not another's.
    """
    if MOBILE_KEYS[sides.table.mobile] is not None:
        return Counter()
    here = counted(sides.desktop, sides.columns)
    brought = Counter(content(dict(one), sides.compared) for one in sides.images.elements())
    ours = [row for row in sides.mobile if row["org_id"] == OURS]
    phones = counted((row for row in ours if row["source"] == "M"), sides.compared)
    others = counted((row for row in ours if row["source"] in ("D", None)), sides.compared)
    own = counted(sides.desktop, sides.compared) - brought
    spare = (brought - phones) & (others - own)
    handed: Counter[Content] = Counter()
    for one in sorted(sides.images.elements(), key=lambda one: not here[one]):
        same = content(dict(one), sides.compared)
        if spare[same]:
            spare[same] -= 1
            handed[one] += 1
    return handed


def with_equal_badge(
    sides: Sides, own: Sequence[Row], edits: Counter[tuple[Any, ...]]
) -> tuple[set[Content], set[Content]]:
    """The contents that share a badge with other rows of the desktop, so that none lands: for sure, and perhaps.

    Whatever does not get as far as that is not among them: rows that cannot be read, or whose key repeats. Perhaps,
    where the others may be edits of pulled rows, which are set aside before.
    """
    if not sides.unique:
        return set(), set()
    readable = (row for row in own if not unreadable(row, sides.table, sides.variant))
    contents = {content(row, sides.columns): row for row in readable if row["badge"] is not None}
    if by_key(sides.table):
        keys = Counter(key_of(row, sides.table) for row in {content(row, sides.columns): row for row in own}.values())
        repeated = {key for key, count in keys.items() if count > 1 and None not in key}
        contents = {one: row for one, row in contents.items() if key_of(row, sides.table) not in repeated}
    sure, perhaps = set(), set()
    for one, row in contents.items():
        others = [other for two, other in contents.items() if two != one and other["badge"] == row["badge"]]
        if any(not edits[key_of(other, sides.table)] for other in others):
            sure.add(one)
        elif others:
            perhaps.add(one)
    return sure, perhaps
