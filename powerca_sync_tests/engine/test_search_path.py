"""No function or operator of another schema is taken for one of PostgreSQL's, in whatever a command executes.

A role that may create in a schema of the search path could otherwise have its code executed with our rights.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from psycopg import sql

from powerca_sync import engine
from powerca_sync.engine.database import Connection, connect
from powerca_sync.engine.overview import read_overview
from powerca_sync.engine.probe import probe
from powerca_sync.engine.setup import introduce
from powerca_sync.engine.verify import verify
from powerca_sync.tables import TABLES
from powerca_sync_tests import unit
from powerca_sync_tests.engine.clinic import examined
from powerca_sync_tests.engine.small_office import make
from powerca_sync_tests.helpers import QUICK, Pair, fates, pulled, wait_until

#: Types that PostgreSQL converts on its own, so that a call with exactly these is nearer than PostgreSQL's.
ALIKE = {
    "text": ("varchar", "bpchar", "name"),
    "bigint": ("integer", "smallint", "oid"),
    "integer": ("smallint",),
    "numeric": ("integer", "bigint"),
    "double precision": ("integer", "bigint", "numeric"),
    "anyelement": ("text", "integer", "bigint", "jsonb", "boolean"),
    '"any"': ("text", "integer", "bigint", "jsonb", "oid"),
    "anyarray": ("text[]", "oid[]", "integer[]", "bigint[]"),
    "anycompatible": ("text", "integer", "bigint", "oid", "jsonb"),
    "anycompatiblearray": ("text[]", "oid[]", "integer[]", "bigint[]"),
    "regclass": ("text", "oid"),
}
#: Of the operands of operators.
OPERANDS = ("text", "varchar", "bpchar", "name", "smallint", "integer", "bigint", "numeric", "oid", "regclass", "tid")
SIGNATURES = """
SELECT p.proname::text,
    ARRAY(SELECT format_type(t, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY AS a (t, n) ORDER BY n),
    format_type(p.prorettype, NULL), p.provariadic <> 0
FROM pg_proc AS p
WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname = ANY (%s) AND p.prorettype <> 'internal'::regtype
"""
PLANT = """CREATE FUNCTION {schema}.{name}({arguments}) RETURNS {result} LANGUAGE plpgsql IMMUTABLE
AS 'BEGIN RETURN NULL; END'"""
MOST_VARIANTS = 60
#: What a server counts of calls is complete when the connection has ended.
ALONE = "NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid())"


def used_words() -> tuple[set[str], set[str]]:
    """The names of functions and operators in all statements of the engine; names of Python's own are among them."""
    golden, sources = Path(unit.__file__).parent / "golden", Path(engine.__file__).parent
    files = [*golden.glob("*.sql"), *sources.glob("sql/*.sql"), *sources.rglob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    functions = set(re.findall(r"\b([a-z_][a-z_0-9]*)\(", text))
    operators = set(re.findall(r"(?<=[\s)\"'])([=<>|?@#&+*/~!-]{1,3})(?=[\s('\"])", text)) - {"--", "*", "-"}
    assert {"hashtextextended", "jsonb_agg", "row_number", "set_config"} <= functions
    assert {"=", "<>", "||", "->>"} <= operators
    return functions, operators


def variants(arguments: Sequence[str], *, variadic: bool) -> Iterator[tuple[str, ...]]:
    """Lists of argument types that PostgreSQL could prefer to these."""
    if variadic:
        for count in range(1, 5):
            yield from itertools.product(("text", "integer", "bigint", "jsonb"), repeat=count)
    choices = [(*ALIKE.get(kind, ()), kind) for kind in arguments]
    yield from itertools.islice(itertools.product(*choices), MOST_VARIANTS)


def plant(connection: Connection, schema: str) -> int:
    """Plant overloads in a schema; returns how many."""
    functions, operators = used_words()
    connection.execute(f"ALTER DATABASE {connection.info.dbname} SET track_functions = 'all'")  # type: ignore[call-overload]
    known = connection.execute(SIGNATURES, [list(functions)]).fetchall()
    taken = {(name, tuple(arguments)) for name, arguments, _, _ in known}
    planted = 0
    for name, arguments, result, variadic in known:
        for types in variants(arguments, variadic=variadic):
            if (name, types) in taken or any(kind.strip('"').startswith("any") for kind in types):
                continue
            taken.add((name, types))
            polymorphic = result.strip('"').startswith("any")
            statement = sql.SQL(PLANT).format(
                schema=sql.Identifier(schema),
                name=sql.Identifier(name),
                arguments=sql.SQL(", ".join(types)),
                result=sql.SQL("text" if polymorphic or result in ("record", "void") else result),
            )
            connection.execute(statement)
            planted += 1
    (names,) = zip(*connection.execute("SELECT DISTINCT oprname::text FROM pg_operator").fetchall(), strict=True)
    operators &= set(names) - {"=>", "->"}
    for number, (left, right) in enumerate(itertools.product(OPERANDS, repeat=2)):
        function = sql.Identifier(schema, f"operator_{number}")
        connection.execute(
            sql.SQL("CREATE FUNCTION {}({}, {}) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'").format(
                function, sql.SQL(left), sql.SQL(right)
            )
        )
        for operator in operators:
            exists = connection.execute(
                "SELECT FROM pg_operator WHERE (oprname, oprleft, oprright) = (%s, %s::regtype, %s::regtype)",
                [operator, left, right],
            ).rowcount
            if not exists:
                connection.execute(
                    sql.SQL("CREATE OPERATOR {}.{} (LEFTARG = {}, RIGHTARG = {}, FUNCTION = {})").format(
                        sql.Identifier(schema), sql.SQL(operator), sql.SQL(left), sql.SQL(right), function
                    )
                )
                planted += 1
    return planted


def called(connection: Connection) -> list[str]:
    """The planted functions that were called, also in transactions that were rolled back."""
    query = "SELECT schemaname::text, funcname::text FROM pg_stat_user_functions WHERE calls > 0"
    return sorted(f"{schema}.{name}" for schema, name in connection.execute(query).fetchall())


@pytest.fixture(scope="module")
def attacked(shared_pair: Pair) -> Pair:
    """The office in small; a role of each side has planted overloads in every schema of the search path."""
    make(shared_pair.source, shared_pair.target)
    for side in (shared_pair.source, shared_pair.target):
        with side.transaction():
            side.execute("CREATE SCHEMA first")
            for schema in ("first", "public"):
                assert plant(side, schema) > 500
        side.execute(f"ALTER DATABASE {side.info.dbname} SET search_path = first, public")  # type: ignore[call-overload]
    return shared_pair


def test_planted_overloads_are_never_called(attacked: Pair) -> None:
    pair = attacked
    with connect(pair.settings.desktop) as source, connect(pair.settings.mobile) as target:
        introduce(source=source, target=target, specs=TABLES)
    for mode in ("full", "incremental"):
        pair.plan(*TABLES, mode=mode, watched=False)
        pair.sync_all(*TABLES, mode=mode)
        pair.source.execute("UPDATE climaster SET label = 'later'; UPDATE workdiary SET label = 'later'")
        pair.source.execute("DELETE FROM taskchecklist WHERE ctid = '(0,1)'; UPDATE jobshead SET label = 'later'")
    results = pair.pull_all(*TABLES)
    assert sum(result.pulled for result in results.values()) > 5
    pair.pull_all(*TABLES)
    pair.sync_all(*TABLES)
    with connect(pair.settings.desktop) as source, connect(pair.settings.mobile) as target:
        assert verify(source=source, target=target, specs=TABLES, options=QUICK)
        probe(source=target, target=source, specs=TABLES)
    read_overview(pair.settings, TABLES)
    examined(pair, *TABLES)
    for side in (pair.source, pair.target):
        wait_until(side, ALONE)
        assert called(side) == []


def test_attack_would_be_noticed(attacked: Pair) -> None:
    """What an attacker counts on: without a search path of our own his function is the nearest one."""
    with connect(attacked.settings.mobile) as connection:
        connection.execute("SELECT hashtextextended('x'::text, 0)")
    wait_until(attacked.target, ALONE)
    assert called(attacked.target) == ["first.hashtextextended"]


def test_triggers_run_by_the_search_path_of_their_database(pair: Pair) -> None:
    make(pair.source, pair.target)
    pair.target.execute("""
        CREATE SCHEMA app; CREATE TABLE app.seen (name text);
        CREATE FUNCTION app.note() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN INSERT INTO seen VALUES (TG_TABLE_NAME); RETURN NEW; END $$;
        CREATE TRIGGER note BEFORE INSERT OR UPDATE ON climaster FOR EACH ROW EXECUTE FUNCTION app.note()""")
    pair.source.execute("""
        CREATE SCHEMA desk; CREATE TABLE desk.seen (name text);
        CREATE FUNCTION desk.note() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN INSERT INTO seen VALUES (TG_TABLE_NAME); RETURN NEW; END $$;
        CREATE TRIGGER note AFTER INSERT ON workdiary FOR EACH ROW EXECUTE FUNCTION desk.note()""")
    for side, schema in ((pair.source, "desk"), (pair.target, "app")):
        side.execute(f"ALTER DATABASE {side.info.dbname} SET search_path = public, {schema}")  # type: ignore[call-overload]
    diary = next(spec for spec in TABLES if spec.mobile == "workdiary")
    clients = next(spec for spec in TABLES if spec.mobile == "climaster")
    assert fates(pair.sync(clients, *(spec for spec in TABLES if spec is not clients))) == {"updated": 3}
    assert pulled(pair.pull(diary, *(spec for spec in TABLES if spec is not diary))) == {"pulled": 1}
    assert pair.one("SELECT count(*) FROM app.seen") == 3
    assert pair.one("SELECT count(*) FROM desk.seen", pair.source) == 1
