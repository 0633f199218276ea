"""What both sides must hold, in plain Python: no SQL, and nothing of the engine but the specs.

A row is a mapping of column to value. Rows of equal content are interchangeable, so contents are counted.
"""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from powerca_sync.tables import Deletes, TableSpec
from powerca_sync_tests.histories.tables import (
    HIGHEST_DAYS,
    HIGHEST_KEY,
    LONGEST_NAME,
    MOBILE_KEYS,
    OURS,
    REFUSED,
    REFUSED_BY_DESKTOP,
    SHARED,
    UNDELETABLE,
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


class Ledger:
    """Which phone rows of a table are on the desktop."""

    def __init__(self, table: TableSpec) -> None:
        self.table = table
        self.mobile_key = MOBILE_KEYS[table.mobile]
        self.entries: list[Pulled] = []
        self.columns: Sequence[str] | None = None

    def images(self, columns: Sequence[str]) -> Counter[Content]:
        return counted((entry.image for entry in self.entries), columns)

    def add_column(self, name: str, default: Any) -> None:
        """The desktop has a new column, in which the rows that are there have a default."""
        for entry in self.entries:
            entry.image.setdefault(name, default)

    def judge(self, phones: Sequence[Row], columns: Sequence[str]) -> list[Row]:
        """The phone rows that have to come, now that a pull looks at them; remembers what it sees of the others."""
        before = columns if self.columns is None else self.columns
        seen: set[int] = set()
        new = []
        # A row that is as it was goes before one that was changed.
        for row in phones:
            entry = self._entry(row, before, seen)
            if entry is None:
                new.append(row)
                continue
            seen.add(id(entry))
            if entry.phone == dict(content(row, before)):
                entry.phone, entry.gone = dict(content(row, columns)), False
        for entry in self.entries:
            entry.gone |= id(entry) not in seen
        self.columns = columns
        return new

    def _entry(self, row: Row, before: Sequence[str], seen: set[int]) -> Pulled | None:
        then = dict(content(row, before))
        if self.mobile_key is None:
            same = [entry for entry in self.entries if entry.phone == then and id(entry) not in seen]
            return next(iter(sorted(same, key=lambda entry: entry.gone)), None)
        mine = [entry for entry in self.entries if entry.key == row[self.mobile_key]]
        for entry in mine:
            if not entry.gone and (entry.phone == then or entry.born == row["created_at"]):
                return entry
        return next((entry for entry in mine if entry.gone and entry.phone == then), None)


def faults_forward(row: Row, table: TableSpec, jobs: set[Any], *, written: bool = True) -> set[str]:
    """Why the mobile side cannot have the desktop's row, whatever else is there; `jobs` are the parents there.

    Not `written`: what a trigger would refuse is no fault.
    """
    reasons = set()
    name, days = row["name"], row["days"]
    if row["org_id"] != OURS:
        reasons.add("office")
    if any(row[column] is not None and abs(row[column]) > HIGHEST_KEY for column in ("job_id", "k")):
        reasons.add("refused")
    if days is not None and not 0 <= days <= HIGHEST_DAYS:
        reasons.add("refused" if days > HIGHEST_DAYS else "check")
    if written and name == REFUSED:
        reasons.add("refused")
    if table.mobile not in SHARED:
        if name is None:
            reasons.add("not_null")
        elif len(name) > LONGEST_NAME:
            reasons.add("refused")
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

    @property
    def compared(self) -> tuple[str, ...]:
        """The columns by which rows are compared."""
        return tuple(name for name in self.columns if name != "ticked")


def complaints(sides: Sides) -> list[str]:
    """What is wrong with a table whose sides have come to rest; nothing is, if all is well."""
    own, edits = _own_rows(sides)
    if by_key(sides.table):
        return _complaints_by_key(sides, own, edits)
    return _complaints_by_content(sides, own, edits)


def _own_rows(sides: Sides) -> tuple[list[Row], Counter[tuple[Any, ...]]]:
    """The desktop's rows that no pull has brought; and, by key, how many of them may be edits of such that one has."""
    handed = _handed_over(sides)
    images, handed_edits = (
        sides.images - handed,
        total_by_key(handed - counted(sides.desktop, sides.columns), sides.table),
    )
    own = []
    edits: Counter[tuple[Any, ...]] = Counter()
    # A row that a pull has brought says so itself, where the desktop knows owners.
    for row in sorted(sides.desktop, key=lambda row: row.get("source") != "M"):
        there, key = content(row, sides.columns), key_of(row, sides.table)
        if images[there]:
            images[there] -= 1
        elif handed[there]:
            handed[there] -= 1
            own.append(row)
        elif row.get("source") != "M":
            own.append(row)
        elif handed_edits[key] or "refused" in faults_forward(row, sides.table, set()):
            # It was handed over before it was edited; or it does not even get as far as to be recognised.
            handed_edits[key] -= 1
            own.append(row)
            edits[key] += 1
    if sides.table.key:
        left = total_by_key(+images, sides.table)
        edits += Counter({key: count for key, count in left.items() if None not in key})
    return own, edits


def _handed_over(sides: Sides) -> Counter[Content]:
    """Of the images, and of rows that say themselves that a pull has brought them: those that have no phone row, and
    for which a row of the office's stands on mobile that is not another's.
    """

    def same(row: Row) -> Any:
        return key_of(row, sides.table) if by_key(sides.table) else content(row, sides.compared)

    here = counted(sides.desktop, sides.columns)
    words = counted((row for row in sides.desktop if row.get("source") == "M"), sides.columns) - sides.images
    images = sides.images + words
    pulled = Counter(same(dict(one)) for one in images.elements())
    ours = [row for row in sides.mobile if row["org_id"] == OURS]
    phones = Counter(same(row) for row in ours if row["source"] == "M")
    others = Counter(same(row) for row in ours if row["source"] in ("D", None))
    own = Counter(map(same, sides.desktop)) - pulled
    spare = (pulled - phones) & (others - own)
    handed: Counter[Content] = Counter()
    for one in sorted(images.elements(), key=lambda one: not here[one]):
        if spare[same(dict(one))]:
            spare[same(dict(one))] -= 1
            handed[one] += 1
    return handed


def _complaints_by_key(sides: Sides, own: Sequence[Row], edits: Counter[tuple[Any, ...]]) -> list[str]:
    found = []
    table, columns = sides.table, sides.compared
    there = {key_of(row, table): row for row in sides.mobile}
    waiting = Counter(dict(sides.waiting))
    rows_by_key: defaultdict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in own:
        rows_by_key[key_of(row, table)].append(row)
    for key, rows in rows_by_key.items():
        # Where a phone's row stands, nothing is written that could be refused.
        written = key not in there or there[key]["source"] in ("D", None)
        faults = [faults_forward(row, table, set(sides.jobs), written=written) for row in rows]
        if None not in key and len(counted(rows, sides.columns)) > 1:
            faults = [reasons | {"duplicate_key"} for reasons in faults]
        match there.get(key):
            case None:
                fine = False
            case {"org_id": org} if org != OURS:
                faults = [reasons | {"collision"} for reasons in faults]
                fine = False
            case {"source": "D"} as row:
                fine = content(row, columns) == content(rows[0], columns)
            case _:
                fine = True
        # Copies of one row count once, unless the row does not fit.
        expected = [reasons for reasons in faults if reasons]
        wait = {reason: count for (its, reason), count in waiting.items() if its == key}
        if not expected:
            if wait:
                found.append(f"{key} is in quarantine without a true reason: {wait}")
            if not fine and not edits[key]:
                found.append(f"{key} is on the desktop as {rows}, on mobile as {there.get(key)}, and not in quarantine")
            continue
        if not set(wait) <= set().union(*expected):
            found.append(f"{key} is in quarantine for {wait}; true are {expected}")
        # Exact copies may have collapsed into one.
        least = len(counted(rows, sides.columns)) - edits[key]
        if not least <= sum(wait.values()) <= len(rows):
            found.append(f"{sum(wait.values())} rows of {key} are in quarantine, not {len(rows)}")
    for (key, reason), count in waiting.items():
        if key not in rows_by_key:
            found.append(f"{count} rows of {key} are in quarantine ({reason}) that the desktop does not have")
    for key, row in there.items():
        # From an empty table nothing follows.
        ours = row["source"] == "D" and row["org_id"] == OURS and sides.desktop
        if ours and key not in rows_by_key and table.deletes is Deletes.PROPAGATE and row["days"] != UNDELETABLE:
            found.append(f"{row} is on mobile though the desktop does not have it")
    return found


def _complaints_by_content(sides: Sides, own: Sequence[Row], edits: Counter[tuple[Any, ...]]) -> list[str]:
    found = []
    table, columns = sides.table, sides.compared
    looked_up = [lookup.column for lookup in table.lookups]
    fit: Counter[Content] = Counter()
    faulty: Counter[tuple[Any, ...]] = Counter()
    reasons: defaultdict[tuple[Any, ...], set[str]] = defaultdict(set)
    for row in own:
        its = faults_forward(row, table, set(sides.jobs))
        key = key_of(row, table)
        if its:
            faulty[key] += 1
            reasons[key] |= its
            # What only a trigger would refuse is not written where an equal row of a phone's stands.
            edits[key] += row["name"] == REFUSED
        else:
            answers = {name: sides.jobs.get(row["job_id"], {}).get("days") for name in looked_up}
            fit[content({**row, **answers}, [*columns, *looked_up])] += 1
    ours = [row for row in sides.mobile if row["org_id"] == OURS]
    here = counted((row for row in ours if row["source"] == "D"), [*columns, *looked_up])
    phones = counted((row for row in ours if row["source"] == "M"), [*columns, *looked_up])
    nobodys = counted((row for row in ours if row["source"] == "S"), [*columns, *looked_up])
    stays = counted(
        (
            row
            for row in ours
            if row["source"] == "D" and (row["days"] == UNDELETABLE or row.get("id") in sides.depended_upon)
        ),
        [*columns, *looked_up],
    )
    missing, extra = fit - here, here - fit
    # The images that stand on the desktop still: the phone rows they came from stand for nothing else.
    echo = (sides.images - _handed_over(sides)) & counted(sides.desktop, sides.columns)
    echoed = Counter[Content]()
    for one, count in echo.items():
        echoed[tuple((name, value) for name, value in one if name != "ticked")] += count
    may_stand = {one: max(0, phones[one] + nobodys[one] - echoed[one]) for one in missing}
    unexplained = Counter({one: max(0, count - may_stand[one]) for one, count in missing.items()})
    lost = total_by_key(+unexplained, table)
    waiting: Counter[tuple[Any, ...]] = Counter()
    for (key, reason), count in sides.waiting.items():
        waiting[key] += count
        if reason not in reasons[key] and not (reason == "ambiguous" and faulty[key]):
            found.append(f"{count} rows of {key} are in quarantine for {reason}; true are {reasons[key]}")
    for key in {*lost, *waiting, *faulty}:
        # Which of several rows of a key is the office's edit of a pulled one, nobody can say.
        most = faulty[key] + lost[key]
        least = most - edits[key]
        if not least <= waiting[key] <= most + sum(may_stand.values()) * bool(faulty[key]):
            rows = [dict(one) for one in unexplained.elements() if key_of(dict(one), table) == key]
            found.append(
                f"{key}: {waiting[key]} rows are in quarantine; {faulty[key]} are unfit, {lost[key]} fit and are not "
                f"on mobile: {rows}; {edits[key]} may be edits"
            )
    if sides.desktop:
        for one, count in (extra - stays).items():
            if not (table.key and faulty[key_of(dict(one), table)]):
                found.append(f"{count} rows are on mobile as the office's that the desktop does not have: {dict(one)}")
    return found
