"""Checks that look at the result of a load, in the step that made it."""

import dagster as dg

from powerca_sync.engine.result import ForwardResult
from powerca_sync.tables import TableSpec

FOREIGN_KEYS = "foreign_keys"


def check_foreign_keys(spec: TableSpec, result: ForwardResult) -> dg.AssetCheckResult:
    """Whether few enough rows went to quarantine because their reference leads nowhere; a warning if not.

    It never blocks: above the spec's `limit_share` the engine has rolled back and there is no result to look at. The
    share is that of the table, since an incremental run reads little else but the rows in quarantine.
    """
    rows = max(result.extracted, result.rows_at_target)
    share = result.filtered / rows if rows else 0.0
    missing = {
        f"{rejection.column} without {rejection.parent}": rejection.rows
        for rejection in result.rejections
        if rejection.reason == "reference"
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
