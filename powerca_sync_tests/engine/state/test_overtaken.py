"""The app writes a row between the plan of a merge and its write; the result depends on the written columns."""

import logging

import pytest

from powerca_sync.engine.postgres.database import connect
from powerca_sync.specs import TableSpec
from powerca_sync_tests.helpers import Pair, assert_noop, delete_insert, row_counts, spec

TICKED = {"mobile_owned": frozenset({"ticked"})}
UPSERT, DELETE_INSERT = spec("lines", "id", **TICKED), delete_insert("lines", "id", **TICKED)
either_strategy = pytest.mark.parametrize("table", [UPSERT, DELETE_INSERT], ids=["upsert", "delete_insert"])


@pytest.fixture
def lines(pair: Pair) -> Pair:
    """Creates three lines that have all changed since the last run."""
    pair.source.execute("CREATE TABLE lines (id int, note text, ticked int)")
    pair.target.execute("CREATE TABLE lines (id int, note text, ticked int, source char(1))")
    pair.source.execute("INSERT INTO lines SELECT n, 'old ' || n, 0 FROM generate_series(1, 3) AS n")
    return pair


def overtake(pair: Pair, table: TableSpec, *writes: str) -> dict[str, int]:
    """Returns the counts of a run whose plan is overtaken by writes of the app."""
    pair.sync(table)
    pair.source.execute("UPDATE lines SET note = 'new ' || id")
    with connect(pair.settings.mobile) as app:
        app.execute("BEGIN")
        for write in writes:
            app.execute(write)  # type: ignore[call-overload]
        with pair.sync_that_waits(table) as run:
            app.execute("COMMIT")
        return row_counts(run.result())


@either_strategy
def test_tick_does_not_cause_a_new_plan(lines: Pair, table: TableSpec, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        # Twice: the row is found at its new ctid.
        ticks = ["UPDATE lines SET ticked = ticked + 1 WHERE id IN (1, 3)"] * 2
        assert overtake(lines, table, *ticks) == {"updated": 3}
    assert "planned again" not in caplog.text
    assert lines.rows("SELECT * FROM lines ORDER BY 1") == [
        (1, "new 1", 2, "D"),
        (2, "new 2", 0, "D"),
        (3, "new 3", 2, "D"),
    ]
    assert_noop(lines, table)


@either_strategy
def test_row_that_becomes_a_phone_row_is_kept(lines: Pair, table: TableSpec, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        came_of_it = overtake(lines, table, "UPDATE lines SET source = 'M' WHERE id = 2")
    assert "planned again" in caplog.text
    assert came_of_it["updated"] == 2
    assert lines.one("SELECT note FROM lines WHERE source = 'M'") == "old 2"


@either_strategy
def test_row_changed_since_the_plan_is_planned_again(
    lines: Pair, table: TableSpec, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        came_of_it = overtake(lines, table, "UPDATE lines SET note = 'by the app', ticked = 1 WHERE id = 2")
    assert "planned again" in caplog.text
    assert came_of_it == {"updated": 3}
    assert lines.rows("SELECT note, ticked FROM lines WHERE id = 2") == [("new 2", 1)]
    assert_noop(lines, table)


def test_unowned_row_ticked_while_adopted_is_adopted_once(lines: Pair, caplog: pytest.LogCaptureFixture) -> None:
    table = UPSERT
    lines.sync(table)
    lines.target.execute("UPDATE lines SET source = NULL")
    with caplog.at_level(logging.INFO), connect(lines.settings.mobile) as app:
        app.execute("BEGIN; UPDATE lines SET ticked = 5 WHERE id = 2")
        with lines.sync_that_waits(table) as run:
            app.execute("COMMIT")
        assert row_counts(run.result()) == {"updated": 3}
    assert "planned again" not in caplog.text
    assert lines.rows("SELECT source, ticked FROM lines ORDER BY id") == [("D", 0), ("D", 5), ("D", 0)]


@either_strategy
def test_row_refused_because_of_the_tick_is_quarantined_alone(lines: Pair, table: TableSpec) -> None:
    lines.target.execute("ALTER TABLE lines ADD CHECK (coalesce(ticked, 0) = 0 OR note LIKE 'old%')")
    came_of_it = overtake(lines, table, "UPDATE lines SET ticked = 1 WHERE id = 2")
    assert came_of_it == {"updated": 2, "quarantined": 1, "held": 1}
    assert lines.rows("SELECT note, ticked FROM lines WHERE id = 2") == [("old 2", 1)]
