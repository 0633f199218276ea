"""Find the rows that differ by digests before any row is sent, for a full run over a slow line.

Both servers compute digests of their rows by prefix of the key's digest: for short prefixes first, then for longer ones
of those that differ. Only rows whose longest prefix differs are sent; the others are equal in every synced column. The
merge is the same. It is limited to the keys that were sent, or, if the action for a row may depend on rows of other
keys, the equal rows are copied into staging at the target.
"""

import base64
import contextlib
import dataclasses
import functools
import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
from psycopg import sql

from powerca_sync.engine.digests import Encoder, Side, digest_queries, encoder, probe_hashes
from powerca_sync.engine.forward import differential_sql
from powerca_sync.engine.mapping import MOST_HASHED, TableMapping, is_compared_as_text
from powerca_sync.engine.postgres import Cursor, Query, execute_batch, is_refusal, one_row, server_encoding
from powerca_sync.engine.staging import check_stored_values
from powerca_sync.engine.state import TableState

#: Rows of a short prefix, at most and roughly: at 15 bytes a digest, far less than the rows themselves.
COARSE = 256
#: Digits of a whole key digest, and the number of rows from which conditions that list such digests are too long.
EXACT, MOST_EXACT = 64, 50_000
#: The first version of PostgreSQL that hashes rows, as `server_version`.
HASHES_ROWS = 140000
#: SQLSTATEs of a server that cannot compute a digest: no such type, function, cast or column.
_UNKNOWN = ("42704", "42883", "42846", "42703", "0A000")


class NarrowScopeError(Exception):
    """The merge of the rows that differ depends on rows that were not sent; all rows have to be sent."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Differences:
    """The rows in which source and target differ."""

    #: Rows of the source, reverse-synced rows included.
    rows: int
    #: Of them, desktop-owned rows that equal their row at the target.
    alike: int
    #: Conditions on the source's row or ledger image `s`, and on the target's row `t`: it belongs to the rows to send.
    at_source: sql.Composable
    at_target: sql.Composable
    #: There are rows to send.
    any: bool
    #: The ledger has entries of the table.
    pulled: bool
    #: Counts of the target's rows in the order of `plan_sql.count_rows`, if requested.
    target_counts: tuple[int, ...] | None
    #: Desktop-owned rows of the target with a dangling reference; 0 if the rows were not counted.
    dangling_references: int


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
    count: bool,
    exact: bool = False,
) -> Differences | None:
    """Compare source and target by digests; returns None if they cannot compute the same ones.

    Writes nothing; the source's transaction keeps its snapshot.

    Args:
        rows: Roughly the number of rows.
        quarantined: Keys of quarantined rows, which are sent in any case.
        has_ledger: The source has a ledger.
        encoding: Encoding of the source's text if the source is SQL_ASCII.
        reading: Encloses statements at the source.
        count: Count the target's rows in the same round trip.
        exact: Narrow the differences down to single keys, and compare mobile-owned columns too.
    """
    if not exact and any(
        column.source_text is not None and column.name in mapping.spec.key for column in mapping.synced
    ):
        # Quarantine identifies a row by the source's own text of its key, which the digests do not compare.
        return None
    at_source = encoder(stored=server_encoding(source), declared=encoding)
    at_target = encoder(stored=server_encoding(target))
    if at_source is None or at_target is None:
        return None
    typed = not (exact or mapping.hashes_text) and _may_hash_alike(source, target)
    typed &= len(mapping.synced) <= MOST_HASHED
    seed = secrets.randbits(63) if typed else None
    # Quarantined rows differ in every run.
    is_quarantined = [differential_sql.having_keys(alias, mapping.spec.key, quarantined) for alias in ("s", "t")]
    source_side, target_side = (
        dataclasses.replace(side, summed=sql.SQL("({}) AND NOT {}").format(side.summed, keys))
        for side, keys in zip(
            (
                digest_queries.source_side(mapping, at_source, seed),
                digest_queries.target_side(mapping, at_target, seed),
            ),
            is_quarantined,
            strict=True,
        )
    )
    images = taken_over = hashes = None
    with reading():
        if typed:
            hashes = one_row(source, probe_hashes())
        if has_ledger and one_row(source, differential_sql.has_pulled_rows(), [mapping.spec.phone_table])[0]:
            images = _images(source, mapping, at_source, seed, is_quarantined[0])
    if images and not mapping.target.primary_key:
        # The merge takes over a reverse-synced row whose `source` was set to NULL, which no digest shows.
        taken_over = sql.SQL("{} IS NULL").format(mapping.owner("t"))
    found = _narrow(
        functools.partial(
            _compare,
            source,
            target,
            source_side,
            target_side,
            images=images,
            taken_over=taken_over,
            with_owned=exact,
            reading=reading,
        ),
        rows,
        exact=exact,
        also=[
            (statement, None)
            for statement in (
                differential_sql.count_target_rows(mapping) if count else None,
                probe_hashes() if typed else None,
            )
            if statement
        ],
    )
    if found is None:
        return None
    if typed and found.more[-1] != hashes:
        return find_differences(
            source,
            target,
            dataclasses.replace(mapping, hashes_text=True),
            rows=rows,
            quarantined=quarantined,
            has_ledger=has_ledger,
            encoding=encoding,
            reading=reading,
            count=count,
        )
    counts = found.more[0] if count else None
    conditions = (
        sql.SQL("({} OR {})").format(differential_sql.having_prefixes(side, found.different), keys)
        for side, keys in zip((source_side, target_side), is_quarantined, strict=True)
    )
    return Differences(
        rows=found.rows,
        alike=found.alike,
        at_source=next(conditions),
        at_target=next(conditions),
        any=bool(found.different or quarantined),
        pulled=images is not None,
        target_counts=counts[:-1] if counts else None,
        dangling_references=counts[-1] if counts else 0,
    )


def _may_hash_alike(*servers: Cursor) -> bool:
    """Returns whether typed hashes are likely to be the same on both servers."""
    return all(one.connection.info.server_version >= HASHES_ROWS and server_encoding(one) == "UTF8" for one in servers)


def _images(
    source: Cursor, mapping: TableMapping, at_source: Encoder, seed: int | None, is_quarantined: sql.Composable
) -> Side:
    stored = check_stored_values(source, mapping.source, mapping.spec.phone_table)
    images = digest_queries.ledger_side(dataclasses.replace(mapping, source=stored.table), at_source, seed)
    return dataclasses.replace(images, summed=sql.SQL("NOT {}").format(is_quarantined))


def _narrow(
    compare: Callable[..., "_Compared | None"], rows: int, *, exact: bool, also: Sequence[Query]
) -> "_Compared | None":
    """Compare by short prefixes, then by longer ones of those that differ; returns all rows with the last prefixes."""
    digits = 0
    while 16**digits * COARSE < rows:
        digits += 1
    found: _Compared | None = compare(digits, also=also)
    for finer in ([digits + 1] if rows > COARSE else []) + ([EXACT] if exact else []):
        if found is None or not found.different or (finer == EXACT and found.rows - found.alike > MOST_EXACT):
            break
        narrowed: _Compared | None = compare(finer, within=found)
        found = narrowed and dataclasses.replace(
            narrowed, rows=found.rows, alike=found.alike + narrowed.alike, more=found.more
        )
    return found


def is_noop(differences: Differences, before: TableState) -> bool:
    """Returns whether there are no rows to send, and the equal rows cannot have become invalid."""
    emptied = before.rows_read and not differences.rows
    return not (differences.any or emptied or _dependencies_changed(differences, before))


def may_be_scoped(differences: Differences, mapping: TableMapping, before: TableState) -> bool:
    """Returns whether the merge can be limited to the rows to send."""
    return _rows_independent(mapping) and not _dependencies_changed(differences, before)


def check_scope(source: Cursor, target: Cursor, mapping: TableMapping) -> None:
    """Raises `NarrowScopeError` if a row to update or delete at the target has a ledger entry.

    The row's key has changed on mobile, so that its entry was not among those that were read.
    """
    if not mapping.target.primary_key:
        return
    target.execute(differential_sql.planned_keys(mapping))
    keys = [key for (key,) in target.fetchall()]
    if keys and one_row(source, differential_sql.has_pulled(), [mapping.spec.phone_table, keys])[0]:
        raise NarrowScopeError


def _dependencies_changed(differences: Differences, before: TableState) -> bool:
    """Returns whether rows that the table references or looks up may have changed since the last run."""
    counted = differences.target_counts is not None
    return not counted or differences.dangling_references > 0 or before.lookups != before.versions


def _rows_independent(mapping: TableMapping) -> bool:
    """Returns whether the action for a row depends on no other rows of the table than those of its key."""
    of_other_rows = any(key.parent == (mapping.target.schema, mapping.target.name) for key in mapping.target.references)
    of_other_rows |= any(reference.parent == mapping.spec.mobile for reference in mapping.checked_references())
    staged = {column.name for column in mapping.staged}
    key = set(mapping.spec.key)
    of_other_rows |= any(
        staged.issuperset(unique.columns) and not (key and key <= set(unique.columns))
        for unique in mapping.target.unique_keys
    )
    # Digests are grouped by the key's text; keys of other types may be equal although their texts differ.
    return not of_other_rows and all(is_compared_as_text(column) for column in mapping.key)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Compared:
    """Digests of both databases, compared by prefix."""

    #: Rows of the source.
    rows: int
    #: Of them, desktop-owned rows under prefixes that do not differ.
    alike: int
    #: Prefixes that differ, of `digits` digits each.
    different: tuple[str, ...]
    digits: int
    #: The rows of the other queries at the target.
    more: Sequence[tuple[Any, ...]]


def _compare(
    source: Cursor,
    target: Cursor,
    source_side: Side,
    target_side: Side,
    digits: int,
    *,
    images: Side | None,
    taken_over: sql.Composable | None,
    with_owned: bool,
    reading: Callable[[], contextlib.AbstractContextManager[None]],
    within: _Compared | None = None,
    also: Sequence[Query] = (),
) -> _Compared | None:
    """Compare by prefixes of `digits` digits, only `within` the shorter prefixes that differ if these are given."""
    limits = (within.different, within.digits) if within else (None, 0)
    with ThreadPoolExecutor(max_workers=1) as thread:
        # Both servers work at the same time.
        digests = differential_sql.in_one_text(
            differential_sql.digests(target_side, digits, *limits, taken_over=taken_over, with_owned=with_owned)
        )
        answer = thread.submit(execute_batch, target, (digests, None), *also)
        #: Prefix to (rows, of them desktop-owned rows, digest of these).
        at_source: dict[str, tuple[int, int, str]] | None = None
        with reading():
            try:
                with source.connection.transaction():
                    source.execute(
                        differential_sql.digests(source_side, digits, *limits, images=images, with_owned=with_owned)
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
        more=[row for (row,) in answers],
    )


#: The digest of no rows: that of three zeros.
_NOTHING = base64.b64encode(
    hashlib.md5(b"0 0 0", usedforsecurity=False).digest()[: differential_sql.DIGEST_OCTETS]
).decode()
