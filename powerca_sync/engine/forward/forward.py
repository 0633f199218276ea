"""One table from the source to the target, in one transaction there.

1. Lock the table against other runs, then take the source's snapshot: one instant for everything read from it.
2. Hold both catalogs and the spec together; choose the change set.
3. COPY into staging; set aside what came from phones, what does not fit and what leads nowhere.
4. Plan the merge, let the guards look at it, carry it out.
5. Account for every row, store mark and quarantine, commit. Whatever fails, the target is as it was.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psycopg

from powerca_sync.engine.forward import plan_sql
from powerca_sync.engine.forward.accounting import account, nothing_to_sync
from powerca_sync.engine.forward.actions import OvertakenError
from powerca_sync.engine.forward.commit_check import verify_written_rows
from powerca_sync.engine.forward.differential import NarrowScopeError
from powerca_sync.engine.forward.merge import MergePlan, MergeResult, apply_merge
from powerca_sync.engine.forward.prepared import Counted, Ready
from powerca_sync.engine.forward.table_run import OWNED_DIGEST, TableRun
from powerca_sync.engine.mapping import Route, read_identity, read_snapshot, tables_needed
from powerca_sync.engine.postgres import (
    Connection,
    Query,
    SwallowedError,
    Timeouts,
    catalog_query,
    execute_batch,
    execute_with_optional,
    explained,
    fetch_batch,
    parse_catalog,
    transaction,
)
from powerca_sync.engine.requests import TableExtract, TextRows
from powerca_sync.engine.result import ForwardResult, Options, Transfer
from powerca_sync.engine.staging import NO_REJECTIONS, Rejected, parse_rejections, rejection_queries
from powerca_sync.engine.state import RecordedRun, lineage, state
from powerca_sync.errors import ContentionError, DatabaseUnavailableError, SchemaMismatchError, SyncError
from powerca_sync.plain_text import one_line_logger
from powerca_sync.tables import TableSpec

logger = one_line_logger(__name__)

#: How often a merge is planned anew because the app wrote in between.
ATTEMPTS = 5
#: What such a merge goes back to.
_SAVEPOINT: Query = ("SAVEPOINT powerca_merge", None)


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
            with explained(f"{doing}: reading the source"):
                identity, zone = read_identity(source)
            timezone = options.timezone or zone
            options = dataclasses.replace(options, timezone=timezone)
            prepared = False
            while True:
                try:
                    result = _in_one_transaction(
                        what, source, target, specs, options, identity, timezone, prepared=prepared
                    )
                except NarrowScopeError:
                    options = dataclasses.replace(options, transfer=Transfer.EVERYTHING)
                else:
                    if result is not None:
                        return result
                    state.prepare_target(target)
                    prepared = True
    except SyncError as exc:
        if not target.closed:
            state.record_failure(target, spec.mobile, str(exc), office=_identity(source))
        raise
    except ValueError as exc:
        # The driver's answer to a connection that a pooler cuts in the middle of a COPY.
        if not (source.closed or target.closed):
            raise
        raise DatabaseUnavailableError(
            f"{doing} failed: the connection was lost ({exc}). Nothing was written; the run is retried."
        ) from exc


def _identity(source: Connection) -> str | None:
    """Who the desktop is; None if it does not answer."""
    if source.closed:
        return None
    try:
        with transaction(source, timezone="UTC", timeouts=Timeouts(statement=10, lock=2), snapshot=True) as cursor:
            return read_snapshot(cursor).identity
    except (psycopg.Error, SyncError):
        return None


def _in_one_transaction(
    what: TableExtract | TextRows,
    source: Connection,
    target: Connection,
    specs: Sequence[TableSpec],
    options: Options,
    identity: str,
    timezone: str,
    *,
    prepared: bool,
) -> ForwardResult | None:
    """Returns None where the target has yet to be prepared, unless that was tried; nothing was done then."""
    name = what.spec.mobile
    wanted = tables_needed(what.spec, specs)
    first = (
        state.try_lock(name),
        state.is_prepared(),
        state.guide_columns(),
        catalog_query(wanted),
        lineage.recorded_runs(identity),
    )
    with contextlib.ExitStack() as target_end, contextlib.ExitStack() as snapshot:
        try:
            target_cursor = target_end.enter_context(
                transaction(target, timezone=timezone, timeouts=options.timeouts, first=first)
            )
        except lineage.NOT_PREPARED:
            if prepared:
                raise
            return None
        [(locked,)], [(complete,)], [(guide_columns,)], found, runs = fetch_batch(target_cursor)
        if not (complete or prepared):
            return None
        if not locked:
            state.lock(target_cursor, name, f"Table `{name}` is being synced", wait=options.timeouts.table)
            (runs,) = execute_batch(target_cursor, lineage.recorded_runs(identity))
        with explained(f"syncing table `{name}`: reading the source"):
            source_cursor = snapshot.enter_context(
                transaction(source, timezone=timezone, timeouts=options.timeouts, stable=True)
            )
        tables = parse_catalog(wanted, found)
        run = TableRun(what, source=source_cursor, target=target_cursor, specs=specs, options=options, tables=tables)
        run.runs = tuple(RecordedRun(*row) for row in runs)
        return _carry_out(run, guide_columns, all_is_read=snapshot.close)


def _carry_out(run: TableRun, guide_columns: Sequence[str], *, all_is_read: Callable[[], None]) -> ForwardResult:
    """All steps between the begin and the commit."""
    if run.look().absent:
        return nothing_to_sync(run)
    ready = run.prepare(all_is_read=all_is_read, may_be_quiet=True)
    plan, merged, rejected, counted = MergePlan(), MergeResult(), NO_REJECTIONS, ready.counted
    if not ready.quiet:
        writes, before = _begin_merge(run, ready)
        plan, merged = _merge(run, ready)
        if run.options.verify_on_commit:
            with run.phase("verify"):
                verify_written_rows(run.target, ready.mapping)
        with run.phase("record"):
            rejected, counted = _look_back(run, ready, merged, writes=writes, before=before)
    with run.phase("record"):
        # The token is issued in another transaction than the one that reads.
        with run.reading():
            all_is_read()
        token = lineage.issue_token(run.source.connection, run.runs)
        result = account(run, ready, plan, merged, rejected=rejected, counted=counted)
        line = state.guide_record(
            guide_columns,
            run.spec.mobile,
            records=result.extracted - result.quarantined,
            milliseconds=_milliseconds(run),
        )
        refusal = execute_with_optional(run.target, *_records(run, ready, result, token), optional=line)
        if refusal:
            logger.warning("[WARN] `_sync_metadata` has not been written for %s: %s.", run.spec.mobile, refusal)
    for sentence in result.warnings:
        logger.warning("[WARN] %s: %s.", run.spec.mobile, sentence)
    for sentence in result.remarks:
        logger.info("%s: %s.", run.spec.mobile, sentence)
    return dataclasses.replace(result, seconds=dict(run.seconds))


def _begin_merge(run: TableRun, ready: Ready) -> tuple[int, Counted | None]:
    """How many rows have been written so far, and how many there are; an incremental run does not count the latter.

    Asked now, because nobody waits yet for a row that the merge has written.
    """
    questions: list[Query] = [_SAVEPOINT, (plan_sql.count_writes(ready.mapping), None)]
    if ready.complete:
        questions.append((plan_sql.count_rows(ready.mapping), None))
    with run.phase("plan"):
        _, [(writes,)], *counts = execute_batch(run.target, *questions)
    return writes, Counted(*counts[0][0]) if counts else None


def _merge(run: TableRun, ready: Ready) -> tuple[MergePlan, MergeResult]:
    """Plan and apply, again while the app writes to the very rows."""
    for attempt in range(ATTEMPTS):
        try:
            plan = run.plan(ready)
            with run.phase("apply"):
                known = len(ready.before.quarantined)
                return plan, apply_merge(run.target, ready.mapping, plan, known=known, again=attempt > 0)
        except SwallowedError as exc:
            raise SchemaMismatchError(
                f"Table `{run.spec.mobile}`: {exc}. Nothing was written. Have the trigger or rule write the rows that "
                "the sync sends, or raise an error for those that it does not want."
            ) from exc
        except OvertakenError as exc:
            run.target.execute("ROLLBACK TO SAVEPOINT powerca_merge")
            logger.info("%s: somebody else wrote meanwhile (%s); planning anew.", run.spec.mobile, exc)
    raise ContentionError(
        f"Table `{run.spec.mobile}`: other writers changed the same rows {ATTEMPTS} times in a row. "
        "Nothing was written; the run is retried."
    )


def _look_back(
    run: TableRun, ready: Ready, merged: MergeResult, *, writes: int, before: Counted | None
) -> tuple[Rejected, Counted | None]:
    """What was rejected, and how many rows there are now, where they were counted `before`.

    They are counted anew if more was written since there had been so many `writes` than the merge says that it wrote,
    or if it may have taken over rows that were nobody's.
    """
    summary, samples, [(now,)] = execute_batch(
        run.target, *rejection_queries(), (plan_sql.count_writes(ready.mapping), None)
    )
    rejected = parse_rejections(summary, samples)
    if now - writes != merged.written or (before and before.other and merged.updated):
        return rejected, run.count(ready)
    added = merged.inserted - merged.deleted
    return rejected, before and dataclasses.replace(before, rows=before.rows + added, owned=before.owned + added)


def _watermark(ready: Ready) -> dict[str, Any]:
    owned = {} if ready.owned_digest is None else {OWNED_DIGEST: ready.owned_digest}
    return ready.snapshot.mark(ready.mapping) | owned


def _records(run: TableRun, ready: Ready, result: ForwardResult, token: str | None) -> Iterator[Query]:
    """What stores quarantine, mark and the guide's line about the run."""
    if result.rejections or ready.before.quarantined:
        yield state.quarantine_record(ready.office, run.spec.mobile)
    yield state.run_record(
        ready.office,
        run.spec.mobile,
        mark=_watermark(ready) if isinstance(run.what, TableExtract) else None,
        fingerprint=ready.mapping.fingerprint,
        rows_read=result.extracted if ready.complete else None,
        mode=result.mode_effective.value,
        lookups=ready.before.versions,
        changed=result.written > 0,
        unscoped=run.resolved.route is Route.UNSCOPED,
        records=result.extracted - result.quarantined,
        milliseconds=_milliseconds(run),
        token=token,
    )


def _milliseconds(run: TableRun) -> int:
    return round((time.monotonic() - run.started) * 1000)
