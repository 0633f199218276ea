"""Column contents that old desktop programs leave, and their conversion to the types of mobile."""

import dataclasses

from powerca_sync_tests.corpus.case import Arrives, Case
from powerca_sync_tests.corpus.values import literal
from powerca_sync_tests.helpers import QUICK, delete_insert, spec

ITEMS = delete_insert("items", "id", limit_share=1.0)
KOLKATA = dataclasses.replace(QUICK, timezone="Asia/Kolkata")
SANTIAGO = dataclasses.replace(QUICK, timezone="America/Santiago")


def _case(
    name: str,
    here: str,
    there: str,
    *values: str | None,
    same: str = "v",
    waiting: dict[int, str] | None = None,
    **rest: object,
) -> Case:
    """Returns a case of values of one column, numbered from 0; `same` is an expression that is equal in both
    databases.
    """
    rows = "".join(
        f"INSERT INTO items VALUES ({n}, {'NULL' if value is None else literal(value)});"
        for n, value in enumerate(values)
    )
    given = {
        "name": name,
        "desktop": f"CREATE TABLE items (id int PRIMARY KEY, v {here}); {rows}",
        "mobile": f"CREATE TABLE items (id int PRIMARY KEY, v {there}, source text)",
        "table": ITEMS,
        "expected": Arrives(waiting={str(n): reason for n, reason in (waiting or {}).items()}),
        "compared": (same, same),
    } | rest
    return Case(**given)  # type: ignore[arg-type]


ALTERED = r"^v would be rounded, cut or shifted"
NO_NUMBER = "invalid input syntax for type (numeric|integer|bigint|double precision)"

CASES = (
    _case(
        "lines that look like COPY's own",
        *("text", "text"),
        *("\\.", "\\.\n", "\n\\.\n", "\\\\.", "a\n\\.\nb", "\\N", "\\\\N", "\\", "\\t", "\t\\.", "\\.\r\n", "\r", "\n"),
    ),
    _case("every control character", "text", "text", *(f"<{chr(n)}>" for n in range(1, 32)), "\x7f", "\x80\x9f\ufeff"),
    _case(
        "unicode that does not look like what it is",
        *("text", "varchar(40)"),
        *(
            "e\u0301",
            "é",
            "שלום",
            "\u202eabc\u202c",
            "👩🏽\u200d🚀",
            "Ω Ω",
            "ﬃ",
            "\U0010ffff",
            "\ue000",
            "\ufffd",
            "\u2028",
        ),
    ),
    _case("empty and no text", "text", "varchar(5)", "", None, " ", "     "),
    _case("very long text of no length", "varchar", "text", "ü" * 300_000, "x\n" * 400_000),
    _case(
        "text for a shorter column",
        *("varchar(50)", "varchar(5)"),
        *("abcde", "abcdef", "abcde ", "äöüßé", "äöüßéx", "👩🏽\u200d🚀x"),
        waiting={1: "value too long", 2: ALTERED, 4: "value too long"},
    ),
    _case("padding of char(n)", "char(10)", "varchar(20)", "ab", "", "a b", None, same="rtrim(v::text)"),
    _case("padding of char(n) as a number", "char(10)", "numeric", "7", "-1.5", same="v::text::numeric"),
    _case(
        "flags as letters",
        *("char(1)", "boolean"),
        *("Y", "N", "y", "n", "T", "F", "1", "0", "", "J", "X", None),
        same="CASE WHEN lower(v::text) IN ('y', 't', '1', 'true') THEN 1 WHEN v IS NOT NULL THEN 0 END",
        waiting=dict.fromkeys((8, 9, 10), "invalid input syntax for type boolean"),
        back=Arrives(waiting={}),
    ),
    _case("flags as numbers", "smallint", "boolean", "0", "1", waiting={}, same="v::int"),
    _case(
        "numbers for a smaller column",
        *("bigint", "smallint"),
        *("32767", "-32768", "32768", "-32769", "0"),
        waiting=dict.fromkeys((2, 3), "out of range for type smallint"),
    ),
    _case(
        "numbers with decimals for whole ones",
        *("numeric", "integer"),
        *("1.00", "1.50", "2147483647.0", "2147483648", "NaN", "Infinity", "-0.0"),
        waiting={1: NO_NUMBER, 3: "out of range", 4: NO_NUMBER, 5: NO_NUMBER},
        same="v::numeric + 0.00",
    ),
    _case(
        "prices kept as floats",
        *("double precision", "numeric(12,2)"),
        *("0.1", "99999999.99", "0.30000000000000004", "1e15", "NaN", "-0", "1.005"),
        waiting={2: ALTERED, 3: "numeric field overflow", 6: ALTERED},
        same="v::numeric + 0.00",
        back=None,
    ),
    _case(
        "numbers kept as text",
        *("varchar(20)", "numeric(8,2)"),
        *("1,5", " 7 ", "", "1.234", "1e2", "Infinity", "NaN", "0x10", "1_000", "-", "$5", "00012.50"),
        waiting={
            **dict.fromkeys((0, 2, 9, 10), NO_NUMBER),
            3: ALTERED,
            5: "numeric field overflow",
            # Known to PostgreSQL 16 and newer, not to each desktop.
        },
        compared=("id", "id"),
        back=None,
    ),
    _case(
        "days kept as text",
        *("text", "date"),
        *("2025-11-30", "30/11/2025", "2025-02-30", "", "0000-00-00", "infinity", "20251130", "Nov 30 2025", "today"),
        waiting={
            1: "out of range",
            2: "out of range",
            3: "invalid input syntax for type date",
            4: "out of range",
            # The time zone of today is not that of another day; it cannot be known for the others.
            **dict.fromkeys((6, 7, 8), ALTERED),
        },
        same="v::text",
        back=None,
    ),
    _case(
        "moments for days",
        *("timestamp", "date"),
        *("2025-11-30", "2025-11-30 00:00:01", "infinity", "-infinity", "294276-12-31", "0044-03-15 BC", "1899-12-30"),
        waiting={1: ALTERED},
        same="v::timestamp",
    ),
    _case(
        "moments for moments in a zone",
        *("timestamp", "timestamptz"),
        *("2025-11-30 09:15:00.123456", "infinity", "-infinity", "294276-12-31 23:59:59.999999", "4713-01-02 BC"),
        *("1899-12-30 09:00", "1941-10-01 00:10", "0001-01-01"),
        same="CASE WHEN isfinite(v) THEN v::timestamptz AT TIME ZONE 'Asia/Kolkata' ELSE v::timestamp END",
        # The clocks of that night went from midnight to one.
        waiting={6: ALTERED},
        options=KOLKATA,
        compared=(
            "v",
            "CASE WHEN isfinite(v) THEN v AT TIME ZONE 'Asia/Kolkata' ELSE v::timestamp END",
        ),
    ),
    _case(
        "midnights that the clocks skip",
        *("date", "timestamptz"),
        *("2024-09-08", "2024-09-09", "infinity", "2024-04-07"),
        options=SANTIAGO,
        compared=("v", "CASE WHEN isfinite(v) THEN v AT TIME ZONE 'America/Santiago' ELSE v::timestamp END::date"),
    ),
    _case(
        "midnight at the end of a day",
        "time",
        "time(0)",
        "24:00",
        "00:00",
        "23:59:59",
        "12:00:00.5",
        waiting={3: ALTERED},
    ),
    _case("intervals", "interval", "interval", "1 mon", "30 days", "720:00:00", "-1 year +2 mons", "1 day -00:00:01"),
    _case(
        "documents with a key twice",
        *("json", "jsonb"),
        *('{"a":1,"b":[{"c":1}]}', '{"a":1,"a":2}', '[{"x":{"b":1,"b":1}}]', '"a"', "null", '{"a":"\\u0000"}', None),
        waiting={1: ALTERED, 2: ALTERED, 5: "unsupported Unicode escape sequence"},
        same="CASE WHEN id <> 5 THEN v::jsonb END",
        back=None,
    ),
    _case(
        "documents kept as text",
        *("text", "jsonb"),
        *('{"a": 1}', "{'a': 1}", "", " [1, 2.50] ", '{"a":1,"a":1}', "[" * 50 + "]" * 50),
        waiting={
            **dict.fromkeys((1, 2), "invalid input syntax for type json"),
            4: ALTERED,
        },
        compared=("id", "id"),
        back=None,
    ),
    _case("documents as documents", "jsonb", "json", '{"b": 1, "a": [1.50]}', "null", same="v::jsonb"),
    _case("documents as text", "json", "text", '{"b":1,  "b":2}', " 1 ", same="v::text"),
    _case("bytes as text", "bytea", "text", "\\x00ff", "\\x", "\\x5c", compared=("v::text", "v")),
    _case(
        "text as bytes",
        *("text", "bytea"),
        *("plain", "\\x00ff", "a\\000b", "oops\\", "ä"),
        waiting={0: ALTERED, 2: ALTERED, 3: "invalid input syntax for type bytea", 4: ALTERED},
        compared=("v", "v::text"),
        back=None,
    ),
    _case("codes with zeros in front", "char(6)", "text", "000123", "12", same="rtrim(v::text)"),
    _case(
        "addresses",
        *("varchar(20)", "inet"),
        *("10.0.0.1", "10.0.0.1/8", "::1", "300.1.1.1"),
        waiting={3: "invalid input syntax for type inet"},
        compared=("v", "abbrev(v)"),
    ),
    _case("addresses as text", "inet", "varchar(20)", "10.0.0.1", "10.0.0.1/8", "::1", compared=("abbrev(v)", "v")),
    _case("an address without a mask", "varchar(20)", "inet", "10.0.0.1", compared=("v", "abbrev(v)")),
    _case(
        "sums of money",
        "money",
        "numeric(10,2)",
        "0",
        "-1234.5",
        "99999999.99",
        "1000000000",
        same="v::numeric",
        waiting={3: "numeric field overflow"},
    ),
    _case(
        "infinite numbers",
        "numeric",
        "double precision",
        "0.1",
        "1e400",
        "12345678901234567890",
        "NaN",
        "1.50",
        waiting={1: "out of range", 2: ALTERED},
        same="v::numeric + 0.00",
        back=None,
    ),
    Case(
        name="names that are templates",
        desktop="""CREATE TABLE items (id text PRIMARY KEY, v text);
            INSERT INTO items VALUES ('%s', '%(x)s'), ('{0}', '{name}'), ('$1', '$$'),
                (E'\\\\x41', ''';--'), ('%%', E'\\x01v')""",
        mobile="CREATE TABLE items (id text PRIMARY KEY, v varchar(4), source text)",
        table=spec("items", "id"),
        expected=Arrives(waiting={"%s": "value too long", "{0}": "value too long"}),
    ),
)
