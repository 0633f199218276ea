"""Compare both databases table by table: digests first, then a dry run of the rows whose digests differ.

Each server hashes its own rows. Rows whose digests differ are classified by what a full run would do with them: by a
dry run, in a transaction that is rolled back. Only a table that the source cannot hash, or whose looked-up values are
out of date, is read whole.
"""

import contextlib
import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from psycopg import sql
from typing_extensions import override

from powerca_sync.engine.context import Catalogs, read_context
from powerca_sync.engine.dry_run import PlannedRun
from powerca_sync.engine.forward import (
    Differences,
    NarrowScopeError,
    PreparedTable,
    find_differences,
    prepare_table,
)
from powerca_sync.engine.mapping import XID_HORIZON, Office, Snapshot, TableMapping
from powerca_sync.engine.postgres import (
    PLAIN,
    Connection,
    Cursor,
    apply_settings,
    explained,
    load,
    one_row,
    server_timezone,
    transaction,
)
from powerca_sync.engine.requests import TableExtract
from powerca_sync.engine.result import Options
from powerca_sync.engine.staging import extract_sql
from powerca_sync.engine.state import TableState
from powerca_sync.engine.verify import classification_sql
from powerca_sync.engine.verify.classification import classify, outcome_of
from powerca_sync.engine.verify.verification import Outcome, Verification
from powerca_sync.errors import ConfigurationError, DatabaseUnavailableError, SyncError
from powerca_sync.specs import TableSpec


def verify(
    *,
    source: Connection,
    target: Connection,
    specs: Sequence[TableSpec],
    only: Sequence[TableSpec] | None = None,
    options: Options | None = None,
) -> tuple[Verification, ...]:
    """Compare the tables of `only` (default: all of `specs`), in their order.

    Writes to temporary tables only. A table that cannot be compared does not stop the others. Raises a `SyncError` if
    no table can be compared.
    """
    options = options or Options()
    with explained("verifying: reading the source"):
        timezone = options.timezone or server_timezone(source)
        options = dataclasses.replace(options, timezone=timezone)
    at_desktop = partial(explained, "verifying: reading the source")
    with (
        explained("verifying"),
        transaction(target, timezone=timezone, timeouts=options.timeouts, stable=True) as target_cursor,
        transaction(source, timezone=timezone, timeouts=options.timeouts, stable=True) as source_cursor,
    ):
        context = read_context(source_cursor, target_cursor, specs, at_desktop=at_desktop)

        def start(spec: TableSpec, *, whole: bool = False) -> _VerifyingRun:
            return _VerifyingRun(
                # Foreign rows are extra rows like any other.
                TableExtract(spec=spec, delete_foreign=True),
                source=source_cursor,
                target=target_cursor,
                specs=specs,
                options=options,
                catalogs=context.catalogs,
                whole=whole,
            )

        return tuple(_verify_table(start, spec) for spec in (specs if only is None else only))


def _verify_table(start: Callable[..., "_VerifyingRun"], spec: TableSpec) -> Verification:
    began = time.monotonic()
    run = start(spec)
    outcome, error = None, None
    try:
        try:
            with _undone(run):
                outcome = run.verify()
        except NarrowScopeError:
            run = start(spec, whole=True)
            with _undone(run):
                outcome = run.verify()
    except ConfigurationError:
        raise
    except SyncError as exc:
        lost = run.source.connection.closed or run.target.connection.closed
        # The failure of a foreign server concerns its own table only.
        if exc.retryable and (lost or not isinstance(exc, DatabaseUnavailableError)):
            raise
        error = str(exc)
    return Verification(
        table=spec.mobile,
        outcome=outcome,
        error=error,
        notes=tuple(run.notes),
        warnings=tuple(run.warnings),
        seconds=time.monotonic() - began,
    )


@contextlib.contextmanager
def _undone(run: "_VerifyingRun") -> Iterator[None]:
    """Undo all of one table, so that a failure leaves the snapshots to the next."""
    with (
        explained(f"verifying table `{run.spec.mobile}`"),
        run.target.connection.transaction(force_rollback=True),
        run.source.connection.transaction(force_rollback=True),
    ):
        yield


class _VerifyingRun(PlannedRun):
    """A dry run that reads only the rows whose digests differ."""

    doing = "verifying"

    def __init__(
        self,
        what: TableExtract,
        *,
        source: Cursor,
        target: Cursor,
        specs: Sequence[TableSpec],
        options: Options,
        catalogs: Catalogs,
        whole: bool,
    ) -> None:
        """With `whole` the digests are left aside, and all rows are read."""
        super().__init__(what, source=source, target=target, specs=specs, options=options, catalogs=catalogs)
        self.whole = whole
        self.notes: list[str] = []
        self.warnings: list[str] = []
        #: What the last run has stored.
        self.before = TableState()

    def verify(self) -> Outcome:
        """Compare the table; leaves temporary tables behind."""
        resolved = self.look()
        self.notes += resolved.notes
        if resolved.absent:
            return Outcome()
        prepared = prepare_table(self, release_source=lambda: None, allow_noop=True)
        if self.ledger_warning:
            self.warnings.append(self.ledger_warning)
        if prepared.noop:
            counted = prepared.counted or self.count(prepared)
            return outcome_of(
                prepared.staged.read,
                counted,
                Counter(agreeing=prepared.staged.alike, echo=prepared.echo, kept_other=counted.other),
            )
        plan = self.plan(prepared)
        return classify(self, prepared, plan, before=self.before, recorded=self._recorded())

    @override
    def recall(self, office: Office) -> tuple[Office, TableState]:
        office, self.before = super().recall(office)
        # Rows whose digests agree do agree, whatever else has changed since the last run.
        return office, dataclasses.replace(self.before, rows_read=None, lookups=self.before.versions)

    @override
    def expects_no_rows(self, prepared: PreparedTable) -> bool:
        # `recall` has left out what the last run read; to look for any row would read those of other offices.
        return False

    @override
    def map_table(self, office: Office) -> TableMapping:
        mapping = super().map_table(office)
        changed = _changed_since(mapping, self.before, self.snapshot)
        if changed is None:
            self.warnings.append("rows changed on the desktop since the last run are unknown, and count as differences")
            changed = sql.SQL("FALSE")
        return dataclasses.replace(
            mapping, extra_columns=(*mapping.extra_columns, classification_sql.changed_column(changed))
        )

    @override
    def map_images(self, mapping: TableMapping) -> TableMapping:
        # An image in the ledger has no row version.
        *extra_columns, changed = mapping.extra_columns
        image = dataclasses.replace(changed, source_expression=sql.SQL("NULL"))
        return super().map_images(dataclasses.replace(mapping, extra_columns=(*extra_columns, image)))

    @override
    def find_differences(self, prepared: PreparedTable, *, count: bool) -> Differences | None:
        if self.whole:
            return None
        found = find_differences(
            self.source,
            self.target,
            prepared.mapping,
            rows=self.before.rows_read or 0,
            quarantined=self.before.quarantined,
            has_ledger=prepared.snapshot.has_ledger,
            encoding=self.options.encoding,
            reading=self.reading,
            count=False,
            exact=True,
        )
        if found is None or self._has_wrong_lookups(prepared.mapping):
            return None
        return dataclasses.replace(found, target_counts=dataclasses.astuple(self.count(prepared)))

    def _has_wrong_lookups(self, mapping: TableMapping) -> bool:
        # A table that was never analyzed is assumed to be small; its rows would be compared each with each.
        apply_settings(self.target, {"enable_nestloop": "off"})
        wrong = any(
            one_row(self.target, classification_sql.has_wrong_lookups(mapping, lookup))[0] for lookup in mapping.lookups
        )
        apply_settings(self.target, {"enable_nestloop": "on"})
        return wrong

    def _recorded(self) -> list[tuple[dict[str, str | None], int]]:
        """The keys of the rows that the last run has quarantined, and how many rows have each."""
        if not self.before.quarantined:
            return []
        office = self.snapshot.identity
        self.target.execute(load(__package__, "quarantined_keys.sql"), {"office": office, "table": self.spec.mobile})
        return self.target.fetchall()


def _changed_since(mapping: TableMapping, before: TableState, snapshot: Snapshot) -> sql.Composable | None:
    """A condition on the source's row `s`: it may have changed since the last run. None if that cannot be told.

    By row versions wherever there are any, also for a spec whose cursor are stamps: a change that moved no stamp, which
    incremental runs do not see, is to be found.
    """
    mark, now = before.mark, snapshot.mark(mapping)
    if mark is None or any(mark[name] != value for name, value in now.items() if name not in ("xmin", "lsn", "clock")):
        return None
    age = snapshot.xmin - int(mark["xmin"])
    if mapping.source.kind != PLAIN or not 0 <= age <= XID_HORIZON or snapshot.lsn < int(mark["lsn"]):
        return None
    return extract_sql.changed_since_xid(int(mark["xmin"]))
