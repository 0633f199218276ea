"""Account for each row of a run, and check quarantine and conservation by the guards."""

from collections.abc import Iterator, Sequence

from powerca_sync.engine import guards
from powerca_sync.engine.forward import foreign_rows, merge
from powerca_sync.engine.forward.merge import MergePlan, MergeResult
from powerca_sync.engine.forward.mobile_owned_sql import columns_of
from powerca_sync.engine.forward.prepared import PreparedTable, TargetCounts
from powerca_sync.engine.forward.table_run import TableRun
from powerca_sync.engine.result import ForwardResult
from powerca_sync.engine.staging import Rejected, large_objects
from powerca_sync.plain_text import counted


def account(
    run: TableRun,
    prepared: PreparedTable,
    plan: MergePlan,
    merged: MergeResult,
    *,
    rejected: Rejected,
    counted: TargetCounts | None,
) -> ForwardResult:
    """Returns the result of a run; `counted` are the target's rows after it, None if the run counted none.

    Raises:
        UnsafeTargetError: Too many rows are quarantined.
        MergeError: The counts of the outcomes do not add up to the rows read.
    """
    rejections, samples = rejected
    conflicts = merge.conflicts(run.target, prepared.mapping) if plan.conflict else ()
    quarantined = sum(rejection.rows for rejection in rejections if not rejection.deferred)
    foreign_keys = foreign_rows.read_keys(run.target, prepared) if plan.foreign else ()
    read = prepared.staged.read
    with run.guarded():
        rows = max(read, prepared.before.rows_read or 0)
        guards.check_quarantine(run.spec, quarantined=quarantined, rows=rows, samples=samples)
    outcomes = _count_outcomes(prepared, plan, merged, quarantined)
    guards.check_conservation(run.spec, extracted=read, accounted=outcomes)
    return ForwardResult(
        table=run.spec.mobile,
        mode_requested=run.requested,
        mode_effective=prepared.changes.mode,
        mode_reason=prepared.changes.reason,
        extracted=read,
        staged=prepared.staged.accepted,
        **outcomes,
        deleted=merged.deleted,
        stale=plan.stale,
        held=plan.held + merged.held,
        kept_referenced=merged.kept_referenced + merged.undeletable,
        foreign=plan.foreign,
        foreign_keys=foreign_keys,
        kept_other=counted.other if counted else None,
        phone_rows=counted.phones if counted else None,
        phone_rows_written=counted.phones_written if counted else 0,
        mobile_owned=plan.mobile_owned,
        filtered=sum(rejection.rows for rejection in rejections if rejection.dangling),
        rows_at_source=prepared.rows_at_source,
        rows_at_target=counted.rows if counted else None,
        rejections=rejections,
        samples=samples,
        conflicts=(*conflicts, *prepared.edited_keys),
        conflicting=plan.conflict + prepared.edited,
        lookups=prepared.lookups,
        notes=run.resolved.notes,
        warnings=tuple(_warnings(run, prepared, plan, foreign_keys, owned=counted.owned if counted else 0)),
        remarks=tuple(_remarks(prepared, plan)),
        columns=prepared.mapping.staged,
        source_columns=prepared.mapping.source.columns,
        snapshot=prepared.snapshot.xmin,
        bytes=prepared.staged.bytes,
        seconds=run.timer.seconds,
    )


def _count_outcomes(prepared: PreparedTable, plan: MergePlan, merged: MergeResult, quarantined: int) -> dict[str, int]:
    """Returns the number of extracted rows by outcome."""
    return {
        "inserted": merged.inserted,
        "updated": merged.updated,
        "unchanged": plan.unchanged + prepared.staged.alike,
        "kept_mobile": plan.keep + plan.conflict + prepared.edited,
        "echo": prepared.echo,
        "quarantined": quarantined,
        "superseded": prepared.superseded,
    }


def nothing_to_sync(run: TableRun) -> ForwardResult:
    """Returns the result for a table that neither database has."""
    return ForwardResult(
        table=run.spec.mobile,
        mode_requested=run.requested,
        mode_effective=run.requested,
        rows_at_target=0,
        notes=run.resolved.notes,
        seconds=run.timer.seconds,
    )


def _remarks(prepared: PreparedTable, plan: MergePlan) -> Iterator[str]:
    if plan.mobile_owned:
        names = ", ".join(f"`{column.name}`" for column in columns_of(prepared.mapping))
        yield (
            f"{counted(plan.mobile_owned, 'row')} with another value of {names} on the desktop; mobile owns it and "
            "keeps its own"
        )
    if plan.stale:
        yield (
            f"{counted(plan.stale, 'stale row')}, no longer on the desktop, kept on mobile by the spec "
            '(`deletes="keep"`)'
        )


def _warnings(
    run: TableRun, prepared: PreparedTable, plan: MergePlan, foreign_keys: Sequence[str], *, owned: int
) -> Iterator[str]:
    if run.ledger_warning:
        yield run.ledger_warning
    if plan.foreign:
        yield foreign_rows.describe(plan.foreign, foreign_keys)
    if prepared.complete and not prepared.staged.read and owned:
        yield f"`{prepared.mapping.spec.desktop}` has no rows at the source; nothing was deleted at the target"
    if prepared.large_objects:
        yield large_objects.large_object_warning(prepared.large_objects)
    for lookup in prepared.lookups:
        if lookup.missed:
            yield f"{counted(lookup.missed, 'row')} found no `{lookup.column}` in `{lookup.table}`; it is empty there"
        if lookup.ambiguous:
            yield f"{counted(lookup.ambiguous, 'row')} found several values of `{lookup.column}` in `{lookup.table}`"
    if conflicting := plan.conflict + prepared.edited:
        yield f"{counted(conflicting, 'phone row')} unlike the office's row of the same key, left as is"
