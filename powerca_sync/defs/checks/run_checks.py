"""Checks that look at the result of a load or a pull, in the step that made it."""

import dagster as dg

from powerca_sync.defs.metadata import conflict_table, quarantine_table, sample_table, where_counted
from powerca_sync.engine.requests import Mode
from powerca_sync.engine.result import ForwardResult, ReverseResult
from powerca_sync.tables import TableSpec

FOREIGN_KEYS = "foreign_keys"
CONFLICTS = "conflicts"
QUARANTINE = "quarantine"
PHONE_ROWS_PRESERVED = "phone_rows_preserved"
STALE_ROWS = "stale_rows"


def check_foreign_keys(spec: TableSpec, result: ForwardResult) -> dg.AssetCheckResult:
    """Whether few enough rows went to quarantine because their reference leads nowhere; a warning if not.

    It never blocks: above the spec's `limit_share` the engine has rolled back and there is no result to look at. The
    share is that of the table, since an incremental run reads little else but the rows in quarantine.
    """
    rows = result.rows_at_source
    share = result.filtered / rows if rows else 0.0
    missing = {
        f"{rejection.column} without {rejection.parent}": rejection.rows
        for rejection in result.rejections
        if rejection.reason in ("reference", "circle")
    }
    return dg.AssetCheckResult(
        check_name=FOREIGN_KEYS,
        passed=share <= spec.warn_share,
        severity=dg.AssetCheckSeverity.WARN,
        description=(
            f"{result.filtered} of {rows} rows ({share:.2%}) lead to a row that is not there; the limit is "
            f"{spec.warn_share:.2%}."
        ),
        metadata={"rows_filtered": result.filtered, "share": share, "warn_share": spec.warn_share, **missing},
    )


def check_fit(spec: TableSpec, result: ForwardResult) -> dg.AssetCheckResult:
    """Whether few enough rows wait in quarantine, for whatever reason; a warning, with the reasons, if not."""
    rows = result.rows_at_source
    share = result.quarantined / rows if rows else 0.0
    return dg.AssetCheckResult(
        check_name=QUARANTINE,
        passed=share <= spec.warn_share,
        severity=dg.AssetCheckSeverity.WARN,
        description=(
            f"{result.quarantined} of {rows} rows ({share:.2%}) wait in quarantine, where every run tries them again; "
            f"the limit is {spec.warn_share:.2%}."
        ),
        metadata={
            "quarantined": result.quarantined,
            "share": share,
            "warn_share": spec.warn_share,
            **quarantine_table(result.rejections),
        },
    )


def check_phone_rows(result: ForwardResult) -> dg.AssetCheckResult:
    """Whether the run left all phone rows as they were; an error if a trigger on mobile had it write one."""
    return dg.AssetCheckResult(
        check_name=PHONE_ROWS_PRESERVED,
        passed=result.phone_rows_written == 0,
        severity=dg.AssetCheckSeverity.ERROR,
        description=(
            f"{result.phone_rows_written} of {result.phone_rows} phone rows were written in this run's transaction. "
            "The sync itself never does so: look for a trigger on the mobile table."
            if result.phone_rows_written
            else "No row was written but those that the run brought."
            if result.phone_rows is None
            else f"None of the {result.phone_rows} phone rows was written."
        ),
        metadata=where_counted(phone_rows=result.phone_rows, phone_rows_written=result.phone_rows_written),
    )


def check_stale_rows(spec: TableSpec, result: ForwardResult) -> dg.AssetCheckResult:
    """Whether few enough rows are kept on mobile that are gone from the desktop; a warning if not.

    Only a full run sees what is gone: after another one this says so, and passes.
    """
    stale = result.stale + result.kept_referenced
    share = stale / result.rows_at_target if result.rows_at_target else 0.0
    looked = result.mode_effective is Mode.FULL
    return dg.AssetCheckResult(
        check_name=STALE_ROWS,
        passed=share <= spec.warn_share,
        severity=dg.AssetCheckSeverity.WARN,
        description=(
            f"{stale} of {result.rows_at_target} rows on mobile ({share:.2%}) are gone from the desktop and were kept; "
            f"the limit is {spec.warn_share:.2%}."
            if looked
            else "An incremental run does not see which rows are gone; the next full run does."
        ),
        metadata={"stale": result.stale, "kept_referenced": result.kept_referenced, "share": share},
    )


def check_conflicts(result: ReverseResult) -> dg.AssetCheckResult:
    """A warning, with both contents, for phone rows with the key of another desktop row, or that look like one."""
    return dg.AssetCheckResult(
        check_name=CONFLICTS,
        passed=result.conflicts + result.lookalikes == 0,
        severity=dg.AssetCheckSeverity.WARN,
        description=(
            f"{result.conflicts} of {result.seen} phone rows have a key under which the desktop has another row, and "
            f"{result.lookalikes} look like a row that the desktop has already. They are held; neither side was "
            "changed. Settle look-alikes once with `lookalikes` of the job, or `--adopt-lookalikes` or "
            "`--pull-lookalikes` of the command."
        ),
        metadata={
            "conflicts": result.conflicts,
            "lookalikes": result.lookalikes,
            **conflict_table(result.conflict_samples),
        },
    )


def check_quarantine(result: ReverseResult) -> dg.AssetCheckResult:
    """Whether the desktop took every phone row; a warning, with the reasons, if it did not."""
    return dg.AssetCheckResult(
        check_name=QUARANTINE,
        passed=result.quarantined == 0,
        severity=dg.AssetCheckSeverity.WARN,
        description=(
            f"{result.quarantined} of {result.seen} phone rows wait in quarantine because the desktop does not take "
            "them. Every pull tries them again."
        ),
        metadata={
            "quarantined": result.quarantined,
            **quarantine_table(result.rejections),
            **sample_table(result.samples),
        },
    )
