"""Golden texts of the main statements for a small table, so that a reviewer sees SQL changes."""

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from powerca_sync.engine.digests import digest_queries, digest_sql
from powerca_sync.engine.digests.canonical_text import encoder
from powerca_sync.engine.dry_run import preview_sql
from powerca_sync.engine.forward import (
    apply_sql,
    differential_sql,
    plan_delete_insert_sql,
    plan_sql,
    plan_upsert_sql,
    row_versions_sql,
)
from powerca_sync.engine.mapping import map_back
from powerca_sync.engine.mapping.tenancy import Office, Scope, named_office, office_condition
from powerca_sync.engine.postgres.catalog import UniqueKey
from powerca_sync.engine.reverse import carry_over_sql, existing_rows_sql, insert_sql, ledger_sql
from powerca_sync.engine.staging import echo_sql, extract_sql, phone_rows_sql, quarantine_sql, rules_sql, staging_sql
from powerca_sync.engine.state import TargetMark
from powerca_sync.engine.verify import classification_sql
from powerca_sync.specs import Strategy
from powerca_sync_tests.engine.example_mapping import (
    JOBS,
    OFFICES,
    ORGS,
    SOURCE,
    TARGET,
    column,
    mapping,
    text,
)


def test_extract_statements(golden: Callable[[str, str], None]) -> None:
    jobs = mapping(Strategy.UPSERT)
    stamped = dataclasses.replace(
        jobs, source=dataclasses.replace(SOURCE, columns=(*SOURCE.columns, column("updated_at", "timestamp", "D")))
    )
    statements = {
        "everything": extract_sql.copy_out(jobs, sql.SQL("TRUE")),
        "the ledger": extract_sql.copy_out_ledger(jobs, sql.SQL("TRUE")),
        "by row version": extract_sql.changed_since_xid(2**32 + 5),
        "by stamp": extract_sql.changed_since_time(stamped, datetime(2025, 11, 30, tzinfo=UTC)),
        "with all of a key": extract_sql.sharing_a_key(jobs, sql.SQL("TRUE")),
        "out of quarantine": extract_sql.having_keys(jobs, [["1", "5.00"], [None, "it's"]]),
    }
    golden("extract.sql", text(statements))


def test_digest_statements(golden: Callable[[str, str], None]) -> None:
    jobs = mapping(Strategy.DELETE_INSERT)
    utf8 = encoder(stored="UTF8")
    assert utf8 is not None
    source, target = digest_queries.source_side(jobs, utf8), digest_queries.target_side(jobs, utf8)
    images = digest_queries.ledger_side(jobs, utf8)
    statements = {
        "digests of the source": differential_sql.digests(source, 2, None, 0, images=images),
        "digests of the target": differential_sql.digests(target, 3, ["a1", "ff"], 2, with_owned=True),
        "typed digests of the source": differential_sql.digests(
            digest_queries.source_side(jobs, utf8, 42), 3, ["a1", "ff"], 2
        ),
        "classes of rows that differ": classification_sql.classify(jobs, Jsonb([]), lookups_changed=True, most=20),
        "wrong lookups": classification_sql.has_wrong_lookups(jobs, JOBS.lookups[0]),
        "rows that differ from what was staged": digest_sql.unlike_staged(*digest_queries.written_sides(jobs)),
    }
    golden("verify.sql", text(statements))


def test_staging_statements(golden: Callable[[str, str], None]) -> None:
    jobs = mapping(Strategy.UPSERT)
    statements = {
        "create": staging_sql.create_staging(jobs),
        "land": staging_sql.copy_in(jobs),
        "hold": staging_sql.copy_in_held(jobs),
        "skip echoes": echo_sql.skip_echo(jobs),
        "skip the office's edits of phone rows": echo_sql.skip_edits(jobs),
        "skip phone rows that the ledger lacks": echo_sql.skip_without_entry(jobs),
        "end entries of rows handed over": echo_sql.drop_ended_entries(jobs),
        "leave alone what the ledger knows": echo_sql.not_in_ledger(jobs),
        "look up": rules_sql.fill_lookup(jobs, JOBS.lookups[0]),
        "set aside what does not fit": quarantine_sql.reject_faulty(jobs, rules_sql.rules(jobs)),
        "collapse copies": staging_sql.drop_duplicates(jobs, UniqueKey(columns=JOBS.key)),
        "set aside other duplicates": staging_sql.reject_duplicates(jobs, UniqueKey(columns=JOBS.key)),
    }
    golden("staging.sql", text(statements))


@pytest.mark.parametrize("strategy", list(Strategy))
def test_merge_statements(golden: Callable[[str, str], None], strategy: Strategy) -> None:
    jobs = mapping(strategy)
    mark = TargetMark(files="1:1", snapshot="5:9:7", own=(9,), foreign=(3, 4), highest=100)
    foreign, changed = row_versions_sql.is_foreign(mark), row_versions_sql.is_changed(jobs, mark)
    if strategy is Strategy.UPSERT:
        planned = {"plan": plan_upsert_sql.plan_upsert(jobs, complete=True, foreign=foreign, all_staged=True)}
    else:
        planned = {
            "plan contents": plan_delete_insert_sql.plan_contents(jobs),
            "plan pairs": plan_delete_insert_sql.plan_pairs(
                jobs, complete=True, copies=True, others=True, foreign=foreign
            ),
        }
    carry_out = {
        "lock what is to be deleted": apply_sql.lock_deletes(jobs),
        "note what others wrote": row_versions_sql.note_foreign(jobs, foreign, changed),
        "keep what others wrote": row_versions_sql.keep_foreign(jobs, changed),
        "count what others wrote and is deleted": row_versions_sql.count_foreign_deletes(),
        "who wrote what stays": row_versions_sql.foreign_authors(),
        "what this run wrote": row_versions_sql.known_versions(jobs, mark, writes=7),
        "name what others wrote": row_versions_sql.foreign_keys(jobs),
        "keep what others depend on": apply_sql.keep_referenced(jobs, TARGET.referenced_by[0]),
        "confirm": apply_sql.confirm(jobs, "update", apply_sql.in_range(1, 500)),
        "delete": apply_sql.delete(jobs, apply_sql.in_range(1, 500)),
        "update": apply_sql.update(jobs, apply_sql.in_range(1, 500)),
        "update what was ticked meanwhile": apply_sql.confirm_moved(jobs),
        "insert": apply_sql.insert(jobs, apply_sql.in_range(1, 500)),
    }
    golden(f"merge_{strategy.lower()}.sql", text(planned | carry_out))


def test_counting_statements(golden: Callable[[str, str], None]) -> None:
    jobs = mapping(Strategy.UPSERT)
    golden(
        "counts.sql",
        text({"count rows": plan_sql.count_rows(jobs), "count writes": row_versions_sql.count_writes(jobs)}),
    )


def test_dry_run_statements(golden: Callable[[str, str], None]) -> None:
    jobs = mapping(Strategy.UPSERT)
    statements = {
        "count the changes": preview_sql.count_changes(jobs),
        "count what is taken over": preview_sql.count_taken_over(jobs),
        "sample inserts": preview_sql.sample_inserts(jobs, 5),
        "sample updates": preview_sql.sample_updates(jobs, 5),
        "sample deletes": preview_sql.sample_deletes(jobs, 5),
        "keep what there would be": preview_sql.create_planned(jobs, 3, ["id", "org_id", "job_id", "source"]),
        "make room": preview_sql.drop_working_tables(),
    }
    golden("preview.sql", text(statements))


def test_reverse_statements(golden: Callable[[str, str], None]) -> None:
    office = Office(identity="7/enterprise_db", orgs=("1", "2"), alone=False)
    spec = dataclasses.replace(JOBS, made_by="boss", constants={})
    specs = (ORGS, spec)
    scope = Scope(office=office, specs=specs, tables={"orgs": OFFICES, "jobs": TARGET})
    back = map_back(spec, source=TARGET, target=SOURCE, scope=scope)
    columns = [one.name for one in back.synced]
    ours = office_condition(spec, scope, "s")
    without_key = dataclasses.replace(TARGET, primary_key=())
    limit = spec.max_row_bytes
    new = sql.SQL("{} AND {} = ANY ({}::text[])").format(
        phone_rows_sql.is_phones(TARGET, ours), phone_rows_sql.identity(TARGET, columns, limit), ["7", "8"]
    )
    statements = {
        "whether anything changed": phone_rows_sql.digest(TARGET, ours, named_office(spec, scope, "s"), limit),
        "who they are": phone_rows_sql.copy_out_identities(
            TARGET,
            columns,
            ours,
            limit,
            former_key=phone_rows_sql.primary_key(TARGET, "s"),
            former_content=phone_rows_sql.content_hash(TARGET, columns, limit),
        ),
        "who they are, by content": phone_rows_sql.copy_out_identities(
            without_key,
            columns,
            ours,
            limit,
            former_key=None,
            former_content=phone_rows_sql.content_hash(TARGET, columns[:-1], limit),
        ),
        "hold them against the ledger": ledger_sql.classify("jobs", keyed=True),
        "hold them against the ledger, by content": ledger_sql.classify("jobs", keyed=False),
        "mark what is gone": ledger_sql.mark_gone("jobs"),
        "bring entries up to date": ledger_sql.refresh(keyed=True),
        "carry entries over": carry_over_sql.pair(back, ledger_sql.compared_columns(back), gone=True),
        "count what cannot be told": carry_over_sql.count_doubtful(back, back.key),
        "find the copies of entries": ledger_sql.find_entries(back),
        "pull what is missing again": ledger_sql.delete_missing_entries(),
        "count": ledger_sql.count_classified(),
        "read": extract_sql.copy_out(
            dataclasses.replace(back, extra_columns=phone_rows_sql.extra_columns(TARGET, columns, limit)), new
        ),
        "keep what is new": existing_rows_sql.keep_new(),
        "adopt": existing_rows_sql.adopt(back, [JOBS.key], "run"),
        "adopt by content": existing_rows_sql.adopt(back, None, None),
        "set conflicts aside": quarantine_sql.reject(back, existing_rows_sql.conflicting(back, JOBS.key)),
        "show the other side of conflicts": existing_rows_sql.attach_desktop_row(back, JOBS.key),
        "number": insert_sql.number_inserts(),
        "insert": insert_sql.insert(back, 1, 500),
        "enter": insert_sql.enter(back, 1, 500, "run"),
        "find the highest key": insert_sql.highest("job_id", 90_000),
        "move the sequence": insert_sql.advance(sql.Identifier("public", "job's ids"), 500, 1),
    }
    golden("pull.sql", text(statements))
