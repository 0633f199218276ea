"""Rows are sent in chunks; a refused chunk is bisected until only the rows at fault are left out."""

import tracemalloc
from collections.abc import Iterable

import pytest

from powerca_sync.engine.postgres import copying
from powerca_sync.engine.reverse.ledger import prepare_ledger
from powerca_sync.engine.staging import staging
from powerca_sync.errors import StagingError
from powerca_sync_tests.helpers import AS_TEXT, Pair, row_counts, spec

ROWS = 1000
LINES = spec("lines", "id", limit_share=1.0)


@pytest.fixture
def lines(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> Pair:
    """Creates a thousand rows of about twenty bytes; a chunk holds some hundred of them."""
    pair.source.execute("CREATE TABLE lines (id int PRIMARY KEY, text text)")
    pair.target.execute("CREATE TABLE lines (id int PRIMARY KEY, text varchar(10))")
    pair.source.execute(f"INSERT INTO lines SELECT g, 'line ' || g FROM generate_series(1, {ROWS}) AS g")  # type: ignore[call-overload]  # noqa: S608
    monkeypatch.setattr(copying, "BLOCK", 200)
    monkeypatch.setattr(staging, "BLOCK", 200)
    monkeypatch.setattr(staging, "CHUNK", 2000)
    return pair


def make_unfit(pair: Pair, ids: Iterable[int]) -> None:
    pair.source.execute("UPDATE lines SET text = 'far too long' WHERE id = ANY (%s)", [list(ids)])


def test_fitting_rows_are_staged_in_chunks_and_counted(lines: Pair) -> None:
    result = lines.sync(LINES, options=AS_TEXT)
    assert (result.extracted, result.staged, result.inserted, result.quarantined) == (ROWS, ROWS, ROWS, 0)
    # The text is sent twice, because a target column with a length limit could cut it.
    assert result.bytes == lines.one("SELECT sum(length(id::text) + 2 * length(text) + 3) FROM lines", lines.source)
    query = "SELECT * FROM lines ORDER BY id"
    assert lines.rows(query) == lines.rows(query, lines.source)


@pytest.mark.parametrize(
    "bad",
    [[1], [ROWS], [2, 3, 4], [1, 500, ROWS], [*range(1, ROWS, 97)], [*range(300, 420)], [*range(1, ROWS + 1)]],
    ids=["the first", "the last", "neighbours", "both ends and one between", "scattered", "a chunk", "all"],
)
def test_only_the_unfit_rows_are_left_out(lines: Pair, bad: list[int]) -> None:
    make_unfit(lines, bad)
    result = lines.sync(LINES, options=AS_TEXT)
    assert (result.extracted, result.staged, result.quarantined) == (ROWS, ROWS - len(bad), len(bad))
    assert [id for (id,) in lines.rows("SELECT id FROM lines ORDER BY id")] == sorted({*range(1, ROWS + 1)} - {*bad})
    assert [id for (id,) in lines.rows("SELECT (key ->> 'id')::int FROM powerca_sync.quarantine ORDER BY 1")] == bad
    (rejections,) = result.rejections
    assert (rejections.reason, rejections.rows) == ("refused", len(bad))


def test_row_larger_than_a_chunk_is_staged(lines: Pair) -> None:
    lines.target.execute("ALTER TABLE lines ALTER text TYPE text")
    lines.source.execute("UPDATE lines SET text = repeat('x', 9000) WHERE id IN (500, 501, 1000)")
    assert lines.sync(LINES, options=AS_TEXT).inserted == ROWS


def test_refused_update_retains_the_last_good_version(lines: Pair) -> None:
    lines.sync(LINES, options=AS_TEXT)
    before = lines.text("lines")
    make_unfit(lines, [7, 8])
    assert row_counts(lines.sync(LINES, options=AS_TEXT)) == {"unchanged": ROWS - 2, "quarantined": 2, "held": 2}
    assert lines.text("lines") == before


def test_too_many_unfit_rows_fail_the_table(lines: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "MOST_REFUSED", 50)
    make_unfit(lines, range(1, 52))
    with pytest.raises(StagingError, match=r"more than 50 rows do not fit .*: value too long .* \(column text\)\. "):
        lines.sync(LINES, options=AS_TEXT)
    assert lines.one("SELECT count(*) FROM lines") == 0


def test_sensitive_value_is_shown_nowhere(pair: Pair) -> None:
    pair.source.execute("CREATE TABLE staff (id int PRIMARY KEY, secret text)")
    pair.target.execute("CREATE TABLE staff (id int PRIMARY KEY, secret int)")
    pair.source.execute("INSERT INTO staff VALUES (1, 'hunter2'), (2, '31415.5')")
    result = pair.sync(spec("staff", "id", sensitive=frozenset({"secret"}), limit_share=1.0))
    assert result.quarantined == 2
    shown = str(result) + str(pair.rows("SELECT q.*::text FROM powerca_sync.quarantine AS q"))
    assert "hunter2" not in shown
    assert "31415" not in shown
    assert 'invalid input syntax for type integer: "***"' in shown


def test_ledger_image_that_no_longer_fits_matches_no_row(pair: Pair) -> None:
    pair.both("CREATE TABLE lines (id int PRIMARY KEY, text text)")
    pair.target.execute("ALTER TABLE lines ALTER text TYPE varchar(5)")
    pair.source.execute("INSERT INTO lines VALUES (1, 'one'), (2, 'two')")
    prepare_ledger(pair.source)
    pair.source.execute("""
        INSERT INTO powerca_sync.pulled (table_name, mobile_key, image, content_hash)
        VALUES ('lines', '9', '{"id": 9, "text": "far too long"}', '9'), ('lines', '2', '{"id": 2, "text": "two"}', '2')
    """)
    assert row_counts(pair.sync(LINES, options=AS_TEXT)) == {"inserted": 1, "echo": 1}


def test_memory_does_not_grow_with_the_table(pair: Pair) -> None:
    pair.both("CREATE TABLE lines (id int PRIMARY KEY, text text)")
    peaks = []
    for rows in (40_000, 160_000):
        pair.source.execute("TRUNCATE lines")
        pair.source.execute("INSERT INTO lines SELECT g, repeat('x', 250) FROM generate_series(1, %s) AS g", [rows])
        tracemalloc.start()
        pair.sync(LINES, allow_mass_insert=True)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # 10 and 40 MB of rows; memory holds one chunk of 8 MB and a copy of a part of it.
    assert peaks[1] < 1.1 * peaks[0] < 24 * 1024 * 1024
