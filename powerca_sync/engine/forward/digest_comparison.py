"""Compare the digests of both databases by prefix of the key's digest: short prefixes first, then longer ones."""

import base64
import contextlib
import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
from psycopg import sql

from powerca_sync.engine.digests import Side
from powerca_sync.engine.forward import differential_sql
from powerca_sync.engine.postgres import Cursor, Query, execute_batch, is_refusal

#: Rows of a short prefix, at most and roughly: at 15 bytes a digest, far less than the rows themselves.
COARSE = 256
#: Digits of a whole key digest, and the number of rows from which conditions that list such digests are too long.
EXACT, MOST_EXACT = 64, 50_000
#: SQLSTATEs of a server that cannot compute a digest: no such type, function, cast or column.
_UNKNOWN = ("42704", "42883", "42846", "42703", "0A000")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
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


def compare(
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
    within: Compared | None = None,
    also: Sequence[Query] = (),
) -> Compared | None:
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
    return Compared(
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


def narrow(
    compare: Callable[..., Compared | None], rows: int, *, exact: bool, also: Sequence[Query]
) -> Compared | None:
    """Compare by short prefixes, then by longer ones of those that differ; returns all rows with the last prefixes."""
    digits = 0
    while 16**digits * COARSE < rows:
        digits += 1
    found: Compared | None = compare(digits, also=also)
    for finer in ([digits + 1] if rows > COARSE else []) + ([EXACT] if exact else []):
        if found is None or not found.different or (finer == EXACT and found.rows - found.alike > MOST_EXACT):
            break
        narrowed: Compared | None = compare(finer, within=found)
        found = narrowed and dataclasses.replace(
            narrowed, rows=found.rows, alike=found.alike + narrowed.alike, more=found.more
        )
    return found
