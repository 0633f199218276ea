"""The merge against a model of it: random rows on both sides, one run, the end state, and a second run that is quiet.

A source row is (org_id, k, name, ticked), a target row has `source` besides. Organisation 1 is this office's, 2 is
another's. The target refuses the name `bad`, and `ticked` is the phones' own.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from powerca_sync.tables import Deletes, TableSpec
from powerca_sync_tests.helpers import ORGS, Pair, delete_insert, fates, spec


class Row(NamedTuple):
    org: int | None
    k: int | None
    name: str | None
    ticked: int


class Existing(NamedTuple):
    row: Row
    owner: str | None


class Case(NamedTuple):
    """A row and where it is: on one side, on both, or on both with another name on the target."""

    row: Row
    where: str
    other_name: str | None
    owner: str | None


# Seeds, not rows: drawn row by row, most of a few dozen examples would be much alike. A smaller size is what shrinks.
SEEDS = {"seed": st.integers(0, 2**32), "size": st.integers(1, 14)}


def draw(seed: int, size: int, *keys: int | None) -> list[Case]:
    """That many cases with these values of `k`; the fewer values there are, the more rows share one."""
    pick = random.Random(seed).choice
    cases = [
        Case(
            row=Row(pick((1, 1, 1, 1, 1, 2, None)), pick(keys), pick(("a", "a", "b", None, "bad")), pick((0, 1))),
            where=pick(("source", "target", "both", "changed")),
            other_name=pick(("a", "b", "c", None)),
            owner=pick(("D", "D", "M", "S", None)),
        )
        for _ in range(size)
    ]
    note(f"{cases=}")
    return cases


LINES = delete_insert("lines", "org_id", "k", office="org_id", mobile_owned=frozenset({"ticked"}))
KEYLESS = delete_insert("lines", office="org_id", mobile_owned=frozenset({"ticked"}))
ITEMS = spec("items", "k", office="org_id", mobile_owned=frozenset({"ticked"}))
FOLLOWED = spec("items", "k", office="org_id", mobile_owned=frozenset({"ticked"}), deletes=Deletes.PROPAGATE)


@pytest.fixture(scope="module")
def office(shared_pair: Pair) -> Iterator[Pair]:
    """Both tables on both sides, and an office that has organisation 1 of two."""
    columns = "org_id int, k int, name text, ticked int"
    more = "CHECK (name <> 'bad'), source char(1), remark text DEFAULT 'mine', updated_at timestamptz DEFAULT now()"
    for table, key in (("lines", "id bigserial PRIMARY KEY"), ("items", "PRIMARY KEY (k)")):
        shared_pair.source.execute(f"CREATE TABLE {table} ({columns})")
        shared_pair.target.execute(f"CREATE TABLE {table} ({columns}, {more}, {key})")
    shared_pair.source.execute("CREATE TABLE orgs (org_id int); INSERT INTO orgs VALUES (1)")
    shared_pair.target.execute("CREATE TABLE orgs (org_id int PRIMARY KEY, source char(1) DEFAULT 'D')")
    shared_pair.target.execute("INSERT INTO orgs VALUES (2)")
    shared_pair.sync(ORGS)
    return shared_pair


def sides(rows: Iterable[Case]) -> tuple[list[Row], list[Existing]]:
    """The rows of both sides; the target never has the name that it refuses."""
    source, target = [], []
    for row, where, other_name, owner in rows:
        if where != "target":
            source.append(row)
        if where != "source":
            there = row._replace(name=other_name) if where == "changed" or row.name == "bad" else row
            target.append(Existing(there, owner))
    return source, target


def fill(pair: Pair, table: str, source: Iterable[Row], target: Iterable[Existing]) -> None:
    pair.source.execute(f"TRUNCATE {table}")
    pair.target.execute(
        f"TRUNCATE {table} RESTART IDENTITY; TRUNCATE powerca_sync.table_state, powerca_sync.quarantine"
    )
    with pair.source.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {table} VALUES (%s, %s, %s, %s)", list(source))  # noqa: S608
    with pair.target.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {table} (org_id, k, name, ticked, source) VALUES (%s, %s, %s, %s, %s)",  # noqa: S608
            [(*existing.row, existing.owner) for existing in target],
        )


def target_rows(pair: Pair, table: str) -> dict[str, tuple[Existing, str]]:
    """By what identifies a row on mobile: the row, and a text in which any write to it shows."""
    key = "id" if table == "lines" else "k"
    everything = f"{key}, org_id, k, name, ticked, source, ROW(t.ctid, t.xmin, t.*)::text"
    query = f"SELECT {everything} FROM {table} AS t"  # noqa: S608
    return {row[0]: (Existing(Row(*row[1:5]), row[5]), row[6]) for row in pair.rows(query)}


def content(row: Row) -> Row:
    return row._replace(ticked=0)


def in_order(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: tuple((value is not None, value or "") for value in map(str, row)))


def run(pair: Pair, table: TableSpec, expected: dict[str, int]) -> None:
    result = pair.sync(table, ORGS, allow_mass_delete=True)
    assert fates(result) == {fate: count for fate, count in expected.items() if count}


def assert_second_run_is_quiet(pair: Pair, table: TableSpec, expected: dict[str, int]) -> None:
    before = target_rows(pair, table.mobile)
    run(
        pair,
        table,
        {
            **expected,
            "inserted": 0,
            "updated": 0,
            "deleted": 0,
            "unchanged": sum(expected.get(fate, 0) for fate in ("unchanged", "inserted", "updated")),
        },
    )
    assert target_rows(pair, table.mobile) == before


@pytest.mark.parametrize("table", [LINES, KEYLESS], ids=["by key", "without a key"])
@given(**SEEDS)
def test_delete_insert_reaches_the_end_state_by_the_difference(
    office: Pair, table: TableSpec, seed: int, size: int
) -> None:
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
            # One of them is the last good version of the row in quarantine, and nobody knows which.
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
    assert_second_run_is_quiet(office, table, expected)


@pytest.mark.parametrize("table", [ITEMS, FOLLOWED], ids=["vanished rows stay", "vanished rows go"])
@given(**SEEDS)
def test_upsert_reaches_the_end_state_by_the_difference(office: Pair, table: TableSpec, seed: int, size: int) -> None:
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
    assert_second_run_is_quiet(office, table, {**expected, "deleted": 0})


def fits(rows: Iterable[Row]) -> bool:
    return all(row.org == 1 and row.name != "bad" for row in rows)


def assert_others_untouched(before: dict[str, tuple[Existing, str]], after: dict[str, tuple[Existing, str]]) -> None:
    """Rows of phones, of nobody with a mark of its own, and of other offices are as they were, byte for byte."""
    for pk, (existing, text) in before.items():
        if existing.owner in ("M", "S") or existing.row.org != 1:
            assert after[pk] == (existing, text)
