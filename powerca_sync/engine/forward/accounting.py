"""Account for each row of a run, and check quarantine and conservation by the guards."""

from collections.abc import Iterator

from powerca_sync.engine import guards
from powerca_sync.engine.forward import merge
from powerca_sync.engine.forward.merge import MergePlan, MergeResult
from powerca_sync.engine.forward.mobile_owned_sql import columns_of
from powerca_sync.engine.forward.prepared import Counted, Ready
from powerca_sync.engine.forward.table_run import TableRun
from powerca_sync.engine.result import ForwardResult
from powerca_sync.engine.staging import Rejected, large_objects


def account(
    run: TableRun, ready: Ready, plan: MergePlan, merged: MergeResult, *, rejected: Rejected, counted: Counted | None
) -> ForwardResult:
    """Returns the result of a run.

    `counted` are the target's rows after it; None if the run counted no rows.

    Raises:
        UnsafeTargetError: Too many rows are quarantined.
        MergeError: The counts of the outcomes do not add up to the rows read.
    """
    rejections, samples = rejected
    conflicts = merge.conflicts(run.target, ready.mapping) if plan.conflict else ()
    quarantined = sum(rejection.rows for rejection in rejections if not rejection.deferred)
    with run.guarded():
        guards.check_quarantine(
            run.spec,
            quarantined=quarantined,
            rows=max(ready.staged.read, ready.before.rows_read or 0),
            samples=samples,
        )
    fates = {
        "inserted": merged.inserted,
        "updated": merged.updated,
        "unchanged": plan.unchanged + ready.staged.alike,
        "kept_mobile": plan.keep + plan.conflict + ready.edited,
        "echo": ready.echo,
        "quarantined": quarantined,
        "superseded": ready.superseded,
    }
    guards.check_conservation(run.spec, extracted=ready.staged.read, accounted=fates)
    return ForwardResult(
        table=run.spec.mobile,
        mode_requested=run.requested,
        mode_effective=ready.changes.mode,
        mode_reason=ready.changes.reason,
        extracted=ready.staged.read,
        staged=ready.staged.accepted,
        **fates,
        deleted=merged.deleted,
        stale=plan.stale,
        held=plan.held + merged.held,
        kept_referenced=merged.kept_referenced + merged.undeletable,
        kept_other=counted.other if counted else None,
        phone_rows=counted.phones if counted else None,
        phone_rows_written=counted.phones_written if counted else 0,
        mobile_owned=plan.mobile_owned,
        filtered=sum(rejection.rows for rejection in rejections if rejection.reason in ("reference", "circle")),
        rows_at_source=ready.rows_at_source,
        rows_at_target=counted.rows if counted else None,
        rejections=rejections,
        samples=samples,
        conflicts=(*conflicts, *ready.edited_keys),
        conflicting=plan.conflict + ready.edited,
        lookups=ready.lookups,
        notes=run.resolved.notes,
        warnings=(
            *((run.set_aside,) if run.set_aside else ()),
            *_warnings(ready, conflicting=plan.conflict + ready.edited, owned=counted.owned if counted else 0),
        ),
        remarks=tuple(_remarks(ready, plan)),
        columns=ready.mapping.staged,
        bytes=ready.staged.bytes,
        seconds=dict(run.seconds),
    )


def nothing_to_sync(run: TableRun) -> ForwardResult:
    """Returns the result for a table that neither database has."""
    return ForwardResult(
        table=run.spec.mobile,
        mode_requested=run.requested,
        mode_effective=run.requested,
        rows_at_target=0,
        notes=run.resolved.notes,
        seconds=dict(run.seconds),
    )


def _remarks(ready: Ready, plan: MergePlan) -> Iterator[str]:
    if plan.mobile_owned:
        names = ", ".join(f"`{column.name}`" for column in columns_of(ready.mapping))
        yield f"{plan.mobile_owned} rows have another value of {names} on the desktop; mobile owns it and keeps its own"
    if plan.stale:
        yield (
            f'{plan.stale} stale rows, which the desktop no longer has, stay on mobile by the spec (`deletes="keep"`)'
        )


def _warnings(ready: Ready, *, conflicting: int, owned: int) -> Iterator[str]:
    if ready.complete and not ready.staged.read and owned:
        yield f"`{ready.mapping.spec.desktop}` has no rows at the source; nothing was deleted at the target"
    if ready.large_objects:
        yield large_objects.large_object_warning(ready.large_objects)
    for lookup in ready.lookups:
        if lookup.missed:
            yield f"{lookup.missed} rows found no `{lookup.column}` in `{lookup.table}`; it is empty there"
        if lookup.ambiguous:
            yield f"{lookup.ambiguous} rows found several values of `{lookup.column}` in `{lookup.table}`"
    if conflicting:
        yield f"{conflicting} phone rows differ from the office's row of the same key; they stay as they are"
