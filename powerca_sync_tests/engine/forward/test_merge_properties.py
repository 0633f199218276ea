"""Compare the merge with a model: random rows in both databases, one run, its end state, and a second no-op run."""

from collections import Counter, defaultdict
from collections.abc import Iterator

import pytest
from hypothesis import given

from powerca_sync.specs import Deletes, TableSpec
from powerca_sync_tests.engine.random_offices import (
    FOLLOWED,
    ITEMS,
    KEYLESS,
    LINES,
    SEEDS,
    Existing,
    Row,
    assert_others_untouched,
    assert_second_run_is_noop,
    content,
    create_tables,
    draw,
    fill,
    fits,
    run,
    sides,
    target_rows,
)
from powerca_sync_tests.helpers import Pair

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def office(shared_pair: Pair) -> Iterator[Pair]:
    """Creates both tables in both databases, and an office that has organisation 1 of two."""
    create_tables(shared_pair)
    return shared_pair


@pytest.mark.parametrize("table", [LINES, KEYLESS], ids=["by key", "without a key"])
@given(**SEEDS)
def test_delete_insert_writes_only_the_difference(office: Pair, table: TableSpec, seed: int, size: int) -> None:
    source, target = sides(draw(seed, size, 1, 1, 2, None))
    fill(office, "lines", source, target)
    before = target_rows(office, "lines")
    fit = [row for row in source if row.org == 1 and row.name != "bad"]
    held_keys = {(row.org, row.k) for row in source if row not in fit} if table.key else set()
    ours = [existing for existing, _ in before.values() if existing.row.org == 1]

    expected: Counter[str] = Counter(quarantined=len(source) - len(fit))
    staged = Counter(map(content, fit))
    owned = {owner: Counter(content(row) for row, who in ours if who == owner) for owner in ("D", "M", "S", None)}
    others = owned["M"] + owned["S"]
    unchanged = staged & owned["D"]
    staged -= unchanged
    adopted = staged & owned[None]
    staged -= adopted
    kept = staged & others
    staged -= kept
    loose = owned["D"] - unchanged
    unowned = owned[None] - adopted
    undecided: Counter[Row] = Counter()
    paired = deleted = held = owned_and_held = taken = 0
    for key in {(row.org, row.k) for row in (*staged, *loose, *unowned)}:
        come, own, free = (
            sum(count for row, count in rows.items() if (row.org, row.k) == key) for rows in (staged, loose, unowned)
        )
        if key in held_keys and own + free > come:
            # One of them is the last good version of the quarantined row; which one cannot be known.
            undecided.update({row: count for row, count in staged.items() if (row.org, row.k) == key})
            held += max(own, come)
            owned_and_held += own
            continue
        pairs = min(come, own + free) if table.key else 0
        paired += pairs
        taken += max(0, pairs - own)
        deleted += own - min(pairs, own)
    if not source:
        deleted = 0
    expected.update(
        inserted=staged.total() - undecided.total() - paired,
        updated=adopted.total() + paired,
        unchanged=unchanged.total(),
        kept_mobile=kept.total(),
        quarantined=undecided.total(),
        deleted=deleted,
        held=held,
        kept_other=owned["S"].total() + owned[None].total() - adopted.total() - taken,
    )
    run(office, table, expected)

    after = target_rows(office, "lines")
    assert_others_untouched(before, after)
    desktop = Counter(content(row) for row, owner in (e for e, _ in after.values()) if owner == "D" and row.org == 1)
    wanted = Counter(map(content, fit)) - kept - undecided
    assert desktop >= wanted
    assert desktop.total() == wanted.total() + (owned_and_held if source else owned["D"].total())
    same = Counter(
        content(existing.row)
        for pk, (existing, text) in before.items()
        if after.get(pk, (None, ""))[1] == text and existing.owner == "D" and existing.row.org == 1
    )
    assert same >= unchanged
    assert len(before.keys() - after.keys()) == deleted
    assert len(after.keys() - before.keys()) == expected["inserted"]
    for pk in before.keys() & after.keys():
        assert before[pk][0].row.ticked == after[pk][0].row.ticked
    assert_second_run_is_noop(office, table, expected)


@pytest.mark.parametrize("table", [ITEMS, FOLLOWED], ids=["stale rows retained", "deletes propagated"])
@given(**SEEDS)
def test_upsert_writes_only_the_difference(office: Pair, table: TableSpec, seed: int, size: int) -> None:
    source, target = sides(draw(seed, size, 1, 2, 3, 4, 5, None))
    target = list({existing.row.k: existing for existing in target if existing.row.k}.values())
    fill(office, "items", source, target)
    before = target_rows(office, "items")

    copies = defaultdict(set)
    for row in source:
        copies[row.k].add(row)
    expected: Counter[str] = Counter(superseded=sum(max(0, n - 1) for row, n in Counter(source).items() if row.k))
    end = {existing.row.k: existing for existing, _ in before.values()}
    for k, rows in copies.items():
        if k is None:
            expected["quarantined"] += sum(row.k is None for row in source)
            continue
        (row, *more) = rows
        there = end.get(k)
        if more or row.org != 1 or row.name == "bad" or (there and there.row.org != 1):
            expected["quarantined"] += len(rows)
        elif there is None:
            expected["inserted"] += 1
            end[k] = Existing(row, "D")
        elif there.owner in ("M", "S"):
            expected["kept_mobile"] += 1
        elif there.owner == "D" and content(there.row) == content(row):
            expected["unchanged"] += 1
        else:
            expected["updated"] += 1
            end[k] = Existing(row._replace(ticked=there.row.ticked), "D")
    gone = [e.row.k for e in end.values() if e.owner == "D" and e.row.org == 1 and e.row.k not in copies]
    if source and table.deletes is Deletes.PROPAGATE:
        expected["deleted"] = len(gone)
        end = {k: existing for k, existing in end.items() if k not in gone}
    elif source:
        expected["stale"] = len(gone)
    expected["held"] = sum(
        1
        for k, rows in copies.items()
        if k in end and end[k].owner == "D" and end[k].row.org == 1 and (len(rows) > 1 or not fits(rows))
    )
    expected["kept_other"] = sum(1 for e in end.values() if e.row.org == 1 and e.owner in ("S", None))
    run(office, table, expected)

    after = target_rows(office, "items")
    assert_others_untouched(before, after)
    assert {k: existing for k, (existing, _) in after.items()} == end
    assert sum(after.get(k, (None, ""))[1] == text for k, (_, text) in before.items()) == (
        len(before) - expected["updated"] - expected["deleted"]
    )
    assert_second_run_is_noop(office, table, {**expected, "deleted": 0})
