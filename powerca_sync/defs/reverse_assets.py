"""One asset for each reverse-synced table, built from its spec."""

from collections.abc import Iterable, Iterator, Sequence

import dagster as dg

from powerca_sync.defs.checks import CONFLICTS, QUARANTINE, check_conflicts, check_quarantine
from powerca_sync.defs.keys import DESKTOP, MOBILE, PRIORITY, full_name, mobile_key, parent_keys, reverse_key
from powerca_sync.defs.output_handle import UNVERSIONED, OutputHandle
from powerca_sync.defs.partitions import build_check_spec, partitions
from powerca_sync.defs.pools import REVERSE_POOL
from powerca_sync.defs.resources import PullMode
from powerca_sync.defs.translator import Layer, TableTranslator
from powerca_sync.engine.requests import Choice, TablePull
from powerca_sync.engine.result import ReverseResult
from powerca_sync.specs import BY_HAND, TableSpec

#: Name of the IO manager.
IO_MANAGER = "desktop_io_manager"


def pulled_tables(specs: Iterable[TableSpec]) -> list[TableSpec]:
    """Returns the reverse-synced tables."""
    return [spec for spec in specs if spec.reverse]


def unattended_tables(specs: Iterable[TableSpec]) -> list[TableSpec]:
    """Returns the tables that the sensor and the schedule reverse-sync."""
    return [spec for spec in pulled_tables(specs) if spec.reverse != BY_HAND]


def build_reverse_assets(
    specs: Iterable[TableSpec], translator: TableTranslator, *, by_office: bool
) -> list[dg.AssetsDefinition]:
    """Returns the reverse-synced tables as assets, each after its mobile table and the tables its spec depends on.

    The lineage is the round trip: the desktop's table, the mobile table, the phone rows back on the desktop. They have
    a key of their own, because the desktop's table as both ends would be a circle.
    """
    pulled = pulled_tables(specs)
    return [_build_asset(spec, pulled, translator, by_office=by_office) for spec in pulled]


def _build_asset(
    spec: TableSpec, pulled: Sequence[TableSpec], translator: TableTranslator, *, by_office: bool
) -> dg.AssetsDefinition:
    key = reverse_key(spec)

    @dg.asset(
        key=key,
        deps=[mobile_key(spec), *parent_keys(spec, pulled, reverse_key)],
        metadata={
            "dagster/table_name": full_name(DESKTOP, spec.phone_table),
            "mobile_table": full_name(MOBILE, spec.mobile),
            "key": ", ".join(spec.key),
            **translator.metadata(spec, Layer.REVERSE),
        },
        **translator.attributes(spec, Layer.REVERSE, by_office=by_office),
        pool=None if by_office else REVERSE_POOL,
        partitions_def=partitions(by_office),
        io_manager_key=IO_MANAGER,
        # In a run of all assets, phone rows are the last to move.
        op_tags={PRIORITY: "-1"},
        check_specs=[
            build_check_spec(
                CONFLICTS,
                asset=key,
                description="No phone row conflicts with a row of the desktop or looks like a copy of one.",
                by_office=by_office,
            ),
            build_check_spec(QUARANTINE, asset=key, description="No phone row is quarantined.", by_office=by_office),
        ],
    )
    def table(
        context: dg.AssetExecutionContext,
        pull: PullMode,
    ) -> Iterator[dg.MaterializeResult[OutputHandle[TablePull, ReverseResult]] | dg.AssetCheckResult]:
        """Yields the rows to reverse-sync, which the IO manager reads and inserts, then the check results."""
        output: OutputHandle[TablePull, ReverseResult] = OutputHandle(
            TablePull(spec=spec, again=pull.again, lookalikes=Choice(pull.lookalikes)), context
        )
        yield dg.MaterializeResult(value=output, data_version=UNVERSIONED)
        yield check_conflicts(output.result)
        yield check_quarantine(output.result)

    return table
