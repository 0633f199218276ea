"""Build the result of a reverse run: count every phone row once, and warn of what needs a person."""

from collections.abc import Callable, Iterator

from powerca_sync.engine import guards
from powerca_sync.engine.postgres import Cursor, decode_stored_document
from powerca_sync.engine.result import Conflict, ReverseResult
from powerca_sync.engine.reverse import existing_rows_sql
from powerca_sync.engine.reverse.matching import MatchedRows
from powerca_sync.engine.staging import validation
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
    counts = {
        "pulled": pulled,
        "already_there": matched.there,
        "adopted": adopted,
        "conflicts": conflicts,
        "lookalikes": lookalikes,
        "quarantined": sum(entry.rows for entry in rejections) - conflicts - lookalikes,
    }
    guards.check_conservation(spec, extracted=matched.seen, accounted=counts)
    for warning in _warnings(matched, conflicts=conflicts, lookalikes=lookalikes, altered=altered):
        warn(warning)
    return ReverseResult(
        table=spec.mobile,
        seen=matched.seen,
        **counts,
        changed_after_pull=matched.changed,
        missing_after_pull=matched.missing,
        unassigned=matched.unassigned,
        gone=matched.gone,
        altered=altered,
        rejections=rejections,
        samples=samples,
        conflict_samples=_conflict_samples(target, encoding) if conflicts or lookalikes else (),
        changed_keys=matched.changed_keys,
        missing_keys=matched.missing_keys,
        notes=(),
        warnings=(),
        seconds={},
        remarks=tuple(_remarks(matched)),
        columns=matched.mapping.staged,
    )


def _warnings(matched: MatchedRows, *, conflicts: int, lookalikes: int, altered: int) -> Iterator[str]:
    if lookalikes:
        yield (
            f"{lookalikes} new phone rows look like rows that the desktop has already, and are quarantined: compare "
            "the contents, then run `reverse` for this table once with `--adopt-lookalikes` (they are the same rows) "
            "or `--pull-lookalikes` (they are other rows)"
        )
    if conflicts:
        yield (
            f"{conflicts} phone rows have a key under which the desktop has another row; they are quarantined. If "
            "they are the same rows, run `reverse` for this table once with `--adopt-lookalikes`"
        )
    if matched.unassigned:
        yield f"{matched.unassigned} phone rows have no known office; give them an organisation on mobile"
    if altered:
        yield f"a trigger of the desktop changed {altered} rows as they were inserted"


def _remarks(matched: MatchedRows) -> Iterator[str]:
    if matched.changed:
        yield f"{matched.changed} phone rows were changed after their pull; the desktop keeps what was pulled"
    if matched.missing:
        yield (
            f"{matched.missing} pulled rows are no longer on the desktop; `powerca-sync reverse --again` inserts them "
            "again"
        )
    if matched.gone:
        yield f"{matched.gone} reverse-synced rows were deleted on mobile since; the desktop keeps them"


def _conflict_samples(target: Cursor, encoding: str | None) -> tuple[Conflict, ...]:
    target.execute(existing_rows_sql.sample_conflicts())
    return tuple(
        Conflict(key=key, phone=phone, desktop=decode_stored_document(target, desktop, encoding) if desktop else {})
        for key, phone, desktop in target.fetchall()
    )
