"""Typed hashes of two servers are equal for two values if and only if their canonical texts are."""

import pytest
from psycopg import sql

from powerca_sync.engine.digests import at_source, at_target, probe_hashes
from powerca_sync.engine.digests.typed_fields import field
from powerca_sync.engine.postgres import Column, Connection
from powerca_sync_tests.engine.mapping.test_content_hash import VALUES
from powerca_sync_tests.helpers import Pair

PAIRS = [
    *((declared, declared) for declared in VALUES),
    *(
        ("bigint", "integer"),
        ("integer", "numeric(12,2)"),
        ("numeric(12,2)", "numeric(14,4)"),
        ("numeric", "numeric(12,2)"),
    ),
    *(
        ("char(4)", "text"),
        ("varchar(10)", "text"),
        ("timestamp", "timestamptz"),
        ("timestamp", "date"),
        ("json", "jsonb"),
    ),
    *(("float8", "numeric"), ("boolean", "integer")),
]
MORE = {
    "numeric(14,4)": ("5.25", "1.5", "-0.01"),
    "varchar(10)": ("a", "a ", "ä", "₹"),
    "float8": ("0", "-0", "NaN", "1e3", "1.5"),
}


def values_of(declared: str, other: str) -> list[str]:
    values = [*MORE.get(declared, VALUES.get(declared, ()))]
    return [value for value in values if other != "integer" or len(value) < 10]


def hashes(
    connection: Connection, declared: str, values: list[str], text: sql.Composable, fields: sql.Composable
) -> list[tuple[str, int]]:
    query = sql.SQL("""\
SELECT {text}, hash_record_extended(ROW({fields}), 7)
FROM (SELECT v::{type} AS v FROM unnest(%s::text[]) AS u (v)) AS r""")
    named = query.format(text=text, fields=fields, type=sql.SQL(declared))  # type: ignore[arg-type]
    return connection.execute(named, [values]).fetchall()


def column(connection: Connection, declared: str) -> Column:
    base, typmod, category = connection.execute(
        "SELECT typname, to_regtypemod(%(type)s), typcategory FROM pg_type WHERE oid = %(type)s::regtype",
        {"type": declared},
    ).fetchone() or ("", -1, "")
    return Column(name="v", type=declared, base=base, category=category, typmod=typmod)


@pytest.mark.parametrize("types", PAIRS, ids=" to ".join)
def test_hashes_are_equal_exactly_where_texts_are(shared_pair: Pair, types: tuple[str, str]) -> None:
    here, there = types
    value = sql.Identifier("r", "v")
    source, target = (column(shared_pair.target, declared) for declared in types)
    texts = at_source(value, source, target), at_target(value, source, target)
    ours = hashes(shared_pair.source, here, values_of(here, there), texts[0], field(value, source, target, texts[0]))
    theirs = hashes(shared_pair.target, there, values_of(there, here), texts[1], field(value, target, source, texts[1]))
    found = [*ours, *theirs]
    assert ours
    assert theirs
    assert [(a, b) for a in found for b in found if (a[0] == b[0]) != (a[1] == b[1])] == []


def test_servers_agree_on_the_probe(shared_pair: Pair) -> None:
    assert (
        shared_pair.source.execute(probe_hashes()).fetchall() == shared_pair.target.execute(probe_hashes()).fetchall()
    )
