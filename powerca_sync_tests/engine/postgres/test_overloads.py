"""Objects that others create in schemas of the search path are never executed with the privileges of the sync.

Each schema of the path has functions with every name that the engine uses, and PostgreSQL's operators, for all
plausible argument types: these match better than PostgreSQL's own that take any type, or one to which the argument
would have to be cast. Each writes its name to the server's log.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from psycopg import sql

import powerca_sync
from powerca_sync.demo import Server
from powerca_sync.engine.doctor import examine, reach
from powerca_sync.engine.dry_run.forward_plan import plan_forward
from powerca_sync.engine.dry_run.reverse_plan import plan_reverse
from powerca_sync.engine.postgres.database import Connection
from powerca_sync.engine.requests import Mode, TableExtract, TablePull
from powerca_sync.engine.reverse.pending import find_pending_tables
from powerca_sync.engine.setup import introduce
from powerca_sync.engine.status.table_status import read_table_status
from powerca_sync.engine.verify.verifier import verify
from powerca_sync.specs import Deletes, Expression, TableSpec, in_order
from powerca_sync.tables import TABLES
from powerca_sync_tests.engine.small_office import make
from powerca_sync_tests.helpers import QUICK, Pair, spec

pytestmark = pytest.mark.long

PRODUCT = Path(powerca_sync.__file__).parent
GOLDEN = Path(__file__).parents[2] / "golden"
#: Candidates for function calls, in the static statements and in the code that composes statements.
NAMES = sorted(
    {
        name
        for text in (
            *GOLDEN.glob("*.sql"),
            *PRODUCT.glob("engine/**/*.sql"),
            *PRODUCT.glob("engine/**/*.py"),
            PRODUCT / "tables.py",
        )
        for name in re.findall(r"\b([a-z_0-9]+)\s*\(", text.read_text(encoding="utf-8"))
    }
)

PLANT = """
DO $$
DECLARE
    planted record;
BEGIN
    FOR planted IN
        WITH stands_for (type, own) AS (
            -- With what types an argument of the declared type may be called.
            SELECT t.oid, unnest(CASE
                WHEN t.typname IN ('any', 'anyelement', 'anynonarray', 'anycompatible', 'anycompatiblenonarray')
                    THEN string_to_array('text varchar bpchar int4 int8 numeric bool date timestamp jsonb oid', ' ')
                WHEN t.typname IN ('anyarray', 'anycompatiblearray') THEN '{text[],int2[],int4[],int8[],oid[]}'
                WHEN t.typname IN ('text', 'name') THEN '{text,varchar,bpchar,name,int4}'
                WHEN t.typname = 'int8' THEN '{int8,int4,int2}'
                WHEN t.typname = 'int4' THEN '{int4,int2}'
                WHEN t.typname IN ('numeric', 'float8') THEN '{numeric,float8,int4,int8}'
                WHEN t.typname IN ('oid', 'regclass') THEN '{oid,int8,text,regclass}'
                WHEN t.typname IN ('timestamp', 'timestamptz') THEN '{timestamp,timestamptz,date}'
                WHEN t.typtype = 'p' THEN '{}'
                ELSE ARRAY[t.oid::regtype::text] END)
            FROM pg_type AS t
        ), signature AS (
            SELECT DISTINCT p.proname AS name, CASE n
                WHEN 0 THEN '' WHEN 1 THEN a.own WHEN 2 THEN a.own || ',' || b.own
                ELSE concat_ws(',', a.own, b.own, c.own) END AS arguments
            FROM pg_proc AS p
            CROSS JOIN LATERAL generate_series(
                p.pronargs, CASE WHEN p.provariadic <> 0 THEN 3 ELSE p.pronargs END
            ) AS n
            LEFT JOIN stands_for AS a ON n > 0
                AND a.type = CASE WHEN p.pronargs < 1 THEN 'text'::regtype ELSE p.proargtypes[0] END
            LEFT JOIN stands_for AS b ON n > 1
                AND b.type = CASE WHEN p.pronargs < 2 THEN '"any"'::regtype ELSE p.proargtypes[1] END
            LEFT JOIN stands_for AS c ON n > 2
                AND c.type = CASE WHEN p.pronargs < 3 THEN 'text'::regtype ELSE p.proargtypes[2] END
            WHERE p.pronamespace = 'pg_catalog'::regnamespace
                AND p.proname = ANY (current_setting('test.names')::text[]) AND n <= 3
                AND (n < 1 OR a.own IS NOT NULL) AND (n < 2 OR b.own IS NOT NULL) AND (n < 3 OR c.own IS NOT NULL)
        )
        SELECT name, arguments, 'function' AS kind FROM signature
        UNION ALL
        -- Names with values, as functions of any number of arguments are called.
        SELECT p.proname, concat_ws(',', 'text', a.type, 'text', b.type), 'function'
        FROM pg_proc AS p
        CROSS JOIN unnest('{text,int4,int8,bool,jsonb,oid}'::text[]) AS a (type)
        CROSS JOIN unnest('{text,int4,int8,bool,jsonb,oid}'::text[]) AS b (type)
        WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.provariadic <> 0
            AND p.proname = ANY (current_setting('test.names')::text[])
        UNION ALL
        SELECT o.name, l.type || ',' || r.type, 'operator'
        FROM unnest('{=,<>,<,<=,>,>=,||,+,-,->,->>,@>,?,~}'::text[]) AS o (name)
        CROSS JOIN unnest('{text,varchar,bpchar,name,int2,int4,int8,numeric,bool,date,timestamp,timestamptz,time,uuid,
            jsonb,json,oid,xid,tid,regclass,text[],int4[],int8[],bytea}'::text[]) AS l (type)
        CROSS JOIN unnest('{text,varchar,bpchar,name,int2,int4,int8,numeric,bool,date,timestamp,timestamptz,time,uuid,
            jsonb,json,oid,xid,tid,regclass,text[],int4[],int8[],bytea}'::text[]) AS r (type)
        WHERE l.type = r.type OR EXISTS (
            SELECT
            FROM unnest('{text varchar bpchar name,int2 int4 int8 numeric oid,date timestamp timestamptz}'::text[])
                AS family
            WHERE l.type = ANY (string_to_array(family, ' ')) AND r.type = ANY (string_to_array(family, ' '))
        ) OR (l.type, r.type) IN (('jsonb', 'text'), ('jsonb', 'text[]'), ('text', 'text[]'))
    LOOP
        IF planted.kind = 'function' THEN
            EXECUTE format(
                'CREATE OR REPLACE FUNCTION %I.%I(%s) RETURNS text LANGUAGE plpgsql AS '
                '''BEGIN RAISE LOG ''''planted: %1$s.%2$s(%3$s)''''; RETURN NULL; END''',
                current_setting('test.schema'), planted.name, planted.arguments
            );
        ELSE
            EXECUTE format(
                'CREATE FUNCTION %1$I.%2$I(%3$s) RETURNS %4$s LANGUAGE plpgsql AS '
                '''BEGIN RAISE LOG ''''planted: %1$s.%5$s(%3$s)''''; RETURN NULL; END'';'
                'CREATE OPERATOR %1$I.%5$s (LEFTARG = %6$s, RIGHTARG = %7$s, FUNCTION = %1$I.%2$I)',
                current_setting('test.schema'), 'operator ' || planted.name, planted.arguments,
                CASE WHEN planted.name IN ('||', '+', '-', '->', '->>') THEN 'text' ELSE 'bool' END, planted.name,
                split_part(planted.arguments, ',', 1), split_part(planted.arguments, ',', 2)
            );
        END IF;
    END LOOP;
END $$
"""

KINDS = spec(
    "kinds",
    "code",
    deletes=Deletes.PROPAGATE,
    expressions=(Expression(column="named", forward="upper(named)", reverse="lower(named)"),),
)
SPECS = in_order((*TABLES, KINDS))


@pytest.fixture
def planted(shared_pair: Pair) -> Pair:
    """Creates the small office with one more table, in databases with a search path of two schemas full of overloads.

    There are too many of them to drop one by one: the databases are dropped with them.
    """
    pair = shared_pair
    make(pair.source, pair.target)
    columns = """code varchar(10) PRIMARY KEY, named varchar(20), day date, at timestamp, amount numeric(8,2), tag name,
        fixed char(5), flag bool, memo varchar, facts jsonb, number bigint, updated_at timestamp"""
    pair.source.execute(f"CREATE TABLE kinds ({columns})")  # type: ignore[call-overload]
    pair.target.execute(f"CREATE TABLE kinds ({columns}, source varchar(1))")  # type: ignore[call-overload]
    pair.source.execute("""INSERT INTO kinds
        SELECT 'k' || n, 'one', date '2024-01-01' + n, timestamp '2024-01-01' + n * interval '1 h', n, 't' || n, 'f',
            n % 2 = 0, 'memo', jsonb_build_object('n', n), n, now()
        FROM generate_series(1, 5) AS n""")
    pair.target.execute("INSERT INTO kinds (code, named, source) VALUES ('k1', 'old', 'D'), ('p1', 'phone', 'M')")
    for connection, endpoint in ((pair.source, pair.settings.desktop), (pair.target, pair.settings.mobile)):
        connection.execute("CREATE SCHEMA app")
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET search_path = app, public").format(sql.Identifier(endpoint.name))
        )
        for schema in ("app", "public"):
            connection.execute("SELECT set_config('test.names', %s::text[]::text, false)", [NAMES])
            connection.execute("SELECT set_config('test.schema', %s, false)", [schema])
            connection.execute("SET search_path = pg_catalog")
            connection.execute(PLANT)
    return pair


def called(servers: Iterable[Server]) -> set[str]:
    """Returns the planted functions executed by any statement since the servers started."""
    logs = [(server.folder / "log").read_text(encoding="utf-8", errors="replace") for server in servers]
    return {name for log in logs for name in re.findall(r"planted: (\S+)", log)}


def extracts(mode: Mode, specs: Sequence[TableSpec]) -> list[TableExtract]:
    return [TableExtract(spec=one, mode=mode, allow_mass_delete=True) for one in specs]


def look(source: Connection, target: Connection) -> None:
    """Executes every read-only command."""
    for mode in Mode:
        plan_forward(extracts(mode, SPECS), source=source, target=target, specs=SPECS, options=QUICK)
    pulls = [TablePull(spec=one) for one in SPECS if one.reverse]
    plan_reverse(pulls, source=target, target=source, specs=SPECS, options=QUICK)
    verify(source=source, target=target, specs=SPECS, options=QUICK)
    read_table_status(target, SPECS, None)
    find_pending_tables(source=target, target=source, specs=SPECS)


def run_everything(pair: Pair) -> None:
    """Executes every command, with changes of the office and of phones in between."""
    with pair.connected() as (source, target):
        introduce(source=source, target=target, specs=SPECS)
        look(source, target)
    for mode in (Mode.FULL, Mode.INCREMENTAL):
        for one in SPECS:
            pair.sync(one, *(other for other in SPECS if other is not one), mode=mode, allow_mass_delete=True)
        for one in SPECS:
            pair.pull(one, *(other for other in SPECS if other is not one))
        pair.source.execute("SET search_path = pg_catalog; UPDATE public.kinds SET amount = amount + 1, named = 'Two'")
        pair.source.execute("DELETE FROM public.kinds WHERE code = (SELECT min(code) FROM public.kinds)")
        pair.source.execute("UPDATE public.jobshead SET label = label || '!'")
        pair.target.execute("SET search_path = pg_catalog; UPDATE public.kinds SET named = 'Three' WHERE source = 'M'")
        with pair.connected() as (source, target):
            look(source, target)
    with reach(pair.settings.desktop) as desktop, reach(pair.settings.mobile) as mobile:
        findings = examine(desktop, mobile, SPECS)
    assert not [finding for finding in findings if finding.what.startswith("Not examined")]


def test_overloads_in_the_search_path_are_never_called(planted: Pair, servers: tuple[Server, Server]) -> None:
    before = called(servers)
    for connection in (planted.source, planted.target):
        # The overloads exist, and are preferred under the search path of the database.
        connection.execute(
            "SET search_path = app, public; SELECT 'a'::varchar = 'b'::varchar, hashtextextended('a', 0)"
        )
    assert called(servers) - before == {"app.=(varchar,varchar)", "app.hashtextextended(text,int4)"}
    before = called(servers)
    run_everything(planted)
    assert called(servers) - before == set()
