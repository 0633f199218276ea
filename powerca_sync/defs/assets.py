"""One asset for each mobile table, built from its spec."""

from collections.abc import Iterable, Iterator, Sequence

import dagster as dg

from powerca_sync.defs.checks import FOREIGN_KEYS, ROWS, check_foreign_keys, check_rows
from powerca_sync.defs.keys import DESKTOP, MOBILE, PRIORITY, desktop_key, full_name, mobile_key, parent_keys
from powerca_sync.defs.output_handle import UNVERSIONED, OutputHandle
from powerca_sync.defs.partitions import build_check_spec, partitions
from powerca_sync.defs.pools import FORWARD_POOL
from powerca_sync.defs.resources import SyncMode
from powerca_sync.defs.translator import Layer, TableTranslator
from powerca_sync.engine.requests import Mode, TableExtract
from powerca_sync.engine.result import ForwardResult
from powerca_sync.specs import TableSpec, in_order


def build_assets(
    specs: Iterable[TableSpec],
    translator: TableTranslator,
    *,
    among: Sequence[TableSpec],
    first: Sequence[dg.AssetKey] = (),
    by_office: bool,
) -> list[dg.AssetsDefinition]:
    """Returns the mobile tables of `specs` as assets.

    Each comes after the assets of `first` and after those of the specs `among` on which it depends.
    """
    places = {spec.mobile: place for place, spec in enumerate(reversed(in_order(among)))}
    return [
        _build_asset(spec, among, translator, first, priority=1 + places[spec.mobile], by_office=by_office)
        for spec in specs
    ]


def build_desktop_tables(
    specs: Iterable[TableSpec], translator: TableTranslator, *, first: Sequence[dg.AssetKey] = (), by_office: bool
) -> list[dg.AssetSpec]:
    """Returns the desktop's tables as external assets, with which the lineage begins, or which come after `first`."""
    tables = {
        spec.desktop: dg.AssetSpec(
            key=desktop_key(spec),
            deps=first,
            metadata={
                "dagster/table_name": full_name(DESKTOP, spec.desktop),
                **translator.metadata(spec, Layer.DESKTOP),
            },
            **translator.attributes(spec, Layer.DESKTOP, by_office=by_office),
            partitions_def=partitions(by_office),
        )
        for spec in specs
    }
    return list(tables.values())


def _build_asset(
    spec: TableSpec,
    among: Sequence[TableSpec],
    translator: TableTranslator,
    first: Sequence[dg.AssetKey],
    *,
    priority: int,
    by_office: bool,
) -> dg.AssetsDefinition:
    key = mobile_key(spec)

    @dg.asset(
        key=key,
        # Named here too: in a run, an external asset orders nothing.
        deps=[*first, desktop_key(spec), *parent_keys(spec, among, mobile_key)],
        metadata={
            "dagster/table_name": full_name(MOBILE, spec.mobile),
            "strategy": spec.strategy.value,
            "key": ", ".join(spec.key),
            **translator.metadata(spec, Layer.MOBILE),
        },
        **translator.attributes(spec, Layer.MOBILE, by_office=by_office),
        # The order of the IO manager, which reads the next table ahead.
        op_tags={PRIORITY: str(priority)},
        pool=None if by_office else FORWARD_POOL,
        partitions_def=partitions(by_office),
        check_specs=[
            build_check_spec(
                FOREIGN_KEYS,
                asset=key,
                description=f"At most {spec.warn_share:.0%} of the rows have a dangling foreign key.",
                by_office=by_office,
            ),
            build_check_spec(
                ROWS,
                asset=key,
                description=(
                    f"At most {spec.warn_share:.0%} of the rows are quarantined for their values, at most "
                    f"{spec.warn_share:.0%} of those on mobile are stale, none is foreign, and the run has written no "
                    "phone row."
                ),
                by_office=by_office,
            ),
        ],
    )
    def table(
        context: dg.AssetExecutionContext,
        sync: SyncMode,
    ) -> Iterator[dg.MaterializeResult[OutputHandle[TableExtract, ForwardResult]] | dg.AssetCheckResult]:
        """Yields the rows to sync, which the IO manager reads and merges, then the check results."""
        extract = TableExtract(spec=spec, mode=Mode(sync.mode), **sync.allowances)
        output: OutputHandle[TableExtract, ForwardResult] = OutputHandle(extract, context)
        yield dg.MaterializeResult(value=output, data_version=UNVERSIONED)
        yield check_foreign_keys(spec, output.result)
        yield check_rows(spec, output.result)

    return table
