"""Asset checks of a run, evaluated in the step that loads the table."""

from collections.abc import Iterator

import dagster as dg

from powerca_sync.defs.metadata import conflict_table, quarantine_table, sample_table, without_zeros
from powerca_sync.engine.requests import Mode
from powerca_sync.engine.result import ForwardResult, ReverseResult
from powerca_sync.engine.staging import FOREIGN_PARENT, QUARANTINED_PARENT
from powerca_sync.plain_text import counted
from powerca_sync.specs import TableSpec

FOREIGN_KEYS = "foreign_keys"
CONFLICTS = "conflicts"
QUARANTINE = "quarantine"
ROWS = "rows"
#: Words between column and parent in the metadata, by reason; `without` for the others.
_PARENTS = {QUARANTINED_PARENT: "of quarantined", FOREIGN_PARENT: "of another office's"}


def check_foreign_keys(spec: TableSpec, result: ForwardResult) -> dg.AssetCheckResult:
    """Warns if the share of rows quarantined for a dangling reference exceeds `warn_share`.

    Never blocks: above the spec's `limit_share` the engine rolls back and there is no result. The share refers to the
    whole table, because an incremental run reads little else than quarantined rows.
    """
    rows = result.rows_at_source
    share = result.filtered / rows if rows else 0.0
    missing = {
        f"{rejection.column} {_PARENTS.get(rejection.reason, 'without')} {rejection.parent}": rejection.rows
        for rejection in result.rejections
        if rejection.dangling
    }
    return dg.AssetCheckResult(
        check_name=FOREIGN_KEYS,
        passed=share <= spec.warn_share,
        severity=dg.AssetCheckSeverity.WARN,
        description=(
            f"A dangling foreign key in {result.filtered} of {counted(rows, 'row')} ({share:.2%}); the limit is "
            f"{spec.warn_share:.2%}."
            if result.filtered
            else "No row has a dangling foreign key."
        ),
        metadata={
            **missing,
            **without_zeros(rows_filtered=result.filtered),
            "share": round(share, 4),
        },
    )


def check_rows(spec: TableSpec, result: ForwardResult) -> dg.AssetCheckResult:
    """Warns of quarantined, stale and foreign rows; fails if the run's transaction has written a phone row.

    Rows quarantined for a dangling foreign key are counted by `check_foreign_keys` alone, so that no row fails two
    checks. An incremental run sees neither stale nor foreign rows.
    """
    quarantined, stale = result.quarantined - result.filtered, result.stale + result.kept_referenced
    too_many = quarantined > spec.warn_share * result.rows_at_source or stale > spec.warn_share * (
        result.rows_at_target or 0
    )
    sentences = _row_sentences(spec, result, quarantined=quarantined, stale=stale)
    return dg.AssetCheckResult(
        check_name=ROWS,
        passed=not (too_many or result.foreign or result.phone_rows_written),
        severity=dg.AssetCheckSeverity.ERROR if result.phone_rows_written else dg.AssetCheckSeverity.WARN,
        description=" ".join(sentences) or _all_well(result),
        metadata={
            **quarantine_table([entry for entry in result.rejections if not entry.dangling]),
            **without_zeros(
                phone_rows_written=result.phone_rows_written,
                quarantined=quarantined,
                stale=result.stale,
                kept_referenced=result.kept_referenced,
                foreign=result.foreign,
                phone_rows=result.phone_rows,
            ),
        },
    )


def _row_sentences(spec: TableSpec, result: ForwardResult, *, quarantined: int, stale: int) -> Iterator[str]:
    """Yields a sentence for each kind of row that was found."""
    if result.phone_rows_written:
        yield (
            f"This run's transaction wrote {result.phone_rows_written} of "
            f"{counted(result.phone_rows or 0, 'phone row')}. The sync itself never does so: look for a trigger on "
            "the mobile table."
        )
    if quarantined:
        yield (
            f"Quarantined because mobile does not accept the values: {_share(quarantined, result.rows_at_source)}; "
            f"every run retries them. The limit is {spec.warn_share:.2%}."
        )
    if stale:
        yield (
            f"Stale on mobile, because the desktop no longer has them: {_share(stale, result.rows_at_target or 0)}. "
            f"The limit is {spec.warn_share:.2%}."
        )
    if result.foreign:
        yield (
            f"{counted(result.foreign, 'row')} inserted or changed on mobile by others and not on the desktop; "
            "`delete_foreign` of the job deletes them."
        )


def _share(rows: int, whole: int) -> str:
    share = rows / whole if whole else 0.0
    return f"{rows} of {counted(whole, 'row')} ({share:.2%})"


def _all_well(result: ForwardResult) -> str:
    if result.mode_effective is Mode.FULL:
        return "No row is quarantined for its values, stale or foreign; the run wrote no phone row."
    return "No row is quarantined for its values; the run wrote no phone row. The next full run looks for stale rows."


def check_conflicts(result: ReverseResult) -> dg.AssetCheckResult:
    """Warns, with both contents, of phone rows that conflict with a desktop row or look like a copy of one."""
    return dg.AssetCheckResult(
        check_name=CONFLICTS,
        passed=result.conflicts + result.lookalikes == 0,
        severity=dg.AssetCheckSeverity.WARN,
        description=(
            f"Of {counted(result.seen, 'phone row')}, {result.conflicts} quarantined for the key of another desktop "
            f"row and {result.lookalikes} as a possible copy of one; neither side was changed. "
            "Settle look-alikes once with the option `lookalikes` of the job, or with `--adopt-lookalikes` or "
            "`--pull-lookalikes` of the command."
            if result.conflicts + result.lookalikes
            else f"{counted(result.seen, 'phone row')}; none conflicts with a desktop row or looks like a copy of one."
        ),
        metadata={
            **conflict_table(result.conflict_samples),
            **without_zeros(conflicts=result.conflicts, lookalikes=result.lookalikes, seen=result.seen),
        },
    )


def check_quarantine(result: ReverseResult) -> dg.AssetCheckResult:
    """Warns, with the reasons, of quarantined phone rows."""
    return dg.AssetCheckResult(
        check_name=QUARANTINE,
        passed=result.quarantined == 0,
        severity=dg.AssetCheckSeverity.WARN,
        description=(
            f"Quarantined because the desktop refuses them: {result.quarantined} of "
            f"{counted(result.seen, 'phone row')}. Every run retries them."
            if result.quarantined
            else f"{counted(result.seen, 'phone row')}; none is quarantined."
        ),
        metadata={
            **quarantine_table(result.rejections),
            **sample_table(result.samples),
            **without_zeros(quarantined=result.quarantined, seen=result.seen),
        },
    )
