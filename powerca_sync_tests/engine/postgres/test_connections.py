"""Messages when a database is unreachable or refuses the login."""

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from powerca_sync.demo import start_server
from powerca_sync.engine.postgres.database import connect
from powerca_sync.errors import ConfigurationError, DatabaseUnavailableError, SyncError
from powerca_sync.settings import Endpoint
from powerca_sync_tests.conftest import SOURCE_VERSION
from powerca_sync_tests.helpers import Pair

#: The server's `max_connections`.
MOST = 8
PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def password_server() -> Iterator[Endpoint]:
    """Starts a server that requires a password of all but its superuser, and rejects one user."""
    with tempfile.TemporaryDirectory(prefix="powerca-tests-", ignore_cleanup_errors=True) as folder:
        server = start_server(
            Path(folder) / "guarded", version=SOURCE_VERSION, durable=False, settings={"max_connections": str(MOST)}
        )
        endpoint = server.endpoint("mobile", "postgres")
        with connect(endpoint) as administrator:
            administrator.execute(f"CREATE ROLE office LOGIN PASSWORD '{PASSWORD}'")  # type: ignore[call-overload]
            administrator.execute("CREATE ROLE single LOGIN CONNECTION LIMIT 1; CREATE ROLE stranger LOGIN")
            rules = ["postgres trust", "single trust", "stranger reject", "all scram-sha-256"]
            lines = "".join(f"local all {rule}\n" for rule in rules)
            (Path(folder) / "guarded" / "pg_hba.conf").write_text(lines, encoding="ascii")
            administrator.execute("SELECT pg_reload_conf()")
            _wait_for_rules(endpoint)
        yield dataclasses.replace(endpoint, user="office", password=PASSWORD)
        server.stop()


def _wait_for_rules(endpoint: Endpoint) -> None:
    while True:
        try:
            connect(dataclasses.replace(endpoint, user="office", password="wrong")).close()
        except ConfigurationError:
            return


def message_of(endpoint: Endpoint, error: type[SyncError]) -> str:
    """Returns the message, which is of this class, one line long and without any password."""
    with pytest.raises(error) as caught:
        connect(endpoint)
    assert caught.type is error
    message = str(caught.value)
    assert "\n" not in message
    assert "\t" not in message
    assert (endpoint.password or PASSWORD) not in message + repr(caught.value) + repr(endpoint)
    assert message.startswith(f"connecting to mobile ({endpoint.host}:{endpoint.port}/{endpoint.name}) failed: ")
    return message


def test_right_password_is_accepted(password_server: Endpoint) -> None:
    with connect(password_server) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("office",)


def test_wrong_password_is_a_configuration_error_and_not_retried(password_server: Endpoint) -> None:
    message = message_of(dataclasses.replace(password_server, password="wr0ng and secret"), ConfigurationError)
    assert 'password authentication failed for user "office". Check user and password. A paused' in message
    assert not ConfigurationError.retryable


def test_missing_password_is_reported(password_server: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "PGPASSFILE", os.devnull)
    assert "no password supplied. Check user and password" in message_of(
        dataclasses.replace(password_server, password=None), ConfigurationError
    )


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"user": "stranger"}, ConfigurationError, "pg_hba.conf rejects connection"),
        ({"name": "no_such"}, ConfigurationError, 'database "no_such" does not exist. Check the database name.'),
        ({"user": "nobody"}, ConfigurationError, 'password authentication failed for user "nobody"'),
        ({"host": "no-such-host.invalid"}, DatabaseUnavailableError, "check host, port and network"),
        ({"host": "localhost", "port": 1}, DatabaseUnavailableError, "Connection refused"),
        ({"port": 1}, DatabaseUnavailableError, "No such file or directory"),
        ({"sslmode": "sometimes"}, ConfigurationError, 'invalid sslmode value: "sometimes". Check the settings.'),
    ],
    ids=lambda value: str(next(iter(value.items()))) if isinstance(value, dict) else "",
)
def test_each_connection_failure_has_its_own_advice(
    password_server: Endpoint, change: dict[str, object], error: type[SyncError], words: str
) -> None:
    assert words in message_of(dataclasses.replace(password_server, **change), error)  # type: ignore[arg-type]


def test_unknown_user_is_a_configuration_error(pair: Pair) -> None:
    endpoint = dataclasses.replace(pair.settings.mobile, user="nobody")
    assert 'role "nobody" does not exist. Check user and password' in message_of(endpoint, ConfigurationError)


def test_server_without_a_free_connection_is_retried(password_server: Endpoint) -> None:
    single = dataclasses.replace(password_server, user="single", password=None)
    with connect(single):
        message = message_of(single, DatabaseUnavailableError)
    assert 'too many connections for role "single". The server has no connection left.' in message
    with contextlib.ExitStack() as taken:
        # All connections of the server but those reserved for its superuser.
        for _ in range(MOST - 3):
            taken.enter_context(connect(password_server))
        assert "The server has no connection left. Close some, or use" in message_of(
            password_server, DatabaseUnavailableError
        )
