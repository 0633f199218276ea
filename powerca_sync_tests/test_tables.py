"""The tables, and the order in which they are synced."""

from collections.abc import Callable

from powerca_sync.specs import Category, Lookup, Strategy, TableSpec
from powerca_sync.tables import TABLES

BY_NAME = {table.mobile: table for table in TABLES}


def described(table: TableSpec) -> str:
    """Returns one line: names, category, strategy, key, references; order-only ones in parentheses."""
    references = []
    for reference in table.references:
        text = f"{reference.column}>{reference.parent}{' or 0' if reference.zero_is_none else ''}"
        references.append(f"({text})" if reference.order_only else text)
    names = table.mobile if table.desktop == table.mobile else f"{table.desktop}>{table.mobile}"
    return " | ".join(
        [names, table.category, table.strategy, ", ".join(table.key), ", ".join(references)]
        + [f"{lookup.column} = {lookup.table}.{lookup.answer} by {lookup.match}" for lookup in table.lookups]
        + [f"skips {', '.join(sorted(table.skip))}"] * bool(table.skip)
        + [f"phones own {', '.join(sorted(table.mobile_owned))}"] * bool(table.mobile_owned)
        + [f"{expression.column} := {expression.forward}" for expression in table.expressions]
    )


def test_tables_match_their_snapshot(golden: Callable[[str, str], None]) -> None:
    golden("tables.txt", "".join(f"{described(table)}\n" for table in TABLES))


def test_mobile_generates_the_keys_of_four_tables() -> None:
    assert {name for name, table in BY_NAME.items() if table.strategy is Strategy.DELETE_INSERT} == {
        *("jobshead", "jobtasks", "taskchecklist", "workdiary")
    }
    assert {name for name, table in BY_NAME.items() if table.category is Category.MASTERS} == {
        *("orgmaster", "locmaster", "conmaster", "climaster"),
        *("cliunimaster", "taskmaster", "jobmaster", "mbstaff"),
    }
    assert {table.desktop: table.mobile for table in TABLES if table.desktop != table.mobile} == {
        "mbreminder": "reminder",
        "mbremdetail": "remdetail",
    }


def test_every_table_follows_its_dependencies() -> None:
    seen: set[str] = set()
    for table in TABLES:
        assert seen.issuperset(table.depends_on), table.mobile
        seen.add(table.mobile)
    assert "jobshead" in BY_NAME["jobtasks"].depends_on
    assert "climaster" in BY_NAME["jobshead"].depends_on


def test_every_transactional_table_follows_a_referenced_master() -> None:
    masters = {name for name, table in BY_NAME.items() if table.category is Category.MASTERS}

    def ancestors(name: str) -> set[str]:
        return {name}.union(*map(ancestors, BY_NAME[name].depends_on))

    for table in TABLES:
        assert "orgmaster" in ancestors(table.mobile)
        if table.category is Category.TRANSACTIONAL:
            assert masters & ancestors(table.mobile)
            assert not any(table.mobile in BY_NAME[name].depends_on for name in masters)


def test_column_rules_match_the_contract() -> None:
    assert BY_NAME["mbstaff"].sensitive == {"app_pw"}
    assert not BY_NAME["mbstaff"].mobile_owned, "a person whom the office dismisses keeps no login"
    assert BY_NAME["taskchecklist"].mobile_owned == {"checkliststatus"}
    assert BY_NAME["jobtasks"].lookups == (Lookup(column="client_id", table="jobshead", match="job_id"),)
    assert not BY_NAME["jobshead"].skip & {"job_uid", "sporg_id"}
    assert {expression.column for expression in BY_NAME["workdiary"].expressions} == {"timefrom", "timeto"}
    assert [table.mobile for table in TABLES if table.defines_offices] == ["orgmaster"]
    assert {table.office for table in TABLES} == {"org_id", "rem_id"}
