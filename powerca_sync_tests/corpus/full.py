"""Cases that only a full installation can hold: XML, ICU collations, citext, foreign tables."""

from powerca_sync_tests.corpus.case import Arrives, Case, Refused
from powerca_sync_tests.corpus.keys import NONDETERMINISTIC
from powerca_sync_tests.corpus.values import FAMILIES, ONLY_FULL, family
from powerca_sync_tests.helpers import delete_insert, spec

ITEMS = spec("items", "id", limit_share=1.0)
ON_MOBILE = "CREATE TABLE items (id int PRIMARY KEY, name text, source text)"

#: Cases in which both databases need a full installation.
BOTH = (
    family("documents in XML", ONLY_FULL),
    *NONDETERMINISTIC,
    Case(
        name="keys of citext",
        desktop="""CREATE EXTENSION citext; CREATE TABLE items (id citext PRIMARY KEY, name citext);
            INSERT INTO items VALUES ('Ab', 'X'), ('b', 'x'), ('%S', '{0}')""",
        mobile="""CREATE EXTENSION citext; CREATE TABLE items (id citext PRIMARY KEY, name citext, source text)""",
        table=ITEMS,
    ),
    Case(
        name="keys that citext alone folds",
        desktop="CREATE TABLE items (id text, name text); INSERT INTO items VALUES ('A', 'x'), ('a', 'x'), ('b', 'y')",
        mobile="""CREATE EXTENSION citext; CREATE TABLE items (id citext PRIMARY KEY, name text, source text)""",
        table=ITEMS,
        expected=Arrives(waiting=dict.fromkeys("Aa", "several different rows have ")),
        back=None,
    ),
    Case(
        name="types of extensions",
        desktop="""CREATE EXTENSION hstore; CREATE EXTENSION cube; CREATE EXTENSION ltree; CREATE EXTENSION isn;
            CREATE EXTENSION intarray; CREATE EXTENSION seg;
            CREATE TABLE items (id int PRIMARY KEY, h hstore, c cube, t ltree, i isbn, s seg, q query_int);
            INSERT INTO items VALUES (1, 'a=>1, "b c"=>NULL', '(1,2),(3,4)', 'a.b.c',
                '0-306-40615-2', '1.00 .. 2', '1&2');
            INSERT INTO items VALUES (2)""",
        mobile="""CREATE EXTENSION hstore; CREATE EXTENSION cube; CREATE EXTENSION ltree; CREATE EXTENSION isn;
            CREATE EXTENSION intarray; CREATE EXTENSION seg;
            CREATE TABLE items (id int PRIMARY KEY, h hstore, c cube, t ltree, i isbn, s seg, q query_int,
                source text)""",
        table=delete_insert("items", "id"),
    ),
)

#: Cases in which the desktop needs a full installation.
DESKTOP = (
    *(family(name, types) for name, types in FAMILIES.items() if name in ("texts", "days and times")),
    Case(
        name="a foreign table of a file",
        desktop="""CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
            CREATE FOREIGN TABLE items (id int, name text)
                SERVER files OPTIONS (program 'printf "1\\\\tone\\\\n2\\\\t\\\\\\\\N\\\\n"')""",
        mobile=ON_MOBILE,
        table=ITEMS,
        back=Refused(sentence="`items` is not a table at the target"),
    ),
    Case(
        name="a foreign table of a file that is gone",
        desktop="""CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
            CREATE FOREIGN TABLE items (id int, name text) SERVER files OPTIONS (filename '/nowhere/items.csv')""",
        mobile=ON_MOBILE,
        table=ITEMS,
        expected=Refused(sentence=r'reading the source failed: could not open file "/nowhere/items\.csv"'),
    ),
    Case(
        name="a foreign table of a server that is gone",
        desktop="""CREATE EXTENSION postgres_fdw;
            CREATE SERVER gone FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '1');
            CREATE USER MAPPING FOR postgres SERVER gone OPTIONS (user 'nobody', password 'none');
            CREATE FOREIGN TABLE items (id int, name text) SERVER gone""",
        mobile=ON_MOBILE,
        table=ITEMS,
        expected=Refused(sentence='reading the source failed: could not connect to server "gone"'),
    ),
    Case(
        name="XML for a mobile database that cannot read it",
        desktop="CREATE TABLE items (id int PRIMARY KEY, name xml); INSERT INTO items VALUES (1, '<a/>'), (2, NULL)",
        mobile="CREATE TABLE items (id int PRIMARY KEY, name xml, source text)",
        table=ITEMS,
        expected=Arrives(waiting={"1": r"unsupported XML feature \(column name\)"}),
        back=None,
    ),
)
