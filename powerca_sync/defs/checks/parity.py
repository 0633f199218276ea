"""Checks that both databases hold the same rows, run by the job `checks` or by hand."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from powerca_sync.defs.failures import Retries, retry_transient_errors
from powerca_sync.defs.keys import mobile_key
from powerca_sync.defs.metadata import text_table, without_zeros
from powerca_sync.defs.partitions import asset_check
from powerca_sync.defs.pools import FORWARD_POOL
from powerca_sync.engine.postgres import Timeouts, connect_both
from powerca_sync.engine.result import Options
from powerca_sync.engine.verify import Verification, verify
from powerca_sync.plain_text import in_one_line
from powerca_sync.settings import Settings
from powerca_sync.specs import TableSpec

PARITY = "parity"


def parity_key(spec: TableSpec) -> dg.AssetCheckKey:
    """The check of a mobile table."""
    return dg.AssetCheckKey(mobile_key(spec), PARITY)


def build_parity_checks(
    specs: Sequence[TableSpec],
    *,
    copied: Sequence[TableSpec],
    timeouts: Timeouts,
    retries: Retries,
    by_office: bool,
) -> list[dg.AssetChecksDefinition]:
    """A check for each table of `copied`, which are those of `specs` whose rows come from the desktop."""
    return [_build_check(spec, specs, timeouts=timeouts, retries=retries, by_office=by_office) for spec in copied]


def _build_check(
    spec: TableSpec, specs: Sequence[TableSpec], *, timeouts: Timeouts, retries: Retries, by_office: bool
) -> dg.AssetChecksDefinition:
    @asset_check(
        asset=mobile_key(spec),
        name=PARITY,
        description=(
            "Both sides hold the same rows: each hashes its own, digests are compared, and rows that differ are shown."
        ),
        pool=FORWARD_POOL,
        by_office=by_office,
    )
    def parity(databases: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
        options = Options(timezone=databases.timezone, encoding=databases.encoding, timeouts=timeouts)
        with (
            retry_transient_errors(retries),
            connect_both(databases.desktop, databases.mobile) as (source, target),
        ):
            (found,) = verify(source=source, target=target, specs=specs, only=[spec], options=options)
        return describe_verification(spec, found)

    return parity


def describe_verification(spec: TableSpec, found: Verification) -> dg.AssetCheckResult:
    """Returns the check result of a comparison: an error if the databases differ."""
    outcome = found.outcome
    metadata: dict[str, Any] = {}
    if outcome is None:
        description = found.error or "It could not be compared."
    else:
        description = "Both sides agree." if found.agrees else "The two sides differ; a full run mends what it can."
        if outcome.samples:
            header = (*spec.key, "difference", "column", "desktop", "mobile")
            metadata["samples"] = text_table(header, _sample_rows(spec, found))
        if outcome.rejections:
            metadata["rejections"] = "\n".join(str(rejection) for rejection in outcome.rejections)
        metadata |= without_zeros(
            **{kind.value: rows for kind, rows in (*outcome.differences.items(), *outcome.known.items())}
        )
        metadata |= {"desktop": outcome.desktop, "mobile": outcome.mobile, "agreeing": outcome.agreeing}
    metadata["seconds"] = round(found.seconds, 3)
    if said := [*found.warnings, *found.notes]:
        metadata["notes"] = "\n".join(map(in_one_line, said))
    return dg.AssetCheckResult(
        check_name=PARITY,
        passed=found.agrees,
        severity=dg.AssetCheckSeverity.ERROR,
        description=in_one_line(description),
        metadata=metadata,
    )


def _sample_rows(spec: TableSpec, found: Verification) -> list[tuple[str | None, ...]]:
    rows: list[tuple[str | None, ...]] = []
    for sample in found.outcome.samples if found.outcome else ():
        key = tuple(sample.key.get(name) for name in spec.key)
        if not sample.columns:
            rows.append((*key, sample.kind.value, "", "", ""))
        for column in sample.columns:
            here, there = (side[column] if side else None for side in (sample.desktop, sample.mobile))
            rows.append((*key, sample.kind.value, column, here, there))
    return rows
