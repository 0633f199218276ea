"""Golden texts of the statements by which the examination counts rows."""

from collections.abc import Callable

from psycopg import sql

from powerca_sync.engine.doctor import examination_sql
from powerca_sync.specs import Strategy
from powerca_sync_tests.engine.example_mapping import SOURCE, column, mapping, text


def test_counting_statements(golden: Callable[[str, str], None]) -> None:
    jobs = mapping(Strategy.DELETE_INSERT)
    unfit = {
        "empty": examination_sql.is_empty("name"),
        "too long": examination_sql.is_longer(column("name", "text", "S"), 24, padded=False),
        "too long but for padding": examination_sql.is_longer(column("name", "text", "S"), 24, padded=True),
        "of a phone": examination_sql.has_owner("M"),
        "of nobody we know": examination_sql.has_owner_beyond(["D", "M", "S"]),
        "ours, or of no known office": jobs.scope.may_hold(jobs.spec, "t"),
    }
    statements = {
        **unfit,
        "rows": examination_sql.count_rows(SOURCE, list(unfit.values())[:2], where=sql.SQL("TRUE")),
        "copies": examination_sql.count_copies(SOURCE, ["org_id", "name"]),
        "twins": examination_sql.count_twins(jobs),
        "highest": examination_sql.highest(SOURCE, "job_id"),
    }
    golden("examination.sql", text(statements))
