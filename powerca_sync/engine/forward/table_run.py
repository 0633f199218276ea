"""One table on its way, from the two catalogs to the plan of its merge.

Shared by the run that carries the plan out (`forward`) and by the one that only shows it (`plan`). What is locked,
written at the target, remembered and committed is theirs; what became of each row is told by `accounting`.
"""

import contextlib
import dataclasses
import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

from psycopg import sql

from powerca_sync.engine import guards
from powerca_sync.engine.context import Catalogs, check_route, read_catalogs
from powerca_sync.engine.forward import differential_sql, mobile_owned_sql, plan_sql
from powerca_sync.engine.forward.differential import (
    Differences,
    check_scope,
    find_differences,
    is_quiet,
    may_be_scoped,
)
from powerca_sync.engine.forward.extract import ChangeSet, as_table, change_set
from powerca_sync.engine.forward.merge import MergePlan, plan_merge
from powerca_sync.engine.forward.plan_checks import check_plan
from powerca_sync.engine.forward.prepared import Counted, Ready
from powerca_sync.engine.mapping import (
    LEDGER,
    STAGING,
    Office,
    ResolvedSpec,
    Route,
    Scope,
    Snapshot,
    TableMapping,
    explain_cast_errors,
    map_table,
    organisations_query,
    read_office,
    read_snapshot,
)
from powerca_sync.engine.postgres import Cursor, Table, explained, one_row
from powerca_sync.engine.requests import Mode, TableExtract, TextRows
from powerca_sync.engine.result import Options, Transfer
from powerca_sync.engine.staging import (
    Staged,
    Unreadable,
    check_stored_values,
    copy_out_unreadable,
    echo_sql,
    extract_sql,
    find_large_objects,
    find_unreadable,
    pair_by_readable_columns,
    prepare_source,
    read_rows,
    refuse_oversized,
    refuse_unreadable,
    split_oversized,
    stage_rows,
    staging_sql,
    validation,
    without_unreadable,
)
from powerca_sync.engine.state import RecordedRun, check_lineage, state
from powerca_sync.plain_text import one_line_logger
from powerca_sync.tables import Category, TableSpec

logger = one_line_logger(__name__)

#: Statistics pay from about here on; the planner guesses well enough for less.
WORTH_ANALYZING = 1_000
#: A target that takes longer to answer, in seconds, is so far away that digests are worth their making.
FAR = 0.01

#: In a stored watermark: the digest of the mobile-owned columns.
OWNED_DIGEST = "mobile_owned"


def owned_digest_of(before: state.TableState) -> str | None:
    """Returns the digest of the mobile-owned columns that the last run stored, if any."""
    return before.mark.get(OWNED_DIGEST) if before.mark else None


class TableRun:
    """The steps of one table, between the begin and the end of its two transactions."""

    #: What is being done, for messages.
    doing = "syncing"

    def __init__(
        self,
        what: TableExtract | TextRows,
        *,
        source: Cursor,
        target: Cursor,
        specs: Sequence[TableSpec],
        options: Options,
        tables: Mapping[str, Table],
    ) -> None:
        """`specs` are the declared ones; `options` name the time zone; `tables` are the target's (`tables_needed`)."""
        self.what = what
        self.spec = guards.with_limits(what.spec, options.limits)
        #: Rows over the limit, as the source has sent them.
        self.oversized: list[bytes] = []
        self.source = source
        self.target = target
        self.declared = self.specs = specs
        self.options = options
        self.tables = tables
        #: The last runs of the desktop's tables, as the target had them before the source's instant was fixed.
        self.runs: Sequence[RecordedRun] = ()
        self.started = time.monotonic()
        self.seconds: dict[str, float] = defaultdict(float)
        #: Seconds that the target took for next to no work.
        self.answered_in = 0.0
        #: What of the ledger cannot be read any more, in a sentence for people.
        self.set_aside = ""

    def look(self) -> ResolvedSpec:
        """Fix the instant at which the source is read, read its catalog, and resolve the specs."""
        with self.phase("look"):
            with self.reading():
                self.snapshot = read_snapshot(self.source)
            self.catalogs = self.read_catalogs()
            self.resolved = self.catalogs.resolution[self.what.spec.mobile]
            self.specs = self.catalogs.specs
            self.tables = self.catalogs.targets
            self.spec = guards.with_limits(self.resolved.spec, self.options.limits)
        if self.resolved.notes:
            logger.info("%s: resolved: %s.", self.spec.mobile, "; ".join(self.resolved.notes))
        return self.resolved

    def read_catalogs(self) -> Catalogs:
        """Read and resolve what the table needs."""
        given = {}
        if isinstance(self.what, TextRows):
            target = self.tables.get(self.what.spec.mobile)
            given = {self.what.spec.desktop: as_table(self.what, target)} if target else {}
        return read_catalogs(
            self.source,
            self.target,
            self.specs,
            only=self.what.spec,
            sources=given,
            targets=self.tables,
            at_desktop=self.reading,
        )

    def scope(self, office: Office) -> Scope:
        """What is this office's; other tables are as they stand at the target."""
        return self.catalogs.scope(office)

    def recall(self, office: Office) -> tuple[Office, state.TableState]:
        """Register the office, as the target spells its organisations, and read what is remembered of the table."""
        orgs = organisations_query(office, self.specs, self.tables)
        lookups = [one.table for one in self.spec.lookups]
        began = time.monotonic()
        with explain_cast_errors(self.specs):
            recalled = state.recall(
                self.target,
                office,
                self.spec.mobile,
                lookups,
                orgs=orgs,
                unscoped=self._unscoped,
                shared=self.resolved.route is Route.UNSCOPED,
            )
        self.answered_in = time.monotonic() - began
        return recalled

    def _unscoped(self) -> Sequence[str]:
        """The tables of all specs whose rows cannot be told apart by office."""
        return read_catalogs(self.source, self.target, self.declared, at_desktop=self.reading).resolution.unscoped

    def guarded(self) -> contextlib.AbstractContextManager[None]:
        """A guard inside that refuses ends the run."""
        return contextlib.nullcontext()

    def prepare(self, *, all_is_read: Callable[[], None], may_be_quiet: bool = False) -> Ready:
        """Read the source, and leave in staging what is fit to be merged; `look` comes first.

        `all_is_read` is called as soon as nothing more is wanted of the source. With `may_be_quiet` there may be
        nothing to merge, and no staging.
        """
        with self.phase("look"):
            snapshot = self.snapshot
            with self.reading():
                check_lineage(self.source, snapshot, self.runs)
                office = read_office(self.source, self.specs, snapshot.identity)
            office, before = self.recall(office)
            self.resolved.require()
            check_route(self.resolved, office)
            mapping = self._map(office)
            changes = self._change_set(mapping, before, snapshot)
            owned_digest = self._owned_digest(mapping, before, changes)
        ready = Ready(
            office=office,
            mapping=mapping,
            snapshot=snapshot,
            before=before,
            changes=changes,
            owned_digest=owned_digest,
            large_objects=self._find_large_objects(mapping),
        )
        with self.phase("compare"):
            differences = self._differences(ready, standing=may_be_quiet)
        if differences and may_be_quiet and is_quiet(differences, before):
            staged = Staged(read=differences.rows, alike=differences.alike)
            ready = dataclasses.replace(ready, staged=staged, echo=staged.read - staged.alike)
            return self._quiet(ready, differences.standing, all_is_read)
        with self.phase("stage"):
            if differences and may_be_scoped(differences, mapping, before):
                mapping = dataclasses.replace(mapping, merge_filter=differences.at_target)
            where = changes.where if differences is None else differences.at_source
            unreadable = self._find_unreadable(mapping, where)
            with contextlib.closing(self._rows(mapping, without_unreadable(mapping, where, unreadable))) as rows:
                first = next(rows, None)
                if (
                    first is None
                    and not (unreadable or self.oversized)
                    and may_be_quiet
                    and changes.mode is Mode.INCREMENTAL
                    and not before.quarantined
                ):
                    return self._quiet(ready, None, all_is_read)
                given = itertools.chain(() if first is None else (first,), rows)
                self._create_staging(mapping)
                staged = stage_rows(self.target, mapping, given)
            self._refuse_unreadable(mapping, where, unreadable, staged)
            refuse_oversized(self.target, mapping, self.oversized, staged)
            self._complete_staging(ready, mapping, staged, differences)
        if changes.mode is Mode.FULL:
            with self.guarded():
                guards.check_not_emptied(
                    self.spec,
                    read=staged.read,
                    read_before=before.rows_read,
                    allowed=self.what.allow_mass_delete,
                )
        with self.phase("check"):
            mapping, echo, edited, edited_keys = self._skip_echo(mapping, snapshot, differences)
            scope_in_doubt = differences is not None and differences.pulled
            if not scope_in_doubt:
                with self.reading():
                    # A long merge is no reason to hold the source's snapshot, nor to depend on its connection.
                    all_is_read()
            superseded = validation.settle_duplicates(self.target, mapping, refused=staged.refused)
            lookups = validation.check_rows(self.target, mapping)
        return dataclasses.replace(
            ready,
            mapping=mapping,
            staged=staged,
            echo=echo + staged.echo,
            edited=edited,
            edited_keys=edited_keys,
            superseded=superseded,
            lookups=lookups,
            scope_in_doubt=scope_in_doubt,
            all_staged=differences is None,
        )

    def _quiet(self, ready: Ready, standing: tuple[int, ...] | None, all_is_read: Callable[[], None]) -> Ready:
        """There is nothing to merge, and no staging."""
        with self.reading():
            all_is_read()
        return dataclasses.replace(ready, quiet=True, counted=Counted(*standing) if standing else None)

    def plan(self, ready: Ready) -> MergePlan:
        """Plan the merge and have the guards look at it.

        Raises `NarrowScopeError` where that takes rows that were not sent.
        """
        with self.phase("plan"):
            plan = plan_merge(self.target, ready.mapping, complete=ready.complete and ready.staged.read > 0)
            check_plan(
                self.target,
                ready.mapping,
                plan,
                self.what,
                grown=self._growth(ready),
                count_owned=lambda: self.count(ready).owned,
                guarded=self.guarded,
            )
            if ready.all_staged and mobile_owned_sql.columns_of(ready.mapping):
                (differing,) = one_row(self.target, mobile_owned_sql.count_differing(ready.mapping))
                plan = dataclasses.replace(plan, mobile_owned=differing)
            if ready.scope_in_doubt and (plan.update or plan.delete):
                check_scope(self.source, self.target, ready.mapping)
        return plan

    def _growth(self, ready: Ready) -> int | None:
        """By how many rows the source has grown since the last full run; None where that is not known."""
        if not ready.complete or ready.before.rows_read is None:
            return None
        return ready.staged.read - ready.before.rows_read

    def count(self, ready: Ready) -> Counted:
        """How many rows of the office the target table has now."""
        return Counted(*one_row(self.target, plan_sql.count_rows(ready.mapping)))

    @property
    def requested(self) -> Mode:
        """The mode that was asked for."""
        return self.what.mode if isinstance(self.what, TableExtract) else Mode.FULL

    def _map(self, office: Office) -> TableMapping:
        mapping = map_table(self.spec, sources=self.catalogs.sources, scope=self.scope(office))
        if mapping.ignored:
            logger.info("%s: columns only at the source stay behind: %s.", self.spec.mobile, ", ".join(mapping.ignored))
        with self.reading():
            mapping = prepare_source(self.source, mapping)
        return dataclasses.replace(mapping, reading=(self.options.timezone, self.options.encoding))

    def _change_set(self, mapping: TableMapping, before: state.TableState, snapshot: Snapshot) -> ChangeSet:
        if isinstance(self.what, TextRows):
            return ChangeSet(mode=Mode.FULL, reason="", where=sql.SQL("TRUE"))
        changes = change_set(mapping, self.requested, before, snapshot, overlap=self.options.overlap)
        if changes.reason:
            mark = "" if self.spec.category is Category.MASTERS else "[WARN] "
            logger.info("%s%s ran in full: %s.", mark, self.spec.mobile, changes.reason)
        return changes

    def _find_large_objects(self, mapping: TableMapping) -> tuple[str, ...]:
        if isinstance(self.what, TextRows):
            return ()
        with self.reading():
            return find_large_objects(self.source, mapping)

    def _owned_digest(self, mapping: TableMapping, before: state.TableState, changes: ChangeSet) -> str | None:
        """The digest of the mobile-owned columns at the source; an incremental run keeps that of the last full run."""
        if not (isinstance(self.what, TableExtract) and mobile_owned_sql.columns_of(mapping)):
            return None
        if changes.mode is Mode.INCREMENTAL:
            return owned_digest_of(before)
        with self.reading():
            return str(one_row(self.source, mobile_owned_sql.digest(mapping))[0])

    def _differences(self, ready: Ready, *, standing: bool) -> Differences | None:
        """What has to travel of a table that was synced before in the same form; None: all that is to be read."""
        before = ready.before
        settled = before.mark is not None and before.fingerprint == ready.mapping.fingerprint
        if ready.changes.mode is not Mode.FULL or not settled or not isinstance(self.what, TableExtract):
            return None
        wanted = self.options.transfer
        if ready.owned_digest != owned_digest_of(before):
            # Digests leave mobile-owned columns out; that the desktop has changed one shows among all rows.
            return None
        if wanted is Transfer.EVERYTHING or (wanted is Transfer.AUTO and self.answered_in < FAR):
            return None
        return find_differences(
            self.source,
            self.target,
            ready.mapping,
            rows=before.rows_read or 0,
            quarantined=before.quarantined,
            has_ledger=ready.snapshot.has_ledger,
            encoding=self.options.encoding,
            reading=self.reading,
            standing=standing,
        )

    def _rows(self, mapping: TableMapping, where: sql.Composable) -> Generator[bytes, None, None]:
        """The source's rows. To be closed before anything else is asked of it, also when the target fails halfway."""
        if isinstance(self.what, TextRows):
            yield from self.what.rows(extract_sql.source_names(mapping))
        else:
            read = self._read(extract_sql.copy_out(mapping, where))
            with contextlib.closing(split_oversized(read, mapping, self.oversized)) as rows:
                yield from rows

    def _find_unreadable(self, mapping: TableMapping, where: sql.Composable, *, images: bool = False) -> Unreadable:
        if isinstance(self.what, TextRows):
            return {}
        with self.reading():
            return find_unreadable(self.source, mapping, where, images=images)

    def _refuse_unreadable(
        self, mapping: TableMapping, where: sql.Composable, unreadable: Unreadable, staged: Staged
    ) -> None:
        if unreadable:
            with contextlib.closing(self._read(copy_out_unreadable(mapping, where, unreadable))) as rows:
                refuse_unreadable(self.target, mapping, rows, unreadable, staged)

    def _create_staging(self, mapping: TableMapping) -> None:
        tables = [staging_sql.create_staging(mapping), plan_sql.create_actions()]
        self.target.execute(sql.SQL(";\n").join(tables))

    def _complete_staging(
        self, ready: Ready, mapping: TableMapping, staged: Staged, differences: Differences | None
    ) -> None:
        """Count, and stage if need be, the rows that digests have shown to be equal."""
        if differences is not None:
            logger.info("%s: %d of %d rows had to be sent.", self.spec.mobile, staged.read, differences.rows)
            # What is neither sent nor there as the desktop's own came from phones.
            staged.echo = differences.rows - differences.alike - staged.read
            staged.read = differences.rows
            if mapping.merge_filter is differences.at_target:
                staged.alike = differences.alike
            else:
                self.target.execute(differential_sql.fill_staging(mapping, differences.at_target))
                staged.accepted += self.target.rowcount
        if staged.accepted >= WORTH_ANALYZING:
            self.target.execute(sql.SQL("ANALYZE {}").format(STAGING))
        logger.info(
            "%s: staged %d of %d rows read (%s, %.1f MB).",
            self.spec.mobile,
            staged.accepted,
            staged.read,
            ready.changes.mode.value,
            staged.bytes / 1e6,
        )

    def _skip_echo(
        self, mapping: TableMapping, snapshot: Snapshot, differences: Differences | None
    ) -> tuple[TableMapping, int, int, tuple[str, ...]]:
        """Remove what reverse sync brought; the mapping no longer looks at the rows on the target that it is a copy of.

        Returns (mapping, echoes, edits by the office, the first edited keys).
        """
        pulled = snapshot.has_ledger and isinstance(self.what, TableExtract) and self._has_pulled()
        if not pulled and not mapping.source_has_owner:
            return mapping, 0, 0, ()
        known = self._readable(mapping) if pulled else mapping
        entries = extract_sql.of_entries(known)
        self.target.execute(staging_sql.create_ledger())
        echo, edited, keys = 0, 0, tuple[str, ...]()
        if pulled:
            # Of the images too only those have to come whose rows do.
            where = sql.SQL("TRUE") if differences is None else differences.at_source
            where = without_unreadable(entries, where, self._find_unreadable(entries, where, images=True))
            with contextlib.closing(self._read(extract_sql.copy_out_ledger(entries, where))) as images:
                staged = stage_rows(self.target, entries, images, into=LEDGER)
            if staged.accepted >= WORTH_ANALYZING:
                self.target.execute(sql.SQL("ANALYZE {}").format(LEDGER))
            if mapping.target.primary_key and mapping.has_owner:
                mapping = mapping.with_merge_filter(echo_sql.not_in_ledger(mapping))
            pairing = dataclasses.replace(known, merge_filter=mapping.merge_filter)
            echo, edited, keys = validation.skip_echo(self.target, pairing)
        same, more, their_keys = validation.skip_without_entry(self.target, mapping)
        return mapping, echo + same, edited + more, (*keys, *their_keys)

    def _readable(self, mapping: TableMapping) -> TableMapping:
        """The mapping that leaves out what of the ledger the source cannot hold any more."""
        with self.reading():
            stored = check_stored_values(self.source, mapping.source, self.spec.desktop, sensitive=self.spec.sensitive)
        self.set_aside = stored.warning
        return pair_by_readable_columns(dataclasses.replace(mapping, source=stored.table), stored)

    def _has_pulled(self) -> bool:
        with self.reading():
            return bool(one_row(self.source, differential_sql.has_pulled_rows(), [self.spec.desktop])[0])

    def _read(self, copy_out: sql.Composed) -> Generator[bytes, None, None]:
        with self.reading():
            yield from read_rows(self.source, copy_out, encoding=self.options.encoding)

    def reading(self) -> contextlib.AbstractContextManager[None]:
        """Errors inside are the source's, not the target's."""
        return explained(f"{self.doing} table `{self.spec.mobile}`: reading the source")

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the time inside."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] += time.monotonic() - began
