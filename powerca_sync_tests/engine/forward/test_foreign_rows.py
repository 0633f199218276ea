"""Desktop-owned rows that others inserted or changed on mobile: kept, reported, and not counted by the guard."""

import psycopg
import pytest
from psycopg import sql

from powerca_sync.engine.dry_run.forward_plan import Prospect
from powerca_sync.engine.forward import row_versions_sql
from powerca_sync.engine.postgres import connect
from powerca_sync.engine.result import Options, Transfer
from powerca_sync.engine.state import row_versions
from powerca_sync.engine.status import read_table_status
from powerca_sync.errors import UnsafeTargetError
from powerca_sync.specs import Deletes, TableSpec
from powerca_sync_tests.engine.verify.checking import difference_counts, verify_table
from powerca_sync_tests.helpers import QUICK, Pair, delete_insert, pulled, row_counts, spec

LINES = delete_insert("lines", "job_id")
ITEMS = spec("lines", "job_id", deletes=Deletes.PROPAGATE)
BOTH = pytest.mark.parametrize("table", [LINES, ITEMS], ids=["delete-insert", "upsert"])
ROWS = 100
DIFFERENCES = Options(timeouts=QUICK.timeouts, transfer=Transfer.DIFFERENCES)


@pytest.fixture
def lines(pair: Pair) -> Pair:
    """A hundred lines on both sides, synced once."""
    pair.source.execute("CREATE TABLE lines (job_id int, line text)")
    pair.source.execute("INSERT INTO lines SELECT n, 'line ' || n FROM generate_series(1, %s) AS n", [ROWS])
    pair.target.execute(
        "CREATE TABLE lines (id bigserial PRIMARY KEY, job_id int, line text, source char(1) DEFAULT 'D')"
    )
    assert row_counts(pair.sync(LINES)) == {"inserted": ROWS}
    return pair


def forge(pair: Pair, count: int, *, first: int = 9001, line: str = "forged") -> None:
    """One transaction for each row, as phones write."""
    for n in range(first, first + count):
        pair.target.execute("INSERT INTO lines (job_id, line) VALUES (%s, %s)", [n, line])


def in_pieces(pair: Pair, state: str = "P0001") -> None:
    """Have a trigger on mobile refuse some rows, so that the others are written under savepoints of their own."""
    pair.target.execute(f"""
        CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.line LIKE '%7' THEN RAISE 'not this one' USING ERRCODE = '{state}'; END IF; RETURN NEW; END $$;
        DROP TRIGGER IF EXISTS refuse ON lines;
        CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON lines FOR EACH ROW EXECUTE FUNCTION refuse()""")  # type: ignore[call-overload]


@BOTH
def test_forged_rows_are_kept_and_named(lines: Pair, table: TableSpec) -> None:
    lines.sync(table)
    forge(lines, 25)
    before = lines.text("lines")
    plan = lines.plan(table)["lines"]
    assert plan.prospect is Prospect.READY
    assert plan.foreseen is not None
    result = lines.sync(table)
    assert row_counts(result) == row_counts(plan.foreseen) == {"unchanged": ROWS, "foreign": 25}
    assert result.warnings == plan.foreseen.warnings
    (warning,) = result.warnings
    assert warning.startswith("25 rows inserted or changed on mobile by others, not on the desktop, and kept")
    assert "job_id=9001; " in warning
    assert "and 20 more" in warning
    assert "`--delete-foreign`" in warning
    assert lines.text("lines") == before
    again = lines.sync(table)
    assert (row_counts(again), again.warnings) == (row_counts(result), result.warnings)
    assert lines.text("lines") == before
    assert difference_counts(verify_table(lines, table)) == {"extra": 25}
    status = read_table_status(lines.target, [table], None)
    assert status is not None
    assert status[0].foreign == 25


@BOTH
def test_office_deletes_beside_forged_rows_are_done_and_guarded(lines: Pair, table: TableSpec) -> None:
    lines.sync(table)
    forge(lines, 400)
    lines.source.execute("DELETE FROM lines WHERE job_id <= 20")
    assert row_counts(lines.sync(table)) == {"unchanged": 80, "deleted": 20, "foreign": 400}
    lines.source.execute("DELETE FROM lines WHERE job_id <= 41")
    with pytest.raises(UnsafeTargetError) as caught:
        lines.sync(table)
    assert "21 of the office's 80 rows would be deleted; the limit is 20. Not counted: 400 more rows" in str(
        caught.value
    )
    assert row_counts(lines.sync(table, allow_mass_delete=True)) == {"unchanged": 59, "deleted": 21, "foreign": 400}


@BOTH
def test_switch_deletes_forged_rows_without_counting_them(lines: Pair, table: TableSpec) -> None:
    lines.sync(table)
    forge(lines, 25)
    lines.sync(table)
    lines.source.execute("DELETE FROM lines WHERE job_id = 1")
    plan = lines.plan(table, delete_foreign=True)["lines"]
    assert plan.foreseen is not None
    assert len(plan.deletes) == 5
    result = lines.sync(table, delete_foreign=True)
    assert row_counts(result) == row_counts(plan.foreseen) == {"unchanged": 99, "deleted": 26}
    assert row_counts(lines.sync(table)) == {"unchanged": 99}
    lines.source.execute("DELETE FROM lines WHERE job_id <= 22")
    forge(lines, 25)
    with pytest.raises(UnsafeTargetError, match=r"21 of the office's 99 rows .* 25 more rows"):
        lines.sync(table, delete_foreign=True)


def test_forged_copy_does_not_displace_the_desktops_row(lines: Pair) -> None:
    lines.target.execute("ALTER TABLE lines ALTER id DROP DEFAULT, ALTER id TYPE text")
    lines.target.execute("ALTER TABLE lines ALTER id SET DEFAULT gen_random_uuid()")
    lines.sync(LINES)
    # Their primary keys come first, so that they would be taken for the desktop's rows.
    lines.target.execute("INSERT INTO lines (id, job_id, line) VALUES ('', 5, 'line 5'), ('-', 6, 'a forged one')")
    lines.source.execute("UPDATE lines SET line = 'new' WHERE job_id = 6")
    result = lines.sync(LINES)
    assert row_counts(result) == {"unchanged": 99, "updated": 1, "foreign": 2}
    assert result.foreign_keys == ("id=, job_id=5", "id=-, job_id=6")
    assert lines.rows("SELECT line FROM lines WHERE job_id IN (5, 6) AND id > '-' ORDER BY job_id") == [
        ("line 5",),
        ("new",),
    ]


def test_forged_row_that_the_desktop_gets_becomes_the_desktops(lines: Pair) -> None:
    forge(lines, 1)
    assert row_counts(lines.sync(LINES)) == {"unchanged": ROWS, "foreign": 1}
    lines.source.execute("INSERT INTO lines VALUES (9001, 'forged')")
    assert row_counts(lines.sync(LINES)) == {"unchanged": ROWS + 1}
    lines.source.execute("DELETE FROM lines WHERE job_id = 9001")
    assert row_counts(lines.sync(LINES)) == {"unchanged": ROWS, "deleted": 1}


def test_changed_row_is_overwritten_while_the_desktop_has_it(lines: Pair) -> None:
    lines.target.execute("UPDATE lines SET line = 'changed' WHERE job_id <= 30")
    lines.source.execute("DELETE FROM lines WHERE job_id <= 25")
    result = lines.sync(LINES)
    assert row_counts(result) == {"unchanged": 70, "updated": 5, "foreign": 25}
    lines.source.execute("DELETE FROM lines WHERE job_id = 30")
    assert row_counts(lines.sync(LINES)) == {"unchanged": 74, "deleted": 1, "foreign": 25}


def test_few_changed_rows_follow_the_desktop_and_are_not_counted(lines: Pair) -> None:
    lines.target.execute("UPDATE lines SET line = line WHERE job_id BETWEEN 21 AND 40")
    lines.source.execute("DELETE FROM lines WHERE job_id <= 40")
    forge(lines, 1)
    assert row_counts(lines.sync(LINES)) == {"unchanged": 60, "deleted": 40, "foreign": 1}


def test_rows_changed_together_follow_the_desktop_one_by_one(lines: Pair) -> None:
    lines.target.execute("UPDATE lines SET line = line WHERE job_id <= 3")
    for n in (1, 2, 3):
        lines.source.execute("DELETE FROM lines WHERE job_id = %s", [n])
        assert row_counts(lines.sync(LINES)) == {"unchanged": ROWS - n, "deleted": 1}


def test_recorded_rows_are_kept_however_few_are_left(lines: Pair) -> None:
    lines.target.execute("UPDATE lines SET line = line WHERE job_id <= 30")
    lines.source.execute("DELETE FROM lines WHERE job_id <= 30")
    assert row_counts(lines.sync(LINES)) == {"unchanged": 70, "foreign": 30}
    lines.target.execute("DELETE FROM lines WHERE job_id <= 28")
    for _ in range(2):
        assert row_counts(lines.sync(LINES)) == {"unchanged": 70, "foreign": 2}


def test_change_that_a_run_has_seen_is_not_foreign(lines: Pair) -> None:
    lines.target.execute("UPDATE lines SET line = line WHERE job_id <= 5")
    assert row_counts(lines.sync(LINES)) == {"unchanged": ROWS}
    lines.source.execute("DELETE FROM lines WHERE job_id <= 5")
    assert row_counts(lines.sync(LINES)) == {"unchanged": 95, "deleted": 5}


def test_foreign_row_given_to_the_phones_is_reverse_synced(lines: Pair) -> None:
    forge(lines, 2)
    lines.sync(LINES)
    lines.target.execute("UPDATE lines SET source = 'M' WHERE job_id = 9001")
    assert row_counts(lines.sync(LINES)) == {"unchanged": ROWS, "foreign": 1}
    assert pulled(lines.pull(LINES)) == {"pulled": 1}
    assert row_counts(lines.sync(LINES)) == {"unchanged": ROWS, "echo": 1, "foreign": 1}


def test_rows_written_by_triggers_under_savepoints_are_never_foreign(lines: Pair) -> None:
    lines.target.execute("""
        CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            UPDATE lines SET line = line WHERE job_id <= 30;
            RETURN NULL;
        EXCEPTION WHEN division_by_zero THEN RETURN NULL; END $$""")
    lines.target.execute("CREATE TRIGGER meddle AFTER INSERT ON lines FOR EACH ROW EXECUTE FUNCTION meddle()")
    lines.source.execute("INSERT INTO lines VALUES (101, 'line 101')")
    assert row_counts(lines.sync(LINES)) == {"inserted": 1, "unchanged": ROWS}
    lines.source.execute("DELETE FROM lines WHERE job_id <= 30")
    assert row_counts(lines.sync(LINES, allow_mass_delete=True)) == {"unchanged": 71, "deleted": 30}


@BOTH
def test_rows_written_under_savepoints_are_never_foreign(lines: Pair, table: TableSpec) -> None:
    in_pieces(lines)
    lines.source.execute("INSERT INTO lines SELECT n, 'more ' || n FROM generate_series(101, 200) AS n")
    lines.source.execute("UPDATE lines SET line = 'new ' || job_id WHERE job_id <= 20")
    result = lines.sync(table)
    assert row_counts(result) == {"inserted": 90, "updated": 18, "unchanged": 80, "quarantined": 12, "held": 2}
    assert lines.one("SELECT count(DISTINCT xmin::text) FROM lines WHERE line ~ 'more|new'") > 1, "in one transaction"
    lines.source.execute("DELETE FROM lines WHERE job_id BETWEEN 1 AND 20 AND job_id % 10 <> 7 OR job_id > 180")
    assert row_counts(lines.sync(table, allow_mass_delete=True)) == {
        "unchanged": 152,
        "deleted": 36,
        "quarantined": 10,
        "held": 2,
    }


def test_rows_of_incremental_runs_are_not_foreign(lines: Pair) -> None:
    lines.sync(ITEMS)
    for n in range(201, 204):
        lines.source.execute("INSERT INTO lines VALUES (%s, 'later')", [n])
        assert row_counts(lines.sync(ITEMS, mode="incremental")) == {"inserted": 1}
    lines.target.execute("INSERT INTO lines (job_id, line) VALUES (204, 'forged')")
    lines.source.execute("DELETE FROM lines WHERE job_id > 200")
    assert row_counts(lines.sync(ITEMS, mode="incremental")) == {}
    assert row_counts(lines.sync(ITEMS)) == {"unchanged": ROWS, "deleted": 3, "foreign": 1}


def test_rows_of_a_run_that_was_planned_twice_are_not_foreign(lines: Pair) -> None:
    lines.source.execute("UPDATE lines SET line = 'new'")
    with connect(lines.settings.mobile) as phone, phone.transaction():
        phone.execute("UPDATE lines SET line = 'phone' WHERE job_id = 1")
        with lines.sync_that_waits(LINES) as run:
            phone.execute("COMMIT")
            assert row_counts(run.result(60)) == {"updated": ROWS}
            phone.execute("BEGIN")
    lines.source.execute("DELETE FROM lines WHERE job_id <= 20")
    assert row_counts(lines.sync(LINES)) == {"unchanged": 80, "deleted": 20}


def test_row_of_a_transaction_in_progress_during_a_run_is_foreign(lines: Pair) -> None:
    with connect(lines.settings.mobile) as phone, phone.transaction():
        phone.execute("INSERT INTO lines (job_id, line) VALUES (9001, 'forged')")
        forge(lines, 1, first=9002)
        assert row_counts(lines.sync(LINES)) == {"unchanged": ROWS, "foreign": 1}
    assert row_counts(lines.sync(LINES)) == {"unchanged": ROWS, "foreign": 2}
    assert row_counts(lines.sync(LINES)) == {"unchanged": ROWS, "foreign": 2}


@pytest.mark.parametrize(
    "rewrite",
    [
        "ALTER TABLE lines ALTER COLUMN job_id TYPE bigint",
        "CREATE TEMP TABLE kept AS TABLE lines; TRUNCATE lines; INSERT INTO lines TABLE kept; DROP TABLE kept",
    ],
    ids=["rewritten", "restored"],
)
def test_rows_of_a_rewritten_table_are_not_foreign(lines: Pair, rewrite: str) -> None:
    lines.target.execute(rewrite)  # type: ignore[call-overload]
    lines.source.execute("DELETE FROM lines WHERE job_id <= 25")
    with pytest.raises(UnsafeTargetError, match="25 of the office's 100 rows"):
        lines.sync(LINES)
    assert row_counts(lines.sync(LINES, allow_mass_delete=True)) == {"unchanged": 75, "deleted": 25}
    forge(lines, 25)
    assert row_counts(lines.sync(LINES)) == {"unchanged": 75, "foreign": 25}


def test_vacuum_changes_nothing(lines: Pair) -> None:
    forge(lines, 25)
    lines.sync(LINES)
    forge(lines, 5, first=9101)
    lines.target.execute("VACUUM (FREEZE) lines")
    lines.source.execute("DELETE FROM lines WHERE job_id <= 5")
    assert row_counts(lines.sync(LINES)) == {"unchanged": 95, "deleted": 5, "foreign": 30}


def test_forged_row_whose_key_is_quarantined_stays_foreign(lines: Pair) -> None:
    lines.target.execute("ALTER TABLE lines ALTER line TYPE varchar(10)")
    lines.sync(LINES)
    lines.source.execute("INSERT INTO lines VALUES (9001, 'longer than that')")
    forge(lines, 1)
    assert row_counts(lines.sync(LINES)) == {"unchanged": ROWS, "quarantined": 1, "held": 1}
    lines.source.execute("DELETE FROM lines WHERE job_id = 9001")
    assert row_counts(lines.sync(LINES)) == {"unchanged": ROWS, "foreign": 1}


def test_forged_row_that_others_reference_stays_foreign(lines: Pair) -> None:
    forge(lines, 2)
    lines.target.execute("CREATE TABLE children (line_id bigint REFERENCES lines)")
    lines.target.execute("INSERT INTO children SELECT id FROM lines WHERE job_id >= 9001")
    assert row_counts(lines.sync(LINES)) == {"unchanged": ROWS, "foreign": 2}
    assert row_counts(lines.sync(LINES, delete_foreign=True)) == {"unchanged": ROWS, "kept_referenced": 2}
    lines.target.execute("DROP TABLE children")
    assert row_counts(lines.sync(LINES)) == {"unchanged": ROWS, "foreign": 2}


def test_forged_row_in_the_way_of_a_desktop_row_is_deleted(lines: Pair) -> None:
    lines.target.execute("CREATE UNIQUE INDEX ON lines (line)")
    forge(lines, 1, line="taken")
    forge(lines, 1, first=9002, line="free")
    lines.source.execute("INSERT INTO lines VALUES (101, 'taken')")
    assert row_counts(lines.sync(LINES)) == {"inserted": 1, "unchanged": ROWS, "deleted": 1, "foreign": 1}


def test_first_run_follows_the_source(pair: Pair) -> None:
    pair.source.execute("CREATE TABLE lines (job_id int, line text); INSERT INTO lines VALUES (1, 'one')")
    pair.target.execute("CREATE TABLE lines (job_id int, line text, source char(1) DEFAULT 'D')")
    pair.target.execute("INSERT INTO lines VALUES (1, 'one'), (2, 'two')")
    assert row_counts(pair.sync(LINES)) == {"unchanged": 1, "deleted": 1}


def test_run_on_an_empty_source_learns_nothing(lines: Pair) -> None:
    forge(lines, 1)
    kept = lines.source.execute("DELETE FROM lines RETURNING job_id, line").fetchall()
    assert row_counts(lines.sync(LINES, allow_mass_delete=True)) == {}
    for row in kept:
        lines.source.execute("INSERT INTO lines VALUES (%s, %s)", row)
    assert row_counts(lines.sync(LINES)) == {"unchanged": ROWS, "foreign": 1}


def test_differential_transfer_keeps_forged_rows(lines: Pair) -> None:
    forge(lines, 25)
    for _ in range(2):
        assert row_counts(lines.sync(LINES, options=DIFFERENCES)) == {"unchanged": ROWS, "foreign": 25}
    lines.sync(LINES, options=DIFFERENCES, delete_foreign=True)
    for _ in range(2):
        assert row_counts(lines.sync(LINES, options=DIFFERENCES)) == {"unchanged": ROWS}
    lines.source.execute("DELETE FROM lines WHERE job_id <= 5")
    assert row_counts(lines.sync(LINES, options=DIFFERENCES)) == {"unchanged": 95, "deleted": 5}


def test_partitions_are_told_apart(pair: Pair) -> None:
    pair.source.execute("CREATE TABLE lines (job_id int, line text)")
    pair.source.execute("INSERT INTO lines SELECT n, 'line' FROM generate_series(1, 10) AS n")
    pair.target.execute("""
        CREATE TABLE lines (job_id int, line text, source char(1) DEFAULT 'D') PARTITION BY RANGE (job_id);
        CREATE TABLE lines_1 PARTITION OF lines FOR VALUES FROM (0) TO (6);
        CREATE TABLE lines_2 PARTITION OF lines FOR VALUES FROM (6) TO (10000)""")
    pair.sync(LINES)
    forge(pair, 3)
    pair.source.execute("DELETE FROM lines WHERE job_id IN (1, 10)")
    assert row_counts(pair.sync(LINES)) == {"unchanged": 8, "deleted": 2, "foreign": 3}


def test_flood_beyond_the_limit_stays_foreign(lines: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("state.row_versions", "forward.row_versions_sql"):
        monkeypatch.setattr(f"powerca_sync.engine.{module}.MOST_VERSIONS", 10)
    forge(lines, 30)
    for n in range(3):
        lines.source.execute("INSERT INTO lines VALUES (%s, 'new')", [1000 + n])
        assert row_counts(lines.sync(LINES)) == {"inserted": 1, "unchanged": ROWS + n, "foreign": 30}
    lines.source.execute("DELETE FROM lines WHERE job_id BETWEEN 1000 AND 2000")
    assert row_counts(lines.sync(LINES)) == {"unchanged": ROWS, "deleted": 3, "foreign": 30}
    lines.target.execute("DELETE FROM lines WHERE job_id >= 9006")
    assert row_counts(lines.sync(LINES)) == {"unchanged": ROWS, "foreign": 5}
    assert len(lines.one("SELECT target_mark ->> 'own' FROM powerca_sync.table_state")) == len("[]")


def test_own_writes_beyond_the_limit_make_nothing_foreign(lines: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_versions, "MOST_VERSIONS", 0)
    lines.source.execute("INSERT INTO lines VALUES (1000, 'new')")
    lines.sync(LINES)
    lines.source.execute("DELETE FROM lines WHERE job_id = 1000")
    forge(lines, 1)
    assert row_counts(lines.sync(LINES)) == {"unchanged": ROWS, "deleted": 2}


@pytest.mark.parametrize(
    ("now", "xmin", "last", "first"),
    [
        (900, 800, 800, 2**32 + 800),
        (2**32 + 10, 5, 2**32 + 5, 2**33 + 5),
        (2**32 + 10, 2**32 - 3, 2**32 - 3, 2**33 - 3),
        (2**33 - 3, 2**32 - 2, 2**32 - 2, 2**33 - 2),
        (2**33 - 3, 4, 2**32 + 4, 2**33 + 4),
    ],
)
def test_versions_are_widened_across_the_wrap_of_transaction_ids(
    pair: Pair, now: int, xmin: int, last: int, first: int
) -> None:
    query = sql.SQL("SELECT {}, {}").format(
        row_versions_sql.latest(sql.SQL("{}::bigint").format(now), sql.SQL("{}::bigint").format(xmin)),
        row_versions_sql.earliest(sql.SQL("{}::bigint").format(now), sql.SQL("{}::bigint").format(xmin)),
    )
    assert pair.target.execute(query).fetchone() == (last, first)


def test_mark_of_a_later_snapshot_is_not_used(lines: Pair) -> None:
    """As in a copy of the database on a server that has run fewer transactions."""
    lines.target.execute(
        "UPDATE powerca_sync.table_state"
        " SET target_mark = jsonb_set(target_mark, '{snapshot}', '\"900000000000:900000000000:\"')"
    )
    forge(lines, 1)
    assert row_counts(lines.sync(LINES)) == {"unchanged": ROWS, "deleted": 1}


def test_dry_run_before_the_upgrade_of_the_state_works(lines: Pair) -> None:
    lines.target.execute("ALTER TABLE powerca_sync.table_state DROP COLUMN target_mark")
    forge(lines, 1)
    plan = lines.plan(LINES)["lines"]
    assert plan.foreseen is not None
    assert row_counts(plan.foreseen) == {"unchanged": ROWS, "deleted": 1}
    assert row_counts(lines.sync(LINES)) == {"unchanged": ROWS, "deleted": 1}


def test_reporting_hides_sensitive_keys_and_control_characters(lines: Pair) -> None:
    by_line = delete_insert("lines", "line", "job_id", sensitive=frozenset({"job_id"}))
    lines.sync(by_line)
    forge(lines, 1, line="a\n[OK] all is well")
    (warning,) = lines.sync(by_line).warnings
    assert "\n" not in warning
    assert "9001" not in warning


def test_trigger_that_writes_under_savepoints_of_its_own_is_known(lines: Pair) -> None:
    with pytest.raises(psycopg.errors.RaiseException), lines.target.transaction():
        lines.target.execute("DO $$ BEGIN RAISE 'burns a transaction id'; END $$")
    lines.target.execute("""
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            BEGIN INSERT INTO lines (job_id, line) VALUES (NEW.job_id, 'of a trigger');
            EXCEPTION WHEN unique_violation THEN NULL; END; RETURN NULL; END $$;
        CREATE TRIGGER note AFTER INSERT ON lines FOR EACH ROW WHEN (NEW.line <> 'of a trigger')
            EXECUTE FUNCTION note()""")
    lines.source.execute("INSERT INTO lines VALUES (1000, 'new')")
    lines.sync(LINES)
    lines.source.execute("INSERT INTO lines VALUES (1001, 'new')")
    assert row_counts(lines.sync(LINES))["deleted"] == 1, "the sync's own transaction wrote it"
