"""Values at the limits of every base, range and multirange type of PostgreSQL, by family.

A test compares the types with the server's catalog, so that a type of a new version is noticed.
"""

from collections.abc import Iterator, Mapping

from powerca_sync_tests.corpus.case import Arrives, Case
from powerca_sync_tests.helpers import delete_insert

#: Types of columns that are not user-defined: base types other than arrays, ranges and multiranges.
TYPES = """
SELECT typname FROM pg_type
WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype IN ('b', 'r', 'm') AND typcategory <> 'A'
    OR typname IN ('int2vector', 'oidvector')"""
#: By family and type: values that the type's input function accepts.
FAMILIES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "numbers": {
        "bool": ("true", "false"),
        "int2": ("-32768", "0", "32767"),
        "int4": ("-2147483648", "0", "2147483647"),
        "int8": ("-9223372036854775808", "0", "9223372036854775807"),
        "numeric": ("NaN", "Infinity", "-Infinity", "0", "0.00", "-1.50", "1e131071", "1e-16383", "9" * 999 + ".9"),
        "float4": ("NaN", "Infinity", "-Infinity", "-0", "0", "1e-45", "3.4028235e38", "16777217", "0.1"),
        "float8": ("NaN", "Infinity", "-Infinity", "-0", "0", "5e-324", "1.7976931348623157e308", "0.1", "1e15"),
        "money": ("-92233720368547758.08", "0", "92233720368547758.07", "1234.50"),
    },
    "texts": {
        "text": (
            "",
            " ",
            "\\.",
            "\\N",
            "NULL",
            "null",
            "a\tb\r\nc\\d\x01\x1f\x7f",
            "{}",
            "%s %% {0}",
            "'\"$$;--",
            "🙂 é",
        ),
        "varchar": ("", "  ", "\\N", "x" * 70_000),
        "bpchar": ("", "a", "a\t", "\\N"),
        "name": ("", "n" * 63, "ÄÖÜ {%s}"),
        "char": ("", "a", " ", "\\", "\t", "\x01"),
        "refcursor": ("", "a cursor"),
        "bytea": ("", "\\x00", "\\x" + bytes(range(256)).hex(), "\\x" + "00" * 70_000),
        "bit": ("0", "1"),
        "varbit": ("", "0", "1" * 999),
    },
    "days and times": {
        "date": ("infinity", "-infinity", "4714-11-24 BC", "0001-12-31 BC", "2024-02-29", "5874897-12-31"),
        "time": ("00:00", "24:00:00", "23:59:59.999999", "00:00:00.000001"),
        "timetz": ("00:00+15:59:59", "24:00:00-15:59:59", "12:34:56.789+05:30"),
        "timestamp": ("infinity", "-infinity", "4714-11-24 00:00 BC", "294276-12-31 23:59:59.999999", "1899-12-30"),
        "timestamptz": ("infinity", "-infinity", "4714-11-24 00:00+00 BC", "294276-12-31 23:59:59.999999+00"),
        "interval": (
            *("0", "178000000 years", "-178000000 years", "1 mon -1 day +00:00:00.000001", "24:00:00", "1 day"),
            *("-2147483648 days", "2562047788:00:54.775807", "P1Y2M3DT4H5M6S", "1.5 mons"),
        ),
    },
    "documents": {
        "json": ("null", '{"b":1, "a":2, "a":3}', ' [1.0, 1.00, 1e400, "\\u00e4", "\\t"] ', '""', '{"":{}}'),
        "jsonb": ("null", '{"b":1, "a":2, "a":3}', '[1.0, 1.00, -0.0, "\\u00e4", "\\t", "\\\\N"]', '""', '{"":{}}'),
        "jsonpath": ("$", '$."a b"[*] ? (@ > 1)', "strict $.**"),
        "tsvector": ("", "a:1A b:2,3", "'it''s' 'a b':16383"),
        "tsquery": ("", "a & !(b | c:*A)", "'it''s' <-> b"),
    },
    "addresses": {
        "inet": ("0.0.0.0/0", "10.0.0.1/8", "10.0.0.1", "::", "::ffff:1.2.3.4/96", "fe80::1"),
        "cidr": ("0.0.0.0/0", "10.0.0.0/8", "::/0", "2001:db8::/32"),
        "macaddr": ("00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"),
        "macaddr8": ("00:00:00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff:ff:ff"),
        "uuid": ("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
    },
    "shapes": {
        "point": ("(0,-0)", "(NaN,Infinity)", "(1e300,5e-324)"),
        "lseg": ("[(0,0),(1,1)]", "[(0.1,-0),(Infinity,1)]"),
        "line": ("{1,-1,0}", "{0.1,1,-0}"),
        "box": ("(1,1),(0,0)", "(0,0),(0,0)"),
        "path": ("[(0,0),(1,1)]", "((0,0),(1,1),(2,0))"),
        "polygon": ("((0,0))", "((0,0),(1,1),(2,0.1))"),
        "circle": ("<(0,0),0>", "<(0.1,-1),1e300>"),
    },
    "numbers of the server": {
        "oid": ("0", "1", "4294967295"),
        "tid": ("(0,0)", "(4294967295,65535)"),
        "xid": ("0", "4294967295"),
        "xid8": ("0", "18446744073709551615"),
        "cid": ("0", "4294967295"),
        "pg_lsn": ("0/0", "FFFFFFFF/FFFFFFFF"),
        "pg_snapshot": ("1:1:", "10:20:10,14"),
        "txid_snapshot": ("1:1:", "10:20:10,14"),
        "int2vector": ("", "1 -2 3"),
        "oidvector": ("", "1 2 4294967295"),
    },
    "names of objects": {
        "regclass": ("-", "pg_catalog.pg_class", "4294967295"),
        "regcollation": ("-", 'pg_catalog."C"'),
        "regconfig": ("-", "pg_catalog.simple"),
        "regdictionary": ("-", "pg_catalog.simple"),
        "regnamespace": ("-", "pg_catalog"),
        "regoper": ("0", "pg_catalog.|/"),
        "regoperator": ("0", "pg_catalog.+(integer,integer)"),
        "regproc": ("-", "pg_catalog.boolin"),
        "regprocedure": ("-", "pg_catalog.abs(integer)"),
        "regrole": ("-", "pg_monitor"),
        "regtype": ("-", "integer", "timestamp with time zone[]"),
        "aclitem": ("=r/pg_monitor", "pg_monitor=arwdDxt*/pg_monitor"),
    },
    "ranges": {
        "int4range": ("empty", "(,)", "[1,5]", "[-2147483648,2147483647)"),
        "int8range": ("empty", "(,)", "[1,5]"),
        "numrange": ("empty", "(,)", "(1.50,2.0]", "[NaN,]", "[-Infinity,Infinity]"),
        "daterange": ("empty", "(,)", "[2025-01-01,2025-12-31]", "[-infinity,infinity]"),
        "tsrange": ("empty", "(,)", '["0044-03-15 12:00 BC",infinity]'),
        "tstzrange": ("empty", "(,)", '["2025-01-01 00:00+00",infinity)'),
        "int4multirange": ("{}", "{[1,5],[7,9]}", "{(,)}"),
        "int8multirange": ("{}", "{[1,5],[7,9]}"),
        "nummultirange": ("{}", "{(1.50,2.0],[3,]}"),
        "datemultirange": ("{}", "{[2025-01-01,2025-12-31]}"),
        "tsmultirange": ("{}", '{["0044-03-15 12:00 BC",infinity]}'),
        "tstzmultirange": ("{}", '{["2025-01-01 00:00+00",infinity)}'),
    },
}

#: Types without writable values, and the reason: their columns can only be NULL.
UNWRITABLE: Mapping[str, str] = {
    "gtsvector": "is what a GiST index keeps of a tsvector; its input refuses every text",
    "pg_brin_bloom_summary": "is what a BRIN index shows of itself; its input refuses every text",
    "pg_brin_minmax_multi_summary": "is what a BRIN index shows of itself; its input refuses every text",
}
#: Types whose values only the server creates, and a query that returns one; another server's input refuses them.
MADE_BY_THE_SERVER: Mapping[str, str] = {
    "pg_node_tree": "SELECT ev_action FROM pg_catalog.pg_rewrite LIMIT 1",
    "pg_ndistinct": "SELECT stxdndistinct FROM pg_catalog.pg_statistic_ext_data LIMIT 1",
    "pg_dependencies": "SELECT stxddependencies FROM pg_catalog.pg_statistic_ext_data LIMIT 1",
    "pg_mcv_list": "SELECT stxdmcv FROM pg_catalog.pg_statistic_ext_data LIMIT 1",
}
#: Types that only a full installation has: the embedded servers are built without them.
ONLY_FULL: Mapping[str, tuple[str, ...]] = {
    "xml": ("", "text <b>only</b>", '<a b="&amp;">\n<![CDATA[<]]></a>', "<?xml version='1.0'?><ä/>"),
}

THINGS = delete_insert("things", "id", limit_share=1.0)
#: These have no array type.
_NO_ARRAYS = frozenset({"int2vector", "oidvector"})


def literal(value: str) -> str:
    """Returns a value of any content as an SQL literal."""
    return "E'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _type(name: str) -> str:
    # Bare `char` and `bit` would be the standard's, of length 1.
    return f'pg_catalog."{name}"'


def family(name: str, types: Mapping[str, tuple[str, ...]]) -> Case:
    """Returns one table with a column for each type and one for its arrays, and a row for each value."""
    columns, rows = [], []
    for kind, values in types.items():
        columns.append(f'"one {kind}" {_type(kind)}')
        rows += [(f'"one {kind}"', f"{literal(value)}::{_type(kind)}") for value in values]
        if kind not in _NO_ARRAYS:
            columns.append(f'"many {kind}" {_type(kind)}[]')
            rows += [(f'"many {kind}"', array) for array in _arrays(kind, values)]
    table = f"CREATE TABLE things (id int PRIMARY KEY, {', '.join(columns)}"
    return Case(
        name=f"{name} at their limits",
        desktop=f"{table}); INSERT INTO things (id) VALUES (0);"
        + "".join(
            f"INSERT INTO things (id, {column}) VALUES ({n}, {value});" for n, (column, value) in enumerate(rows, 1)
        ),
        mobile=f"{table}, source text)",
        table=THINGS,
    )


def _arrays(kind: str, values: tuple[str, ...]) -> Iterator[str]:
    parts = ", ".join(f"{literal(value)}::{_type(kind)}" for value in values)
    yield f"ARRAY[{parts}, NULL]::{_type(kind)}[]"
    yield f"'{{}}'::{_type(kind)}[]"
    yield f"ARRAY[ARRAY[{parts}], ARRAY[{parts}]]::{_type(kind)}[]"
    yield f"array_fill({literal(values[0])}::{_type(kind)}, ARRAY[2, 1], ARRAY[-3, 5])"


def _made_by_the_server() -> Case:
    kinds = [*UNWRITABLE, *MADE_BY_THE_SERVER]
    table = "CREATE TABLE things (id int PRIMARY KEY, {}".format(
        ", ".join(f'"one {kind}" {_type(kind)}' for kind in kinds)
    )
    rows = "".join(
        f'INSERT INTO things (id, "one {kind}") VALUES ({n}, ({query}));'
        for n, (kind, query) in enumerate(MADE_BY_THE_SERVER.items(), 1)
    )
    return Case(
        name="values that only the server makes",
        desktop=f"""{table}); INSERT INTO things (id) VALUES (0);
            CREATE TABLE pairs (a int, b int);
            CREATE STATISTICS known ON a, b FROM pairs;
            INSERT INTO pairs SELECT n % 5, n % 5 FROM generate_series(1, 500) AS n;
            ANALYZE pairs;
            {rows}""",
        mobile=f"{table}, source text)",
        table=THINGS,
        expected=Arrives(
            waiting={
                str(n): rf"cannot accept a value of type {kind} \(column one {kind}\)"
                for n, kind in enumerate(MADE_BY_THE_SERVER, 1)
            }
        ),
    )


CASES = (*(family(name, types) for name, types in FAMILIES.items()), _made_by_the_server())
