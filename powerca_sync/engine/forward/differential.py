"""Find out what differs before anything travels: for a full run over a slow line.

Both servers make digests of their rows by prefixes of the key's digest, coarse ones first, then finer ones of those
that differ. Only rows of the last that differ are sent; the others are at the target already, equal in every synced
column. The merge is the same: it looks at no row of the target but those of the keys that were sent, or, where what
becomes of a row may depend on rows of other keys, finds the others in staging too, filled in at the target.
"""

import base64
import contextlib
import dataclasses
import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import psycopg
from psycopg import sql

from powerca_sync.engine.digests import Side, digest_queries, encoder
from powerca_sync.engine.forward import differential_sql
from powerca_sync.engine.mapping import TableMapping, is_compared_as_text
from powerca_sync.engine.postgres import Cursor, Query, execute_batch, is_refusal, one_row, server_encoding
from powerca_sync.engine.staging import check_stored_values
from powerca_sync.engine.state import TableState

#: Rows of a coarse prefix, at most and roughly: at 15 bytes a digest, next to nothing of what the rows weigh.
COARSE = 256
#: Digits of a whole key digest, and from how many rows on conditions that list such digests are too long.
EXACT, MOST_EXACT = 64, 50_000
#: What a server says that cannot make some digest: no such type, function, cast or column.
_UNKNOWN = ("42704", "42883", "42846", "42703", "0A000")


class NarrowScopeError(Exception):
    """What differs cannot be judged without rows that do not; everything has to be sent."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Differences:
    """Where the two sides differ."""

    #: Rows of the source, those that phones made included.
    rows: int
    #: Of them, the desktop's own that are at the target, equal in every column.
    alike: int
    #: Conditions on the source's row (or image of a pulled one) `s` and on the target's row `t`: what it is has to come
    #: from the source.
    at_source: sql.Composable
    at_target: sql.Composable
    #: Whether any row has to come.
    any: bool
    #: Whether phone rows have been pulled from the table.
    pulled: bool
    #: Counts of the target's rows, if they were asked for, as `plan.count_rows` answers.
    standing: tuple[int, ...] | None
    #: The desktop's own rows there of which a reference leads nowhere now.
    lost: int


def find_differences(
    source: Cursor,
    target: Cursor,
    mapping: TableMapping,
    *,
    rows: int,
    quarantined: Sequence[Mapping[str, str | None]],
    has_ledger: bool,
    encoding: str | None,
    reading: Callable[[], contextlib.AbstractContextManager[None]],
    standing: bool,
    exact: bool = False,
) -> Differences | None:
    """Compare the sides by digests; None where they cannot make the same ones, so that every row has to travel.

    `rows` is roughly their number. Rows of the `quarantined` keys travel in any case. `encoding` is that of the
    source's text, if the source does not know it. Errors inside `reading` are the source's. With `standing` the target
    also answers `count_standing`. `exact` narrows the differences down to single keys, and compares the columns that
    mobile owns as well. Only reads. The source is left in the same snapshot.
    """
    if not exact and any(
        column.source_text is not None and column.name in mapping.spec.key for column in mapping.synced
    ):
        # A row that goes to quarantine is known by the source's own text of its key.
        return None
    at_source = encoder(stored=server_encoding(source), declared=encoding)
    at_target = encoder(stored=server_encoding(target))
    if at_source is None or at_target is None:
        return None
    here = digest_queries.source_side(mapping, at_source)
    there = digest_queries.target_side(mapping, at_target)
    # They differ at every run, for as long as they wait.
    waiting = [differential_sql.having_keys(alias, mapping.spec.key, quarantined) for alias in ("s", "t")]
    here, there = (
        dataclasses.replace(side, summed=sql.SQL("({}) AND NOT {}").format(side.summed, keys))
        for side, keys in zip((here, there), waiting, strict=True)
    )
    images = doubtful = None
    with reading():
        if has_ledger and one_row(source, differential_sql.has_pulled_rows(), [mapping.spec.desktop])[0]:
            stored = check_stored_values(source, mapping.source, mapping.spec.desktop)
            pulled = digest_queries.ledger_side(dataclasses.replace(mapping, source=stored.table), at_source)
            images = dataclasses.replace(pulled, summed=sql.SQL("NOT {}").format(waiting[0]))
    if images and not mapping.target.primary_key:
        # A reverse-synced row whose `source` was emptied becomes the desktop's, which no digest shows.
        doubtful = sql.SQL("{} IS NULL").format(mapping.owner("t"))
    digits = 0
    while 16**digits * COARSE < rows:
        digits += 1
    also = ((differential_sql.count_standing(mapping), None),) if standing else ()
    compare = functools.partial(
        _compare,
        source,
        target,
        here,
        there,
        images=images,
        doubtful=doubtful,
        with_owned=exact,
        reading=reading,
    )
    found = compare(digits, also=also)
    if found is None:
        return None
    latest, alike = found, found.alike
    for finer in ([digits + 1] if rows > COARSE else []) + ([EXACT] if exact else []):
        if not latest.different or (finer == EXACT and found.rows - alike > MOST_EXACT):
            break
        narrowed = compare(finer, within=latest)
        if narrowed is None:
            return None
        latest = narrowed
        alike += latest.alike
    conditions = (
        sql.SQL("({} OR {})").format(differential_sql.having_prefixes(side, latest.different), keys)
        for side, keys in zip((here, there), waiting, strict=True)
    )
    return Differences(
        rows=found.rows,
        alike=alike,
        at_source=next(conditions),
        at_target=next(conditions),
        any=bool(latest.different or quarantined),
        pulled=images is not None,
        standing=found.standing[:-1] if found.standing else None,
        lost=found.standing[-1] if found.standing else 0,
    )


def is_quiet(differences: Differences, before: TableState) -> bool:
    """Whether no row has to come, and nothing else may have changed for those that are there."""
    emptied = before.rows_read and not differences.rows
    return not (differences.any or emptied or _is_shaken(differences, before))


def may_be_scoped(differences: Differences, mapping: TableMapping, before: TableState) -> bool:
    """Whether a merge need look at no other rows than those that have to come."""
    return _stands_alone(mapping) and not _is_shaken(differences, before)


def check_scope(source: Cursor, target: Cursor, mapping: TableMapping) -> None:
    """Raises `NarrowScopeError` if the ledger knows a row that is to be updated or deleted at the target.

    It was handed over to the desktop with another key, so that its entry is not among those that were read.
    """
    if not mapping.target.primary_key:
        return
    target.execute(differential_sql.planned_keys(mapping))
    keys = [key for (key,) in target.fetchall()]
    if keys and one_row(source, differential_sql.has_pulled(), [mapping.spec.desktop, keys])[0]:
        raise NarrowScopeError


def _is_shaken(differences: Differences, before: TableState) -> bool:
    """Whether what rows look up or refer to may have changed since the last run."""
    return not differences.standing or differences.lost > 0 or before.lookups != before.versions


def _stands_alone(mapping: TableMapping) -> bool:
    """Whether what becomes of a row depends on no other row of its table but those of its key."""
    of_other_rows = any(key.parent == (mapping.target.schema, mapping.target.name) for key in mapping.target.references)
    of_other_rows |= any(reference.parent == mapping.spec.mobile for reference in mapping.checked_references())
    staged = {column.name for column in mapping.staged}
    key = set(mapping.spec.key)
    of_other_rows |= any(
        staged.issuperset(unique.columns) and not (key and key <= set(unique.columns))
        for unique in mapping.target.unique_keys
    )
    # Keys that are equal, but not as text, may be found far from each other.
    return not of_other_rows and all(is_compared_as_text(column) for column in mapping.key)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Compared:
    """What digests say of some rows."""

    #: Of the source.
    rows: int
    #: Of them, the desktop's own under prefixes that do not differ.
    alike: int
    #: Prefixes that do, and how long they are.
    different: tuple[str, ...]
    digits: int
    standing: tuple[int, ...] | None


def _compare(
    source: Cursor,
    target: Cursor,
    here: Side,
    there: Side,
    digits: int,
    *,
    images: Side | None,
    doubtful: sql.Composable | None,
    with_owned: bool,
    reading: Callable[[], contextlib.AbstractContextManager[None]],
    within: _Compared | None = None,
    also: Sequence[Query] = (),
) -> _Compared | None:
    """Compare prefixes of so many digits; where that was done with fewer, only `within` what differed."""
    limits = (within.different, within.digits) if within else (None, 0)
    with ThreadPoolExecutor(max_workers=1) as thread:
        # Each server has its own work.
        digests = differential_sql.in_one_text(
            differential_sql.digests(there, digits, *limits, doubtful=doubtful, with_owned=with_owned)
        )
        answer = thread.submit(execute_batch, target, (digests, None), *also)
        #: By prefix: rows, of them the desktop's own, and their digest.
        at_source: dict[str, tuple[int, int, str]] | None = None
        with reading():
            try:
                with source.connection.transaction():
                    source.execute(
                        differential_sql.digests(here, digits, *limits, images=images, with_owned=with_owned)
                    )
                    at_source = {prefix: (rows, own, digest) for prefix, rows, own, digest in source.fetchall()}
            except psycopg.Error as exc:
                if not is_refusal(exc) and exc.sqlstate not in _UNKNOWN:
                    raise
        [(text,)], *answers = answer.result()
    if at_source is None:
        return None
    length = digits + len(_NOTHING)
    at_target = {text[n : n + digits]: text[n + digits : n + length] for n in range(0, len(text), length)}
    different = {
        prefix
        for prefix in at_source.keys() | at_target.keys()
        if at_source.get(prefix, (0, 0, _NOTHING))[2] != at_target.get(prefix, _NOTHING)
    }
    return _Compared(
        rows=sum(rows for rows, _, _ in at_source.values()),
        alike=sum(own for prefix, (_, own, _) in at_source.items() if prefix not in different),
        different=tuple(sorted(different)),
        digits=digits,
        standing=answers[0][0] if answers else None,
    )


#: The digest of no row: that of three zeros.
_NOTHING = base64.b64encode(
    hashlib.md5(b"0 0 0", usedforsecurity=False).digest()[: differential_sql.DIGEST_OCTETS]
).decode()
