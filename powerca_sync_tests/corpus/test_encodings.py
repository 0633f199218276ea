"""Text is converted exactly, whatever the encoding of the desktop; a row with invalid bytes is quarantined alone."""

import contextlib
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import sql

from powerca_sync.demo import Server
from powerca_sync.engine.result import Options
from powerca_sync.settings import Endpoint
from powerca_sync.specs import TableSpec
from powerca_sync_tests.corpus.encodings import CASES, UNKNOWN, Encoded
from powerca_sync_tests.corpus.play import play
from powerca_sync_tests.helpers import QUICK, Pair, delete_insert, pulled, spec

Encode = Callable[[str], Pair]


@pytest.fixture(scope="module")
def desktops(servers: tuple[Server, Server]) -> Iterator[Callable[[str], Endpoint]]:
    """Yields a function that creates a desktop of an encoding, once for each."""
    address = {"host": servers[0].host, "port": servers[0].port, "user": "postgres", "autocommit": True}
    made: dict[str, Endpoint] = {}

    def make(encoding: str) -> Endpoint:
        if encoding not in made:
            made[encoding] = servers[0].endpoint("desktop", f"corpus_{encoding.lower()}")
            create = sql.SQL("CREATE DATABASE {} ENCODING {} LOCALE 'C' TEMPLATE template0")
            with psycopg.connect(dbname="postgres", **address) as server:  # type: ignore[arg-type]
                server.execute(create.format(sql.Identifier(made[encoding].name), encoding))
        return made[encoding]

    yield make
    with psycopg.connect(dbname="postgres", **address) as server:  # type: ignore[arg-type]
        for endpoint in made.values():
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(endpoint.name)))


@pytest.fixture
def encoded(desktops: Callable[[str], Endpoint], databases: tuple[Endpoint, Endpoint]) -> Iterator[Encode]:
    """Yields a function that creates a pair whose desktop has that encoding."""
    with contextlib.ExitStack() as pairs:
        yield lambda encoding: pairs.enter_context(Pair(desktops(encoding), databases[1]))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_encodings(encoded: Encode, case: Encoded) -> None:
    play(encoded(case.encoding), case.case)


@pytest.mark.parametrize("encoding", UNKNOWN)
def test_phone_rows_beyond_the_desktop_encoding_are_quarantined_alone(encoded: Encode, encoding: str) -> None:
    pair = encoded(encoding)
    declared = "WIN1252" if encoding == "SQL_ASCII" else None
    options = Options(timeouts=QUICK.timeouts, encoding=declared)
    pair.empty()
    for side in (pair.source, pair.target):
        side.execute('CREATE TABLE items (id int, name text, "%s {0}" text)')
    pair.target.execute("ALTER TABLE items ADD source text")
    rows = [(1, "plain"), (2, UNKNOWN[encoding]), (3, "\\N\t%s {0}")]
    for n, text in rows:
        pair.target.execute("INSERT INTO items VALUES (%s, %s, %s, 'M')", [n, text, text])
    items = delete_insert("items", "id")
    for fate in ("pulled", "already_there"):
        result = pair.pull(items, options=options)
        assert pulled(result) == {fate: 2, "quarantined": 1}
        assert [sample.key["id"] for sample in result.samples] == ["2"]
        assert "encoding" in str(result.samples[0])
    assert pair.rows("SELECT id, name FROM items ORDER BY id", pair.source) == [rows[0], rows[2]]


@pytest.mark.parametrize(
    ("encoding", "declared"), [("SQL_ASCII", "UTF8"), ("SQL_ASCII", "WIN1252"), ("SQL_ASCII", None), ("WIN1252", None)]
)
@pytest.mark.parametrize("strategy", [spec, delete_insert])
def test_conflict_with_invalid_bytes_affects_only_its_row(
    encoded: Encode, strategy: Callable[..., TableSpec], encoding: str, declared: str | None
) -> None:
    pair = encoded(encoding)
    pair.empty()
    for side in (pair.source, pair.target):
        side.execute("CREATE TABLE items (id int PRIMARY KEY, name text)")
    pair.target.execute("ALTER TABLE items ADD source text")
    pair.source.execute(
        "INSERT INTO items VALUES (1, convert_from('\\x636166e9ff8d', getdatabaseencoding())), (2, 'other')"
    )
    pair.target.execute("INSERT INTO items VALUES (1, 'café', 'M'), (2, 'phone', 'M'), (3, 'three', 'M')")
    options = Options(timeouts=QUICK.timeouts, encoding=declared)
    for fate in ("pulled", "already_there"):
        result = pair.pull(strategy("items", "id"), options=options)
        assert pulled(result) == {fate: 1, "conflicts" if strategy is spec else "lookalikes": 2}
        shown = {sample.desktop["name"] for sample in result.conflict_samples}
        assert shown == {
            "caf\u00e9\u00ff\ufffd" if "WIN1252" in (encoding, declared) else "caf" + 3 * "\ufffd",
            "other",
        }
    before = pair.text("items", on=pair.target)
    assert pair.sync(strategy("items", "id"), options=options).written == 0
    assert pair.text("items", on=pair.target) == before
