"""The IO manager of the mobile tables: the engine stages and merges an asset's rows in one transaction."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import dagster as dg
from typing_extensions import override

from powerca_sync.defs.connections import KeptConnections
from powerca_sync.defs.failures import Retries, retry_transient_errors
from powerca_sync.defs.jobs import forward_job_name
from powerca_sync.defs.keys import desktop_key, mobile_key
from powerca_sync.defs.load_factory import LoadFactory
from powerca_sync.defs.metadata import Metadata, describe, describe_source
from powerca_sync.defs.output_handle import OutputHandle
from powerca_sync.defs.partitions import latest_event, office_of
from powerca_sync.defs.resources import SyncMode
from powerca_sync.engine.forward import ReadAhead
from powerca_sync.engine.load import load_rows
from powerca_sync.engine.postgres import Connection, Timeouts
from powerca_sync.engine.requests import Mode, TableExtract, TextRows
from powerca_sync.engine.result import Options
from powerca_sync.engine.state import state
from powerca_sync.errors import ConfigurationError, SyncError
from powerca_sync.settings import Settings
from powerca_sync.specs import TableSpec, in_order

if TYPE_CHECKING:
    import pandas as pd


class PostgresIOManager(dg.IOManager):
    """Loads the rows of an asset into the mobile table of its key, and reads them from there.

    A generated asset hands over a `OutputHandle`; one written in Python may return a `TableExtract`, `TextRows` or a
    DataFrame with all that the table should hold. While one table is synced, the next one of `ahead` is read. The
    connections are kept from one table to the next, until `close`.
    """

    def __init__(
        self,
        specs: Sequence[TableSpec],
        settings: Settings,
        sync: SyncMode,
        *,
        ahead: Sequence[TableSpec],
        instance: dg.DagsterInstance,
        office: str | None,
        timeouts: Timeouts,
        retries: Retries,
    ) -> None:
        self._office = office
        self._specs = {mobile_key(spec): spec for spec in specs}
        self._mobile = KeptConnections(settings.mobile)
        self._desktop = KeptConnections(settings.desktop)
        self._sync = sync
        self._options = Options(
            timezone=settings.timezone,
            encoding=settings.encoding,
            timeouts=timeouts,
            limits=settings.limits,
            verify_on_commit=sync.verify_on_commit,
            tables_at_once=settings.tables_at_once,
        )
        self._tables = ReadAhead(ahead, specs, connect=self._connections, options=self._options)
        self._retries = retries
        self._instance = instance

    @override
    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Sync the asset's rows, commit, and record the result as metadata."""
        with retry_transient_errors(self._retries):
            spec = self._spec(context.asset_key)
            what = obj.request if isinstance(obj, OutputHandle) else _as_rows(obj, spec, self._sync)
            result = self._tables.sync(what)
        office = context.partition_key if context.has_partition_key else None
        metadata = describe(result, spec, last=lambda: self._last_metadata(context.asset_key, office))
        if not isinstance(obj, OutputHandle):
            context.add_output_metadata(metadata)
            return
        obj.set_result(result, metadata)
        if result.mode_requested is Mode.FULL:
            # Of an external asset. Dagster's UI shows its rows and columns only from a materialization, and calls a
            # table that was observed "never materialized".
            seen = describe_source(result, spec)
            context.log_event(dg.AssetMaterialization(asset_key=desktop_key(spec), partition=office, metadata=seen))

    def _last_metadata(self, key: dg.AssetKey, office: str | None) -> Metadata:
        """Returns the metadata of the table's last run; empty if there was none."""
        last = latest_event(self._instance, key, office)
        return last.asset_materialization.metadata if last and last.asset_materialization else {}

    @override
    def load_input(self, context: dg.InputContext) -> "pd.DataFrame":
        """Returns this office's rows of the mobile table; see `frames.to_frame` for the dtypes."""
        from powerca_sync.defs.frames import to_frame

        with retry_transient_errors(self._retries), self._connections() as (source, target):
            loaded = load_rows(
                self._spec(context.asset_key),
                source=source,
                target=target,
                specs=tuple(self._specs.values()),
                options=self._options,
            )
        return to_frame(loaded)

    def close(self) -> None:
        """Stop reading ahead, and close the connections."""
        self._tables.close()
        self._desktop.close()
        self._mobile.close()

    @contextlib.contextmanager
    def _connections(self, failing: str | None = None) -> Iterator[tuple[Connection, Connection]]:
        """Yields both connections; if the desktop does not answer, records the error for the table `failing`.

        Not if it is one of several, and mobile cannot tell which: its error would be shown at the only registered one.
        """
        with self._mobile.taken() as target, contextlib.ExitStack() as stack:
            try:
                source = stack.enter_context(self._desktop.taken())
            except SyncError as exc:
                if failing and self._office is None:
                    state.record_failure(target, failing, str(exc), office=None)
                raise
            yield source, target

    def _spec(self, key: dg.AssetKey) -> TableSpec:
        if key not in self._specs:
            known = ", ".join(known.to_user_string() for known in self._specs)
            raise ConfigurationError(
                f"Asset `{key.to_user_string()}` has no spec. Add one in `tables.py`, or use another "
                f"IO manager. Known tables: {known}."
            )
        return self._specs[key]


def build_io_manager(
    specs: Sequence[TableSpec],
    *,
    copied: Sequence[TableSpec],
    databases: object,
    sync: object,
    timeouts: Timeouts,
    retries: Retries,
) -> LoadFactory:
    """Returns the IO manager for the tables of `specs`, which uses the resources `databases` and `sync`.

    `copied` are those whose rows come from the desktop.
    """

    # Of its own for these specs: Dagster copies a factory by its fields, which hold plain values only.
    class MobileTables(LoadFactory):
        """Stages rows and merges them into the mobile table; reads them as a DataFrame."""

        databases: dg.ResourceDependency[Settings]
        sync: dg.ResourceDependency[SyncMode]

        @override
        def create_io_manager(self, context: dg.InitResourceContext) -> PostgresIOManager:
            # A run always has an instance.
            assert context.instance is not None
            assert context.run is not None
            return PostgresIOManager(
                specs,
                self.databases,
                self.sync,
                ahead=selected_tables(context.run, [spec for spec in in_order(specs) if spec in copied]),
                instance=context.instance,
                office=office_of(context.run),
                timeouts=self.timeouts,
                retries=dataclasses.replace(retries, most=self.retries, wait=self.wait),
            )

    return MobileTables.with_defaults(timeouts, retries, databases=databases, sync=sync)


def selected_tables(run: dg.DagsterRun, tables: Sequence[TableSpec]) -> list[TableSpec]:
    """Returns those of the tables that the run syncs, as far as it is known; none for a whole job of somebody else."""
    selected, steps = run.asset_selection, run.step_keys_to_execute
    if not selected and steps is None and run.job_name not in map(forward_job_name, Mode):
        return []
    keys = {spec.mobile: mobile_key(spec) for spec in tables}
    return [
        spec
        for spec in tables
        if (not selected or keys[spec.mobile] in selected)
        and (steps is None or keys[spec.mobile].to_python_identifier() in steps)
    ]


def _as_rows(obj: object, spec: TableSpec, sync: SyncMode) -> TableExtract | TextRows:
    """Returns what an asset written in Python has returned, in a form that the engine takes."""
    if isinstance(obj, TableExtract | TextRows):
        return obj
    # Takes a third of a second to import, which only such assets need.
    import pandas as pd

    if isinstance(obj, pd.DataFrame):
        return _from_frame(obj, spec, sync)
    raise ConfigurationError(
        f"The asset of table `{spec.mobile}` returned a {type(obj).__name__}. Return one of: TableExtract, TextRows, "
        "DataFrame."
    )


def _from_frame(frame: "pd.DataFrame", spec: TableSpec, sync: SyncMode) -> TextRows:
    from powerca_sync.defs.frames import copy_rows, types_of

    names = [str(name) for name in frame.columns]
    if len(set(names)) < len(names) or names != list(frame.columns):
        raise ConfigurationError(
            f"The DataFrame for table `{spec.mobile}` needs columns with different names of type str; it has: "
            f"{', '.join(map(repr, frame.columns))}."
        )
    return TextRows(
        spec=spec,
        columns=tuple(names),
        rows=lambda wanted: copy_rows(frame, wanted),
        types=types_of(frame),
        **sync.allowances,
    )
