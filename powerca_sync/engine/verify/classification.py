"""Classify the rows of one table whose digests differ by the actions of their dry run."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from psycopg.types.json import Jsonb

from powerca_sync.engine.dry_run import Change, count_changes, foresee, preview_sql, sample
from powerca_sync.engine.forward import MergePlan, PreparedTable, TableRun, TargetCounts, mobile_owned_sql
from powerca_sync.engine.mapping import TableMapping
from powerca_sync.engine.postgres import Cursor, one_row
from powerca_sync.engine.state import TableState
from powerca_sync.engine.verify import classification_sql
from powerca_sync.engine.verify.verification import Difference, Known, Outcome, Sample
from powerca_sync.specs import Deletes

#: Rows of each difference that are shown.
SAMPLES = 20
#: The key of a row: column to text.
Key = Mapping[str, str | None]


def classify(
    run: TableRun, prepared: PreparedTable, plan: MergePlan, *, before: TableState, recorded: Sequence[tuple[Key, int]]
) -> Outcome:
    """Tell the true differences from the rows that the run would write for a known reason.

    `recorded` has the keys of the rows that the last run has quarantined, and how many rows have each. Comes after the
    merge is planned, and takes the known rows out of the plan.
    """
    target, mapping = run.target, prepared.mapping
    foreseen, counted = foresee(run, prepared, plan), run.count(prepared)
    (taken_over,) = one_row(target, preview_sql.count_taken_over(mapping)) if plan.update else (0,)
    surplus = _count_surplus(target, mapping, plan, taken_over)
    stale = surplus if not prepared.staged.read and _keeps_deleted(mapping) else 0
    entries = Jsonb([{"key": key, "rows": rows} for key, rows in recorded])
    lookups_changed = before.lookups != before.versions
    target.execute(classification_sql.classify(mapping, entries, lookups_changed=lookups_changed, most=SAMPLES))
    classes = Counter[tuple[str | None, str]]()
    refused: list[Key] = []
    for action, name, rows, keys in target.fetchall():
        classes[action, name] = rows
        if name == "different":
            refused += keys or ()
    # The digests of these rows agree, although a run would quarantine them now.
    equal = classes[None, "agreeing"]
    found = Counter(
        agreeing=foreseen.unchanged + classes["update", "agreeing"] + equal,
        missing=classes["insert", "different"] + classes[None, "different"],
        different=classes["update", "different"],
        extra=plan.delete + surplus - stale,
        kept=foreseen.kept_mobile,
        echo=foreseen.echo,
        superseded=foreseen.superseded,
        quarantined=sum(rows for (_, name), rows in classes.items() if name == "quarantined"),
        changed=sum(rows for (_, name), rows in classes.items() if name == "changed"),
        held=foreseen.held + classes["update", "quarantined"] - equal,
        stale=plan.stale + stale,
        kept_referenced=plan.referenced,
        kept_other=counted.other - taken_over,
        mobile_owned=_count_mobile_owned(target, mapping),
    )
    return dataclasses.replace(
        outcome_of(prepared.staged.read, counted, found),
        columns=count_changes(target, mapping) if found["different"] else {},
        samples=tuple(_samples(target, mapping, found, refused)),
        rejections=foreseen.rejections,
        read=prepared.staged.read - prepared.staged.alike - prepared.staged.echo,
    )


def outcome_of(rows: int, counted: TargetCounts, found: Counter[str]) -> Outcome:
    """Returns the outcome for a table of so many desktop rows; `found` counts rows by difference and known reason."""
    return Outcome(
        desktop=rows,
        mobile=counted.owned,
        agreeing=found["agreeing"],
        differences={kind: found[kind] for kind in Difference},
        known={kind: found[kind] for kind in Known if found[kind]},
    )


def _count_surplus(target: Cursor, mapping: TableMapping, plan: MergePlan, taken_over: int) -> int:
    """Count the desktop-owned rows of the target for which the plan has neither a counterpart nor a reason.

    There are some where the source is empty, and where a key repeats that is not unique on the target.
    """
    (looked_at,) = one_row(target, classification_sql.count_looked_at(mapping))
    kept = plan.referenced + plan.held + plan.ambiguous + plan.stale
    return max(0, int(looked_at) - (plan.unchanged + plan.update - taken_over + plan.delete + kept))


def _count_mobile_owned(target: Cursor, mapping: TableMapping) -> int:
    if not mobile_owned_sql.columns_of(mapping):
        return 0
    return int(one_row(target, mobile_owned_sql.count_differing(mapping))[0])


def _keeps_deleted(mapping: TableMapping) -> bool:
    return mapping.pairs_by_key and mapping.spec.deletes is Deletes.KEEP


def _samples(
    target: Cursor, mapping: TableMapping, found: Mapping[str, int], refused: Sequence[Key]
) -> Iterator[Sample]:
    """The first rows of each difference."""
    for kind, statement in (
        (Difference.MISSING, preview_sql.sample_inserts),
        (Difference.EXTRA, preview_sql.sample_deletes),
        (Difference.DIFFERENT, preview_sql.sample_updates),
    ):
        if found[kind]:
            yield from (_sample(kind, change) for change in sample(target, mapping, statement, SAMPLES))
        if kind is Difference.MISSING:
            yield from (Sample(kind=kind, key=_masked(key, mapping.spec.sensitive)) for key in refused)


def _masked(key: Key, sensitive: frozenset[str]) -> Key:
    return {name: "***" if value is not None and name in sensitive else value for name, value in key.items()}


def _sample(kind: Difference, change: Change) -> Sample:
    columns = tuple(change.after or ()) if kind is Difference.DIFFERENT else ()
    return Sample(kind=kind, key=change.key, columns=columns, desktop=change.after, mobile=change.before)
