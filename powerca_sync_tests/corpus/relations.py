"""Kinds of tables: very wide and very long ones, views, partitions, inheritance, dropped columns."""

from collections.abc import Callable

from powerca_sync.specs import Cursor
from powerca_sync_tests.corpus.case import Arrives, Case, Refused
from powerca_sync_tests.helpers import delete_insert, spec

ITEMS = spec("items", "id", limit_share=1.0)
LINES = delete_insert("items", "id", limit_share=1.0)

ON_DESKTOP = "CREATE TABLE items (id int PRIMARY KEY, name text); INSERT INTO items VALUES (1, 'one'), (2, NULL);"
ON_MOBILE = "CREATE TABLE items (id int PRIMARY KEY, name text, source text);"


def _wide(columns: int, kind: Callable[[int], str], *, mobile: Callable[[int], str] | None = None) -> tuple[str, str]:
    names = [f"column_{n}" for n in range(columns)]
    here = ", ".join(f"{name} {kind(n)}" for n, name in enumerate(names))
    there = ", ".join(f"{name} {(mobile or kind)(n)}" for n, name in enumerate(names))
    values = ", ".join(["1"] * columns)
    nothing = ", ".join(["NULL"] * columns)
    return (
        f"CREATE TABLE items (id int PRIMARY KEY, {here}); INSERT INTO items VALUES (1, {values}), (2, {nothing})",
        f"CREATE TABLE items (id int PRIMARY KEY, {there}, source text)",
    )


def _case(name: str, desktop: str, mobile: str = ON_MOBILE, **rest: object) -> Case:
    return Case(**({"name": name, "desktop": desktop, "mobile": mobile, "table": ITEMS} | rest))  # type: ignore[arg-type]


WIDE = _wide(1598, lambda _: "int")
UNLIKE = _wide(900, lambda _: "numeric", mobile=lambda _: "numeric(5,2)")
MIXED = _wide(
    300, lambda n: ("int", "numeric", "bigint", "real")[n % 4], mobile=lambda n: ("int", "numeric(5,2)")[n % 2]
)

TOO_WIDE = r"needs a working table of \d+ columns, and PostgreSQL's limit is 1600"

CASES = (
    _case("1600 columns", *WIDE, back=Refused(sentence=TOO_WIDE), mendable=False),
    _case("900 columns that may be rounded", *UNLIKE, expected=Refused(sentence=TOO_WIDE)),
    _case(
        "300 columns of other types",
        *MIXED,
        compared=tuple(", ".join(f"column_{n}::float8" for n in range(300)) for _ in "ab"),
    ),
    _case(
        "rows of a megabyte",
        """CREATE TABLE items (id int PRIMARY KEY, name text, bytes bytea, document jsonb);
        ALTER TABLE items ALTER name SET STORAGE EXTERNAL, ALTER bytes SET STORAGE EXTERNAL;
        INSERT INTO items SELECT n, repeat(md5(n::text), 16000), decode(repeat(md5(n::text), 8000), 'hex'),
            jsonb_build_object('a', repeat('é', 100000)) FROM generate_series(1, 5) AS n;
        INSERT INTO items VALUES (6, 'small', '', '[]'), (7, repeat(E'\\\\\\t\\n', 300000), NULL, NULL)""",
        "CREATE TABLE items (id int PRIMARY KEY, name text, bytes bytea, document jsonb, source text)",
    ),
    _case("an empty table", "CREATE TABLE items (id int PRIMARY KEY, name text)"),
    _case(
        "tables without columns",
        "CREATE TABLE items ()",
        "CREATE TABLE items ()",
        table=delete_insert("items"),
        expected=Refused(sentence="has no column `source` at the target"),
    ),
    _case(
        "tables without a column in common",
        "CREATE TABLE items (a int)",
        "CREATE TABLE items (b int, source text)",
        table=delete_insert("items"),
        expected=Refused(sentence="has no column in common with `items`"),
    ),
    *(
        _case(
            f"rows without any key, {types} columns",
            f"CREATE TABLE items (a int, b {types});"
            " INSERT INTO items VALUES (1, NULL), (1, NULL), (NULL, NULL), (NULL, NULL), (NULL, '1'),"
            " (2, '1'), (2, '1')",
            f"CREATE TABLE items (a int, b {types}, source text)",
            table=delete_insert("items"),
        )
        for types in ("text", "json", "money", "xid")
    ),
    _case(
        "a view with a join",
        "CREATE TABLE a (id int, x text); CREATE TABLE b (id int, y text); INSERT INTO a VALUES (1, 'x'), (2, NULL);"
        "CREATE VIEW items AS SELECT a.id, coalesce(b.y, a.x) AS name FROM a LEFT JOIN b USING (id)",
        back=Refused(sentence="`items` is not a table at the target, so that rows cannot be inserted into it"),
    ),
    _case(
        "a view that fails at one row",
        "CREATE TABLE a (id int); INSERT INTO a VALUES (1), (0);"
        "CREATE VIEW items AS SELECT id, (1 / id)::text AS name FROM a",
        expected=Refused(sentence=r"table `items`: reading the source failed: division by zero\. Nothing was written"),
    ),
    _case(
        "a materialized view",
        "CREATE MATERIALIZED VIEW items AS SELECT 1 AS id, 'one'::text AS name",
        back=Refused(sentence="is not a table at the target"),
    ),
    _case(
        "a materialized view that was never filled",
        "CREATE MATERIALIZED VIEW items AS SELECT 1 AS id, 'one'::text AS name WITH NO DATA",
        expected=Refused(sentence='reading the source failed: materialized view "items" has not been populated'),
    ),
    _case(
        "a partitioned table on the desktop",
        """CREATE TABLE items (id int PRIMARY KEY, name text) PARTITION BY RANGE (id);
        CREATE TABLE low PARTITION OF items FOR VALUES FROM (0) TO (2);
        CREATE TABLE high PARTITION OF items DEFAULT; INSERT INTO items VALUES (1, 'one'), (2, NULL)""",
    ),
    _case(
        "partitions whose columns have another order",
        """CREATE TABLE items (id int, gone int, name text) PARTITION BY LIST (id); ALTER TABLE items DROP gone;
        CREATE TABLE one (name text, id int); ALTER TABLE items ATTACH PARTITION one FOR VALUES IN (1);
        INSERT INTO items VALUES (1, 'one')""",
        """CREATE TABLE items (id int, name text, source text) PARTITION BY LIST (id);
        CREATE TABLE one (source text, extra int, name text, id int); ALTER TABLE one DROP extra;
        ALTER TABLE items ATTACH PARTITION one FOR VALUES IN (1)""",
    ),
    _case(
        "a row without a partition on mobile",
        ON_DESKTOP,
        """CREATE TABLE items (id int PRIMARY KEY, name text, source text) PARTITION BY RANGE (id);
        CREATE TABLE low PARTITION OF items FOR VALUES FROM (0) TO (2)""",
        expected=Arrives(waiting={"2": 'no partition of relation "items" found for row'}, foreseen=False),
    ),
    _case(
        "a mobile view",
        ON_DESKTOP,
        "CREATE TABLE stored (id int, name text, source text); CREATE VIEW items AS SELECT * FROM stored",
        expected=Refused(sentence="`items` is not a table at the target, so that rows cannot be merged into it"),
    ),
    _case(
        "a desktop table that others inherit from",
        """CREATE TABLE items (id int, name text); CREATE TABLE special (more int) INHERITS (items);
        INSERT INTO items VALUES (1, 'one'); INSERT INTO special VALUES (2, 'two', 3)""",
    ),
    _case(
        "dropped and added columns",
        """CREATE TABLE items (a int, id int, b int, PRIMARY KEY (id)); INSERT INTO items VALUES (1, 1, 1);
        ALTER TABLE items DROP a, DROP b, ADD name text DEFAULT 'then'; INSERT INTO items VALUES (2, NULL);
        ALTER TABLE items ADD at timestamp DEFAULT '2020-01-01'""",
        """CREATE TABLE items (x int, name text, y int, at timestamp, id int PRIMARY KEY, source text);
        ALTER TABLE items DROP x, DROP y""",
    ),
    _case(
        "unlogged tables",
        ON_DESKTOP.replace("TABLE", "UNLOGGED TABLE", 1),
        ON_MOBILE.replace("TABLE", "UNLOGGED TABLE"),
    ),
    _case(
        "a temporary table of another session",
        "CREATE TEMP TABLE items (id int PRIMARY KEY, name text)",
        expected=Refused(sentence="`items` does not exist on the desktop, or its user may not see it"),
    ),
    _case(
        "columns that each side makes itself",
        """CREATE TABLE items (id int PRIMARY KEY, name text, no int GENERATED ALWAYS AS IDENTITY,
            twice int GENERATED ALWAYS AS (id * 2) STORED, other int);
        INSERT INTO items (id, name, other) VALUES (1, 'one', 5);""",
        """CREATE TABLE items (id int PRIMARY KEY, name text, no int, twice int,
            other int GENERATED ALWAYS AS (id * 3) STORED, row int GENERATED BY DEFAULT AS IDENTITY, source text)""",
        not_compared=frozenset({"other", "no"}),
    ),
    _case(
        "a desktop key that is always generated",
        """CREATE TABLE items (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text);
        INSERT INTO items (name) VALUES ('one'), ('two')""",
        # A reverse-synced row gets the desktop's next key.
        compared=("name", "name"),
    ),
    _case(
        "a column of the desktop's own that is called source",
        "CREATE TABLE items (id int PRIMARY KEY, name text, source int);"
        " INSERT INTO items VALUES (1, 'one', 7), (2, NULL, NULL)",
        back=Arrives(waiting=dict.fromkeys("12", 'invalid input syntax for type integer: "M" .column source')),
    ),
    _case(
        "infinite timestamps",
        """CREATE TABLE items (id int PRIMARY KEY, name text, created_at timestamp, updated_at timestamp);
        INSERT INTO items VALUES (1, 'one', 'infinity', '-infinity'), (2, 'two', '0044-03-15 BC', '294276-12-31'),
            (3, NULL, NULL, NULL)""",
        """CREATE TABLE items (id int PRIMARY KEY, name text, source text, created_at timestamptz,
            updated_at timestamptz)""",
        table=spec("items", "id", cursor=Cursor.TIMESTAMP),
    ),
    _case(
        "types that mobile does not have",
        """CREATE TYPE mood AS ENUM ('so so'); CREATE TYPE pair AS (a mood, b int[]); CREATE DOMAIN short AS varchar(3);
        CREATE TABLE items (id int PRIMARY KEY, mood mood, moods mood[], pair pair, short short, shorts short[]);
        INSERT INTO items VALUES (1, 'so so', '{so so,NULL}', '("so so","{1,NULL}")', 'abc', '{abc}');
        INSERT INTO items VALUES (2)""",
        """CREATE TABLE items (id int PRIMARY KEY, mood text, moods text[], pair text, short text, shorts text[],
            source text)""",
    ),
    _case(
        "types of the user on both sides",
        *(
            f"""CREATE SCHEMA "In %s"; CREATE TYPE "In %s"."the ""odd mood" AS ENUM
                ('so so', '', 'it''s {{0}}', '\\', 'ä');
            CREATE TYPE "In %s".pair AS (a "In %s"."the ""odd mood", b text, "c d" int[]);
            CREATE DOMAIN "In %s".pairs AS "In %s".pair[] CHECK (cardinality(VALUE) < 9);
            CREATE DOMAIN "In %s".one AS "In %s".pair; CREATE TYPE "In %s".span AS RANGE
                (subtype = text, multirange_type_name = "In %s".multispan);
            CREATE TABLE items (id int PRIMARY KEY, mood "In %s"."the ""odd mood", moods "In %s"."the ""odd mood"[],
                pair "In %s".pair, pairs "In %s".pairs, one "In %s".one, span "In %s".span, spans "In %s".multispan
                {owner});
            {rows}"""
            for owner, rows in (
                (
                    "",
                    """INSERT INTO items VALUES (1, 'it''s {0}', '{"so so",NULL,"",\\\\}', '("so so",,"{1,NULL}")',
                        ARRAY[ROW('ä', E'a"b\\\\,\\n', '{}')]::"In %s".pairs, '(,,)', '["a,b",c)', '{[a,b),[c,)}');
                    INSERT INTO items VALUES (2)""",
                ),
                (", source text", ""),
            )
        ),
    ),
    _case(
        "a search path of the office's own, with tables, functions and casts in it",
        """DO $$ BEGIN
            EXECUTE format('ALTER DATABASE %I SET search_path = hostile, public', current_database());
        END $$;
        CREATE SCHEMA hostile; CREATE TABLE hostile.items (id int, name text);
        INSERT INTO hostile.items VALUES (9, 'x');
        CREATE FUNCTION hostile.left(varchar, int) RETURNS text LANGUAGE sql AS $$ SELECT 'wrong' $$;
        CREATE FUNCTION hostile.md5(anyelement) RETURNS text LANGUAGE sql AS $$ SELECT 'wrong' $$;
        CREATE FUNCTION hostile.replace(text, text) RETURNS text LANGUAGE sql AS $$ SELECT 'wrong' $$;
        CREATE TABLE public.items (id int PRIMARY KEY, name text);
        INSERT INTO public.items VALUES (1, 'one'), (2, NULL)""",
    ),
    _case(
        "casts to text that PostgreSQL 8.2 had",
        """CREATE TABLE items (id int PRIMARY KEY, name text, price numeric, day date, at timestamp, whether boolean);
        INSERT INTO items VALUES (1, 'one', 1.50, '2025-11-30', 'infinity', true); INSERT INTO items VALUES (2);
        DO $$ BEGIN
            CREATE CAST (int4 AS text) WITH INOUT AS IMPLICIT; CREATE CAST (numeric AS text) WITH INOUT AS IMPLICIT;
            CREATE CAST (date AS text) WITH INOUT AS IMPLICIT; CREATE CAST (timestamp AS text) WITH INOUT AS IMPLICIT;
        END $$""",
        """CREATE TABLE items (id int PRIMARY KEY, name text, price numeric(8,2), day date, at timestamptz,
            whether text, source text)""",
        compared=("name, price, day, at::timestamptz, nullif(whether::text, 'false') IS NOT NULL",) * 2,
    ),
)
