"""Shared helpers: a pair of databases, specs in few words, and assertions that a run is a no-op."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from powerca_sync.engine.dry_run.forward_plan import TablePlan, plan_forward
from powerca_sync.engine.forward.forward import sync_forward
from powerca_sync.engine.postgres.database import Connection, Timeouts, connect
from powerca_sync.engine.postgres.execution import execute_batch
from powerca_sync.engine.requests import Choice, Mode, TableExtract, TablePull
from powerca_sync.engine.result import ForwardResult, Options, ReverseResult, Transfer
from powerca_sync.engine.reverse.pending import find_pending_tables
from powerca_sync.engine.reverse.reverse import sync_reverse
from powerca_sync.settings import Endpoint, Settings
from powerca_sync.specs import Category, Strategy, TableSpec, in_order
from powerca_sync_tests.connections import Connections
from powerca_sync_tests.paths import on_path

#: Short timeouts: a test that has to wait has failed. The same on any machine, however slow its servers are.
QUICK = on_path(Options(timeouts=Timeouts(statement=60, lock=5, table=1), transfer=Transfer.EVERYTHING))
#: Rows are copied and told apart as text.
AS_TEXT = dataclasses.replace(QUICK, binary_copy=False, typed_hashes=False)


#: True if a run is blocked by a lock in this database.
LOCK_AWAITED = """EXISTS (
    SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'powerca_sync' AND wait_event_type = 'Lock'
)"""


def wait_until(
    connection: Connection, condition: str, *, unless: Callable[[], bool] = bool, seconds: float = 30
) -> None:
    """Waits until the condition holds, or `unless` does; the assertion fails if neither does in time."""
    give_up = time.monotonic() + seconds
    while not unless() and connection.execute(f"SELECT {condition}").fetchone() != (True,):  # type: ignore[call-overload]
        assert time.monotonic() < give_up, f"in vain: {condition}"
        time.sleep(0.01)


def spec(name: str, *key: str, **rest: Any) -> TableSpec:
    """Returns a transactional `UPSERT` spec (or, given `strategy`, another) of a table without an office column."""
    defaults: dict[str, Any] = {
        "desktop": name,
        "key": key,
        "description": f"Table {name}.",
        "category": Category.TRANSACTIONAL,
        "strategy": Strategy.UPSERT,
        "office": None,
    }
    return TableSpec(**(defaults | rest))


def delete_insert(name: str, *key: str, **rest: Any) -> TableSpec:
    """Returns the same with the strategy `DELETE_INSERT`."""
    return spec(name, *key, strategy=Strategy.DELETE_INSERT, **rest)


#: The table of offices, for tests with several offices; its target needs `source`.
ORGS = spec("orgs", "org_id", category=Category.MASTERS, office="org_id", defines_offices=True)


class Pair:
    """A source and a target database, each with an autocommit connection for the test itself."""

    def __init__(self, source: Endpoint, target: Endpoint, connections: Connections | None = None) -> None:
        """Without `connections`, those for the runs are closed with the pair."""
        self.settings = self._own = Settings(desktop=source, mobile=target)
        self.connections = connections or Connections(source, target)
        self._closes = connections is None
        self.source = self.connections.take(source)
        self.target = self.connections.take(target)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes both connections and those of the runs, or keeps them for another pair."""
        for endpoint, connection in ((self._own.desktop, self.source), (self._own.mobile, self.target)):
            self.connections.give_back(endpoint, connection, reset=True)
        if self._closes:
            self.connections.close()

    @contextlib.contextmanager
    def connected(self) -> Iterator[tuple[Connection, Connection]]:
        """Yields a connection to the desktop and one to mobile for a run."""
        with (
            self.connections.use(self.settings.desktop) as desktop,
            self.connections.use(self.settings.mobile) as mobile,
        ):
            yield desktop, mobile

    def empty(self) -> None:
        """Empties both databases, and ends what the test has set in its connections."""
        for connection in (self.source, self.target):
            connection.execute("DISCARD ALL")
            self.connections.empty(connection)

    def wait_until_alone(self, *, seconds: float = 30) -> None:
        """Waits until no session of the sync is left but the test's own and idle ones that are kept."""
        for connection in (self.source, self.target):
            wait_until(
                connection,
                "NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name = 'powerca_sync' AND pid <> pg_backend_pid()"
                f" AND pid <> ALL (ARRAY{self.connections.idle()}::int[]))",
                seconds=seconds,
            )

    def both(self, statements: str) -> None:
        """Executes statements in both databases."""
        for connection in (self.source, self.target):
            connection.execute(statements)  # type: ignore[call-overload]

    def sync(
        self,
        table: TableSpec,
        *others: TableSpec,
        mode: Mode | str = Mode.FULL,
        options: Options = QUICK,
        **allowed: bool,
    ) -> ForwardResult:
        """Syncs `table` forward over connections of its own; `others` are the specs that it depends on.

        `allowed` are options of the guards, such as `allow_mass_delete`.
        """
        with self.connected() as (source, target):
            return sync_forward(
                TableExtract(spec=table, mode=Mode(mode), **allowed),
                source=source,
                target=target,
                specs=in_order([table, *others]),
                options=options,
            )

    @contextlib.contextmanager
    def sync_that_waits(
        self, table: TableSpec, *others: TableSpec, at_source: bool = False, **rest: Any
    ) -> Iterator[Future[ForwardResult]]:
        """Runs `sync` in a thread until it is blocked by a lock in one database; the body releases the lock."""
        watched = self.settings.desktop if at_source else self.settings.mobile
        # A separate connection: inside a transaction, pg_stat_activity is a snapshot.
        with ThreadPoolExecutor() as threads, connect(watched) as watch:
            run = threads.submit(self.sync, table, *others, **rest)
            wait_until(watch, LOCK_AWAITED, unless=run.done)
            yield run

    def plan(
        self,
        *tables: TableSpec,
        mode: Mode | str = Mode.FULL,
        only: Sequence[TableSpec] | None = None,
        options: Options = QUICK,
        watched: bool = True,
        **allowed: bool,
    ) -> dict[str, TablePlan]:
        """Returns the dry run of these tables (or those in `only`); asserts, if `watched`, that it changes nothing."""
        before = (everything(self.source), everything(self.target)) if watched else None
        with self.connected() as (source, target):
            plans = plan_forward(
                [TableExtract(spec=table, mode=Mode(mode), **allowed) for table in (tables if only is None else only)],
                source=source,
                target=target,
                specs=in_order(tables),
                options=options,
            )
            assert self.one("SELECT count(*) FROM pg_class WHERE relpersistence = 't'", target) == 0
        assert before in (None, (everything(self.source), everything(self.target)))
        return {plan.table: plan for plan in plans}

    def sync_all(self, *tables: TableSpec, **rest: Any) -> dict[str, ForwardResult]:
        """Syncs several tables, parents first."""
        ordered = in_order(tables)
        return {
            table.mobile: self.sync(table, *(other for other in ordered if other is not table), **rest)
            for table in ordered
        }

    def pull(
        self,
        table: TableSpec,
        *others: TableSpec,
        again: bool = False,
        lookalikes: Choice = Choice.HOLD,
        options: Options = QUICK,
    ) -> ReverseResult:
        """Reverse-syncs `table` over connections of its own; `others` are the specs that it depends on."""
        with self.connected() as (target, source):
            return sync_reverse(
                TablePull(spec=table, again=again, lookalikes=lookalikes),
                source=source,
                target=target,
                specs=in_order([table, *others]),
                options=options,
            )

    def pull_all(self, *tables: TableSpec, **rest: Any) -> dict[str, ReverseResult]:
        """Reverse-syncs several tables, parents first."""
        ordered = in_order(tables)
        return {
            table.mobile: self.pull(table, *(other for other in ordered if other is not table), **rest)
            for table in ordered
        }

    def pending(self, *tables: TableSpec) -> tuple[str, ...]:
        """Returns the tables that the sensor would request."""
        with self.connected() as (target, source):
            return find_pending_tables(source=source, target=target, specs=in_order(tables)).pending

    def rows(self, query: str, connection: Connection | None = None) -> list[tuple[Any, ...]]:
        """Returns rows of the target (or of another connection)."""
        return (connection or self.target).execute(query).fetchall()  # type: ignore[call-overload, no-any-return]

    def one(self, query: str, connection: Connection | None = None) -> Any:
        """Returns the only value of a query on the target (or on another connection)."""
        ((value,),) = self.rows(query, connection)
        return value

    def text(self, table: str, *, on: Connection | None = None, where: str = "TRUE") -> list[str]:
        """Returns every row of a table as text with its ctid, so that any write changes it."""
        query = f"SELECT ROW(t.ctid, t.xmin, t.*)::text FROM {table} AS t WHERE {where} ORDER BY 1"  # noqa: S608
        return [text for (text,) in self.rows(query, on)]


def everything(connection: Connection) -> dict[str, str]:
    """Returns the state of every table and sequence outside temporary schemas; any write, DDL or nextval changes it.

    By name: a digest of the rows with ctid and xmin, or the value of the sequence.
    """
    relations = connection.execute("""
        SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), c.relkind::text, c.oid::text
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'""").fetchall()
    what = {
        "r": "count(*), sum(hashtextextended(ROW(t.ctid, t.xmin, t.*)::text, 0))",
        "S": "min(t.last_value), bool_or(t.is_called)",
    }
    queries = [f"SELECT {what[kind]} FROM {name} AS t" if kind in what else "SELECT" for name, kind, _ in relations]  # noqa: S608
    states = execute_batch(connection.cursor(), *((query.encode(), None) for query in queries)) if queries else ()
    return {name: f"{kind} {oid} {state}" for (name, kind, oid), state in zip(relations, states, strict=True)}


def row_counts(result: ForwardResult) -> dict[str, int]:
    """Returns the nonzero counts of a forward result, without the totals."""
    names: Sequence[str] = (
        *("inserted", "updated", "unchanged", "deleted", "kept_mobile", "echo", "quarantined", "superseded"),
        *("stale", "held", "kept_referenced", "foreign", "kept_other"),
    )
    return {name: getattr(result, name) for name in names if getattr(result, name)}


def pulled(result: ReverseResult) -> dict[str, int]:
    """Returns the nonzero counts of a reverse result, without the total."""
    names: Sequence[str] = (
        *("pulled", "already_there", "adopted", "conflicts", "lookalikes", "quarantined"),
        *("changed_after_pull", "missing_after_pull", "unassigned", "gone", "altered"),
    )
    return {name: getattr(result, name) for name in names if getattr(result, name)}


def assert_noop(pair: Pair, *tables: TableSpec) -> None:
    """Asserts that another full run is a no-op for each of these tables."""
    before = {table.mobile: pair.text(table.mobile) for table in tables}
    for result in pair.sync_all(*tables).values():
        assert result.written == 0, row_counts(result)
    assert {table.mobile: pair.text(table.mobile) for table in tables} == before
