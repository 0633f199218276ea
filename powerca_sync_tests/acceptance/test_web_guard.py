"""The guard of Dagster's webserver, tested by HTTP requests and WebSockets to a real webserver."""

import base64
from collections.abc import Iterator

import pytest

from powerca_sync_tests.acceptance.webserver import MUTATION, QUERY, Webserver, start_webserver

#: Origins of a page elsewhere, of another program on this machine, and of a sandboxed frame.
FOREIGN = ("https://evil.example", "http://localhost:8080", "null")


@pytest.fixture(scope="module")
def webserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webserver]:
    """Starts the webserver without a login."""
    yield from start_webserver(tmp_path_factory.mktemp("web"), POWERCA_UI_URL="https://sync.example")


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webserver]:
    """Starts the webserver with a login, from `.env`."""
    folder = tmp_path_factory.mktemp("locked")
    (folder / ".env").write_text("POWERCA_UI_USER=boss\nPOWERCA_UI_PASSWORD='a word: #1'\n")
    yield from start_webserver(folder)


def test_ui_and_programs_are_served(webserver: Webserver) -> None:
    status, page, headers = webserver.ask("GET", "/", Accept="text/html")
    assert (status, headers["x-frame-options"]) == (200, "SAMEORIGIN")
    assert "<html" in page
    assert webserver.mutate(Origin=webserver.origin, Sec_Fetch_Site="same-origin") == 200
    assert webserver.mutate() == 200
    assert webserver.mutate(Content_Type="application/json; charset=utf-8") == 200
    assert webserver.open_socket(webserver.origin) == 101
    assert webserver.open_socket(None) == 101


@pytest.mark.parametrize("host", ["127.0.0.1:{}", "[::1]:{}", "sync.example", "SYNC.example:443"])
def test_own_hosts_are_served(webserver: Webserver, host: str) -> None:
    assert webserver.mutate(host=host.format(webserver.port)) == 200


def test_proxy_that_changes_the_host_is_served(webserver: Webserver) -> None:
    assert webserver.mutate(Origin="https://sync.example") == 200
    assert webserver.open_socket("https://sync.example") == 101


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "192.0.2.1", "www.sync.example", "a b"])
def test_foreign_host_is_refused(webserver: Webserver, host: str) -> None:
    assert webserver.ask("GET", "/", host=host)[0] == 400
    assert webserver.mutate(host=host) == 400
    assert webserver.mutate(host=host, Origin=f"http://{host}") == 400


@pytest.mark.parametrize("origin", FOREIGN)
def test_foreign_origin_is_refused(webserver: Webserver, origin: str) -> None:
    assert webserver.mutate(Origin=origin) == 403
    assert webserver.ask("GET", "/graphql", Origin=origin, Accept="text/html")[0] == 403
    assert webserver.open_socket(origin) == 403


def test_cross_site_request_without_origin_is_refused(webserver: Webserver) -> None:
    assert webserver.mutate(Sec_Fetch_Site="cross-site") == 403
    assert webserver.mutate(Sec_Fetch_Site="same-site") == 403
    # A link in an alert's message.
    assert webserver.ask("GET", "/runs", Sec_Fetch_Site="cross-site", Accept="text/html")[0] == 200


@pytest.mark.parametrize("path", ["/graphql", "/graphql/", "/%67raphql"])
@pytest.mark.parametrize("query", [MUTATION, QUERY])
def test_graphql_by_get_is_refused(webserver: Webserver, path: str, query: str) -> None:
    for method in ("GET", "HEAD"):
        status, text, _ = webserver.ask(method, f"{path}?query={query.replace(' ', '%20')}", Accept="*/*")
        assert (status, "data" in text) == (405, False)
    _, page, _ = webserver.ask("GET", f"{path}?query={query.replace(' ', '%20')}", Accept="text/html")
    assert "__typename" not in page


@pytest.mark.parametrize(
    "kind", ["text/plain", "text/plain; application/json", "application/x-www-form-urlencoded", "application/graphql"]
)
def test_content_types_other_than_json_are_refused(webserver: Webserver, kind: str) -> None:
    assert webserver.mutate(Content_Type=kind) == 415
    status, text, _ = webserver.ask("POST", f"/graphql?query={MUTATION.replace(' ', '%20')}", "", Content_Type=kind)
    assert (status, "data" in text) == (415, False)
    assert webserver.ask("POST", "/report_asset_materialization/clients", "", Content_Type=kind)[0] == 415


def test_login_is_required(locked: Webserver) -> None:
    status, _, headers = locked.ask("GET", "/", Accept="text/html")
    assert (status, headers["www-authenticate"]) == (401, 'Basic realm="powerca_sync", charset="UTF-8"')
    assert locked.mutate() == 401
    assert locked.open_socket(locked.origin) == 403
    assert locked.ask("GET", "/server_info")[0] == 200


def test_configured_login_is_accepted(locked: Webserver) -> None:
    def basic(text: str) -> str:
        return "Basic " + base64.b64encode(text.encode()).decode()

    assert locked.mutate(Authorization=basic("boss:a word: #1")) == 200
    assert locked.open_socket(locked.origin, Authorization=basic("boss:a word: #1")) == 101
    for wrong in (basic("boss:a word"), basic("admin:a word: #1"), basic(""), "Basic ???", "Bearer x", "Basic"):
        assert locked.mutate(Authorization=wrong) == 401
    assert locked.mutate(Authorization=basic("boss:a word: #1"), Origin=FOREIGN[0]) == 403
