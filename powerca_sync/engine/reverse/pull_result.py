"""Build the result of a reverse run: count every phone row once, and warn of what needs a person."""

import dataclasses
from collections.abc import Callable, Iterator

from powerca_sync.engine import guards
from powerca_sync.engine.postgres import Cursor, decode_stored_document
from powerca_sync.engine.result import Conflict, ReverseResult
from powerca_sync.engine.reverse import existing_rows_sql
from powerca_sync.engine.reverse.ledger import Findings
from powerca_sync.engine.reverse.matching import MatchedRows, PhoneRows
from powerca_sync.engine.staging import validation
from powerca_sync.plain_text import counted
from powerca_sync.specs import TableSpec


def build_result(
    target: Cursor,
    spec: TableSpec,
    matched: MatchedRows,
    *,
    adopted: int,
    pulled: int,
    altered: int,
    encoding: str | None,
    warn: Callable[[str], None],
) -> ReverseResult:
    """Returns the result without warnings, bytes and seconds; calls `warn` with each warning.

    `encoding` is that of a desktop that declares none. Raises `MergeError` if the counts do not add up to the phone
    rows seen.
    """
    rejections, samples = validation.read_rejections(target)
    conflicts = sum(entry.rows for entry in rejections if entry.reason == "conflict")
    lookalikes = sum(entry.rows for entry in rejections if entry.reason == "lookalike")
    quarantined = sum(entry.rows for entry in rejections) - conflicts - lookalikes
    guards.check_conservation(
        spec,
        extracted=matched.seen,
        accounted={
            "pulled": pulled,
            "already_there": matched.there,
            "adopted": adopted,
            "conflicts": conflicts,
            "lookalikes": lookalikes,
            "quarantined": quarantined,
        },
    )
    for warning in _warnings(conflicts=conflicts, lookalikes=lookalikes, altered=altered):
        warn(warning)
    return dataclasses.replace(
        build_no_op(spec, matched.phones, matched.findings, warn=warn),
        seen=matched.seen,
        already_there=matched.there,
        pulled=pulled,
        adopted=adopted,
        conflicts=conflicts,
        lookalikes=lookalikes,
        quarantined=quarantined,
        gone=matched.gone,
        altered=altered,
        rejections=rejections,
        samples=samples,
        conflict_samples=_conflict_samples(target, encoding) if conflicts or lookalikes else (),
        remarks=tuple(_remarks(matched.findings, gone=matched.gone)),
    )


def build_no_op(
    spec: TableSpec, phones: PhoneRows, findings: Findings, *, warn: Callable[[str], None]
) -> ReverseResult:
    """Returns the result of a run for which every phone row had a ledger entry; calls `warn` with each warning."""
    if phones.unassigned:
        warn(f"{counted(phones.unassigned, 'phone row')} of unknown office; set the organisation on mobile")
    return ReverseResult(
        table=spec.mobile,
        seen=phones.rows,
        already_there=phones.rows,
        changed_after_pull=findings.changed,
        changed_keys=findings.changed_keys,
        missing_after_pull=findings.missing,
        missing_keys=findings.missing_keys,
        unassigned=phones.unassigned,
        remarks=tuple(_remarks(findings, gone=0)),
        columns=phones.mapping.staged,
    )


def _warnings(*, conflicts: int, lookalikes: int, altered: int) -> Iterator[str]:
    if lookalikes:
        yield (
            f"{counted(lookalikes, 'new phone row')} quarantined as a possible copy of a desktop row: compare "
            "the contents, then run `reverse` for this table once with `--adopt-lookalikes` (the same rows) or "
            "`--pull-lookalikes` (other rows)"
        )
    if conflicts:
        yield (
            f"{counted(conflicts, 'phone row')} quarantined because the desktop has another row of the same key. If "
            "they are the same rows, run `reverse` for this table once with `--adopt-lookalikes`"
        )
    if altered:
        yield f"a trigger of the desktop changed {counted(altered, 'row')} on insert"


def _remarks(findings: Findings, *, gone: int) -> Iterator[str]:
    if findings.changed:
        yield f"{counted(findings.changed, 'phone row')} changed after the pull; the desktop keeps what was pulled"
    if findings.missing:
        yield (
            f"{counted(findings.missing, 'pulled row')} no longer on the desktop; `powerca-sync reverse --again` "
            "restores them"
        )
    if gone:
        yield f"{counted(gone, 'reverse-synced row')} deleted on mobile since, kept on the desktop"


def _conflict_samples(target: Cursor, encoding: str | None) -> tuple[Conflict, ...]:
    target.execute(existing_rows_sql.sample_conflicts())
    return tuple(
        Conflict(key=key, phone=phone, desktop=decode_stored_document(target, desktop, encoding) if desktop else {})
        for key, phone, desktop in target.fetchall()
    )
