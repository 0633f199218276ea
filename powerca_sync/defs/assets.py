"""One asset for each mobile table, made by one factory from its spec."""

from collections.abc import Iterable, Iterator

import dagster as dg

from powerca_sync.defs.checks import (
    FOREIGN_KEYS,
    PHONE_ROWS_PRESERVED,
    QUARANTINE,
    STALE_ROWS,
    check_fit,
    check_foreign_keys,
    check_phone_rows,
    check_stale_rows,
)
from powerca_sync.defs.delivery import Delivery
from powerca_sync.defs.freshness import DAILY
from powerca_sync.defs.keys import DESKTOP, OWNERS, desktop_key, full_name, mobile_key
from powerca_sync.defs.resources import SyncMode
from powerca_sync.engine.requests import Mode, TableExtract
from powerca_sync.engine.result import ForwardResult
from powerca_sync.tables import TableSpec

#: Where the instance limits pools by run, a second forward run waits in the queue instead of at the database's lock.
POOL = "forward"


def build_assets(specs: Iterable[TableSpec]) -> list[dg.AssetsDefinition]:
    """The mobile tables as assets, each after those that its spec speaks of."""
    return [_build_asset(spec) for spec in specs]


def build_desktop_tables(specs: Iterable[TableSpec]) -> list[dg.AssetSpec]:
    """The desktop's tables, as external assets: the lineage begins with them."""
    tables = {
        spec.desktop: dg.AssetSpec(
            key=desktop_key(spec),
            group_name=DESKTOP,
            kinds={"postgres"},
            owners=OWNERS,
            description=f"{spec.description} The office's own table.",
            metadata={"dagster/table_name": full_name(spec.desktop)},
        )
        for spec in specs
    }
    return list(tables.values())


def _build_asset(spec: TableSpec) -> dg.AssetsDefinition:
    key = mobile_key(spec.mobile)

    @dg.asset(
        key=key,
        group_name=spec.category.value,
        description=spec.description,
        kinds={"postgres", "supabase"},
        owners=OWNERS,
        tags={"strategy": spec.strategy.value.lower(), "direction": "forward"},
        deps=[desktop_key(spec), *map(mobile_key, spec.depends_on)],
        metadata={
            "dagster/table_name": full_name(spec.mobile),
            "strategy": spec.strategy.value,
            "key": ", ".join(spec.key),
        },
        pool=POOL,
        freshness_policy=DAILY,
        check_specs=[
            dg.AssetCheckSpec(
                FOREIGN_KEYS,
                asset=key,
                description=f"No more than {spec.warn_share:.0%} of the rows lead to a row that is not there.",
            ),
            dg.AssetCheckSpec(
                QUARANTINE, asset=key, description=f"No more than {spec.warn_share:.0%} of the rows wait in quarantine."
            ),
            dg.AssetCheckSpec(
                PHONE_ROWS_PRESERVED, asset=key, description="The run has written none of the rows that phones made."
            ),
            dg.AssetCheckSpec(
                STALE_ROWS,
                asset=key,
                description=f"No more than {spec.warn_share:.0%} of the rows on mobile are gone from the desktop.",
            ),
        ],
    )
    def table(
        sync: SyncMode,
    ) -> Iterator[dg.MaterializeResult[Delivery[TableExtract, ForwardResult]] | dg.AssetCheckResult]:
        """Say what to read; the IO manager reads and lands it, within the first `yield`."""
        extract = TableExtract(spec=spec, mode=Mode(sync.mode), **sync.allowances)
        delivery: Delivery[TableExtract, ForwardResult] = Delivery(extract)
        yield dg.MaterializeResult(value=delivery)
        yield check_foreign_keys(spec, delivery.result)
        yield check_fit(spec, delivery.result)
        yield check_phone_rows(delivery.result)
        yield check_stale_rows(spec, delivery.result)

    return table
