"""The run of one table: its catalogs, its state, what to read, and the plan of its merge.

Shared by forward sync, which applies the plan, and the dry run and verify, which override some steps. Locks, writes to
the target and the stored state belong to `forward`, the counts of the result to `accounting`.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Generator, Mapping, Sequence

from psycopg import sql

from powerca_sync.engine import guards
from powerca_sync.engine.context import CatalogCaches, Catalogs, read_catalogs
from powerca_sync.engine.forward import mobile_owned_sql, plan_sql
from powerca_sync.engine.forward.differential import HASHES_ROWS, Differences, check_scope, find_differences
from powerca_sync.engine.forward.extract import ChangeSet, as_table, change_set
from powerca_sync.engine.forward.merge import MergePlan, plan_merge
from powerca_sync.engine.forward.plan_checks import check_plan
from powerca_sync.engine.forward.prepared import PreparedTable, TargetCounts
from powerca_sync.engine.mapping import (
    Office,
    ResolvedSpec,
    Route,
    Scope,
    TableMapping,
    explain_cast_errors,
    map_table,
    organisations_query,
    read_snapshot,
)
from powerca_sync.engine.phases import PhaseTimer
from powerca_sync.engine.postgres import Cursor, Table, explained, is_slow, one_row
from powerca_sync.engine.requests import Mode, TableExtract, TextRows
from powerca_sync.engine.result import Options, Transfer
from powerca_sync.engine.staging import check_stored_values, pair_by_readable_columns, prepare_source, read_rows
from powerca_sync.engine.state import RecordedRun, state
from powerca_sync.plain_text import one_line_logger
from powerca_sync.specs import Category, TableSpec

logger = one_line_logger(__name__)

#: Key of a stored watermark: the digest of the mobile-owned columns.
OWNED_DIGEST = "mobile_owned"


def owned_digest_of(before: state.TableState) -> str | None:
    """Returns the digest of the mobile-owned columns that the last run stored, if any."""
    return before.mark.get(OWNED_DIGEST) if before.mark else None


class TableRun:
    """The run of one table, between the begin and the end of its two transactions."""

    #: The activity, for messages.
    doing = "syncing"

    def __init__(
        self,
        request: TableExtract | TextRows,
        *,
        source: Cursor,
        target: Cursor,
        specs: Sequence[TableSpec],
        options: Options,
        tables: Mapping[str, Table],
        caches: CatalogCaches | None = None,
        before_writing: Callable[[], None] = lambda: None,
    ) -> None:
        """`specs` are the declared ones; `options` has the time zone; `tables` are the target's (`tables_needed`).

        `caches` and `before_writing` are those of `sync_forward`.
        """
        self.request = request
        self.spec = guards.with_limits(request.spec, options.limits)
        self.source = source
        self.target = target
        self.declared = self.specs = specs
        self.options = options
        self.tables = tables
        self._caches = caches
        self.before_writing = before_writing
        #: The last runs of the desktop's tables, read from the target before the source's snapshot was taken.
        self.runs: Sequence[RecordedRun] = ()
        self.timer = PhaseTimer()
        self.phase = self.timer.phase
        #: A warning about values of the ledger that can no longer be read; usually empty.
        self.ledger_warning = ""

    def look(self) -> ResolvedSpec:
        """Take the source's snapshot, read its catalog, and resolve the specs."""
        with self.phase("look"):
            with self.reading():
                self.snapshot = read_snapshot(self.source)
            self.catalogs = self.read_catalogs()
            self.resolved = self.catalogs.resolution[self.request.spec.mobile]
            self.specs = self.catalogs.specs
            self.tables = self.catalogs.targets
            self.spec = guards.with_limits(self.resolved.spec, self.options.limits)
        return self.resolved

    def read_catalogs(self) -> Catalogs:
        """Read the catalogs and resolve the specs that the table needs."""
        given = {}
        if isinstance(self.request, TextRows):
            target = self.tables.get(self.request.spec.mobile)
            given = {self.request.spec.desktop: as_table(self.request, target)} if target else {}
        return read_catalogs(
            self.source,
            self.target,
            self.specs,
            only=self.request.spec,
            sources=given,
            targets=self.tables,
            caches=self._caches,
            at_desktop=self.reading,
        )

    def scope(self, office: Office) -> Scope:
        """Returns the conditions that select the office's rows."""
        parents = [reference.parent for reference in self.spec.references if not reference.order_only]
        return dataclasses.replace(
            self.catalogs.scope(office),
            quarantined={parent: state.quarantined_rows(office, parent) for parent in parents},
        )

    def recall(self, office: Office) -> tuple[Office, state.TableState]:
        """Register the office with its organisations in the target's text form, and read the table's stored state."""
        orgs = organisations_query(office, self.specs, self.tables)
        lookups = [one.table for one in self.spec.lookups]
        with explain_cast_errors(self.specs):
            return state.recall(
                self.target,
                office,
                self.spec.mobile,
                lookups,
                relation=self.relation,
                orgs=orgs,
                unscoped=self._unscoped,
                before_writing=self.before_writing,
                shared=self.resolved.route is Route.UNSCOPED,
            )

    @property
    def relation(self) -> int | None:
        """The object id of the target's table, if it exists."""
        table = self.tables.get(self.spec.mobile)
        return None if table is None else table.oid

    def _unscoped(self) -> Sequence[str]:
        """Returns the names of all unscoped tables."""
        return read_catalogs(self.source, self.target, self.declared, at_desktop=self.reading).resolution.unscoped

    def guarded(self) -> contextlib.AbstractContextManager[None]:
        """Encloses each guard; here a refusal ends the run."""
        return contextlib.nullcontext()

    def expects_no_rows(self, prepared: PreparedTable) -> bool:
        """Returns whether the target is likely to have no row of the table yet: in the first run, if it is complete."""
        return prepared.before.rows_read is None and prepared.complete

    def plan(self, prepared: PreparedTable) -> MergePlan:
        """Plan the merge and check the plan by the guards.

        Raises:
            UnsafeTargetError: A guard refuses the plan.
            NarrowScopeError: The plan depends on rows that were not sent.
        """
        with self.phase("plan"):
            plan = plan_merge(
                self.target,
                prepared.mapping,
                complete=prepared.shows_deletes,
                all_staged=prepared.all_staged,
                known=prepared.before.target_mark,
                delete_foreign=self.request.delete_foreign,
                first=self.expects_no_rows(prepared),
            )
            check_plan(
                self.target,
                prepared.mapping,
                plan,
                self.request,
                grown=self._growth(prepared),
                count_owned=lambda: self.count(prepared).owned,
                guarded=self.guarded,
            )
            if prepared.all_staged and mobile_owned_sql.columns_of(prepared.mapping):
                (differing,) = one_row(self.target, mobile_owned_sql.count_differing(prepared.mapping))
                plan = dataclasses.replace(plan, mobile_owned=differing)
            if prepared.scope_in_doubt and (plan.update or plan.delete):
                check_scope(self.source, self.target, prepared.mapping)
        return plan

    def _growth(self, prepared: PreparedTable) -> int | None:
        """Returns the number of rows by which the source has grown since the last full run; None if unknown."""
        if not prepared.complete or prepared.before.rows_read is None:
            return None
        return prepared.staged.read - prepared.before.rows_read

    def count(self, prepared: PreparedTable) -> TargetCounts:
        """Count the office's rows of the target table."""
        return TargetCounts(*one_row(self.target, plan_sql.count_rows(prepared.mapping)))

    @property
    def requested(self) -> Mode:
        """The requested mode."""
        return self.request.mode if isinstance(self.request, TableExtract) else Mode.FULL

    def map_table(self, office: Office) -> TableMapping:
        """Map the source's table to the target's, and prepare the source for reading."""
        mapping = map_table(self.spec, sources=self.catalogs.sources, scope=self.scope(office))
        if mapping.ignored:
            logger.info(
                "%s: columns that only the source has are not synced: %s.", self.spec.mobile, ", ".join(mapping.ignored)
            )
        with self.reading():
            mapping = prepare_source(self.source, mapping)
        return dataclasses.replace(
            mapping,
            reading=(self.options.timezone, self.options.encoding),
            hashes_text=not self.options.typed_hashes or self.target.connection.info.server_version < HASHES_ROWS,
        )

    def find_changes(self, mapping: TableMapping, before: state.TableState) -> ChangeSet:
        """Returns the change set of the requested mode."""
        if isinstance(self.request, TextRows):
            return ChangeSet(mode=Mode.FULL, reason="", where=sql.SQL("TRUE"))
        changes = change_set(mapping, self.requested, before, self.snapshot, overlap=self.options.overlap)
        # Masters always do.
        if changes.reason and self.spec.category is not Category.MASTERS:
            logger.info("%s ran in full: %s.", self.spec.mobile, changes.reason)
        return changes

    def digest_owned(self, mapping: TableMapping, before: state.TableState, changes: ChangeSet) -> str | None:
        """Returns the digest of the source's mobile-owned columns; in an incremental run that of the last full run."""
        if not (isinstance(self.request, TableExtract) and mobile_owned_sql.columns_of(mapping)):
            return None
        if changes.mode is Mode.INCREMENTAL:
            return owned_digest_of(before)
        with self.reading():
            return str(one_row(self.source, mobile_owned_sql.digest(mapping))[0])

    def find_differences(self, prepared: PreparedTable, *, count: bool) -> Differences | None:
        """Compare the digests of both tables; returns None if all rows of the change set are to be sent.

        With `count`, the target's rows are counted in the same round trip.
        """
        before = prepared.before
        settled = before.mark is not None and before.fingerprint == prepared.mapping.fingerprint
        if prepared.changes.mode is not Mode.FULL or not settled or not isinstance(self.request, TableExtract):
            return None
        wanted = self.options.transfer
        if prepared.owned_digest != owned_digest_of(before):
            # The digests do not include mobile-owned columns.
            return None
        if wanted is Transfer.EVERYTHING or (wanted is Transfer.AUTO and not self.is_far()):
            return None
        return find_differences(
            self.source,
            self.target,
            prepared.mapping,
            rows=before.rows_read or 0,
            quarantined=before.quarantined,
            has_ledger=prepared.snapshot.has_ledger,
            encoding=self.options.encoding,
            reading=self.reading,
            count=count,
        )

    def is_far(self) -> bool:
        """Returns whether comparing digests first takes less time than sending all rows: one line is slow."""
        return is_slow(self.target.connection) or is_slow(self.source.connection)

    def map_images(self, mapping: TableMapping) -> TableMapping:
        """Returns the mapping for ledger images, without values that the source can no longer read."""
        with self.reading():
            stored = check_stored_values(
                self.source, mapping.source, self.spec.phone_table, sensitive=self.spec.sensitive
            )
        self.ledger_warning = stored.warning
        return pair_by_readable_columns(dataclasses.replace(mapping, source=stored.table), stored)

    def read(self, copy_out: sql.Composed) -> Generator[bytes, None, None]:
        """Execute a COPY at the source; yields its rows."""
        with self.reading():
            yield from read_rows(self.source, copy_out, encoding=self.options.encoding)

    def reading(self) -> contextlib.AbstractContextManager[None]:
        """Encloses statements at the source, so that messages say which database failed."""
        return explained(f"{self.doing} table `{self.spec.mobile}`: reading the source")
