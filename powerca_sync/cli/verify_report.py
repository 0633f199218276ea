"""The output of `powerca-sync verify`: for each table whether both databases agree, and the rows that differ."""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from powerca_sync.cli.console import Console
from powerca_sync.engine.verify import Difference, Known, Sample, Verification
from powerca_sync.environment import is_demo
from powerca_sync.plain_text import counted

DIFFERENCES: Mapping[Difference, str] = {
    Difference.MISSING: "missing on mobile",
    Difference.EXTRA: "extra on mobile, or deleted on the desktop since",
    Difference.DIFFERENT: "different",
}
#: Why a known difference is no error.
KNOWN: Mapping[Known, str] = {
    Known.KEPT: "a mobile row of another owner is kept",
    Known.ECHO: "reverse-synced",
    Known.SUPERSEDED: "exact copy of another row",
    Known.QUARANTINED: "quarantined",
    Known.HELD: "last good version of a quarantined row",
    Known.CHANGED: "changed on the desktop since the last run",
    Known.STALE: "deleted on the desktop, kept on mobile by the spec",
    Known.KEPT_REFERENCED: "deleted on the desktop, kept because other rows depend on it",
    Known.KEPT_OTHER: "on mobile, neither the desktop's nor a phone's",
    Known.MOBILE_OWNED: "other values of columns that mobile owns",
}
#: Characters of a value that fit a line.
WIDTH = 60


def report_verification(console: Console, found: Sequence[Verification], *, seconds: float) -> None:
    """Each table; then the rows that differ, and what is known; the last line names the tables that differ."""
    header = ("table", "desktop", "mobile", "agree", *(kind.value for kind in Difference), "known", "seconds")
    rows = [_row(one) for one in found if one.outcome]
    if rows:
        console.table(header, rows, spare=("seconds",))
    for one in found:
        for line in _details(one):
            console.show(line)
    if differing := [one.table for one in found if not one.agrees]:
        console.show(
            f"[X] The two sides differ: {', '.join(differing)}. A full run (`powerca-sync forward --mode full`) mends "
            "what it can; what differs after that is altered by something on mobile."
        )
    else:
        console.show(f"[OK] {counted(len(found), 'table')} agree, known differences aside ({seconds:.1f} s).")
    console.document(
        {
            "agrees": not differing,
            "demo": is_demo(),
            "seconds": seconds,
            "tables": [{"agrees": one.agrees, **dataclasses.asdict(one)} for one in found],
        }
    )


def _row(found: Verification) -> tuple[Any, ...]:
    outcome = found.outcome
    assert outcome is not None
    return (
        found.table,
        outcome.desktop,
        outcome.mobile,
        outcome.agreeing,
        *(outcome.differences[kind] for kind in Difference),
        sum(outcome.known.values()),
        found.seconds,
    )


def _details(found: Verification) -> Iterator[str]:
    if found.error:
        yield f"[X] {found.table}: {found.error}"
    for warning in found.warnings:
        yield f"[WARN] {found.table}: {warning}."
    for note in found.notes:
        yield f"       {found.table}: {note}."
    if found.outcome is None:
        return
    for kind, words in DIFFERENCES.items():
        if rows := found.outcome.differences[kind]:
            columns = ", ".join(f"{name} ({count})" for name, count in found.outcome.columns.items())
            where = f" in {columns}" if kind is Difference.DIFFERENT and columns else ""
            yield f"[X] {found.table}: {counted(rows, 'row')} {words}{where}."
            yield from (_line(sample) for sample in found.outcome.samples if sample.kind is kind)
    for known, rows in found.outcome.known.items():
        # The reasons say it.
        if known is not Known.QUARANTINED or not found.outcome.rejections:
            yield f"       {found.table}: {counted(rows, 'row')} known ({known.value}): {KNOWN[known]}."
    for rejection in found.outcome.rejections:
        yield f"       {found.table}: {rejection}."


def _line(sample: Sample) -> str:
    key = ", ".join(f"{name}={_shown(value)}" for name, value in sample.key.items())
    if not key:
        row = sample.desktop or sample.mobile or {}
        key = ", ".join(f"{name}={_shown(value)}" for name, value in row.items())
    here, there = sample.desktop or {}, sample.mobile or {}
    changes = [
        f"{name}: {_shown(here.get(name))} on the desktop, {_shown(there.get(name))} on mobile"
        for name in sample.columns
    ]
    return f"       {key}{': ' if changes else ''}{'; '.join(changes)}"


def _shown(value: str | None) -> str:
    if value is None:
        return "NULL"
    text = json.dumps(value)
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 4]}...{text[-1]}"
