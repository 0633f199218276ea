"""Hold the rows of two sides against each other, known by their digests only, and say of each that has no equal why.

Asks no database. What it is given are all rows, on both sides, of some buckets of keys.
"""

import dataclasses
import enum
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar


class Difference(enum.StrEnum):
    """A difference that a sync would mend, or that somebody should explain."""

    #: A desktop row that mobile does not have.
    MISSING = "missing"
    #: A desktop-owned row on mobile that the desktop does not have, or has deleted since the last run.
    EXTRA = "extra"
    #: A row of one key with another content.
    DIFFERENT = "different"


class Known(enum.StrEnum):
    """A difference that is as it should be."""

    #: A phone's row (or one that is nobody's) stands for the desktop's.
    KEPT = "kept"
    #: Came from a phone by a pull.
    ECHO = "echo"
    #: An exact copy of a row that may be there once only.
    SUPERSEDED = "superseded"
    #: Waits in quarantine.
    QUARANTINED = "quarantined"
    #: The last good version on mobile of a row in quarantine.
    HELD = "held"
    #: Changed at the desktop since the last run.
    CHANGED = "changed"
    #: Gone from the desktop, and kept on mobile because the spec says so.
    STALE = "stale"
    #: Gone from the desktop, and kept on mobile because other rows depend on it.
    KEPT_REFERENCED = "kept_referenced"
    #: On mobile, neither the desktop's nor a phone's.
    KEPT_OTHER = "kept_other"
    #: Equal but for what the phones own.
    MOBILE_OWNED = "mobile_owned"


class Owner(enum.IntEnum):
    """Who wrote a mobile row."""

    DESKTOP = 0
    NOBODY = 1
    PHONE = 2
    OTHER = 3


@dataclasses.dataclass(slots=True)
class DesktopRow:
    """A row of the desktop; `key`, `content` (with the key) and `owned` are digests."""

    key: str
    content: str
    owned: str
    #: Its own `source` names the phones.
    from_phone: bool
    #: Changed since the last run.
    changed: bool
    #: Only one of its exact copies may be on mobile.
    collapses: bool
    #: How many rows of its key are in quarantine.
    entries: int
    #: The source's own text of the key, if any is: `1.0` and `1.00` are one key, and two texts.
    known_by: bytes | None = None


@dataclasses.dataclass(slots=True)
class MobileRow:
    """A row of this office on mobile."""

    key: str
    content: str
    owned: str
    owner: Owner
    #: Whether the ledger knows it by its primary key.
    known: bool = False


class Image(NamedTuple):
    """A reverse-synced row, as the ledger knows it."""

    key: str
    content: str
    #: Of its phone row: the primary key, and when it was made.
    mobile_key: str | None = None
    born: str | None = None


Row = TypeVar("Row", DesktopRow, MobileRow)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """What a sync of the table would do."""

    #: Whether rows pair by key whoever owns them; otherwise phones' rows stand for equal content only.
    by_key: bool
    #: Whether rows that are gone from the desktop are kept.
    keeps_gone: bool
    #: Whether mobile rows have a primary key, by which the ledger knows them.
    has_mobile_key: bool


@dataclasses.dataclass(slots=True)
class Findings:
    """What came of some buckets."""

    agreeing: int = 0
    known: Counter[Known] = dataclasses.field(default_factory=Counter)
    missing: list[DesktopRow] = dataclasses.field(default_factory=list)
    extra: list[MobileRow] = dataclasses.field(default_factory=list)
    different: list[tuple[DesktopRow, MobileRow]] = dataclasses.field(default_factory=list)
    #: Rows of nobody that stand for a desktop row.
    adopted: int = 0

    def add(self, more: "Findings") -> None:
        """Take in what came of other buckets."""
        self.agreeing += more.agreeing
        self.adopted += more.adopted
        self.known.update(more.known)
        self.missing += more.missing
        self.extra += more.extra
        self.different += more.different


def compare(
    desktop: Sequence[DesktopRow],
    mobile: Sequence[MobileRow],
    images: Iterable[Image],
    rules: Rules,
    unfit: Collection[str] = (),
) -> Findings:
    """Judge all rows of some buckets; `images` are the pulled rows in the ledger.

    `unfit` are keys of desktop rows in quarantine that are not among the rows, because mobile cannot even hold them.

    In the order in which a sync judges them: echo first, then equal rows copy by copy, then what should not land, then
    rows of one key. Each row explains one other row at most.
    """
    found = Findings()
    on_mobile: dict[Owner, list[MobileRow]] = {owner: [] for owner in Owner}
    for row in mobile:
        on_mobile[row.owner].append(row)
    images = list(images)
    if not rules.has_mobile_key:
        images = _end_handed_over(desktop, on_mobile, images, _key if rules.by_key else _content)
    loose, gone, echoes = _set_echo_aside(desktop, images, found)
    strangers = _unknown(on_mobile[Owner.PHONE], images, rules)
    keys = {row.key for row in loose}
    copies = Counter(row.content for row in loose)
    loose, own = _pair_equal(loose, on_mobile[Owner.DESKTOP], found)
    loose, unowned = _pair_equal(loose, on_mobile[Owner.NOBODY], found)
    loose = _collapse(loose, copies, found)
    loose, waiting = _set_quarantine_aside(loose, found)
    # A row whose copy is echo stands for that copy, and for no other row.
    others = _without([*on_mobile[Owner.PHONE], *on_mobile[Owner.OTHER]], echoes)
    if not rules.by_key:
        loose, _ = _pair(loose, others, _content, lambda row, there: found.known.update([Known.KEPT]))
    loose, own = _pair(loose, own, _key, lambda row, there: _differ(row, there, found))
    loose, left_unowned = _pair(loose, unowned, _key, lambda row, there: _differ(row, there, found))
    found.adopted = len(on_mobile[Owner.NOBODY]) - len(left_unowned)
    if rules.by_key:
        loose, _ = _pair(loose, others, _key, lambda row, there: found.known.update([Known.KEPT]))
    for left in loose:
        if gone[left.key]:
            # The office's edit of a row that a phone made.
            gone[left.key] -= 1
            found.known[Known.KEPT] += 1
        elif left.from_phone and strangers[left.key]:
            # The same of one that the ledger lacks.
            strangers[left.key] -= 1
            found.known[Known.KEPT] += 1
        elif left.changed:
            found.known[Known.CHANGED] += 1
        else:
            found.missing.append(left)
    for there in own:
        if there.key in waiting or there.key in unfit:
            found.known[Known.HELD] += 1
        elif rules.keeps_gone and there.key not in keys:
            found.known[Known.STALE] += 1
        else:
            found.extra.append(there)
    return found


def _key(row: DesktopRow | MobileRow | Image) -> str:
    return row.key


def _content(row: DesktopRow | MobileRow | Image) -> str:
    return row.content


def _differ(row: DesktopRow, there: MobileRow, found: Findings) -> None:
    if row.changed:
        found.known[Known.CHANGED] += 1
    else:
        found.different.append((row, there))


def _unknown(phones: Sequence[MobileRow], images: Sequence[Image], rules: Rules) -> Counter[str]:
    """The phones' rows that the ledger lacks, by key."""
    contents = set() if rules.has_mobile_key else {image.content for image in images}
    return Counter(row.key for row in phones if not row.known and row.content not in contents)


def _end_handed_over(
    desktop: Sequence[DesktopRow],
    mobile: Mapping[Owner, Sequence[MobileRow]],
    images: Sequence[Image],
    by: Callable[[DesktopRow | MobileRow | Image], str],
) -> list[Image]:
    """The images whose phone row was not handed over to the desktop on mobile, as far as counts can tell."""
    here = {row.content for row in desktop}
    pulled = Counter(map(by, images))
    besides = Counter(by(row) for row in desktop if by(row) in pulled) - pulled
    spare = pulled - Counter(map(by, mobile[Owner.PHONE]))
    spare &= Counter(map(by, (*mobile[Owner.DESKTOP], *mobile[Owner.NOBODY]))) - besides
    kept = list[Image]()
    for image in sorted(images, key=lambda image: image.content not in here):
        if spare[by(image)]:
            spare[by(image)] -= 1
        else:
            kept.append(image)
    return kept


def _set_echo_aside(
    desktop: Sequence[DesktopRow], images: Iterable[Image], found: Findings
) -> tuple[list[DesktopRow], Counter[str], Counter[str]]:
    """The rows that are no echo; by key, the images that no row is the copy of; by content, the echoes."""
    keys = {image.content: image.key for image in images}
    left = Counter(image.content for image in images)
    loose: list[DesktopRow] = []
    echoes = Counter[str]()
    # Rows that say themselves where they came from are the copies of the images before any other is.
    for row in sorted(desktop, key=lambda row: not row.from_phone) if left else desktop:
        if left[row.content]:
            left[row.content] -= 1
            echoes[row.content] += 1
        else:
            loose.append(row)
    found.known[Known.ECHO] += echoes.total()
    gone = Counter[str]()
    for content, count in (+left).items():
        gone[keys[content]] += count
    return loose, gone, echoes


def _pair_equal(
    loose: Sequence[DesktopRow], there: Sequence[MobileRow], found: Findings
) -> tuple[list[DesktopRow], list[MobileRow]]:
    def agree(row: DesktopRow, other: MobileRow) -> None:
        found.agreeing += 1
        found.known[Known.MOBILE_OWNED] += row.owned != other.owned

    # First those that are equal in what phones own too, so that each tick is counted once.
    left, left_there = _pair(loose, there, lambda row: row.content + row.owned, agree)
    return _pair(left, left_there, _content, agree)


def _pair(
    loose: Sequence[DesktopRow],
    there: Sequence[MobileRow],
    by: Callable[[DesktopRow | MobileRow], str],
    met: Callable[[DesktopRow, MobileRow], None],
) -> tuple[list[DesktopRow], list[MobileRow]]:
    """Pair rows of one value, copy by copy; answers what is left over on both sides."""
    if not loose or not there:
        return list(loose), list(there)
    waiting: defaultdict[str, list[MobileRow]] = defaultdict(list)
    for other in reversed(there):
        waiting[by(other)].append(other)
    left = []
    for row in loose:
        if others := waiting.get(by(row)):
            met(row, others.pop())
        else:
            left.append(row)
    return left, [other for others in waiting.values() for other in others]


def _collapse(loose: Sequence[DesktopRow], copies: Counter[str], found: Findings) -> list[DesktopRow]:
    """Leave one of each set of exact copies, or none if one of them has its equal on mobile already."""
    unpaired = Counter(row.content for row in loose)
    seen = {content for content, count in copies.items() if count > unpaired[content]}
    left = []
    exact = set[tuple[str, str]]()
    for row in loose:
        if row.collapses and (row.content in seen or (row.content, row.owned) in exact):
            found.known[Known.SUPERSEDED] += 1
        else:
            exact.add((row.content, row.owned))
            left.append(row)
    return left


def _set_quarantine_aside(loose: Sequence[DesktopRow], found: Findings) -> tuple[list[DesktopRow], set[str]]:
    """The rows that do not wait in quarantine, and the keys of those that do."""
    entries = {(row.key, row.known_by): row.entries for row in loose}
    waiting, left = set(), []
    # A row that has changed since may be another by now.
    for row in sorted(loose, key=lambda row: row.changed):
        if entries[row.key, row.known_by]:
            entries[row.key, row.known_by] -= 1
            waiting.add(row.key)
            found.known[Known.QUARANTINED] += 1
        else:
            left.append(row)
    return left, waiting


def _without(rows: Sequence[Row], contents: Counter[str]) -> list[Row]:
    left = []
    remaining = contents.copy()
    for row in rows:
        if remaining[row.content]:
            remaining[row.content] -= 1
        else:
            left.append(row)
    return left
