"""The text of the main statements for a small table, so that a reviewer sees the SQL change."""

import dataclasses
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import pytest
from psycopg import sql

from powerca_sync.engine.catalog import Check, Column, ForeignKey, Table, UniqueKey
from powerca_sync.engine.mapping import TableMapping, map_table
from powerca_sync.engine.office import Office, Scope
from powerca_sync.engine.statements import apply, extract, plan, quarantine, rules, staging
from powerca_sync.tables import Category, Lookup, Reference, Strategy, TableSpec


def column(name: str, base: str = "int4", category: str = "N", typmod: int = -1, **rest: object) -> Column:
    return Column(name=name, type=base, base=base, typmod=typmod, category=category, **rest)  # type: ignore[arg-type]


ORG, JOB, NAME = column("org_id"), column("job_id"), column("name", "text", "S")
ORGS = TableSpec(
    desktop="orgs",
    description="Offices.",
    category=Category.MASTERS,
    strategy=Strategy.UPSERT,
    key=("org_id",),
    defines_offices=True,
)
JOBS = TableSpec(
    desktop="jobs",
    description="Jobs.",
    category=Category.TRANSACTIONAL,
    strategy=Strategy.UPSERT,
    key=("org_id", "job_id"),
    references=(
        Reference(column="org_id", parent="orgs"),
        Reference(column="boss", parent="jobs", parent_column="job_id"),
    ),
    lookups=(Lookup(column="client", table="orgs", match="org_id"),),
    sensitive=frozenset({"secret"}),
    constants={"origin": "100% desktop"},
)
SOURCE = Table(
    schema="public",
    name="jobs",
    oid=1,
    kind="r",
    columns=(
        ORG,
        column("job_id", "numeric"),
        NAME,
        column("boss"),
        column("secret", "text", "S"),
        column("source", "bpchar", "S"),
    ),
)
TARGET = Table(
    schema="public",
    name="jobs",
    oid=2,
    kind="r",
    columns=(
        column("id", identity="d", has_default=True, nullable=False),
        ORG,
        JOB,
        column("name", "varchar", "S", 24, nullable=False),
        column("boss"),
        column("client"),
        column("secret", "text", "S"),
        column("origin", "text", "S"),
        column("source", "bpchar", "S"),
        column("created_at", "timestamptz", "D"),
        column("updated_at", "timestamptz", "D"),
    ),
    primary_key=("id",),
    unique_keys=(UniqueKey(columns=("id",)), UniqueKey(columns=("org_id", "job_id"))),
    referenced_by=(
        ForeignKey(child=("public", "ticks"), columns=("job",), parent=("public", "jobs"), parent_columns=("id",)),
    ),
    checks=(Check(name="jobs_name_check", expression="name <> ''::text", columns=frozenset({"name"})),),
)
OFFICES = Table(
    schema="public", name="orgs", oid=3, kind="r", columns=(ORG, column("client"), column("source", "bpchar", "S"))
)


def mapping(strategy: Strategy) -> TableMapping:
    spec = dataclasses.replace(JOBS, strategy=strategy)
    scope = Scope(
        office=Office(identity="7/enterprise_db", orgs=("1", "2")),
        specs=(ORGS, spec),
        tables={"orgs": OFFICES, "jobs": TARGET},
    )
    return map_table(spec, sources={"jobs": SOURCE}, scope=scope)


def text(statements: Mapping[str, sql.Composable]) -> str:
    return "".join(f"-- {name}\n{statement.as_string()};\n\n" for name, statement in statements.items())


def test_what_is_read_from_the_source(golden: Callable[[str, str], None]) -> None:
    jobs = mapping(Strategy.UPSERT)
    stamped = dataclasses.replace(
        jobs, source=dataclasses.replace(SOURCE, columns=(*SOURCE.columns, column("updated_at", "timestamp", "D")))
    )
    statements = {
        "everything": extract.copy_out(jobs, sql.SQL("TRUE")),
        "the ledger": extract.copy_out_ledger(jobs),
        "by row version": extract.changed_since_xid(2**32 + 5),
        "by stamp": extract.changed_since_time(stamped, datetime(2025, 11, 30, tzinfo=UTC)),
        "with all of a key": extract.sharing_a_key(jobs, sql.SQL("TRUE")),
        "out of quarantine": extract.having_keys(jobs, [["1", "5.00"], [None, "it's"]]),
    }
    golden("extract.sql", text(statements))


def test_what_happens_in_staging(golden: Callable[[str, str], None]) -> None:
    jobs = mapping(Strategy.UPSERT)
    statements = {
        "create": staging.create_staging(jobs),
        "land": staging.copy_in(jobs),
        "hold": staging.copy_in_held(jobs),
        "set aside what came from phones": staging.set_aside_echo(jobs),
        "look up": rules.fill_lookup(jobs, JOBS.lookups[0]),
        "set aside what does not fit": quarantine.reject_faulty(jobs, rules.rules(jobs)),
        "collapse copies": staging.drop_duplicates(jobs, UniqueKey(columns=JOBS.key)),
        "set aside other duplicates": staging.reject_duplicates(jobs, UniqueKey(columns=JOBS.key)),
    }
    golden("staging.sql", text(statements))


@pytest.mark.parametrize("strategy", list(Strategy))
def test_how_the_merge_is_planned_and_carried_out(golden: Callable[[str, str], None], strategy: Strategy) -> None:
    jobs = mapping(strategy)
    if strategy is Strategy.UPSERT:
        planned = {"plan": plan.plan_upsert(jobs, complete=True)}
    else:
        planned = {
            "plan contents": plan.plan_contents(jobs),
            "plan pairs": plan.plan_pairs(jobs, complete=True, copies=True),
        }
    carry_out = {
        "lock what is to be deleted": apply.lock_deletes(jobs),
        "keep what others depend on": apply.keep_referenced(jobs, TARGET.referenced_by[0]),
        "delete": apply.delete(jobs, 1, 500),
        "update": apply.update(jobs, 1, 500),
        "insert": apply.insert(jobs, 1, 500),
    }
    golden(f"merge_{strategy.lower()}.sql", text(planned | carry_out))
