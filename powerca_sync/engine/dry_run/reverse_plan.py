"""The dry run of a reverse run, table by table.

As for a forward run, all tables are planned in one transaction at each side, which is rolled back, and a table that the
desktop's own references name is read with the rows that it would have. No row is inserted into the office's tables, so
that no default is evaluated and no trigger fires; the ledger is brought up to date, or made, and rolled back: the user
of the desktop needs the rights that a pull needs, besides writing to the tables.
"""

import dataclasses
from collections.abc import Sequence

import psycopg
from psycopg import sql
from typing_extensions import override

from powerca_sync.engine.dry_run import preview_sql
from powerca_sync.engine.dry_run.forward_plan import SAMPLES
from powerca_sync.engine.dry_run.table_plan import Change, Prospect
from powerca_sync.engine.mapping import TableMapping
from powerca_sync.engine.postgres import (
    Connection,
    Cursor,
    apply_settings,
    explained,
    one_row,
    server_timezone,
    transaction,
    use_stored_encoding,
)
from powerca_sync.engine.requests import TablePull
from powerca_sync.engine.result import Options, ReverseResult
from powerca_sync.engine.reverse import Pull, insert_sql, ledger
from powerca_sync.errors import SyncError, UnsafeTargetError
from powerca_sync.specs import TableSpec, in_order

#: What no plan can see, because it shows only when a row is written.
UNFORESEEN_PULL = (
    "Not foreseen: what a trigger of the desktop refuses or changes, and rows that only writing shows to break one of "
    "its rules. A run quarantines such rows."
)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PullPlan:
    """The dry run of one table."""

    #: Mobile name.
    table: str
    prospect: Prospect
    #: What the pull would report; None if that cannot be told.
    foreseen: ReverseResult | None = None
    #: The first rows that would be inserted at the desktop.
    inserts: tuple[Change, ...] = ()
    #: What the guards would refuse.
    refusals: tuple[str, ...] = ()
    #: Why the table fails.
    error: str | None = None
    #: Class of what it fails with.
    kind: str | None = None


def plan_reverse(
    wanted: Sequence[TablePull],
    *,
    source: Connection,
    target: Connection,
    specs: Sequence[TableSpec],
    options: Options | None = None,
) -> tuple[PullPlan, ...]:
    """Returns what `sync_reverse` would do now for each of the tables, parents first; `source` is mobile.

    A table that cannot be planned is an error of its own. Raises a `SyncError` where no table can be planned, such as
    for a lost connection. Changes nothing at either side.
    """
    options = options or Options()
    by_name = {one.spec.mobile: one for one in wanted}
    ordered = [by_name[spec.mobile] for spec in in_order(specs) if spec.mobile in by_name]
    plans: list[PullPlan] = []
    with explained("planning the pull"):
        is_new = not ledger.is_prepared(target)
        timezone = options.timezone or server_timezone(target)
        with transaction(target, timezone=timezone, timeouts=options.timeouts) as target_cursor:
            with transaction(source, timezone="UTC", timeouts=options.timeouts, snapshot=True) as source_cursor:
                if is_new:
                    ledger.complete_ledger(target_cursor)
                use_stored_encoding(target_cursor, options.encoding)
                rows: dict[tuple[str, str], sql.Identifier] = {}
                for request in ordered:
                    pull = _PlannedPull(request, source_cursor, target_cursor, specs, options, timezone, rows)
                    plans.append(_plan_or_error(pull))
            raise psycopg.Rollback
    return tuple(plans)


def _plan_or_error(pull: "_PlannedPull") -> PullPlan:
    name = pull.spec.mobile
    try:
        with (
            explained(f"planning the pull of `{name}`"),
            # A statement that fails spoils the transaction, but not what came before a savepoint.
            pull.source.connection.transaction(),
            pull.target.connection.transaction(),
        ):
            return _plan(pull)
    except UnsafeTargetError as exc:
        return PullPlan(table=name, prospect=Prospect.REFUSED, refusals=(str(exc),))
    except SyncError as exc:
        if pull.source.connection.closed or pull.target.connection.closed:
            raise
        return PullPlan(table=name, prospect=Prospect.FAILED, error=str(exc), kind=type(exc).__name__)


def _plan(pull: "_PlannedPull") -> PullPlan:
    # A table before this one was read in the office's zone.
    apply_settings(pull.source, {"TimeZone": "UTC"})
    notes = pull.resolve()
    if not pull.has_phone_rows:
        return PullPlan(table=pull.spec.mobile, prospect=Prospect.READY, foreseen=pull.nothing_to_pull(notes))
    pull.target.execute(insert_sql.create_would_be_pulled())
    last = ledger.read_last_pull(pull.target, pull.spec.desktop)
    found, staged, adopted = pull.prepare(pull.look(), last, release_source=lambda: None)
    (inserts,) = one_row(pull.target, insert_sql.number_inserts())
    foreseen = pull.account(found, staged, adopted=adopted, pulled=inserts, altered=0)
    foreseen = dataclasses.replace(foreseen, notes=notes)
    samples: tuple[Change, ...] = ()
    if inserts:
        pull.target.execute(insert_sql.sample_inserts(found.mapping, SAMPLES))
        samples = tuple(Change.of(row, found.mapping.target.columns) for row in pull.target.fetchall())
    pull.remember(found.mapping, inserts)
    pull.target.execute(preview_sql.drop_working_tables())
    pull.target.execute(insert_sql.drop_working_tables())
    return PullPlan(
        table=pull.spec.mobile,
        prospect=Prospect.READY,
        foreseen=foreseen,
        inserts=samples,
    )


class _PlannedPull(Pull):
    """A pull that moves no sequence of the ledger."""

    def __init__(
        self,
        request: TablePull,
        source: Cursor,
        target: Cursor,
        specs: Sequence[TableSpec],
        options: Options,
        timezone: str,
        rows: dict[tuple[str, str], sql.Identifier],
    ) -> None:
        super().__init__(request, source, target, specs, options, timezone, None)
        self.rows = rows
        self.into = insert_sql.WOULD_BE_PULLED

    def remember(self, mapping: TableMapping, inserts: int) -> None:
        """Have later tables see the rows that would be inserted, if the desktop's references name them."""
        named = {column for key in mapping.target.referenced_by for column in key.parent_columns}
        if not (inserts and named):
            return
        place, name = len(self.rows), (mapping.target.schema, mapping.target.name)
        self.target.execute(preview_sql.create_planned(mapping, place, sorted(named)))
        self.rows[name] = preview_sql.planned(place)

    @override
    def warn(self, sentence: str) -> None:
        # The plan shows it; in the log it would be told twice.
        self.warnings.append(sentence)

    @override
    def _map(self) -> TableMapping:
        mapping = super()._map()
        return dataclasses.replace(mapping, scope=dataclasses.replace(mapping.scope, planned=self.rows))
