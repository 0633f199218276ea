"""The expected content of both databases, in plain Python: without SQL, and without the engine except its specs.

A row is a mapping of column to value. Rows of equal content are interchangeable, so contents are counted.
"""

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from typing import Any

from powerca_sync.specs import TableSpec
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
    """Returns whether the types of mobile cannot hold the desktop's row, so that nothing more is evaluated."""
    name, days = row["name"], row["days"]
    return (
        (not variant.alike and _highest(row) > HIGHEST_KEY)
        or (days is not None and days > HIGHEST_DAYS)
        or (table.mobile not in SHARED and name is not None and len(name) > LONGEST_NAME)
    )


def _highest(row: Row) -> int:
    return max(abs(int(row[column] or 0)) for column in ("job_id", "k"))


def faults_forward(
    row: Row,
    table: TableSpec,
    jobs: Iterable[Any],
    variant: Variant,
    *,
    desktop_jobs: Iterable[Any] = (),
    written: bool = True,
) -> set[str]:
    """Returns why mobile cannot have the desktop's row, independent of other rows.

    `jobs` are the parents on mobile, `desktop_jobs` those on the desktop, which may be quarantined.

    If not `written`, the refusal by a trigger does not count.
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
        if row["job_id"] in desktop_jobs:
            reasons.add("quarantined_parent")
    return reasons


def faults_reverse(row: Row) -> set[str]:
    """Returns why the desktop cannot have the phone row, independent of other rows."""
    reasons = set()
    if (row["name"] is not None and len(row["name"]) > LONGEST_NAME) or row["name"] == REFUSED_BY_DESKTOP:
        reasons.add("refused")
    if row["days"] is None:
        reasons.add("not_null")
    return reasons


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sides:
    """All rows of one table in both databases, and what is known of them."""

    table: TableSpec
    variant: Variant
    #: The synced columns.
    columns: Sequence[str]
    desktop: Sequence[Row]
    mobile: Sequence[Row]
    #: Quarantine entries of mobile: key and reason.
    waiting: Counter[tuple[tuple[Any, ...], str]]
    images: Counter[Content]
    #: The jobs of mobile with the desktop's organisation, by `job_id`.
    jobs: Mapping[Any, Row]
    #: The keys of the desktop's jobs.
    desktop_jobs: Collection[Any] = ()
    #: `id`s of the mobile rows that have dependents.
    depended_upon: set[Any]
    #: Rows on mobile with other owners that no longer belong to phones and that no forward run may touch.
    known: Sequence[Row] = ()
    #: After incremental runs only: the keys of rows written on mobile, which those runs do not read.
    written_there: set[Any] | None = None
    #: Numbers of the rows on mobile that others have written since a run saw them: they may stay.
    foreign: Set[int] = frozenset()

    @property
    def compared(self) -> tuple[str, ...]:
        """Returns the columns by which rows are compared."""
        return tuple(name for name in self.columns if name != "ticked")

    @property
    def unique(self) -> bool:
        """Returns whether a badge is unique on mobile."""
        return self.variant.unique and self.table.mobile in UNIQUE

    def faults(self, row: Row, *, written: bool = True) -> set[str]:
        return faults_forward(row, self.table, self.jobs, self.variant, desktop_jobs=self.desktop_jobs, written=written)

    def holders(self, badge: Any) -> list[Row]:
        """Returns the mobile rows that have a unique badge."""
        return [
            row for row in (*self.mobile, *self.known) if self.unique and badge is not None and row["badge"] == badge
        ]


def own_rows(sides: Sides) -> tuple[list[Row], Counter[tuple[Any, ...]]]:
    """Returns the desktop rows that reverse sync did not insert; and, by key, how many of them may be edits of such
    rows.
    """
    images = sides.images - handed_over(sides)
    phones = {key_of(row, sides.table) for row in sides.mobile if row["source"] == "M"}
    own = []
    edits: Counter[tuple[Any, ...]] = Counter()
    # On desktops with a `source` column, a reverse-synced row has the source of phones.
    for row in sorted(sides.desktop, key=lambda row: row.get("source") != "M"):
        there, key = content(row, sides.columns), key_of(row, sides.table)
        if images[there]:
            images[there] -= 1
            continue
        own.append(row)
        # A row that was not reverse-synced may be an edit by its `source`, as long as a phone row of the key exists.
        edits[key] += row.get("source") == "M" and key in phones
    if sides.table.key:
        left = total_by_key(+images, sides.table)
        edits += Counter({key: count for key, count in left.items() if None not in key})
    return own, edits


def handed_over(sides: Sides) -> Counter[Content]:
    """Returns the images whose copies are desktop rows because their phone row was handed over.

    Without a primary key on mobile, by which the ledger would know, they are counted: they have no phone row, and an
    office row without another owner exists on mobile.
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
    """Returns the contents that share a badge with other desktop rows, so that none lands: certainly, and possibly.

    Rows that are refused earlier are excluded: unreadable rows, and duplicate keys. Possibly, if the others may be
    edits of reverse-synced rows, which are skipped before.
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
