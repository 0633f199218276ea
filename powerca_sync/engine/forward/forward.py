"""Sync one table from the source to the target, in one transaction on the target.

1. Lock the table against other runs of the office, then take the source's snapshot.
2. Resolve the spec against both catalogs, and choose the change set.
3. COPY into staging; skip echoes, and quarantine rows that do not fit or have a dangling reference.
4. Plan the merge, check the plan by the guards, apply it.
5. Account for every row, store watermark and quarantine, commit. On any failure the transaction is rolled back.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psycopg

from powerca_sync.engine.context import CatalogCaches
from powerca_sync.engine.forward import foreign_rows, plan_sql, row_versions_sql
from powerca_sync.engine.forward.accounting import account, nothing_to_sync
from powerca_sync.engine.forward.actions import OvertakenError
from powerca_sync.engine.forward.commit_check import verify_written_rows
from powerca_sync.engine.forward.differential import NarrowScopeError
from powerca_sync.engine.forward.merge import MergePlan, MergeResult, apply_merge
from powerca_sync.engine.forward.prepare import prepare_table
from powerca_sync.engine.forward.prepared import PreparedTable, TargetCounts
from powerca_sync.engine.forward.table_run import OWNED_DIGEST, TableRun
from powerca_sync.engine.mapping import Route, read_identity, read_snapshot, tables_needed
from powerca_sync.engine.postgres import (
    CatalogReading,
    Connection,
    Query,
    SwallowedError,
    Timeouts,
    execute_and_commit,
    execute_batch,
    explained,
    fetch_batch,
    transaction,
)
from powerca_sync.engine.requests import TableExtract, TextRows
from powerca_sync.engine.result import ForwardResult, Options, Transfer
from powerca_sync.engine.staging import NO_REJECTIONS, Rejected, parse_rejections, rejection_queries
from powerca_sync.engine.state import RecordedRun, TargetMark, guide, lineage, locks, preparation, state
from powerca_sync.errors import ContentionError, SchemaMismatchError, SyncError
from powerca_sync.plain_text import one_line_logger
from powerca_sync.specs import TableSpec

logger = one_line_logger(__name__)

#: Attempts to plan and apply a merge while others write the same rows.
ATTEMPTS = 5
#: The savepoint before each attempt.
_SAVEPOINT: Query = ("SAVEPOINT powerca_merge", None)


def sync_forward(
    request: TableExtract | TextRows,
    *,
    source: Connection,
    target: Connection,
    specs: Sequence[TableSpec],
    options: Options | None = None,
    caches: CatalogCaches | None = None,
    before_writing: Callable[[], None] | None = None,
) -> ForwardResult:
    """Sync one table's rows to the target, and commit there.

    `caches` keep the catalogs from one table of a run to the next. `before_writing` is called before anything is
    written that outlives the transaction or that locks a row, the record of a failure included; if it raises, nothing
    is. Writes nothing to the source but a token. Leaves both connections usable, outside any transaction.

    Raises:
        SyncError: The target is unchanged.
    """
    options = options or Options()
    spec = request.spec
    caches = caches or CatalogCaches.build([spec], specs)
    before_writing = before_writing or _at_once
    doing = f"syncing table `{spec.mobile}`"
    try:
        with explained(doing, source, target):
            with explained(f"{doing}: reading the source"):
                identity, zone = read_identity(source)
            timezone = options.timezone or zone
            options = dataclasses.replace(options, timezone=timezone)
            has_state = False
            while True:
                try:
                    result = _sync_in_transaction(
                        *(request, source, target, specs, options, identity, timezone, caches, before_writing),
                        has_state=has_state,
                    )
                except NarrowScopeError:
                    options = dataclasses.replace(options, transfer=Transfer.EVERYTHING)
                else:
                    if result is not None:
                        return result
                    before_writing()
                    preparation.prepare_target(target)
                    has_state = True
    except SyncError as exc:
        before_writing()
        if not target.closed:
            state.record_failure(target, spec.mobile, str(exc), office=_identity(source))
        raise


def _at_once() -> None:
    """Nothing else is to be written first."""


def _identity(source: Connection) -> str | None:
    """Returns the desktop's identity; None if the desktop does not respond."""
    if source.closed:
        return None
    try:
        with transaction(source, timezone="UTC", timeouts=Timeouts(statement=10, lock=2), snapshot=True) as cursor:
            return read_snapshot(cursor).identity
    except (psycopg.Error, SyncError):
        return None


def _sync_in_transaction(
    request: TableExtract | TextRows,
    source: Connection,
    target: Connection,
    specs: Sequence[TableSpec],
    options: Options,
    identity: str,
    timezone: str,
    caches: CatalogCaches,
    before_writing: Callable[[], None],
    *,
    has_state: bool,
) -> ForwardResult | None:
    """Sync in one transaction of each database.

    Does nothing and returns None if the target's state tables are missing, unless `has_state` says that they were
    created.
    """
    name = request.spec.mobile
    reading = CatalogReading(caches.target, tables_needed(request.spec, specs))
    first = (
        locks.try_table(request.spec, specs, identity),
        preparation.state_exists(),
        guide.guide_columns(),
        lineage.recorded_runs(identity),
        *reading.queries,
    )
    with contextlib.ExitStack() as target_transaction, contextlib.ExitStack() as source_transaction:
        try:
            target_cursor = target_transaction.enter_context(
                transaction(target, timezone=timezone, timeouts=options.timeouts, first=first)
            )
        except lineage.NOT_PREPARED:
            if has_state:
                raise
            return None
        [(locked,)], [(complete,)], [(guide_columns,)], runs, *found = fetch_batch(target_cursor)
        if not (complete or has_state):
            return None
        if not locked:
            locks.acquire_table(target_cursor, request.spec, specs, identity, wait=options.timeouts.table)
            (runs,) = execute_batch(target_cursor, lineage.recorded_runs(identity))
        with explained(f"syncing table `{name}`: reading the source"):
            source_cursor = source_transaction.enter_context(
                transaction(source, timezone=timezone, timeouts=options.timeouts, stable=True)
            )
        run = TableRun(
            request,
            source=source_cursor,
            target=target_cursor,
            specs=specs,
            options=options,
            tables=reading.finish(target_cursor, found),
            caches=caches,
            before_writing=before_writing,
        )
        run.runs = tuple(RecordedRun(*row) for row in runs)
        return _sync(run, guide_columns, release_source=source_transaction.close)


def _sync(run: TableRun, guide_columns: Sequence[str], *, release_source: Callable[[], None]) -> ForwardResult:
    """Do all steps between BEGIN and COMMIT."""
    if run.look().absent:
        return nothing_to_sync(run)
    prepared = prepare_table(run, release_source=release_source, allow_noop=True)
    with run.timer.paused():
        run.before_writing()
    plan, merged, rejected, counted, known = MergePlan(), MergeResult(), NO_REJECTIONS, prepared.counted, None
    if not prepared.noop:
        writes, before = _begin_merge(run, prepared)
        plan, merged = _merge(run, prepared)
        if run.options.verify_on_commit:
            with run.phase("verify"):
                verify_written_rows(run.target, prepared.mapping)
        with run.phase("record"):
            rejected, counted, known = _count_after(run, prepared, merged, writes=writes, before=before)
    with run.phase("record"):
        mark = foreign_rows.next_mark(run.target, prepared, plan, known)
        # The token is issued in a transaction of its own on the source.
        with run.reading():
            release_source()
        token = lineage.issue_token(run.source.connection, run.runs)
        result = account(run, prepared, plan, merged, rejected=rejected, counted=counted)
        line = guide.guide_record(
            guide_columns,
            run.spec.mobile,
            records=result.extracted - result.quarantined,
            milliseconds=run.timer.milliseconds,
        )
        refusal = execute_and_commit(run.target, *_records(run, prepared, result, token, mark), optional=line)
        if refusal:
            logger.warning("[WARN] `_sync_metadata` has not been written for %s: %s.", run.spec.mobile, refusal)
    for sentence in result.warnings:
        logger.warning("[WARN] %s: %s.", run.spec.mobile, sentence)
    for sentence in result.remarks:
        logger.info("%s: %s.", run.spec.mobile, sentence)
    return dataclasses.replace(result, seconds=run.timer.seconds)


def _begin_merge(run: TableRun, prepared: PreparedTable) -> tuple[int, TargetCounts | None]:
    """Set the savepoint. Returns (rows written by the session so far, the target's rows; None in an incremental run).

    Counts before the merge locks any row.
    """
    queries: list[Query] = [_SAVEPOINT, (row_versions_sql.count_writes(prepared.mapping), None)]
    if prepared.complete and not prepared.counted:
        queries.append((plan_sql.count_rows(prepared.mapping), None))
    with run.phase("plan"):
        _, [(writes,)], *counts = execute_batch(run.target, *queries)
    return writes, TargetCounts(*counts[0][0]) if counts else prepared.counted


def _merge(run: TableRun, prepared: PreparedTable) -> tuple[MergePlan, MergeResult]:
    """Plan and apply the merge, and again if others write the same rows meanwhile."""
    for attempt in range(ATTEMPTS):
        try:
            plan = run.plan(prepared)
            with run.phase("apply"):
                known = len(prepared.before.quarantined)
                return plan, apply_merge(run.target, prepared.mapping, plan, known=known, again=attempt > 0)
        except SwallowedError as exc:
            raise SchemaMismatchError(
                f"Table `{run.spec.mobile}`: {exc}. Nothing was written. Have the trigger or rule write the rows that "
                "the sync sends, or raise an error for those that it does not want."
            ) from exc
        except OvertakenError as exc:
            run.target.execute("ROLLBACK TO SAVEPOINT powerca_merge")
            logger.info("%s: other sessions wrote the same rows (%s); planned again.", run.spec.mobile, exc)
    raise ContentionError(
        f"Table `{run.spec.mobile}`: other writers changed the same rows {ATTEMPTS} times in a row. "
        "Nothing was written; the run is retried."
    )


def _count_after(
    run: TableRun, prepared: PreparedTable, merged: MergeResult, *, writes: int, before: TargetCounts | None
) -> tuple[Rejected, TargetCounts | None, foreign_rows.KnownVersions | None]:
    """Returns the quarantined rows, the target's rows now, if they were counted `before`, and the known row versions.

    The rows are counted again if the session has written more than the merge since it had done `writes`, or if the
    merge may have taken over unowned rows.
    """
    count: Query = (row_versions_sql.count_writes(prepared.mapping), None)
    versions = foreign_rows.known_versions(prepared, merged, writes=writes)
    summary, samples, [(now,)], *known = execute_batch(run.target, *rejection_queries(), count, *versions)
    added = merged.inserted - merged.deleted
    counted = before and dataclasses.replace(before, rows=before.rows + added, owned=before.owned + added)
    if now - writes != merged.written or (before and before.other and merged.updated):
        counted = run.count(prepared)
    return parse_rejections(summary, samples), counted, known[0][0] if known else None


def _watermark(prepared: PreparedTable) -> dict[str, Any]:
    owned = {} if prepared.owned_digest is None else {OWNED_DIGEST: prepared.owned_digest}
    return prepared.snapshot.mark(prepared.mapping) | owned


def _records(
    run: TableRun, prepared: PreparedTable, result: ForwardResult, token: str | None, target_mark: TargetMark | None
) -> Iterator[Query]:
    """Yields the statements that store quarantine, watermark and the run."""
    if result.rejections or prepared.before.quarantined:
        yield state.quarantine_record(prepared.office, run.spec.mobile)
    yield state.run_record(
        prepared.office,
        run.spec.mobile,
        mark=_watermark(prepared) if isinstance(run.request, TableExtract) else None,
        fingerprint=prepared.mapping.fingerprint,
        rows_read=result.extracted if prepared.complete else None,
        mode=result.mode_effective.value,
        lookups=prepared.before.versions,
        changed=result.written > 0,
        unscoped=run.resolved.route is Route.UNSCOPED,
        records=result.extracted - result.quarantined,
        milliseconds=run.timer.milliseconds,
        token=token,
        target_mark=target_mark,
    )
