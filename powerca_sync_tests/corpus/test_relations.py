"""Rows arrive from every kind of table, or one sentence says why they cannot."""

import pytest

from powerca_sync_tests.corpus.case import Case
from powerca_sync_tests.corpus.play import play
from powerca_sync_tests.corpus.relations import CASES
from powerca_sync_tests.helpers import Pair


@pytest.mark.parametrize("case", CASES, ids=str)
def test_relations(shared_pair: Pair, case: Case) -> None:
    play(shared_pair, case)
