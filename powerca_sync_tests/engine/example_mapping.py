"""A small table with every kind of column, and its mapping, for golden texts of statements."""

import dataclasses
from collections.abc import Mapping

from psycopg import sql

from powerca_sync.engine.mapping import TableMapping, map_table
from powerca_sync.engine.mapping.tenancy import Office, Scope
from powerca_sync.engine.postgres.catalog import Check, Column, ForeignKey, Table, UniqueKey
from powerca_sync.specs import Category, Lookup, Reference, Strategy, TableSpec


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
