"""The IO manager of reverse sync: the engine inserts phone rows on the desktop in one transaction."""

import dataclasses
from collections.abc import Sequence

import dagster as dg
from typing_extensions import override

from powerca_sync.defs.connections import KeptConnections
from powerca_sync.defs.failures import Retries, retry_transient_errors
from powerca_sync.defs.keys import reverse_key
from powerca_sync.defs.load_factory import LoadFactory
from powerca_sync.defs.metadata import describe_pull
from powerca_sync.defs.output_handle import OutputHandle
from powerca_sync.engine.postgres import Timeouts
from powerca_sync.engine.requests import TablePull
from powerca_sync.engine.result import Options, ReverseResult
from powerca_sync.engine.reverse import sync_reverse
from powerca_sync.errors import ConfigurationError
from powerca_sync.settings import Settings
from powerca_sync.specs import TableSpec


class DesktopIOManager(dg.IOManager):
    """Inserts the phone rows of a mobile table into the desktop's table.

    An asset hands over a `OutputHandle` or a `TablePull`, and nothing else: rows that no phone made have no place here.
    Both connections are kept from one table to the next, until `close`.
    """

    def __init__(
        self,
        specs: Sequence[TableSpec],
        settings: Settings,
        *,
        timeouts: Timeouts,
        retries: Retries,
    ) -> None:
        self._specs = specs
        self._mobile = KeptConnections(settings.mobile)
        self._desktop = KeptConnections(settings.desktop)
        self._options = Options(
            timezone=settings.timezone, encoding=settings.encoding, timeouts=timeouts, limits=settings.limits
        )
        self._retries = retries

    @override
    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Reverse-sync the rows, commit, and record the result as metadata."""
        with retry_transient_errors(self._retries):
            what = obj.request if isinstance(obj, OutputHandle) else obj
            if not isinstance(what, TablePull) or context.asset_key != reverse_key(what.spec):
                raise ConfigurationError(
                    f"Asset `{context.asset_key.to_user_string()}` returned a {type(what).__name__}. Only phone rows "
                    "are written to the desktop: return a TablePull of the table that the asset is named after."
                )
            result = self._pull(what, context.run_id)
        if isinstance(obj, OutputHandle):
            obj.set_result(result, describe_pull(result, what.spec))
        else:
            context.add_output_metadata(describe_pull(result, what.spec))

    @override
    def load_input(self, context: dg.InputContext) -> None:
        """Raises: the desktop's tables hold more than phone rows, and mobile has all of them."""
        with retry_transient_errors(self._retries):
            key = context.asset_key.to_user_string()
            raise ConfigurationError(
                f"The rows of asset `{key}` cannot be loaded: the desktop's table has other rows too. Load the mobile "
                "table's asset, or name this one in `deps` if only the order matters."
            )

    def close(self) -> None:
        """Close the connections."""
        self._desktop.close()
        self._mobile.close()

    def _pull(self, what: TablePull, run_id: str) -> ReverseResult:
        with self._desktop.taken() as target, self._mobile.taken() as source:
            return sync_reverse(
                what, source=source, target=target, specs=self._specs, options=self._options, run_id=run_id
            )


def build_desktop_io_manager(
    specs: Sequence[TableSpec], *, databases: object, timeouts: Timeouts, retries: Retries
) -> LoadFactory:
    """Returns the IO manager for phone rows of the tables of `specs`, which uses the resource `databases`."""

    # Of its own for these specs: Dagster copies a factory by its fields, which hold plain values only.
    class DesktopTables(LoadFactory):
        """Inserts phone rows on the desktop, each exactly once, and records them in the ledger."""

        databases: dg.ResourceDependency[Settings]

        @override
        def create_io_manager(self, context: dg.InitResourceContext) -> DesktopIOManager:
            return DesktopIOManager(
                specs,
                self.databases,
                timeouts=self.timeouts,
                retries=dataclasses.replace(retries, most=self.retries, wait=self.wait),
            )

    return DesktopTables.with_defaults(timeouts, retries, databases=databases)
