"""What most tests need: a pair of databases, a spec made of few words, and a proof that both sides agree."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from powerca_sync.engine.database import Connection, Timeouts, connect
from powerca_sync.engine.extract import Mode, TableExtract
from powerca_sync.engine.forward import sync_forward
from powerca_sync.engine.result import ForwardResult, Options
from powerca_sync.settings import Endpoint, Settings
from powerca_sync.tables import Category, Strategy, TableSpec, in_order

#: Short waits: a test that has to wait is a test that has failed.
QUICK = Options(timeouts=Timeouts(statement=60, lock=5, table=1))


#: Whether some run waits for a lock in this database.
LOCK_AWAITED = """EXISTS (
    SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'powerca_sync' AND wait_event_type = 'Lock'
)"""


def wait_until(
    connection: Connection, condition: str, *, unless: Callable[[], bool] = bool, seconds: float = 30
) -> None:
    """Ask until the condition holds, or until `unless` does; an assertion fails if neither ever does."""
    give_up = time.monotonic() + seconds
    while not unless() and connection.execute(f"SELECT {condition}").fetchone() != (True,):  # type: ignore[call-overload]
        assert time.monotonic() < give_up, f"in vain: {condition}"
        time.sleep(0.01)


def spec(name: str, *key: str, **rest: Any) -> TableSpec:
    """A transactional `UPSERT` spec (or, given `strategy`, another) of a table that is not split by office."""
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
    """The same with the strategy `DELETE_INSERT`."""
    return spec(name, *key, strategy=Strategy.DELETE_INSERT, **rest)


#: The table of offices, for tests with several of them; its target needs `source`.
ORGS = spec("orgs", "org_id", category=Category.MASTERS, office="org_id", defines_offices=True)


class Pair:
    """A source and a target database, each with an autocommit connection for the test itself."""

    def __init__(self, source: Endpoint, target: Endpoint) -> None:
        self.settings = Settings(desktop=source, mobile=target)
        self.source = connect(source)
        self.target = connect(target)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.source.close()
        self.target.close()

    def both(self, statements: str) -> None:
        """Run statements on both sides."""
        for connection in (self.source, self.target):
            connection.execute(statements)  # type: ignore[call-overload]

    def sync(
        self,
        table: TableSpec,
        *others: TableSpec,
        mode: Mode | str = Mode.FULL,
        allow_mass_delete: bool = False,
        options: Options = QUICK,
    ) -> ForwardResult:
        """Sync `table` forward over connections of its own; `others` are the specs that it depends on."""
        with connect(self.settings.desktop) as source, connect(self.settings.mobile) as target:
            return sync_forward(
                TableExtract(spec=table, mode=Mode(mode), allow_mass_delete=allow_mass_delete),
                source=source,
                target=target,
                specs=in_order([table, *others]),
                options=options,
            )

    @contextlib.contextmanager
    def sync_that_waits(
        self, table: TableSpec, *others: TableSpec, at_source: bool = False, **rest: Any
    ) -> Iterator[Future[ForwardResult]]:
        """Run `sync` in a thread until it waits for a lock at one side; whoever holds it lets go in the body."""
        watched = self.settings.desktop if at_source else self.settings.mobile
        # A connection of its own: inside a transaction the view of activity stands still.
        with ThreadPoolExecutor() as threads, connect(watched) as watch:
            run = threads.submit(self.sync, table, *others, **rest)
            wait_until(watch, LOCK_AWAITED, unless=run.done)
            yield run

    def sync_all(self, *tables: TableSpec, **rest: Any) -> dict[str, ForwardResult]:
        """Sync several tables, parents first."""
        ordered = in_order(tables)
        return {
            table.mobile: self.sync(table, *(other for other in ordered if other is not table), **rest)
            for table in ordered
        }

    def rows(self, query: str, connection: Connection | None = None) -> list[tuple[Any, ...]]:
        """Rows of the target (or of another connection)."""
        return (connection or self.target).execute(query).fetchall()  # type: ignore[call-overload, no-any-return]

    def one(self, query: str, connection: Connection | None = None) -> Any:
        """The only value of a query on the target (or on another connection)."""
        ((value,),) = self.rows(query, connection)
        return value

    def text(self, table: str, *, on: Connection | None = None, where: str = "TRUE") -> list[str]:
        """Every row of a table, as text with its place, so that any write to it shows."""
        query = f"SELECT ROW(t.ctid, t.xmin, t.*)::text FROM {table} AS t WHERE {where} ORDER BY 1"  # noqa: S608
        return [text for (text,) in self.rows(query, on)]


def fates(result: ForwardResult) -> dict[str, int]:
    """The counts of a result that are not zero, without the totals: what happened to the rows."""
    names: Sequence[str] = (
        *("inserted", "updated", "unchanged", "deleted", "kept_mobile", "echo", "quarantined", "superseded"),
        *("stale", "held", "kept_referenced", "kept_other"),
    )
    return {name: getattr(result, name) for name in names if getattr(result, name)}


def assert_quiet(pair: Pair, *tables: TableSpec) -> None:
    """Another full run writes no row of any of these tables."""
    before = {table.mobile: pair.text(table.mobile) for table in tables}
    for result in pair.sync_all(*tables).values():
        assert result.written == 0, fates(result)
    assert {table.mobile: pair.text(table.mobile) for table in tables} == before
