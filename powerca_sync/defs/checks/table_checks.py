"""Checks that ask the databases about a table, without a run: by hand from the UI, or by a job that names them."""

import contextlib
from collections.abc import Iterator, Sequence

import dagster as dg

from powerca_sync.defs.failures import Retries, retry_transient_errors
from powerca_sync.defs.keys import mobile_key
from powerca_sync.defs.metadata import text_table
from powerca_sync.engine.context import open_context
from powerca_sync.engine.doctor import Finding, Severity, find_drift
from powerca_sync.engine.postgres import Connection, Timeouts, connect
from powerca_sync.engine.status import TableStatus, read_table_status
from powerca_sync.plain_text import in_one_line
from powerca_sync.settings import Settings
from powerca_sync.specs import TableSpec

SCHEMA_DRIFT = "schema_drift"
UNOWNED_ROWS = "unowned_rows"


def build_table_checks(
    specs: Sequence[TableSpec], *, copied: Sequence[TableSpec], timeouts: Timeouts, retries: Retries
) -> list[dg.AssetChecksDefinition]:
    """Both checks for each table of `copied`, which are those of `specs` whose rows come from the desktop."""
    checks = []
    for spec in copied:
        checks.append(_build_schema_drift(spec, specs, timeouts=timeouts, retries=retries))
        checks.append(_build_unowned_rows(spec, specs, retries=retries))
    return checks


def _build_schema_drift(
    spec: TableSpec, specs: Sequence[TableSpec], *, timeouts: Timeouts, retries: Retries
) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=mobile_key(spec.mobile),
        name=SCHEMA_DRIFT,
        description="Every column of the desktop has its place on mobile, of a type that takes its values.",
    )
    def schema_drift(databases: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
        with retry_transient_errors(retries), _connections(databases) as (source, target):
            found = find_drift(spec, source=source, target=target, specs=specs, timeouts=timeouts)
        return describe_drift(found)

    return schema_drift


def describe_drift(found: Sequence[Finding]) -> dg.AssetCheckResult:
    """An error if the table cannot be synced, a warning if columns stay behind."""
    blocks = any(finding.severity is Severity.WRONG for finding in found)
    return dg.AssetCheckResult(
        check_name=SCHEMA_DRIFT,
        passed=not found,
        severity=dg.AssetCheckSeverity.ERROR if blocks else dg.AssetCheckSeverity.WARN,
        description=in_one_line(" ".join(finding.what for finding in found)) or "All columns travel.",
        metadata={
            "findings": len(found),
            **(
                {"to_do": text_table(("what", "why", "do"), ((one.what, one.why, one.do) for one in found))}
                if found
                else {}
            ),
        },
    )


def _build_unowned_rows(spec: TableSpec, specs: Sequence[TableSpec], *, retries: Retries) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=mobile_key(spec.mobile),
        name=UNOWNED_ROWS,
        description="Every row on mobile says who wrote it: `D` the desktop, `M` a phone.",
    )
    def unowned_rows(databases: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
        with retry_transient_errors(retries), _connections(databases) as (source, target):
            status = read_table_status(target, specs, open_context(source, target, specs), only=[spec])
        return describe_unowned(status[0] if status else None)

    return unowned_rows


def describe_unowned(status: TableStatus | None) -> dg.AssetCheckResult:
    """A warning if rows are nobody's: a sync neither changes nor deletes them."""
    contents = status.contents if status is not None else None
    other = contents.other if contents is not None else 0
    return dg.AssetCheckResult(
        check_name=UNOWNED_ROWS,
        passed=other == 0,
        severity=dg.AssetCheckSeverity.WARN,
        description=(
            f"{other} rows are neither the desktop's nor a phone's (`source` is empty or another letter); they are "
            "kept as they are."
            if other
            else "Every row says who wrote it."
        ),
        metadata={
            "unowned_rows": other,
            "desktop_rows": contents.desktop if contents is not None else 0,
            "phone_rows": contents.phone if contents is not None else 0,
        },
    )


@contextlib.contextmanager
def _connections(databases: Settings) -> Iterator[tuple[Connection, Connection]]:
    with (
        contextlib.closing(connect(databases.mobile)) as target,
        contextlib.closing(connect(databases.desktop)) as source,
    ):
        yield source, target
