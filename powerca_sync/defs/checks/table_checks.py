"""Asset checks that read the databases without a sync, run by the job `checks` or by hand."""

from collections.abc import Callable, Sequence

import dagster as dg

from powerca_sync.defs.failures import Retries, retry_transient_errors
from powerca_sync.defs.keys import mobile_key
from powerca_sync.defs.metadata import text_table, without_zeros
from powerca_sync.defs.partitions import asset_check
from powerca_sync.defs.pools import FORWARD_POOL
from powerca_sync.engine.context import open_context
from powerca_sync.engine.doctor import Finding, Severity, find_drift
from powerca_sync.engine.postgres import Timeouts, connect_both
from powerca_sync.engine.status import TableStatus, read_table_status
from powerca_sync.plain_text import counted, in_one_line
from powerca_sync.settings import Settings
from powerca_sync.specs import TableSpec

SCHEMA_DRIFT = "schema_drift"
UNOWNED_ROWS = "unowned_rows"


def build_table_checks(
    specs: Sequence[TableSpec],
    *,
    copied: Sequence[TableSpec],
    drift_blocks: Callable[[TableSpec], bool],
    timeouts: Timeouts,
    retries: Retries,
    by_office: bool,
) -> list[dg.AssetChecksDefinition]:
    """Returns both checks for each table of `copied`, the tables of `specs` whose rows come from the desktop."""
    checks = []
    for spec in copied:
        checks.append(
            _build_schema_drift(
                spec, specs, blocks=drift_blocks(spec), timeouts=timeouts, retries=retries, by_office=by_office
            )
        )
        checks.append(_build_unowned_rows(spec, specs, retries=retries, by_office=by_office))
    return checks


def _build_schema_drift(
    spec: TableSpec,
    specs: Sequence[TableSpec],
    *,
    blocks: bool,
    timeouts: Timeouts,
    retries: Retries,
    by_office: bool,
) -> dg.AssetChecksDefinition:
    @asset_check(
        asset=mobile_key(spec),
        name=SCHEMA_DRIFT,
        blocking=blocks,
        description="Every column of the desktop exists on mobile, with a type that can store its values.",
        pool=FORWARD_POOL,
        by_office=by_office,
    )
    def schema_drift(databases: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
        with retry_transient_errors(retries), connect_both(databases.desktop, databases.mobile) as (source, target):
            found = find_drift(spec, source=source, target=target, specs=specs, timeouts=timeouts)
        return describe_drift(found, blocks=blocks)

    return schema_drift


def describe_drift(found: Sequence[Finding], *, blocks: bool = False) -> dg.AssetCheckResult:
    """Returns an error if the table cannot be synced or `blocks` others, a warning if columns are not synced."""
    is_error = blocks or any(finding.severity is Severity.WRONG for finding in found)
    return dg.AssetCheckResult(
        check_name=SCHEMA_DRIFT,
        passed=not found,
        severity=dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN,
        description=in_one_line(" ".join(finding.what for finding in found)) or "All columns are synced.",
        metadata={
            **(
                {"to_do": text_table(("what", "why", "do"), ((one.what, one.why, one.do) for one in found))}
                if found
                else {}
            ),
            **without_zeros(findings=len(found)),
        },
    )


def _build_unowned_rows(
    spec: TableSpec, specs: Sequence[TableSpec], *, retries: Retries, by_office: bool
) -> dg.AssetChecksDefinition:
    @asset_check(
        asset=mobile_key(spec),
        name=UNOWNED_ROWS,
        description="Every row on mobile has an owner: `D` the desktop, `M` a phone.",
        pool=FORWARD_POOL,
        by_office=by_office,
    )
    def unowned_rows(databases: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
        with retry_transient_errors(retries), connect_both(databases.desktop, databases.mobile) as (source, target):
            status = read_table_status(target, specs, open_context(source, target, specs), only=[spec])
        return describe_unowned(status[0] if status else None)

    return unowned_rows


def describe_unowned(status: TableStatus | None) -> dg.AssetCheckResult:
    """Returns a warning if rows are unowned: a sync neither changes nor deletes them."""
    contents = status.contents if status is not None else None
    other = contents.unowned if contents is not None else 0
    return dg.AssetCheckResult(
        check_name=UNOWNED_ROWS,
        passed=other == 0,
        severity=dg.AssetCheckSeverity.WARN,
        description=(
            f"{counted(other, 'row')} without an owner (`source` is NULL or another letter), left as they are."
            if other
            else "Every row has an owner."
        ),
        metadata=without_zeros(
            unowned_rows=other,
            desktop_rows=contents.desktop if contents is not None else 0,
            phone_rows=contents.phone if contents is not None else 0,
        ),
    )
