"""Every value of every type arrives unchanged, in both directions and with every transfer."""

import pytest

from powerca_sync_tests.corpus.case import Case
from powerca_sync_tests.corpus.play import play
from powerca_sync_tests.corpus.values import CASES, FAMILIES, MADE_BY_THE_SERVER, ONLY_FULL, TYPES, UNWRITABLE
from powerca_sync_tests.helpers import Pair


@pytest.mark.parametrize("case", CASES, ids=str)
def test_values(shared_pair: Pair, case: Case) -> None:
    play(shared_pair, case)


@pytest.mark.parametrize("side", ["source", "target"])
def test_every_type_of_the_server_is_covered(shared_pair: Pair, side: str) -> None:
    known = {kind for types in FAMILIES.values() for kind in types} | {*UNWRITABLE, *MADE_BY_THE_SERVER, *ONLY_FULL}
    assert {kind for (kind,) in shared_pair.rows(TYPES, getattr(shared_pair, side))} == known


@pytest.mark.parametrize("kind", UNWRITABLE)
def test_unwritable_types_accept_no_value(shared_pair: Pair, kind: str) -> None:
    for connection in (shared_pair.source, shared_pair.target):
        with pytest.raises(Exception, match="cannot accept a value of type"):
            connection.execute(f"SELECT ''::pg_catalog.{kind}")  # type: ignore[call-overload]
