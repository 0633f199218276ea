"""Guards: refuse a run that deletes, inserts, empties or quarantines too much.

Each refusal names the table, the numbers, the limit and the option that allows it once.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from powerca_sync.engine.staging import Quarantined
from powerca_sync.errors import MergeError, UnsafeTargetError
from powerca_sync.plain_text import counted
from powerca_sync.settings import Limits
from powerca_sync.specs import TableSpec

#: Share of quarantined rows from which a table of any size is refused.
NEARLY_ALL = 0.9


def with_limits(spec: TableSpec, limits: Limits) -> TableSpec:
    """Returns the spec with its own limits replaced by those that `limits` sets."""
    chosen: dict[str, Any] = {
        "mass_delete_share": limits.mass_delete_share,
        "mass_delete_rows": limits.mass_delete_rows,
        "limit_share": limits.quarantine_share,
        "limit_rows": limits.quarantine_rows,
    }
    return dataclasses.replace(spec, **{name: limit for name, limit in chosen.items() if limit is not None})


def check_not_emptied(spec: TableSpec, *, read: int, read_before: int | None, allowed: bool) -> None:
    """Raises `UnsafeTargetError` if the source has no rows and the last full run read some.

    An empty source deletes no row of the target, even if `allowed`.
    """
    if read_before and not read and not allowed:
        raise UnsafeTargetError(
            f"Table `{spec.desktop}` is empty at the source; the last run read {counted(read_before, 'row')}; the "
            "limit is 1. Nothing was written. Check that the source is the right database and its refresh is not "
            "running. If the table really is empty now, run once with `--allow-mass-delete`; the target's rows stay "
            "in any case."
        )


def check_mass_delete(spec: TableSpec, *, deletes: int, owned: int, allowed: bool, foreign: int = 0) -> None:
    """Raises `UnsafeTargetError` if more of the office's `owned` rows would be deleted than the spec's limit.

    Beside them there are `foreign` rows, which others have inserted or changed on mobile and which do not count.
    """
    limit = max(spec.mass_delete_rows, int(spec.mass_delete_share * owned))
    if deletes > limit and not allowed:
        others = (
            f" Not counted: {counted(foreign, 'more row')} inserted or changed on mobile by others; the next run that "
            "succeeds lists them."
        )
        raise UnsafeTargetError(
            f"Table `{spec.mobile}`: {deletes} of the office's {counted(owned, 'row')} would be deleted; the "
            f"limit is {limit}."
            f"{others if foreign else ''} Nothing was written. Check that the source is complete. To allow it once, "
            "run with `--allow-mass-delete`."
        )


def check_mass_insert(spec: TableSpec, *, inserts: int, grown: int | None, owned: int, allowed: bool) -> None:
    """Raises `UnsafeTargetError` if too many rows would be added to the office's `owned` rows.

    `grown` is the number of rows by which the source has grown since the last full run; None if unknown. Inserts beyond
    it restore rows that were deleted on mobile, and do not count.
    """
    limit = max(spec.mass_insert_rows, int(spec.mass_insert_share * owned))
    if owned and min(inserts, inserts if grown is None else grown) > limit and not allowed:
        raise UnsafeTargetError(
            f"Table `{spec.mobile}`: {counted(inserts, 'row')} would be inserted beside the office's {owned}; the "
            f"limit is {limit}. Nothing was written. Check that the source does not hold its rows several times. To "
            "allow it once, run with `--allow-mass-insert`."
        )


def check_emptied(spec: TableSpec, *, emptied: Mapping[str, tuple[int, int]]) -> None:
    """Raises `UnsafeTargetError` if too many values of a column would become NULL or blank.

    `emptied` maps a column to (values that would be lost, values that it has now).
    """
    lost = {
        column: (values, of)
        for column, (values, of) in emptied.items()
        if values > spec.emptied_rows and values > spec.emptied_share * of
    }
    if lost:
        columns = ", ".join(f"`{column}` in {values} of {counted(of, 'row')}" for column, (values, of) in lost.items())
        raise UnsafeTargetError(
            f"Table `{spec.mobile}`: columns would be emptied: {columns}; the limit is {spec.emptied_share:.0%} and "
            f"{counted(spec.emptied_rows, 'value')}. Nothing was written. Check that the refresh of the source has "
            "filled these columns. To allow it once, run with `--allow-emptied`."
        )


def exceeds_quarantine(spec: TableSpec, *, quarantined: int, rows: int) -> bool:
    """Returns whether too many of the table's `rows` are quarantined.

    The limit is exceeded by more rows than `limit_rows` together with a larger share than `limit_share`, or by 90 % of
    a table of any size. A `limit_share` of 1 allows everything.
    """
    if spec.limit_share >= 1 or not quarantined:
        return False
    return quarantined >= NEARLY_ALL * rows or (quarantined > spec.limit_rows and quarantined > spec.limit_share * rows)


def check_quarantine(spec: TableSpec, *, quarantined: int, rows: int, samples: Sequence[Quarantined]) -> None:
    """Raises `UnsafeTargetError` if too many of the table's `rows` are quarantined."""
    if exceeds_quarantine(spec, quarantined=quarantined, rows=rows):
        reasons = "; ".join(dict.fromkeys(str(sample) for sample in samples[:5]))
        action = (
            "Several offices use the same keys; `docs/offices.md` shows the ways out."
            if any(sample.is_foreign for sample in samples)
            else "Correct these rows. To allow it once, run with `POWERCA_QUARANTINE_SHARE=1` in the environment; for "
            "good, raise `limit_share` of the spec."
        )
        raise UnsafeTargetError(
            f"Table `{spec.mobile}`: {quarantined} of {counted(rows, 'row')} ({_percent(quarantined / rows)}) would "
            f"go to quarantine; the limit is {_percent(spec.limit_share)} and more than "
            f"{counted(spec.limit_rows, 'row')}, or nearly all rows, however few. Nothing was written. For example: "
            f"{reasons}. {action}"
        )


def _percent(share: float) -> str:
    return f"{share * 100:.2g}%" if share < 1 else f"{share:.0%}"


def check_conservation(spec: TableSpec, *, extracted: int, accounted: dict[str, int]) -> None:
    """Raises `MergeError` unless each row that was read is counted exactly once in `accounted`."""
    if sum(accounted.values()) != extracted:
        counts = ", ".join(f"{count} {outcome}" for outcome, count in accounted.items())
        raise MergeError(
            f"Table `{spec.mobile}`: {counted(extracted, 'row')} read, but {sum(accounted.values())} accounted for "
            f"({counts}). Nothing was written. This is a defect of the sync; please report it."
        )


def check_carried_over(spec: TableSpec, *, doubtful: int) -> None:
    """Raises `UnsafeTargetError` if it is unknown of some phone rows whether they have been reverse-synced.

    These rows are identified by their content, whose form has changed, and no longer equal the content that the ledger
    has stored.
    """
    if doubtful:
        raise UnsafeTargetError(
            f"Table `{spec.mobile}`: columns of mobile have changed, and of {counted(doubtful, 'phone row')} it "
            "cannot be told whether they have been reverse-synced: ledger entries have the same key and other "
            "content; the limit is 0 rows. Nothing was written. Compare the rows of both databases, then run "
            "`reverse` for this table once with `--adopt-lookalikes` (the desktop has them) or `--pull-lookalikes` "
            "(they are new)."
        )
