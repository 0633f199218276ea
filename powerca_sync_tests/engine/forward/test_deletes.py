"""Which rows a run may delete, which it never deletes, and concurrent writers."""

from typing import Any, Self

import psycopg
import pytest

from powerca_sync.engine.forward.forward import sync_forward
from powerca_sync.engine.postgres.database import Timeouts, connect
from powerca_sync.engine.requests import TableExtract
from powerca_sync.engine.result import Options
from powerca_sync.errors import ContentionError, UnsafeTargetError
from powerca_sync.specs import Deletes, TableSpec
from powerca_sync_tests.helpers import QUICK, Pair, assert_noop, delete_insert, row_counts, spec

LINES = delete_insert("lines", "job_id")
IMPATIENT = Options(timeouts=Timeouts(lock=0.1))
ITEMS = spec("lines", "job_id", deletes=Deletes.PROPAGATE)


def make_lines(pair: Pair, count: int = 3, *, key: str = "PRIMARY KEY (job_id)") -> None:
    """Creates the lines of jobs 1 to `count` in both databases, already synced."""
    pair.source.execute("CREATE TABLE lines (job_id int, line text)")
    pair.target.execute(f"CREATE TABLE lines (job_id int, line text, source char(1) DEFAULT 'D', ticked int, {key})")
    pair.source.execute("INSERT INTO lines SELECT n, 'line ' || n FROM generate_series(1, %s) AS n", [count])
    assert row_counts(pair.sync(LINES)) == {"inserted": count}


def make_children(pair: Pair, on_delete: str) -> None:
    pair.target.execute(f"CREATE TABLE children (job_id int REFERENCES lines ON DELETE {on_delete})")


@pytest.mark.parametrize("table", [LINES, ITEMS], ids=["delete-insert", "upsert"])
def test_mass_delete_is_refused_and_allowed_once_by_option(pair: Pair, table: TableSpec) -> None:
    make_lines(pair, 500)
    pair.target.execute("INSERT INTO lines VALUES (9000, 'phone', 'M'), (9001, 'system', 'S')")
    before = pair.text("lines")
    pair.source.execute("DELETE FROM lines WHERE job_id <= 26")
    with pytest.raises(UnsafeTargetError, match=r"26 of the office's 500 rows .* limit is 25\. .*--allow-mass-delete"):
        pair.sync(table)
    assert pair.text("lines") == before
    assert row_counts(pair.sync(table, allow_mass_delete=True)) == {"unchanged": 474, "deleted": 26, "kept_other": 1}
    pair.source.execute("DELETE FROM lines WHERE job_id <= 46")
    assert row_counts(pair.sync(table))["deleted"] == 20, "twenty rows are never too many"


@pytest.mark.parametrize("table", [LINES, ITEMS], ids=["delete-insert", "upsert"])
def test_emptied_source_fails_the_table(pair: Pair, table: TableSpec) -> None:
    make_lines(pair)
    before = pair.text("lines")
    pair.source.execute("TRUNCATE lines")
    with pytest.raises(UnsafeTargetError, match="`lines` is empty at the source; the last run read 3 rows"):
        pair.sync(table)
    assert pair.text("lines") == before


@pytest.mark.parametrize("table", [LINES, ITEMS], ids=["delete-insert", "upsert"])
def test_empty_source_deletes_nothing_even_with_mass_delete_allowed(pair: Pair, table: TableSpec) -> None:
    make_lines(pair)
    before = pair.text("lines")
    pair.source.execute("TRUNCATE lines")
    result = pair.sync(table, allow_mass_delete=True)
    assert row_counts(result) == {}
    assert result.warnings == ("`lines` has no rows at the source; nothing was deleted at the target",)
    assert row_counts(pair.sync(table)) == {}, "known to be empty now"
    assert pair.text("lines") == before


def test_source_never_seen_with_rows_is_skipped_with_a_warning(pair: Pair) -> None:
    pair.both("CREATE TABLE lines (job_id int, line text)")
    pair.target.execute("ALTER TABLE lines ADD source char(1) DEFAULT 'D'; INSERT INTO lines VALUES (1, 'old engine')")
    before = pair.text("lines")
    result = pair.sync(LINES)
    assert (row_counts(result), len(result.warnings)) == ({}, 1)
    assert pair.text("lines") == before


def test_nearly_empty_source_is_a_mass_delete(pair: Pair) -> None:
    make_lines(pair, 30)
    pair.source.execute("DELETE FROM lines WHERE job_id > 1")
    with pytest.raises(UnsafeTargetError, match="29 of the office's 30 rows"):
        pair.sync(LINES)


@pytest.mark.parametrize("table", [LINES, ITEMS], ids=["delete-insert", "upsert"])
def test_last_good_version_of_a_quarantined_row_is_retained(pair: Pair, table: TableSpec) -> None:
    make_lines(pair)
    pair.target.execute("ALTER TABLE lines ADD CHECK (line <> 'bad')")
    before = pair.text("lines")
    pair.source.execute("UPDATE lines SET line = 'bad' WHERE job_id = 2")
    assert row_counts(pair.sync(table)) == {"unchanged": 2, "quarantined": 1, "held": 1}
    assert pair.text("lines") == before
    pair.source.execute("ALTER TABLE lines ALTER job_id TYPE text; UPDATE lines SET job_id = 'two' WHERE job_id = '2'")
    assert row_counts(pair.sync(table))["deleted"] == 1, "a row of another key is no version of it"


@pytest.mark.parametrize("table", [LINES, ITEMS], ids=["delete-insert", "upsert"])
@pytest.mark.parametrize("on_delete", ["CASCADE", "SET NULL", "SET DEFAULT", "NO ACTION", "RESTRICT"])
def test_referenced_row_is_retained(pair: Pair, table: TableSpec, on_delete: str) -> None:
    make_lines(pair)
    make_children(pair, on_delete)
    pair.target.execute("INSERT INTO children VALUES (2)")
    pair.source.execute("DELETE FROM lines WHERE job_id >= 2")
    assert row_counts(pair.sync(table)) == {"unchanged": 1, "deleted": 1, "kept_referenced": 1}
    assert pair.rows("SELECT job_id FROM children") == [(2,)]
    assert pair.rows("SELECT job_id FROM lines ORDER BY 1") == [(1,), (2,)]
    pair.target.execute("DELETE FROM children")
    assert row_counts(pair.sync(table)) == {"unchanged": 1, "deleted": 1}


def test_retained_rows_do_not_count_as_a_mass_delete(pair: Pair) -> None:
    make_lines(pair, 60)
    make_children(pair, "CASCADE")
    pair.target.execute("INSERT INTO children SELECT job_id FROM lines WHERE job_id > 20")
    pair.source.execute("DELETE FROM lines WHERE job_id > 20")
    assert row_counts(pair.sync(LINES)) == {"unchanged": 20, "kept_referenced": 40}


@pytest.mark.parametrize("on_delete", ["CASCADE", "NO ACTION"])
def test_self_referencing_rows_are_deleted_with_their_children(pair: Pair, on_delete: str) -> None:
    pair.source.execute("CREATE TABLE tree (node int, parent int)")
    pair.target.execute(
        f"CREATE TABLE tree (node int PRIMARY KEY, parent int REFERENCES tree ON DELETE {on_delete}, source char(1))"
    )
    tree = delete_insert("tree", "node")
    pair.source.execute("INSERT INTO tree VALUES (1, NULL), (2, 1), (3, 2), (4, 4), (11, NULL), (12, 11), (99, NULL)")
    pair.sync(tree)
    pair.target.execute("INSERT INTO tree VALUES (13, 12, 'M')")
    pair.source.execute("DELETE FROM tree WHERE node <> 99")
    assert row_counts(pair.sync(tree)) == {"unchanged": 1, "deleted": 4, "kept_referenced": 2}
    assert pair.rows("SELECT node FROM tree ORDER BY 1") == [(11,), (12,), (13,), (99,)]


def test_child_written_in_an_open_transaction_is_not_deleted(pair: Pair) -> None:
    make_lines(pair)
    make_children(pair, "CASCADE")
    pair.source.execute("DELETE FROM lines WHERE job_id >= 2")
    with connect(pair.settings.mobile) as app:
        app.execute("BEGIN; INSERT INTO children VALUES (2)")
        with pair.sync_that_waits(LINES) as run:
            app.execute("COMMIT")
        assert row_counts(run.result()) == {"unchanged": 1, "deleted": 1, "kept_referenced": 1}
    assert pair.rows("SELECT job_id FROM children") == [(2,)]


@pytest.mark.parametrize("table", [LINES, ITEMS], ids=["delete-insert", "upsert"])
@pytest.mark.parametrize(
    ("meanwhile", "outcome", "end"),
    [
        (
            "UPDATE lines SET ticked = 1 WHERE job_id < 3",
            {"updated": 1, "foreign": 1, "unchanged": 1},
            "1 new 1, 2 old 1, 3 old",
        ),
        ("UPDATE lines SET source = 'M' WHERE job_id = 2", {"updated": 1, "unchanged": 1}, "1 new, 2 old, 3 old"),
        ("UPDATE lines SET line = 'new' WHERE job_id = 1", {"unchanged": 2, "deleted": 1}, "1 new, 3 old"),
        ("DELETE FROM lines WHERE job_id < 3", {"inserted": 1, "unchanged": 1}, "1 new, 3 old"),
    ],
    ids=["ticked", "taken over", "edited alike", "deleted"],
)
def test_row_written_between_plan_and_write_is_planned_again(
    pair: Pair, table: TableSpec, meanwhile: str, outcome: dict[str, int], end: str
) -> None:
    make_lines(pair)
    pair.source.execute("UPDATE lines SET line = 'old'")
    pair.sync(table)
    pair.source.execute("UPDATE lines SET line = 'new' WHERE job_id = 1; DELETE FROM lines WHERE job_id = 2")
    with connect(pair.settings.mobile) as app:
        app.execute(f"BEGIN; {meanwhile}")
        with pair.sync_that_waits(table) as run:
            app.execute("COMMIT")
        assert row_counts(run.result()) == outcome
    assert pair.one("SELECT string_agg(concat_ws(' ', job_id, line, ticked), ', ' ORDER BY job_id) FROM lines") == end


def test_row_written_while_the_merge_is_planned_is_not_doubled(pair: Pair) -> None:
    make_lines(pair, key="id bigserial PRIMARY KEY")
    pair.source.execute("UPDATE lines SET line = 'new' WHERE job_id = 1")

    class OvertakenConnection(psycopg.Cursor[tuple[Any, ...]]):
        def execute(self, query: Any, *args: Any, **rest: Any) -> Self:
            if (
                "loose_existing" in (query.as_string() if hasattr(query, "as_string") else str(query))
                and pair.one("SELECT count(ticked) FROM lines") == 0
            ):
                pair.target.execute("UPDATE lines SET ticked = 1")
            return super().execute(query, *args, **rest)

    with pair.connected() as (source, target):
        target.cursor_factory = OvertakenConnection
        result = sync_forward(TableExtract(spec=LINES), source=source, target=target, specs=[LINES], options=QUICK)
    assert row_counts(result) == {"updated": 1, "unchanged": 2}
    assert pair.rows("SELECT id, line, ticked FROM lines ORDER BY 1") == [
        (1, "new", 1),
        (2, "line 2", 1),
        (3, "line 3", 1),
    ]


def test_row_lock_held_by_the_app_fails_the_run_as_transient(pair: Pair) -> None:
    make_lines(pair)
    before = pair.text("lines")
    pair.source.execute("UPDATE lines SET line = 'new' WHERE job_id = 1")
    with connect(pair.settings.mobile) as app:
        app.execute("BEGIN; SELECT FROM lines FOR UPDATE")
        with pytest.raises(ContentionError, match="lock timeout"):
            pair.sync(LINES, options=IMPATIENT)
    assert pair.text("lines") == before


def test_trigger_that_forbids_a_delete_retains_only_that_row(pair: Pair) -> None:
    make_lines(pair)
    pair.target.execute("""
        CREATE FUNCTION forbid() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN IF OLD.job_id = 2 THEN RAISE EXCEPTION 'archived'; END IF; RETURN OLD; END $$;
        CREATE TRIGGER forbid BEFORE DELETE ON lines FOR EACH ROW EXECUTE FUNCTION forbid()""")
    pair.source.execute("DELETE FROM lines WHERE job_id >= 2")
    assert row_counts(pair.sync(LINES)) == {"unchanged": 1, "deleted": 1, "kept_referenced": 1}
    assert pair.rows("SELECT job_id FROM lines ORDER BY 1") == [(1,), (2,)]


def test_rows_of_another_owner_outlive_their_desktop_copies(pair: Pair) -> None:
    make_lines(pair)
    pair.target.execute("UPDATE lines SET source = (ARRAY['M', 'S', NULL])[job_id]")
    before = pair.text("lines")
    pair.source.execute("DELETE FROM lines; INSERT INTO lines VALUES (4, 'new')")
    for table in (LINES, ITEMS):
        result = row_counts(pair.sync(table))
        assert "deleted" not in result
        assert pair.text("lines", where="job_id < 4") == before
    assert_noop(pair, LINES)


def test_row_referenced_through_its_partition_is_retained(pair: Pair) -> None:
    parts = delete_insert("parts", "id")
    pair.source.execute("CREATE TABLE parts (id int)")
    pair.target.execute("""
        CREATE TABLE parts (id int, source char(1)) PARTITION BY RANGE (id);
        CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (100);
        ALTER TABLE parts_low ADD PRIMARY KEY (id);
        CREATE TABLE ticks (part int REFERENCES parts_low ON DELETE CASCADE, source char(1))""")
    pair.source.execute("INSERT INTO parts VALUES (1), (2), (3)")
    pair.sync(parts)
    pair.target.execute("INSERT INTO ticks VALUES (2, 'M')")
    pair.source.execute("DELETE FROM parts WHERE id <> 1")
    assert row_counts(pair.sync(parts)) == {"unchanged": 1, "deleted": 1, "kept_referenced": 1}
    assert pair.rows("SELECT part FROM ticks") == [(2,)]
