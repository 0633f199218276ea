"""The dry run of a forward run, table by table.

All tables are planned in one transaction on each database, which is rolled back. Later tables see a planned table as it
would be after the run: references, lookups and offices resolve against a temporary table of its future rows.
Locks, claims, writes and records nothing on the target and evaluates no default there: a role that may read and create
temporary tables is enough.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

import psycopg
from psycopg import sql
from typing_extensions import override

from powerca_sync.engine.context import Catalogs, read_catalogs
from powerca_sync.engine.dry_run import preview_sql
from powerca_sync.engine.dry_run.table_plan import Change, Prospect, TablePlan
from powerca_sync.engine.dry_run.virtual_tables import PlannedTables
from powerca_sync.engine.forward import (
    MergePlan,
    MergeResult,
    NarrowScopeError,
    PreparedTable,
    TableRun,
    TargetCounts,
    account,
    nothing_to_sync,
    plan_sql,
    prepare_table,
)
from powerca_sync.engine.mapping import Office, Scope, TableMapping, cast_organisations
from powerca_sync.engine.postgres import (
    Connection,
    Cursor,
    explained,
    one_row,
    server_timezone,
    transaction,
)
from powerca_sync.engine.requests import TableExtract
from powerca_sync.engine.result import ForwardResult, Options, Transfer
from powerca_sync.engine.staging import read_rejections
from powerca_sync.engine.state import claims, preparation, read_recorded_runs, state
from powerca_sync.errors import SyncError, UnsafeTargetError
from powerca_sync.specs import TableSpec, in_order, needed_tables

#: Rows of each kind in the plan.
SAMPLES = 5
#: What no dry run can foresee, because it shows only when a row is written.
UNFORESEEN = (
    "Not foreseen: what a trigger of the target refuses, changes or writes elsewhere, rows that break a unique or "
    "exclusion rule of the target which is not the table's key, and what others write meanwhile. Such rows of a run "
    "go to quarantine."
)


def plan_forward(
    wanted: Sequence[TableExtract],
    *,
    source: Connection,
    target: Connection,
    specs: Sequence[TableSpec],
    options: Options | None = None,
) -> tuple[TablePlan, ...]:
    """Returns what `sync_forward` would do now for each of the tables, parents first.

    A table that cannot be planned is an error of its own, and so are those that depend on it. Raises a `SyncError`
    if no table can be planned, such as after a lost connection. Changes nothing in either database.
    """
    options = options or Options()
    plans: tuple[TablePlan, ...] = ()
    with explained("planning the run"):
        timezone = options.timezone or server_timezone(source)
        options = dataclasses.replace(options, timezone=timezone)
        with transaction(target, timezone=timezone, timeouts=options.timeouts, stable=True) as target_cursor:
            with transaction(source, timezone=timezone, timeouts=options.timeouts, stable=True) as source_cursor:
                plans = tuple(_Planner(wanted, source_cursor, target_cursor, in_order(specs), options).plans())
            raise psycopg.Rollback
    return plans


class _Planner:
    """Plans one table after the other."""

    def __init__(
        self,
        wanted: Sequence[TableExtract],
        source: Cursor,
        target: Cursor,
        specs: Sequence[TableSpec],
        options: Options,
    ) -> None:
        by_name = {one.spec.mobile: one for one in wanted}
        self.wanted = [by_name[spec.mobile] for spec in specs if spec.mobile in by_name]
        self.source = source
        self.target = target
        self.specs = specs
        self.options = options
        with explained("planning the run: reading the source"):
            self.catalogs = read_catalogs(source, target, specs)
        resolved = self.catalogs.resolution
        self.earlier = PlannedTables(
            target,
            wanted=[resolved[one.spec.mobile].spec for one in self.wanted],
            specs=self.catalogs.specs,
            tables=self.catalogs.targets,
        )

    def plans(self) -> Iterator[TablePlan]:
        left_out: set[str] = set()
        for what in self.wanted:
            resolved = self.catalogs.resolution[what.spec.mobile]
            missing = [name for name in needed_tables(resolved.spec) if name in left_out]
            if missing:
                error = f"it needs the rows of {', '.join(missing)}"
                plan = TablePlan(table=what.spec.mobile, prospect=Prospect.SKIPPED, error=error)
            else:
                plan = self._plan_or_error(what)
            if plan.prospect is not Prospect.READY:
                left_out.add(plan.table)
            yield plan

    def _plan_or_error(self, what: TableExtract) -> TablePlan:
        try:
            try:
                return self._plan_in_savepoints(what, self.options)
            except NarrowScopeError:
                whole = dataclasses.replace(self.options, transfer=Transfer.EVERYTHING)
                return self._plan_in_savepoints(what, whole)
        except UnsafeTargetError as exc:
            return TablePlan(table=what.spec.mobile, prospect=Prospect.REFUSED, refusals=(str(exc),))
        except SyncError as exc:
            if self.source.connection.closed or self.target.connection.closed:
                raise
            return TablePlan(table=what.spec.mobile, prospect=Prospect.FAILED, error=str(exc), kind=type(exc).__name__)

    def _plan_in_savepoints(self, what: TableExtract, options: Options) -> TablePlan:
        with (
            explained(f"planning table `{what.spec.mobile}`"),
            # A failed statement aborts the transaction, but not the part before a savepoint. The copy of a view belongs
            # to one table.
            self.source.connection.transaction(force_rollback=True),
            self.target.connection.transaction(),
        ):
            return self._plan(what, options)

    def _plan(self, what: TableExtract, options: Options) -> TablePlan:
        self.earlier.check_foreseeable(what.spec)
        run = PlannedRun(
            what,
            source=self.source,
            target=self.target,
            specs=self.specs,
            options=options,
            catalogs=self.catalogs,
            earlier=self.earlier,
        )
        resolved = run.look()
        run.runs = read_recorded_runs(self.target, run.snapshot.identity)
        if resolved.absent:
            return TablePlan(table=what.spec.mobile, prospect=Prospect.READY, foreseen=nothing_to_sync(run))
        prepared = prepare_table(run, release_source=lambda: None)
        plan = run.plan(prepared)
        foreseen = foresee(run, prepared, plan)
        shown = TablePlan(
            table=what.spec.mobile,
            prospect=Prospect.REFUSED if run.refusals else Prospect.READY,
            foreseen=foreseen,
            changes=count_changes(self.target, prepared.mapping) if plan.update else {},
            inserts=self._sample(prepared.mapping, preview_sql.sample_inserts) if plan.insert else (),
            updates=self._sample(prepared.mapping, preview_sql.sample_updates) if plan.update else (),
            deletes=self._sample(prepared.mapping, preview_sql.sample_deletes) if plan.delete else (),
            refusals=tuple(run.refusals),
        )
        if not run.refusals:
            self.earlier.remember(prepared.mapping, foreseen)
        self.target.execute(preview_sql.drop_working_tables())
        return shown

    def _sample(
        self, mapping: TableMapping, statement: Callable[[TableMapping, int], sql.Composed]
    ) -> tuple[Change, ...]:
        return sample(self.target, mapping, statement, SAMPLES)


def count_changes(target: Cursor, mapping: TableMapping) -> Mapping[str, int]:
    """Returns the columns that planned updates change, and in how many rows."""
    counts = one_row(target, preview_sql.count_changes(mapping))
    by_name = {column.name: count for column, count in zip(preview_sql.compared(mapping), counts, strict=True)}
    return {name: count for name, count in by_name.items() if count}


def sample(
    target: Cursor, mapping: TableMapping, statement: Callable[[TableMapping, int], sql.Composed], most: int
) -> tuple[Change, ...]:
    """Returns the first planned actions of one kind; `statement` selects them."""
    target.execute(statement(mapping, most))
    return tuple(Change.of(row, mapping.target.columns) for row in target.fetchall())


def foresee(run: TableRun, prepared: PreparedTable, plan: MergePlan) -> ForwardResult:
    """Returns what the run would report if the target accepts the whole plan."""
    merged = MergeResult(
        inserted=plan.insert,
        updated=plan.update,
        deleted=plan.delete,
        kept_referenced=plan.referenced,
        held=plan.ambiguous,
    )
    counted = _count_afterwards(run, prepared, plan) if prepared.complete else None
    return account(run, prepared, plan, merged, rejected=read_rejections(run.target), counted=counted)


def _count_afterwards(run: TableRun, prepared: PreparedTable, plan: MergePlan) -> TargetCounts:
    now = run.count(prepared)
    (taken_over,) = one_row(run.target, preview_sql.count_taken_over(prepared.mapping)) if plan.update else (0,)
    return dataclasses.replace(
        now,
        rows=now.rows + plan.insert - plan.delete,
        owned=now.owned + plan.insert + taken_over - plan.delete,
        other=now.other - taken_over,
    )


class PlannedRun(TableRun):
    """A run that sees other tables as they will be, remembers nothing, and goes on where a guard would end it."""

    doing = "planning"

    def __init__(
        self,
        what: TableExtract,
        *,
        source: Cursor,
        target: Cursor,
        specs: Sequence[TableSpec],
        options: Options,
        catalogs: Catalogs,
        earlier: PlannedTables | None = None,
    ) -> None:
        """`earlier` are the tables that were planned before in the same transaction."""
        super().__init__(what, source=source, target=target, specs=specs, options=options, tables=catalogs.targets)
        self.catalogs = catalogs
        self.earlier = earlier or PlannedTables(target, wanted=(), specs=catalogs.specs, tables=catalogs.targets)
        self.refusals: list[str] = []
        #: The target has the state tables.
        self.has_state = False

    @override
    def read_catalogs(self) -> Catalogs:
        return self.catalogs

    @override
    def scope(self, office: Office) -> Scope:
        scope = super().scope(office)
        stored = scope.quarantined if self.has_state else {}
        return dataclasses.replace(scope, planned=self.earlier.rows, quarantined={**stored, **self.earlier.quarantined})

    @override
    def recall(self, office: Office) -> tuple[Office, state.TableState]:
        claims.check_organisations(office)
        office = cast_organisations(self.target, office, self.specs, self.tables)
        self.has_state = preparation.has_state(self.target)
        if not self.has_state:
            return office, state.TableState()
        office = claims.check_registration(self.target, office, unscoped=self._unscoped)
        lookups = [lookup.table for lookup in self.spec.lookups]
        before = state.read_state(self.target, office, self.spec.mobile, lookups, relation=self.relation)
        return office, self.earlier.as_remembered_then(before, lookups)

    @override
    def plan(self, prepared: PreparedTable) -> MergePlan:
        plan = super().plan(prepared)
        if plan.unrecorded:
            # The report shows samples of the recorded actions.
            self.target.execute(plan_sql.plan_inserts())
        return plan

    @override
    def _unscoped(self) -> Sequence[str]:
        return self.catalogs.resolution.unscoped

    @override
    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        try:
            yield
        except UnsafeTargetError as exc:
            self.refusals.append(str(exc))
