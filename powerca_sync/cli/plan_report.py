"""The output of `powerca-sync plan`: for each table the changes that a run would make, and what it would refuse."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from powerca_sync.cli.console import Console
from powerca_sync.engine.dry_run import UNFORESEEN, UNFORESEEN_PULL, Change, Prospect, PullPlan, TablePlan
from powerca_sync.engine.requests import Mode
from powerca_sync.engine.result import ForwardResult, ReverseResult
from powerca_sync.environment import is_demo
from powerca_sync.errors import ConfigurationError
from powerca_sync.plain_text import counted, in_one_line
from powerca_sync.specs import STAMPS

#: Heading of a column in the table of a plan, and the figure in it, by the name that a run gives it.
FIGURES = {
    "read": "extracted",
    "insert": "inserted",
    "update": "updated",
    "delete": "deleted",
    "unchanged": "unchanged",
    "keep": "kept_mobile",
    "echo": "echo",
    "superseded": "superseded",
    "held": "held",
    "stale": "stale",
    "quarantine": "quarantined",
}
#: The same for a reverse run.
PULLED = {
    "seen": "seen",
    "pull": "pulled",
    "already": "already_there",
    "adopt": "adopted",
    "conflicts": "conflicts",
    "look-alikes": "lookalikes",
    "quarantine": "quarantined",
    "changed": "changed_after_pull",
    "missing": "missing_after_pull",
    "unassigned": "unassigned",
}
#: Columns that a narrow terminal can do without, least important first.
SPARE = ("mode", "superseded", "stale", "held", "already", "changed", "missing", "unassigned", "echo")
#: Samples of each kind in the text; the document has all of them.
SHOWN = 3
#: Characters of a row, or of a reason, that fit a line.
WIDTH = 160


def exit_status(plans: Sequence[TablePlan | PullPlan]) -> int:
    """Returns 0 if a run would succeed, 1 if not, 2 if only the configuration is at fault."""
    if all(plan.prospect is Prospect.READY for plan in plans):
        return 0
    kinds = {plan.kind for plan in plans if plan.prospect in (Prospect.FAILED, Prospect.REFUSED)}
    return 2 if kinds == {ConfigurationError.__name__} else 1


def report_plan(console: Console, plans: Sequence[TablePlan | PullPlan], *, mode: Mode | None, seconds: float) -> None:
    """Print the figures of each table and their total; then the changes, with samples, and warnings.

    `mode` is that of a forward run; None for a reverse run.
    """
    figures, unforeseen = (FIGURES, UNFORESEEN) if mode else (PULLED, UNFORESEEN_PULL)
    ready = [plan.foreseen for plan in plans if plan.prospect is Prospect.READY]
    totals = {figure: sum(getattr(foreseen, figure) for foreseen in ready) for figure in figures.values()}
    rows = [_row(plan, figures) for plan in plans if plan.foreseen]
    if rows:
        rows.append(("total", *([""] if mode else []), *totals.values()))
        console.table(("table", *(["mode"] if mode else []), *figures), rows, spare=SPARE)
    for plan in plans:
        for line in _details(plan):
            console.show(line)
    console.show(unforeseen)
    console.show(_last_line(plans, seconds))
    console.document(
        {
            "direction": "forward" if mode else "reverse",
            **({"mode": mode.value} if mode else {}),
            "demo": is_demo(),
            "exit_status": exit_status(plans),
            "seconds": seconds,
            "totals": totals,
            "unforeseen": unforeseen,
            "tables": [_as_document(plan) for plan in plans],
        }
    )


def _row(plan: TablePlan | PullPlan, figures: Mapping[str, str]) -> tuple[Any, ...]:
    mark = "" if plan.prospect is Prospect.READY else " [X]"
    mode = [plan.foreseen.mode_effective.value] if isinstance(plan.foreseen, ForwardResult) else []
    return (f"{plan.table}{mark}", *mode, *(getattr(plan.foreseen, figure) for figure in figures.values()))


def _last_line(plans: Sequence[TablePlan | PullPlan], seconds: float) -> str:
    left_out = [plan.table for plan in plans if plan.prospect is not Prospect.READY]
    if left_out:
        return f"[X] A run would not sync {', '.join(left_out)}. Nothing was changed."
    return f"[OK] {counted(len(plans), 'table')} planned in {seconds:.1f} s. Nothing was changed."


def _details(plan: TablePlan | PullPlan) -> Iterator[str]:
    if foreseen := plan.foreseen:
        if foreseen.notes:
            yield in_one_line(f"{plan.table}: resolved: {'; '.join(foreseen.notes)}.")
        yield from _forward_changes(plan) if isinstance(plan, TablePlan) else _new_phone_rows(plan)
        for entry in foreseen.rejections:
            yield f"[WARN] {plan.table}: {counted(entry.rows, 'row')} would be quarantined: {entry.why}."
        for sample in foreseen.samples[:SHOWN]:
            yield _cut(f"       {_pairs(sample.key)}: {sample}")
        if isinstance(foreseen, ReverseResult):
            for conflict in foreseen.conflict_samples[:SHOWN]:
                yield _cut(f"       {_pairs(conflict.key)}: phone: {_pairs(conflict.phone)}")
                yield _cut(f"       {_pairs(conflict.key)}: desktop: {_pairs(conflict.desktop)}")
        for warning in foreseen.warnings:
            yield in_one_line(f"[WARN] {plan.table}: {warning}.")
        for remark in foreseen.remarks:
            yield in_one_line(f"       {plan.table}: {remark}.")
    for refusal in plan.refusals:
        yield f"[X] {plan.table} would be refused: {refusal}"
    if plan.error:
        yield f"[X] {plan.table} {'would be skipped' if plan.prospect is Prospect.SKIPPED else 'failed'}: {plan.error}"


def _forward_changes(plan: TablePlan) -> Iterator[str]:
    foreseen = plan.foreseen
    assert foreseen is not None
    if foreseen.written:
        yield f"{plan.table}: {_summary(plan, foreseen)}."
    yield from _samples("+", foreseen.inserted, plan.inserts)
    yield from _samples("~", foreseen.updated, plan.updates)
    yield from _samples("-", foreseen.deleted, plan.deletes)


def _new_phone_rows(plan: PullPlan) -> Iterator[str]:
    assert plan.foreseen is not None
    if plan.foreseen.pulled:
        yield f"{plan.table}: {counted(plan.foreseen.pulled, 'row')} to reverse-sync."
    yield from _samples("+", plan.foreseen.pulled, plan.inserts)


def _samples(mark: str, count: int, changes: Sequence[Change]) -> Iterator[str]:
    for change in changes[:SHOWN]:
        yield f"   {mark} {_change(change)}"
    if count > SHOWN:
        yield f"   {mark} ... and {count - SHOWN} more"


def _summary(plan: TablePlan, foreseen: ForwardResult) -> str:
    counts = (("insert", foreseen.inserted), ("update", foreseen.updated), ("delete", foreseen.deleted))
    parts = [f"{counted(count, 'row')} to {action}" for action, count in counts if count]
    if plan.changes:
        changed = ", ".join(f"{column} in {count}" for column, count in plan.changes.items())
        return f"{', '.join(parts)} (changes: {changed})"
    return ", ".join(parts)


def _change(change: Change) -> str:
    if change.before is None:
        return _cut(_pairs(change.after or {}))
    if change.after is None:
        return _cut(_pairs({**change.key, **change.before}))
    changed = (f"{name} {_value(old)} -> {_value(change.after[name])}" for name, old in change.before.items())
    return _cut(f"{_pairs(change.key)}: {', '.join(changed)}")


def _pairs(values: Mapping[str, str | None]) -> str:
    shown = {name: value for name, value in values.items() if value is not None and name not in STAMPS}
    return ", ".join(f"{name}={in_one_line(value)}" for name, value in shown.items())


def _value(value: str | None) -> str:
    return "(empty)" if value is None else f"`{in_one_line(value)}`"


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 4]} ..."


def _as_document(plan: TablePlan | PullPlan) -> dict[str, Any]:
    document: dict[str, Any] = {
        "table": plan.table,
        "prospect": plan.prospect.value,
        "refusals": plan.refusals,
        "error": plan.error,
        "kind": plan.kind,
    }
    if (foreseen := plan.foreseen) is None:
        return document
    values = {field.name: getattr(foreseen, field.name) for field in dataclasses.fields(foreseen)}
    document |= {
        "figures": {name: value for name, value in values.items() if isinstance(value, int | str)},
        "inserts": [dataclasses.asdict(change) for change in plan.inserts],
        "quarantine": [dataclasses.asdict(entry) for entry in foreseen.rejections],
        "quarantine_samples": [dataclasses.asdict(sample) for sample in foreseen.samples],
        "warnings": foreseen.warnings,
        "remarks": foreseen.remarks,
        "seconds": foreseen.seconds,
    }
    if isinstance(foreseen, ReverseResult):
        return document | {"conflicts": [dataclasses.asdict(conflict) for conflict in foreseen.conflict_samples]}
    assert isinstance(plan, TablePlan)
    return document | {
        "changed_columns": plan.changes,
        "updates": [dataclasses.asdict(change) for change in plan.updates],
        "deletes": [dataclasses.asdict(change) for change in plan.deletes],
        "conflicts": foreseen.conflicts,
        "lookups": [dataclasses.asdict(lookup) for lookup in foreseen.lookups],
    }
