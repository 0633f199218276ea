"""Money is an integer that each database formats with the decimals of its `lc_monetary`: 0 in Japan, 3 in Bahrain."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from powerca_sync.demo import start_server
from powerca_sync.engine.forward import sync_forward
from powerca_sync.engine.postgres import connect
from powerca_sync.engine.requests import TextRows
from powerca_sync.engine.verify import Verification, verify
from powerca_sync.errors import SchemaMismatchError
from powerca_sync.settings import Endpoint
from powerca_sync.specs import Expression, TableSpec
from powerca_sync_tests.conftest import TARGET_VERSION
from powerca_sync_tests.helpers import QUICK, Pair, pulled, row_counts, spec

BILLS = spec("bills", "id")
YEN, DINAR, TWO = "ja_JP.UTF-8", "ar_BH.UTF-8", "C"
#: How the message names the decimals of a column.
NONE, THREE = "`money` with 0 decimals", "`money` with 3 decimals"


@pytest.fixture(scope="module")
def server() -> Iterator[Endpoint]:
    """Starts a server with the two locales, which are compiled for it."""
    if shutil.which("localedef") is None:
        pytest.skip("This machine cannot compile locales (no `localedef`).")
    with tempfile.TemporaryDirectory(prefix="powerca-tests-", ignore_cleanup_errors=True) as home:
        Path(home).chmod(0o755)
        for name in (YEN, DINAR):
            command = ["localedef", "-i", name.partition(".")[0], "-f", "UTF-8", f"{home}/{name}"]
            if subprocess.run(command, check=False, capture_output=True).returncode > 1:
                pytest.skip("This machine has no sources of locales.")
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("LOCPATH", home)
            running = start_server(Path(home) / "server", version=TARGET_VERSION, durable=False)
        yield running.endpoint("own", "postgres")
        running.stop()


@pytest.fixture
def pair(server: Endpoint, request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Creates two databases with the `lc_monetary` of `request.param`."""
    endpoints = []
    with psycopg.connect(host=server.host, port=server.port, user=server.user, dbname="postgres", autocommit=True) as c:
        for name, locale in zip(("source", "target"), request.param, strict=True):
            c.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")  # type: ignore[call-overload]
            c.execute(f"CREATE DATABASE {name} TEMPLATE template0")  # type: ignore[call-overload]
            c.execute(f"ALTER DATABASE {name} SET lc_monetary = '{locale}'")  # type: ignore[call-overload]
            endpoints.append(Endpoint(side=name, host=server.host, port=server.port, name=name, user=server.user))
    with Pair(*endpoints) as both:
        yield both


def bills(pair: Pair, source: str, target: str) -> None:
    pair.source.execute(f"CREATE TABLE bills (id int, amount {source}, source text)")  # type: ignore[call-overload]
    pair.target.execute(f"CREATE TABLE bills (id int PRIMARY KEY, amount {target}, source text)")  # type: ignore[call-overload]


def refused(pair: Pair, table: TableSpec = BILLS) -> str:
    with pytest.raises(SchemaMismatchError) as caught:
        pair.sync(table)
    assert pair.rows("SELECT FROM bills") == []
    return str(caught.value)


def verified(pair: Pair) -> Verification:
    with pair.connected() as (source, target):
        return verify(source=source, target=target, specs=[BILLS], options=QUICK)[0]


@pytest.mark.parametrize("pair", [(YEN, YEN), (DINAR, DINAR), (TWO, TWO)], indirect=True)
def test_money_keeps_its_value_between_equal_decimals(pair: Pair) -> None:
    bills(pair, "money", "money")
    pair.source.execute("INSERT INTO bills VALUES (1, 1234::numeric::money)")
    pair.target.execute("INSERT INTO bills VALUES (2, '-5678'::numeric::money, 'M')")
    assert row_counts(pair.sync(BILLS)) == {"inserted": 1}
    assert pulled(pair.pull(BILLS)) == {"pulled": 1}
    assert row_counts(pair.sync(BILLS)) == {"unchanged": 1, "echo": 1}
    for connection in (pair.source, pair.target):
        assert pair.rows("SELECT amount::numeric::int FROM bills ORDER BY id", connection) == [(1234,), (-5678,)]
    assert verified(pair).error is None


@pytest.mark.parametrize(
    ("pair", "source", "target"),
    [
        ((YEN, TWO), "money", "money"),
        ((TWO, DINAR), "money", "money"),
        ((TWO, YEN), "money[]", "money[]"),
        ((YEN, YEN), "money", "numeric"),
        ((YEN, YEN), "money", "text"),
        ((YEN, TWO), "money", "bigint"),
        ((TWO, DINAR), "numeric", "money"),
        ((YEN, YEN), "text", "money"),
    ],
    indirect=["pair"],
)
def test_money_of_other_decimals_is_refused(pair: Pair, source: str, target: str) -> None:
    bills(pair, source, target)
    pair.source.execute("INSERT INTO bills (id) VALUES (1)")
    message = refused(pair)
    assert "`amount`" in message
    assert "decimals (by `lc_monetary`)" in message
    assert message in str(verified(pair).error)
    assert message in str(pair.plan(BILLS)["bills"].error)
    pair.source.execute("DELETE FROM bills")
    pair.target.execute("INSERT INTO bills (id, source) VALUES (50, 'M')")
    with pytest.raises(SchemaMismatchError, match="decimals"):
        pair.pull(BILLS)


@pytest.mark.parametrize("pair", [(YEN, TWO)], indirect=True)
def test_expression_over_money_of_other_decimals_is_refused(pair: Pair) -> None:
    bills(pair, "money", "numeric")
    pair.source.execute("INSERT INTO bills VALUES (1, 1234::numeric::money)")
    computed = Expression(column="amount", forward='"amount"::numeric', reverse='"amount"::money')
    assert "the spec computes `amount` with column `amount`" in refused(
        pair, spec("bills", "id", expressions=(computed,))
    )


@pytest.mark.parametrize("pair", [(TWO, YEN)], indirect=True)
def test_money_in_supplied_rows_is_refused_for_other_decimals(pair: Pair) -> None:
    bills(pair, "int", "money")
    given = TextRows(spec=BILLS, columns=("id", "amount"), rows=lambda _: [b"1\t1234\n"])
    with (
        connect(pair.settings.desktop) as source,
        connect(pair.settings.mobile) as target,
        pytest.raises(SchemaMismatchError, match="decimals"),
    ):
        sync_forward(given, source=source, target=target, specs=[BILLS], options=QUICK)
