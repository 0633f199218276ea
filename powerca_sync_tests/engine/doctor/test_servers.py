"""Findings on the servers: route, encryption, version, encoding, clocks and time zones."""

import dataclasses
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from powerca_sync.demo import Server
from powerca_sync.engine.doctor import Severity
from powerca_sync.engine.doctor.clocks import examine_clocks
from powerca_sync.engine.doctor.server import Server as Facts
from powerca_sync.engine.doctor.server import examine_version, examine_writable
from powerca_sync.settings import Endpoint
from powerca_sync_tests.acceptance.pooler import Certificates, make_certificates, needs_pooler, pooled
from powerca_sync_tests.engine.clinic import examined, only_problem, problems, settle
from powerca_sync_tests.helpers import Pair


@pytest.fixture
def office(pair: Pair) -> Pair:
    return settle(pair)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="powerca-tests-", ignore_cleanup_errors=True) as name:
        # PgBouncer runs as the server's user.
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def certificates(folder: Path) -> Certificates:
    return make_certificates(folder / "certificates")


@pytest.fixture(scope="module", params=["session", "transaction"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def pooler(servers: tuple[Server, Server], folder: Path, certificates: Certificates, mode: str) -> Iterator[Endpoint]:
    """Starts a pooler in front of the target's server, for any of its databases."""
    address = dataclasses.replace(servers[1].endpoint("mobile", "postgres"), password="pooled")
    with pooled(address, folder / mode, mode=mode, certificates=certificates) as endpoint:
        yield endpoint


@needs_pooler
def test_pooler_and_its_mode_are_recognised_by_behaviour(office: Pair, pooler: Endpoint, mode: str) -> None:
    through = dataclasses.replace(pooler, name=office.settings.mobile.name)
    findings = examined(office, mobile=through)
    (route,) = [finding.what for finding in findings if finding.side == "mobile" and "answers user" in finding.what]
    assert f"answers user postgres, through a {mode} pooler, encrypted, server verified" in route
    assert ("the session pooler (port 5432) is the better way" in route) == (mode == "transaction")
    (expiring,) = problems(findings)
    assert expiring.severity is Severity.WARNING
    assert expiring.what.endswith("expires in 1 day.")


@needs_pooler
def test_unverified_server_certificate_is_a_warning(office: Pair, pooler: Endpoint, mode: str) -> None:
    # Another form of 127.0.0.1, which does not look like this machine.
    elsewhere = dataclasses.replace(
        pooler, host="127.1", name=office.settings.mobile.name, sslmode="require", sslrootcert=""
    )
    finding = only_problem(office, mobile=elsewhere)
    assert (finding.severity, finding.side) == (Severity.WARNING, "mobile")
    assert "is encrypted, and the server's identity is not verified (sslmode is require)" in finding.what
    assert "`SUPABASE_DB_SSLMODE=verify-full`" in finding.do


@needs_pooler
def test_certificate_of_another_host_is_an_error(office: Pair, pooler: Endpoint) -> None:
    elsewhere = dataclasses.replace(pooler, host="127.1", name=office.settings.mobile.name)
    finding = only_problem(office, mobile=elsewhere)
    assert finding.severity is Severity.WRONG
    assert "certificate" in finding.what
    assert "`SUPABASE_DB_SSLROOTCERT`" in finding.do


def test_refused_login_is_told_from_an_unreachable_server(office: Pair) -> None:
    elsewhere = dataclasses.replace(office.settings.desktop, name="no_such_database")
    finding = only_problem(office, desktop=elsewhere)
    assert 'database "no_such_database" does not exist' in finding.what
    assert "the server refused the login" in finding.do


def facts(**changes: object) -> Facts:
    usual: dict[str, object] = {
        "version": 160009,
        "version_name": "16.9",
        "encoding": "UTF8",
        "user": "postgres",
        "timezone": "UTC",
        "read_only": False,
        "standby": False,
        "tls": None,
    }
    return Facts(**(usual | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("version", "severity", "words"),
    [
        (120022, Severity.WRONG, "which is too old"),
        (130021, Severity.WARNING, "never tested with PostgreSQL 12.22"),
        (190000, Severity.WARNING, "never tested with"),
    ],
)
def test_untested_server_versions_are_reported(version: int, severity: Severity, words: str) -> None:
    (finding,) = examine_version("desktop", facts(version=version, version_name="12.22"))
    assert finding.severity is severity
    assert words in finding.what


@pytest.mark.parametrize("version", [150000, 160009, 170004, 180001])
def test_tested_server_versions_are_no_finding(version: int) -> None:
    assert list(examine_version("mobile", facts(version=version))) == []


def test_standby_is_told_from_read_only_mode() -> None:
    (finding,) = examine_writable("mobile", facts(standby=True))
    assert "follows another server (standby)" in finding.what
    assert "`SUPABASE_DB_HOST`" in finding.do


def test_clock_skew_is_reported(office: Pair) -> None:
    finding = only_problem(office, now=lambda: time.time() - 7 * 60)
    assert (finding.severity, finding.side) == (Severity.WARNING, "both")
    assert "is 7 minutes ahead of that of this machine" in finding.what


def test_clocks_of_both_servers_are_compared() -> None:
    (finding,) = examine_clocks({"desktop": -19800.0, "mobile": 2.0})
    assert finding.what == "The clock of the mobile server is 5.5 h ahead of that of the desktop server."
    assert list(examine_clocks({"desktop": -20.0, "mobile": 25.0})) == []


def test_time_zone_other_than_the_desktops_is_reported(office: Pair) -> None:
    office.source.execute(f"ALTER DATABASE {office.settings.desktop.name} SET timezone = 'Asia/Calcutta'")  # type: ignore[call-overload]
    assert problems(examined(office, timezone="Asia/Kolkata")) == [], "another name of the same zone"
    finding = only_problem(office, timezone="Europe/London")
    assert finding.what == "`LOCAL_DB_TIMEZONE` is `Europe/London`, but the desktop's own zone is `Asia/Calcutta`."


def test_unknown_time_zone_is_an_error(office: Pair) -> None:
    finding = only_problem(office, timezone="India/Mumbai")
    assert finding.severity is Severity.WRONG
    assert finding.what == "The desktop database does not know the time zone `India/Mumbai`."


@pytest.fixture
def encoded(servers: tuple[Server, Server], office: Pair, request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Creates the office with a desktop in another encoding."""
    endpoint = servers[0].endpoint("desktop", "doctor_encoded")
    with psycopg.connect(host=endpoint.host, port=endpoint.port, user="postgres", autocommit=True) as server:
        create = sql.SQL("CREATE DATABASE doctor_encoded ENCODING {} LOCALE 'C' TEMPLATE template0")
        server.execute(create.format(request.param))
        with Pair(endpoint, office.settings.mobile) as pair:
            pair.target.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            yield settle(pair)
        server.execute("DROP DATABASE doctor_encoded WITH (FORCE)")


@pytest.mark.parametrize("encoded", ["SQL_ASCII"], indirect=True)
def test_desktop_without_an_encoding_needs_a_declared_one(encoded: Pair) -> None:
    finding = only_problem(encoded)
    assert (finding.severity, finding.side) == (Severity.WARNING, "desktop")
    assert "`LOCAL_DB_ENCODING`" in finding.do
    assert problems(examined(encoded, encoding="WIN1252")) == []
    assert "which is not a known encoding" in only_problem(encoded, encoding="WIN-ENGLISH").what


@pytest.mark.parametrize("encoded", ["WIN1252"], indirect=True)
def test_old_encoding_that_cannot_hold_phone_texts_is_reported(encoded: Pair) -> None:
    finding = only_problem(encoded)
    assert finding.what == "The desktop database stores text as WIN1252."
    assert "Devanagari" in finding.why
    wrong, _ = problems(examined(encoded, encoding="LATIN2"))
    assert "`LOCAL_DB_ENCODING` is `LATIN2`, but the desktop's text is WIN1252" in wrong.what
