"""The same with the machine's own PostgreSQL, which is a full installation and may be an older version."""

from collections.abc import Iterator

import pytest

from powerca_sync.settings import Endpoint
from powerca_sync_tests.corpus.case import Case
from powerca_sync_tests.corpus.full import BOTH, DESKTOP
from powerca_sync_tests.corpus.play import play
from powerca_sync_tests.corpus.values import CASES, FAMILIES, MADE_BY_THE_SERVER, ONLY_FULL, TYPES, UNWRITABLE
from powerca_sync_tests.engine.state.test_versions import database, own
from powerca_sync_tests.helpers import Pair

#: Makes the fixture known here.
_ = own


@pytest.fixture
def full(own: Endpoint) -> Iterator[Pair]:
    """Both sides on the machine's own server."""
    with Pair(database(own, "source"), database(own, "target")) as pair:
        yield pair


@pytest.mark.parametrize("case", BOTH, ids=str)
def test_full_installations(full: Pair, case: Case) -> None:
    play(full, case)


@pytest.mark.parametrize("case", DESKTOP, ids=str)
def test_a_full_desktop(own: Endpoint, databases: tuple[Endpoint, Endpoint], case: Case) -> None:
    with Pair(database(own, "source"), databases[1]) as pair:
        play(pair, case)


@pytest.mark.parametrize("case", [case for case in CASES if case.name.startswith("texts")], ids=str)
def test_a_full_mobile(own: Endpoint, databases: tuple[Endpoint, Endpoint], case: Case) -> None:
    with Pair(databases[0], database(own, "target")) as pair:
        play(pair, case)


def test_no_type_of_the_server_is_forgotten(full: Pair) -> None:
    known = {kind for types in FAMILIES.values() for kind in types} | {*UNWRITABLE, *MADE_BY_THE_SERVER, *ONLY_FULL}
    assert {kind for (kind,) in full.rows(TYPES)} == known
