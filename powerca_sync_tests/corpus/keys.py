"""Keys of unusual types: values that are equal and look different, or look equal and are different."""

from hashlib import md5

from powerca_sync_tests.corpus.case import Arrives, Case, Refused
from powerca_sync_tests.corpus.values import literal
from powerca_sync_tests.helpers import delete_insert, spec

#: By type: values that are different keys.
APART = {
    "float8": ("NaN", "-0", "1e-320", "0.1", "Infinity", "-Infinity", "1e15", "100000000000000000000"),
    "numeric": ("NaN", "0", "-1", "1.50", "2.0", "1e30", "Infinity", "0.000000000000000000000001"),
    "bigint": ("0", "-1", "9223372036854775807", "-9223372036854775808"),
    "money": ("0", "-1.50", "92233720368547758.07"),
    "text": (
        "",
        " ",
        "a",
        "a ",
        "A",
        "ä",
        "a\u0308",
        "א",
        "\u200f",
        "ﬁ",
        "fi",
        "🙂",
        "👩‍👩‍👧",
        "%s",
        "\\N",
        "NULL",
        "a\tb",
        "a\nb",
        "'\"",
        "{}",
        "\x01",
        "\x01v",
        "\x01n\x01v",
    ),
    "char(5)": ("", "a", "ab", "A", " a", "\\N"),
    '"char"': ("", "a", " "),
    "bytea": ("", "\\x00", "\\x0000", "\\x5c4e", "\\x09", "\\xff"),
    "date": ("infinity", "-infinity", "4714-11-24 BC", "5874897-12-31", "2025-11-30"),
    "timestamptz": (
        "infinity",
        "-infinity",
        "2025-11-30 00:00:00.000001+00",
        "2025-10-26 00:30+00",
        "2025-10-26 01:30+00",
    ),
    "timetz": ("00:00+00", "00:00+01", "24:00:00-15:59:59"),
    "interval": ("0", "1 day", "1 mon", "-1 year", "00:00:00.000001"),
    "jsonb": ("null", "{}", "[]", '{"a": 1}', '{"a": "1"}', '"\\\\N"', "1"),
    "inet": ("10.0.0.1/8", "10.0.0.1", "::1", "10.0.0.0/8"),
    "bit(3)": ("000", "101"),
    "int[]": ("{}", "{1,NULL}", "{NULL,1}", "{{1,2},{3,4}}", "{1,2,3,4}"),
    "text[]": ("{}", '{""}', "{NULL}", '{"NULL"}', '{"a,b"}', "{a,b}", '{"\\\\"}'),
    "int4range": ("empty", "(,)", "[1,5)"),
    "nummultirange": ("{}", "{[1.0,2.0)}"),
    "tsvector": ("", "a:1", "a:2"),
    "oid": ("0", "4294967295"),
    "mood": ("so so", ""),
    "part": ("(1,)", '(1,"")', "(,)", '(1,"a,b")'),
    "short": ("", "a", "ab"),
}

_TYPES = """
CREATE TYPE mood AS ENUM ('', 'so so'); CREATE TYPE part AS (a int, b text); CREATE DOMAIN short AS varchar(2);
"""


def _apart(kind: str, values: tuple[str, ...], *, delete: bool) -> Case:
    columns = f"k {kind} PRIMARY KEY, id int, name text"
    rows = "".join(f"INSERT INTO items VALUES ({literal(v)}, {n}, 'row {n}');" for n, v in enumerate(values))
    make = delete_insert if delete else spec
    return Case(
        name=f"a key of type {kind}, {make.__name__}",
        desktop=f"{_TYPES} CREATE TABLE items ({columns}); {rows}",
        mobile=f"{_TYPES} CREATE TABLE items ({columns}, source text)",
        table=make("items", "k"),
    )


def _alike(name: str, kind: str, *values: str, waiting: str, types: str = "", there: str = "") -> Case:
    """Returns a case of values that are one key on the target; the third value is another key, so that something
    arrives.
    """
    rows = "".join(f"INSERT INTO items VALUES ({literal(v)}, {n});" for n, v in enumerate(values))
    return Case(
        name=name,
        desktop=f"{types} CREATE TABLE items (k {kind}, id int); {rows}",
        mobile=f"{types} CREATE TABLE items (k {there or kind} PRIMARY KEY, id int, source text)",
        table=spec("items", "k"),
        expected=Arrives(waiting=dict.fromkeys(values[:2], waiting)),
        compared=("id", "id"),
        back=None,
    )


_TWICE = "several different rows have "

CASES = (
    # The strategies differ for text, padding and numbers; for the other types they are the same.
    *(
        _apart(kind, values, delete=delete)
        for n, (kind, values) in enumerate(APART.items())
        for delete in ((False, True) if kind in ("float8", "numeric", "text", "char(5)", "jsonb") else (n % 2 > 0,))
    ),
    _alike("zeros of both signs are one key", "float8", "-0", "0", "1", waiting=_TWICE),
    _alike("1.0 and 1.00 are one key", "numeric", "1.0", "1.00", "2", waiting=_TWICE),
    _alike("a day and 24 hours are one key", "interval", "1 day", "24:00:00", "2 days", waiting=_TWICE),
    _alike("01 and 1 are one key of a number", "text", "01", "1", "2", waiting=_TWICE, there="int"),
    _alike("spaces alone make no key of char(n)", "text", "a", "a ", "b", waiting=_TWICE, there="char(3)"),
    _alike("both zeros in an array are one key", "float8[]", "{-0}", "{0}", "{1}", waiting=_TWICE),
    *(
        Case(
            name=f"a key of a type that has no equality: {kind}",
            desktop=f"CREATE TABLE items (k {kind}, id int); INSERT INTO items VALUES ('{value}', 1)",
            mobile=f"CREATE TABLE items (k {kind}, id int, source text)",
            table=spec("items", "k"),
            expected=Refused(sentence="column `k` cannot be a key: PostgreSQL has no equality operator"),
        )
        for kind, value in (("json", "{}"), ("point", "(1,2)"), ("json[]", "{}"))
    ),
    Case(
        name="a key of a type that has no equality is enough for delete-insert",
        desktop="""CREATE TABLE items (k json, id int);
            INSERT INTO items VALUES ('{}', 1), ('{ }', 2), (NULL, 3), (NULL, 3)""",
        mobile="CREATE TABLE items (k json, id int, source text)",
        table=delete_insert("items", "k"),
    ),
    Case(
        name="zero, negative and empty keys that repeat",
        desktop="""CREATE TABLE items (k int, j text, name text);
            INSERT INTO items VALUES (0, '', 'a'), (0, '', 'a'),
                (-1, NULL, ''), (-1, NULL, NULL), (NULL, NULL, NULL)""",
        mobile="CREATE TABLE items (id bigserial PRIMARY KEY, k int, j text, name text, source text)",
        table=delete_insert("items", "k", "j"),
    ),
    Case(
        name="a NULL key is quarantined",
        desktop="CREATE TABLE items (k int, j text, name text); INSERT INTO items VALUES (0, '', 'a'), (1, NULL, 'b')",
        mobile="CREATE TABLE items (k int, j text, name text, source text, PRIMARY KEY (k, j))",
        table=spec("items", "k", "j"),
        expected=Arrives(waiting={"1, None": "the key column j is empty"}),
        back=None,
    ),
    Case(
        name="a key that is too long for an index",
        desktop="""CREATE TABLE items (k text, id int); INSERT INTO items VALUES ('a', 1), ('', 2);
            INSERT INTO items SELECT string_agg(md5(n::text), ''), 3 FROM generate_series(1, 999) AS n""",
        mobile="CREATE TABLE items (k text PRIMARY KEY, id int, source text)",
        table=spec("items", "k"),
        expected=Arrives(
            waiting={"".join(md5(f"{n}".encode()).hexdigest() for n in range(1, 1000)): "^index row (size|requires)"},
            foreseen=False,
        ),
    ),
    Case(
        name="exact copies of a key collapse",
        desktop="CREATE TABLE items (k int, name text);"
        " INSERT INTO items VALUES (1, 'a'), (1, 'a'), (1, 'a'), (2, NULL)",
        mobile="CREATE TABLE items (k int PRIMARY KEY, name text, source text)",
        table=spec("items", "k"),
        expected=Arrives(superseded=2),
        back=None,
    ),
)

#: ICU collations need a server built with ICU.
FOLDING = "CREATE COLLATION folding (provider = icu, locale = 'und-u-ks-level2', deterministic = false);"
NONDETERMINISTIC = (
    Case(
        name="keys of a collation that folds case",
        desktop=f"""{FOLDING} CREATE TABLE items (k text COLLATE folding PRIMARY KEY, name text COLLATE folding);
            INSERT INTO items VALUES ('a', 'x'), ('B', 'Y'), ('é', 'é')""",
        mobile=f"""{FOLDING} CREATE TABLE items (k text COLLATE folding PRIMARY KEY, name text COLLATE folding,
            source text)""",
        table=spec("items", "k"),
    ),
    _alike(
        "keys that mobile alone folds",
        "text",
        "a",
        "A",
        "b",
        waiting=_TWICE,
        types=FOLDING,
        there="text COLLATE folding",
    ),
    Case(
        name="keys that the desktop alone folds",
        desktop=f"""{FOLDING} CREATE TABLE items (k text COLLATE folding PRIMARY KEY, name text);
            INSERT INTO items VALUES ('a', 'x'), ('B', 'Y')""",
        mobile="CREATE TABLE items (k text PRIMARY KEY, name text, source text)",
        table=delete_insert("items", "k"),
    ),
)
