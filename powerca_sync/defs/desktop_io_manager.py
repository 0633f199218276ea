"""How phone rows land on the desktop: by way of the engine, in one transaction there."""

import contextlib
from collections.abc import Iterator, Sequence

import dagster as dg
from typing_extensions import override

from powerca_sync.defs.connections import KeptConnection
from powerca_sync.defs.delivery import Delivery
from powerca_sync.defs.failures import Retries, retried_if_worthwhile
from powerca_sync.defs.keys import reverse_key
from powerca_sync.defs.metadata import describe_pull
from powerca_sync.engine.postgres import Timeouts
from powerca_sync.engine.requests import TablePull
from powerca_sync.engine.result import Options, ReverseResult
from powerca_sync.engine.reverse import sync_reverse
from powerca_sync.errors import ConfigurationError
from powerca_sync.settings import Settings
from powerca_sync.tables import TableSpec


class DesktopIOManager(dg.IOManager):
    """Lands the phone rows of a mobile table in the office's own table.

    An asset hands over a `Delivery` or a `TablePull`, and nothing else: rows that no phone made have no place here.
    Both connections are kept from one table to the next, until `close`.
    """

    def __init__(self, specs: Sequence[TableSpec], settings: Settings, *, timeouts: Timeouts, retries: Retries) -> None:
        self._specs = specs
        self._mobile = KeptConnection(settings.mobile)
        self._desktop = KeptConnection(settings.desktop)
        self._options = Options(
            timezone=settings.timezone, encoding=settings.encoding, timeouts=timeouts, limits=settings.limits
        )
        self._retries = retries

    @override
    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Bring the rows back, commit, and describe what came of it."""
        with retried_if_worthwhile(self._retries):
            what = obj.what if isinstance(obj, Delivery) else obj
            if not isinstance(what, TablePull) or context.asset_key != reverse_key(what.spec.mobile):
                raise ConfigurationError(
                    f"Asset `{context.asset_key.to_user_string()}` gave a {type(what).__name__}. What lands on the "
                    "desktop are phone rows only: give a TablePull of the table that the asset is named after."
                )
            result = self._pull(what, context.run_id)
        context.add_output_metadata(describe_pull(what.spec, result))
        if isinstance(obj, Delivery):
            obj.arrived(result)

    @override
    def load_input(self, context: dg.InputContext) -> None:
        """Refused: the desktop's tables hold more than what phones made, and mobile has all of it."""
        with retried_if_worthwhile(self._retries):
            key = context.asset_key.to_user_string()
            raise ConfigurationError(
                f"The rows of asset `{key}` cannot be loaded: they are among the office's own on the desktop. Load the "
                "mobile table's asset, or name this one in `deps` if only the order matters."
            )

    def close(self) -> None:
        """End the connections."""
        self._desktop.close()
        self._mobile.close()

    def _pull(self, what: TablePull, run_id: str) -> ReverseResult:
        with self._desktop.taken() as target, self._mobile.taken() as source:
            return sync_reverse(
                what, source=source, target=target, specs=self._specs, options=self._options, run_id=run_id
            )


def build_desktop_io_manager(
    specs: Sequence[TableSpec], *, timeouts: Timeouts, retries: Retries
) -> dg.IOManagerDefinition:
    """The IO manager for phone rows of the tables of `specs`; needs the resource `databases`."""

    @dg.io_manager(  # type: ignore[arg-type]  # which does not say that it takes a context manager too
        required_resource_keys={"databases"},
        description="Lands phone rows on the desktop, each once, with a ledger of what was brought.",
    )
    @contextlib.contextmanager
    def desktop_io_manager(context: dg.InitResourceContext) -> Iterator[DesktopIOManager]:
        databases = context.resources.databases
        with contextlib.closing(DesktopIOManager(specs, databases, timeouts=timeouts, retries=retries)) as manager:
            yield manager

    return desktop_io_manager
