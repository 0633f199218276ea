"""Random rows in both databases of a merge, and functions that read them.

A source row is (org_id, k, name, ticked), a target row has `source` besides. Organisation 1 is this office's, 2 is
another's. The target refuses the name `bad`, and `ticked` is mobile-owned.
"""

import random
from collections.abc import Iterable
from typing import Any, NamedTuple

from hypothesis import note
from hypothesis import strategies as st

from powerca_sync.specs import Deletes, TableSpec
from powerca_sync_tests.helpers import ORGS, Pair, delete_insert, row_counts, spec

REST: Any = {"office": "org_id", "mobile_owned": frozenset({"ticked"}), "limit_share": 1.0}
LINES = delete_insert("lines", "org_id", "k", **REST)
KEYLESS = delete_insert("lines", **REST)
ITEMS = spec("items", "k", **REST)
FOLLOWED = spec("items", "k", **REST, deletes=Deletes.PROPAGATE)


class Row(NamedTuple):
    org: int | None
    k: int | None
    name: str | None
    ticked: int


class Existing(NamedTuple):
    row: Row
    owner: str | None


class Case(NamedTuple):
    """A row and where it is: in one database, in both, or in both with another name on the target."""

    row: Row
    where: str
    other_name: str | None
    owner: str | None


# Seeds instead of rows: drawn row by row, most of a few dozen examples would be similar. Smaller sizes shrink.
SEEDS = {"seed": st.integers(0, 2**32), "size": st.integers(1, 14)}


def draw(seed: int, size: int, *keys: int | None) -> list[Case]:
    """Draws cases with the given values of `k`; the fewer values, the more duplicates."""
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


def create_tables(pair: Pair) -> None:
    """Creates `lines` with a key that mobile generates, `items` with one from the desktop, and the organisation."""
    columns = "org_id int, k int, name text, ticked int"
    more = "CHECK (name <> 'bad'), source char(1), remark text DEFAULT 'mine', updated_at timestamptz DEFAULT now()"
    for table, key in (("lines", "id bigserial PRIMARY KEY"), ("items", "PRIMARY KEY (k)")):
        pair.source.execute(f"CREATE TABLE {table} ({columns})")
        pair.target.execute(f"CREATE TABLE {table} ({columns}, {more}, {key})")
    pair.source.execute("CREATE TABLE orgs (org_id int); INSERT INTO orgs VALUES (1)")
    pair.target.execute("CREATE TABLE orgs (org_id int PRIMARY KEY, source char(1) DEFAULT 'D')")
    pair.target.execute("INSERT INTO orgs VALUES (2)")
    pair.sync(ORGS)


def sides(rows: Iterable[Case]) -> tuple[list[Row], list[Existing]]:
    """Returns the rows of both databases; the target never has the name that it refuses."""
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
    """Returns the target rows by primary key, each with a text that changes with any write."""
    key = "id" if table == "lines" else "k"
    everything = f"{key}, org_id, k, name, ticked, source, ROW(t.ctid, t.xmin, t.*)::text"
    query = f"SELECT {everything} FROM {table} AS t"  # noqa: S608
    return {row[0]: (Existing(Row(*row[1:5]), row[5]), row[6]) for row in pair.rows(query)}


def content(row: Row) -> Row:
    return row._replace(ticked=0)


def run(pair: Pair, table: TableSpec, expected: dict[str, int]) -> None:
    result = pair.sync(table, ORGS, allow_mass_delete=True)
    assert row_counts(result) == {fate: count for fate, count in expected.items() if count}


def assert_second_run_is_noop(pair: Pair, table: TableSpec, expected: dict[str, int]) -> None:
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


def fits(rows: Iterable[Row]) -> bool:
    return all(row.org == 1 and row.name != "bad" for row in rows)


def assert_others_untouched(before: dict[str, tuple[Existing, str]], after: dict[str, tuple[Existing, str]]) -> None:
    """Asserts that phone rows, unowned rows with a value of their own, and rows of other offices are unchanged."""
    for pk, (existing, text) in before.items():
        if existing.owner in ("M", "S") or existing.row.org != 1:
            assert after[pk] == (existing, text)
