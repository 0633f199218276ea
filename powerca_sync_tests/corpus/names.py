"""Names that need careful quoting: quotes, spaces, percent signs, braces, backslashes, newlines, 63 bytes."""

from powerca_sync_tests.corpus.case import Case, Refused
from powerca_sync_tests.helpers import delete_insert, spec

#: 63 bytes each, the maximum of PostgreSQL, and different in the last byte only.
LONG = tuple("ä" * 31 + end for end in "ab")

COLUMNS = (
    *(
        'a"b',
        "'",
        "it''s",
        "a b",
        " ",
        "%",
        "%s",
        "%(name)s",
        "100%%",
        "{}",
        "{0}",
        "{name}",
        "a{b",
        "back\\slash",
        "\\n",
    ),
    *(
        "line\nbreak",
        "tab\t",
        "\x7f",
        "$1",
        "$$",
        "--",
        "/*",
        ";",
        "a.b",
        "*",
        "?",
        ":name",
        "ünïcödé",
        "日本",
        "🙂",
        "é",
        "e\u0301",
    ),
    *("name", "Name", "NAME", "select", "table", "user", "null", "oid", "1", "s", "t", "a", "n", "x", "key", "content"),
    *("place", "staged", "existing", "relation", "action", "before", "image", "hash", "message", "copy", "id "),
    *("s.id", "t.*", "excluded", "old", "new", "value", "parent", "reason", "from", "phone", "\u202eabc", *LONG),
)
#: Names that the engine gives to columns of its own.
WORKING = ("raw:0", "from:phone", "t:place", "e:id")


def quoted(name: str) -> str:
    """Returns a quoted identifier of any content."""
    return '"' + name.replace('"', '""') + '"'


def _columns(name: str, columns: tuple[str, ...], *, delete: bool, schema: str = "public") -> Case:
    """Returns a table of that name; its first column is the key, the others are texts or numbers."""
    key, *others = columns
    table = f"{quoted(schema)}.{quoted(name)}"
    definition = ", ".join(
        [
            f"{quoted(key)} varchar(9) PRIMARY KEY",
            *(f"{quoted(c)} {'text' if n % 2 else 'float8'}" for n, c in enumerate(others)),
        ]
    )
    values = ", ".join(f"'{n}'" for n in range(len(others)))
    make = delete_insert if delete else spec
    return Case(
        name=f"{name[:20]!a} in {schema}, {make.__name__}",
        desktop=f"""CREATE SCHEMA IF NOT EXISTS {quoted(schema)}; CREATE TABLE {table} ({definition});
            INSERT INTO {table} VALUES ('1', {values}), ('%s', {values}); INSERT INTO {table} VALUES ('{{}}')""",
        mobile=f"""CREATE SCHEMA IF NOT EXISTS {quoted(schema)};
            CREATE TABLE {table} ({definition}, source text)""",
        table=make(f"{schema}.{name}", key),
    )


_SCHEMAS = ("In %s {0}", "public", LONG[0])
_TABLES = ('a"b', "it's", "a b\nc", "100%s %(x)s", "{0} {name}", "back\\slash", "a.b", "Select", *LONG)

CASES = (
    _columns("columns", COLUMNS, delete=False),
    _columns("columns", COLUMNS, delete=True),
    *(
        _columns(name, (name, "name", "n" * 62 + "a", "n" * 62 + "b"), delete=n % 2 > 0, schema=_SCHEMAS[n % 3])
        for n, name in enumerate(_TABLES)
    ),
    *(
        Case(
            name=f"a column with the engine's own name {name}",
            desktop=f"CREATE TABLE items (id int PRIMARY KEY, {quoted(name)} int)",
            mobile=f"CREATE TABLE items (id int PRIMARY KEY, {quoted(name)} int, source text)",
            table=spec("items", "id"),
            expected=Refused(sentence=f"Column `{name}` of `public.items` has a name that is reserved for working"),
        )
        for name in WORKING
    ),
    Case(
        name="a name that differs in case only is another table",
        desktop='CREATE TABLE items (id int PRIMARY KEY); CREATE TABLE "Items" (id int); INSERT INTO items VALUES (1)',
        mobile='CREATE TABLE items (id int PRIMARY KEY, source text); CREATE TABLE "Items" (id int)',
        table=spec("items", "id"),
    ),
    Case(
        name="a name in another case is no name",
        desktop='CREATE TABLE "Items" (id int PRIMARY KEY)',
        mobile="CREATE TABLE items (id int PRIMARY KEY, source text)",
        table=spec("items", "id"),
        expected=Refused(sentence="`items` does not exist on the desktop, or its user may not see it"),
    ),
    Case(
        name="a key whose name is in another case",
        desktop='CREATE TABLE items ("ID" int PRIMARY KEY)',
        mobile="CREATE TABLE items (id int PRIMARY KEY, source text)",
        table=spec("items", "id"),
        expected=Refused(sentence="the desktop lacks `id` but has `ID`"),
    ),
)
