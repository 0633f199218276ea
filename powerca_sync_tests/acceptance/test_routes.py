"""All tables, in both directions, over the connections of a real office: poolers, TLS, and few privileges."""

import dataclasses
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from powerca_sync.engine.postgres.database import connect
from powerca_sync.errors import ConfigurationError, DatabaseUnavailableError
from powerca_sync.settings import Endpoint
from powerca_sync.specs import PHONE, spec_named
from powerca_sync.tables import TABLES
from powerca_sync_tests.acceptance.pooler import Certificates, make_certificates, needs_pooler, pooled
from powerca_sync_tests.acceptance.real_tables import (
    PHONE_ROWS_MADE,
    QUARANTINED,
    ROWS,
    add_phone_rows,
    contents,
    create_empty_mobile,
    create_office,
)
from powerca_sync_tests.acceptance.roles import (
    DESKTOP_USER,
    MOBILE_USER,
    PASSWORD,
    WRITTEN_BACK,
    desktop_user,
    let_prepare,
    mobile_user,
)
from powerca_sync_tests.connections import Connections
from powerca_sync_tests.helpers import LOCK_AWAITED, Pair, wait_until

pytestmark = needs_pooler

BACK = tuple(spec for spec in TABLES if spec.reverse)
OF_PHONES = f"source = '{PHONE}'"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not pytest's own folder, which the pooler's user cannot enter."""
    with tempfile.TemporaryDirectory(prefix="powerca-routes-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def certificates(folder: Path) -> Certificates:
    return make_certificates(folder / "certificates")


@pytest.fixture
def real(pair: Pair) -> Iterator[Pair]:
    """Creates the real tables, the desktop's with rows; the mobile role has its privileges and creates the state
    tables.
    """
    create_office(pair.source)
    create_empty_mobile(pair.target)
    with mobile_user(pair.target):
        yield pair


@pytest.fixture(params=["transaction", "session"])
def routed(request: pytest.FixtureRequest, real: Pair, folder: Path, certificates: Certificates) -> Iterator[Pair]:
    """Returns the same databases; mobile through a pooler, verified, and as the role with few privileges."""
    mobile = _as_user(real.settings.mobile)
    with (
        pooled(mobile, folder / "pooler", mode=request.param, certificates=certificates) as endpoint,
        # The pooler has few sessions, which connections that are kept would hold.
        Pair(real.settings.desktop, endpoint, Connections()) as pair,
    ):
        let_prepare(real.target, may=True)
        yield pair


def _as_user(endpoint: Endpoint) -> Endpoint:
    return dataclasses.replace(endpoint, user=MOBILE_USER, password=PASSWORD)


def test_all_tables_are_synced_through_a_pooler(real: Pair, routed: Pair) -> None:
    first = routed.sync_all(*TABLES)
    let_prepare(real.target, may=False)
    assert {name: result.quarantined for name, result in first.items() if result.quarantined} == QUARANTINED
    assert all(result.inserted == result.extracted - result.quarantined for result in first.values())
    assert sum(result.inserted for result in first.values()) == ROWS - sum(QUARANTINED.values())

    add_phone_rows(real.target)
    phones = {spec.mobile: real.text(spec.mobile, where=OF_PHONES) for spec in TABLES}
    real.source.execute("UPDATE climaster SET clientname = 'Renamed' WHERE client_id = 1001")
    real.source.execute("DELETE FROM jobtasks WHERE taskorder = 5")
    real.source.execute("INSERT INTO mbreminder SELECT 1007, org_id, loc_id, year_id, staff_id FROM mbreminder LIMIT 1")
    changed = routed.sync_all(*TABLES, mode="incremental")
    assert {name: (r.inserted, r.updated, r.deleted) for name, r in changed.items() if r.written} == {
        "climaster": (0, 1, 0),
        "jobtasks": (0, 0, 1),
        "reminder": (1, 0, 0),
    }

    before = contents(real.target)
    assert sum(result.written for result in routed.sync_all(*TABLES).values()) == 0
    assert contents(real.target) == before
    assert {spec.mobile: real.text(spec.mobile, where=OF_PHONES) for spec in TABLES} == phones
    _assert_clean_sessions(real, routed.settings.mobile)


def test_all_tables_are_reverse_synced_through_a_pooler(real: Pair, routed: Pair) -> None:
    routed.sync_all(*TABLES)
    add_phone_rows(real.target)
    first = routed.pull_all(*BACK)
    assert {name: result.pulled for name, result in first.items() if result.pulled} == PHONE_ROWS_MADE
    assert sum(result.quarantined + result.conflicts for result in first.values()) == 0
    before = contents(real.target)
    again = routed.pull_all(*BACK)
    assert sum(result.pulled for result in again.values()) == 0
    assert {name: result.already_there for name, result in again.items() if result.already_there} == PHONE_ROWS_MADE
    assert sum(result.written for result in routed.sync_all(*TABLES).values()) == 0
    assert contents(real.target) == before
    _assert_clean_sessions(real, routed.settings.mobile)


def _assert_clean_sessions(real: Pair, mobile: Endpoint) -> None:
    """Asserts that the next user of the pooler's connections finds no lock, table or setting of the run."""
    assert real.one("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
    assert real.one("SELECT count(*) FROM pg_class WHERE relpersistence = 't'") == 0
    with connect(mobile) as one, connect(mobile) as other:
        for connection in (one, other):
            shown = [connection.execute(f"SHOW {name}").fetchone() for name in SETTINGS]  # type: ignore[call-overload]
            assert shown == [(value,) for value in SETTINGS.values()]


#: The settings of the engine's own transactions, and the role's defaults.
SETTINGS = {"statement_timeout": "500ms", "lock_timeout": "200ms", "row_security": "on", "work_mem": "4MB"}


def test_run_exceeds_the_short_timeouts_of_its_role(real: Pair, routed: Pair) -> None:
    routed.sync_all(*TABLES)
    clients = spec_named(TABLES, "climaster")
    others = tuple(spec for spec in TABLES if spec is not clients)
    real.target.execute(SLOW)
    real.source.execute("UPDATE climaster SET clientname = clientname || ' Ltd' WHERE client_id <= 1006")
    with psycopg.connect(**_plain(real.settings.mobile)) as app, ThreadPoolExecutor() as threads:
        app.execute("SELECT FROM climaster WHERE client_id = 1003 FOR UPDATE")
        run = threads.submit(routed.sync, clients, *others)
        wait_until(real.target, LOCK_AWAITED, unless=run.done)
        time.sleep(0.4)
        app.rollback()
        assert run.result().updated == 6


#: Six rows take longer than the role's statement timeout.
SLOW = """
CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.1); RETURN NEW; END';
CREATE TRIGGER slowly BEFORE UPDATE ON climaster FOR EACH ROW EXECUTE FUNCTION slowly()"""


def _plain(endpoint: Endpoint) -> dict[str, str | int]:
    return {"host": endpoint.host, "port": endpoint.port, "dbname": endpoint.name, "user": endpoint.user}


@pytest.mark.parametrize("routed", ["transaction"], indirect=True)
def test_unverified_server_gets_no_password(routed: Pair, folder: Path) -> None:
    mobile = routed.settings.mobile
    stranger = make_certificates(folder / "others").authority
    for doubtful in (
        dataclasses.replace(mobile, sslrootcert=str(stranger)),
        # The certificate is for another name.
        dataclasses.replace(mobile, host="127.0.0.1"),
        dataclasses.replace(mobile, sslrootcert=str(folder / "no such file")),
    ):
        with pytest.raises(ConfigurationError, match=r"SSLROOTCERT|another host name") as refused:
            connect(doubtful)
        assert PASSWORD not in str(refused.value)


@pytest.mark.parametrize("routed", ["transaction"], indirect=True)
def test_wrong_password_and_missing_tls_are_refused_with_advice(routed: Pair) -> None:
    mobile = routed.settings.mobile
    with pytest.raises(ConfigurationError, match="Check user and password") as refused:
        connect(dataclasses.replace(mobile, password=f"{PASSWORD}x"))
    assert PASSWORD not in str(refused.value)
    with pytest.raises((ConfigurationError, DatabaseUnavailableError), match="SSL required"):
        connect(dataclasses.replace(mobile, sslmode="disable"))


@pytest.fixture
def least_privilege(real: Pair) -> Iterator[Pair]:
    """Creates both databases with roles of few privileges; the desktop's leave requests are numbered by a sequence."""
    real.source.execute(
        "CREATE SEQUENCE learequest_id_seq; "
        "ALTER TABLE learequest ALTER learequest_id SET DEFAULT nextval('learequest_id_seq')"
    )
    let_prepare(real.target, may=True)
    with desktop_user(real.source):
        desktop = dataclasses.replace(real.settings.desktop, user=DESKTOP_USER)
        with Pair(desktop, _as_user(real.settings.mobile)) as pair:
            yield pair


def test_few_privileges_suffice_for_both_directions(real: Pair, least_privilege: Pair) -> None:
    forward = least_privilege.sync_all(*TABLES)
    assert {name: result.quarantined for name, result in forward.items() if result.quarantined} == QUARANTINED
    add_phone_rows(real.target)
    back = least_privilege.pull_all(*BACK)
    assert {name: result.pulled for name, result in back.items() if result.pulled} == PHONE_ROWS_MADE
    # The numbers of the phone rows went into the column that the sequence feeds.
    assert real.one("SELECT nextval('learequest_id_seq')", real.source) == 1503
    assert sum(result.written for result in least_privilege.sync_all(*TABLES).values()) == 0


def test_desktop_role_may_not_update_or_delete_office_rows(real: Pair, least_privilege: Pair) -> None:
    for table in WRITTEN_BACK:
        for statement in ("DELETE FROM {}", "UPDATE {} SET source = 'X'", "TRUNCATE {}"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                least_privilege.source.execute(sql.SQL(statement).format(sql.Identifier(table)))
    real.source.execute("CREATE TABLE salaries (staff_id int)")
    for statement in ("SELECT FROM salaries", "CREATE TABLE public.notes ()", "DROP TABLE mbstaff"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            least_privilege.source.execute(statement)  # type: ignore[call-overload]
