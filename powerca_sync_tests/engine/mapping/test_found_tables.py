"""Every table of the office is synced as it exists: with each column or table missing or renamed."""

import os
import re
from collections.abc import Sequence

import pytest

from powerca_sync.engine.verify.verifier import verify
from powerca_sync.errors import SchemaMismatchError, SyncError, UnsafeTargetError
from powerca_sync.specs import OWNER, Strategy, TableSpec
from powerca_sync.tables import TABLES
from powerca_sync_tests.engine.small_office import (
    PHONE_ROW,
    ROWS,
    Where,
    children,
    drop_column,
    drop_table,
    make,
    named_columns,
)
from powerca_sync_tests.helpers import QUICK, Pair

WAYS: tuple[Where, ...] = ("both", "renamed", "desktop", "mobile")
#: Each column is removed in one way; with the long profile in every way.
ALL_WAYS = os.environ.get("HYPOTHESIS_PROFILE") == "long"
COLUMNS = [(spec, column) for spec in TABLES for column in named_columns(spec)]
CASES = [
    pytest.param(spec, column, where, id=f"{spec.mobile}.{column}-{where}")
    for place, (spec, column) in enumerate(COLUMNS)
    for where in (WAYS if ALL_WAYS else (WAYS[place % len(WAYS)],))
]


def others(spec: TableSpec) -> list[TableSpec]:
    return [one for one in TABLES if one is not spec]


def synced(pair: Pair, specs: Sequence[TableSpec]) -> dict[str, str]:
    """Syncs these tables in both directions, twice; returns by mobile name why the others were not synced."""
    blocked = {}
    for spec in specs:
        try:
            pair.sync(spec, *others(spec))
        except (SchemaMismatchError, UnsafeTargetError) as exc:
            blocked[spec.mobile] = str(exc)
    working = [spec for spec in specs if spec.mobile not in blocked]
    for spec in working:
        before = pair.text(spec.mobile) if _exists(pair, spec) else []
        assert pair.sync(spec, *others(spec)).written == 0, spec.mobile
        assert (pair.text(spec.mobile) if before else []) == before
    for spec in specs:
        try:
            first, second = pair.pull(spec, *others(spec)), pair.pull(spec, *others(spec))
        except SyncError as exc:
            blocked.setdefault(spec.mobile, str(exc))
        else:
            assert (first.quarantined, first.conflicts, second.pulled) == (0, 0, 0), spec.mobile
    with pair.connected() as (source, target):
        for found in verify(source=source, target=target, specs=TABLES, only=working, options=QUICK):
            assert found.agrees, found
    return blocked


def assert_whole(pair: Pair, spec: TableSpec) -> None:
    """Asserts that mobile has the desktop's rows and its own phone row, and the desktop has that row once."""
    phones = 0 if spec.defines_offices else 1
    owned = pair.rows(f"SELECT {OWNER}::text, count(*) FROM {spec.mobile} GROUP BY 1 ORDER BY 1")
    assert owned == [("D", ROWS), ("M", phones)][: phones + 1], spec.mobile
    labels = pair.rows(f"SELECT DISTINCT label FROM {spec.mobile} WHERE {OWNER} = 'D'")
    assert labels == [("new",)], spec.mobile
    assert pair.one(f"SELECT count(*) FROM {spec.desktop}", pair.source) == ROWS + phones, spec.mobile
    there = f"SELECT count(*) FROM {spec.desktop} WHERE label = 'phone {PHONE_ROW}'"
    assert pair.one(there, pair.source) == phones, spec.mobile


def test_office_of_whole_tables_is_synced(shared_pair: Pair) -> None:
    make(shared_pair.source, shared_pair.target)
    assert synced(shared_pair, TABLES) == {}
    for spec in TABLES:
        assert_whole(shared_pair, spec)


@pytest.mark.parametrize(("spec", "column", "where"), CASES)
def test_table_without_a_column_is_synced(shared_pair: Pair, spec: TableSpec, column: str, where: Where) -> None:
    make(shared_pair.source, shared_pair.target)
    drop_column(shared_pair.source, shared_pair.target, spec, column, where)
    affected = [spec, *children(spec)]
    blocked = synced(shared_pair, affected)
    may_be_blocked = {spec.mobile} if _is_required(spec, column) else set()
    assert set(blocked) <= may_be_blocked, blocked
    for one in affected:
        if one.mobile not in blocked:
            assert_whole(shared_pair, one)
    for message in blocked.values():
        assert re.search(r"has no key that both databases have|computes `\w+` for the desktop from date", message)


@pytest.mark.parametrize("where", ["desktop", "mobile", "both"])
@pytest.mark.parametrize("spec", TABLES, ids=lambda spec: spec.mobile)
def test_missing_table_blocks_only_tables_that_need_its_rows(shared_pair: Pair, spec: TableSpec, where: Where) -> None:
    make(shared_pair.source, shared_pair.target)
    drop_table(shared_pair.source, shared_pair.target, spec, where)
    affected = [spec, *children(spec)]
    blocked = synced(shared_pair, affected)
    need = {one.mobile for one in children(spec) if _needs(one, spec)}
    expected = {"desktop": {spec.mobile}, "mobile": {spec.mobile} | need, "both": set()}[where]
    if spec.defines_offices and where == "desktop":
        # The office of the rows in the others cannot be determined.
        expected = {one.mobile for one in affected}
        assert all("`orgmaster`" in message for message in blocked.values())
    assert set(blocked) == expected, blocked
    for one in affected:
        if one.mobile not in blocked and one is not spec:
            assert_whole(shared_pair, one)


def _needs(child: TableSpec, parent: TableSpec) -> bool:
    checked = {one.parent for one in child.references if not one.order_only}
    return parent.mobile in checked | {one.table for one in child.lookups}


def _is_required(spec: TableSpec, column: str) -> bool:
    """Returns whether the table may be blocked without the column: as its whole key, or read by an expression."""
    is_read = any(f'"{column}"' in one.reverse and one.column != column for one in spec.expressions)
    return is_read or (spec.strategy is Strategy.UPSERT and spec.key == (column,))


def _exists(pair: Pair, spec: TableSpec) -> bool:
    return pair.one(f"SELECT to_regclass('{spec.mobile}') IS NOT NULL") is True
