"""Rows are copied in binary form where both databases have the same types, with the results of a copy as text."""

import dataclasses

import pytest
from psycopg import sql

from powerca_sync.specs import LEAST_MAX_ROW_BYTES
from powerca_sync_tests.helpers import AS_TEXT, QUICK, Pair, row_counts, spec

NOTES = spec("notes", "id")
COLUMNS = "id int PRIMARY KEY, name varchar({}), amount numeric(12,2), noted timestamp, document jsonb, pages bytea"
ROWS = r"""
INSERT INTO notes VALUES
    (1, 'one', 1.50, '2025-03-30 02:30:00.123456', '{"a": 1.0}', '\x00ff'),
    (2, '', 'NaN', 'infinity', 'null', ''),
    (3, NULL, -0.01, '0044-03-15 BC', NULL, NULL),
    (4, 'größe' || chr(9) || chr(10) || chr(92), 0, NULL, '[]', '\x'),
    (5, 'too long for a short column', 5, NULL, NULL, NULL)"""


def create(pair: Pair, *, width: int) -> None:
    for connection, length in ((pair.source, 30), (pair.target, width)):
        columns = COLUMNS.format(length)
        connection.execute(sql.SQL("CREATE TABLE notes ({})").format(sql.SQL(columns)))  # type: ignore[arg-type]
    pair.target.execute("ALTER TABLE notes ADD source char(1) DEFAULT 'D'")
    pair.source.execute(ROWS)  # type: ignore[arg-type]


def test_binary_copy_has_the_results_of_text(pair: Pair) -> None:
    create(pair, width=30)
    result = pair.sync(NOTES)
    assert row_counts(result) == {"inserted": 5}
    query = "SELECT id, ROW(name, amount, noted, document, pages)::text FROM notes ORDER BY 1"
    assert pair.rows(query) == pair.rows(query, pair.source)
    as_text = pair.sync(NOTES, options=AS_TEXT)
    assert row_counts(as_text) == {"unchanged": 5}
    # The bytes of both forms are known: only the form has changed.
    assert result.bytes != as_text.bytes


@pytest.mark.parametrize("options", [QUICK, AS_TEXT], ids=["binary", "text"])
def test_refused_row_is_found_as_text(pair: Pair, options: object) -> None:
    create(pair, width=10)
    result = pair.sync(NOTES, options=options)  # type: ignore[arg-type]
    assert row_counts(result) == {"inserted": 4, "quarantined": 1}
    (sample,) = result.samples
    assert (sample.key["id"], sample.message) == ("5", "value too long for type character varying(10) (column name)")


def test_stamp_without_zone_that_overflows_is_quarantined(pair: Pair) -> None:
    pair.both("CREATE TABLE notes (id int PRIMARY KEY)")
    pair.source.execute("ALTER TABLE notes ADD updated_at timestamp; INSERT INTO notes VALUES (1, '2025-01-01')")
    pair.target.execute("ALTER TABLE notes ADD updated_at timestamptz, ADD source char(1) DEFAULT 'D'")
    pair.source.execute("INSERT INTO notes VALUES (2, '294276-12-31 23:59:59')")
    west = dataclasses.replace(QUICK, timezone="America/Santiago")
    assert row_counts(pair.sync(NOTES, options=west)) == {"inserted": 1, "quarantined": 1}
    assert pair.rows("SELECT id, updated_at AT TIME ZONE 'America/Santiago' = '2025-01-01' FROM notes") == [(1, True)]


def test_oversized_row_is_quarantined(pair: Pair) -> None:
    pair.both("CREATE TABLE notes (id int PRIMARY KEY, body text)")
    pair.target.execute("ALTER TABLE notes ADD source char(1) DEFAULT 'D'")
    pair.source.execute("INSERT INTO notes VALUES (1, 'short'), (2, repeat('x', 3000000))")
    small = dataclasses.replace(NOTES, max_row_bytes=LEAST_MAX_ROW_BYTES)
    for _ in range(2):
        result = pair.sync(small)
        assert (result.extracted, result.quarantined, result.samples[0].reason) == (2, 1, "oversized")
    assert pair.rows("SELECT id FROM notes") == [(1,)]
