"""Report the rows that a run would quarantine, as dry runs of both directions find them."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from powerca_sync.engine.doctor.columns import Layout
from powerca_sync.engine.doctor.copies import describe_copies, examine_copies
from powerca_sync.engine.doctor.findings import Finding, Severity, by_share, listed
from powerca_sync.engine.doctor.side import Side, unexamined
from powerca_sync.engine.dry_run import Prospect, PullPlan, TablePlan, plan_forward, plan_reverse
from powerca_sync.engine.postgres import Connection, Timeouts
from powerca_sync.engine.requests import TableExtract, TablePull
from powerca_sync.engine.result import Options, Transfer
from powerca_sync.engine.staging import Rejections, find_large_objects
from powerca_sync.errors import SyncError
from powerca_sync.plain_text import counted
from powerca_sync.settings import Limits
from powerca_sync.specs import TableSpec

#: Reasons of one table that are listed.
MOST_REASONS = 5
#: No guard ends a dry run of doctor, which reports on every table.
_UNLIMITED = Limits(mass_delete_share=1.0, quarantine_share=1.0)

Plans = TypeVar("Plans", bound=Sequence[TablePlan] | Sequence[PullPlan])


def examine_desktop_rows(
    source: Side, target: Side, specs: Sequence[TableSpec], layout: Layout, options: Options
) -> Iterator[Finding]:
    """Yield a finding for each reason for which a forward run would quarantine rows, and one for exact copies."""
    options = dataclasses.replace(options, limits=_UNLIMITED, transfer=Transfer.DIFFERENCES, timeouts=Timeouts(lock=2))
    wanted = [
        TableExtract(spec=spec, allow_mass_delete=True, allow_mass_insert=True, allow_emptied=True) for spec in specs
    ]

    def plan(desktop: Connection, mobile: Connection) -> tuple[TablePlan, ...]:
        return plan_forward(wanted, source=desktop, target=mobile, specs=specs, options=options)

    told = set[str]()
    plans = _plan(source, target, plan) if layout.mappings else ()
    planned = {table.table for table in plans or () if table.foreseen is not None}
    for table in plans or ():
        mapping = layout.mappings.get(table.table)
        if mapping is None or table.prospect is Prospect.SKIPPED:
            # What blocks the table, or one that it depends on, is a finding of its own.
            continue
        if table.foreseen is None:
            yield from _unplanned(source.name, table, told)
            continue
        unfit, rows = table.foreseen.quarantined, table.foreseen.extracted
        yield from _report(
            source.name, mapping.spec, table.foreseen.rejections, "row", by_share(mapping.spec, unfit=unfit, rows=rows)
        )
        if table.foreseen.superseded:
            words = f" with the same {listed(mapping.key_names)}" if mapping.pairs_by_key else ""
            words = f"{words}; one is synced"
            yield describe_copies(source.name, table.table, table.foreseen.superseded, rows, words)
    yield from examine_copies(source, layout.only(planned))


def examine_phone_rows(
    source: Side, target: Side, specs: Sequence[TableSpec], layout: Layout, options: Options
) -> Iterator[Finding]:
    """Yield a finding for each reason for which a reverse run would quarantine phone rows."""
    options = dataclasses.replace(options, timeouts=Timeouts(lock=2))
    wanted = [
        TablePull(spec=spec)
        for spec in specs
        if spec.reverse and spec.mobile in layout.mappings and layout.mappings[spec.mobile].has_owner
    ]

    def plan(desktop: Connection, mobile: Connection) -> tuple[PullPlan, ...]:
        return plan_reverse(wanted, source=mobile, target=desktop, specs=specs, options=options)

    told = set[str]()
    plans = _plan(source, target, plan) if wanted else ()
    for table in plans or ():
        if table.foreseen is None:
            yield from _unplanned(target.name, table, told)
            continue
        spec = layout.mappings[table.table].spec
        yield from _report(target.name, spec, table.foreseen.rejections, "phone row", Severity.WARNING)


def examine_large_objects(side: Side, layout: Layout) -> Iterator[Finding]:
    """Yield a finding for each column that holds numbers of large objects."""
    for mapping in layout.mappings.values():
        if side.name == "mobile" and not mapping.spec.reverse:
            continue
        look = partial(find_large_objects, mapping=mapping, at_target=side.name == "mobile")
        table = mapping.table
        for name in side.look(f"the large objects of `{table}`", look, table=table) or ():
            yield Finding(
                severity=Severity.WARNING,
                side=side.name,
                table=table,
                what=f"{table}: {name} holds numbers of large objects, whose content lies outside the table.",
                why="Only the numbers travel, which mean nothing in the other database.",
                do="Keep documents in a column of type bytea, or put the column into `skip` of the table's spec.",
            )


def _plan(source: Side, target: Side, plan: Callable[[Connection, Connection], Plans]) -> Plans | None:
    """Returns the plans of a dry run; None without a connection, or after an error, which is kept as a finding."""
    if source.connection is None or target.connection is None or not (source.is_open and target.is_open):
        return None
    try:
        return plan(source.connection, target.connection)
    except SyncError as exc:
        lost = not (source.is_open and target.is_open)
        source.failed.append(unexamined("both", str(exc), needed=lost))
        return None


def _unplanned(side: str, plan: TablePlan | PullPlan, told: set[str]) -> Iterator[Finding]:
    """That there is no dry run of a table; what concerns several tables in the same words is told once."""
    words = "; ".join(plan.refusals) or f"{plan.table}: {plan.error}"
    if words not in told:
        told.add(words)
        yield unexamined(side, words, table=plan.table, needed=plan.prospect is Prospect.FAILED)


def _report(
    side: str, spec: TableSpec, rejections: Sequence[Rejections], row: str, severity: Severity
) -> Iterator[Finding]:
    quarantined = [rejection for rejection in rejections if not rejection.deferred]
    others = quarantined[MOST_REASONS:]
    reasons = [(rejection.rows, rejection.why) for rejection in quarantined[:MOST_REASONS]]
    if others:
        reasons.append((sum(other.rows for other in others), f"{len(others)} other reasons"))
    for rows, reason in reasons:
        yield Finding(
            severity=severity,
            side=side,
            table=spec.mobile,
            what=f"{spec.mobile}: {counted(rows, row)} would be quarantined: {reason}.",
            why="A run retries quarantined rows until they can be loaded; too many of them roll the table back."
            if row == "row"
            else "A run retries quarantined phone rows until the desktop takes them.",
            do="Correct the rows, or what the reason names; the other rows are synced.",
        )
