"""The corpus on the machine's own PostgreSQL, which is a full installation and may be an older version."""

from collections.abc import Iterator

import pytest

from powerca_sync.settings import Endpoint
from powerca_sync_tests.corpus.case import Case
from powerca_sync_tests.corpus.full import BOTH, DESKTOP
from powerca_sync_tests.corpus.play import play
from powerca_sync_tests.corpus.values import CASES, FAMILIES, MADE_BY_THE_SERVER, ONLY_FULL, TYPES, UNWRITABLE
from powerca_sync_tests.engine.state.own_server import create_database, own_server
from powerca_sync_tests.helpers import Pair

#: Registers the fixture in this module.
_ = own_server


@pytest.fixture
def full(own_server: Endpoint) -> Iterator[Pair]:
    """Creates both databases on the machine's own server."""
    with Pair(create_database(own_server, "source"), create_database(own_server, "target")) as pair:
        yield pair


@pytest.mark.parametrize("case", BOTH, ids=str)
def test_full_installations(full: Pair, case: Case) -> None:
    play(full, case)


@pytest.mark.parametrize("case", DESKTOP, ids=str)
def test_full_desktop(own_server: Endpoint, databases: tuple[Endpoint, Endpoint], case: Case) -> None:
    with Pair(create_database(own_server, "source"), databases[1]) as pair:
        play(pair, case)


@pytest.mark.parametrize("case", [case for case in CASES if case.name.startswith("texts")], ids=str)
def test_full_mobile(own_server: Endpoint, databases: tuple[Endpoint, Endpoint], case: Case) -> None:
    with Pair(databases[0], create_database(own_server, "target")) as pair:
        play(pair, case)


def test_every_type_of_the_server_is_covered(full: Pair) -> None:
    known = {kind for types in FAMILIES.values() for kind in types} | {*UNWRITABLE, *MADE_BY_THE_SERVER, *ONLY_FULL}
    assert {kind for (kind,) in full.rows(TYPES)} == known
