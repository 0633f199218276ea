"""While a table is synced the next one is read, and nothing is written before its turn."""

import contextlib
import dataclasses
import logging
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from powerca_sync.engine.forward import ReadAhead
from powerca_sync.engine.postgres import Connection, Timeouts, connect
from powerca_sync.engine.requests import Mode, TableExtract
from powerca_sync.engine.result import ForwardResult, Options, Transfer
from powerca_sync.errors import ConfigurationError, DatabaseUnavailableError, SchemaMismatchError
from powerca_sync.specs import Reference, TableSpec
from powerca_sync_tests.helpers import LOCK_AWAITED, QUICK, Pair, delete_insert, row_counts, spec, wait_until

FIRST, NOTES, VISITS = spec("first", "id"), spec("notes", "id"), delete_insert("visits", "id")
LATER = spec("later", "id", references=(Reference(column="note_id", parent="notes", parent_column="id"),))
SPECS = (FIRST, NOTES, VISITS, LATER)
ROWS = 50
#: Another session holds, or waits for, the lock of the table's runs.
VISITS_LOCKED = """EXISTS (
    SELECT FROM pg_locks AS l
    WHERE l.locktype = 'advisory' AND l.granted AND l.pid <> pg_backend_pid()
        AND (l.classid::bigint << 32 | l.objid::bigint) = hashtextextended('powerca_sync:visits', 0)
)"""
VISITS_READ = f"""EXISTS (
    SELECT FROM pg_stat_activity
    WHERE state = 'idle in transaction' AND application_name = 'powerca_sync' AND datname = current_database()
        AND state_change < clock_timestamp() - interval '0.3 s'
) AND {VISITS_LOCKED}"""
PATIENT = dataclasses.replace(QUICK, timeouts=Timeouts(statement=60, lock=60, table=120))


@pytest.fixture
def office(pair: Pair) -> Pair:
    """Creates the tables, synced once, with changes in each."""
    for name in ("first", "notes", "visits", "later"):
        pair.both(f"CREATE TABLE {name} (id int, body text, note_id int)")
        own = "wd_id bigserial PRIMARY KEY" if name == "visits" else "PRIMARY KEY (id)"
        pair.target.execute(f"ALTER TABLE {name} ADD {own}, ADD source char(1) DEFAULT 'D'")  # type: ignore[call-overload]
        pair.source.execute(f"INSERT INTO {name} SELECT n, 'old', n FROM generate_series(1, {ROWS}) AS n")  # type: ignore[call-overload]  # noqa: S608
    pair.sync_all(*SPECS)
    for name in ("first", "notes", "visits", "later"):
        pair.source.execute(f"UPDATE {name} SET body = 'new' WHERE id <= 5")  # type: ignore[call-overload]  # noqa: S608
    return pair


class Run(ReadAhead):
    """A run of tables over connections that are counted."""

    def __init__(self, pair: Pair, options: Options = PATIENT, at_once: int = 2, tables: tuple[TableSpec, ...] = SPECS):
        self.pair = pair
        self.opened: list[tuple[Connection, Connection]] = []
        super().__init__(
            tables, SPECS, connect=self._open, options=dataclasses.replace(options, tables_at_once=at_once)
        )

    @contextlib.contextmanager
    def _open(self, failing: str | None) -> Iterator[tuple[Connection, Connection]]:
        with connect(self.pair.settings.desktop) as source, connect(self.pair.settings.mobile) as target:
            self.opened.append((source, target))
            yield source, target

    def of(self, table: TableSpec, **rest: object) -> ForwardResult:
        return self.sync(TableExtract(spec=table, **rest))  # type: ignore[arg-type]

    def read_visits_ahead(self) -> None:
        """Syncs the first two tables, and waits until the third one has been read."""
        self.of(FIRST)
        self.of(NOTES)
        wait_until(self.pair.target, VISITS_READ)


@pytest.fixture
def run(office: Pair) -> Iterator[Run]:
    with contextlib.closing(Run(office)) as made:
        yield made


def bodies(pair: Pair, table: str) -> list[tuple[object, ...]]:
    return pair.rows(f"SELECT body, count(*) FROM {table} GROUP BY 1 ORDER BY 1")  # noqa: S608


def assert_nothing_left(pair: Pair) -> None:
    """Asserts that no session of the sync is left, and nothing has been written of the visits."""
    pair.wait_until_alone(seconds=5)
    assert bodies(pair, "visits") == [("old", ROWS)]
    assert pair.rows("SELECT message FROM powerca_sync.failure") == []


@pytest.mark.parametrize("transfer", [Transfer.EVERYTHING, Transfer.DIFFERENCES])
@pytest.mark.parametrize("at_once", [1, 2, 4])
def test_results_do_not_depend_on_the_number_of_tables_at_once(office: Pair, at_once: int, transfer: Transfer) -> None:
    options = dataclasses.replace(PATIENT, transfer=transfer)
    with contextlib.closing(Run(office, options, at_once)) as run:
        results = [run.of(table) for table in SPECS]
        assert [row_counts(result) for result in results] == [{"updated": 5, "unchanged": ROWS - 5}] * 4
        assert (len(run.opened) == 4, {len(pair) for pair in run.opened}) == (True, {2})
    assert {table.mobile: bodies(office, table.mobile) for table in SPECS} == {
        table.mobile: [("new", 5), ("old", ROWS - 5)] for table in SPECS
    }


def test_next_table_is_read_while_another_is_synced(run: Run, office: Pair) -> None:
    run.read_visits_ahead()
    office.source.execute("UPDATE visits SET body = 'newer' WHERE id = 1")
    assert bodies(office, "visits") == [("old", ROWS)]
    result = run.of(VISITS)
    assert row_counts(result) == {"updated": 5, "unchanged": ROWS - 5}
    # The watermark is that of the snapshot that was read.
    assert row_counts(run.of(VISITS)) == {"updated": 1, "unchanged": ROWS - 1}


def test_only_one_table_is_read_with_one_at_once(office: Pair) -> None:
    with contextlib.closing(Run(office, at_once=1)) as run:
        run.of(FIRST)
        run.of(NOTES)
        assert len(run.opened) == 2


def test_rows_read_ahead_lock_no_row(run: Run, office: Pair) -> None:
    run.read_visits_ahead()
    office.target.execute("SET lock_timeout = 1; UPDATE visits SET body = 'phone' WHERE id = 9")
    office.target.execute("RESET lock_timeout")
    assert row_counts(run.of(VISITS)) == {"updated": 6, "unchanged": ROWS - 6}


def test_table_without_a_turn_leaves_nothing(run: Run, office: Pair) -> None:
    run.read_visits_ahead()
    run.close()
    assert_nothing_left(office)


def test_dependent_table_is_not_read_before_its_parent_is_synced(office: Pair) -> None:
    with contextlib.closing(Run(office, at_once=4)) as run:
        run.of(FIRST)
        assert run._ahead == {}
        run.of(NOTES)
        assert run._ahead.keys() == {"visits"}
        run.of(VISITS)
        assert run._ahead.keys() == {"later"}


def test_foreign_key_of_the_target_orders_tables_too(office: Pair) -> None:
    office.target.execute("ALTER TABLE visits ADD FOREIGN KEY (note_id) REFERENCES notes")
    office.source.execute("INSERT INTO notes VALUES (100, 'new', 1); UPDATE visits SET note_id = 100 WHERE id = 7")
    with contextlib.closing(Run(office)) as run:
        results = {table.mobile: run.of(table) for table in SPECS}
    assert row_counts(results["visits"]) == {"updated": 6, "unchanged": ROWS - 6}


def test_tables_after_a_failed_one_are_not_read(office: Pair) -> None:
    office.source.execute("ALTER TABLE notes DROP id")
    with contextlib.closing(Run(office, at_once=4)) as run:
        run.of(FIRST)
        with pytest.raises(SchemaMismatchError):
            run.of(NOTES)
        run.of(VISITS)
        assert run._next() is None


def test_failure_of_a_reading_is_that_of_its_table(run: Run, office: Pair) -> None:
    office.source.execute("DROP TABLE visits")
    run.of(FIRST)
    run.of(NOTES)
    assert office.rows("SELECT message FROM powerca_sync.failure") == []
    with pytest.raises(SchemaMismatchError, match="Table `visits` does not exist on the desktop"):
        run.of(VISITS)
    assert office.one("SELECT table_name FROM powerca_sync.failure") == "visits"
    assert row_counts(run.of(LATER)) == {"updated": 5, "unchanged": ROWS - 5}


def test_connection_lost_while_a_table_waits_for_its_turn_fails_that_table(run: Run, office: Pair) -> None:
    run.read_visits_ahead()
    office.target.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE state = 'idle in transaction'"
        " AND application_name = 'powerca_sync' AND datname = current_database()"
    )
    with pytest.raises(DatabaseUnavailableError) as caught:
        run.of(VISITS)
    assert caught.value.retryable
    assert row_counts(run.of(VISITS)) == {"updated": 5, "unchanged": ROWS - 5}


def test_table_that_waits_too_long_for_its_turn_is_read_again(office: Pair) -> None:
    hasty = dataclasses.replace(QUICK, timeouts=Timeouts(statement=60, lock=1, table=1))
    with contextlib.closing(Run(office, hasty)) as run:
        run.of(FIRST)
        run.of(NOTES)
        wait_until(office.target, VISITS_LOCKED, seconds=5)
        wait_until(office.target, f"NOT {VISITS_LOCKED}", seconds=5)
        office.source.execute("UPDATE visits SET body = 'newer' WHERE id = 9")
        assert row_counts(run.of(VISITS)) == {"updated": 6, "unchanged": ROWS - 6}


def test_table_that_waits_for_its_turn_gives_way_to_whoever_waits_for_it(office: Pair) -> None:
    options = dataclasses.replace(QUICK, timeouts=Timeouts(statement=60, lock=1.5, table=120))
    with contextlib.closing(Run(office, options)) as run:
        run.of(FIRST)
        run.of(NOTES)
        wait_until(office.target, VISITS_LOCKED)
        time.sleep(options.timeouts.lock)
        assert office.one(f"SELECT {VISITS_LOCKED}"), "nobody waits for it"
        office.target.execute("SET lock_timeout = 5000; ALTER TABLE visits ADD further int; RESET lock_timeout")
        assert row_counts(run.of(VISITS)) == {"updated": 5, "unchanged": ROWS - 5}


def test_reading_with_other_options_is_not_used(run: Run, office: Pair) -> None:
    run.read_visits_ahead()
    office.source.execute("UPDATE visits SET body = 'newer' WHERE id = 9")
    assert row_counts(run.of(VISITS, mode=Mode.INCREMENTAL)) == {"updated": 6, "unchanged": ROWS - 6}


def test_log_lines_of_a_table_follow_in_its_turn(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="powerca_sync"):
        run.read_visits_ahead()
        assert not [record for record in caplog.records if "visits" in record.message]
        caplog.clear()
        run.of(VISITS)
    lines = [record for record in caplog.records if record.message.startswith("visits: staged")]
    assert len(lines) == 1


def test_office_is_registered_by_the_first_table_alone(office: Pair) -> None:
    office.target.execute("DROP SCHEMA powerca_sync CASCADE")
    with contextlib.closing(Run(office, at_once=4)) as run:
        assert [row_counts(run.of(table)) for table in SPECS] == [{"updated": 5, "unchanged": ROWS - 5}] * 4


def test_close_interrupts_a_reading_that_waits_for_a_lock(run: Run, office: Pair) -> None:
    with connect(office.settings.desktop) as other, other.transaction(force_rollback=True):
        other.execute("LOCK visits")
        run.of(FIRST)
        run.of(NOTES)
        wait_until(office.source, LOCK_AWAITED)
        run.close()
        wait_until(office.source, f"NOT {LOCK_AWAITED}", seconds=3)
    assert_nothing_left(office)


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="no such signal")
def test_interrupt_of_the_run_interrupts_the_reading(run: Run, office: Pair) -> None:
    with connect(office.settings.desktop) as other, other.transaction(force_rollback=True):
        other.execute("LOCK visits")
        run.of(FIRST)
        run.of(NOTES)
        wait_until(office.source, LOCK_AWAITED)
        timer = threading.Timer(0.3, signal.pthread_kill, [threading.main_thread().ident, signal.SIGINT])
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            run.of(VISITS)
        timer.join()
        run.close()
        wait_until(office.source, f"NOT {LOCK_AWAITED}", seconds=3)
    assert_nothing_left(office)


def test_refused_connection_fails_the_table_in_its_turn(office: Pair) -> None:
    class Refusing(Run):
        @contextlib.contextmanager
        def _open(self, failing: str | None) -> Iterator[tuple[Connection, Connection]]:
            if failing is None:
                raise ConfigurationError("refused")
            with super()._open(failing) as both:
                yield both

    with contextlib.closing(Refusing(office)) as run:
        assert [row_counts(run.of(table)) for table in SPECS] == [{"updated": 5, "unchanged": ROWS - 5}] * 4
