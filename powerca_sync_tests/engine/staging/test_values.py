"""A value is stored exactly or its row is quarantined, for every relevant pair of types."""

import pytest
from psycopg import sql

from powerca_sync.engine.result import Options
from powerca_sync_tests.helpers import QUICK, Pair, row_counts, spec

ALTERED, REFUSED = "quarantined: altered", "quarantined: refused"
EVERYTHING = spec("everything", "id", limit_share=1.0)
OPTIONS = Options(timeouts=QUICK.timeouts, timezone="Asia/Kolkata")

#: Source type, target type, value in the source, and its text in the target or the reason for quarantine.
CASES = [
    # Numbers
    ("numeric", "numeric(8,2)", "1.5", "1.50"),
    ("numeric(8,3)", "numeric(8,2)", "1.500", "1.50"),
    ("numeric(8,3)", "numeric(8,2)", "1.505", ALTERED),
    ("numeric", "numeric(4,2)", "123.4", REFUSED),
    ("numeric", "numeric(4,-2)", "1200", "1200"),
    ("numeric", "numeric(4,-2)", "1234", ALTERED),
    ("int", "numeric(4,-2)", "1234", ALTERED),
    ("numeric", "numeric", "'NaN'", "NaN"),
    ("numeric", "numeric", "'-Infinity'", "-Infinity"),
    ("numeric", "numeric", "1e40 + 0.1", "10000000000000000000000000000000000000000.1"),
    ("numeric", "int", "5.00", "5"),
    ("numeric", "int", "5.50", REFUSED),
    ("numeric", "int", "'NaN'", REFUSED),
    ("numeric", "int", "3e9", REFUSED),
    ("bigint", "smallint", "32767", "32767"),
    ("bigint", "smallint", "32768", REFUSED),
    ("int", "numeric(10,2)", "5", "5.00"),
    ("float8", "bigint", "1e15", "1000000000000000"),
    ("float8", "bigint", "5.5", REFUSED),
    ("float8", "numeric(8,2)", "0.1", "0.10"),
    ("float8", "numeric(8,2)", "0.125", ALTERED),
    ("float8", "numeric", "'Infinity'", "Infinity"),
    ("float8", "float8", "'-0'", "-0"),
    ("float4", "float8", "0.1", "0.1"),
    ("float8", "float4", "0.1", "0.1"),
    ("float8", "float4", "0.123456789", ALTERED),
    ("float8", "float4", "'NaN'", "NaN"),
    ("numeric", "float8", "1.50", "1.5"),
    ("numeric", "float8", "12345678901234567890", ALTERED),
    ("money", "money", "'-1234.5'", "-$1,234.50"),
    ("money", "numeric(10,2)", "'1234.5'", "1234.50"),
    ("money", "numeric(10,1)", "'1234.55'", ALTERED),
    ("money", "bigint", "'5'", "5"),
    ("money", "bigint", "'5.50'", REFUSED),
    ("money", "float8", "'5.5'", "5.5"),
    ("money", "text", "'5.5'", "5.50"),
    ("numeric", "money", "5.5", "$5.50"),
    ("numeric", "money", "5.555", ALTERED),
    ("text", "numeric", "'007'", "7"),
    ("text", "numeric(5,2)", "'1.005'", ALTERED),
    ("text", "int", "' 5 '", "5"),
    ("text", "int", "'5.0'", REFUSED),
    ("text", "int", "''", REFUSED),
    ("text", "float8", "'1.50'", "1.5"),
    ("text", "float8", "'0x1p3'", ALTERED),
    ("char(5)", "int", "'5'", "5"),
    ("oid", "bigint", "5", "5"),
    ("int", "oid", "5", "5"),
    ("int", "oid", "-1", ALTERED),
    # Text
    ("text", "varchar(3)", "'abc'", "abc"),
    ("text", "varchar(3)", "'abcd'", REFUSED),
    ("text", "varchar(3)", "'abc '", ALTERED),
    ("varchar(5)", "varchar(3)", "'abc '", ALTERED),
    ("varchar(3)", "varchar(5)", "'ab '", "ab "),
    ("text", "varchar(3)", "'äöü'", "äöü"),
    ("text", "char(3)", "'ab'", "ab "),
    ("char(5)", "char(5)", "'ab'", "ab   "),
    ("char(5)", "char(3)", "'ab'", "ab "),
    ("char(5)", "char(3)", "'abcd'", REFUSED),
    ("char(5)", "varchar(3)", "'ab'", "ab "),
    ("char(5)", "text", "'ab'", "ab   "),
    ("text", '"char"', "'ab'", ALTERED),
    ("text", "name", "repeat('n', 63)", "n" * 63),
    ("text", "name", "repeat('n', 64)", ALTERED),
    ("text", "text", "''", ""),
    ("text", "text", r"'\.'", r"\."),
    ("text", "text", r"'\N'", r"\N"),
    ("text", "text", r"E'a\tb\nc\rd\\e\bf\x0bg\fh'", "a\tb\nc\rd\\e\bf\vg\fh"),
    ("text", "text", "repeat('long', 250000)", "long" * 250_000),
    ("text", "text", "'नमस्ते 🙂'", "नमस्ते 🙂"),
    ("int", "text", "5", "5"),
    ("int", "varchar(2)", "555", REFUSED),
    ("bool", "varchar(1)", "true", "t"),
    ("text", "bool", "'yes'", "t"),
    ("text", "bool", "'maybe'", REFUSED),
    ("int", "bool", "2", REFUSED),
    # Dates and times; the office is in Asia/Kolkata, 5 h 30 min ahead of UTC, the time zone of the target.
    ("timestamp", "timestamptz", "'2025-11-30 09:15:00.123456'", "2025-11-30 03:45:00.123456+00"),
    ("timestamptz", "timestamp", "'2025-11-30 03:45:00+00'", "2025-11-30 09:15:00"),
    ("timestamp", "date", "'2025-11-30'", "2025-11-30"),
    ("timestamp", "date", "'2025-11-30 09:15'", ALTERED),
    ("timestamptz", "date", "'2025-11-29 18:30+00'", "2025-11-30"),
    ("timestamptz", "date", "'2025-11-30 00:00+00'", ALTERED),
    ("date", "timestamp", "'2025-11-30'", "2025-11-30 00:00:00"),
    ("date", "timestamptz", "'2025-11-30'", "2025-11-29 18:30:00+00"),
    ("timestamp", "timestamp(0)", "'2025-11-30 09:15:00'", "2025-11-30 09:15:00"),
    ("timestamp", "timestamp(0)", "'2025-11-30 09:15:00.5'", ALTERED),
    ("timestamp", "timestamp", "'infinity'", "infinity"),
    ("timestamp", "timestamptz", "'-infinity'", "-infinity"),
    ("timestamp", "timestamp", "'0044-03-15 12:00 BC'", "0044-03-15 12:00:00 BC"),
    ("timestamp", "timestamptz", "'12345-01-01 05:30'", "12345-01-01 00:00:00+00"),
    ("date", "date", "'infinity'", "infinity"),
    ("date", "date", "'99999-12-31'", "99999-12-31"),
    ("date", "timestamp", "'5874897-12-31'", REFUSED),
    ("time", "time", "'24:00'", "24:00:00"),
    ("time", "time(0)", "'23:59:59.9'", ALTERED),
    ("timetz", "timetz", "'09:15+05:30'", "09:15:00+05:30"),
    ("interval", "interval", "'1 year 2 mons -3 days 04:05:06.789'", "1 year 2 mons -3 days +04:05:06.789"),
    ("interval", "interval(0)", "'1.5 s'", ALTERED),
    ("interval", "interval day to minute", "'1 day 01:02:03'", ALTERED),
    ("text", "date", "'2025-11-30'", "2025-11-30"),
    ("text", "date", "'2025-11-30 09:15'", ALTERED),
    ("text", "date", "'30.11.'", REFUSED),
    ("date", "varchar(10)", "'2025-11-30'", "2025-11-30"),
    # JSON, bytes, arrays, ranges and others
    ("jsonb", "jsonb", "'null'", "null"),
    ("jsonb", "jsonb", """'{"a": [1.50, "\\t"], "b": null}'""", '{"a": [1.50, "\\t"], "b": null}'),
    ("json", "json", """'{"b":1,  "a":2}'""", '{"b":1,  "a":2}'),
    ("json", "jsonb", """'{"b":1,  "a":2}'""", '{"a": 2, "b": 1}'),
    ("json", "jsonb", r"""'"\u0000"'""", REFUSED),
    ("text", "jsonb", "'{oops'", REFUSED),
    ("bytea", "bytea", r"'\x00ff5c0a'", r"\x00ff5c0a"),
    ("int[]", "int[]", "'{1,NULL,3}'", "{1,NULL,3}"),
    ("text[]", "text[]", """ARRAY['a,b', E'c\\td', '"', '\\', '', 'NULL']""", '{"a,b","c\td","\\"","\\\\","","NULL"}'),
    ("text[]", "varchar(3)[]", "ARRAY['abcd']", REFUSED),
    ("numeric(8,4)[]", "numeric(8,2)[]", "ARRAY[1.555]", ALTERED),
    ("int4range", "int4range", "'[1,5]'", "[1,6)"),
    ("numrange", "numrange", "'(1.50,)'", "(1.50,)"),
    ("uuid", "uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("varchar(36)", "uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("varchar(36)", "uuid", "'a0eebc99'", REFUSED),
    ("inet", "inet", "'10.0.0.1/8'", "10.0.0.1/8"),
    ("inet", "varchar(18)", "'10.0.0.1'", "10.0.0.1"),
    ("text", "inet", "'10.0.0.1'", "10.0.0.1"),
    ("bit(3)", "bit(3)", "B'101'", "101"),
    ("bit(3)", "bit(4)", "B'101'", REFUSED),
    ("point", "point", "'(1.1,-2)'", "(1.1,-2)"),
    ("tsvector", "tsvector", "'a:1 b:2'", "'a':1 'b':2"),
    # User-defined types; both databases have them in the schema `other`
    ("other.mood", "other.mood", "'so so'", "so so"),
    ("other.mood", "text", "'so so'", "so so"),
    ("text", "other.mood", "'so so'", "so so"),
    ("char(10)", "other.mood", "'so so'", "so so"),
    ("text", "other.mood", "'bad'", REFUSED),
    ("other.pair", "other.pair", "ROW(1, 'x y')", '(1,"x y")'),
    ("text", "other.code", "'abc'", "abc"),
    ("text", "other.code", "'abcd'", REFUSED),
    ("text", "other.code", "'abc '", ALTERED),
    ("text", "other.code", "'XYZ'", REFUSED),
    ("numeric", "other.amount", "1.005", ALTERED),
    ("other.amount", "int", "5.00", "5"),
]

TYPES = """
CREATE SCHEMA other;
CREATE TYPE other.mood AS ENUM ('so so', 'fine');
CREATE TYPE other.pair AS (a int, b text);
CREATE DOMAIN other.code AS varchar(3) CHECK (VALUE = lower(VALUE));
CREATE DOMAIN other.money AS numeric(8,2);
CREATE DOMAIN other.amount AS other.money NOT NULL;
ALTER DOMAIN other.amount DROP NOT NULL;
"""


@pytest.fixture(scope="module")
def outcomes(shared_pair: Pair) -> dict[int, str]:
    """Returns, by case, the stored text or the reason for quarantine, from one run with a row and a column for each
    case.
    """
    pair = shared_pair
    pair.both(TYPES)
    columns = [sql.Identifier(f"v{n}") for n in range(len(CASES))]
    for side, connection in enumerate((pair.source, pair.target)):
        definitions = [sql.SQL("{} {}").format(c, sql.SQL(case[side])) for c, case in zip(columns, CASES, strict=True)]  # type: ignore[arg-type]
        create = sql.SQL("CREATE TABLE everything (id int PRIMARY KEY, {})")
        connection.execute(create.format(sql.SQL(", ").join(definitions)))
    for n, (column, case) in enumerate(zip(columns, CASES, strict=True)):
        insert = sql.SQL("INSERT INTO everything (id, {}) VALUES ({}, {})")
        pair.source.execute(insert.format(column, n, sql.SQL(case[2])))  # type: ignore[arg-type]
    result = pair.sync(EVERYTHING, options=OPTIONS)
    assert (result.extracted, result.inserted + result.quarantined) == (len(CASES), len(CASES))
    pair.target.execute("SET TimeZone = 'UTC'; SET lc_monetary = 'C'")
    texts = sql.SQL(", ").join(sql.SQL("format('%s', {})").format(column) for column in columns)
    arrived = pair.target.execute(sql.SQL("SELECT id, ARRAY[{}] FROM everything").format(texts)).fetchall()
    refused = pair.rows("SELECT (key ->> 'id')::int, 'quarantined: ' || reason FROM powerca_sync.quarantine")
    assert len(arrived) + len(refused) == len(CASES)
    return {n: row[n] for n, row in arrived} | dict(refused)


@pytest.mark.parametrize("n", range(len(CASES)), ids=[f"{c[0]} to {c[1]}: {c[2][:40]}" for c in CASES])
def test_value_is_stored_exactly_or_quarantined(outcomes: dict[int, str], n: int) -> None:
    assert outcomes[n] == CASES[n][3]


def test_second_run_writes_nothing(shared_pair: Pair, outcomes: dict[int, str]) -> None:
    refused = sum(text in (ALTERED, REFUSED) for text in outcomes.values())
    again = row_counts(shared_pair.sync(EVERYTHING, options=OPTIONS))
    assert again == {"unchanged": len(CASES) - refused, "quarantined": refused}


def test_runs_warn_of_large_objects(pair: Pair) -> None:
    pair.both("CREATE TABLE docs (id int PRIMARY KEY, scan oid, source text)")
    docs = spec("docs", "id")
    pair.source.execute("INSERT INTO docs VALUES (1, lo_from_bytea(0, 'abc'), NULL)")
    pair.target.execute("INSERT INTO docs VALUES (2, lo_from_bytea(0, 'abc'), 'M')")
    for result in (pair.sync(docs), pair.pull(docs)):
        assert [warning.partition(";")[0] for warning in result.warnings] == [
            "`scan`: the numbers of large objects are synced, their content is not"
        ]
    for connection in (pair.source, pair.target):
        connection.execute("SELECT lo_unlink(oid) FROM pg_largeobject_metadata")
    assert pair.sync(docs).warnings == ()
