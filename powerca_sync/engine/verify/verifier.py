"""Prove that both sides agree, table by table, without moving rows: each server hashes its own, digests are compared.

1. One snapshot on each side; both are only read.
2. Checksums by bucket of keys. Where they agree, the rows do.
3. The rows of the other buckets, as digests, are held against each other; known differences are counted.
4. Of the true differences the first are read, to be shown.

A table whose source cannot hash as the target does (a text that is no number, an encoding that it reads by other rules)
is compared at the target, in a temporary table, after the others.
"""

import contextlib
import dataclasses
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from functools import partial

from psycopg import sql

from powerca_sync.engine.context import read_context
from powerca_sync.engine.digests import Encoder, digest_queries, digest_sql, encoder, pack
from powerca_sync.engine.forward import plan_sql
from powerca_sync.engine.mapping import LEDGER, TableMapping, map_table
from powerca_sync.engine.postgres import (
    Connection,
    Cursor,
    explained,
    load,
    one_row,
    server_encoding,
    server_timezone,
    transaction,
)
from powerca_sync.engine.result import Options
from powerca_sync.engine.staging import (
    extract_sql,
    find_unreadable,
    read_rows,
    readable,
    settle_source,
    stage_rows,
    stage_source,
    staging_sql,
    without_unreadable,
)
from powerca_sync.engine.state import state
from powerca_sync.engine.verify.comparison import Comparison, End, NotHashedError, Unfit
from powerca_sync.engine.verify.verification import NOTHING, Outcome, Verification
from powerca_sync.errors import ConfigurationError, DatabaseUnavailableError, SyncError
from powerca_sync.tables import TableSpec


def verify(
    *,
    source: Connection,
    target: Connection,
    specs: Sequence[TableSpec],
    only: Sequence[TableSpec] | None = None,
    options: Options | None = None,
) -> tuple[Verification, ...]:
    """Compare the tables of `only` (default: all of `specs`), in their order.

    Writes nothing; temporary tables are made at the target for tables that cannot be compared otherwise. A table that
    cannot be compared does not stop the others. Raises a `SyncError` where nothing can be compared at all.
    """
    options = options or Options()
    wanted = specs if only is None else only
    done: dict[str, Verification] = {}
    to_move: dict[str, str] = {}
    with _looking(source, target, specs, wanted, options) as look:
        for spec in wanted:
            try:
                done[spec.mobile] = look.verify(spec)
            except NotHashedError as exc:
                to_move[spec.mobile] = str(exc)
    if to_move:
        with _looking(source, target, specs, wanted, options, moving=True) as look:
            for spec in wanted:
                if spec.mobile in to_move:
                    done[spec.mobile] = look.verify(spec, moved=to_move[spec.mobile])
    return tuple(done[spec.mobile] for spec in wanted)


@contextlib.contextmanager
def _looking(
    source: Connection,
    target: Connection,
    specs: Sequence[TableSpec],
    wanted: Sequence[TableSpec],
    options: Options,
    *,
    moving: bool = False,
) -> Iterator["_Look"]:
    """One snapshot on each side; with `moving` temporary tables can be made at the target."""
    with explained("verifying: reading the source"):
        timezone = options.timezone or server_timezone(source)
    with (
        explained("verifying"),
        transaction(target, timezone=timezone, timeouts=options.timeouts, snapshot=not moving, stable=moving) as there,
        transaction(source, timezone=timezone, timeouts=options.timeouts, stable=True) as here,
    ):
        yield _Look(here, there, specs, wanted, options)


class _Look:
    """Both sides at one instant each."""

    def __init__(
        self,
        source: Cursor,
        target: Cursor,
        specs: Sequence[TableSpec],
        wanted: Sequence[TableSpec],
        options: Options,
    ) -> None:
        self.source, self.target, self.specs, self.options = source, target, specs, options
        self.context = read_context(
            source, target, specs, at_desktop=partial(explained, "verifying: reading the source")
        )
        self.snapshot, self.office = self.context.snapshot, self.context.office
        self.remembered = state.is_remembered(target)

    def verify(self, spec: TableSpec, *, moved: str = "") -> Verification:
        """Compare one table; raises `NotHashedError` if its source cannot make the digests and it is not `moved`."""
        began = time.monotonic()
        resolved = self.context.catalogs.resolution[spec.mobile]
        notes = list(resolved.notes)
        if resolved.absent:
            return Verification(table=spec.mobile, outcome=NOTHING, notes=tuple(notes))
        try:
            with (
                explained(f"verifying table `{spec.mobile}`"),
                # So that a table that fails leaves the snapshots to the others, and no temporary table is left.
                self.target.connection.transaction(force_rollback=True),
                self.source.connection.transaction(force_rollback=True),
            ):
                outcome = self._compare(spec, notes, moved=bool(moved))
        except ConfigurationError:
            raise
        except SyncError as exc:
            lost = self.source.connection.closed or self.target.connection.closed
            # A foreign server that is gone is the trouble of its table alone.
            if exc.retryable and (lost or not isinstance(exc, DatabaseUnavailableError)):
                raise
            return Verification(table=spec.mobile, outcome=None, error=str(exc), seconds=time.monotonic() - began)
        return Verification(
            table=spec.mobile,
            outcome=outcome,
            moved=moved,
            notes=tuple(notes),
            seconds=time.monotonic() - began,
        )

    def _compare(self, spec: TableSpec, notes: list[str], *, moved: bool) -> Outcome:
        spec = self.context.require(spec)
        mapping = map_table(spec, sources=self.context.catalogs.sources, scope=self.context.scope)
        with self._reading(mapping):
            mapping = settle_source(self.source, mapping)
        before = state.TableState()
        quarantined: dict[bytes, int] = {}
        if self.remembered:
            before = state.read_state(self.target, self.office, spec.mobile, [one.table for one in spec.lookups])
            self.target.execute(
                load(__package__, "quarantined_keys.sql"), {"office": self.office.identity, "table": spec.mobile}
            )
            for key, rows in self.target.fetchall():
                packed = pack((key or {}).get(name) for name in spec.key)
                quarantined[packed] = quarantined.get(packed, 0) + rows
        changed = digest_queries.changed_since(mapping, before, self.snapshot)
        if changed is None:
            notes.append("which rows changed since the last run cannot be told, so that they count as different")
        utf8 = encoder(stored=server_encoding(self.target))
        if utf8 is None:
            raise SyncError(
                f"Table `{spec.mobile}`: the target stores text as {server_encoding(self.target)}, of which it cannot "
                "make digests that another server makes too. Use a database in UTF8."
            )
        there = End(cursor=self.target, side=digest_queries.target_side(mapping, utf8), name="target")
        if self.snapshot.has_ledger:
            with explained(f"verifying table `{mapping.spec.mobile}`: reading the source"):
                stored = readable(self.source, mapping.source, mapping.spec.desktop, sensitive=spec.sensitive)
            mapping = dataclasses.replace(mapping, source=stored.table)
            if stored.sentence:
                notes.append(stored.sentence)
        changed = changed or sql.SQL("FALSE")
        if moved:
            comparison = self._moved(mapping, there, utf8, quarantined, changed)
        else:
            comparison = self._apart(mapping, there, quarantined, changed)
        nobodys = one_row(self.target, plan_sql.count_rows(mapping))[2]
        return comparison.run(lookups=before.lookups == before.versions, nobodys=nobodys)

    def _apart(
        self, mapping: TableMapping, there: End, quarantined: Mapping[bytes, int], changed: sql.Composable
    ) -> Comparison:
        """Each server hashes its own rows."""
        stored = server_encoding(self.source)
        utf8 = encoder(stored=stored, declared=self.options.encoding)
        if utf8 is None:
            raise NotHashedError(f"the desktop's text is in {self.options.encoding or stored}")
        here = End(
            cursor=self.source,
            side=digest_queries.source_side(mapping, utf8, changed, quarantined),
            name="source",
            may_fail=True,
        )
        ledger = None
        if self.snapshot.has_ledger:
            ledger = dataclasses.replace(here, side=digest_queries.ledger_side(mapping, utf8))
        return Comparison(mapping, here, there, ledger=ledger, quarantined=quarantined)

    def _moved(
        self,
        mapping: TableMapping,
        there: End,
        utf8: Encoder,
        quarantined: dict[bytes, int],
        changed: sql.Composable,
    ) -> Comparison:
        """The target hashes both, after the source's rows have come to it as they do in a run."""
        extended = digest_queries.moved(mapping, changed)
        self.target.execute(staging_sql.create_staging(extended))
        # One after the other, because of a row that staging refuses nothing is kept but its key.
        self._stage(extended, sql.SQL("({}) IS NOT TRUE").format(changed))
        self.target.execute(digest_sql.rejected_keys())
        refused = [key for (key,) in self.target.fetchall()]
        changed_too = self._stage(extended, changed)
        here = End(cursor=self.target, side=digest_queries.staged_side(extended, utf8, quarantined), name="source")
        ledger = None
        if self.snapshot.has_ledger:
            self.target.execute(staging_sql.create_ledger())
            entries = extract_sql.of_entries(mapping)
            everything = sql.SQL("TRUE")
            with self._reading(mapping):
                unreadable = find_unreadable(self.source, entries, everything, images=True)
            copy_out = extract_sql.copy_out_ledger(entries, without_unreadable(entries, everything, unreadable))
            with contextlib.closing(self._read(entries, copy_out)) as rows:
                stage_rows(self.target, entries, rows, into=LEDGER)
            ledger = dataclasses.replace(here, side=digest_queries.moved_ledger_side(mapping, utf8))
        unfit = self._unfit(mapping, refused, quarantined, utf8, changed=changed_too)
        return Comparison(extended, here, there, ledger=ledger, quarantined=quarantined, unfit=unfit)

    def _unfit(
        self,
        mapping: TableMapping,
        refused: Sequence[Mapping[str, str | None]],
        quarantined: Mapping[bytes, int],
        utf8: Encoder,
        *,
        changed: int,
    ) -> Unfit:
        left = dict(quarantined)
        missing = []
        for key in refused:
            packed = pack(key.get(name) for name in mapping.spec.key)
            if left.get(packed):
                left[packed] -= 1
            else:
                missing.append({name: key.get(name) for name in mapping.spec.key})
        keys = set[str]()
        if mapping.spec.key:
            self.target.execute(digest_sql.all_digests(digest_queries.held_side(mapping, utf8)))
            keys = {key for key, _ in self.target.fetchall()}
        return Unfit(
            quarantined=len(refused) - len(missing),
            changed=changed,
            missing=tuple(missing),
            keys=frozenset(keys),
        )

    def _stage(self, mapping: TableMapping, where: sql.Composable) -> int:
        """Bring the source's rows for which `where` holds into staging; returns how many could not be staged."""
        read, reading = partial(self._read, mapping), partial(self._reading, mapping)
        return stage_source(self.source, self.target, mapping, where, read=read, reading=reading).refused

    def _reading(self, mapping: TableMapping) -> contextlib.AbstractContextManager[None]:
        """Errors inside are the source's, not the target's refusal of its rows."""
        return explained(f"verifying table `{mapping.spec.mobile}`: reading the source")

    def _read(self, mapping: TableMapping, copy_out: sql.Composed) -> Generator[bytes, None, None]:
        with self._reading(mapping):
            yield from read_rows(self.source, copy_out, encoding=self.options.encoding)
