"""One table from the source to the target, in one transaction there.

1. Lock the table against other runs, then take the source's snapshot: one instant for everything read from it.
2. Hold both catalogs and the spec together; choose the change set.
3. COPY into staging; set aside what came from phones, what does not fit and what leads nowhere.
4. Plan the merge, let the guards look at it, carry it out.
5. Account for every row, store mark and quarantine, commit. Whatever fails, the target is as it was.
"""

import contextlib
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

from psycopg import sql

from powerca_sync.engine import guards, merge, state, validation
from powerca_sync.engine.catalog import PLAIN, Column, Table, read_tables
from powerca_sync.engine.database import Connection, Cursor, explained, one_row, transaction
from powerca_sync.engine.extract import (
    ChangeSet,
    Mode,
    Snapshot,
    TableExtract,
    TextRows,
    change_set,
    read_snapshot,
)
from powerca_sync.engine.mapping import TableMapping, map_table, tables_needed
from powerca_sync.engine.merge import MergePlan, MergeResult, OvertakenError, apply_merge, plan_merge
from powerca_sync.engine.office import Office, Scope, as_the_target_has_it, read_office
from powerca_sync.engine.result import ForwardResult, Options
from powerca_sync.engine.staging import Staged, read_rows, stage_rows
from powerca_sync.engine.statements import extract as extract_statements
from powerca_sync.engine.statements import plan as plan_statements
from powerca_sync.engine.statements import staging as staging_statements
from powerca_sync.engine.statements.extract import asked_names
from powerca_sync.engine.statements.fragments import LEDGER, STAGING
from powerca_sync.engine.validation import LookupResult
from powerca_sync.errors import ContentionError, DatabaseUnavailableError, SyncError
from powerca_sync.tables import Category, TableSpec

logger = logging.getLogger(__name__)

#: How often a merge is planned anew because the app wrote in between.
ATTEMPTS = 5
#: Statistics pay from about here on; the planner guesses well enough for less.
WORTH_ANALYZING = 1_000


def sync_forward(
    what: TableExtract | TextRows,
    *,
    source: Connection,
    target: Connection,
    specs: Sequence[TableSpec],
    options: Options | None = None,
) -> ForwardResult:
    """Bring one table's rows to the target; commits there, or leaves everything as it was and raises a `SyncError`.

    The source is only read. Both connections are left usable, outside any transaction.
    """
    options = options or Options()
    spec = what.spec
    doing = f"syncing table `{spec.mobile}`"
    try:
        with explained(doing):
            state.prepare_target(target)
            with explained(f"{doing}: reading the source"):
                timezone = options.timezone or _timezone(source)
            with (
                transaction(target, timezone=timezone, timeouts=options.timeouts) as target_cursor,
                contextlib.ExitStack() as snapshot,
            ):
                _lock(target_cursor, spec, wait=options.timeouts.table)
                with explained(f"{doing}: reading the source"):
                    source_cursor = snapshot.enter_context(
                        transaction(source, timezone=timezone, timeouts=options.timeouts, snapshot=True)
                    )
                run = _Run(what, source_cursor, target_cursor, specs, options)
                return run.carry_out(all_is_read=snapshot.close)
    except SyncError as exc:
        if not target.closed:
            state.record_failure(target, spec.mobile, str(exc))
        raise
    except ValueError as exc:
        # The driver's answer to a connection that a pooler cuts in the middle of a COPY.
        if not (source.closed or target.closed):
            raise
        raise DatabaseUnavailableError(
            f"{doing} failed: the connection was lost ({exc}). Nothing was written; it is tried again."
        ) from exc


class _Run:
    """The steps of one run, between the begin and the commit of its two transactions."""

    def __init__(
        self,
        what: TableExtract | TextRows,
        source: Cursor,
        target: Cursor,
        specs: Sequence[TableSpec],
        options: Options,
    ) -> None:
        self.what = what
        self.spec = what.spec
        self.source = source
        self.target = target
        self.specs = specs
        self.options = options
        self.started = time.monotonic()
        self.seconds: dict[str, float] = defaultdict(float)
        self.warnings: list[str] = []

    def carry_out(self, *, all_is_read: Callable[[], None]) -> ForwardResult:
        with self._phase("look"):
            with self._reading():
                snapshot = read_snapshot(self.source)
                office = read_office(self.source, self.specs, snapshot.identity)
            tables = self._target_tables()
            office = as_the_target_has_it(self.target, office, self.specs, tables)
            state.claim_office(self.target, office)
            mapping = self._map(office, tables)
            before = state.read_state(
                self.target, office, self.spec.mobile, [lookup.table for lookup in self.spec.lookups]
            )
            changes = self._change_set(mapping, before, snapshot)
        with self._phase("stage"):
            staged = self._stage(mapping, changes, snapshot)
        complete = changes.mode is Mode.FULL
        if complete:
            guards.check_not_emptied(
                self.spec,
                read=staged.read,
                read_before=before.rows_read,
                allowed=self.what.allow_mass_delete,
            )
        with self._phase("check"):
            echo, edited, edited_keys = self._set_aside_echo(mapping, snapshot)
            with self._reading():
                # A long merge is no reason to hold the source's snapshot, nor to depend on its connection.
                all_is_read()
            superseded = validation.settle_duplicates(self.target, mapping, refused=staged.refused)
            lookups = self._check_rows(mapping)
        plan, merged = self._merge(mapping, complete=complete and staged.read > 0)
        with self._phase("record"):
            rejections = validation.rejections(self.target)
            samples = validation.samples(self.target) if rejections else ()
            conflicts = merge.conflicts(self.target, mapping) if plan.conflict else ()
            quarantined = sum(rejection.rows for rejection in rejections)
            guards.check_quarantine(
                self.spec,
                quarantined=quarantined,
                rows=max(staged.read, before.rows_read or 0),
                samples=samples,
            )
            fates = {
                "inserted": merged.inserted,
                "updated": merged.updated,
                "unchanged": plan.unchanged,
                "kept_mobile": plan.keep + plan.conflict + edited,
                "echo": echo,
                "quarantined": quarantined,
                "superseded": superseded,
            }
            guards.check_conservation(self.spec, extracted=staged.read, accounted=fates)
            counted = one_row(self.target, plan_statements.count_rows(mapping))
            if quarantined or before.quarantined:
                state.record_quarantine(self.target, office, self.spec.mobile)
            state.record_run(
                self.target,
                office,
                self.spec.mobile,
                mark=snapshot.mark(mapping) if isinstance(self.what, TableExtract) else None,
                fingerprint=mapping.fingerprint,
                rows_read=staged.read if complete else None,
                mode=changes.mode.value,
                lookups=before.versions,
                changed=merged.inserted + merged.updated + merged.deleted > 0,
                records=staged.read - quarantined,
                milliseconds=round((time.monotonic() - self.started) * 1000),
            )
        if complete and not staged.read and counted[1]:
            self._warn(f"`{self.spec.desktop}` has no rows at the source; nothing was deleted at the target")
        self._warn_of(lookups, conflicting=plan.conflict + edited)
        return ForwardResult(
            table=self.spec.mobile,
            mode_requested=self._requested,
            mode_effective=changes.mode,
            mode_reason=changes.reason,
            extracted=staged.read,
            staged=staged.accepted,
            **fates,
            deleted=merged.deleted,
            stale=plan.stale,
            held=plan.held + merged.held,
            kept_referenced=merged.kept_referenced + merged.undeletable,
            kept_other=counted[2],
            filtered=sum(rejection.rows for rejection in rejections if rejection.reason == "reference"),
            rows_at_target=counted[0],
            rejections=rejections,
            samples=samples,
            conflicts=(*conflicts, *edited_keys),
            conflicting=plan.conflict + edited,
            lookups=lookups,
            warnings=tuple(self.warnings),
            columns=mapping.staged,
            bytes=staged.bytes,
            seconds=dict(self.seconds),
        )

    @property
    def _requested(self) -> Mode:
        return self.what.mode if isinstance(self.what, TableExtract) else Mode.FULL

    def _target_tables(self) -> Mapping[str, Table]:
        offices = (spec.mobile for spec in self.specs if spec.defines_offices)
        return read_tables(self.target, dict.fromkeys((*tables_needed(self.spec, self.specs), *offices)))

    def _map(self, office: Office, tables: Mapping[str, Table]) -> TableMapping:
        scope = Scope(office=office, specs=self.specs, tables=tables)
        if isinstance(self.what, TableExtract):
            with self._reading():
                sources = read_tables(self.source, [self.spec.desktop])
        else:
            sources = {self.spec.desktop: _as_table(self.what, scope.table(self.spec.mobile))}
        mapping = map_table(self.spec, sources=sources, scope=scope)
        if mapping.ignored:
            logger.info("%s: columns only at the source stay behind: %s.", self.spec.mobile, ", ".join(mapping.ignored))
        return mapping

    def _change_set(self, mapping: TableMapping, before: state.TableState, snapshot: Snapshot) -> ChangeSet:
        if isinstance(self.what, TextRows):
            return ChangeSet(mode=Mode.FULL, reason="", where=sql.SQL("TRUE"))
        changes = change_set(mapping, self._requested, before, snapshot, overlap=self.options.overlap)
        if changes.reason:
            mark = "" if self.spec.category is Category.MASTERS else "[WARN] "
            logger.info("%s%s ran in full: %s.", mark, self.spec.mobile, changes.reason)
        return changes

    def _stage(self, mapping: TableMapping, changes: ChangeSet, snapshot: Snapshot) -> Staged:
        self.target.execute(staging_statements.create_staging(mapping))
        self.target.execute(plan_statements.create_actions())
        if isinstance(self.what, TextRows):
            staged = stage_rows(self.target, mapping, self.what.rows(asked_names(mapping)))
        else:
            # Closed before anything else is asked of the source, also when the target fails halfway.
            with contextlib.closing(self._read(extract_statements.copy_out(mapping, changes.where))) as rows:
                staged = stage_rows(self.target, mapping, rows)
        if staged.accepted >= WORTH_ANALYZING:
            self.target.execute(sql.SQL("ANALYZE {}").format(STAGING))
        logger.info(
            "%s: staged %d of %d rows read (%s, %.1f MB).",
            self.spec.mobile,
            staged.accepted,
            staged.read,
            changes.mode.value,
            staged.bytes / 1e6,
        )
        return staged

    def _set_aside_echo(self, mapping: TableMapping, snapshot: Snapshot) -> tuple[int, int, tuple[str, ...]]:
        pulled = 0
        if snapshot.has_ledger and isinstance(self.what, TableExtract):
            self.target.execute(staging_statements.create_ledger())
            with contextlib.closing(self._read(extract_statements.copy_out_ledger(mapping))) as images:
                pulled = stage_rows(self.target, mapping, images, into=LEDGER).accepted
        elif mapping.source_has_owner:
            self.target.execute(staging_statements.create_ledger())
        if not pulled and not mapping.source_has_owner:
            return 0, 0, ()
        return validation.set_aside_echo(self.target, mapping)

    def _check_rows(self, mapping: TableMapping) -> tuple[LookupResult, ...]:
        found = [validation.fill_lookup(self.target, mapping, lookup) for lookup in self.spec.lookups]
        validation.reject_faulty(self.target, mapping)
        return tuple(
            LookupResult(
                column=lookup.column,
                table=lookup.table,
                filled=filled,
                ambiguous=ambiguous,
                missed=validation.count_missed(self.target, lookup),
            )
            for lookup, (filled, ambiguous) in zip(self.spec.lookups, found, strict=True)
        )

    def _merge(self, mapping: TableMapping, *, complete: bool) -> tuple[MergePlan, MergeResult]:
        """Plan and apply, again while the app writes to the very rows."""
        for _ in range(ATTEMPTS):
            try:
                with self.target.connection.transaction():
                    with self._phase("plan"):
                        plan = plan_merge(self.target, mapping, complete=complete)
                        if plan.delete > self.spec.mass_delete_rows:
                            counted = one_row(self.target, plan_statements.count_rows(mapping))
                            guards.check_mass_delete(
                                self.spec,
                                deletes=plan.delete,
                                owned=counted[1],
                                allowed=self.what.allow_mass_delete,
                            )
                    with self._phase("apply"):
                        return plan, apply_merge(self.target, mapping, plan)
            except OvertakenError as exc:
                logger.info("%s: somebody else wrote meanwhile (%s); planning anew.", self.spec.mobile, exc)
        raise ContentionError(
            f"Table `{self.spec.mobile}`: other writers changed the same rows {ATTEMPTS} times in a row, or a trigger "
            "of the target swallows writes. Nothing was written. It is tried again."
        )

    def _warn_of(self, lookups: Sequence[LookupResult], *, conflicting: int) -> None:
        for lookup in lookups:
            if lookup.missed:
                self._warn(f"{lookup.missed} rows found no `{lookup.column}` in `{lookup.table}`; it is empty there")
            if lookup.ambiguous:
                self._warn(f"{lookup.ambiguous} rows found several values of `{lookup.column}` in `{lookup.table}`")
        if conflicting:
            self._warn(f"{conflicting} phone rows differ from the office's row of the same key; they stay as they are")

    def _warn(self, sentence: str) -> None:
        self.warnings.append(sentence)
        logger.warning("[WARN] %s: %s.", self.spec.mobile, sentence)

    def _read(self, copy_out: sql.Composed) -> Generator[bytes, None, None]:
        with self._reading():
            yield from read_rows(self.source, copy_out, encoding=self.options.encoding)

    def _reading(self) -> contextlib.AbstractContextManager[None]:
        """Errors inside are the source's, not the target's."""
        return explained(f"syncing table `{self.spec.mobile}`: reading the source")

    @contextlib.contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] += time.monotonic() - began


def _lock(cursor: Cursor, spec: TableSpec, *, wait: float) -> None:
    """Wait until no other run syncs the table."""
    give_up = time.monotonic() + wait
    while not state.try_lock(cursor, spec.mobile):
        if time.monotonic() > give_up:
            raise ContentionError(
                f"Table `{spec.mobile}` is being synced by another run, which did not end within {wait:.0f} s. "
                "Nothing was read. It is tried again."
            )
        time.sleep(0.2)


def _timezone(source: Connection) -> str:
    with source.cursor() as cursor:
        return str(one_row(cursor, "SHOW TimeZone")[0])


def _as_table(rows: TextRows, target: Table) -> Table:
    """The source's table as the given rows have it; columns whose type they do not say are of the target's."""
    columns = []
    for name in rows.columns:
        declared, own = rows.types.get(name), target.column(name)
        if declared is None and own is not None:
            columns.append(own)
        else:
            base = declared or "text"
            columns.append(Column(name=name, type=base, base=base, typmod=-1, category=""))
    return Table(schema="", name=rows.spec.desktop, oid=0, kind=PLAIN, columns=tuple(columns))
