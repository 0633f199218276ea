"""Rows over the size limit of their spec are quarantined without their content; memory is bounded."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from psycopg import sql

from powerca_sync.engine.dry_run.forward_plan import plan_forward
from powerca_sync.engine.postgres.database import Connection, connect
from powerca_sync.engine.requests import Mode, TableExtract
from powerca_sync.engine.result import ForwardResult, Transfer
from powerca_sync.engine.reverse.pending import find_pending_tables
from powerca_sync.errors import ConfigurationError
from powerca_sync.specs import TableSpec, in_order
from powerca_sync_tests.engine.verify.checking import difference_counts, verify_table
from powerca_sync_tests.helpers import QUICK, Pair, assert_noop, delete_insert, pulled, spec

pytestmark = pytest.mark.long

BOTH = pytest.mark.parametrize("make", [spec, delete_insert], ids=["upsert", "delete-insert"])
LIMIT = 2 * 1024 * 1024
#: By type, a value that is over the limit, however well it compresses.
LARGE = {
    "text": "repeat('\"', 3000000)",
    "varchar(6000000)": "repeat(E'\\\\', 3000000)",
    "bytea": "convert_to(repeat('a', 3000000), 'UTF8')",
    "jsonb": "to_jsonb(repeat('a', 3000000))",
    "json": "to_json(repeat('a', 3000000))",
    "text[]": "ARRAY[repeat('a', 3000000), NULL]",
    "int[]": "array_fill(7, ARRAY[1000000])",
    "bit varying": "repeat('10', 16000000)::varbit",
}


def make_docs(pair: Pair, kind: str = "text") -> None:
    pair.source.execute(f"CREATE TABLE docs (id int, title text, body {kind}, size int)")
    pair.target.execute(f"CREATE TABLE docs (id int, title text, body {kind}, size int, source text)")
    pair.source.execute("INSERT INTO docs SELECT n, 't' || n FROM generate_series(1, 30) AS n")


def enlarge(connection: Connection, kind: str) -> None:
    """Writes a large value into row 7."""
    connection.execute(sql.SQL("UPDATE docs SET body = {} WHERE id = 7").format(sql.SQL(LARGE[kind])))


@pytest.mark.parametrize(
    ("kind", "transfer"),
    [*((kind, Transfer.EVERYTHING) for kind in LARGE), ("text", Transfer.DIFFERENCES), ("int[]", Transfer.DIFFERENCES)],
)
@BOTH
def test_row_over_the_limit_is_quarantined(
    pair: Pair, make: Callable[..., TableSpec], kind: str, transfer: Transfer
) -> None:
    make_docs(pair, kind)
    docs = make("docs", "id", "title", max_row_bytes=LIMIT)
    options = dataclasses.replace(QUICK, transfer=transfer, verify_on_commit=True)
    pair.sync(docs, options=options)
    enlarge(pair.source, kind)
    pair.source.execute("UPDATE docs SET size = 8 WHERE id = 8")
    foreseen = pair.plan(docs)["docs"].foreseen
    result = pair.sync(docs, options=options)
    assert result.quarantined == foreseen.quarantined == result.held == foreseen.held == 1
    assert result.rejections[0].reason == "oversized"
    assert pair.rows("SELECT title, body::text FROM docs WHERE id = 7") == [("t7", None)]
    assert pair.one("SELECT size FROM docs WHERE id = 8") == 8
    assert pair.rows("SELECT key ->> 'title', image ->> 'body' FROM powerca_sync.quarantine") == [("t7", None)]
    assert difference_counts(verify_table(pair, docs)) == {"quarantined": 1, "held": 1}
    again = pair.sync(docs, mode="incremental", options=options)
    assert (again.quarantined, again.written) == (1, 0)
    pair.source.execute("UPDATE docs SET body = NULL WHERE id = 7")
    assert pair.sync(docs, mode="incremental", options=options).quarantined == 0
    assert_noop(pair, docs)


def test_message_names_the_size_and_the_limit(pair: Pair) -> None:
    make_docs(pair)
    pair.source.execute("UPDATE docs SET body = repeat('x', 9_000_000) WHERE id = 7")
    result = pair.sync(spec("docs", "id"))
    assert str(result.samples[0]) == (
        "the row has 9.0 MB, more than the limit of 8.4 MB; shorten it, or raise `max_row_bytes` in the table's spec"
    )
    assert result.rejections[0].why == (
        "the row has more than the limit of 8.4 MB; shorten it, or raise `max_row_bytes` in the table's spec"
    )


def test_row_lands_once_the_limit_is_raised(pair: Pair) -> None:
    make_docs(pair)
    pair.source.execute("UPDATE docs SET body = repeat('x', 3000000) WHERE id = 7")
    docs = spec("docs", "id", max_row_bytes=LIMIT)
    assert pair.sync(docs).quarantined == 1
    assert pair.sync(dataclasses.replace(docs, max_row_bytes=4_000_000), mode="incremental").inserted == 1
    assert pair.one("SELECT length(body) FROM docs WHERE id = 7") == 3000000


@pytest.mark.parametrize("kind", LARGE)
@pytest.mark.parametrize(
    ("make", "key"), [(spec, "id int PRIMARY KEY"), (delete_insert, "id int")], ids=["keyed", "keyless"]
)
def test_phone_row_over_the_limit_is_not_reverse_synced(
    pair: Pair, make: Callable[..., TableSpec], kind: str, key: str
) -> None:
    pair.source.execute(f"CREATE TABLE docs (id int, title text, body {kind})")
    pair.target.execute(f"CREATE TABLE docs ({key}, title text, body {kind}, source text)")
    pair.target.execute("INSERT INTO docs SELECT n, 't' || n, NULL, 'M' FROM generate_series(1, 30) AS n")
    enlarge(pair.target, kind)
    docs = make("docs", "id", max_row_bytes=LIMIT)
    result = pair.pull(docs)
    assert pulled(result) == {"pulled": 29, "quarantined": 1}
    assert result.rejections[0].reason == "oversized"
    assert pair.rows("SELECT image ->> 'body' FROM powerca_sync.quarantine", pair.source) == [(None,)]
    assert pulled(pair.pull(docs)) == {"already_there": 29, "quarantined": 1}
    # A small row with the same narrow columns is another row.
    if key == "id int":
        pair.target.execute("INSERT INTO docs VALUES (7, 't7', NULL, 'M')")
        assert pulled(pair.pull(docs)) == {"already_there": 29, "pulled": 1, "quarantined": 1}
        pair.target.execute("DELETE FROM docs WHERE id = 7 AND body IS NULL")
    assert pair.sync(docs).written == 0
    pair.target.execute("UPDATE docs SET title = 'short', body = NULL WHERE id = 7")
    assert pair.pull(docs).pulled == 1
    assert pair.one("SELECT count(*) FROM docs WHERE title = 'short'", pair.source) == 1


def test_large_columns_that_are_not_synced_do_not_count(pair: Pair) -> None:
    make_docs(pair)
    pair.source.execute(
        "ALTER TABLE docs ADD scan bytea; UPDATE docs SET scan = convert_to(repeat('x', 3000000), 'UTF8')"
    )
    assert pair.sync(spec("docs", "id", max_row_bytes=LIMIT)).inserted == 30


def test_long_values_are_cut_in_images(pair: Pair) -> None:
    make_docs(pair)
    pair.target.execute("ALTER TABLE docs ADD CHECK (length(body) < 500000)")
    pair.source.execute("UPDATE docs SET body = repeat('x', 600000) WHERE id = 7; ALTER TABLE docs ADD source text")
    assert pair.sync(spec("docs", "id")).quarantined == 1
    assert pair.one("SELECT length(image ->> 'body') FROM powerca_sync.quarantine") == 10_000
    pair.target.execute("ALTER TABLE docs DROP CONSTRAINT docs_body_check")
    pair.target.execute("INSERT INTO docs VALUES (40, 't', repeat('x', 600000), 0, 'M')")
    pair.source.execute("ALTER TABLE docs ADD CHECK (id < 40 OR length(body) < 500000)")
    assert pair.pull(spec("docs", "id")).quarantined == 1
    assert pair.one("SELECT length(image ->> 'body') FROM powerca_sync.quarantine", pair.source) == 10_000


def test_long_values_are_cut_in_samples_of_verify(pair: Pair) -> None:
    make_docs(pair)
    docs = spec("docs", "id")
    pair.source.execute("UPDATE docs SET body = repeat('x', 600000) || 'a'")
    pair.sync(docs)
    pair.target.execute("UPDATE docs SET body = repeat('x', 600000) || 'b' WHERE id = 7")
    found = verify_table(pair, docs)
    assert found.outcome is not None
    (sample,) = found.outcome.samples
    assert sample.columns == ("body",)
    assert sample.desktop is not None
    assert len(sample.desktop["body"] or "") < 10_100


def peak_of(work: Callable[[], object]) -> float:
    """Returns the maximum growth of the process's memory during the work, in megabytes."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _megabytes("VmRSS")
    work()
    return _megabytes("VmHWM") - before


def _megabytes(name: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))


def test_memory_does_not_depend_on_the_size_of_a_row(pair: Pair) -> None:
    make_docs(pair)
    docs = spec("docs", "id")
    pair.source.execute("ALTER TABLE docs ADD source text")
    pair.sync(docs)
    pair.pull(docs)
    pair.source.execute("UPDATE docs SET body = repeat('\"', 60000000) WHERE id IN (7, 9)")
    pair.target.execute(
        "INSERT INTO docs SELECT n, 't', repeat('\"', 60000000), 0, 'M' FROM generate_series(41, 42) AS n"
    )
    runs: dict[str, Callable[[], object]] = {
        "forward": lambda: pair.sync(docs),
        "incremental": lambda: pair.sync(docs, mode="incremental"),
        "differences": lambda: pair.sync(docs, options=dataclasses.replace(QUICK, transfer=Transfer.DIFFERENCES)),
        "dry run": lambda: pair.plan(docs),
        "reverse": lambda: pair.pull(docs),
        "verify": lambda: verify_table(pair, docs),
        "probe": lambda: look_for_phone_rows(pair, docs),
    }
    # A single value of 60 MB would take at least that much; without the limit it took ten times as much.
    assert {name: peak for name, run in runs.items() if (peak := peak_of(run)) > 30} == {}
    assert pair.sync(docs).quarantined == 2
    assert pair.pull(docs).quarantined == 2


def test_row_reverse_synced_under_a_higher_limit_stays_known(pair: Pair) -> None:
    make_docs(pair)
    pair.source.execute("ALTER TABLE docs ADD source text")
    pair.target.execute("INSERT INTO docs (id, body, source) VALUES (41, repeat('x', 40000000), 'M')")
    docs = spec("docs", "id", max_row_bytes=100_000_000)
    assert pair.pull(docs).pulled == 1
    assert pair.sync(docs).echo == 1
    docs = spec("docs", "id")
    results = list[ForwardResult]()
    assert peak_of(lambda: results.append(pair.sync(docs))) < 30
    assert (results[0].quarantined, results[0].written) == (1, 0)
    pair.source.execute("UPDATE docs SET body = 'short' WHERE id = 41")
    result = pair.sync(docs)
    assert (result.conflicting, result.written) == (1, 0)
    assert pair.one("SELECT length(body) FROM docs WHERE id = 41") == 40_000_000


def test_memory_of_rows_within_the_limit_is_bounded(pair: Pair) -> None:
    make_docs(pair, "bytea")
    pair.source.execute("UPDATE docs SET body = convert_to(repeat('x', 8000000), 'UTF8') WHERE id < 10")
    assert peak_of(lambda: pair.sync(spec("docs", "id"))) < 200
    assert pair.one("SELECT sum(length(body)) FROM docs") == 9 * 8_000_000


def test_value_too_large_for_a_text_is_quarantined_alone(pair: Pair) -> None:
    # A text has at most 1 GB; each byte of a bytea takes two characters, and quotes are doubled in the text of a row.
    make_docs(pair)
    docs = delete_insert("docs", "id")
    pair.both("ALTER TABLE docs ADD scan bytea")
    pair.source.execute("ALTER TABLE docs ADD source text")
    pair.sync(docs)
    pair.pull(docs)
    pair.source.execute("INSERT INTO docs (id, scan) VALUES (31, convert_to(repeat('a', 540000000), 'UTF8'))")
    pair.target.execute("""
        INSERT INTO docs (id, body, source) VALUES (41, repeat('"', 540000000), 'M'), (42, '', 'M'),
            (43, repeat('"', 540000000), 'D')""")
    assert look_for_phone_rows(pair, docs) == ("docs",)
    assert pulled(pair.pull(docs)) == {"pulled": 1, "quarantined": 1}
    assert pulled(pair.pull(docs)) == {"already_there": 1, "quarantined": 1}
    assert look_for_phone_rows(pair, docs) == ()
    difference_counts(verify_table(pair, docs))
    extract = TableExtract(spec=docs, mode=Mode.FULL)
    with pair.connected() as (source, target):
        plan_forward([extract], source=source, target=target, specs=[docs], options=QUICK)
    for transfer in (Transfer.DIFFERENCES, Transfer.EVERYTHING):
        options = dataclasses.replace(QUICK, transfer=transfer, verify_on_commit=True)
        assert pair.sync(docs, options=options).quarantined == 1
    assert difference_counts(verify_table(pair, docs))["quarantined"] == 1


def look_for_phone_rows(pair: Pair, *tables: TableSpec, seconds: float = 5) -> tuple[str, ...]:
    with pair.connected() as (target, source):
        return find_pending_tables(source=source, target=target, specs=in_order(tables), seconds=seconds).pending


def test_locked_table_does_not_hide_pending_rows_of_others(pair: Pair) -> None:
    tables = tuple(spec(name, "id") for name in ("a", "b", "c"))
    pair.both("CREATE TABLE a (id int); CREATE TABLE b (id int); CREATE TABLE c (id int)")
    pair.target.execute("ALTER TABLE a ADD source text; ALTER TABLE b ADD source text; ALTER TABLE c ADD source text")
    pair.pull_all(*tables)
    pair.target.execute("INSERT INTO c VALUES (1, 'M')")
    with connect(pair.settings.mobile) as other, other.transaction():
        other.execute("LOCK TABLE a")
        assert look_for_phone_rows(pair, *tables, seconds=0.5) == ("a", "c")


def test_too_low_limit_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"`docs`: `max_row_bytes` is 1000\. Use a number of at least 2097152"):
        spec("docs", "id", max_row_bytes=1000)
