"""The assets that call the office's own functions on the desktop; each exists only if its setting names a function.

`desktop_refresh` is upstream of the desktop's tables and of the mobile tables, so that a forward run reads nothing if
it fails. `desktop_booking` is downstream of the reverse-synced tables.
"""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import dagster as dg

from powerca_sync.defs.failures import Retries, retry_transient_errors
from powerca_sync.defs.keys import BOOKING, DESKTOP, OWNERS, REFRESH, REVERSE, reverse_key
from powerca_sync.defs.partitions import partitions
from powerca_sync.defs.pools import FORWARD_POOL, REVERSE_POOL
from powerca_sync.engine.functions import FunctionResult, call_booking, call_refresh
from powerca_sync.engine.postgres import Timeouts, connect
from powerca_sync.plain_text import in_one_line
from powerca_sync.settings import AFTER_REVERSE, BEFORE_FORWARD, DesktopFunction, DesktopFunctions, Settings
from powerca_sync.specs import TableSpec


def build_function_assets(
    functions: DesktopFunctions, pulled: Iterable[TableSpec], *, timeouts: Timeouts, retries: Retries, by_office: bool
) -> list[dg.AssetsDefinition]:
    """Returns the assets of the functions that are set; `pulled` are the reverse-synced tables."""
    assets = []
    if functions.before_forward:
        assets.append(_build_refresh(functions.before_forward, timeouts=timeouts, retries=retries, by_office=by_office))
    if functions.after_reverse:
        assets.append(
            _build_booking(functions.after_reverse, pulled, timeouts=timeouts, retries=retries, by_office=by_office)
        )
    return assets


def _build_refresh(
    function: DesktopFunction, *, timeouts: Timeouts, retries: Retries, by_office: bool
) -> dg.AssetsDefinition:
    @dg.asset(
        key=REFRESH,
        group_name=DESKTOP,
        owners=OWNERS,
        kinds={"postgres", "desktop"},
        metadata={"function": str(function), "timeout_seconds": function.timeout},
        description=(
            f"Calls the office's function `{function}` on the desktop ({BEFORE_FORWARD}), which brings the desktop's "
            "tables up to date, before a forward run reads them."
        ),
        pool=None if by_office else FORWARD_POOL,
        partitions_def=partitions(by_office),
    )
    def desktop_refresh(databases: dg.ResourceParam[Settings]) -> dg.MaterializeResult[None]:
        with retry_transient_errors(retries), contextlib.closing(connect(databases.desktop)) as desktop:
            return dg.MaterializeResult(metadata=describe_call(call_refresh(desktop, function, timeouts=timeouts)))

    return desktop_refresh


def _build_booking(
    function: DesktopFunction, pulled: Iterable[TableSpec], *, timeouts: Timeouts, retries: Retries, by_office: bool
) -> dg.AssetsDefinition:
    @dg.asset(
        key=BOOKING,
        deps=[reverse_key(spec) for spec in pulled],
        group_name=REVERSE,
        owners=OWNERS,
        kinds={"postgres", "reverse"},
        metadata={"function": str(function), "timeout_seconds": function.timeout},
        description=(
            f"Calls the office's function `{function}` on the desktop ({AFTER_REVERSE}), which books phone rows, if "
            "reverse runs have inserted any since its last success. Otherwise it is not called, and not materialized."
        ),
        pool=None if by_office else REVERSE_POOL,
        partitions_def=partitions(by_office),
        output_required=False,
    )
    def desktop_booking(
        context: dg.AssetExecutionContext, databases: dg.ResourceParam[Settings]
    ) -> Iterator[dg.MaterializeResult[None]]:
        with retry_transient_errors(retries), contextlib.closing(connect(databases.desktop)) as desktop:
            result = call_booking(desktop, function, timeouts=timeouts)
        if result is None:
            context.log.info("`%s` was not called: no phone row has been inserted since its last call.", function)
        else:
            yield dg.MaterializeResult(metadata={**describe_call(result), "booked": result.booked})

    return desktop_booking


def describe_call(result: FunctionResult) -> dict[str, Any]:
    """Returns the metadata of a call."""
    return {
        "called": result.function,
        "seconds": result.seconds,
        "rows": result.rows,
        "returned": in_one_line(result.returned),
    }
