"""No libpq environment variable changes how a database is reached, or the settings of its session."""

import dataclasses
import os
from pathlib import Path

import psycopg
import pytest

from powerca_sync.engine.postgres.database import connect, server_timezone
from powerca_sync_tests.engine.listeners import present_certificate
from powerca_sync_tests.helpers import Pair
from powerca_sync_tests.histories.proxy import Proxy

OPTIONS = {
    option.keyword.decode(): option.envvar.decode() for option in psycopg.pq.Conninfo.get_defaults() if option.envvar
}
#: Variables that libpq reads and that belong to no option.
OTHERS = ("PGSERVICEFILE", "PGSYSCONFDIR", "PGTZ", "PGDATESTYLE", "PGGEQO")
#: Values that take effect, for variables that would reject any other value as invalid.
HARMFUL = {
    "PGOPTIONS": "-c statement_timeout=1234 -c search_path=nowhere",
    "PGTZ": "Pacific/Kiritimati",
    "PGDATESTYLE": "German",
    "PGGEQO": "off",
    "PGTARGETSESSIONATTRS": "standby",
    "PGCONNECT_TIMEOUT": "1",
    "PGREQUIREAUTH": "gss",
    "PGSSLMODE": "verify-full",
    "PGCHANNELBINDING": "require",
    "PGHOSTADDR": "192.0.2.1",
    "PGPORT": "1",
}


def session(pair: Pair) -> list[tuple[str, ...]]:
    """Returns every setting of a new session that differs from the server's."""
    with Proxy(pair.settings.mobile) as proxy, connect(proxy.through) as connection:
        return connection.execute("""
            SELECT name, setting FROM pg_settings
            WHERE source NOT IN ('default', 'configuration file', 'override', 'command line') ORDER BY name
        """).fetchall()


@pytest.mark.parametrize("name", [*OPTIONS.values(), *OTHERS])
def test_variable_changes_nothing(pair: Pair, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    expected = session(pair)
    monkeypatch.setitem(os.environ, name, HARMFUL.get(name, "powerca"))
    assert session(pair) == expected


def test_service_file_changes_nothing(pair: Pair, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    expected = session(pair)
    (tmp_path / "services").write_text("[office]\nhostaddr=192.0.2.1\nsslcert=nowhere\noptions=-c geqo=off\n", "ascii")
    monkeypatch.setitem(os.environ, "PGSERVICE", "office")
    monkeypatch.setitem(os.environ, "PGSERVICEFILE", str(tmp_path / "services"))
    assert session(pair) == expected


def test_time_zone_is_that_of_the_server(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "PGTZ", "Pacific/Kiritimati")
    with connect(pair.settings.desktop) as connection:
        assert server_timezone(connection) != "Pacific/Kiritimati"


def test_password_file_is_not_read(pair: Pair, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "passwords").write_text("*:*:*:*:secret\n", "ascii")
    (tmp_path / "passwords").chmod(0o600)
    monkeypatch.setitem(os.environ, "PGPASSFILE", str(tmp_path / "passwords"))
    with connect(pair.settings.mobile) as connection:
        assert connection.info.password == ""


@pytest.mark.parametrize("mode", ["disable", "prefer", "require"])
def test_verification_is_not_weakened(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "PGSSLMODE", mode)
    with present_certificate("other_host") as endpoint, pytest.raises(Exception, match="is for another host name"):
        connect(dataclasses.replace(endpoint, host="127.0.0.1"))
