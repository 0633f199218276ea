"""Resolving specs against catalogs: omitted columns, the key in use, and how the office of a row is determined."""

import dataclasses
from collections.abc import Iterable, Mapping

import pytest

from powerca_sync.engine.mapping import Resolution, ResolvedSpec, Route, resolve, tables_needed
from powerca_sync.engine.postgres.catalog import PLAIN, Column, Table, UniqueKey
from powerca_sync.errors import SchemaMismatchError
from powerca_sync.specs import Expression, Lookup, Reference, Strategy, TableSpec, in_order, spec_named
from powerca_sync.tables import TABLES
from powerca_sync_tests.helpers import ORGS, delete_insert, spec

ORG = Reference(column="org_id", parent="orgs")
PLACES = spec("places", "place_id", office="org_id", references=(ORG,))
NOTES = spec(
    "notes",
    "note_id",
    office="org_id",
    references=(ORG, Reference(column="place_id", parent="places")),
    lookups=(Lookup(column="place_name", table="places", match="place_id"),),
    constants={"kind": "note"},
    mobile_owned=frozenset({"ticked"}),
    sensitive=frozenset({"secret"}),
    expressions=(Expression(column="begun", forward='"begun"::time', reverse='"day" + "begun"'),),
    made_by="place_id",
)
SPECS = in_order([ORGS, PLACES, NOTES])


def table(name: str, *columns: str, key: Iterable[str] = (), unique: Iterable[Iterable[str]] = ()) -> Table:
    """Returns a table of integer columns; `column:type` gives another type, and key columns are NOT NULL."""
    key = tuple(key)
    declared = []
    for number, column in enumerate(columns, start=1):
        column, _, kind = column.partition(":")
        declared.append(
            Column(
                name=column,
                type=kind or "integer",
                base=kind or "int4",
                category="N",
                nullable=column not in key,
                number=number,
            )
        )
    keys = [UniqueKey(columns=key)] if key else []
    keys += [UniqueKey(columns=tuple(names)) for names in unique]
    return Table(
        schema="public",
        name=name,
        oid=1,
        kind=PLAIN,
        columns=tuple(declared),
        primary_key=key,
        unique_keys=tuple(keys),
    )


ORGS_TABLE = table("orgs", "org_id", key=["org_id"])
PLACES_TABLE = table("places", "place_id", "org_id", "place_name", key=["place_id"])
NOTES_COLUMNS = ("note_id", "org_id", "place_id", "ticked", "secret", "day")
NOTES_DESKTOP = table("notes", *NOTES_COLUMNS, "begun:timestamp")
NOTES_MOBILE = table("notes", *NOTES_COLUMNS, "begun:time", "place_name", "kind", key=["note_id"])


def without(found: Table, *names: str) -> Table:
    """Returns the same table without some columns, and without the keys that had them."""
    keys = tuple(key for key in found.unique_keys if not set(names) & set(key.columns))
    return dataclasses.replace(
        found,
        columns=tuple(column for column in found.columns if column.name not in names),
        primary_key=() if set(names) & set(found.primary_key) else found.primary_key,
        unique_keys=keys,
    )


def resolved(
    desktop: Table | None = NOTES_DESKTOP,
    mobile: Table | None = NOTES_MOBILE,
    *,
    table_spec: TableSpec = NOTES,
    others: Mapping[str, tuple[Table | None, Table | None]] | None = None,
) -> ResolvedSpec:
    """Returns the spec of `notes` (or another name) resolved against its tables and those of its parents."""
    pairs = {"orgs": (ORGS_TABLE, ORGS_TABLE), "places": (PLACES_TABLE, PLACES_TABLE)} | dict(others or {})
    pairs["notes"] = (desktop, mobile)
    return resolution([ORGS, PLACES, table_spec], pairs)["notes"]


def resolution(specs: Iterable[TableSpec], pairs: Mapping[str, tuple[Table | None, Table | None]]) -> Resolution:
    sources = {name: desktop for name, (desktop, _) in pairs.items() if desktop is not None}
    targets = {name: mobile for name, (_, mobile) in pairs.items() if mobile is not None}
    return resolve(in_order(specs), sources=sources, targets=targets)


def test_complete_catalogs_leave_the_spec_as_declared() -> None:
    found = resolved()
    assert (found.spec, found.notes, found.route) == (NOTES, (), Route.COLUMN)


@pytest.mark.parametrize(
    ("desktop", "expression", "why"),
    [
        (table("notes", *NOTES_COLUMNS, "begun:time"), NOTES.expressions[0], "both databases have the same type"),
        (
            NOTES_DESKTOP,
            dataclasses.replace(NOTES.expressions[0], forward='"begun"::time + "delay"'),
            "the desktop lacks delay",
        ),
    ],
    ids=["same type", "missing column"],
)
def test_unused_expression_is_noted_with_its_reason(desktop: Table, expression: Expression, why: str) -> None:
    found = resolved(desktop, table_spec=dataclasses.replace(NOTES, expressions=(expression,)))
    assert (found.spec.expressions, found.notes) == ((), (f"expressions not used: begun ({why})",))


@pytest.mark.parametrize(
    ("column", "field", "left"),
    [
        ("org_id", "references", NOTES.references[1:]),
        ("place_id", "references", NOTES.references[:1]),
        ("place_id", "lookups", ()),
        ("place_id", "made_by", None),
        ("place_name", "lookups", ()),
        ("kind", "constants", {}),
        ("ticked", "mobile_owned", frozenset()),
        ("secret", "sensitive", frozenset()),
        ("begun", "expressions", ()),
    ],
)
def test_column_in_neither_database_is_left_out(column: str, field: str, left: object) -> None:
    found = resolved(without(NOTES_DESKTOP, column), without(NOTES_MOBILE, column))
    assert getattr(found.spec, field) == left
    assert column in {entry.column for entry in found.left_out}
    assert found.blocked == ""


def test_nearest_column_is_suggested() -> None:
    declared = dataclasses.replace(NOTES, sensitive=frozenset({"secrt"}))
    (entry,) = resolved(table_spec=declared).left_out
    assert str(entry) == "secrt (sensitive; similar: secret)"


def test_sensitive_column_in_one_database_stays_sensitive() -> None:
    assert resolved(without(NOTES_DESKTOP, "secret")).spec.sensitive == {"secret"}


def test_expression_is_not_used_for_equal_types() -> None:
    mobile = table("notes", *NOTES_COLUMNS, "begun:timestamp", "place_name", "kind", key=["note_id"])
    assert resolved(mobile=mobile).spec.expressions == ()


def test_upsert_key_falls_back_to_the_mobile_primary_key() -> None:
    desktop, mobile = table("notes", "id", "org_id"), table("notes", "id", "org_id", key=["id"])
    found = resolved(desktop, mobile)
    assert (found.spec.key, found.key_origin, found.blocked) == (("id",), "mobile's primary key", "")


def test_upsert_key_falls_back_to_the_only_unique_key() -> None:
    mobile = table("notes", "id", "uid", "org_id", key=["id"], unique=[["uid"]])
    nullable = resolved(table("notes", "uid", "org_id"), mobile)
    assert "mobile has" not in nullable.blocked
    assert "Keys on mobile: (id)" in nullable.blocked
    columns = tuple(dataclasses.replace(column, nullable=False) for column in mobile.columns)
    found = resolved(table("notes", "uid", "org_id"), dataclasses.replace(mobile, columns=columns))
    assert (found.spec.key, found.key_origin) == (("uid",), "mobile's unique key")


def test_declared_key_is_used_beside_a_surrogate_primary_key() -> None:
    mobile = table("notes", "id", "note_id", "org_id", key=["id"], unique=[["note_id"]])
    assert resolved(table("notes", "note_id", "org_id"), mobile).spec.key == ("note_id",)


def test_upsert_table_without_any_key_is_blocked_and_names_candidates() -> None:
    mobile = table("notes", "id", "a", "b", key=["id"])
    found = resolved(table("notes", "a", "b"), mobile)
    assert found.blocked.startswith("Table `notes` has no key that both databases have: the spec names note_id")
    assert "Keys on mobile: (id); the desktop lacks columns of each" in found.blocked
    with pytest.raises(SchemaMismatchError, match="no key that both databases have"):
        found.require()


def test_delete_insert_key_keeps_the_columns_that_exist() -> None:
    declared = delete_insert("notes", "org_id", "note_id", "gone", office="org_id", references=(ORG,))
    found = resolved(table_spec=declared)
    assert found.spec.key == ("org_id", "note_id")
    bare = resolved(table("notes", "day"), table("notes", "id", "day", key=["id"]), table_spec=declared)
    assert (bare.spec.key, bare.key_origin) == ((), "rows are paired by content alone")


def test_reference_to_a_missing_parent_column_is_not_checked() -> None:
    places = table("places", "org_id", "place_name", "place_no", key=["place_no"])
    found = resolved(others={"places": (PLACES_TABLE, places)})
    assert [str(entry) for entry in found.unchecked] == [
        "place_id to places (mobile's `places` has no column place_id)"
    ]
    assert found.spec.references == (ORG,)


def test_missing_office_column_is_replaced_by_the_shortest_chain() -> None:
    found = resolved(without(NOTES_DESKTOP, "org_id"), without(NOTES_MOBILE, "org_id"))
    assert (found.spec.office, found.route) == ("place_id", Route.REFERENCE)
    assert "office: by place_id" in found.notes


def test_chain_over_a_non_unique_parent_is_not_used() -> None:
    places = dataclasses.replace(PLACES_TABLE, primary_key=(), unique_keys=())
    found = resolved(
        without(NOTES_DESKTOP, "org_id"),
        without(NOTES_MOBILE, "org_id"),
        others={"places": (places, places)},
    )
    assert (found.spec.office, found.route) == (None, Route.UNSCOPED)


def test_table_without_a_path_to_its_office_is_unscoped() -> None:
    found = resolved(without(NOTES_DESKTOP, "org_id", "place_id"), without(NOTES_MOBILE, "org_id", "place_id"))
    assert found.route is Route.UNSCOPED
    assert found.notes[-1].startswith("office: unscoped")


def test_office_column_of_mobile_only_is_not_used() -> None:
    found = resolved(without(NOTES_DESKTOP, "org_id", "place_id"))
    assert found.route is Route.UNSCOPED


@pytest.mark.parametrize(
    ("pair", "absent", "words"),
    [
        ((None, None), True, ""),
        ((None, NOTES_MOBILE), False, "does not exist on the desktop"),
        ((NOTES_DESKTOP, None), False, "does not exist on mobile"),
    ],
)
def test_missing_table_is_blocked_or_skipped(pair: tuple[Table | None, Table | None], absent: bool, words: str) -> None:
    found = resolved(*pair)
    assert found.absent is absent
    assert words in found.blocked
    assert bool(found.blocked) is bool(words)


def test_missing_mobile_parent_blocks_tables_that_need_its_rows() -> None:
    found = resolved(others={"places": (PLACES_TABLE, None)})
    assert found.blocked.startswith("Table `notes` needs the rows of `places`, which does not exist on mobile")


def test_missing_mobile_parent_does_not_block_order_only_dependents() -> None:
    declared = dataclasses.replace(
        NOTES, references=(ORG, Reference(column="place_id", parent="places", order_only=True)), lookups=()
    )
    assert resolved(table_spec=declared, others={"places": (PLACES_TABLE, None)}).blocked == ""


def test_parent_missing_in_both_databases_is_not_checked() -> None:
    found = resolved(others={"places": (None, None)})
    assert (found.blocked, found.spec.lookups) == ("", ())
    assert str(found.unchecked[0]) == "place_id to places (neither database has `places`)"


def test_missing_organisations_leave_tables_unscoped() -> None:
    found = resolved(others={"orgs": (None, None)})
    assert (found.route, found.spec.office) == (Route.UNSCOPED, None)


def test_unreachable_desktop_is_assumed_to_equal_mobile() -> None:
    targets = {"orgs": ORGS_TABLE, "places": PLACES_TABLE, "notes": NOTES_MOBILE}
    found = resolve(SPECS, sources=None, targets=targets)["notes"]
    assert (found.route, found.blocked) == (Route.COLUMN, "")


@pytest.mark.parametrize("declared", TABLES, ids=lambda declared: declared.mobile)
def test_needed_tables_suffice_to_resolve_the_office(declared: TableSpec) -> None:
    """A spec resolved against the tables that it needs equals one resolved against all."""
    pairs = {one.mobile: _declared_table(one) for one in TABLES}
    whole = resolve(TABLES, sources={one.desktop: pairs[one.mobile] for one in TABLES}, targets=pairs)
    needed = tables_needed(declared, TABLES)
    some = resolve(
        TABLES,
        sources={spec_named(TABLES, name).desktop: pairs[name] for name in needed},
        targets={name: pairs[name] for name in needed},
        known=needed,
    )[declared.mobile]
    assert some == whole[declared.mobile]


def _declared_table(one: TableSpec) -> Table:
    """Returns a table with every column that specs name of it, and a unique key."""
    names = {*one.key, *one.constants, *one.mobile_owned, *one.sensitive, *(r.column for r in one.references)}
    names |= {column for lookup in one.lookups for column in (lookup.column, lookup.match)}
    names |= {r.names for other in TABLES for r in other.references if r.parent == one.mobile}
    unique = one.strategy is Strategy.UPSERT
    return table(one.mobile, *sorted(names), *("timefrom", "timeto"), key=one.key if unique else ())
