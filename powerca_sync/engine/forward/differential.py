"""Find the rows that differ by digests before any row is sent, for a full run over a slow line.

Both servers compute digests of their rows by prefix of the key's digest: for short prefixes first, then for longer ones
of those that differ. Only rows whose longest prefix differs are sent; the others are equal in every synced column. The
merge is the same. It is limited to the keys that were sent, or, if the action for a row may depend on rows of other
keys, the equal rows are copied into staging at the target.
"""

import contextlib
import dataclasses
import functools
import secrets
from collections.abc import Callable, Mapping, Sequence

from psycopg import sql

from powerca_sync.engine.digests import Encoder, Side, digest_queries, encoder, probe_hashes
from powerca_sync.engine.forward import differential_sql
from powerca_sync.engine.forward.digest_comparison import compare, narrow
from powerca_sync.engine.mapping import MOST_HASHED, TableMapping, is_compared_as_text
from powerca_sync.engine.postgres import Cursor, Query, one_row, server_encoding
from powerca_sync.engine.staging import check_stored_values
from powerca_sync.engine.state import TableState

#: The first version of PostgreSQL that hashes rows, as `server_version`.
HASHES_ROWS = 140000


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
        column.source_text is not None and column.name in mapping.key_names for column in mapping.synced
    ):
        # Quarantine identifies a row by the source's own text of its key, which the digests do not compare.
        return None
    at_source = encoder(stored=server_encoding(source), declared=encoding)
    at_target = encoder(stored=server_encoding(target))
    if at_source is None or at_target is None:
        return None
    sides = _Sides(source, target, mapping, (at_source, at_target), quarantined, has_ledger, reading)
    typed = not (exact or mapping.hashes_text) and len(mapping.synced) <= MOST_HASHED
    if typed and _may_hash_alike(source, target):
        with contextlib.suppress(_HashesDifferError):
            return sides.find_differences(secrets.randbits(63), rows=rows, count=count, exact=False)
    return sides.find_differences(None, rows=rows, count=count, exact=exact)


class _HashesDifferError(Exception):
    """The servers compute different typed hashes of the same values."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Sides:
    """Both servers and the rows to compare, as `find_differences` is given them."""

    source: Cursor
    target: Cursor
    mapping: TableMapping
    encoders: tuple[Encoder, Encoder]
    quarantined: Sequence[Mapping[str, str | None]]
    has_ledger: bool
    reading: Callable[[], contextlib.AbstractContextManager[None]]

    def find_differences(self, seed: int | None, *, rows: int, count: bool, exact: bool) -> Differences | None:
        """Compare by typed hashes with that seed, or by digests of texts without one.

        Raises `_HashesDifferError` if the servers hash known values differently.
        """
        mapping = self.mapping
        # Quarantined rows differ in every run.
        keys = [differential_sql.having_keys(alias, mapping.key_names, self.quarantined) for alias in ("s", "t")]
        source_side = _without(digest_queries.source_side(mapping, self.encoders[0], seed), keys[0])
        target_side = _without(digest_queries.target_side(mapping, self.encoders[1], seed), keys[1])
        with self.reading():
            hashes = None if seed is None else one_row(self.source, probe_hashes())
            images = self._images(seed, keys[0])
        further: list[Query] = [(differential_sql.count_target_rows(mapping), None)] if count else []
        further += [] if seed is None else [(probe_hashes(), None)]
        found = narrow(
            functools.partial(
                compare,
                self.source,
                self.target,
                source_side,
                target_side,
                images=images,
                # The merge takes over a reverse-synced row whose `source` was set to NULL, which no digest shows.
                taken_over=sql.SQL("{} IS NULL").format(mapping.owner("t"))
                if images and not mapping.target.primary_key
                else None,
                with_owned=exact,
                reading=self.reading,
            ),
            rows,
            exact=exact,
            also=further,
        )
        if found is None:
            return None
        if hashes is not None and found.more[-1] != hashes:
            raise _HashesDifferError
        to_send = [
            sql.SQL("({} OR {})").format(differential_sql.having_prefixes(side, found.different), of_keys)
            for side, of_keys in zip((source_side, target_side), keys, strict=True)
        ]
        counts = found.more[0] if count else None
        return Differences(
            rows=found.rows,
            alike=found.alike,
            at_source=to_send[0],
            at_target=to_send[1],
            any=bool(found.different or self.quarantined),
            pulled=images is not None,
            target_counts=counts[:-1] if counts else None,
            dangling_references=counts[-1] if counts else 0,
        )

    def _images(self, seed: int | None, is_quarantined: sql.Composable) -> Side | None:
        """Returns the ledger's rows of the table, or None if it has none."""
        table, phone_table = self.mapping.source, self.mapping.spec.phone_table
        if not (self.has_ledger and one_row(self.source, differential_sql.has_pulled_rows(), [phone_table])[0]):
            return None
        stored = dataclasses.replace(self.mapping, source=check_stored_values(self.source, table, phone_table).table)
        return _without(digest_queries.ledger_side(stored, self.encoders[0], seed), is_quarantined)


def _without(side: Side, keys: sql.Composable) -> Side:
    """Returns the side without the rows of these keys."""
    return dataclasses.replace(side, summed=sql.SQL("({}) AND NOT {}").format(side.summed, keys))


def _may_hash_alike(*servers: Cursor) -> bool:
    """Returns whether typed hashes are likely to be the same on both servers."""
    return all(one.connection.info.server_version >= HASHES_ROWS and server_encoding(one) == "UTF8" for one in servers)


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
    of_other_rows |= any(reference.parent == mapping.table for reference in mapping.checked_references())
    staged = {column.name for column in mapping.staged}
    key = set(mapping.key_names)
    of_other_rows |= any(
        staged.issuperset(unique.columns) and not (key and key <= set(unique.columns))
        for unique in mapping.target.unique_keys
    )
    # Digests are grouped by the key's text; keys of other types may be equal although their texts differ.
    return not of_other_rows and all(is_compared_as_text(column) for column in mapping.key)
