"""Random schemas: any columns, keys and foreign keys are synced, or a clear error names the obstacle."""

import dataclasses
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powerca_sync.engine.verify.verifier import verify
from powerca_sync.errors import SchemaMismatchError, SyncError, UnsafeTargetError
from powerca_sync.specs import Deletes, Reference, Strategy, TableSpec, in_order
from powerca_sync_tests.helpers import ORGS, QUICK, Pair, pulled, spec

pytestmark = pytest.mark.long

ORG = Reference(column="org_id", parent="orgs")
PARENTS = spec("parents", "parent_id", office="org_id", references=(ORG,))
POOL = ("item_id", "org_id", "parent_id", "name", "amount", "created_at", "updated_at")
TYPES = {"name": "text", "created_at": "timestamptz", "updated_at": "timestamptz"}
ROWS = 4


@dataclasses.dataclass(frozen=True)
class Schema:
    """The table `items` in both databases."""

    desktop: frozenset[str]
    mobile: frozenset[str]
    primary_key: str
    has_owner: bool
    has_foreign_key: bool
    table: TableSpec

    def make(self, pair: Pair) -> None:
        for connection in (pair.source, pair.target):
            connection.execute("DROP SCHEMA IF EXISTS powerca_sync CASCADE")
        pair.both("DROP TABLE IF EXISTS items, parents, orgs")
        pair.source.execute("""CREATE TABLE orgs (org_id int); INSERT INTO orgs VALUES (1);
            CREATE TABLE parents (parent_id int, org_id int); INSERT INTO parents VALUES (1, 1)""")
        pair.target.execute("""CREATE TABLE orgs (org_id int PRIMARY KEY, source char(1));
            INSERT INTO orgs VALUES (1, 'D');
            CREATE TABLE parents (parent_id int PRIMARY KEY, org_id int, source char(1));
            INSERT INTO parents VALUES (1, 1, 'D')""")
        pair.source.execute(f"CREATE TABLE items ({_columns(self.desktop) or 'other int'})")  # type: ignore[call-overload]
        mobile = [_columns(self.mobile)] if self.mobile else []
        if self.has_owner:
            mobile.append("source char(1) DEFAULT 'M'")
        if self.primary_key == "id":
            mobile.append("id bigserial PRIMARY KEY")
        elif self.primary_key in self.mobile:
            mobile.append(f"PRIMARY KEY ({self.primary_key})")
        if self.has_foreign_key and "parent_id" in self.mobile:
            mobile.append("FOREIGN KEY (parent_id) REFERENCES parents")
        pair.target.execute(f"CREATE TABLE items ({', '.join(mobile) or 'another int'})")  # type: ignore[call-overload]
        for number in range(1, ROWS + 1):
            _insert(pair.source, {name: _value(name, number) for name in self.desktop} or {"other": str(number)})
        if self.has_owner and self.mobile:
            _insert(pair.target, {name: _value(name, 50) for name in self.mobile} | {"source": "'M'"})


def _columns(names: frozenset[str]) -> str:
    return ", ".join(f"{name} {TYPES.get(name, 'int')}" for name in POOL if name in names)


def _value(name: str, number: int) -> str:
    if name in ("org_id", "parent_id"):
        return "1"
    return {"text": f"'n{number}'", "timestamptz": "'2025-01-01'"}.get(TYPES.get(name, ""), str(number))


def _insert(connection: object, values: dict[str, str]) -> None:
    connection.execute(f"INSERT INTO items ({', '.join(values)}) VALUES ({', '.join(values.values())})")  # type: ignore[attr-defined]


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    columns = st.frozensets(st.sampled_from(POOL))
    both = draw(columns)
    strategy = draw(st.sampled_from(Strategy))
    return Schema(
        desktop=both | draw(columns),
        mobile=both | draw(columns),
        primary_key=draw(st.sampled_from(("id", "item_id", "name", ""))),
        has_owner=draw(st.booleans()),
        has_foreign_key=draw(st.booleans()),
        table=spec(
            "items",
            *draw(st.sampled_from((("item_id",), ("org_id", "item_id"), ("name",)))),
            strategy=strategy,
            office="org_id",
            references=(ORG, Reference(column="parent_id", parent="parents", order_only=draw(st.booleans()))),
            made_by="parent_id",
            deletes=draw(st.sampled_from(Deletes)),
        ),
    )


@given(schema=schemas())
@settings(max_examples=40)
def test_random_schema_is_synced_or_its_obstacle_is_named(shared_pair: Pair, schema: Schema) -> None:
    schema.make(shared_pair)
    others = (ORGS, PARENTS)
    try:
        first = shared_pair.sync(schema.table, *others)
    except (SchemaMismatchError, UnsafeTargetError) as exc:
        _check_message(exc)
        return
    if first.quarantined and schema.primary_key in schema.mobile:
        # Mobile's key is none of the office's, and has no default.
        null = f'null value in column "{schema.primary_key}"'
        assert all(one.reason == "refused" and null in one.message for one in first.rejections)
        return
    assert first.quarantined == 0
    assert first.inserted + first.updated + first.unchanged + first.superseded + first.kept_mobile == ROWS
    before = shared_pair.text("items")
    assert shared_pair.sync(schema.table, *others).written == 0
    assert shared_pair.text("items") == before
    _check_reverse(shared_pair, schema, others)
    with shared_pair.connected() as (source, target):
        specs = in_order((schema.table, *others))
        (found,) = verify(source=source, target=target, specs=specs, only=[schema.table], options=QUICK)
    assert found.agrees, found


def _check_message(error: SyncError) -> None:
    assert str(error).startswith("Table `"), error


def _check_reverse(pair: Pair, schema: Schema, others: Sequence[TableSpec]) -> None:
    try:
        once = pair.pull(schema.table, *others)
    except SchemaMismatchError as exc:
        _check_message(exc)
        return
    phones = 1 if schema.has_owner and schema.mobile else 0
    assert once.seen == phones
    twice = pulled(pair.pull(schema.table, *others))
    assert {"pulled", "adopted"}.isdisjoint(twice)
    assert pair.one("SELECT count(*) FROM items", pair.source) == ROWS + once.pulled
