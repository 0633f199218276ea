"""The text of the main statements for a small table, so that a reviewer sees the SQL change."""

import dataclasses
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import pytest
from psycopg import sql

from powerca_sync.engine import sides
from powerca_sync.engine.canonical import encoder
from powerca_sync.engine.catalog import Check, Column, ForeignKey, Table, UniqueKey
from powerca_sync.engine.mapping import TableMapping, map_back, map_table
from powerca_sync.engine.office import Office, Scope, belongs
from powerca_sync.engine.statements import (
    apply,
    carry_over,
    echo,
    extract,
    ledger,
    phones,
    plan,
    plan_delete_insert,
    plan_upsert,
    preview,
    pull,
    quarantine,
    rules,
    staging,
    verify,
)
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
        "the ledger": extract.copy_out_ledger(jobs, sql.SQL("TRUE")),
        "by row version": extract.changed_since_xid(2**32 + 5),
        "by stamp": extract.changed_since_time(stamped, datetime(2025, 11, 30, tzinfo=UTC)),
        "with all of a key": extract.sharing_a_key(jobs, sql.SQL("TRUE")),
        "out of quarantine": extract.having_keys(jobs, [["1", "5.00"], [None, "it's"]]),
    }
    golden("extract.sql", text(statements))


def test_how_two_sides_are_compared(golden: Callable[[str, str], None]) -> None:
    jobs = mapping(Strategy.DELETE_INSERT)
    utf8 = encoder(stored="UTF8")
    assert utf8 is not None
    source = sides.source_side(jobs, utf8, extract.changed_since_xid(5), [b"\x01v1\x01n"])
    target = sides.target_side(jobs, utf8)
    wanted = verify.Wanted(buckets=("0a1",), contents=("0a1b2c",))
    statements = {
        "buckets of the source": verify.bucket_sums(source),
        "rows of the source": verify.row_digests(source, ["0a1", "fff"]),
        "rows of the target": verify.row_digests(target, ["0a1"]),
        "images in the ledger": verify.all_digests(sides.ledger_side(jobs, utf8)),
        "what differs": verify.row_values(target, wanted, JOBS.sensitive),
        "what others depend on": verify.depended_upon(target, wanted, jobs),
        "what was looked up": verify.wrong_lookups(target, jobs, JOBS.lookups[0], most=20),
        "what has not landed": verify.unlike_staged(*sides.landed_sides(jobs)),
    }
    golden("verify.sql", text(statements))


def test_what_happens_in_staging(golden: Callable[[str, str], None]) -> None:
    jobs = mapping(Strategy.UPSERT)
    statements = {
        "create": staging.create_staging(jobs),
        "land": staging.copy_in(jobs),
        "hold": staging.copy_in_held(jobs),
        "skip echoes": echo.skip_echo(jobs),
        "skip the office's edits of phone rows": echo.skip_edits(jobs),
        "skip phone rows that the ledger lacks": echo.skip_unknown(jobs),
        "end entries of rows handed over": echo.end_handed_over(jobs),
        "leave alone what the ledger knows": echo.not_in_ledger(jobs),
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
        planned = {"plan": plan_upsert.plan_upsert(jobs, complete=True)}
    else:
        planned = {
            "plan contents": plan_delete_insert.plan_contents(jobs),
            "plan pairs": plan_delete_insert.plan_pairs(jobs, complete=True, copies=True),
        }
    carry_out = {
        "lock what is to be deleted": apply.lock_deletes(jobs),
        "keep what others depend on": apply.keep_referenced(jobs, TARGET.referenced_by[0]),
        "confirm": apply.confirm(jobs, "update", apply.in_range(1, 500)),
        "delete": apply.delete(jobs, apply.in_range(1, 500)),
        "update": apply.update(jobs, apply.in_range(1, 500)),
        "update what was ticked meanwhile": apply.confirm_moved(jobs),
        "insert": apply.insert(jobs, apply.in_range(1, 500)),
    }
    golden(f"merge_{strategy.lower()}.sql", text(planned | carry_out))


def test_how_rows_and_writes_are_counted(golden: Callable[[str, str], None]) -> None:
    jobs = mapping(Strategy.UPSERT)
    golden("counts.sql", text({"count rows": plan.count_rows(jobs), "count writes": plan.count_writes(jobs)}))


def test_how_a_plan_is_shown_and_what_later_tables_see_of_it(golden: Callable[[str, str], None]) -> None:
    jobs = mapping(Strategy.UPSERT)
    statements = {
        "count the changes": preview.count_changes(jobs),
        "count what is taken over": preview.count_taken_over(jobs),
        "sample inserts": preview.sample_inserts(jobs, 5),
        "sample updates": preview.sample_updates(jobs, 5),
        "sample deletes": preview.sample_deletes(jobs, 5),
        "keep what there would be": preview.create_planned(jobs, 3, ["id", "org_id", "job_id", "source"]),
        "make room": preview.drop_working_tables(),
    }
    golden("preview.sql", text(statements))


def test_how_phone_rows_are_brought_back(golden: Callable[[str, str], None]) -> None:
    office = Office(identity="7/enterprise_db", orgs=("1", "2"), alone=False)
    spec = dataclasses.replace(JOBS, made_by="boss", constants={})
    specs = (ORGS, spec)
    back = map_back(
        spec, source=TARGET, target=SOURCE, scope=Scope(office=office, specs=specs, tables={"orgs": OFFICES})
    )
    columns = [one.name for one in back.synced]
    ours = belongs(spec, specs, office, "s")
    without_key = dataclasses.replace(TARGET, primary_key=())
    limit = spec.max_row_bytes
    new = sql.SQL("{} AND {} = ANY ({}::text[])").format(
        phones.is_phones(ours), phones.identity(TARGET, columns, limit), ["7", "8"]
    )
    statements = {
        "whether anything changed": phones.digest(TARGET, ours, limit),
        "who they are": phones.copy_out_identities(
            TARGET,
            columns,
            ours,
            limit,
            former_key=phones.primary_key(TARGET, "s"),
            former_content=phones.content_hash(TARGET, columns, limit),
        ),
        "who they are, by content": phones.copy_out_identities(
            without_key,
            columns,
            ours,
            limit,
            former_key=None,
            former_content=phones.content_hash(TARGET, columns[:-1], limit),
        ),
        "hold them against the ledger": ledger.judge("jobs", keyed=True),
        "hold them against the ledger, by content": ledger.judge("jobs", keyed=False),
        "mark what is gone": ledger.mark_gone("jobs"),
        "bring entries up to date": ledger.refresh(keyed=True),
        "carry entries over": carry_over.pair(back, ledger.compared(back), gone=True),
        "count what cannot be told": carry_over.count_doubtful(back, back.key),
        "find the copies of entries": ledger.find_entries(back),
        "pull what is missing again": ledger.pull_again(),
        "count": ledger.count_fates(),
        "read": extract.copy_out(dataclasses.replace(back, asides=phones.asides(TARGET, columns, limit)), new),
        "keep what is new": pull.keep_new(),
        "adopt": pull.adopt(back, [JOBS.key], "run"),
        "adopt by content": pull.adopt(back, None, None),
        "set conflicts aside": quarantine.reject(back, pull.conflicting(back, JOBS.key)),
        "show the other side of conflicts": pull.show_theirs(back, JOBS.key),
        "number": pull.number_inserts(),
        "insert": pull.insert(back, 1, 500),
        "enter": pull.enter(back, 1, 500, "run"),
        "find the highest key": pull.highest("job_id", 90_000),
        "move the sequence": pull.advance(sql.Identifier("public", "job's ids"), 500, 1),
    }
    golden("pull.sql", text(statements))
