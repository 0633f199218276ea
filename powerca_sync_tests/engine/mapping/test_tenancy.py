"""Conditions by which a target row is assigned to the office."""

import pytest

from powerca_sync.engine.mapping.tenancy import Office, Scope, array_literal
from powerca_sync.engine.postgres.catalog import PLAIN, Column, Table
from powerca_sync.errors import SchemaMismatchError
from powerca_sync.specs import Reference, in_order
from powerca_sync_tests.helpers import ORGS, spec

FIRMS = spec("firms", "firm", office="org_id", references=(Reference(column="org_id", parent="orgs"),))
HEADS = spec("heads", "head", office="firm", references=(Reference(column="firm", parent="firms"),))
LINES = spec("lines", "line", office="up", references=(Reference(column="up", parent="heads", parent_column="head"),))
SPECS = in_order([ORGS, FIRMS, HEADS, LINES])


def table(name: str, *columns: str) -> Table:
    there = [Column(name=column, type="integer", base="int4", typmod=-1, category="N") for column in columns]
    return Table(schema="public", name=name, oid=1, kind=PLAIN, columns=tuple(there))


TABLES = {
    "orgs": table("orgs", "org_id"),
    "firms": table("firms", "firm", "org_id"),
    "heads": table("heads", "head", "firm"),
    "lines": table("lines", "line", "up"),
}


def scope(*orgs: str, alone: bool = False) -> Scope:
    return Scope(office=Office(identity="7/desktop", orgs=orgs, alone=alone), specs=SPECS, tables=TABLES)


def test_own_organisation_column_is_compared() -> None:
    assert scope("1", "2").holds(FIRMS, "t").as_string() == """"t"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1","2"}')"""
    assert scope("1").holds(ORGS, "t").as_string() == """"t"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1"}')"""


def test_other_rows_are_followed_through_their_parents() -> None:
    assert scope("1").holds(LINES, "t").as_string() == (
        'EXISTS (SELECT FROM "public"."heads" AS "t_up" WHERE "t_up"."head" OPERATOR(pg_catalog.=) "t"."up"'
        ' AND EXISTS (SELECT FROM "public"."firms" AS "t_up_up"'
        ' WHERE "t_up_up"."firm" OPERATOR(pg_catalog.=) "t_up"."firm"'
        """ AND "t_up_up"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1"}')))"""
    )


def test_row_of_an_unknown_parent_belongs_to_the_only_desktop() -> None:
    alone = scope("1", alone=True).holds(HEADS, "t").as_string()
    assert alone == (
        'NOT EXISTS (SELECT FROM "public"."firms" AS "t_up" WHERE "t_up"."firm" OPERATOR(pg_catalog.=) "t"."firm"'
        """ AND NOT "t_up"."org_id" OPERATOR(pg_catalog.=) ANY ('{"1"}'))"""
    )


def test_shared_table_or_office_without_organisations_has_every_row() -> None:
    undivided = Scope(office=Office(identity="7/desktop", orgs=None), specs=SPECS, tables=TABLES)
    assert undivided.holds(LINES, "t").as_string() == "TRUE"
    assert scope("1").holds(spec("lines", "line"), "t").as_string() == "TRUE"


def test_missing_table_on_the_path_is_named() -> None:
    without = Scope(office=scope("1").office, specs=SPECS, tables={"lines": TABLES["lines"]})
    with pytest.raises(SchemaMismatchError, match="Table `heads` does not exist on mobile"):
        without.holds(LINES, "t")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((), "'{}'"),
        (("1", "a b"), """'{"1","a b"}'"""),
        (('qu"ote', "it's", "back\\slash", "NULL"), r""" E'{"qu\\"ote","it''s","back\\\\slash","NULL"}'"""),
    ],
)
def test_organisations_are_rendered_as_an_array(values: tuple[str, ...], text: str) -> None:
    assert array_literal(values).as_string() == text
