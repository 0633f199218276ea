"""A table of many types has the same text in both databases after a run."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from powerca_sync.engine.postgres.session_settings import TEXT_FORM
from powerca_sync_tests.helpers import Pair, row_counts, spec

pytestmark = pytest.mark.long

#: Text that PostgreSQL can store: no NUL, no lone surrogates; rich in characters that COPY has to escape.
CHARACTERS = st.characters(exclude_characters="\0", exclude_categories=("Cs",)) | st.sampled_from("\\\t\n\r.N'\"{},")
TEXT = st.text(CHARACTERS, max_size=30)
DIGITS = st.integers(-(10**30), 10**30).map(str)
DECIMALS = st.builds(
    lambda whole, part: f"{whole}.{part}", st.integers(-9999, 9999), st.from_regex(r"[0-9]{1,9}", fullmatch=True)
)
DAYS = st.builds(
    lambda year, month, day, era: f"{year:04}-{month:02}-{day:02}{era}",
    *(st.integers(1, 50_000), st.integers(1, 12), st.integers(1, 28), st.sampled_from(["", "", ""])),
) | st.sampled_from(["infinity", "-infinity", "0044-03-15 BC", "4713-01-01 BC", "9999-12-31"])
CLOCKS = st.times().map(str) | st.just("24:00:00")
MOMENTS = st.builds(lambda day, clock: f"{day} {clock}", st.dates().map(str), st.times().map(str)) | st.sampled_from(
    ["infinity", "-infinity", "0044-03-15 12:00 BC", "20000-01-01 00:00:00.000001"]
)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT.filter(lambda text: "\0" not in text),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)

#: Column type, and values for it: text that PostgreSQL parses, or Python values that the driver adapts.
COLUMNS: dict[str, st.SearchStrategy[Any]] = {
    "int2": st.integers(-(2**15), 2**15 - 1),
    "int4": st.integers(-(2**31), 2**31 - 1),
    "int8": st.integers(-(2**63), 2**63 - 1),
    "numeric": DIGITS | DECIMALS | st.sampled_from(["NaN", "Infinity", "-Infinity", "1e-40", "0.00", "-0"]),
    "numeric(13,4)": st.builds(lambda n, s: f"{n}.{s:04}", st.integers(-(10**9) + 1, 10**9 - 1), st.integers(0, 9999)),
    "float4": st.floats(width=32).map(repr),
    "float8": st.floats().map(repr),
    "money": DECIMALS,
    "bool": st.booleans(),
    "text": TEXT,
    "varchar(30)": TEXT,
    "char(30)": TEXT,
    '"char"': st.sampled_from("aZ\\ "),
    "bytea": st.binary(max_size=30),
    "date": DAYS,
    "time": CLOCKS,
    "timetz": CLOCKS.map(lambda clock: f"{clock}+05:30"),
    "timestamp": MOMENTS,
    "timestamptz": MOMENTS,
    "timestamp(3)": MOMENTS,
    "interval": st.builds(
        lambda months, days, clock: f"{months} mons {days} days {clock} us",
        *(st.integers(-999, 999), st.integers(-999, 999), st.integers(-(10**12), 10**12)),
    ),
    "uuid": st.uuids().map(str),
    "inet": st.ip_addresses().map(str),
    "text[]": st.lists(st.none() | TEXT, max_size=4),
    "numeric[]": st.lists(DECIMALS, max_size=4).map(lambda items: "{" + ",".join(items) + "}"),
    "int4range": st.tuples(st.integers(-99, 0), st.integers(1, 99)).map(lambda ends: f"[{ends[0]},{ends[1]}]"),
    "bit(5)": st.from_regex(r"[01]{5}", fullmatch=True),
    "mood": st.sampled_from(["so so", "fine", "n/a"]),
}
ROWS = st.lists(st.tuples(*(st.none() | values for values in COLUMNS.values())), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def table(shared_pair: Pair) -> Pair:
    shared_pair.both("CREATE TYPE mood AS ENUM ('so so', 'fine', 'n/a')")
    columns = ", ".join(f"v{n} {kind}" for n, kind in enumerate([*COLUMNS, "jsonb", "json"]))
    shared_pair.both(f"CREATE TABLE everything (id int PRIMARY KEY, {columns})")
    for connection in (shared_pair.source, shared_pair.target):
        for name, value in (TEXT_FORM | {"TimeZone": "Asia/Kolkata"}).items():
            connection.execute("SELECT set_config(%s, %s, false)", [name, value])
    return shared_pair


@given(rows=ROWS, documents=st.lists(DOCUMENTS, min_size=12, max_size=12))
@example(rows=[(None,) * len(COLUMNS)], documents=[None] * 12)
def test_every_value_has_the_same_text_in_both_databases(table: Pair, rows: list[Any], documents: list[Any]) -> None:
    everything = spec("everything", "id")
    table.source.execute("TRUNCATE everything")
    holes = ", ".join(f"%s::{kind}" for kind in COLUMNS)
    for n, (row, document) in enumerate(zip(rows, documents, strict=False)):
        table.source.execute(
            f"INSERT INTO everything VALUES ({n}, {holes}, %s::jsonb, %s::json)",  # type: ignore[call-overload]  # noqa: S608
            [*row, *2 * [json_text(document)]],
        )
    table.target.execute("TRUNCATE everything")
    assert row_counts(table.sync(everything)) == {"inserted": len(rows)}
    query = "SELECT ROW(t.*)::text FROM everything AS t ORDER BY id"
    assert table.rows(query) == table.rows(query, table.source)
    assert row_counts(table.sync(everything)) == {"unchanged": len(rows)}


def json_text(document: Any) -> str:
    """JSON without escapes of NUL, which jsonb cannot hold."""
    return json.dumps(document, ensure_ascii=False)
