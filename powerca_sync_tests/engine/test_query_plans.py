"""The cost of a run grows with rows plus ledger entries: no statement compares many rows with many."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self

import psycopg
import pytest
from psycopg import sql

from powerca_sync.engine.postgres.database import Connection
from powerca_sync.settings import Endpoint
from powerca_sync.specs import Strategy, TableSpec
from powerca_sync_tests.connections import Connections
from powerca_sync_tests.helpers import Pair, delete_insert, pulled, row_counts, spec

pytestmark = pytest.mark.long

#: Office rows, and phone rows.
OWN, PHONES = 100_000, 20_000
COLUMNS = "no int, staff_id int, day date, job_id int, note text"
TABLES = (delete_insert("diary", "staff_id", "day", "job_id"), spec("visits", "no"))
#: Planner estimates from here on count as many rows.
MANY = 1_000


@pytest.fixture
def office(pair: Pair) -> Pair:
    """Creates both tables with rows in both databases, analyzed."""
    for name, key in (("diary", "wd_id bigserial PRIMARY KEY"), ("visits", "PRIMARY KEY (no)")):
        pair.source.execute(f"CREATE TABLE {name} ({COLUMNS}, source char(1))")  # type: ignore[call-overload]
        pair.target.execute(f"CREATE TABLE {name} ({COLUMNS}, source char(1), {key})")  # type: ignore[call-overload]
        own = f"""INSERT INTO {name} (no, staff_id, day, job_id, note, source)
            SELECT n, n % 45, date '2015-01-01' + n % 2000, n, 'Own ' || n, 'D' FROM generate_series(1, {OWN}) AS n"""
        phones = f"""INSERT INTO {name} (no, staff_id, day, job_id, note, source)
            SELECT n + {OWN}, n % 45, date '2021-01-01', n, 'Phone ' || n, 'M' FROM generate_series(1, {PHONES}) AS n"""
        pair.both(own)
        pair.target.execute(phones)  # type: ignore[call-overload]
    pair.both("ANALYZE")
    return pair


class ExplainingCursor(psycopg.Cursor[tuple[Any, ...]]):
    """A cursor that requests the plan of each statement, with the tables as they are, before executing it."""

    plans: ClassVar[list[tuple[str, dict[str, Any]]]] = []

    def execute(self, query: Any, params: Any = None, **rest: Any) -> Self:
        text = self._text(query)
        if self.connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS:
            for statement in text.split(";\n"):
                if statement.lstrip().startswith(("WITH", "SELECT", "INSERT", "UPDATE", "DELETE", "CREATE TEMP TABLE")):
                    self._explain(statement, params)
        return super().execute(query, params, **rest)

    def copy(self, statement: Any, params: Any = None, **rest: Any) -> Any:
        """Explains the query of a COPY, too."""
        if copied := re.match(r"\s*COPY \((.*)\) TO STDOUT", self._text(statement), re.DOTALL):
            self._explain(copied[1], params)
        return super().copy(statement, params, **rest)

    def _text(self, query: Any) -> str:
        return query.decode() if isinstance(query, bytes) else sql.SQL("{}").format(_composed(query)).as_string(self)

    def _explain(self, statement: str, params: Any) -> None:
        try:
            with self.connection.transaction(force_rollback=True):
                # A subplan is hashed only if memory suffices, a join always can be.
                super().execute("SET LOCAL work_mem = '64kB'; SET LOCAL hash_mem_multiplier = 1")
                super().execute(f"EXPLAIN (FORMAT JSON) {statement}".encode(), params)
                self.plans.append((statement, self.fetchone()[0][0]))  # type: ignore[index]
        except psycopg.ProgrammingError:
            # Objects created within the batch have no plan yet, and DDL has none.
            pass


def _composed(query: Any) -> sql.Composable:
    return query if isinstance(query, sql.Composable) else sql.SQL(query)


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """Returns the plans of all statements executed in transactions from now on."""
    monkeypatch.setattr(ExplainingCursor, "plans", [])
    use = Connections.use

    @contextlib.contextmanager
    def explaining(self: Connections, endpoint: Endpoint) -> Iterator[Connection]:
        with use(self, endpoint) as connection:
            connection.cursor_factory = ExplainingCursor
            yield connection

    monkeypatch.setattr(Connections, "use", explaining)
    return ExplainingCursor.plans


def nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def quadratic_nodes(found: dict[str, Any]) -> Iterator[str]:
    """Returns the plan nodes that cost the product of two numbers of rows."""
    for node in nodes(found["Plan"]):
        for name in ("Filter", "Join Filter", "Hash Cond", "Index Cond"):
            rows = max([node["Plan Rows"], *(child["Plan Rows"] for child in node.get("Plans", ()))])
            if rows >= MANY and re.search(r"(?<!hashed )SubPlan \d", str(node.get(name, ""))):
                yield f"subplan for each row: {node[name]}"
        if node["Node Type"] == "Nested Loop" and "Join Filter" in node:
            outer, inner = node["Plans"][:2]
            if min(outer["Plan Rows"], inner["Plan Rows"]) >= MANY:
                yield f"nested loop over {outer['Plan Rows']} and {inner['Plan Rows']} rows: {node['Join Filter']}"


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.mobile)
def test_no_statement_costs_the_product_of_rows_and_entries(
    office: Pair, plans: list[tuple[str, dict[str, Any]]], table: TableSpec
) -> None:
    name = table.mobile
    assert pulled(office.pull(table)) == {"pulled": PHONES}
    office.source.execute(f"ANALYZE {name}, powerca_sync.pulled")  # type: ignore[call-overload]
    assert row_counts(office.sync(table)) == {"unchanged": OWN, "echo": PHONES}
    assert pulled(office.pull(table)) == {"already_there": PHONES}
    office.source.execute(f"UPDATE {name} SET note = note || '!' WHERE no % 4 = 0")  # type: ignore[call-overload]
    edited = office.sync(table)
    assert (edited.updated, edited.kept_mobile) == (OWN // 4, PHONES // 4)
    office.target.execute(f"DELETE FROM {name} WHERE source = 'M'")  # type: ignore[call-overload]
    assert pulled(office.pull(table)) == {"gone": PHONES}
    assert len(plans) > 50
    found = {fault: statement for statement, plan in plans for fault in quadratic_nodes(plan)}
    assert found == {}
    # A hash table of all contents would take three times the memory.
    contents = [node for statement, plan in plans if "WITH sides AS" in statement for node in nodes(plan["Plan"])]
    assert bool(contents) is (table.strategy is Strategy.DELETE_INSERT)
    assert {node["Strategy"] for node in contents if node["Node Type"] == "Aggregate"} <= {"Sorted"}
