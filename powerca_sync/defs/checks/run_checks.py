"""Asset checks of a run, evaluated in the step that loads the table."""

import dagster as dg

from powerca_sync.defs.metadata import conflict_table, quarantine_table, sample_table, where_counted
from powerca_sync.engine.requests import Mode
from powerca_sync.engine.result import ForwardResult, ReverseResult
from powerca_sync.engine.staging import QUARANTINED_PARENT
from powerca_sync.plain_text import counted
from powerca_sync.specs import TableSpec

FOREIGN_KEYS = "foreign_keys"
CONFLICTS = "conflicts"
QUARANTINE = "quarantine"
PHONE_ROWS_PRESERVED = "phone_rows_preserved"
STALE_ROWS = "stale_rows"
#: Words between column and parent in the metadata, by reason; `without` for the others.
_PARENTS = {QUARANTINED_PARENT: "of quarantined"}


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
            f"{result.filtered} of {rows} rows ({share:.2%}) have a dangling foreign key; the limit is "
            f"{spec.warn_share:.2%}."
            if result.filtered
            else "No row has a dangling foreign key."
        ),
        metadata={"rows_filtered": result.filtered, "share": share, "warn_share": spec.warn_share, **missing},
    )


def check_quarantine_share(spec: TableSpec, result: ForwardResult) -> dg.AssetCheckResult:
    """Warns, with the reasons, if the share of rows quarantined for their values exceeds `warn_share`.

    Rows with a dangling foreign key are counted by `check_foreign_keys` alone, so that no row fails two checks.
    """
    rows, quarantined = result.rows_at_source, result.quarantined - result.filtered
    share = quarantined / rows if rows else 0.0
    rejections = [entry for entry in result.rejections if not entry.dangling]
    return dg.AssetCheckResult(
        check_name=QUARANTINE,
        passed=share <= spec.warn_share,
        severity=dg.AssetCheckSeverity.WARN,
        description=(
            f"{quarantined} of {rows} rows ({share:.2%}) are quarantined because mobile does not accept their values; "
            f"every run retries them. The limit is {spec.warn_share:.2%}."
            if quarantined
            else "Mobile accepts the values of all rows."
        ),
        metadata={
            "quarantined": quarantined,
            "share": share,
            "warn_share": spec.warn_share,
            **quarantine_table(rejections),
        },
    )


def check_phone_rows(result: ForwardResult) -> dg.AssetCheckResult:
    """Fails if the run's transaction has written a phone row, which only a trigger on mobile can cause."""
    return dg.AssetCheckResult(
        check_name=PHONE_ROWS_PRESERVED,
        passed=result.phone_rows_written == 0,
        severity=dg.AssetCheckSeverity.ERROR,
        description=(
            f"{result.phone_rows_written} of {result.phone_rows} phone rows were written in this run's transaction. "
            "The sync itself never does so: look for a trigger on the mobile table."
            if result.phone_rows_written
            else "The run has written only the rows that it synced."
            if not result.phone_rows
            else f"None of the {result.phone_rows} phone rows was written."
        ),
        metadata=where_counted(phone_rows=result.phone_rows, phone_rows_written=result.phone_rows_written),
    )


def check_stale_rows(spec: TableSpec, result: ForwardResult) -> dg.AssetCheckResult:
    """Warns if the share of stale rows on mobile exceeds `warn_share`.

    Foreign rows are a warning, however few. Passes after an incremental run, which sees neither.
    """
    stale = result.stale + result.kept_referenced
    share = stale / result.rows_at_target if result.rows_at_target else 0.0
    looked = result.mode_effective is Mode.FULL
    return dg.AssetCheckResult(
        check_name=STALE_ROWS,
        passed=share <= spec.warn_share and not result.foreign,
        severity=dg.AssetCheckSeverity.WARN,
        description=(
            f"{stale} of {result.rows_at_target} rows on mobile ({share:.2%}) are stale: the desktop no longer has "
            f"them. The limit is {spec.warn_share:.2%}.{_foreign(result)}"
            if stale or result.foreign
            else "The desktop has all rows of mobile that are its own."
            if looked
            else "An incremental run does not see stale rows; the next full run does."
        ),
        metadata={
            "stale": result.stale,
            "kept_referenced": result.kept_referenced,
            "foreign": result.foreign,
            "share": share,
        },
    )


def _foreign(result: ForwardResult) -> str:
    if not result.foreign:
        return ""
    rows = counted(result.foreign, "row")
    return (
        f" {rows} inserted or changed on mobile by others and not on the desktop; `delete_foreign` of the job deletes "
        "them."
    )


def check_conflicts(result: ReverseResult) -> dg.AssetCheckResult:
    """Warns, with both contents, of phone rows that conflict with a desktop row or look like a copy of one."""
    return dg.AssetCheckResult(
        check_name=CONFLICTS,
        passed=result.conflicts + result.lookalikes == 0,
        severity=dg.AssetCheckSeverity.WARN,
        description=(
            f"{result.conflicts} of {result.seen} phone rows have the key of another desktop row, and "
            f"{result.lookalikes} look like copies of desktop rows. They are quarantined; neither side was changed. "
            "Settle look-alikes once with the option `lookalikes` of the job, or with `--adopt-lookalikes` or "
            "`--pull-lookalikes` of the command."
            if result.conflicts + result.lookalikes
            else f"None of the {result.seen} phone rows conflicts with a desktop row or looks like a copy of one."
        ),
        metadata={
            "conflicts": result.conflicts,
            "lookalikes": result.lookalikes,
            **conflict_table(result.conflict_samples),
        },
    )


def check_quarantine(result: ReverseResult) -> dg.AssetCheckResult:
    """Warns, with the reasons, of quarantined phone rows."""
    return dg.AssetCheckResult(
        check_name=QUARANTINE,
        passed=result.quarantined == 0,
        severity=dg.AssetCheckSeverity.WARN,
        description=(
            f"{result.quarantined} of {result.seen} phone rows are quarantined because the desktop refuses them. "
            "Every run retries them."
            if result.quarantined
            else f"None of the {result.seen} phone rows is quarantined."
        ),
        metadata={
            "quarantined": result.quarantined,
            **quarantine_table(result.rejections),
            **sample_table(result.samples),
        },
    )
