"""A connection to a desktop stays open from one tick to the next, and does not block a restore."""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from psycopg import sql

from powerca_sync.defs import connections
from powerca_sync.defs.offices import kept_desktops
from powerca_sync.defs.offices.kept_desktops import KeptDesktops
from powerca_sync.engine.postgres import connect
from powerca_sync.errors import ConfigurationError, DatabaseUnavailableError
from powerca_sync.offices import Office, load
from powerca_sync.settings import Endpoint
from powerca_sync_tests.defs.office import SECRETS, SPECS
from powerca_sync_tests.helpers import Pair, wait_until
from powerca_sync_tests.histories.proxy import Proxy, Trouble


class Site:
    """The file of one office, and its sessions on the desktop; `pair.source` is another session there."""

    def __init__(self, pair: Pair, folder: Path) -> None:
        self.pair, self.folder = pair, folder
        self.kept = KeptDesktops()
        (folder / "password").write_text(SECRETS[0])

    def office(self, desktop: Endpoint | None = None, password: str = "password") -> Office:
        desktop, mobile = desktop or self.pair.settings.desktop, self.pair.settings.mobile
        (self.folder / "offices.toml").write_text(f"""
            [mobile.main]
            host = "{mobile.host}"
            password_file = "password"
            [office.north]
            host = "{desktop.host}"
            port = {desktop.port}
            name = "{desktop.name}"
            user = "{desktop.user}"
            password_file = "{password}"
            """)
        return load(self.folder / "offices.toml").named("north")

    def look(self, office: Office) -> list[int]:
        """Asks the office; returns the backends of all other connections to its desktop."""
        assert [token.table for token in self.kept.look(office, SPECS)] == ["orgs"]
        query = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND pid <> ALL (%s)"
        return [pid for (pid,) in self.pair.source.execute(query, [office.checked.desktop.name, self.own()])]

    def own(self) -> list[int]:
        """Returns the backends of the test's connections."""
        return [self.pair.source.info.backend_pid, *self.pair.connections.idle()]

    def wait_for(self, count: int, office: Office) -> None:
        """Waits until so many are left: a server notices later that a connection was closed."""
        wait_until(
            self.pair.source,
            f"count(*) = {count} FROM pg_stat_activity"
            f" WHERE datname = '{office.checked.desktop.name}' AND pid <> ALL (ARRAY{self.own()})",
        )


@pytest.fixture
def site(pair: Pair, tmp_path: Path) -> Iterator[Site]:
    pair.source.execute("CREATE TABLE orgs (org_id int)")
    one = Site(pair, tmp_path)
    yield one
    one.kept.close()


def test_connection_is_kept_while_others_use_the_desktop(site: Site) -> None:
    office = site.office()
    (first,) = site.look(office)
    assert site.look(office) == [first]
    site.kept.close()
    site.wait_for(0, office)


def test_connection_is_closed_when_all_others_have_left(site: Site) -> None:
    desktop = site.pair.settings.desktop
    name = f"{desktop.name}_copy"
    site.pair.source.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    drop = sql.SQL("DROP DATABASE {}").format(sql.Identifier(name))
    office = site.office(Endpoint(side="desktop", host=desktop.host, port=desktop.port, name=name, user=desktop.user))
    with closing(connect(office.desktop_endpoint())) as other:
        other.execute("CREATE TABLE orgs (org_id int)")
        assert len(site.look(office)) == 2
    site.wait_for(1, office)
    site.look(office)
    site.pair.source.execute(drop)


def test_connection_that_the_server_ended_is_replaced_at_once(site: Site) -> None:
    office = site.office()
    (first,) = site.look(office)
    site.pair.source.execute("SELECT pg_terminate_backend(%s, 5000)", [first])
    (second,) = site.look(office)
    assert second != first


def test_line_that_falls_silent_ends_in_seconds(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (connections, kept_desktops):
        monkeypatch.setattr(module, "PATIENCE", 2)
    with Proxy(site.pair.settings.desktop) as proxy:
        office = site.office(proxy.through)
        site.look(office)
        began = time.monotonic()
        with (
            proxy.troubled(Trouble(kind="silent", after=0)),
            pytest.raises(DatabaseUnavailableError, match=r"connecting to desktop"),
        ):
            site.look(office)
        assert time.monotonic() - began < 10
        assert site.look(office)


def test_changed_entry_closes_the_connection(site: Site) -> None:
    office = site.office()
    (first,) = site.look(office)
    again = site.office()
    site.kept.keep({"north": again})
    site.wait_for(0, office)
    assert site.look(again) != [first]
    site.kept.keep({})
    site.wait_for(0, office)
    (second,) = site.look(again)
    assert site.look(office) != [second], "read in between, without a tick"


def test_changed_password_is_noticed_within_an_hour(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    office = site.office()
    site.look(office)
    (site.folder / "password").unlink()
    site.look(office)
    monkeypatch.setattr(kept_desktops, "LONGEST_USE", 0.0)
    with pytest.raises(ConfigurationError, match=r"`password_file` of \[office.north\]"):
        site.kept.look(office, SPECS)
    site.wait_for(0, office)


def test_connections_end_when_no_tick_follows(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    office = site.office()
    monkeypatch.setattr(kept_desktops, "LONGEST_PAUSE", 0.05)
    site.kept.keep({"north": office})
    site.look(office)
    site.wait_for(0, office)


def test_no_more_connections_are_kept_than_allowed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    office = site.office()
    monkeypatch.setattr(kept_desktops, "MOST_KEPT", 0)
    site.look(office)
    site.wait_for(0, office)
