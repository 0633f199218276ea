"""The typed hash of a row is equal for two values if and only if their text forms are."""

import pytest
from psycopg import sql

from powerca_sync.engine.mapping.conversion import comparable, hashable
from powerca_sync.engine.postgres import Column
from powerca_sync_tests.helpers import Pair

#: PostgreSQL's own hashes of the first values of each list are equal: 2^32 + 1 folds to 0, as microseconds too.
VALUES = {
    "bigint": ("0", "4294967297", "-1", "-4294967298", "8589934594", "1", "9223372036854775807"),
    "timestamp": ("2000-01-01", "2000-01-01 01:11:34.967297", "infinity", "-infinity", "1999-12-31 23:59:59.999999"),
    "timestamptz": ("2000-01-01 00:00+00", "2000-01-01 01:11:34.967297+00", "2000-01-01 05:30+05:30", "infinity"),
    "time": ("00:00", "01:11:34.967297", "24:00"),
    "numeric": ("5.25", "-5.25", "1.5", "1.50", "0", "0.00", "NaN", "Infinity", "-Infinity", "10000", "1"),
    "numeric(12,2)": ("5.25", "-5.25", "1.5", "1.50", "0", "-0.01", "NaN", "10000", "1"),
    "float8": ("0", "-0", "NaN", "1e300"),
    "interval": ("1 day", "24 hours", "1 mon", "30 days"),
    "char(4)": ("a", "a   ", "", " a"),
    "text": ("a", "a ", "A", "", "ä", "a\u0308"),
    "jsonb": ('{"a": 1.0}', '{"a": 1.00}', '{"a":1.0}'),
    "json": ('{"a":1}', '{"a": 1}'),
    "boolean": ("t", "f"),
    "integer": ("0", "1", "-1", "2147483647"),
    "date": ("2000-01-01", "infinity", "-infinity"),
    "uuid": ("00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000001"),
    "bytea": (r"\x00", r"\x0000", r"\x"),
    "inet": ("10.0.0.1", "10.0.0.1/32", "10.0.0.0/8"),
    "text[]": ("{a,b}", "{b,a}", '{"a",NULL}', '{"a","NULL"}'),
}


@pytest.mark.parametrize("declared", VALUES)
def test_hashes_are_equal_exactly_where_texts_are(shared_pair: Pair, declared: str) -> None:
    connection = shared_pair.target
    base, typmod, category = connection.execute(
        "SELECT typname, to_regtypemod(%(type)s), typcategory FROM pg_type WHERE oid = %(type)s::regtype",
        {"type": declared},
    ).fetchone() or ("", -1, "")
    column = Column(name="v", type=declared, base=base, category=category, typmod=typmod)
    value = sql.Identifier("r", "v")
    query = sql.SQL("""\
WITH v AS (SELECT v::{type} AS v FROM unnest(%s::text[]) AS u (v) UNION ALL SELECT NULL), r AS (
    SELECT v::text AS shown, hash_record_extended(ROW({hashed}), %s) AS hash, ROW({text})::text COLLATE "C" AS text
    FROM v AS r
)
SELECT a.shown, b.shown FROM r AS a CROSS JOIN r AS b WHERE (a.hash = b.hash) <> (a.text = b.text)""").format(
        type=sql.SQL(declared),  # type: ignore[arg-type]
        hashed=hashable(value, column),
        text=comparable(value, column),
    )
    for seed in (0, 1, 2**62):
        assert connection.execute(query, [list(VALUES[declared]), seed]).fetchall() == []
