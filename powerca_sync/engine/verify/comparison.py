"""Compare one table of two ends by digests: buckets first, then the rows of those that differ, then what to show."""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import psycopg
from psycopg import sql

from powerca_sync.engine.digests import BUCKET_DIGITS, Side, Wanted, digest_sql
from powerca_sync.engine.mapping import TableMapping
from powerca_sync.engine.postgres import Cursor, apply_settings, error_text, explained, is_refusal
from powerca_sync.engine.verify.row_matching import (
    DesktopRow,
    Difference,
    Findings,
    Image,
    Known,
    MobileRow,
    Owner,
    Rules,
    compare,
)
from powerca_sync.engine.verify.verification import Outcome, Sample
from powerca_sync.tables import Deletes, Lookup, Strategy

#: Rows that are held against each other at a time, so that a table that differs everywhere fits in memory.
AT_A_TIME = 100_000
#: Rows of each kind of difference that are shown, and those whose columns are looked at.
SAMPLES, LOOKED_AT = 20, 500
#: What a server says that cannot make some text or bytes: no such type, function, cast or column.
_UNKNOWN = ("42704", "42883", "42846", "42703", "0A000")
_MASK = "***"

Answer = TypeVar("Answer")


class NotHashedError(Exception):
    """The source cannot make the digests of some row as the target does; its message has the database's words."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """One end of a comparison, and where to ask it."""

    cursor: Cursor
    side: Side
    #: `source` or `target`, for messages.
    name: str
    #: Whether the table is to be compared in another way if this end cannot make a digest.
    may_fail: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Unfit:
    """Rows of the source that had to be moved to be compared, and that the target cannot even hold."""

    quarantined: int = 0
    #: Changed since the last run.
    changed: int = 0
    #: Keys of the others, as column to text.
    missing: tuple[Mapping[str, str | None], ...] = ()
    #: Digests of all their keys.
    keys: frozenset[str] = frozenset()

    @property
    def rows(self) -> int:
        """How many they are."""
        return self.quarantined + self.changed + len(self.missing)


class Comparison:
    """One table, its two ends, and what is known of it."""

    def __init__(
        self,
        mapping: TableMapping,
        desktop: End,
        mobile: End,
        *,
        ledger: End | None,
        quarantined: Mapping[bytes, int],
        unfit: Unfit | None = None,
    ) -> None:
        """`quarantined` counts entries by packed key."""
        self.mapping, self.spec = mapping, mapping.spec
        self.desktop, self.mobile, self.ledger = desktop, mobile, ledger
        self.quarantined, self.unfit = quarantined, unfit or Unfit()
        upsert = self.spec.strategy is Strategy.UPSERT
        self.rules = Rules(
            by_key=upsert,
            keeps_gone=upsert and self.spec.deletes is Deletes.KEEP,
            has_mobile_key=bool(mapping.target.primary_key),
        )
        #: Of the ledger: when phone rows were made, by primary key.
        self.known: defaultdict[str, set[str | None]] = defaultdict(set)

    def run(self, *, lookups: bool, nobodys: int) -> Outcome:
        """Compare. `lookups`: whether looked-up values should be what is found now; `nobodys`: rows without owner."""
        desktop, mobile = self._both(self._sums)
        images = self._images()
        buckets = desktop.keys() | mobile.keys()
        opened = sorted(
            bucket for bucket in buckets if _own(desktop, bucket) != _own(mobile, bucket) or bucket in images
        )
        closed = buckets.difference(opened)
        found = Findings()
        for chunk in _chunks(opened, [desktop, mobile]):
            rows, there = self._both(lambda end, wanted=chunk: self._rows(end, wanted))  # type: ignore[misc]
            found.add(
                compare(
                    list(map(self._desktop_row, rows)),
                    list(map(self._mobile_row, there)),
                    [image for bucket in chunk for image in images[bucket]],
                    self.rules,
                    self.unfit.keys,
                )
            )
        found.agreeing += sum(desktop[bucket][1] for bucket in closed if bucket in desktop)
        found.known[Known.ECHO] += sum(
            desktop[bucket][0] - desktop[bucket][1] for bucket in closed if bucket in desktop
        )
        found.known[Known.KEPT_OTHER] += nobodys - found.adopted
        found.known[Known.QUARANTINED] += self.unfit.quarantined
        found.known[Known.CHANGED] += self.unfit.changed
        if not self.spec.key:
            self._set_quarantine_aside(found)
        self._keep_depended_upon(found)
        samples, columns = self._samples(found)
        samples += [Sample(kind=Difference.MISSING, key=key) for key in self.unfit.missing[:SAMPLES]]
        different = len(found.different)
        for lookup in self.spec.lookups:
            wrong, shown = self._wrong_lookups(lookup)
            # The last good version of a row may be older than what it was looked up in.
            if wrong <= found.known[Known.HELD]:
                continue
            if lookups:
                different += wrong
                columns[lookup.column] += wrong
                samples += shown
            else:
                found.known[Known.CHANGED] += wrong
        return Outcome(
            desktop=sum(counts[0] for counts in desktop.values()) + self.unfit.rows,
            mobile=sum(counts[1] for counts in mobile.values()),
            agreeing=found.agreeing,
            differences={
                Difference.MISSING: len(found.missing) + len(self.unfit.missing),
                Difference.EXTRA: len(found.extra),
                Difference.DIFFERENT: different,
            },
            known={known: found.known[known] for known in Known if found.known[known]},
            columns=dict(columns),
            samples=tuple(samples),
            buckets=len(buckets),
            opened=len(opened),
        )

    def _sums(self, end: End) -> dict[str, list[Any]]:
        """By bucket: rows, the desktop's own, three checksums of those."""
        return {bucket: sums for bucket, *sums in self._ask(end, digest_sql.bucket_sums(end.side))}

    def _rows(self, end: End, buckets: Sequence[str]) -> list[tuple[Any, ...]]:
        return self._ask(end, digest_sql.row_digests(end.side, buckets))

    def _desktop_row(self, row: tuple[Any, ...]) -> DesktopRow:
        key, content, owned, from_phone, changed, collapses, waiting = row
        known_by = None if waiting is None else bytes(waiting)
        entries = 0 if known_by is None else self.quarantined[known_by]
        return DesktopRow(key, content, owned, from_phone, changed, collapses, entries, known_by)

    def _mobile_row(self, row: tuple[Any, ...]) -> MobileRow:
        key, content, owned, owner, mobile_key, born = row
        made = self.known.get(mobile_key, ())
        known = born in made or (None in made if born is not None else bool(made))
        # Whatever its owner says by now, a run does not touch it until the entry has ended.
        return MobileRow(key, content, owned, Owner.PHONE if known else Owner(owner), known)

    def _images(self) -> defaultdict[str, list[Image]]:
        """The ledger's images, by bucket."""
        images = defaultdict[str, list[Image]](list)
        if self.ledger is not None:
            for row in self._ask(self.ledger, digest_sql.all_digests(self.ledger.side)):
                image = Image(*row)
                images[image.key[:BUCKET_DIGITS]].append(image)
                if image.mobile_key is not None:
                    self.known[image.mobile_key].add(image.born)
        return images

    def _set_quarantine_aside(self, found: Findings) -> None:
        """Without a key nothing says which rows are in quarantine; how many there are is known."""
        waiting = min(sum(self.quarantined.values()), len(found.missing))
        found.known[Known.QUARANTINED] += waiting
        del found.missing[:waiting]

    def _keep_depended_upon(self, found: Findings) -> None:
        if not found.extra or not digest_sql.naming(self.mapping):
            return
        statement = digest_sql.depended_upon(self.mobile.side, _wanted(found.extra), self.mapping)
        named = Counter(content for (content,) in self._ask(self.mobile, statement))
        left = []
        for row in found.extra:
            if named[row.content]:
                named[row.content] -= 1
                found.known[Known.KEPT_REFERENCED] += 1
            else:
                left.append(row)
        found.extra = left

    def _samples(self, found: Findings) -> tuple[list[Sample], Counter[str]]:
        missing, extra = found.missing[:SAMPLES], found.extra[:SAMPLES]
        different = found.different[:LOOKED_AT]
        if not (missing or extra or different):
            return [], Counter()
        wanted = {
            self.desktop.name: _wanted([*missing, *(row for row, _ in different)]),
            self.mobile.name: _wanted([*extra, *(there for _, there in different)]),
        }
        here, there = self._both(lambda end: self._values(end, wanted[end.name]))
        columns = Counter[str]()
        samples = [self._sample(Difference.MISSING, here[row.content], None) for row in missing]
        samples += [self._sample(Difference.EXTRA, None, there[row.content]) for row in extra]
        for n, (row, other) in enumerate(different):
            sample = self._sample(Difference.DIFFERENT, here[row.content], there[other.content])
            columns.update(sample.columns)
            samples += [sample] if n < SAMPLES else []
        return samples, columns

    def _values(self, end: End, wanted: Wanted) -> dict[str, dict[str, str | None]]:
        """Rows by digest, as column to text; of sensitive columns a digest."""
        names = [*end.side.key, *end.side.rest]
        statement = digest_sql.row_values(end.side, wanted, self.spec.sensitive)
        rows = self._ask(end, statement) if wanted.contents else []
        return {content: dict(zip(names, map(_decoded, values), strict=True)) for content, *values in rows}

    def _sample(
        self, kind: Difference, here: Mapping[str, str | None] | None, there: Mapping[str, str | None] | None
    ) -> Sample:
        row = here if here is not None else there
        assert row is not None
        columns: tuple[str, ...] = ()
        if here is not None and there is not None:
            columns = tuple(name for name in here if here[name] != there[name])
        return Sample(
            kind=kind,
            key={name: self._masked(name, row[name]) for name in self.desktop.side.key},
            columns=columns,
            desktop=here and {name: self._masked(name, value) for name, value in here.items()},
            mobile=there and {name: self._masked(name, value) for name, value in there.items()},
        )

    def _wrong_lookups(self, lookup: Lookup) -> tuple[int, list[Sample]]:
        statement = digest_sql.wrong_lookups(self.mobile.side, self.mapping, lookup, most=SAMPLES)
        # A table that was never analyzed is thought to be small, and its rows would be compared each with each.
        apply_settings(self.mobile.cursor, {"enable_nestloop": "off"})
        rows = self._ask(self.mobile, statement)
        apply_settings(self.mobile.cursor, {"enable_nestloop": "on"})
        samples = []
        for _, *texts in rows:
            *keys, there, found = map(_decoded, texts)
            key = dict(zip(self.mobile.side.key, keys, strict=True))
            samples.append(
                Sample(
                    kind=Difference.DIFFERENT,
                    key={name: self._masked(name, value) for name, value in key.items()},
                    columns=(lookup.column,),
                    desktop={lookup.column: self._masked(lookup.column, found)},
                    mobile={lookup.column: self._masked(lookup.column, there)},
                )
            )
        return (rows[0][0] if rows else 0), samples

    def _masked(self, column: str, value: str | None) -> str | None:
        return _MASK if value is not None and column in self.spec.sensitive else value

    def _both(self, ask: Callable[[End], Answer]) -> tuple[Answer, Answer]:
        """Ask both ends, at the same time where they are two servers."""
        if self.desktop.cursor is self.mobile.cursor:
            return ask(self.desktop), ask(self.mobile)
        with ThreadPoolExecutor(max_workers=1) as beside:
            there = beside.submit(ask, self.mobile)
            here = ask(self.desktop)
            return here, there.result()

    def _ask(self, end: End, statement: sql.Composed) -> list[tuple[Any, ...]]:
        with explained(f"verifying table `{self.spec.mobile}`: reading the {end.name}"):
            try:
                return end.cursor.execute(statement).fetchall()
            except psycopg.Error as exc:
                if end.may_fail and (is_refusal(exc) or exc.sqlstate in _UNKNOWN):
                    raise NotHashedError(error_text(exc)) from exc
                raise


def _own(sums: Mapping[str, Sequence[Any]], bucket: str) -> Sequence[Any]:
    return sums[bucket][1:] if bucket in sums else [0, "0", "0", "0"]


def _chunks(buckets: Iterable[str], sides: Sequence[Mapping[str, Sequence[Any]]]) -> Iterator[list[str]]:
    chunk: list[str] = []
    rows = 0
    for bucket in buckets:
        chunk.append(bucket)
        rows += sum(side[bucket][0] for side in sides if bucket in side)
        if rows >= AT_A_TIME:
            yield chunk
            chunk, rows = [], 0
    if chunk:
        yield chunk


def _wanted(rows: Iterable[DesktopRow | MobileRow]) -> Wanted:
    found = [(row.key[:BUCKET_DIGITS], row.content) for row in rows]
    return Wanted(buckets=tuple(sorted({key for key, _ in found})), contents=tuple(content for _, content in found))


def _decoded(value: bytes | None) -> str | None:
    return None if value is None else bytes(value).decode().replace("\x01\x01", "\x01")
